"""Transition of part 0: what planning found becomes the parts of the export, in one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from outhaul.ledger import states
from outhaul.ledger.clock import least, now
from outhaul.ledger.database import moved
from outhaul.ledger.events import tell
from outhaul.ledger.parts import Lease, Parts, mine, part_of
from outhaul.ledger.tables import exports, parts, snapshots


@dataclass(frozen=True, slots=True)
class Planned:
    """What planning found under the instant. Per selection: rows by include path ("" is the root) and the ranges
    that it is written in, in each of its `forms`. `size`: estimated bytes of text; `tables`: fingerprints.
    `instant_at`: None where each part takes its own."""

    counts: Sequence[Mapping[str, int]]
    ranges: Sequence[Sequence[Mapping[str, Any]]]
    forms: Sequence[Sequence[str]]
    size: int
    instant_at: datetime | None
    tables: Mapping[str, Any]


class Planning(Parts):
    """The fan-out of an export."""

    def settle_plan(
        self, lease: Lease, planned: Planned, *, own: bool, claim: bool
    ) -> tuple[Lease, ...] | None:
        """Part 0 is done and the parts are there. `own`: the instant is a transaction of this worker, to which the
        parts will be brought; `claim`: the worker runs them all at once and gets their leases. None: fenced off."""
        with self._pin() as write:
            export_id = lease.part.export
            if states.lock(write, export_id) is None:
                return None
            done = (
                parts.update()
                .where(*mine(lease), states.part_at_work())
                .values(state="done", token=None, lease_until=None, ended_at=now(), error=None)
            )
            if not moved(write, done):
                return None
            matched = sum(counts[""] for counts in planned.counts)
            _record(write, export_id, planned, matched)
            if own:
                write.execute(snapshots.delete().where(snapshots.c.export == export_id))
                write.execute(snapshots.insert().values(self._own(lease, planned)))
            rows = _rows(lease, planned)
            tell(write, export_id, "planned", parts=len(rows), matched=matched)
            if not claim:
                write.execute(parts.insert(), rows)
                return ()
            return tuple(self._claimed(write, row, lease.worker) for row in rows)

    def _own(self, lease: Lease, planned: Planned) -> dict[str, Any]:
        return {
            "export": lease.part.export,
            "generation": lease.part.generation,
            "ref": secrets.token_hex(8),
            "state": "held",
            "own": True,
            "holder": lease.worker,
            "lease_until": now() + self.terms.lease.total_seconds(),
            "instant_at": planned.instant_at and planned.instant_at.timestamp(),
            "held_at": now(),
        }

    def _claimed(self, write: sa.Connection, row: dict[str, Any], worker: str) -> Lease:
        token = secrets.token_hex(16)
        taken = row | self._taken(worker, token) | {"attempt": 1}
        made = write.execute(parts.insert().values(taken).returning(parts)).one()
        return Lease(part_of(made), token, worker)


def _record(write: sa.Connection, export_id: str, planned: Planned, matched: int) -> None:
    write.execute(
        exports.update()
        .where(exports.c.id == export_id)
        .values(
            matched=matched,
            shown=least(exports.c.shown, matched),
            counts=[dict(counts) for counts in planned.counts],
            size=planned.size,
            tables=dict(planned.tables),
            instant_at=planned.instant_at and planned.instant_at.timestamp(),
            updated_at=now(),
        )
    )


def _rows(lease: Lease, planned: Planned) -> list[dict[str, Any]]:
    """One row per selection, format and range, numbered from 1 in this order."""
    wanted = (
        (selection, name, dict(extent))
        for selection, ranges in enumerate(planned.ranges)
        for name in planned.forms[selection]
        for extent in ranges
    )
    return [
        {
            "export": lease.part.export,
            "n": n,
            "generation": lease.part.generation,
            "selection": selection,
            "format": name,
            "range": extent,
            "state": "new",
        }
        for n, (selection, name, extent) in enumerate(wanted, 1)
    ]
