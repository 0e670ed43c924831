"""Lists of exports: filtered, sorted, in pages, the same on every database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from outhaul.export import ALL, Export, Sight, Status, View
from outhaul.ledger.events import Event, event_of
from outhaul.ledger.exports import Exports, in_sight
from outhaul.ledger.progress import shown, shown_exports
from outhaul.ledger.seen import KINDS, seen
from outhaul.ledger.tables import events, exports

PLAIN = View(names={name: name for name in KINDS}, words={status: status for status in Status})
NEWEST = (("created_at", True),)


class Listing(Exports):
    """Many exports at once."""

    def list(
        self,
        sight: Sight = ALL,
        where: Mapping[str, Any] | None = None,
        order: Sequence[tuple[str, bool]] = NEWEST,
        limit: int = 25,
        offset: int = 0,
        view: View = PLAIN,
    ) -> tuple[tuple[Export, ...], int]:
        """A page, and how many there are in all. `where`: filters in the names of the view (`status_in`,
        `reference_start`); `order`: names of SORTABLE, each with whether it descends. What has no value comes last
        either way; ties are broken by id. Raises what a reader of filters raises: UnknownField, UnknownPredicate,
        WrongValue, TooMuch."""
        rows = seen(view, self.dialect)
        condition = rows.read(where or {})
        found = [in_sight(sight), *rows.asked(condition)]
        tables = rows.events(condition)
        by = [rows.order(name, descends) for name, descends in order]
        # Ids alone, because an index holds all that this reads, and rows are long.
        page = sa.select(exports.c.id).where(*found).order_by(*by, exports.c.id).limit(limit).offset(offset)
        every = sa.select(sa.func.count()).select_from(exports).where(*found)
        with self._read() as read:
            total = read.execute(every.add_cte(*tables)).scalar_one()
            ids = read.execute(page.add_cte(*tables)).scalars().all()
            rest = shown_exports(read.execute(shown().where(exports.c.id.in_(ids))).all())
        return tuple(sorted(rest, key=lambda export: ids.index(export.id))), total

    def events_of(self, ids: Sequence[str], names: Sequence[str]) -> dict[str, tuple[Event, ...]]:
        """The events of these names of some exports, by export, oldest first."""
        wanted = sa.select(events).where(events.c.export.in_(ids), events.c.name.in_(names))
        found: dict[str, tuple[Event, ...]] = {}
        with self._read() as read:
            for row in read.execute(wanted.order_by(events.c.export, events.c.id)):
                found[row.export] = (*found.get(row.export, ()), event_of(row))
        return found
