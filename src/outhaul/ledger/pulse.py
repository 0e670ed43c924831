"""The pulse of a worker: renews its leases while it works, and tells it when to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Protocol

from outhaul.ledger.database import AWAY
from outhaul.ledger.parts import Lease, Parts, Verdict
from outhaul.ledger.tokens import Tokens

TICK = 0.5  # seconds between two questions: how long an interruption goes unseen

log = logging.getLogger("outhaul.pulse")


class Stopped(Exception):
    """What runs is no longer ours to run, or we are to end: write nothing more."""


class Cancellable(Protocol):
    """A session whose running statement can be ended from another thread."""

    def cancel(self) -> None: ...


class Pulse:
    """Beats in a thread of its own. Leases are renewed at a quarter of their time and whenever more rows have been
    read; in between it asks twice a second whether they still hold. Without the ledger, work goes on until the lease
    would be over, and then pauses."""

    def __init__(self, ledger: Tokens, name: str) -> None:
        self._ledger = ledger
        self._name = name
        self._lease = ledger.terms.lease.total_seconds()
        self._tick = min(TICK, self._lease / 4)
        self._lock = threading.Lock()
        self._watched: dict[int, _Watched] = {}
        self._session: Cancellable | None = None
        self._gently = False
        self._stopped = False
        self._heard_at = self._holds_at = 0.0
        self._quit = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self.ending = False  # set from a signal: no lock may be taken there
        self.cancelled = False
        self.holds: Collection[str] = ()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._quit.set()
        self._thread.join()

    @contextmanager
    def watching(
        self, leases: Collection[Lease], session: Cancellable, *, gently: bool = False
    ) -> Iterator[None]:
        """Keep these leases; when one is lost, `checkpoint` raises Stopped and the session is cancelled (`gently`: only
        if a tick later it still runs)."""
        with self._lock:
            self._watched = {lease.part.n: _Watched(lease) for lease in leases}
            self._session, self._gently = session, gently
            self._stopped = self.cancelled = False
            self._heard_at = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._watched, self._session = {}, None

    def read(self, lease: Lease, rows: int) -> None:
        """So many rows have been read under this lease."""
        watched = self._watched.get(lease.part.n)
        if watched:
            watched.rows = rows

    def leave(self, lease: Lease) -> None:
        """The lease is about to be given back or settled: no longer keep it."""
        with self._lock:
            self._watched.pop(lease.part.n, None)

    @property
    def stopped(self) -> bool:
        return self._stopped or self.ending

    def checkpoint(self) -> None:
        """Go on, wait for the ledger, or raise Stopped."""
        while True:
            if self.stopped:
                raise Stopped
            if time.monotonic() - self._heard_at < self._lease or not self._watched:
                return
            time.sleep(0.05)

    def _run(self) -> None:
        while not self._quit.wait(self._tick):
            try:
                self._beat()
            except AWAY as error:
                log.warning("the ledger is away: %s", type(error).__name__)
            except Exception:
                # Without a pulse nobody would stop the work, nor keep its lease.
                log.exception("the pulse failed: the work stops")
                self._stop()
            if self.ending:
                self._stop()

    def _beat(self) -> None:
        with self._lock:
            watched = list(self._watched.values())
        if self._stopped and watched:
            self._stop()
        for one in watched:
            if one.verdict(self._ledger, self._lease / 4) is Verdict.STOP and self._keeps(one):
                self._stop()
        self._heard_at = time.monotonic()
        if self.holds and time.monotonic() - self._holds_at >= self._lease / 4:
            self._holds_at = time.monotonic()
            self._ledger.beat_holds(self._name, tuple(self.holds))

    def _keeps(self, one: _Watched) -> bool:
        """Whether it was not left while we asked about it."""
        with self._lock:
            return self._watched.get(one.lease.part.n) is one

    def _stop(self) -> None:
        with self._lock:
            first, self._stopped = not self._stopped, True
            if self._session is not None and not self.cancelled and not (self._gently and first):
                self.cancelled = True
                self._session.cancel()


class _Watched:
    """A lease that is kept, and what was last told about it."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.rows = 0
        self._told = 0
        self._told_at = time.monotonic()

    def verdict(self, ledger: Parts, pause: float) -> Verdict:
        rows = self.rows
        if rows == self._told and time.monotonic() - self._told_at < pause:
            return ledger.check(self.lease)
        verdict = ledger.beat(self.lease, rows)
        self._told, self._told_at = rows, time.monotonic()
        return verdict
