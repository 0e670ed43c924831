"""Admission: which parts go out next, so that no tenant starves another and the small need not wait for the large."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from outhaul.ledger import states
from outhaul.ledger.clock import now
from outhaul.ledger.database import moved
from outhaul.ledger.listing import Listing
from outhaul.ledger.tables import exports, parts, snapshots

SMALL = 16_000_000  # estimated bytes of text up to which an export is small: about a second of work
AHEAD = 2  # parts that may be delivered to the one worker that holds their instant


@dataclass(frozen=True, slots=True)
class Delivery:
    """Run this attempt of a part. `holder`: the only worker that can; `small`: it goes before others."""

    export: str
    part: int
    attempt: int
    holder: str | None = None
    small: bool = False

    def to_data(self) -> dict[str, Any]:
        return asdict(self)


class Admission(Listing):
    """The queue."""

    def admit(self, slots: int, workers: Collection[str] = (), sender: str = "") -> tuple[Delivery, ...]:
        """Parts to deliver now, best first. `slots`: parts that can run at once; `workers`: those we can deliver to by
        name; `sender`: who delivers. At most two parts a slot are out, one of them for a single tenant less, and with
        three slots or more one slot is left to small exports."""
        with self._jot("admit") as write:
            waiting = write.execute(_waiting(2 * slots, self.terms.window, tuple(sorted(workers)))).all()
            if not waiting:
                return ()
            window = _Window(slots, write.execute(OUT).all())
            return tuple(
                delivery
                for row in window.chosen(list(waiting))
                if (delivery := self._deliver(write, row, sender)) is not None
            )

    def senders(self) -> frozenset[str]:
        """Who has delivered what nobody has claimed yet."""
        with self._look() as read:
            return frozenset(
                read.execute(sa.select(parts.c.worker).where(parts.c.state == "queued").distinct()).scalars()
            )

    def recall(self, sender: str) -> int:
        """What a sender has delivered and nobody has claimed is new again; gives how many parts."""
        with self._jot() as write:
            return write.execute(
                parts.update()
                .where(parts.c.state == "queued", parts.c.worker == sender)
                .values(state="new", lease_until=None)
            ).rowcount

    def _deliver(self, write: sa.Connection, row: Any, sender: str) -> Delivery | None:
        delivered = (
            parts.update()
            .where(
                parts.c.export == row.export,
                parts.c.n == row.n,
                parts.c.attempt == row.attempt,
                parts.c.state == "new",
                states.part_at_work(),
            )
            .values(
                state="queued",
                attempt=row.attempt + 1,
                worker=sender,
                lease_until=now() + self.terms.delivery.total_seconds(),
            )
        )
        if not moved(write, delivered):
            return None
        return Delivery(row.export, row.n, row.attempt + 1, row.holder, bool(row.small))


class _Window:
    """What is out already, and room for more."""

    def __init__(self, slots: int, out: Collection[Any]) -> None:
        self.total = 2 * slots
        self.large = slots - 1 if slots > 2 else self.total - 1
        self.tenant = self.total - 1
        self.tenants: Counter[str | None] = Counter()
        self.holders: Counter[str] = Counter()
        self.larges = 0
        for row in out:
            self._take(row, row.out)

    def _take(self, row: Any, count: int = 1) -> None:
        self.tenants[row.tenant] += count
        self.larges += 0 if row.small else count
        if row.holder:
            self.holders[row.holder] += count

    def _has_room(self, row: Any) -> bool:
        return (
            self.tenants[row.tenant] < self.tenant
            and (bool(row.small) or self.larges < self.large)
            and (row.holder is None or self.holders[row.holder] < AHEAD)
        )

    def chosen(self, waiting: list[Any]) -> Iterator[Any]:
        """Small exports first, then the tenant with the least out, then age, then the number of the part."""
        while self.tenants.total() < self.total:
            fitting = [row for row in waiting if self._has_room(row)]
            if not fitting:
                return
            best = min(
                fitting,
                key=lambda row: (not row.small, self.tenants[row.tenant], row.created_at, row.export, row.n),
            )
            waiting.remove(best)
            self._take(best)
            yield best


def _small() -> sa.ColumnElement[bool]:
    return sa.or_(parts.c.n == 0, exports.c.size <= SMALL)


def _instant() -> sa.ColumnElement[bool]:
    """The snapshot under which an export's parts can run now."""
    return sa.and_(
        snapshots.c.export == exports.c.id, snapshots.c.generation == exports.c.generation, states.held()
    )


def _holder() -> sa.ColumnElement[Any]:
    """The only worker that can run a part, where its instant is a transaction of that worker."""
    return sa.case((sa.and_(parts.c.n > 0, snapshots.c.own), snapshots.c.holder), else_=None)


@lru_cache(maxsize=8)
def _waiting(most: int, window: int, workers: Sequence[str]) -> sa.Select[Any]:
    """New parts, of each tenant only as many as could be admitted at once, from its oldest exports. Kept, because to
    put it together takes longer than to run it."""
    places = sa.func.dense_rank().over(
        partition_by=exports.c.tenant, order_by=[exports.c.created_at, exports.c.id]
    )
    ranked = (
        sa.select(exports.c.id, places.label("place")).where(states.at_work(), exports.c.checked).subquery()
    )
    small = _small().label("small")
    lines = sa.func.row_number().over(
        partition_by=exports.c.tenant,
        order_by=[sa.case((_small(), 0), else_=1), exports.c.created_at, exports.c.id, parts.c.n],
    )
    deliverable = sa.or_(
        parts.c.n == 0,
        exports.c.consistency == "part",
        snapshots.c.own.is_(False),
        snapshots.c.holder.in_(workers),
    )
    new = (
        sa.select(
            parts.c.export,
            parts.c.n,
            parts.c.attempt,
            exports.c.tenant,
            exports.c.created_at,
            small,
            _holder().label("holder"),
            lines.label("line"),
        )
        .join_from(parts, exports, parts.c.export == exports.c.id)
        .join(ranked, sa.and_(ranked.c.id == exports.c.id, ranked.c.place <= window))
        .join(snapshots, _instant(), isouter=True)
        .where(parts.c.state == "new", parts.c.ready_at <= now(), deliverable)
        .subquery()
    )
    return sa.select(new).where(new.c.line <= most)


def _out() -> sa.Select[Any]:
    """How many parts are delivered or running, by what matters for admission."""
    each = (
        sa.select(exports.c.tenant, _small().label("small"), _holder().label("holder"))
        .join_from(parts, exports, parts.c.export == exports.c.id)
        .join(snapshots, _instant(), isouter=True)
        .where(parts.c.state.in_(["queued", "running"]))
        .subquery()
    )
    return sa.select(*each.c, sa.func.count().label("out")).group_by(*each.c)


OUT = _out()
