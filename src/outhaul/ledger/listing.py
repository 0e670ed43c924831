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
LAST = 100  # events of an export or a webhook that are told beside it; their own list has all
TOGETHER = 100  # of which are asked for in one question: SQLite joins no more than 500 selects


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

    def recent(
        self, sight: Sight, dialect: str, limit: int, before: tuple[float, str] | None = None
    ) -> tuple[Export, ...]:
        """The newest exports that were asked for in one dialect. `before`: only those older than the one that was made
        then, in seconds since 1970, under this id, be it still there or not."""
        made, named = exports.c.created_at, exports.c.id
        found = [in_sight(sight), exports.c.dialect == dialect]
        if before:
            found.append(sa.or_(made < before[0], sa.and_(made == before[0], named < before[1])))
        page = sa.select(named).where(*found).order_by(made.desc(), named.desc()).limit(limit)
        with self._read() as read:
            ids = read.execute(page).scalars().all()
            rest = shown_exports(read.execute(shown().where(named.in_(ids))).all())
        return tuple(sorted(rest, key=lambda export: ids.index(export.id)))

    def events_of(
        self, ids: Sequence[str], names: Sequence[str], most: int | None = None
    ) -> dict[str, tuple[Event, ...]]:
        """The events of these names of some exports or webhooks, by id, the newest LAST of each, oldest first; when
        `most` in all have been read, the others are passed over."""
        found: dict[str, list[Event]] = {one: [] for one in ids}
        with self._read() as read:
            for start in range(0, len(ids), TOGETHER):
                if most is not None and sum(map(len, found.values())) >= most:
                    break
                newest = sa.union_all(*(_newest(one, names) for one in ids[start : start + TOGETHER]))
                wanted = sa.select(events).where(events.c.id.in_(newest)).order_by(events.c.id)
                for row in read.execute(wanted):
                    found[row.export].append(event_of(row))
        return {one: tuple(told) for one, told in found.items()}

    def counts_of(self, ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """The rows that matched in each selection, by export; of those whose rows were counted."""
        wanted = sa.select(exports.c.id, exports.c.counts).where(
            exports.c.id.in_(ids), exports.c.counts.is_not(None)
        )
        with self._look() as read:
            return {row.id: tuple(one[""] for one in row.counts) for row in read.execute(wanted)}


def _newest(of: str, names: Sequence[str]) -> sa.Select[Any]:
    """The ids alone. One export or webhook at a time, because its index ends where enough are found."""
    ours = sa.select(events.c.id).where(events.c.export == of, events.c.name.in_(names))
    return sa.select(ours.order_by(events.c.id.desc()).limit(LAST).subquery().c.id)
