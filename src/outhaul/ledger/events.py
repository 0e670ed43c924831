"""Events: every change of an export or a webhook with who did it, written in the transaction of the change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from outhaul.export import Caller
from outhaul.ledger.clock import maybe, moment, now
from outhaul.ledger.database import Database
from outhaul.ledger.tables import deliveries, events, exports, webhooks

NEVER = (
    1e12  # when a message is due whose receiver is not to be asked; so that no look at what is due meets it
)
OURSELVES = "outhaul"  # who did it, where nobody asked for it
Who = str | Caller
OF_WEBHOOKS = ("webhook_created", "webhook_amended", "webhook_removed")  # names of what happens to one


@dataclass(frozen=True, slots=True)
class Event:
    """`name`: created amended started planned remade interrupted resumed completed failed expired removed, and
    downloaded, which changes nothing; of OF_WEBHOOKS, and then `export` is the webhook. `data["changed"]`: what callers
    see of a change, `{name: [before, after]}` in our names; `data["by"]`: what its token said of an application and its
    owner. `reference`, `reference_origin` and `metadata`: what somebody has added, at `updated_at`. `id`: its number,
    which counts those of all tenants; `public`: what it is known by to those who ask."""

    id: int
    public: str
    export: str
    name: str
    at: datetime
    who: str
    data: dict[str, Any]
    tenant: str | None = None
    updated_at: datetime | None = None
    reference: str | None = None
    reference_origin: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Events(Database):
    """What happened."""

    def events(self, export_id: str) -> tuple[Event, ...]:
        """Everything that happened to an export, oldest first; still there after its removal."""
        with self._look() as read:
            rows = read.execute(sa.select(events).where(events.c.export == export_id).order_by(events.c.id))
            return tuple(event_of(row) for row in rows)

    def note(self, export_id: str, name: str, who: str, **data: Any) -> None:
        """Write down what changes nothing in the ledger: a download."""
        with self._jot() as write:
            tell(write, export_id, name, who, **data)


def event_of(row: Any) -> Event:
    return Event(
        id=row.id,
        public=row.public,
        export=row.export,
        name=row.name,
        at=moment(row.at),
        who=row.who,
        data=row.data,
        tenant=row.tenant,
        updated_at=maybe(row.updated_at),
        reference=row.reference,
        reference_origin=row.reference_origin,
        metadata=row.metadata or {},
    )


def tell(write: sa.Connection, export_id: str, name: str, who: Who = OURSELVES, **data: Any) -> None:
    """Add an event to the transaction of the change that it tells of, and to the outbox whoever wants to know."""
    told = {"of": export_id, "what": name}
    number = write.execute(TOLD, told | _by(who, data)).scalar_one()
    write.execute(WANTED, told | {"number": number})


def tell_of_webhook(
    write: sa.Connection, webhook_id: str, tenant: str | None, name: str, who: Who, **data: Any
) -> None:
    """The same of a webhook, by a name of OF_WEBHOOKS; no other is told of it."""
    told = _by(who, data)
    row = {"export": webhook_id, "tenant": tenant, "name": name, "who": told["by"], "data": told["more"]}
    write.execute(events.insert().values(row))


def _by(who: Who, data: dict[str, Any]) -> dict[str, Any]:
    """Who did it, and beside the data what the token said."""
    if not isinstance(who, Caller):
        return {"by": who, "more": data}
    said = {"application": dict(who.application), "owner": dict(who.owner)}
    return {"by": who.id, "more": data | ({"by": said} if any(said.values()) else {})}


def _told() -> sa.Executable:
    more = sa.bindparam("more", type_=events.c.data.type)
    row = {"export": OF, "tenant": TENANT, "name": WHAT, "who": sa.bindparam("by"), "data": more}
    return events.insert().values(row).returning(events.c.id)


def _wanted() -> sa.Insert:
    """To the outbox of every webhook that wants to know."""
    ours = sa.or_(webhooks.c.tenant.is_(None), webhooks.c.tenant == TENANT)
    due = sa.case((webhooks.c.opened_at.is_not(None), NEVER), else_=now())
    wanting = sa.select(webhooks.c.id, sa.bindparam("number", type_=sa.BigInteger), due).where(
        webhooks.c.event == WHAT, ours, webhooks.c.disabled_at.is_(None)
    )
    # Locked, so that a circuit which closes meanwhile is either seen here, or sees what is added here.
    wanting = wanting.with_for_update(read=True, of=webhooks)
    return deliveries.insert().from_select(["webhook", "event", "due_at"], wanting)


# Of every transition, and kept because to put them together takes longer than to run them.
OF, WHAT = sa.bindparam("of", type_=sa.Text), sa.bindparam("what", type_=sa.Text)
TENANT = sa.select(exports.c.tenant).where(exports.c.id == OF).scalar_subquery()
TOLD, WANTED = _told(), _wanted()
