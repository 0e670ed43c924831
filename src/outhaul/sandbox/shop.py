"""The shop as a whole: a SQLite file with two organizations."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path

from outhaul.sandbox import batch, goods, people, places, sales
from outhaul.sandbox.book import Book
from outhaul.sandbox.tables import indexes, schema


@dataclass(frozen=True, slots=True)
class Size:
    """How many of what decides over all else an organization has at scale 1."""

    skus: int
    customers: int
    orders: int


# By their slugs, which are their tenants, too. Lines of orders are four times the orders.
ORGANIZATIONS: Mapping[str, tuple[str, Size]] = {
    "sandbox": ("Sandbox", Size(600, 400, 1_500)),
    "next-door": ("Next door", Size(120, 80, 200)),
}


def make(target: Path, seed: str, scale: float) -> None:
    """Writes the shop to `target` (SQLite, WAL). The same seed and scale make the same rows; only what can be asked
    for by its age is as old each day."""
    today = datetime.combine(datetime.now(UTC).date(), time(), UTC)
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("BEGIN")
        for statement in (*schema(), *batch.schema()):
            connection.execute(statement)
        for slug, (name, size) in ORGANIZATIONS.items():
            _fill(Book(connection, seed, slug), name, size, scale)
            batch.fill(connection, seed, slug, _scaled(size.customers, scale), today)
        for statement in (*indexes(), *batch.indexes()):
            connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")


def _fill(book: Book, name: str, size: Size, scale: float) -> None:
    where = places.fill(book, name)
    what = goods.fill(book, where, _scaled(size.skus, scale))
    who = people.fill(book, where, what, _scaled(size.customers, scale))
    sales.fill(book, what, who, _scaled(size.orders, scale))
    book.close()


def _scaled(many: int, scale: float) -> int:
    return max(1, round(many * scale))
