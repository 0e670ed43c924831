"""Steps of the reconciler: what went silent lapses, what is lost begins anew, what is old ends and is swept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from outhaul.errors import SchemaChanged, SourceTimeout, WorkerLost
from outhaul.export import Status
from outhaul.filenames import DIRECTORY
from outhaul.ledger import states
from outhaul.ledger.admission import Admission
from outhaul.ledger.clock import now
from outhaul.ledger.database import moved
from outhaul.ledger.events import tell
from outhaul.ledger.tables import exports, fragments, parts, snapshots

OVER = (Status.COMPLETED, Status.FAILED, Status.EXPIRED)  # nobody closes it any more

# Asked at every nudge, and kept because to put it together takes longer than to run it.
UNCHECKED = (
    sa.select(exports.c.id)
    .where(exports.c.status.in_(states.WAITING), exports.c.checked.is_(False), states.present())
    .order_by(exports.c.created_at)
)


class Upkeep(Admission):
    """Time passes. Any process may take these steps, several at once too."""

    def queue(self, export_id: str) -> bool:
        """The plan still stands: a created export is queued, and its parts may be admitted."""
        with self._jot() as write:
            return moved(
                write,
                exports.update()
                .where(
                    exports.c.id == export_id,
                    exports.c.status.in_(states.WAITING),
                    exports.c.checked.is_(False),
                    states.present(),
                )
                .values(
                    checked=True,
                    status=Status.QUEUED,
                    queued_at=sa.func.coalesce(exports.c.queued_at, now()),
                    updated_at=now(),
                ),
            )

    def unchecked(self) -> tuple[str, ...]:
        """Exports that wait for a look at their plan, oldest first."""
        with self._look() as read:
            return tuple(read.execute(UNCHECKED).scalars())

    def refuse(self, export_id: str, error: Mapping[str, Any]) -> bool:
        """An active export cannot go on: it has failed, and its instant is let go."""
        with self._write() as write:
            states.lock(write, export_id)
            failed = states.end(write, export_id, [dict(error)])
            if failed:
                states.let_go(write, export_id)
            return failed

    def lapse(self) -> int:
        """Parts whose worker went silent, or that were delivered and never claimed, are new again; the former count as
        a failed attempt. Gives how many."""
        late = sa.and_(parts.c.state.in_(["queued", "running"]), parts.c.lease_until <= now())
        with self._look() as read:
            found = read.execute(sa.select(parts.c.export, parts.c.n, parts.c.attempt).where(late)).all()
        lapsed = 0
        for row in found:
            with self._write() as write:
                states.lock(write, row.export)
                lapsed += self._lapse(write, row, late)
        return lapsed

    def _lapse(self, write: sa.Connection, row: Any, late: sa.ColumnElement[bool]) -> int:
        ran = parts.c.state == "running"
        lost = WorkerLost(
            f"Part {row.n} was lost with its worker {self.terms.attempts} times.",
            hint="Start the export again; if it comes back, tell whoever runs the service.",
        ).as_data()
        given_up = sa.and_(ran, parts.c.tries + 1 >= self.terms.attempts)
        state = write.execute(
            parts.update()
            .where(parts.c.export == row.export, parts.c.n == row.n, parts.c.attempt == row.attempt, late)
            .values(
                state=sa.case((given_up, "failed"), else_="new"),
                tries=parts.c.tries + sa.case((ran, 1), else_=0),
                token=None,
                lease_until=None,
                ready_at=now(),
            )
            .returning(parts.c.state)
        ).scalar_one_or_none()
        if state == "failed":
            states.end(write, row.export, [lost | {"part": row.n}])
        return int(state is not None)

    def bury(self, worker: str) -> None:
        """A worker or keeper that has certainly ended holds nothing any more: its leases run out now."""
        with self._write() as write:
            write.execute(
                parts.update()
                .where(parts.c.worker == worker, parts.c.state == "running")
                .values(lease_until=now())
            )
            write.execute(
                snapshots.update()
                .where(snapshots.c.holder == worker, snapshots.c.state == "held")
                .values(lease_until=now())
            )

    def abandon(self) -> None:
        """Whoever had parts has ended, with the command that all ran under: they are new again, and did not fail."""
        with self._write() as write:
            write.execute(
                parts.update()
                .where(parts.c.state.in_(["queued", "running"]))
                .values(state="new", token=None, lease_until=None, ready_at=now())
            )

    def renew(self) -> int:
        """Exports at work whose instant is lost begin a new generation, or fail when that has happened too often. While
        part 0 runs, losing it is a failure of part 0."""
        planned = sa.exists().where(parts.c.export == exports.c.id, parts.c.n == 0, parts.c.state == "done")
        lost = sa.and_(
            snapshots.c.state == "lost",
            snapshots.c.generation == exports.c.generation,
            states.at_work(),
            planned,
            states.unfinished(),
        )
        wanted = sa.select(snapshots.c.export).join(exports, exports.c.id == snapshots.c.export).where(lost)
        with self._look() as read:
            found = read.execute(wanted).scalars().all()
        for export_id in found:
            with self._write() as write:
                states.lock(write, export_id)
                again = sa.select(snapshots.c.error, exports.c.remakes, exports.c.schema_changes).join_from(
                    snapshots, exports, exports.c.id == snapshots.c.export
                )
                row = write.execute(again.where(lost, exports.c.id == export_id)).one_or_none()
                if row is not None:
                    self._renew(write, export_id, row)
        return len(found)

    def _renew(self, write: sa.Connection, export_id: str, row: Any) -> None:
        changed = bool(row.error) and row.error["error"] == SchemaChanged.__name__
        too_often = row.schema_changes > 0 if changed else row.remakes + 1 >= self.terms.attempts
        if row.error and too_often:
            states.end(write, export_id, [row.error])
            states.let_go(write, export_id)
            return
        if row.error:
            counted = exports.c.schema_changes if changed else exports.c.remakes
            write.execute(exports.update().where(exports.c.id == export_id).values({counted: counted + 1}))
        states.remake(write, export_id, row.error)

    def outdate(self) -> int:
        """Exports that read under one instant for too long end: it holds back the source's own cleaning."""
        limit = self.terms.instant
        old = sa.and_(
            snapshots.c.state == "held",
            snapshots.c.held_at <= now() - limit.total_seconds(),
            states.at_work(),
            states.unfinished(),
        )
        wanted = sa.select(exports.c.id).join(snapshots, snapshots.c.export == exports.c.id).where(old)
        with self._look() as read:
            found = read.execute(wanted).scalars().all()
        error = SourceTimeout(
            f"The export read the source as of one instant for longer than {limit}, which is the limit.",
            hint="Ask for less at once with filters, or have the limit raised.",
        )
        return sum(self.refuse(export_id, error.as_data()) for export_id in found)

    def expire(self) -> int:
        """What has rested for the time of retention is expired; its files are due for removal."""
        kept = now() - self.terms.retention.total_seconds()
        due = sa.or_(
            sa.and_(exports.c.status == Status.COMPLETED, exports.c.expires_at <= now()),
            sa.and_(exports.c.status == Status.FAILED, exports.c.failed_at <= kept),
            sa.and_(exports.c.status == Status.INTERRUPTED, exports.c.interrupted_at <= kept),
        )
        with self._write() as write:
            gone = (
                exports.update()
                .where(due, states.present())
                .values(status=Status.EXPIRED, littered=True, updated_at=now())
                .returning(exports.c.id, exports.c.completed_at, exports.c.failed_at)
            )
            expired = write.execute(gone).all()
            for row in expired:
                states.let_go(write, row.id)
                tell(write, row.id, "expired", changed={"status": [_ended(row), Status.EXPIRED]})
            return len(expired)

    def littered(self) -> tuple[str, ...]:
        """Expired and removed exports whose objects are still to be deleted."""
        over = sa.select(exports.c.id).where(exports.c.status == Status.EXPIRED, exports.c.littered)
        # Not IS NOT NULL: only a comparison is answered by an index, and this is asked twice a second.
        removed = sa.select(exports.c.id).where(exports.c.deleted_at > 0, exports.c.littered)
        with self._look() as read:
            return tuple(read.execute(over.union(removed)).scalars())

    def swept(self, export_id: str) -> bool:
        """The objects are deleted, for good unless a part still runs. A removed export is then forgotten, but for its
        events. False: a worker may still write, so sweep again."""
        still = sa.exists().where(parts.c.export == export_id, parts.c.state == "running")
        gone = sa.or_(exports.c.status == Status.EXPIRED, exports.c.deleted_at.is_not(None))
        with self._write() as write:
            clean = moved(
                write, exports.update().where(exports.c.id == export_id, gone, ~still).values(littered=False)
            )
            if clean:
                write.execute(fragments.delete().where(fragments.c.export == export_id))
                write.execute(
                    exports.delete().where(exports.c.id == export_id, exports.c.deleted_at.is_not(None))
                )
            return clean

    def named(self, export_id: str) -> frozenset[str] | None:
        """Keys of objects that belong to an export, and prefixes that end with `-`, all below `id/`: what a running
        part (`generation-part-attempt-`) or whoever closes it may still write. None: there is no such export."""
        with self._read() as read:
            found = sa.select(exports.c.manifest, exports.c.status).where(
                exports.c.id == export_id, states.present()
            )
            row = read.execute(found).one_or_none()
            if row is None:
                return None
            # Running parts first: one that settles between the two questions is then in both answers, not in neither.
            running = read.execute(
                sa.select(parts.c.generation, parts.c.n, parts.c.attempt).where(
                    parts.c.export == export_id, parts.c.state == "running"
                )
            )
            prefixes = {f"{export_id}/{part.generation}-{part.n}-{part.attempt}-" for part in running}
            if row.status not in OVER:  # it is hashed for long before `complete` names it
                prefixes.add(f"{export_id}/{DIRECTORY}")
            keys = read.execute(sa.select(fragments.c.key).where(fragments.c.export == export_id)).scalars()
            return frozenset({*keys, *prefixes} | ({row.manifest} if row.manifest else set()))


def _ended(row: Any) -> Status:
    """How an export that has now expired had ended."""
    if row.completed_at is not None:
        return Status.COMPLETED
    return Status.INTERRUPTED if row.failed_at is None else Status.FAILED
