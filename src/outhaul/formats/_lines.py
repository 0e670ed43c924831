"""Rows as lines of a table: related rows as cells of JSON, as columns beside their parent's, or as lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from outhaul.blocks import Block, Kind, Path, Stream
from outhaul.formats._assemble import Glue, JsonRows, Leaf, Many, Member, One, Related, Shape, frame
from outhaul.formats._cells import Cells
from outhaul.formats._columns import enclosed, scalar
from outhaul.formats._filled import objects
from outhaul.formats._held import NOTHING, Held
from outhaul.plan import Column, Node
from outhaul.tabular import LINED, Tabular


def titles(node: Node) -> list[tuple[Column | None, str]]:
    """The columns of the table: their names, with the field where it is not a cell of JSON."""
    return list(_titles(node, ""))


def _titles(node: Node, at: str) -> Iterator[tuple[Column | None, str]]:
    yield from ((column, f"{at}{column.key}") for column in node.columns)
    for child in _beside(node):
        if child.nested == "json":
            yield None, f"{at}{child.name}"
        else:
            yield from _titles(child, f"{at}{child.name}.")


def _beside(node: Node) -> list[Node]:
    """The nodes right below, the one with lines of its own last."""
    return sorted(node.children, key=_spreads)


def _spreads(node: Node) -> bool:
    return node.nested in LINED or (node.nested == "columns" and any(map(_spreads, node.children)))


@dataclass(frozen=True, slots=True)
class Value:
    path: Path
    column: Column


@dataclass(frozen=True, slots=True)
class Listed:
    """`of`: the row to one, where there is one, that the child rows belong to."""

    index: int  # of the child stream
    of: Path


Cell = Value | One | Listed


class Lines:
    """One line a row, or where rows of a child stream are lines, one for each of them; where there is none, one line
    without them, but not in a file of their own."""

    def __init__(self, stream: Stream, tabular: Tabular, cells: Cells) -> None:
        kinds: dict[Path, Kind] = {(column.key,): "str" for column in stream.node.columns}
        self.json = objects(stream.node, in_csv=True)
        rows = (number for number, child in enumerate(stream.children) if child.node.nested in LINED)
        self.spreads = next(rows, None)
        self.least = int(self.spreads is None or stream.children[self.spreads].node.nested != "files")
        self._tabular, self._printed = tabular, cells
        self._comma = tabular.delimiter.encode()
        members = self.json.members(stream, kinds | dict(stream.kinds))
        self._cells = tuple(self._below(stream.node, members, ()))
        self._blank = b""
        if self.spreads is not None:
            below = titles(stream.children[self.spreads].node)
            self._blank = self._comma * (len(below) - 1) + b"\n"
        self.frame = frame(members) + len(self._blank)

    def _below(self, node: Node, members: Sequence[Member], at: Path) -> Iterator[Cell]:
        """The cells of a line, from left to right."""
        count = len(node.columns)
        for column, leaf in zip(node.columns, members[:count], strict=True):
            assert isinstance(leaf, Leaf)
            yield Value(leaf.path, column)
        found = {child.name: member for child, member in zip(node.children, members[count:], strict=True)}
        for child in _beside(node):
            member = found[child.name]
            if child.nested == "columns":
                assert isinstance(member, One)
                yield from self._below(child, member.members, member.path)
            elif child.nested == "json":
                assert not isinstance(member, Leaf)
                yield Listed(member.index, at) if isinstance(member, Many) else member

    def below(self, child: Stream) -> Shape:
        if child.node.nested in LINED:
            return Lines(child, self._tabular, self._printed)
        return JsonRows(child, self.json)

    def whole(self, block: Block, lists: Sequence[pa.Array]) -> pa.Array:
        glue = Glue(block.rows, null=b"")
        for index, one in enumerate(self._cells):
            glue.text(self._comma if index else b"")
            if isinstance(one, Value):
                glue.column(self._printed.whole(block.columns[one.path], one.column))
            elif isinstance(one, Listed):
                there = block.columns[one.of] if one.of else None
                glue.column(_list_cell(lists[one.index], there))
            else:
                glue.column(enclosed(b'"', self.json.one(one, block, lists)))
        if self.spreads is None:
            glue.text(b"\n")
            return glue.joined()
        glue.text(self._comma if self._cells else b"")
        return self._spread(glue.joined(), lists[self.spreads])

    def _spread(self, heads: pa.Array, below: pa.ListArray) -> pa.Array:
        """Each row's text before each of its lines below, or before blank cells where there is none."""
        found = np.diff(below.offsets.to_numpy())
        lines = np.maximum(found, self.least)
        none = np.repeat(found == 0, lines)
        tails = below.flatten().take(pa.array(np.cumsum(~none) - 1, pa.int64(), mask=none))
        return pc.binary_join_element_wise(
            heads.take(pa.array(np.repeat(np.arange(len(found)), lines))),
            tails,
            scalar(b""),
            null_handling="replace",
            null_replacement=self._blank,
        )

    def spelled(self, row: Block, lists: Sequence[Related], before: Held = NOTHING) -> Iterator[bytes]:
        if self.spreads is None:
            yield from before.chunks()
            yield from self._head(row, lists)
            yield b"\n"
            return
        with Held(self._whole_head(row, lists, before)) as head:
            none = True
            for chunk in lists[self.spreads].drain(head):
                none = False
                yield chunk
            if none and self.least:
                yield from head.chunks()
                yield self._blank

    def _whole_head(self, row: Block, lists: Sequence[Related], before: Held) -> Iterator[bytes]:
        yield from before.chunks()
        yield from self._head(row, lists)
        yield self._comma if self._cells else b""

    def _head(self, row: Block, lists: Sequence[Related]) -> Iterator[bytes]:
        for index, one in enumerate(self._cells):
            yield self._comma if index else b""
            if isinstance(one, Value):
                yield from self._printed.spelled(row.columns[one.path], one.column)
            elif isinstance(one, Listed):
                if not (one.of and row.columns[one.of].null_count):
                    yield from _spelled_list(lists[one.index].drain())
            else:
                yield from _quoted(self.json.spelled_one(one, row, lists))


def _list_cell(lists: pa.Array, there: pa.Array | None) -> pa.Array:
    """Joined child rows as a cell; only the empty list needs no quotes, and where nothing is `there` is no list."""
    full = enclosed(b'"[', lists, b']"')
    cells = pc.if_else(pc.not_equal(lists, scalar(b"")), full, scalar(b"[]"))
    return cells if there is None else pc.if_else(pc.is_valid(there), cells, scalar(None))


def _quoted(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """A cell of JSON; nothing is a bare cell."""
    first = next((chunk for chunk in chunks if chunk), None)
    if first is not None:
        yield b'"' + first
        yield from chunks
        yield b'"'


def _spelled_list(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = next((chunk for chunk in chunks if chunk), None)
    if first is None:
        yield b"[]"
        return
    yield b'"['
    yield first
    yield from chunks
    yield b']"'
