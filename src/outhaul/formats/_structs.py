"""Streams as typed structs: to-one rows within them, to-many rows as lists, in memory bounded by bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from outhaul.blocks import Block, Path, Stream
from outhaul.errors import NothingMatches, TooMuch, Unproven, UnreadableValue
from outhaul.formats._columns import borders
from outhaul.formats._grown import Grown
from outhaul.formats._typed import Misfit, type_of, typed
from outhaul.plan import Column, Node

MOST = 256 << 20  # bytes of text below one row: its lists are held at once, which no other format needs

Counts = np.ndarray[Any, np.dtype[np.int64]]


def struct_of(node: Node) -> pa.DataType:
    """The type of a node's rows, in the order of the plan."""
    own = [pa.field(column.key, type_of(column)) for column in node.columns]
    members = own + [pa.field(child.name, _below(child)) for child in node.children]
    if not members:
        raise NothingMatches(f"{node.resource} has no field, and a row of this format needs one.")
    return pa.struct(members)


def _below(child: Node) -> pa.DataType:
    return pa.list_(struct_of(child)) if child.many else struct_of(child)


@dataclass(frozen=True, slots=True)
class Rows:
    """Whole rows. `sizes`: bytes of each row's text, with all below; `related`: by dotted path, how many each has."""

    values: pa.StructArray
    sizes: Counts
    anchor: pa.Array | None
    related: Mapping[str, Counts]

    def slice(self, at: int, count: int) -> Rows:
        if count == len(self.sizes):
            return self
        here = slice(at, at + count)
        anchor = None if self.anchor is None else self.anchor.slice(at, count)
        related = {path: counts[here] for path, counts in self.related.items()}
        return Rows(self.values.slice(at, count), self.sizes[here], anchor, related)


class Gathered:
    """Rows that come in pieces, each of which is forgotten at once; a single one is kept as it is."""

    def __init__(self, kind: pa.DataType) -> None:
        self.bytes = 0
        self._only: pa.StructArray | None = None
        self._values = Grown(kind)
        self._sizes: list[Counts] = []
        self._related: dict[str, list[Counts]] = {}

    def add(self, some: Rows) -> None:
        if not self._sizes:
            self._only = some.values
        else:
            if self._only is not None:
                self._values.add(self._only)
                self._only = None
            self._values.add(some.values)
        self.bytes += int(some.sizes.sum())
        self._sizes.append(some.sizes)
        for path, counts in some.related.items():
            self._related.setdefault(path, []).append(counts)

    def rows(self) -> Rows:
        """All of them, without their anchors; nothing can be added any more."""
        related = {path: np.concatenate(counts) for path, counts in self._related.items()}
        values = self._values.array() if self._only is None else self._only
        return Rows(values, np.concatenate(self._sizes), None, related)


