"""Events as resources of their own: pages and cursors over what happened, for those who may see it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from outhaul.export import Sight, Stretch
from outhaul.ledger.clock import now
from outhaul.ledger.events import Event, event_of
from outhaul.ledger.exports import in_sight
from outhaul.ledger.sifted import sifted_events
from outhaul.ledger.tables import events, exports
from outhaul.ledger.tokens import Tokens


class Told(Tokens):
    """What happened to all exports, newest first, those that were removed too."""

    def told(
        self, sight: Sight, names: Sequence[str], export_id: str | None, asked: Stretch
    ) -> tuple[tuple[Event, ...], int]:
        """A page of the events of these names, of one export or of all, and how many there are. What a reader of
        filters raises."""
        rows = sifted_events(asked.lens, self.dialect)
        wanted = [*_wanted(sight, names, export_id), *rows.where(asked.where)]
        by = [*rows.order(asked.order), events.c.id.desc()]
        page = sa.select(events).where(*wanted).order_by(*by).limit(asked.limit).offset(asked.offset)
        every = sa.select(sa.func.count()).select_from(events).where(*wanted)
        with self._read() as read:
            total = read.execute(every).scalar_one()
            return tuple(event_of(row) for row in read.execute(page)), total

    def told_before(
        self, sight: Sight, names: Sequence[str], export_id: str | None, limit: int, before: str | None
    ) -> tuple[Event, ...]:
        """As many events as that, from the one that follows `before` on; None: from the newest on. None follow an event
        that there is not."""
        wanted = _wanted(sight, names, export_id)
        if before is not None:
            cursor = events.alias()
            wanted.append(
                events.c.id < sa.select(cursor.c.id).where(cursor.c.public == before).scalar_subquery()
            )
        with self._look() as read:
            found = sa.select(events).where(*wanted).order_by(events.c.id.desc()).limit(limit)
            return tuple(event_of(row) for row in read.execute(found))

    def told_once(self, sight: Sight, names: Sequence[str], public: str) -> Event | None:
        """One event; None when there is none that is known by this, or it is out of sight."""
        wanted = sa.select(events).where(events.c.public == public, *_wanted(sight, names, None))
        with self._look() as read:
            row = read.execute(wanted).one_or_none()
            return None if row is None else event_of(row)

    def amend_event(
        self, sight: Sight, names: Sequence[str], public: str, changes: Mapping[str, Any]
    ) -> Event | None:
        """Set `reference`, `reference_origin` or `metadata` of an event; None as above."""
        ours = [events.c.public == public, *_wanted(sight, names, None)]
        amended = events.update().where(*ours).values(updated_at=now(), **changes).returning(events)
        with self._write() as write:
            row = write.execute(amended).one_or_none()
            return None if row is None else event_of(row)

    def told_each(self, sight: Sight, names: Sequence[str], ids: Collection[int]) -> dict[int, Event]:
        """Those of these events that are there and in sight, by id."""
        wanted = sa.select(events).where(events.c.id.in_(ids), *_wanted(sight, names, None))
        with self._look() as read:
            return {row.id: event_of(row) for row in read.execute(wanted)}


def _wanted(sight: Sight, names: Sequence[str], export_id: str | None) -> list[sa.ColumnElement[bool]]:
    wanted: list[sa.ColumnElement[bool]] = [events.c.name.in_(names)]
    if export_id is not None:
        wanted.append(events.c.export == export_id)
    if sight.tenant is not None:
        wanted.append(events.c.tenant == sight.tenant)
    if sight.resources:
        # What a removed export has read is not known any more, so only whoever sees everything is told of it.
        wanted.append(sa.exists().where(exports.c.id == events.c.export, in_sight(sight)))
    return wanted
