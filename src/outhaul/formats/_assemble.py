"""Rows glued together as JSON text: whole blocks at a time, or, for a row too large for that, in chunks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from outhaul.blocks import Block, Kind, Path, Stream
from outhaul.formats._columns import (
    CSV_QUOTE,
    JSON_IN_CSV,
    JSON_STRING,
    chopped,
    enclosed,
    moment,
    raw,
    rewritten,
    scalar,
    window,
)
from outhaul.formats._held import NOTHING, Held
from outhaul.plan import Node


class Related(Protocol):
    """The child rows of one row: texts with commas between them, or lines, each with the given text before it."""

    def drain(self, before: Held | None = None) -> Iterator[bytes]: ...


class Shape(Protocol):
    """How the rows of one stream become text."""

    frame: int  # bytes that every row has at most beside its values and its child rows
    spreads: (
        int | None
    )  # the child stream whose rows are lines of their own, each with its parent's text before it
    least: int  # lines of a row without any there

    def below(self, child: Stream) -> Shape:
        """How the rows of a child stream become text."""
        ...

    def whole(self, block: Block, lists: Sequence[pa.Array]) -> pa.Array:
        """One text a row, or a line. `lists`: for each child stream the joined child rows of each row, or for the one
        that spreads a list array of its lines."""
        ...

    def spelled(self, row: Block, lists: Sequence[Related], before: Held = NOTHING) -> Iterator[bytes]:
        """The text of a block of one row, in chunks."""
        ...


@dataclass(frozen=True, slots=True)
class Leaf:
    lead: bytes  # what stands before the value: comma, key, colon
    path: Path
    kind: Kind


@dataclass(frozen=True, slots=True)
class One:
    lead: bytes
    path: Path
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Many:
    lead: bytes
    index: int  # of the child stream


Member = Leaf | One | Many


class Glue:
    """Arguments of one join, in which neighbouring literals are one."""

    def __init__(self, rows: int, null: bytes) -> None:
        self._rows, self._null = rows, null
        self._parts: list[pa.Array | pa.Scalar] = []
        self._literal = b""

    def text(self, literal: bytes) -> None:
        self._literal += literal

    def column(self, column: pa.Array) -> None:
        self._flush()
        self._parts.append(column)

    def joined(self) -> pa.Array:
        self._flush()
        if all(isinstance(part, pa.Scalar) for part in self._parts):
            literal = b"".join(part.as_py() for part in self._parts)
            return pa.repeat(scalar(literal), self._rows)
        return pc.binary_join_element_wise(
            *self._parts, scalar(b""), null_handling="replace", null_replacement=self._null
        )

    def _flush(self) -> None:
        if self._literal:
            self._parts.append(scalar(self._literal))
            self._literal = b""


class Json:
    """Objects as JSON text. Inside a quoted CSV cell every double quote is written twice, from the start."""

    def __init__(self, *, in_csv: bool = False) -> None:
        self._mark = b'""' if in_csv else b'"'
        self._string = JSON_IN_CSV if in_csv else JSON_STRING
        self._in_csv = in_csv

    def members(self, stream: Stream, kinds: Mapping[Path, Kind]) -> tuple[Member, ...]:
        """What one row of the stream consists of, in the order of the plan."""
        lists = {child.path: index for index, child in enumerate(stream.children)}
        return self._members(stream.node, (), kinds, lists)

    def object(self, glue: Glue, members: Iterable[Member], block: Block, lists: Sequence[pa.Array]) -> None:
        glue.text(b"{")
        for member in members:
            glue.text(member.lead)
            if isinstance(member, Leaf):
                self.value(glue, block.columns[member.path], member.kind)
            elif isinstance(member, Many):
                glue.text(b"[")
                glue.column(lists[member.index])
                glue.text(b"]")
            elif block.columns[member.path].null_count:
                glue.column(self.one(member, block, lists))
            else:
                self.object(glue, member.members, block, lists)
        glue.text(b"}")

    def one(self, one: One, block: Block, lists: Sequence[pa.Array]) -> pa.Array:
        """A to-one child of each row, NULL where there is none."""
        glue = Glue(block.rows, b"null")
        self.object(glue, one.members, block, lists)
        return pc.if_else(pc.is_valid(block.columns[one.path]), glue.joined(), scalar(None))

    def spelled_one(self, one: One, row: Block, lists: Sequence[Related]) -> Iterator[bytes]:
        """The same of a block of one row, in chunks; nothing where there is none."""
        if not row.columns[one.path].null_count:
            yield from self.spelled(one.members, row, lists)

    def spelled(self, members: Iterable[Member], row: Block, lists: Sequence[Related]) -> Iterator[bytes]:
        """The object of a block of one row, in chunks."""
        yield b"{"
        for member in members:
            yield member.lead
            if isinstance(member, Leaf):
                yield from self.spelled_value(row.columns[member.path], member.kind)
            elif isinstance(member, Many):
                yield b"["
                yield from lists[member.index].drain()
                yield b"]"
            elif row.columns[member.path].null_count:
                yield b"null"
            else:
                yield from self.spelled(member.members, row, lists)
        yield b"}"

    def _members(
        self, node: Node, at: Path, kinds: Mapping[Path, Kind], lists: Mapping[Path, int]
    ) -> tuple[Member, ...]:
        found: list[Member] = []

        def lead(key: str) -> bytes:
            text = json.dumps(key, ensure_ascii=False).encode().replace(b'"', self._mark)
            return b",%s:" % text if found else b"%s:" % text

        for column in node.columns:
            path = (*at, column.key)
            found.append(Leaf(lead(column.key), path, kinds[path]))
        for child in node.children:
            path = (*at, child.name)
            if child.many:
                found.append(Many(lead(child.name), lists[path]))
            else:
                found.append(One(lead(child.name), path, self._members(child, path, kinds, lists)))
        return tuple(found)

    def value(self, glue: Glue, column: pa.Array, kind: Kind) -> None:
        if column.null_count == len(column):
            glue.text(b"null")
        elif kind == "raw":
            glue.column(self.text(column, kind))
        elif column.null_count:
            glue.column(enclosed(self._mark, self.text(column, kind)))
        else:
            glue.text(self._mark)
            glue.column(self.text(column, kind))
            glue.text(self._mark)

    def spelled_value(self, column: pa.Array, kind: Kind) -> Iterator[bytes]:
        if column.null_count:
            yield b"null"
            return
        mark = b"" if kind == "raw" else self._mark
        yield mark
        yield from (window(self.text(chunk, kind)).tobytes() for chunk in chopped(column))
        yield mark

    def text(self, column: pa.Array, kind: Kind) -> pa.Array:
        if kind == "str":
            return rewritten(column, self._string)
        if kind == "time":
            return moment(column)
        return rewritten(raw(column), CSV_QUOTE) if self._in_csv else raw(column)


class JsonRows:
    """Rows as JSON objects. `end` belongs to every row; `joint` is appended to whole rows, for the writer to trim."""

    spreads: int | None = None
    least: int = 1

    def __init__(self, stream: Stream, json: Json, end: bytes = b"", joint: bytes = b"") -> None:
        self.json = json
        self._members = json.members(stream, stream.kinds)
        self._end, self._joint = end, joint
        self.frame = frame(self._members) + len(end) + len(joint)

    def below(self, child: Stream) -> Shape:
        return JsonRows(child, self.json)

    def whole(self, block: Block, lists: Sequence[pa.Array]) -> pa.Array:
        glue = Glue(block.rows, b"null")
        self.json.object(glue, self._members, block, lists)
        glue.text(self._end + self._joint)
        return glue.joined()

    def spelled(self, row: Block, lists: Sequence[Related], before: Held = NOTHING) -> Iterator[bytes]:
        yield from before.chunks()
        yield from self.json.spelled(self._members, row, lists)
        yield self._end


def frame(members: Iterable[Member]) -> int:
    """Bytes that a row has at most beside its values and its child rows."""
    size = 3
    for member in members:
        size += len(member.lead) + 4
        if isinstance(member, One):
            size += frame(member.members)
    return size
