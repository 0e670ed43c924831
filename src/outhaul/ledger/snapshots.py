"""Transitions of snapshots: who holds the instant of which export, under which lease."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from outhaul.errors import SnapshotLost
from outhaul.export import ACTIVE, Status
from outhaul.ledger import states
from outhaul.ledger.clock import maybe, now
from outhaul.ledger.database import moved
from outhaul.ledger.parts import Lease, mine
from outhaul.ledger.planned import Planning
from outhaul.ledger.tables import exports, parts, snapshots

SILENT = SnapshotLost("Whoever held the instant of this export went silent.")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The instant of one generation. `snapshot`: the name under which others join it; `own`: only its holder can."""

    export: str
    generation: int
    ref: str
    state: str
    own: bool
    snapshot: str | None
    holder: str | None
    instant_at: datetime | None
    error: Mapping[str, Any] | None


class Snapshots(Planning):
    """Instants: wanted by part 0, held by a keeper or a worker, lost or let go."""

    def snapshot(self, export_id: str) -> Snapshot | None:
        with self._look() as read:
            row = read.execute(sa.select(snapshots).where(snapshots.c.export == export_id)).one_or_none()
        return None if row is None else _snapshot(row)

    def want(self, lease: Lease) -> bool:
        """Ask the keeper for an instant, in the name of part 0; an older wish of the same export is void."""
        wish = {
            "export": lease.part.export,
            "generation": lease.part.generation,
            "ref": secrets.token_hex(8),
            "state": "wanted",
        }
        with self._jot() as write:
            states.lock(write, lease.part.export)
            asked = sa.select(parts.c.n).where(*mine(lease), states.part_at_work())
            if write.execute(asked).first() is None:
                return False
            write.execute(snapshots.delete().where(snapshots.c.export == lease.part.export))
            write.execute(snapshots.insert().values(wish))
            return True

    def wanted(self) -> tuple[Snapshot, ...]:
        """Wishes that no keeper has met yet."""
        with self._look() as read:
            rows = read.execute(sa.select(snapshots).where(snapshots.c.state == "wanted"))
            return tuple(_snapshot(row) for row in rows)

    def hold(self, ref: str, holder: str, snapshot: str, instant_at: datetime) -> bool:
        """Meet a wish. False: it is void, or another keeper was faster; end the transaction."""
        with self._pin() as write:
            return moved(
                write,
                snapshots.update()
                .where(snapshots.c.ref == ref, snapshots.c.state == "wanted")
                .values(
                    state="held",
                    holder=holder,
                    snapshot=snapshot,
                    instant_at=instant_at.timestamp(),
                    held_at=now(),
                    lease_until=now() + self.terms.lease.total_seconds(),
                ),
            )

    def holds(self, holder: str) -> frozenset[str]:
        """Exports whose instant this holder is still asked to keep."""
        with self._look() as read:
            held = sa.select(snapshots.c.export).where(snapshots.c.holder == holder, states.held())
            return frozenset(read.execute(held).scalars())

    def beat_holds(self, holder: str, export_ids: Collection[str]) -> frozenset[str]:
        """Renew the leases; gives the exports whose instant is still to be held. One whose lease has run out is not
        among them, even if nobody has noticed yet: a holder that was frozen must not go on."""
        if not export_ids:
            return frozenset()
        with self._jot() as write:
            renewed = (
                snapshots.update()
                .where(snapshots.c.holder == holder, snapshots.c.export.in_(export_ids), states.held())
                .values(lease_until=now() + self.terms.lease.total_seconds())
                .returning(snapshots.c.export)
            )
            return frozenset(write.execute(renewed).scalars())

    def lost(self, export_id: str, generation: int, error: Mapping[str, Any] | None = None) -> bool:
        """The instant is gone. With an error it counts against the export; a holder that leaves in order says None."""
        with self._write() as write:
            states.lock(write, export_id)
            return moved(
                write,
                snapshots.update()
                .where(
                    snapshots.c.export == export_id,
                    snapshots.c.generation == generation,
                    snapshots.c.state.in_(["wanted", "held"]),
                )
                .values(state="lost", error=error and dict(error)),
            )

    def lapse_snapshots(self) -> int:
        """Instants of holders that went silent are lost."""
        silent = sa.and_(snapshots.c.state == "held", snapshots.c.lease_until <= now())
        with self._write() as write:
            return write.execute(
                snapshots.update().where(silent).values(state="lost", error=SILENT.as_data())
            ).rowcount

    def let_go(self) -> int:
        """End the instants that nobody needs: of exports that have read everything, however long it takes to close
        them, that have ended, were removed, or have rested for too long."""
        kept = now() - self.terms.kept.total_seconds()
        rests = sa.or_(
            sa.and_(exports.c.status == Status.INTERRUPTED, exports.c.interrupted_at > kept),
            sa.and_(exports.c.status == Status.FAILED, exports.c.failed_at > kept),
        )
        young = snapshots.c.held_at > now() - self.terms.instant.total_seconds()
        needed = sa.exists().where(
            exports.c.id == snapshots.c.export,
            states.present(),
            states.unfinished(),
            sa.or_(exports.c.status.in_(ACTIVE), sa.and_(rests, young)),
        )
        with self._write() as write:
            return write.execute(
                snapshots.update()
                .where(snapshots.c.state.in_(["wanted", "held"]), ~needed)
                .values(state="released")
            ).rowcount


def label(export_id: str, generation: int) -> str:
    """How the sessions that read for one generation are known to the source."""
    return f"{export_id}/{generation}"


def _snapshot(row: Any) -> Snapshot:
    return Snapshot(
        row.export,
        row.generation,
        row.ref,
        row.state,
        row.own,
        row.snapshot,
        row.holder,
        maybe(row.instant_at),
        row.error,
    )
