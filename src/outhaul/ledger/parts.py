"""Transitions of parts: claim, beat, settle, fail, release, each decided by one conditional UPDATE."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from outhaul.errors import SchemaChanged
from outhaul.export import Fragment, Part
from outhaul.ledger import states
from outhaul.ledger.clock import greatest, least, now
from outhaul.ledger.database import moved
from outhaul.ledger.events import Events
from outhaul.ledger.tables import exports, fragments, parts
from outhaul.plan import BINARY, Node

LONGEST_PAUSE = 60.0  # seconds between two attempts, however many have failed


class Verdict(StrEnum):
    """What a worker hears when it asks whether its lease still holds."""

    GO = "go"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one attempt of a part; `token` fences out every older one."""

    part: Part
    token: str
    worker: str


@dataclass(frozen=True, slots=True)
class Instant:
    """That of a single part, and the rows that matched under it, by include path ("" is the root)."""

    at: datetime
    matched: Mapping[str, int]


class Parts(Events):
    """Who runs which part, and what has come of it."""

    def claim(self, export_id: str, part: int, attempt: int, worker: str) -> Lease | None:
        """The lease of a delivered attempt; None when it was delivered twice, too late or for nothing."""
        token = secrets.token_hex(16)
        with self._jot() as write:
            states.lock(write, export_id)
            claimed = (
                parts.update()
                .where(
                    parts.c.export == export_id,
                    parts.c.n == part,
                    parts.c.attempt == attempt,
                    parts.c.state == "queued",
                    states.part_at_work(),
                )
                .values(self._taken(worker, token))
                .returning(parts)
            )
            row = write.execute(claimed).one_or_none()
            if row is None:
                return None
            states.begin(write, export_id)
            return Lease(part_of(row), token, worker)

    def _taken(self, worker: str, token: str) -> dict[str, Any]:
        until = now() + self.terms.lease.total_seconds()
        return {
            "state": "running",
            "worker": worker,
            "token": token,
            "lease_until": until,
            "started_at": now(),
            "ended_at": None,
            "processed": 0,
        }

    def check(self, lease: Lease) -> Verdict:
        """Whether to go on, without renewing anything: cheap enough to ask twice a second."""
        with self._look() as read:
            found = read.execute(sa.select(parts.c.n).where(*mine(lease), states.part_at_work())).first()
        return Verdict.GO if found else Verdict.STOP

    def beat(self, lease: Lease, processed: int) -> Verdict:
        """Renew the lease and tell how many rows this attempt has read."""
        with self._jot() as write:
            states.lock(write, lease.part.export)
            until = now() + self.terms.lease.total_seconds()
            renewed = (
                parts.update()
                .where(*mine(lease), states.part_at_work())
                .values(lease_until=until, processed=greatest(parts.c.processed, processed))
            )
            if not moved(write, renewed):
                return Verdict.STOP
            show(write, lease.part.export)
            return Verdict.GO

    def settle(
        self,
        lease: Lease,
        made: Sequence[Fragment],
        root: Node | None = None,
        instant: Instant | None = None,
    ) -> bool:
        """The part is done and these are its bytes; `instant`: where it is not that of the export. False: another
        attempt or generation has the right to say so. TooMuch, and nothing has changed, when with it more is written
        of `root` than may be."""
        rows = sum(fragment.rows for fragment in made if not fragment.path)
        related: Counter[str] = Counter()
        for fragment in made:
            related.update(fragment.related)
        with self._jot() as write:
            if states.lock(write, lease.part.export) is None:
                return False
            done = (
                parts.update()
                .where(*mine(lease), parts.c.generation == lease.part.generation)
                .values(
                    state="done",
                    token=None,
                    lease_until=None,
                    ended_at=now(),
                    rows=rows,
                    processed=rows,
                    related=dict(related),
                    error=None,
                    matched=instant and dict(instant.matched),
                    instant_at=instant and instant.at.timestamp(),
                )
            )
            if not moved(write, done):
                return False
            if made:
                write.execute(fragments.insert(), [fragment_row(lease, fragment) for fragment in made])
            if root is not None and root.ceiling.bytes is not None:
                root.ceiling.hold(root.resource, _written(write, lease.part))
            show(write, lease.part.export)
            return True

    def release(self, lease: Lease) -> None:
        """Give an unfinished part back; that is no failure."""
        with self._jot() as write:
            write.execute(
                parts.update()
                .where(*mine(lease))
                .values(state="new", token=None, lease_until=None, ready_at=now())
            )

    def fail(self, lease: Lease, error: Mapping[str, Any], again: bool) -> bool:
        """An attempt has failed: it is tried again after a pause, or the export has failed with this error."""
        export_id = lease.part.export
        with self._write() as write:
            states.lock(write, export_id)
            another = sa.and_(sa.literal(again), parts.c.tries + 1 < self.terms.attempts)
            failed = (
                parts.update()
                .where(*mine(lease))
                .values(
                    state=sa.case((another, "new"), else_="failed"),
                    tries=parts.c.tries + 1,
                    token=None,
                    lease_until=None,
                    ended_at=now(),
                    error=dict(error),
                    ready_at=now() + self._pause(),
                )
                .returning(parts.c.state)
            )
            state = write.execute(failed).scalar_one_or_none()
            if state == "failed":
                states.end(write, export_id, [dict(error) | {"part": lease.part.n}])
                if error["error"] == SchemaChanged.__name__:
                    states.let_go(write, export_id)  # under this instant it would only fail again
            return state is not None

    def _pause(self) -> sa.ColumnElement[float]:
        doubled = sa.literal(1).op("<<")(least(parts.c.tries, 10))
        return least(sa.literal(self.terms.pause.total_seconds()) * doubled, sa.literal(LONGEST_PAUSE))


