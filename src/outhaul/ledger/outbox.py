"""The outbox: who wants to be told of what, and the messages that are still to be sent."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from outhaul.errors import NotFound, TooMuch
from outhaul.export import Stretch
from outhaul.ledger.callbacks import Callbacks, record
from outhaul.ledger.clock import maybe, moment, now
from outhaul.ledger.database import moved
from outhaul.ledger.events import NEVER, OURSELVES, Event, Who, event_of, tell_of_webhook
from outhaul.ledger.sifted import sifted_webhooks
from outhaul.ledger.tables import deliveries, events, webhooks

LEASE = 30.0  # seconds that a delivery is held: its host and its answer are waited for 5 s
RETRIES = 10  # Commerce Layer: "up to 10 retries"
PAUSE, LONGEST_PAUSE = 10.0, 3600.0  # seconds before the first retry, doubled with each further one
BREAKS = 30  # failures in a row after which nothing more is sent: Commerce Layer's
MOST = 100  # webhooks of one tenant
# What of a webhook is told when it changes: the rest is nobody's.
TOLD = (
    *("event", "url", "name", "include", "disabled_at", "opened_at", "failures"),
    *("reference", "reference_origin", "metadata"),
)
MOVES: Mapping[str, Mapping[str, Any]] = {
    "enable": {"disabled_at": None},
    "disable": {"disabled_at": sa.func.coalesce(webhooks.c.disabled_at, now())},
    "reset_circuit": {"opened_at": None, "failures": 0},
}


@dataclass(frozen=True, slots=True)
class Webhook:
    """Somebody who wants to be told. `event`: the name of the events; `tenant` None: of those of all tenants. `salt`
    and `key`: what the secret is derived from, and by which of the service's keys."""

    id: str
    tenant: str | None
    maker: str
    dialect: str
    event: str
    url: str
    name: str | None
    include: tuple[str, ...]
    salt: str = field(repr=False)
    key: str = field(repr=False)
    created_at: datetime
    updated_at: datetime
    disabled_at: datetime | None
    opened_at: datetime | None
    failures: int
    reference: str | None
    reference_origin: str | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sending:
    """One message under way, held by `token`; `tries`: attempts that have failed before."""

    webhook: Webhook
    event: Event
    token: str
    tries: int


