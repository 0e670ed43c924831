"""The count of rows before an answer: one at a time, and first a quick one, for which other creations wait."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from outhaul import plan
from outhaul.plan import Plan

QUICK = 0.05  # seconds; while a count takes longer, other creations go on
SLOW, AWHILE = 0.25, 60.0  # seconds of such a count, and until the next is tried
SOON = 0.01  # seconds in which no count need begin; sources take 0 for no limit


class Counting:
    """Counts of one source, for limits and a first display, of at most `longest` seconds each. Safe to use from several
    threads. An answer has fewer rows than there are selections when the time was not enough."""

    def __init__(self, source: Any, url: str, longest: float) -> None:
        self._longest = longest
        self._source, self._url = source, url
        self._asking = threading.Lock()
        self._slow_until = 0.0

    def quick(self, made: Plan) -> tuple[int, ...]:
        """What can be told at once; nothing for a while after a source that cannot be asked so fast."""
        began = time.monotonic()
        if began < self._slow_until:
            return ()
        try:
            return self.rows(made, QUICK)
        finally:
            ended = time.monotonic()
            if ended - began > SLOW:  # a connection has no limit so short
                self._slow_until = ended + AWHILE

    def rows(self, made: Plan, limit: float = math.inf) -> tuple[int, ...]:
        """Rows of the selections, in `limit` seconds if that is less. One count at a time asks the source, by one
        connection; to wait for one's turn takes of the time."""
        limit = min(limit, self._longest)
        deadline = time.monotonic() + limit
        if limit <= SOON or not self._asking.acquire(timeout=limit):
            return ()
        try:
            return tuple(self._counted(plan.at(made, datetime.now(UTC)), deadline))
        finally:
            self._asking.release()

    def _counted(self, known: Plan, deadline: float) -> Iterator[int]:
        for node in known.selections:
            left = deadline - time.monotonic()
            rows: int | None = self._source.count(self._url, node, left) if left > SOON else None
            if rows is None:
                return
            yield rows
