"""What became of each try to tell a webhook: the last ones are kept, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from outhaul.errors import NotFound
from outhaul.export import Stretch
from outhaul.ledger.clock import moment, now
from outhaul.ledger.sifted import sifted_callbacks
from outhaul.ledger.tables import callbacks, webhooks
from outhaul.ledger.told import Told

KEPT = 100  # of each webhook
SHOWN = 10  # of these with what was sent
LARGEST = 16 << 10  # bytes of that; of what is larger nothing is kept, since a part of it says nothing


@dataclass(frozen=True, slots=True)
class Callback:
    """One try. `status`: of the answer, None when there was none; `why`: it was not taken, None when it was.
    `payload`: what was sent, None when it is not kept. `id` and `public`: as of an event."""

    id: int
    public: str
    webhook: str
    event: int
    url: str
    status: int | None
    why: str | None
    at: datetime
    tenant: str | None = None
    payload: str | None = None


class Callbacks(Told):
    """The tries that are kept. `tenant` None sees those of all."""

    def list_callbacks(
        self, tenant: str | None, webhook_id: str | None, event_id: int | None, asked: Stretch
    ) -> tuple[tuple[Callback, ...], int]:
        """A page, of one webhook, of one event or of all, and how many there are. What a reader of filters raises."""
        rows = sifted_callbacks(asked.lens, self.dialect)
        wanted = [*_seen(tenant), *rows.where(asked.where)]
        for column, value in ((callbacks.c.webhook, webhook_id), (callbacks.c.event, event_id)):
            wanted += [] if value is None else [column == value]
        page = _shown().where(*wanted).order_by(*rows.order(asked.order), callbacks.c.id.desc())
        every = sa.select(sa.func.count()).select_from(callbacks.join(webhooks)).where(*wanted)
        with self._read() as read:
            total = read.execute(every).scalar_one()
            found = read.execute(page.limit(asked.limit).offset(asked.offset))
            return tuple(map(_callback, found)), total

    def last_callbacks(
        self, tenant: str | None, of: str, ids: Sequence[Any], each: int, most: int
    ) -> tuple[Callback, ...]:
        """The newest tries of several webhooks or events, newest first. `of`: "webhook" or "event"; `each`: as many of
        one, `most`: as many in all."""
        newest = sa.func.row_number().over(partition_by=callbacks.c[of], order_by=callbacks.c.id.desc())
        every = sa.select(callbacks.c.id, newest.label("nth")).join(webhooks)
        ours = every.where(callbacks.c[of].in_(ids), *_seen(tenant)).subquery()
        wanted = _shown().join(ours, ours.c.id == callbacks.c.id).where(ours.c.nth <= each)
        with self._look() as read:
            return tuple(map(_callback, read.execute(wanted.order_by(callbacks.c.id.desc()).limit(most))))

    def callback(self, public: str, tenant: str | None) -> Callback:
        """NotFound when it is not there, or no longer."""
        with self._look() as read:
            wanted = _shown().where(callbacks.c.public == public, *_seen(tenant))
            row = read.execute(wanted).one_or_none()
        if row is None:
            raise NotFound("There is no such callback.", wrong=public)
        return _callback(row)


def record(
    write: sa.Connection,
    webhook_id: str,
    event_id: int,
    url: str,
    status: int | None,
    why: str | None,
    payload: str | None = None,
) -> None:
    """Add a try to the transaction that it ends in, and let go of the oldest, and of what older ones have sent."""
    kept = payload if payload is None or len(payload.encode()) <= LARGEST else None
    row = {"webhook": webhook_id, "event": event_id, "url": url, "status": status, "why": why, "at": now()}
    write.execute(callbacks.insert().values(row | {"payload": kept}))
    ours = callbacks.c.webhook == webhook_id
    write.execute(callbacks.delete().where(ours, callbacks.c.id < _nth(webhook_id, KEPT)))
    older = sa.and_(ours, callbacks.c.id < _nth(webhook_id, SHOWN), callbacks.c.payload.is_not(None))
    write.execute(callbacks.update().where(older).values(payload=None))


def _nth(webhook_id: str, n: int) -> sa.ScalarSelect[int]:
    """The number of the nth newest try, NULL when there are not so many."""
    newest = (
        sa.select(callbacks.c.id).where(callbacks.c.webhook == webhook_id).order_by(callbacks.c.id.desc())
    )
    return newest.limit(1).offset(n - 1).scalar_subquery()


def _seen(tenant: str | None) -> list[sa.ColumnElement[bool]]:
    return [] if tenant is None else [webhooks.c.tenant == tenant]


def _shown() -> sa.Select[Any]:
    return sa.select(callbacks, webhooks.c.tenant).join(webhooks)


def _callback(row: Any) -> Callback:
    return Callback(
        id=row.id,
        public=row.public,
        webhook=row.webhook,
        event=row.event,
        url=row.url,
        status=row.status,
        why=row.why,
        at=moment(row.at),
        tenant=row.tenant,
        payload=row.payload,
    )