class Outbox(Callbacks):
    """Webhooks and what is to be sent to them. An event's transaction itself puts its messages here."""

    def insert_webhook(
        self, row: Mapping[str, Any], *, disabled: bool = False, who: Who = OURSELVES
    ) -> Webhook:
        """A new webhook under a new id; TooMuch when the tenant has as many as it may."""
        webhook_id = "".join(secrets.choice(string.ascii_letters) for _ in range(10))
        tenant = row["tenant"]
        ours = webhooks.c.tenant.is_(None) if tenant is None else webhooks.c.tenant == tenant
        with self._write("webhook") as write:
            count = write.execute(sa.select(sa.func.count()).select_from(webhooks).where(ours)).scalar_one()
            if count >= MOST:
                raise TooMuch(
                    f"{count} webhooks are there already, and {MOST} are the most.",
                    hint="Delete one.",
                    where=("topic",),
                    facts={"value": count, "limit": MOST},
                )
            since = now() if disabled else None
            made = webhooks.insert().values(id=webhook_id, disabled_at=since, **row).returning(webhooks)
            found = write.execute(made).one()
            _tell(write, "webhook_created", who, found)
        return _webhook(found)

    def webhook(self, webhook_id: str, tenant: str | None) -> Webhook:
        """`tenant` None sees those of all; NotFound."""
        with self._look() as read:
            row = read.execute(sa.select(webhooks).where(_ours(webhook_id, tenant))).one_or_none()
        if row is None:
            raise _missing(webhook_id)
        return _webhook(row)

    def list_webhooks(
        self, tenant: str | None, asked: Stretch, event: Event | None = None
    ) -> tuple[tuple[Webhook, ...], int]:
        """A page, of all or of those that want to be told of an event, and how many there are. What a reader of filters
        raises."""
        rows = sifted_webhooks(asked.lens, self.dialect)
        seen = [_own(tenant), *rows.where(asked.where)]
        seen += [] if event is None else [_wants(event)]
        by = [*rows.order(asked.order), webhooks.c.created_at.desc(), webhooks.c.id]
        page = sa.select(webhooks).where(*seen).order_by(*by).limit(asked.limit).offset(asked.offset)
        with self._read() as read:
            total = read.execute(sa.select(sa.func.count()).select_from(webhooks).where(*seen)).scalar_one()
            return tuple(_webhook(row) for row in read.execute(page)), total

    def amend_webhook(
        self,
        webhook_id: str,
        tenant: str | None,
        changes: Mapping[str, Any],
        moves: Sequence[str] = (),
        who: Who = OURSELVES,
    ) -> Webhook:
        """Set columns and make moves of MOVES, all at once; NotFound. Disabled, it gets no new messages, and those that
        wait go on waiting; when its circuit is reset, what has waited meanwhile is due now."""
        ours, values = _ours(webhook_id, tenant), dict(changes)
        for move in moves:
            values |= MOVES[move]
        with self._write() as write:
            before = write.execute(_locked(ours)).one_or_none()
            if before is None:
                raise _missing(webhook_id)
            write.execute(webhooks.update().where(ours).values(updated_at=now(), **values))
            if "reset_circuit" in moves:
                waiting = sa.and_(deliveries.c.webhook == webhook_id, deliveries.c.token.is_(None))
                write.execute(deliveries.update().where(waiting).values(due_at=now()))
            after = write.execute(sa.select(webhooks).where(ours)).one()
            _tell(write, "webhook_amended", who, after, before)
        return _webhook(after)

    def remove_webhook(self, webhook_id: str, tenant: str | None, who: Who = OURSELVES) -> None:
        """Gone, with what was still to be sent to it; NotFound."""
        removed = webhooks.delete().where(_ours(webhook_id, tenant)).returning(webhooks.c.tenant)
        with self._write() as write:
            gone = write.execute(removed).one_or_none()
            if gone is None:
                raise _missing(webhook_id)
            tell_of_webhook(write, webhook_id, gone.tenant, "webhook_removed", who)

    def trigger(self, event: Event, tenant: str | None, webhook_id: str | None = None) -> int:
        """Tell of it once more: to every webhook of the tenant (None: of all) that would be told of such an event, or
        to one of them; gives to how many."""
        wanting = sa.select(webhooks.c.id).where(
            _wants(event), _own(tenant), webhooks.c.disabled_at.is_(None)
        )
        if webhook_id is not None:
            wanting = wanting.where(webhooks.c.id == webhook_id)
        due = sa.case((webhooks.c.opened_at.is_not(None), NEVER), else_=now())
        there = sa.and_(deliveries.c.webhook == webhooks.c.id, deliveries.c.event == event.id)
        row = sa.select(webhooks.c.id, sa.literal(event.id, sa.BigInteger), due)
        open_now = sa.exists().where(webhooks.c.id == deliveries.c.webhook, webhooks.c.opened_at.is_not(None))
        with self._write("trigger") as write:
            # Locked, as a new event locks them: none is removed and no circuit closes meanwhile.
            told = write.execute(wanting.with_for_update(read=True)).scalars().all()
            missing = row.where(webhooks.c.id.in_(told), ~sa.exists().where(there))
            ours = sa.and_(deliveries.c.event == event.id, deliveries.c.webhook.in_(told))
            waiting = sa.and_(ours, deliveries.c.token.is_(None), ~open_now)
            write.execute(deliveries.update().where(waiting).values(due_at=now(), tries=0))
            write.execute(deliveries.insert().from_select(["webhook", "event", "due_at"], missing))
            return len(told)

    def pick(self) -> Sending | None:
        """Hold the next message that is due, for as long as a lease; one at a time for each webhook."""
        while True:
            with self._look() as read:
                row = read.execute(NEXT).first()
            if row is None:
                return None
            token = secrets.token_hex(8)
            ours = sa.and_(deliveries.c.webhook == row.webhook, deliveries.c.event == row.event)
            held = deliveries.update().where(ours, _free(deliveries))
            holding = held.values(token=token, lease_until=now() + LEASE).returning(deliveries.c.tries)
            with self._write() as write:
                tries = write.execute(holding).scalar_one_or_none()
                if tries is not None:
                    told = write.execute(sa.select(events).where(events.c.id == row.event)).one()
                    to = write.execute(sa.select(webhooks).where(webhooks.c.id == row.webhook)).one()
                    return Sending(_webhook(to), event_of(told), token, tries)

    def arrived(self, delivery: Sending, status: int, payload: str | None = None) -> None:
        """It was taken; the failures in a row begin anew. `payload`: what is to be kept of what was sent."""
        with self._write() as write:
            _lock(write, delivery)
            if moved(write, deliveries.delete().where(_held(delivery))):
                _record(write, delivery, status, None, payload)
                ours = sa.and_(webhooks.c.id == delivery.webhook.id, webhooks.c.failures > 0)
                write.execute(webhooks.update().where(ours).values(failures=0))

    def missed(self, delivery: Sending, status: int | None, why: str, payload: str | None = None) -> bool:
        """It was not taken: it is due again after a pause, or given up after so many retries. Gives whether it is.
        `payload`: as above."""
        over = delivery.tries >= RETRIES
        pause = min(LONGEST_PAUSE, PAUSE * 2**delivery.tries)
        again = deliveries.update().values(
            tries=delivery.tries + 1, due_at=now() + pause, token=None, lease_until=None
        )
        with self._write() as write:
            before = _lock(write, delivery)
            if moved(write, (deliveries.delete() if over else again).where(_held(delivery))):
                _record(write, delivery, status, why, payload)
                failures = webhooks.c.failures + 1
                opened = sa.case((failures >= BREAKS, sa.func.coalesce(webhooks.c.opened_at, now())))
                ours = webhooks.c.id == delivery.webhook.id
                missed = webhooks.update().where(ours).values(failures=failures, opened_at=opened)
                after = write.execute(missed.returning(webhooks)).one()
                if after.opened_at is not None:
                    waiting = deliveries.c.webhook == delivery.webhook.id
                    write.execute(deliveries.update().where(waiting).values(due_at=NEVER))
                if before and before.opened_at is None and after.opened_at is not None:
                    _tell(write, "webhook_amended", OURSELVES, after, before)
        return over