def _written(write: sa.Connection, part: Part) -> int:
    """Bytes of text of all settled parts of its selection."""
    total = sa.func.coalesce(sa.func.sum(fragments.c.raw_length), 0)
    of = sa.and_(fragments.c.export == part.export, fragments.c.selection == part.selection)
    return int(write.execute(sa.select(total).where(of)).scalar_one())


def mine(lease: Lease) -> tuple[sa.ColumnElement[bool], ...]:
    """The row of `parts` is still this lease's."""
    return (
        parts.c.export == lease.part.export,
        parts.c.n == lease.part.n,
        parts.c.token == lease.token,
        parts.c.state == "running",
    )


def part_of(row: Any) -> Part:
    return Part(row.export, row.n, row.selection, row.format, row.range, row.attempt, row.generation)


def fragment_row(lease: Lease, fragment: Fragment) -> dict[str, Any]:
    names = ("selection", "format", "path", "seq", "key", "length", "raw_length", "crc32", "rows")
    hashes = ("sha256", "text_sha256")
    return {name: getattr(fragment, name) for name in (*names, *hashes)} | {
        "export": lease.part.export,
        "part": lease.part.n,
        "generation": lease.part.generation,
        "attempt": lease.part.attempt,
        "related": dict(fragment.related),
    }


def show(write: sa.Connection, export_id: str) -> None:
    """Raise the rows that are shown to those written or being written: every format writes each row once, binaries are
    copied once."""
    write.execute(SHOWN, {"lone": export_id})


def _shown() -> sa.Update:
    seen = sa.case(
        (parts.c.state == "done", parts.c.rows), (parts.c.state == "running", parts.c.processed), else_=0
    )
    times = sa.case((parts.c.format == BINARY, exports.c.formats), else_=1)
    total = sa.select(sa.cast(sa.func.coalesce(sa.func.sum(seen * times), 0), sa.BigInteger)).where(
        parts.c.export == states.LONE, parts.c.n > 0
    )
    written = total.correlate(exports).scalar_subquery() // exports.c.formats
    risen = least(written, sa.func.coalesce(exports.c.matched, 0))
    return exports.update().where(exports.c.id == states.LONE).values(shown=greatest(exports.c.shown, risen))


SHOWN = _shown()  # kept, because to put it together takes longer than to run it
