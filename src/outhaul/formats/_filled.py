"""JSON objects of what has a value: members that are null or blank are left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from outhaul.blocks import Block, Kind
from outhaul.comparisons import WHITESPACE
from outhaul.formats._assemble import Glue, Json, Leaf, Many, Member, One, Related
from outhaul.formats._columns import WINDOW, enclosed, scalar, size, window
from outhaul.plan import Node

EMPTY = pa.array([b"{}", b"[]", b"null", b'""'], pa.binary())


def objects(node: Node, *, in_csv: bool = False) -> Json:
    """How the objects of this node, and of all below it, are written."""
    return Filled(in_csv=in_csv) if node.filled else Json(in_csv=in_csv)


class Filled(Json):
    """Each member brings its own comma; the first one of an object is taken away again."""

    def object(self, glue: Glue, members: Iterable[Member], block: Block, lists: Sequence[pa.Array]) -> None:
        glue.text(b"{")
        glue.column(self._inside(members, block, lists))
        glue.text(b"}")

    def one(self, one: One, block: Block, lists: Sequence[pa.Array]) -> pa.Array:
        inside = self._inside(one.members, block, lists)
        there = pc.and_(pc.is_valid(block.columns[one.path]), pc.not_equal(inside, scalar(b"")))
        return pc.if_else(there, enclosed(b"{", inside, b"}"), scalar(None))

    def spelled(self, members: Iterable[Member], row: Block, lists: Sequence[Related]) -> Iterator[bytes]:
        yield b"{"
        yield from self._spelled_inside(members, row, lists)
        yield b"}"

    def spelled_one(self, one: One, row: Block, lists: Sequence[Related]) -> Iterator[bytes]:
        yield from self._spelled_said(one, row, lists)

    def _inside(self, members: Iterable[Member], block: Block, lists: Sequence[pa.Array]) -> pa.Array:
        glue = Glue(block.rows, null=b"")
        for member in members:
            glue.column(enclosed(_lead(member), self._said(member, block, lists), b""))
        return pc.binary_replace_slice(glue.joined(), 0, 1, b"")

    def _said(self, member: Member, block: Block, lists: Sequence[pa.Array]) -> pa.Array:
        """The values of a member; NULL where there is nothing to say."""
        if isinstance(member, One):
            return self.one(member, block, lists)
        if isinstance(member, Many):
            rows = lists[member.index]
            return pc.if_else(pc.not_equal(rows, scalar(b"")), enclosed(b"[", rows, b"]"), scalar(None))
        column = block.columns[member.path]
        value = self.text(column, member.kind)
        marked = value if member.kind == "raw" else enclosed(self._mark, value)
        return pc.if_else(_filled(column, member.kind), marked, scalar(None))

    def _spelled_inside(
        self, members: Iterable[Member], row: Block, lists: Sequence[Related]
    ) -> Iterator[bytes]:
        first = True
        for member in members:
            chunks = self._spelled_said(member, row, lists)
            begin = next((chunk for chunk in chunks if chunk), None)
            if begin is not None:
                yield _lead(member)[first:] + begin
                yield from chunks
                first = False

    def _spelled_said(self, member: Member, row: Block, lists: Sequence[Related]) -> Iterator[bytes]:
        """The value of a member in chunks; nothing where there is nothing to say."""
        if isinstance(member, Leaf):
            column = row.columns[member.path]
            if _has_value(column, member.kind):
                yield from self.spelled_value(column, member.kind)
            return
        if isinstance(member, Many):
            chunks, marks = lists[member.index].drain(), (b"[", b"]")
        elif row.columns[member.path].null_count:
            return
        else:
            chunks, marks = self._spelled_inside(member.members, row, lists), (b"{", b"}")
        begin = next((chunk for chunk in chunks if chunk), None)
        if begin is not None:
            yield marks[0] + begin
            yield from chunks
            yield marks[1]


def _lead(member: Member) -> bytes:
    return b"," + member.lead.removeprefix(b",")


def _filled(column: pa.Array, kind: Kind) -> pa.Array:
    """Whether there is a value: no NULL, no text of white space alone, no JSON without anything in it."""
    if kind == "str":
        trimmed = pc.ascii_trim(column.view(pa.string()), WHITESPACE)
        return pc.fill_null(pc.not_equal(trimmed, ""), fill_value=False)
    return pc.and_(pc.is_valid(column), pc.invert(pc.is_in(column, value_set=EMPTY)))


def _has_value(column: pa.Array, kind: Kind) -> bool:
    """The same for a column of one value, however long that is."""
    if size(column) <= WINDOW:
        found: bool = _filled(column, kind)[0].as_py()
        return found
    text, spaces = window(column), np.frombuffer(WHITESPACE.encode(), np.uint8)
    starts = range(0, len(text), WINDOW)
    return kind != "str" or any(not np.isin(text[at : at + WINDOW], spaces).all() for at in starts)
