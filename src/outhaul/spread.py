"""A session that reads only some ranges, from all over whatever it is asked for, and no longer than it may."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from outhaul.blocks import Block, Range, Stream
from outhaul.plan import Node, places

FEW = 2_000  # rows that are all read
PIECE = 1 << 20  # bytes of text that are read at one place
PLACES = 200  # at most
MEASURED = 1_000  # rows by which the width of one is asked for
FEWEST, MOST = 20, 20_000  # rows of a piece that is cut by keys
BITS = 16


@dataclass(frozen=True, slots=True)
class Place:
    """A range, and which share of all rows is in it, None when that cannot be told."""

    extent: Range
    share: float | None


class Spread:
    """`matched`: rows of the selection, if they are known. Of everything that is read after the first time, the same
    ranges are. `size`: estimated bytes of the text of all; `took`: seconds that the reading, and what was done with it
    meanwhile, have taken."""

    def __init__(self, session: Any, root: Node, matched: int | None, seconds: float) -> None:
        self._session, self._root, self._matched, self._seconds = session, root, matched, seconds
        self.size = int(session.size(root))
        alone = replace(root, children=())
        width = max(1.0, session.size(alone, {"": MEASURED}) / MEASURED)
        self._guess: float = session.size(alone) / width
        self._weight = max(width, self.size / max(1.0, self._guess))  # of a row with whatever is below it
        self._read: list[Place] | None = None
        self._rows = 0
        self._ends = math.inf
        self._cut = False
        self.took = 0.0

    def read(self, node: Node, _extent: Range, style: str) -> Iterator[Stream]:
        """As a session's. The first time it ends with the range in which the time is over."""
        if self._read is not None:
            for place in self._read:
                yield from self._timed(self._session.read(node, place.extent, style))
            return
        self._read = []
        self._ends = time.monotonic() + self._seconds
        for place in self._places():
            self._read.append(place)
            for stream in self._timed(self._session.read(node, place.extent, style)):
                yield replace(stream, blocks=self._some(stream.blocks, alike=not _many(node)))
            if time.monotonic() > self._ends:
                return

    def all_rows(self) -> float:
        """How many rows there are in all, as far as what was read tells; else by statistics."""
        shares = [one.share for one in self._read or ()]
        known = [share for share in shares if share is not None]
        if not self._cut and known and len(known) == len(shares):
            return self._rows / min(1.0, sum(known))
        return self._guess

    def _some(self, blocks: Iterator[Block], *, alike: bool) -> Iterator[Block]:
        """`alike`: no rows of others belong to these, so that the rest of them can be left out."""
        for block in blocks:
            self._rows += block.rows
            yield block
            if alike and time.monotonic() > self._ends:
                self._cut = True
                return

    def _timed(self, streams: Iterator[Stream]) -> Iterator[Stream]:
        begun = time.monotonic()
        yield from streams
        self.took += time.monotonic() - begun

    def _places(self) -> Iterator[Place]:
        """The beginning, the middle, the quarters, and so on."""
        if self._matched is not None and self._matched <= FEW:
            yield Place(Range(), 1.0)
            return
        wanted = max(PIECE, math.ceil(self.size / PLACES))
        ranges: Sequence[Range] = self._session.split(self._root, wanted)
        narrow = _narrowed(ranges, PIECE * len(ranges) / max(1, self.size))
        for number in sorted(range(len(ranges)), key=_turned):
            extent = ranges[number]
            if extent.by == "ctid":
                yield narrow(extent)
            elif extent.by == "key" or _many(self._root):
                yield self._stretch(extent)
            else:
                yield Place(extent, 1.0 / len(ranges))

    def _stretch(self, extent: Range) -> Place:
        """The rows that come first in a range of keys."""
        rows = max(FEWEST, min(MOST, int(2 * PIECE / self._weight)))
        found: Range = self._session.head(self._root, rows, extent.low)
        everything = extent.low is None and found.high is None
        return Place(found, 1.0 if everything else None)


def _turned(number: int) -> int:
    """The bits of a number in reverse: ever finer steps."""
    return int(f"{number:0{BITS}b}"[::-1], 2)


def _narrowed(ranges: Sequence[Range], part: float) -> Callable[[Range], Place]:
    """Cuts ranges of blocks down to a part of what the longest holds."""
    blocks = [one for one in ranges if one.by == "ctid"]  # keys may be texts
    lengths = [int(one.high[0] or 0) - int(one.low[0] or 0) for one in blocks if one.low and one.high]
    longest = max(lengths, default=0)
    step = max(1, math.ceil(longest * part))

    def narrow(extent: Range) -> Place:
        low, high = extent.low, extent.high
        if step >= longest or not (low or high):
            return Place(extent, 1.0 / len(ranges))
        share = step / longest / len(ranges)
        if low:
            return Place(replace(extent, high=(str(int(low[0] or 0) + step),)), share)
        assert high
        return Place(replace(extent, low=(str(int(high[0] or 0) - step),)), share)

    return narrow


def _many(node: Node) -> bool:
    return any(one.many for path, one in places(node) if path)
