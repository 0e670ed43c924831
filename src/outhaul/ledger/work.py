"""What is at work, for whoever runs the service: parts with their workers, instants, tenants in the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from outhaul.export import ACTIVE, Status
from outhaul.ledger import states
from outhaul.ledger.clock import maybe, moment, now
from outhaul.ledger.rates import Rates
from outhaul.ledger.tables import deliveries, exports, parts, snapshots, tokens, webhooks


@dataclass(frozen=True, slots=True)
class Busy:
    """A part that is delivered or runs. `state`: queued running; `worker`: who runs it, or has delivered it; `lease`:
    seconds until it is taken for lost."""

    export: str
    tenant: str | None
    resource: str
    n: int
    state: str
    attempt: int
    worker: str | None
    lease: float
    rows: int
    started_at: datetime | None


@dataclass(frozen=True, slots=True)
class Holding:
    """An instant that is wanted or held. `own`: by the worker that reads under it."""

    export: str
    state: str
    holder: str | None
    own: bool
    lease: float | None
    held_at: datetime | None


@dataclass(frozen=True, slots=True)
class Crowd:
    """Exports of one tenant in one status, and when the oldest of them was asked for."""

    tenant: str | None
    status: str
    count: int
    oldest_at: datetime


class Work(Rates):
    """The queue as it is."""

    def busy(self, most: int) -> tuple[Busy, ...]:
        """Parts that are out, those that run longest first."""
        left = (parts.c.lease_until - now()).label("lease")
        told = (parts, exports.c.tenant, exports.c.resource, left)
        wanted = sa.select(*told).join_from(parts, exports, parts.c.export == exports.c.id)
        out = wanted.where(parts.c.state.in_(["queued", "running"]))
        by = (parts.c.state.desc(), parts.c.started_at.asc().nulls_last(), parts.c.export, parts.c.n)
        with self._read() as read:
            return tuple(_busy(row) for row in read.execute(out.order_by(*by).limit(most)))

    def holding(self, most: int) -> tuple[Holding, ...]:
        """Instants, those that are held longest first."""
        left = (snapshots.c.lease_until - now()).label("lease")
        wanted = sa.select(snapshots, left).where(snapshots.c.state.in_(["wanted", "held"]))
        by = (snapshots.c.held_at.asc().nulls_last(), snapshots.c.export)
        with self._read() as read:
            found = read.execute(wanted.order_by(*by).limit(most))
            return tuple(
                Holding(row.export, row.state, row.holder, bool(row.own), row.lease, maybe(row.held_at))
                for row in found
            )

    def crowds(self, most: int) -> tuple[Crowd, ...]:
        """Exports that wait or run, by tenant and status, the oldest first."""
        oldest = sa.func.min(exports.c.created_at).label("oldest")
        told = (exports.c.tenant, exports.c.status, sa.func.count().label("many"), oldest)
        wanted = sa.select(*told).where(exports.c.status.in_(ACTIVE), states.present())
        grouped = wanted.group_by(exports.c.tenant, exports.c.status).order_by(oldest).limit(most)
        with self._read() as read:
            return tuple(
                Crowd(row.tenant, row.status, row.many, moment(row.oldest)) for row in read.execute(grouped)
            )

    def tenants(self, limit: int, offset: int) -> tuple[tuple[str, ...], int]:
        """A page of those that there are exports, tokens or webhooks of, by name, and how many there are in all."""
        tables: Sequence[Any] = (exports, tokens, webhooks)
        each = [sa.select(one.c.tenant).where(one.c.tenant.is_not(None)).distinct() for one in tables]
        each[0] = each[0].where(states.present())  # as the index has it that answers this
        known = sa.union(*each).subquery()
        page = sa.select(known.c.tenant).order_by(known.c.tenant).limit(limit).offset(offset)
        with self._read() as read:
            total = read.execute(sa.select(sa.func.count()).select_from(known)).scalar_one()
            return tuple(read.execute(page).scalars()), total

    def exports_of(self, tenants: Sequence[str]) -> dict[str, dict[str, int]]:
        """How many exports these tenants have, by tenant and status; but for those that have expired, which may be very
        many."""
        told = (exports.c.tenant, exports.c.status, sa.func.count().label("many"))
        kept = [one for one in Status if one is not Status.EXPIRED]
        ours = sa.and_(exports.c.tenant.in_(tenants), exports.c.status.in_(kept), states.present())
        wanted = sa.select(*told).where(ours)
        found: dict[str, dict[str, int]] = {one: {} for one in tenants}
        with self._read() as read:
            for row in read.execute(wanted.group_by(exports.c.tenant, exports.c.status)):
                found[row.tenant][row.status] = row.many
        return found

    def unsent(self, ids: Sequence[str]) -> dict[str, int]:
        """How many messages wait to be sent to these webhooks, by id; of those that any wait for."""
        many = sa.func.count().label("many")
        wanted = sa.select(deliveries.c.webhook, many).where(deliveries.c.webhook.in_(ids))
        with self._read() as read:
            return {row.webhook: row.many for row in read.execute(wanted.group_by(deliveries.c.webhook))}


def _busy(row: Any) -> Busy:
    return Busy(
        export=row.export,
        tenant=row.tenant,
        resource=row.resource,
        n=row.n,
        state=row.state,
        attempt=row.attempt,
        worker=row.worker,
        lease=max(0.0, row.lease or 0.0),
        rows=row.processed,
        started_at=maybe(row.started_at),
    )
