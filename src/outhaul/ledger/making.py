"""How an export is being made: its parts with what they have written, its files, and its pace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from outhaul.export import Artifact, Status
from outhaul.ledger.clock import maybe, now
from outhaul.ledger.progress import SETTLED_RATE
from outhaul.ledger.rates import Rates
from outhaul.ledger.states import LONE
from outhaul.ledger.tables import artifacts, exports, fragments, parts


@dataclass(frozen=True, slots=True)
class Standing:
    """How a part stands. `state`: new queued running done failed. `rows`: written, or read so far where it runs.
    `length`: bytes in the store; `hashes`: SHA-256 of each fragment; `error`: of the last attempt, where it failed."""

    n: int
    selection: int
    format: str
    state: str
    attempt: int
    rows: int
    length: int
    hashes: tuple[str, ...]
    started_at: datetime | None
    ended_at: datetime | None
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a running export is since it was last started, a second: rows, and bytes of text as the width of its
    rows was estimated. None: it does not run, or too short to say."""

    rows: float | None = None
    bytes: float | None = None


class Making(Rates):
    """What is inside of an export."""

    def standings(self, export_id: str, limit: int, offset: int) -> tuple[Standing, ...]:
        """A page of its parts in order, but for part 0, the planning."""
        wanted = sa.select(parts).where(parts.c.export == export_id, parts.c.n > 0)
        with self._read() as read:
            rows = read.execute(wanted.order_by(parts.c.n).limit(limit).offset(offset)).all()
            if not rows:
                return ()
            theirs = sa.and_(fragments.c.export == export_id, fragments.c.part.between(rows[0].n, rows[-1].n))
            made = sa.select(fragments.c.part, fragments.c.length, fragments.c.sha256).where(theirs)
            written: dict[int, list[Any]] = {row.n: [] for row in rows}
            for one in read.execute(made.order_by(fragments.c.part, fragments.c.seq)):
                written[one.part].append(one)
        return tuple(_standing(row, written[row.n]) for row in rows)

    def made(self, export_id: str) -> tuple[Artifact, ...]:
        """What can be downloaded, without the layouts, which are long; empty until completed."""
        names = [column for column in artifacts.c if column.name not in {"n", "layout"}]
        wanted = sa.select(*names).where(artifacts.c.export == export_id).order_by(artifacts.c.n)
        with self._look() as read:
            return tuple(Artifact(**row) for row in read.execute(wanted).mappings())

    def sizes(self, ids: Sequence[str]) -> dict[str, int]:
        """Bytes of all files of each of these exports that has any."""
        total = sa.cast(sa.func.sum(artifacts.c.length), sa.BigInteger)
        wanted = sa.select(artifacts.c.export, total).where(artifacts.c.export.in_(ids))
        with self._look() as read:
            return {row[0]: row[1] for row in read.execute(wanted.group_by(artifacts.c.export))}

    def pace(self, export_id: str) -> Pace:
        with self._look() as read:
            row = read.execute(RUNNING, {"lone": export_id}).one_or_none()
        if row is None or row.resumed_at is None or row.now - row.resumed_at < SETTLED_RATE:
            return Pace()
        rows = max(0, row.shown - row.resumed_from) / (row.now - row.resumed_at)
        return Pace(rows, rows * row.size / row.matched if row.size and row.matched else None)


def _standing(row: Any, written: Sequence[Any]) -> Standing:
    return Standing(
        n=row.n,
        selection=row.selection,
        format=row.format,
        state=row.state,
        attempt=row.attempt,
        rows=row.rows if row.state == "done" else row.processed,
        length=sum(one.length for one in written),
        hashes=tuple(one.sha256 for one in written),
        started_at=maybe(row.started_at),
        ended_at=maybe(row.ended_at),
        error=row.error,
    )


def _running() -> sa.Select[Any]:
    seen = ("shown", "resumed_from", "resumed_at", "size", "matched")
    row = sa.select(*(exports.c[name] for name in seen), now().label("now"))
    return row.where(exports.c.id == LONE, exports.c.status == Status.RUNNING)


RUNNING = _running()  # asked again and again by whoever watches