def rows(stream: Stream, at_once: int) -> Iterator[Rows]:
    """The rows of a stream with everything below them, in its order; about `at_once` bytes of lists at a time.

    Unproven if a child row finds no parent; UnreadableValue for a value that does not fit its type.
    """
    lists = [Lists(child, max(1, at_once // len(stream.children))) for child in stream.children]
    for block in stream.blocks:
        columns = dict(_typed(stream.node, (), block))
        sizes = _sizes(block)
        for one in lists:
            one.face(block.own)
        at = 0
        while at < block.rows:
            count = block.rows - at
            for one in lists:
                count = one.ready(at, count)
            taken = {one.path: one.take(at, count) for one in lists}
            yield Stretch(block, columns, taken, at, count).rows(stream.node, sizes)
            at += count
    for one in lists:
        one.finish()


def _sizes(block: Block) -> Counts:
    sizes = np.zeros(block.rows, np.int64)
    for column in block.columns.values():
        sizes += np.diff(borders(column))
    return sizes


def _typed(node: Node, at: Path, block: Block) -> Iterator[tuple[Path, pa.Array]]:
    for column in node.columns:
        path = (*at, column.key)
        try:
            yield path, typed(block.columns[path], type_of(column))
        except Misfit as misfit:
            raise _refusal(node, at, column, block, misfit.row) from None
    for child in node.one_children:
        yield from _typed(child, (*at, child.name), block)


def _refusal(node: Node, at: Path, column: Column, block: Block, row: int) -> UnreadableValue:
    """Names only what the asker would have seen in the file."""
    shown = {one.column: (*at, one.key) for one in node.columns}
    keys = [shown[one.column] for one in node.key if one.column in shown]
    of = "a row"
    if keys and len(keys) == len(node.key):
        of = f"the row with key {', '.join(_text(block.columns[path], row) for path in keys)}"
    table = ".".join(name for name in (node.schema, node.table) if name)
    value = _text(block.columns[(*at, column.key)], row)
    return UnreadableValue(
        f"{table}: {column.key} of {of} is {value!r}, which its type in the file, {type_of(column)}, cannot hold.",
        hint=f'Say `type = "text"` for {column.key} in the catalog file, leave it out, or take another format.',
    )


def _text(column: pa.Array, row: int) -> str:
    text = (column[row].as_py() or b"").decode(errors="replace")
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True, slots=True)
class Taken:
    """The lists of some parents: child rows with the borders between the parents'."""

    edges: Counts
    rows: Rows | None
    path: str
    below: tuple[str, ...]

    def values(self, kind: pa.DataType) -> pa.Array:
        values = self.rows.values if self.rows else pa.array([], kind.value_type)
        return pa.ListArray.from_arrays(pa.array(self.edges, pa.int32()), values, type=kind)

    def sizes(self) -> Counts:
        return self._totals(self.rows.sizes) if self.rows else np.zeros(len(self.edges) - 1, np.int64)

    def related(self) -> Iterator[tuple[str, Counts]]:
        yield self.path, np.diff(self.edges)
        for path in self.below:
            counts = self.rows.related[path] if self.rows else np.zeros(0, np.int64)
            yield f"{self.path}.{path}", self._totals(counts)

    def _totals(self, counts: Counts) -> Counts:
        return np.diff(np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))[self.edges])


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some rows of a block, with their lists; makes structs of them."""

    block: Block
    columns: Mapping[Path, pa.Array]  # typed, of the whole block
    lists: Mapping[Path, Taken]
    at: int
    count: int

    def rows(self, node: Node, sizes: Counts) -> Rows:
        heavy = sizes[self.at : self.at + self.count] + sum(one.sizes() for one in self.lists.values())
        related = {path: counts for one in self.lists.values() for path, counts in one.related()}
        anchor = None if self.block.anchor is None else self._cut(self.block.anchor)
        return Rows(self._struct(node, ()), heavy, anchor, related)

    def _struct(self, node: Node, path: Path) -> pa.StructArray:
        found = [self._cut(self.columns[(*path, column.key)]) for column in node.columns]
        for child in node.children:
            here = (*path, child.name)
            many = child.many
            found.append(self.lists[here].values(_below(child)) if many else self._struct(child, here))
        missing = pc.is_null(self._cut(self.block.columns[path])) if path else None
        return pa.StructArray.from_arrays(found, fields=list(struct_of(node)), mask=missing)

    def _cut(self, column: pa.Array) -> pa.Array:
        return column.slice(self.at, self.count)


class Lists:
    """The rows of one child stream, handed to those of its parent stream, block after block of them."""

    def __init__(self, stream: Stream, share: int) -> None:
        self.path = stream.path
        self._stream = stream
        self._name = ".".join(stream.path)
        self._below = tuple(_paths_below(stream))
        self._rows = rows(stream, share)
        self._share = share
        self._own: pa.Array | None = None
        self._held: deque[tuple[Rows, Counts]] = deque()  # with each row's parent's place, ascending
        self._giant: Gathered | None = None  # of the one parent that waits
        self._ended = False

    def face(self, own: pa.Array | None) -> None:
        """The parents that come now."""
        self._own = own
        self._held = deque((some, self._parents_of(some.anchor)) for some, _ in self._held)

    def ready(self, at: int, count: int) -> int:
        """How many of the next `count` parents have all their children here; fewer where those are many bytes."""
        while not self._ended:
            if self._held:
                last = int(self._held[-1][1][-1])
                if last >= at + count:
                    break
                if self._bytes() > self._share:
                    if last > at:
                        return last - at
                    self._put_into_giant(at)
            self._pull()
        return count

    def _bytes(self) -> int:
        held = sum(int(some.sizes.sum()) for some, _ in self._held)
        return held + (self._giant.bytes if self._giant else 0)

    def _put_into_giant(self, at: int) -> None:
        """All that is held is of one parent, and more is to come."""
        self._giant = self._giant or Gathered(struct_of(self._stream.node))
        while self._held:
            some, of = self._held.popleft()
            if of[0] != at:
                raise self._astray()
            self._giant.add(some)
        if self._giant.bytes > MOST:
            raise self._too_much(self._giant.bytes)

    def take(self, at: int, count: int) -> Taken:
        """The children of parents that are ready."""
        pieces, places = list[Rows](), list[Counts]()
        if self._giant:
            while self._held and self._held[0][1][0] == at:
                some, of = self._held.popleft()
                number = int(np.searchsorted(of, at + 1))
                self._giant.add(some.slice(0, number))
                if number < len(of):
                    self._held.appendleft((some.slice(number, len(of) - number), of[number:]))
            pieces.append(self._giant.rows())
            places.append(np.full(len(pieces[0].sizes), at))
            self._giant = None
        while self._held:
            some, of = self._held[0]
            if of[0] < at:
                raise self._astray()
            number = int(np.searchsorted(of, at + count))
            if number:
                pieces.append(some.slice(0, number))
                places.append(of[:number])
            if number < len(of):
                self._held[0] = (some.slice(number, len(of) - number), of[number:])
                break
            self._held.popleft()
        of = np.concatenate(places) if places else np.zeros(0, np.int64)
        edges = np.searchsorted(of, np.arange(at, at + count + 1))
        return Taken(edges, _joined(pieces), self._name, self._below)

    def finish(self) -> None:
        """No parent comes any more: nothing may be left."""
        if self._held or next(self._rows, None) is not None:
            raise self._astray()

    def _pull(self) -> None:
        some = next(self._rows, None)
        if some is None:
            self._ended = True
            return
        of = self._parents_of(some.anchor)
        before = self._held[-1][1][-1] if self._held else 0
        if of[0] < before or (np.diff(of) < 0).any():
            raise self._astray()
        self._held.append((some, of))

    def _parents_of(self, anchor: pa.Array | None) -> Counts:
        """Places in the parents at hand; one behind the last for a parent that is still to come."""
        assert self._own is not None
        to_come = len(self._own)
        found: Counts = pc.fill_null(pc.index_in(anchor, value_set=self._own), to_come).to_numpy()
        return found.astype(np.int64)

    def _too_much(self, held: int) -> TooMuch:
        return TooMuch(
            f"One row has more than {held:,} bytes of {self._name}, and a row of this format holds {MOST:,} at most.",
            hint="Take another format, or leave them out.",
            facts={"value": held, "limit": MOST},
        )

    def _astray(self) -> Unproven:
        return Unproven(
            f"A row of {self._name} came without the row it belongs to, or out of order.",
            hint="The file would be wrong, so that none was made.",
        )


def _joined(pieces: Sequence[Rows]) -> Rows | None:
    if len(pieces) < 2:
        return pieces[0] if pieces else None
    related = {path: np.concatenate([one.related[path] for one in pieces]) for path in pieces[0].related}
    values = pa.concat_arrays([one.values for one in pieces])
    return Rows(values, np.concatenate([one.sizes for one in pieces]), None, related)


def _paths_below(stream: Stream) -> Iterator[str]:
    for child in stream.children:
        path = ".".join(child.path)
        yield path
        yield from (f"{path}.{deeper}" for deeper in _paths_below(child))
