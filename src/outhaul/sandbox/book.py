"""The book that a made-up organization is written into: ids, chances and times from a seed, and rows on their way."""

from __future__ import annotations

import json
import sqlite3
import string
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from outhaul.sandbox.tables import COLUMNS

LETTERS = string.ascii_letters
ID_LETTERS = 10  # as in all samples of Commerce Layer's
FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
SPAN = timedelta(days=365)
PAGE = 5_000  # rows that wait to be written


class Book:
    """The rows of one organization. The same seed writes the same rows, whatever the day."""

    def __init__(self, connection: sqlite3.Connection, seed: str, organization: str) -> None:
        self.chance = Random(f"{seed}/{organization}")  # noqa: S311  # made up, and the same each time
        self.organization = organization
        self._connection = connection
        self._waiting: dict[str, list[tuple[Any, ...]]] = {name: [] for name in COLUMNS}

    def add(self, table: str, at: datetime | None = None, /, **values: Any) -> str:
        """A new row, made at a time (default: some time of the year); its id. What is not given is NULL."""
        columns = COLUMNS[table]
        assert values.keys() <= set(columns), values.keys() - set(columns)
        made = at or self.moment()
        row = {
            "id": self.id(),
            "organization_id": self.organization,
            "created_at": shown(made),
            "updated_at": shown(made + timedelta(milliseconds=self.chance.randrange(86_400_000))),
        } | values
        row["metadata"] = json.dumps(values.get("metadata", {}), ensure_ascii=False)
        waiting = self._waiting[table]
        waiting.append(tuple(row.get(name) for name in columns))
        if len(waiting) >= PAGE:
            self._write(table)
        return str(row["id"])

    def id(self) -> str:
        """An id as Commerce Layer's: opaque and short."""
        return "".join(self.chance.choices(LETTERS, k=ID_LETTERS))

    def moment(self, after: datetime | None = None, within: timedelta = SPAN) -> datetime:
        """Some time within a span after another; of the year, if none is given."""
        milliseconds = self.chance.randrange(int(within.total_seconds() * 1000))
        return (after or FIRST_DAY) + timedelta(milliseconds=milliseconds)

    def often(self, percent: float) -> bool:
        """True so many times in a hundred."""
        return self.chance.random() * 100 < percent

    def close(self) -> None:
        """Write what waits."""
        for table in self._waiting:
            self._write(table)

    def _write(self, table: str) -> None:
        marks = ", ".join("?" * len(COLUMNS[table]))
        statement = f"INSERT INTO {table} VALUES ({marks})"  # noqa: S608  # a name of COLUMNS
        self._connection.executemany(statement, self._waiting[table])
        self._waiting[table].clear()


def shown(moment: datetime) -> str:
    """As Commerce Layer writes times: UTC, milliseconds and a Z."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def money(cents: int, currency: str) -> str:
    """As people read it: `€10,00`, `$10.00`."""
    whole, part = divmod(cents, 100)
    return f"€{whole},{part:02}" if currency == "EUR" else f"${whole}.{part:02}"
