"""An export as it is shown: its row with progress, place in the queue and estimated end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from outhaul.export import Export, Status
from outhaul.ledger.clock import maybe, moment, now
from outhaul.ledger.states import WAITING
from outhaul.ledger.tables import exports, parts

SETTLED_RATE = 1.0  # seconds of work after which a rate says something


HEAVY = ("plan", "counts", "tables")  # nobody is shown these, and they grow with the tables that are read


def shown(*more: sa.ColumnElement[Any], alone: bool = False) -> sa.Select[Any]:
    """Rows of `exports`, less what is HEAVY, with what `shown_export` needs beside them, and `more`. `alone`: it is one
    row, whose place in the queue is counted; for each row of a list that would be all that waits, again and again."""
    count = sa.select(sa.func.count()).where(parts.c.export == exports.c.id, parts.c.n > 0)
    return sa.select(
        *(column for column in exports.c if column.name not in HEAVY),
        *more,
        now().label("now"),
        count.scalar_subquery().label("parts"),
        count.where(parts.c.state == "done").scalar_subquery().label("parts_done"),
        (sa.case((exports.c.status.in_(WAITING), _place())) if alone else sa.null()).label("position"),
    )


def _place() -> sa.ScalarSelect[Any]:
    """How many of its tenant wait, counted up to this one in the order in which they were queued: how busy the others
    are is none of its business."""
    other = exports.alias("other")
    since = [sa.func.coalesce(table.c.queued_at, table.c.created_at) for table in (other, exports)]
    sooner = sa.or_(since[0] < since[1], sa.and_(since[0] == since[1], other.c.id <= exports.c.id))
    waits = sa.and_(other.c.status.in_(WAITING), other.c.deleted_at.is_(None))
    same = other.c.tenant.is_not_distinct_from(exports.c.tenant)
    return sa.select(sa.func.count()).select_from(other).where(waits, same, sooner).scalar_subquery()


def shown_export(row: Any) -> Export:
    """The noun of a row of `shown()`."""
    return Export(
        id=row.id,
        tenant=row.tenant,
        caller=row.caller,
        dialect=row.dialect,
        status=Status(row.status),
        draft=row.draft,
        matched=row.matched,
        processed=row.shown,
        parts=row.parts,
        parts_done=row.parts_done,
        created_at=moment(row.created_at),
        updated_at=moment(row.updated_at),
        queued_at=maybe(row.queued_at),
        started_at=maybe(row.started_at),
        completed_at=maybe(row.completed_at),
        interrupted_at=maybe(row.interrupted_at),
        failed_at=maybe(row.failed_at),
        expires_at=maybe(row.expires_at),
        estimated_completion_at=maybe(_estimated(row)),
        instant_at=maybe(row.instant_at),
        position=row.position,
        generation=row.generation,
        consistency=row.consistency,
        errors=tuple(row.errors),
        reference=row.reference,
        reference_origin=row.reference_origin,
        metadata=row.metadata,
    )


def _estimated(row: Any) -> float | None:
    """The end at the rate of the work since it was last started."""
    if row.status != Status.RUNNING or row.matched is None:
        return None
    done, spent = row.shown - row.resumed_from, row.now - row.resumed_at
    if done <= 0 or spent < SETTLED_RATE:
        return None
    end: float = row.now + spent * (row.matched - row.shown) / done
    return end


def shown_exports(rows: Sequence[Any]) -> tuple[Export, ...]:
    return tuple(shown_export(row) for row in rows)
