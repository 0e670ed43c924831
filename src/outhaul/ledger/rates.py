"""Rates that hold over all processes: hits by key, counted under a lock on their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from outhaul.ledger.clock import now
from outhaul.ledger.outbox import Outbox
from outhaul.ledger.tables import rates
from outhaul.rates import Bound, Hits, Room, hit, room


class Rates(Outbox):
    """Requests let in under rates."""

    def let_in(self, wanted: Mapping[str, Bound]) -> Mapping[str, Room]:
        """Whether one more is let in under every one of these keys' rates, and what is left. One that is not is
        counted under none, and writes nothing."""
        with self._read() as read:
            found = _rooms(wanted, _hits(read, wanted), _now(read))
        if any(one.wait for one in found.values()):
            return found
        with self._jot() as write:
            hits = _hits(write, wanted, lock=True)
            moment = _now(write)
            found = _rooms(wanted, hits, moment)
            if any(one.wait for one in found.values()):
                return found
            for key, rate in wanted.items():
                row = {"hits": hit(rate, hits[key], moment), "until": moment + 2 * rate.interval}
                write.execute(rates.update().where(rates.c.key == key).values(row))
        return {key: Room(one.rate, one.remaining - 1, 0.0) for key, one in found.items()}


def _now(read: sa.Connection) -> float:
    """Asked when the rows are locked, so that hits are remembered in the order of their time."""
    return float(read.execute(sa.select(now())).scalar_one())


def _rooms(wanted: Mapping[str, Bound], hits: Mapping[str, Hits], moment: float) -> dict[str, Room]:
    return {key: room(rate, hits[key], moment) for key, rate in wanted.items()}


def _hits(connection: sa.Connection, wanted: Mapping[str, Bound], *, lock: bool = False) -> dict[str, Hits]:
    """The hits under each key; `lock`: each has a row then, which is ours until the transaction ends."""
    # By key: two requests that lock the same rows lock them in the same order.
    query = sa.select(rates.c.key, rates.c.hits).where(rates.c.key.in_(wanted)).order_by(rates.c.key)
    if lock:
        query = query.with_for_update()
    found = {row.key: row.hits for row in connection.execute(query)}
    if lock and len(found) < len(wanted):
        _forget(connection)
        for key in sorted(wanted):
            connection.execute(_unless_there(connection, {"key": key, "hits": [], "until": now() + 3600.0}))
        found = {row.key: row.hits for row in connection.execute(query)}
    return {key: found.get(key, ()) for key in wanted}


def _forget(connection: sa.Connection) -> None:
    """Remove some of those that count no more; what somebody else has locked is left alone."""
    old = sa.select(rates.c.key).where(rates.c.until < now()).limit(100).with_for_update(skip_locked=True)
    connection.execute(rates.delete().where(rates.c.key.in_(connection.execute(old).scalars().all())))


def _unless_there(connection: sa.Connection, row: Mapping[str, Any]) -> sa.Insert:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    made: sa.Insert = dialect.insert(rates).values(row).on_conflict_do_nothing()
    return made
