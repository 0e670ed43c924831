"""Parents meet their children: streams in matching order become texts of whole rows, in memory bounded by bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from outhaul.blocks import Block, Stream
from outhaul.errors import Unproven
from outhaul.formats._assemble import Json, JsonRows, Shape
from outhaul.formats._columns import borders, size, window

LEAST = 1 << 20  # bytes that each child stream may hold, however many there are

Counts = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Whole:
    """Rows as one text each. `related`: by dotted path, how many rows each of them has there."""

    text: pa.Array
    anchor: pa.Array | None
    related: Mapping[str, Counts]


@dataclass(frozen=True, slots=True)
class Giant:
    """One row in chunks, which must be read to their end before the next event; then `related` is complete."""

    chunks: Iterator[bytes]
    anchor: pa.Array | None
    related: dict[str, int]


def events(stream: Stream, shape: Shape, at_once: int) -> Iterator[Whole | Giant]:
    """The rows of a stream with everything below them, in its order, up to `at_once` bytes of values together.

    Unproven if a child row finds no parent.
    """
    share = max(LEAST, at_once // max(1, len(tuple(_paths_below(stream)))))
    feeds = [Feed(child, shape.json, share) for child in stream.children]
    for block in stream.blocks:
        for feed in feeds:
            feed.face(block.own)
        at, sizes = 0, Sizes(block, shape.frame, at_once)
        while at < block.rows:
            count = sizes.fitting(at)
            for feed in feeds:
                count = feed.ready(at, count) if count else 0
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


def _whole(block: Block, shape: Shape, taken: Sequence[tuple[pa.Array, dict[str, Counts]]]) -> Whole:
    related = {path: counts for _, found in taken for path, counts in found.items()}
    return Whole(shape.whole(block, [text for text, _ in taken]), block.anchor, related)


def _giant(row: Block, shape: Shape, drains: Sequence[Drain]) -> Giant:
    related: dict[str, int] = {}

    def chunks() -> Iterator[bytes]:
        yield from shape.spelled(row, drains)
        for drain in drains:
            related.update(drain.related)

    return Giant(chunks(), row.anchor, related)


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
        self._rows, self._at_once = block.rows, at_once
        self._ends: Counts | None = None
        total = sum(size(column) for column in block.columns.values()) + block.rows * frame
        if total > at_once:
            sizes = np.full(block.rows, frame, np.int64)
            for column in block.columns.values():
                sizes += np.diff(borders(column))
            self._ends = np.cumsum(sizes)

    def fitting(self, at: int) -> int:
        """Rows from `at` on that are small enough together; 0 when already the first is not."""
        if self._ends is None:
            return self._rows - at
        before = int(self._ends[at - 1]) if at else 0
        return int(np.searchsorted(self._ends, before + self._at_once, "right")) - at


class Feed:
    """The finished rows of one child stream, handed to the rows of its parent stream, block after block of them."""

    def __init__(self, stream: Stream, json: Json, share: int) -> None:
        self._path = ".".join(stream.path)
        self._below = tuple(_paths_below(stream))
        self.paths = (self._path, *(f"{self._path}.{path}" for path in self._below))
        self._events = events(stream, JsonRows(stream, json), share)
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
        """How many of the next `count` parents have all their children here, and few enough bytes of them."""
        while True:
            if self._held is not None:
                too_many = size(self._held.text) > self._share
                if too_many or self._of[-1] >= at + count:
                    return self._until(self._first_too_many(), at, count)
            if self._giant is not None:
                return self._until(self._giant_parent(), at, count)
            if self._ended:
                return count
            self._pull()

    def take(self, at: int, count: int) -> tuple[pa.Array, dict[str, Counts]]:
        """For each of the parents, which are ready: the joined texts of its children, and their numbers by path."""
        places = np.searchsorted(self._of, np.arange(at, at + count + 1))
        if places[0]:
            raise self._astray()
        held = self._held
        text = held.text if held is not None else pa.array([], pa.binary())
        lists = pa.ListArray.from_arrays(pa.array(places, pa.int32()), text)
        counts = {self._path: np.diff(places)}
        for path in self._below:
            totals = np.cumsum(held.related[path]) if held is not None else places[:0]
            counts[f"{self._path}.{path}"] = np.diff(np.concatenate(([0], totals))[places])
        self._drop(int(places[-1]))
        return pc.binary_join(lists, b","), counts

    def drain(self, at: int, related: dict[str, int]) -> Iterator[bytes]:
        """The children of the one parent at `at`, with commas between them, however many; counts them."""
        between = b""
        while True:
            chunks = self._next_of(at, related)
            if chunks is None:
                return
            yield between
            yield from chunks
            between = b","

    def finish(self) -> None:
        """All parents have been: nothing may be left."""
        self._own = None
        if self._held is None and self._giant is None:
            self._pull()
        if self._held is not None or self._giant is not None:
            raise self._astray()

    def _next_of(self, at: int, related: dict[str, int]) -> Iterator[bytes] | None:
        while self._held is None and self._giant is None and not self._ended:
            self._pull()
        if self._held is not None:
            if self._of[0] < at:
                raise self._astray()
            count = int(np.searchsorted(self._of, at, "right"))
            return self._join(min(count, max(1, self._fitting())), related) if count else None
        if self._giant is not None and self._giant_parent() == at:
            return self._through(self._giant, related)
        return None

    def _join(self, count: int, related: dict[str, int]) -> Iterator[bytes]:
        assert self._held is not None
        lists = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), self._held.text)
        _add(
            related, self._path, {path: int(n[:count].sum()) for path, n in self._held.related.items()}, count
        )
        self._drop(count)
        yield window(pc.binary_join(lists, b",")).tobytes()

    def _through(self, giant: Giant, related: dict[str, int]) -> Iterator[bytes]:
        yield from giant.chunks
        self._giant = None
        _add(related, self._path, giant.related, 1)

    def _pull(self) -> None:
        event = next(self._events, None)
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
            self._held = Whole(
                held.text.slice(count), anchor, {path: n[count:] for path, n in related.items()}
            )
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
    """The children of one parent, read piece by piece."""

    def __init__(self, feed: Feed, at: int) -> None:
        self._feed, self._at = feed, at
        self.related = dict.fromkeys(feed.paths, 0)

    def drain(self) -> Iterator[bytes]:
        return self._feed.drain(self._at, self.related)


def _both(first: Whole, second: Whole) -> Whole:
    related = {path: np.concatenate((n, second.related[path])) for path, n in first.related.items()}
    text = pa.concat_arrays([first.text, second.text])
    return Whole(text, pa.concat_arrays([first.anchor, second.anchor]), related)


def _add(related: dict[str, int], path: str, below: Mapping[str, int], rows: int) -> None:
    related[path] = related.get(path, 0) + rows
    for deeper, number in below.items():
        related[f"{path}.{deeper}"] = related.get(f"{path}.{deeper}", 0) + number
