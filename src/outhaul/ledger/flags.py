"""Flags that hold for every process of a ledger at once: up, or not there."""

from __future__ import annotations

import sqlalchemy as sa

from outhaul.ledger.clock import now
from outhaul.ledger.rates import Rates
from outhaul.ledger.tables import flags

# Asked with every request, and kept because to put it together takes longer than to run it.
UP = sa.select(flags.c.up_at).where(flags.c.name == sa.bindparam("sought"))


class Flags(Rates):
    """What an operator has put up or taken down."""

    def put_up(self, name: str) -> bool:
        """False when it was up already."""
        with self._write("flag") as write:
            if write.execute(UP, {"sought": name}).first() is not None:
                return False
            write.execute(flags.insert().values(name=name, up_at=now()))
            return True

    def take_down(self, name: str) -> bool:
        """False when it was not up."""
        with self._write() as write:
            return write.execute(flags.delete().where(flags.c.name == name)).rowcount > 0

    def is_up(self, name: str) -> bool:
        with self._look() as read:
            return read.execute(UP, {"sought": name}).first() is not None
