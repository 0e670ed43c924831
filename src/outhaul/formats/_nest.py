"""Parents meet their children: streams in matching order become texts of whole rows, in memory bounded by bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from outhaul.blocks import Block, Stream
from outhaul.errors import Unproven
from outhaul.formats._assemble import Shape
from outhaul.formats._columns import borders, size, window
from outhaul.formats._held import NOTHING, Held
from outhaul.tabular import LINES

LEAST = 1 << 20  # bytes that each child stream may hold, however many there are

Counts = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Whole:
    """Rows as one text each, or as lines. `related`: by dotted path, how many rows each of them has there.

    `rows`: of lines, which one begins a row (1) and which goes on with it (0); None: each text is a row. `related` of
    a row then stands where it begins.
    """

    text: pa.Array
    anchor: pa.Array | None
    related: Mapping[str, Counts]
    rows: Counts | None = None


@dataclass(frozen=True, slots=True)
class Giant:
    """One row in chunks, which must be read to their end before the next event; then `related` is complete. A row that
    is several lines has the text that is given before each of them."""

    chunks: Callable[[Held], Iterator[bytes]]
    anchor: pa.Array | None
    related: dict[str, int]


def events(stream: Stream, shape: Shape, at_once: int) -> Iterator[Whole | Giant]:
    """The rows of a stream with everything below them, in its order, up to `at_once` bytes of values together.

    Unproven if a child row finds no parent.
    """
    share = max(LEAST, at_once // max(1, len(tuple(_paths_below(stream)))))
    feeds = [Feed(child, shape.below(child), share) for child in stream.children]
    for block in stream.blocks:
        for feed in feeds:
            feed.face(block.own)
        at, sizes = 0, Sizes(block, shape.frame, at_once)
        while at < block.rows:
            count = sizes.fitting(at)
            for feed in feeds:
                count = feed.ready(at, count) if count else 0
            if count and shape.spreads is not None:
                count = sizes.repeated(at, [feed.weights(at, count) for feed in feeds], shape.spreads)
            if count:
                yield _whole(_slice(block, at, count), shape, [feed.take(at, count) for feed in feeds])
            else:
                yield _giant(_slice(block, at, 1), shape, [Drain(feed, at) for feed in feeds])
            at += max(1, count)
    for feed in feeds:
        feed.finish()


def _paths_below(stream: Stream) -> Iterator[str]:
    for child in stream.children:
        path = ".".join(child.path)
        yield path
        yield from (f"{path}.{deeper}" for deeper in _paths_below(child))


def _whole(block: Block, shape: Shape, taken: Sequence[tuple[pa.ListArray, dict[str, Counts]]]) -> Whole:
    related = {path: counts for _, found in taken for path, counts in found.items()}
    lists = [
        below if number == shape.spreads else pc.binary_join(below, b",")
        for number, (below, _) in enumerate(taken)
    ]
    text = shape.whole(block, lists)
    if shape.spreads is None:
        return Whole(text, block.anchor, related)
    lines = np.maximum(np.diff(lists[shape.spreads].offsets.to_numpy()), shape.least)
    if block.anchor is None:
        return Whole(_grouped(text, lines), None, related | {LINES: lines})
    anchor = block.anchor.take(pa.array(np.repeat(np.arange(len(lines)), lines)))
    there = lines > 0
    begins = (np.cumsum(lines) - lines)[there]
    spread = {path: _placed(counts[there], begins, len(text)) for path, counts in related.items()}
    return Whole(text, anchor, spread, _placed(np.ones(len(begins), np.int64), begins, len(text)))


def _grouped(text: pa.Array, lines: Counts) -> pa.Array:
    """So many neighbouring texts each time as one; a view."""
    edges = borders(text)[np.concatenate(([0], np.cumsum(lines)))]
    return pa.Array.from_buffers(pa.binary(), len(lines), [None, pa.py_buffer(edges), text.buffers()[2]])


def _placed(counts: Counts, begins: Counts, length: int) -> Counts:
    placed = np.zeros(length, np.int64)
    placed[begins] = counts
    return placed


def _giant(row: Block, shape: Shape, drains: Sequence[Drain]) -> Giant:
    related: dict[str, int] = {}

    def chunks(before: Held) -> Iterator[bytes]:
        yield from shape.spelled(row, drains, before)
        for drain in drains:
            related.update(drain.related)
        if shape.spreads is not None:
            related[LINES] = max(shape.least, drains[shape.spreads].lines)

    return Giant(chunks, row.anchor, related)


def _slice(block: Block, at: int, count: int) -> Block:
    if count == block.rows:
        return block

    def cut(column: pa.Array | None) -> pa.Array | None:
        return None if column is None else column.slice(at, count)

    columns = {path: column.slice(at, count) for path, column in block.columns.items()}
    return Block(count, columns, cut(block.anchor), cut(block.own))


class Sizes:
    """How many rows of a block may be glued at a time."""

    def __init__(self, block: Block, frame: int, at_once: int) -> None:
        self._block, self._frame, self._at_once = block, frame, at_once
        self._rows = block.rows
        self._ends: Counts | None = None
        total = sum(size(column) for column in block.columns.values()) + block.rows * frame
        if total > at_once:
            self._ends = np.cumsum(self._sizes)

    @cached_property
    def _sizes(self) -> Counts:
        sizes = np.full(self._rows, self._frame, np.int64)
        for column in self._block.columns.values():
            sizes += np.diff(borders(column))
        return sizes

    def fitting(self, at: int) -> int:
        """Rows from `at` on that are small enough together; 0 when already the first is not."""
        if self._ends is None:
            return self._rows - at
        before = int(self._ends[at - 1]) if at else 0
        return int(np.searchsorted(self._ends, before + self._at_once, "right")) - at

    def repeated(self, at: int, below: Sequence[tuple[Counts, Counts]], spreads: int) -> int:
        """The same where each row stands once for each of its lines. `below`: by child stream, how many texts each row
        from `at` on has there, and their bytes."""
        lines, inside = below[spreads]
        own = self._sizes[at : at + len(lines)] + sum(sizes for _, sizes in below) - inside
        ends = np.cumsum(own * np.maximum(lines, 1) + inside)
        return int(np.searchsorted(ends, self._at_once, "right"))


class Feed:
    """The finished rows of one child stream, handed to the rows of its parent stream, block after block of them."""

    def __init__(self, stream: Stream, shape: Shape, share: int) -> None:
        self._path = ".".join(stream.path)
        self._below = tuple(_paths_below(stream))
        self.paths = (self._path, *(f"{self._path}.{path}" for path in self._below))
        self._events = events(stream, shape, share)
        self._share = share
        self._own: pa.Array | None = None
        self._held: Whole | None = None
        self._of: Counts = np.zeros(0, np.int64)  # for each held row the place of its parent, ascending
        self._giant: Giant | None = None
        self._ended = False

    def face(self, own: pa.Array | None) -> None:
        """The parents that come now."""
        self._own = own
        if self._held is not None:
            self._of = self._parents_of(self._held.anchor)

    def ready(self, at: int, count: int) -> int:
        """How many of the next parents, up to `count`, have all their children here, and few enough bytes of them; more
        are not waited for where much is held already, since each time all of it would be copied."""
        while True:
            if self._held is not None:
                held = size(self._held.text)
                enough = held > self._share or (held > LEAST and self._of[-1] > at)
                if enough or self._of[-1] >= at + count:
                    return self._until(self._first_too_many(), at, count)
            if self._giant is not None:
                return self._until(self._giant_parent(), at, count)
            if self._ended:
                return count
            self._pull()

    def weights(self, at: int, count: int) -> tuple[Counts, Counts]:
        """For each of the parents, which are ready: how many texts its children have, and of how many bytes."""
        places = np.searchsorted(self._of, np.arange(at, at + count + 1))
        edges = borders(self._held.text)[places] if self._held is not None else places
        return np.diff(places), np.diff(edges).astype(np.int64)

    def take(self, at: int, count: int) -> tuple[pa.ListArray, dict[str, Counts]]:
        """For each of the parents, which are ready: the texts of its children, and their numbers by path."""
        places = np.searchsorted(self._of, np.arange(at, at + count + 1))
        if places[0]:
            raise self._astray()
        held = self._held
        text = held.text if held is not None else pa.array([], pa.binary())
        lists = pa.ListArray.from_arrays(pa.array(places, pa.int32()), text)
        counts = {self._path: np.diff(places)}
        if held is not None and held.rows is not None:
            counts[self._path] = _between(held.rows, places)
        for path in self._below:
            numbers = held.related[path] if held is not None else places[:0]
            counts[f"{self._path}.{path}"] = _between(numbers, places)
        self._drop(int(places[-1]))
        return lists, counts

    def drain(self, at: int, to: Drain, before: Held | None) -> Iterator[bytes]:
        """The children of the one parent at `at`, however many: with commas between them, or each line with `before`.
        Counts them."""
        between = b""
        while True:
            chunks = self._next_of(at, to, before)
            if chunks is None:
                return
            yield between
            yield from chunks
            between = b"," if before is None else b""

    def finish(self) -> None:
        """All parents have been: nothing may be left."""
        self._own = None
        if self._held is None and self._giant is None:
            self._pull()
        if self._held is not None or self._giant is not None:
            raise self._astray()

    def _next_of(self, at: int, to: Drain, before: Held | None) -> Iterator[bytes] | None:
        while self._held is None and self._giant is None and not self._ended:
            self._pull()
        if self._held is not None:
            if self._of[0] < at:
                raise self._astray()
            count = int(np.searchsorted(self._of, at, "right"))
            fitting = (
                self._fitting() if before is None else min(self._fitting(), self._share // (before.size + 1))
            )
            return self._join(min(count, max(1, fitting)), to, before) if count else None
        if self._giant is not None and self._giant_parent() == at:
            return self._through(self._giant, to, before)
        return None

    def _join(self, count: int, to: Drain, before: Held | None) -> Iterator[bytes]:
        """The next texts; with `before` there are several only where it is short."""
        held = self._held
        assert held is not None
        rows = count if held.rows is None else int(held.rows[:count].sum())
        to.add(rows, {path: int(n[:count].sum()) for path, n in held.related.items()}, lines=count)
        lists = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), held.text)
        self._drop(count)
        if before is not None:
            yield from before.chunks()
        between = b"," if before is None else b"".join(before.chunks()) if count > 1 else b""
        yield window(pc.binary_join(lists, between)).tobytes()

    def _through(self, giant: Giant, to: Drain, before: Held | None) -> Iterator[bytes]:
        yield from giant.chunks(before or NOTHING)
        self._giant = None
        related = dict(giant.related)
        to.add(1, related, lines=related.pop(LINES, 1))

    def _pull(self) -> None:
        event = next((one for one in self._events if isinstance(one, Giant) or len(one.text)), None)
        if event is None:
            self._ended = True
        elif isinstance(event, Giant):
            self._giant = event
        else:
            found = self._parents_of(event.anchor)
            if self._held is not None:
                event, found = _both(self._held, event), np.concatenate((self._of, found))
            self._held, self._of = event, found
            self._check_order()

    def _parents_of(self, anchor: pa.Array | None) -> Counts:
        """Places in the parents at hand; one behind the last for a parent that is still to come."""
        if self._own is None or anchor is None:
            return np.zeros(0, np.int64)
        to_come = len(self._own)
        places = np.full(len(anchor), to_come, np.int64)
        step = 4 * to_come + 1024  # what belongs to later blocks is not looked up again for each of them
        for start in range(0, len(anchor), step):
            found = pc.fill_null(pc.index_in(anchor.slice(start, step), value_set=self._own), to_come)
            places[start : start + step] = found.to_numpy(zero_copy_only=False)
            if places[min(start + step, len(anchor)) - 1] == to_come:
                break
        return places

    def _giant_parent(self) -> int:
        assert self._giant is not None
        return int(self._parents_of(self._giant.anchor)[0])

    def _fitting(self) -> int:
        """Held rows that fit into the share of bytes."""
        assert self._held is not None
        edges = borders(self._held.text)
        return int(np.searchsorted(edges, int(edges[0]) + self._share, "right")) - 1

    def _first_too_many(self) -> int:
        """The first parent that is not complete in what is held, or whose children pass the share of bytes."""
        return int(self._of[min(self._fitting(), len(self._of) - 1)])

    def _until(self, parent: int, at: int, count: int) -> int:
        if parent < at:
            raise self._astray()
        return min(count, parent - at)

    def _drop(self, count: int) -> None:
        if self._held is None or count == len(self._of):
            self._held, self._of = None, np.zeros(0, np.int64)
        elif count:
            held, related = self._held, self._held.related
            anchor = None if held.anchor is None else held.anchor.slice(count)
            rows = None if held.rows is None else held.rows[count:]
            below = {path: n[count:] for path, n in related.items()}
            self._held = Whole(held.text.slice(count), anchor, below, rows)
            self._of = self._of[count:]

    def _check_order(self) -> None:
        if len(self._of) and (np.diff(self._of) < 0).any():
            raise self._astray()

    def _astray(self) -> Unproven:
        return Unproven(
            f"A row of {self._path} came without the row it belongs to, or out of order.",
            hint="The file would be wrong, so that none was made.",
        )


class Drain:
    """The children of one parent, read piece by piece; how many there are by path, and in how many lines, so far."""

    def __init__(self, feed: Feed, at: int) -> None:
        self._feed, self._at = feed, at
        self.related = Counter(dict.fromkeys(feed.paths, 0))
        self.lines = 0

    def drain(self, before: Held | None = None) -> Iterator[bytes]:
        return self._feed.drain(self._at, self, before)

    def add(self, rows: int, below: Mapping[str, int], lines: int) -> None:
        path = self._feed.paths[0]
        self.related.update({path: rows, **{f"{path}.{deeper}": number for deeper, number in below.items()}})
        self.lines += lines


def _between(numbers: Counts, places: Counts) -> Counts:
    """Sums of the numbers from each place to the next."""
    return np.diff(np.concatenate(([0], np.cumsum(numbers)))[places])


def _both(first: Whole, second: Whole) -> Whole:
    related = {path: np.concatenate((n, second.related[path])) for path, n in first.related.items()}
    text = pa.concat_arrays([first.text, second.text])
    rows = None
    if first.rows is not None and second.rows is not None:
        rows = np.concatenate((first.rows, second.rows))
    return Whole(text, pa.concat_arrays([first.anchor, second.anchor]), related, rows)
