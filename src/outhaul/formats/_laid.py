"""Rows as JSON objects of a layout of their own: members wherever it puts them, and none that has no value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from outhaul.blocks import Block, Kind, Path, Stream
from outhaul.formats._assemble import Glue, Json, JsonRows, Leaf, Many, Member, Related, Shape
from outhaul.formats._columns import enclosed, scalar
from outhaul.formats._filled import objects
from outhaul.formats._held import NOTHING, Held
from outhaul.layouts import Laid


def shaped(stream: Stream, end: bytes = b"", joint: bytes = b"") -> Shape:
    """How the rows of a selection are objects of JSON; `end` and `joint` as in JsonRows."""
    if stream.node.layout:
        return LaidRows(stream, end, joint)
    return JsonRows(stream, objects(stream.node), end, joint)


@dataclass(frozen=True, slots=True)
class Fixed:
    lead: bytes  # key and colon
    text: bytes  # the same in each row


@dataclass(frozen=True, slots=True)
class Group:
    lead: bytes
    members: tuple[Place, ...]


Place = Fixed | Group | Leaf | Many


class Bare(Json):
    """Not objects, but the values of the one column that there is."""

    def __init__(self, *, worded: bool) -> None:
        super().__init__()
        self._worded = worded

    def object(self, glue: Glue, members: Iterable[Member], block: Block, _: Sequence[pa.Array]) -> None:
        (leaf,) = members
        assert isinstance(leaf, Leaf)
        self.value(glue, block.columns[leaf.path], _kind(leaf.kind, self._worded))

    def spelled(self, members: Iterable[Member], row: Block, _: Sequence[Related]) -> Iterator[bytes]:
        (leaf,) = members
        assert isinstance(leaf, Leaf)
        yield from self.spelled_value(row.columns[leaf.path], _kind(leaf.kind, self._worded))


class LaidRows:
    """Where a member is in every row of a block its comma is written once; only those that may be missing bring their
    own, before themselves or, as long as nothing is sure to stand there, behind."""

    spreads: int | None = None
    least: int = 1

    def __init__(self, stream: Stream, end: bytes, joint: bytes) -> None:
        self._json = Json()
        self._kinds = stream.kinds
        self._lists = {child.path: index for index, child in enumerate(stream.children)}
        self._worded: dict[Path, bool] = {}
        self._members = tuple(map(self._placed, stream.node.layout))
        self._end, self._joint = end, joint
        self.frame = _frame(self._members) + len(end) + len(joint)

    def _placed(self, laid: Laid) -> Place:
        lead = _text(laid.key) + b":"
        if laid.text is not None:
            return Fixed(lead, _text(laid.text))
        if laid.members:
            return Group(lead, tuple(map(self._placed, laid.members)))
        if laid.many:
            *way, _ = laid.path
            self._worded[tuple(way)] = laid.worded
            return Many(lead, self._lists[tuple(way)])
        return Leaf(lead, laid.path, _kind(self._kinds[laid.path], laid.worded))

    def below(self, child: Stream) -> Shape:
        return JsonRows(child, Bare(worded=self._worded[child.path]))

    def whole(self, block: Block, lists: Sequence[pa.Array]) -> pa.Array:
        glue = Glue(block.rows, null=b"")
        self._object(glue, self._members, block, lists)
        glue.text(self._end + self._joint)
        return glue.joined()

    def _object(self, glue: Glue, members: Sequence[Place], block: Block, lists: Sequence[pa.Array]) -> None:
        first = next((number for number, one in enumerate(members) if _sure(one, block)), None)
        glue.text(b"{")
        if first is None:
            inside = Glue(block.rows, null=b"")
            for one in members:
                inside.column(self._maybe(one, b",", b"", block, lists))
            glue.column(pc.binary_replace_slice(inside.joined(), 0, 1, b""))
        else:
            for one in members[:first]:
                glue.column(self._maybe(one, b"", b",", block, lists))
            self._surely(glue, members[first], block, lists)
            for one in members[first + 1 :]:
                if _sure(one, block):
                    glue.text(b",")
                    self._surely(glue, one, block, lists)
                else:
                    glue.column(self._maybe(one, b",", b"", block, lists))
        glue.text(b"}")

    def _surely(self, glue: Glue, one: Place, block: Block, lists: Sequence[pa.Array]) -> None:
        """A member that every row has."""
        glue.text(one.lead)
        if isinstance(one, Fixed):
            glue.text(one.text)
        elif isinstance(one, Group):
            self._object(glue, one.members, block, lists)
        else:
            assert isinstance(one, Leaf)
            self._json.value(glue, block.columns[one.path], one.kind)

    def _maybe(
        self, one: Place, before: bytes, after: bytes, block: Block, lists: Sequence[pa.Array]
    ) -> pa.Array:
        """A member of each row between two commas, of which one is none; NULL where it is missing."""
        lead = before + one.lead
        if isinstance(one, Many):
            values = lists[one.index]
            there = pc.not_equal(values, scalar(b""))
            return pc.if_else(there, enclosed(lead + b"[", values, b"]" + after), scalar(None))
        assert isinstance(one, Leaf)
        mark = b"" if one.kind == "raw" else b'"'
        return enclosed(lead + mark, self._json.text(block.columns[one.path], one.kind), mark + after)

    def spelled(self, row: Block, lists: Sequence[Related], before: Held = NOTHING) -> Iterator[bytes]:
        yield from before.chunks()
        yield from self._spelled(self._members, row, lists)
        yield self._end

    def _spelled(self, members: Iterable[Place], row: Block, lists: Sequence[Related]) -> Iterator[bytes]:
        yield b"{"
        comma = b""
        for one in members:
            chunks = self._spelled_member(one, row, lists)
            begin = next((chunk for chunk in chunks if chunk), None)
            if begin is not None:
                yield comma + one.lead + begin
                yield from chunks
                comma = b","
        yield b"}"

    def _spelled_member(self, one: Place, row: Block, lists: Sequence[Related]) -> Iterator[bytes]:
        """The value of a member in chunks; nothing where it is missing."""
        if isinstance(one, Fixed):
            yield one.text
        elif isinstance(one, Group):
            yield from self._spelled(one.members, row, lists)
        elif isinstance(one, Leaf):
            if not row.columns[one.path].null_count:
                yield from self._json.spelled_value(row.columns[one.path], one.kind)
        else:
            mark = b"["
            for chunk in lists[one.index].drain():
                yield mark + chunk if chunk else b""
                mark = b"" if chunk else mark
            yield b"]" if not mark else b""


def _sure(one: Place, block: Block) -> bool:
    """Whether each row of the block has the member."""
    if isinstance(one, Leaf):
        return not block.columns[one.path].null_count
    return not isinstance(one, Many)


def _kind(kind: Kind, worded: bool) -> Kind:
    return "str" if worded and kind == "raw" else kind


def _text(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()


def _frame(members: Iterable[Place]) -> int:
    """Bytes that a row has at most beside its values and its child rows."""
    size = 3
    for one in members:
        size += len(one.lead) + 4
        if isinstance(one, Fixed):
            size += len(one.text)
        elif isinstance(one, Group):
            size += _frame(one.members)
    return size