def _wants(event: Event) -> sa.ColumnElement[bool]:
    ours = sa.or_(webhooks.c.tenant.is_(None), webhooks.c.tenant == event.tenant)
    return sa.and_(webhooks.c.event == event.name, ours)


def _record(
    write: sa.Connection, delivery: Sending, status: int | None, why: str | None, payload: str | None
) -> None:
    record(write, delivery.webhook.id, delivery.event.id, delivery.webhook.url, status, why, payload)


def _lock(write: sa.Connection, delivery: Sending) -> Any | None:
    """The webhook before its messages, as everybody takes them; None when it is gone."""
    return write.execute(_locked(webhooks.c.id == delivery.webhook.id)).one_or_none()


def _locked(ours: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(webhooks).where(ours).with_for_update(key_share=True)


def _tell(write: sa.Connection, name: str, who: Who, after: Any, before: Any = None) -> None:
    """Tell of what has changed, if anything has; without `before` of what it begins with."""
    pairs = {column: [getattr(before, column, None), getattr(after, column)] for column in TOLD}
    nothing: tuple[Any, ...] = () if before else (0, [], {})
    changed = {
        column: pair for column, pair in pairs.items() if pair[0] != pair[1] and pair[1] not in nothing
    }
    if changed:
        tell_of_webhook(write, after.id, after.tenant, name, who, changed=changed)


# Asked once in a statement, so that an index can answer what is compared with it.
MOMENT = sa.select(now()).scalar_subquery()


def _next() -> sa.Select[Any]:
    """The next message: of a tenant with the fewest under way, so that none holds up the others, the one that has been
    due for longest. Of each webhook only its first is looked at, however many wait."""
    other, theirs, waiting = deliveries.alias("other"), webhooks.alias("theirs"), deliveries.alias("waiting")
    under_way = sa.and_(other.c.token.is_not(None), other.c.lease_until > MOMENT)
    of_tenants = sa.select(theirs.c.tenant, sa.func.count().label("n")).select_from(other.join(theirs))
    held = of_tenants.where(under_way).group_by(theirs.c.tenant).subquery("held")
    same = held.c.tenant.is_not_distinct_from(webhooks.c.tenant)
    busy = webhooks.c.id.in_(sa.select(other.c.webhook).where(under_way))
    ready = sa.and_(webhooks.c.opened_at.is_(None), webhooks.c.disabled_at.is_(None), ~busy)
    anything = sa.exists(sa.select(waiting.c.event).where(waiting.c.due_at <= MOMENT))
    candidates = sa.select(
        webhooks.c.id.label("webhook"),
        sa.func.coalesce(held.c.n, 0).label("n"),
        _first("due_at").label("since"),
        _first("event").label("event"),
    )
    found = candidates.select_from(webhooks.outerjoin(held, same)).where(ready, anything).subquery()
    wanted = sa.select(found.c.webhook, found.c.event).where(found.c.since.is_not(None))
    return wanted.order_by(found.c.n, found.c.since, found.c.event).limit(1)


def _first(column: str) -> sa.ScalarSelect[Any]:
    """Of the message to a webhook that has been due for longest."""
    first = sa.select(deliveries.c[column]).correlate(webhooks)
    due = first.where(deliveries.c.webhook == webhooks.c.id, deliveries.c.due_at <= MOMENT)
    return due.order_by(deliveries.c.due_at, deliveries.c.event).limit(1).scalar_subquery()


NEXT = _next()  # kept, because to put it together takes longer than to run it


def _free(table: Any) -> sa.ColumnElement[bool]:
    return sa.or_(table.c.token.is_(None), table.c.lease_until <= now())


def _held(delivery: Sending) -> sa.ColumnElement[bool]:
    ours = sa.and_(deliveries.c.webhook == delivery.webhook.id, deliveries.c.event == delivery.event.id)
    return sa.and_(ours, deliveries.c.token == delivery.token)


def _ours(webhook_id: str, tenant: str | None) -> sa.ColumnElement[bool]:
    return sa.and_(webhooks.c.id == webhook_id, _own(tenant))


def _own(tenant: str | None) -> sa.ColumnElement[bool]:
    return sa.true() if tenant is None else webhooks.c.tenant == tenant


def _missing(webhook_id: str) -> NotFound:
    return NotFound("There is no such webhook.", wrong=webhook_id[:40])


TIMES = {"created_at": moment, "updated_at": moment, "disabled_at": maybe, "opened_at": maybe}


def _webhook(row: Any) -> Webhook:
    known = {column.name: getattr(row, column.name) for column in webhooks.c}
    times = {name: read(known[name]) for name, read in TIMES.items()}
    return Webhook(**known | times | {"include": tuple(known["include"])})
