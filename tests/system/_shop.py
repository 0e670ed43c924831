"""A small shop with two companies in it, the same on every source; each text field carries its company's canary."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

TABLES: Mapping[str, str] = {
    "countries": "id varchar(2) PRIMARY KEY, name text NOT NULL",
    "customers": (
        "id integer PRIMARY KEY, company_id integer NOT NULL, country_id varchar(2) REFERENCES countries (id), "
        "name text NOT NULL, email text, note text"
    ),
    "skus": (
        "id integer PRIMARY KEY, company_id integer NOT NULL, code text NOT NULL UNIQUE, name text, "
        "price decimal(10,2) NOT NULL, note text"
    ),
    "tags": "id integer PRIMARY KEY, company_id integer NOT NULL, name text NOT NULL, note text",
    "orders": (
        "id integer PRIMARY KEY, customer_id integer NOT NULL REFERENCES customers (id), "
        "referrer_id integer REFERENCES customers (id), number text NOT NULL, placed_at timestamp, "
        "total decimal(12,2) NOT NULL, note text"
    ),
    "line_items": (
        "id integer PRIMARY KEY, order_id integer NOT NULL REFERENCES orders (id), "
        "sku_id integer REFERENCES skus (id), quantity integer NOT NULL, amount decimal(12,2) NOT NULL, note text"
    ),
    "order_tags": (
        "order_id integer NOT NULL REFERENCES orders (id), tag_id integer NOT NULL REFERENCES tags (id), note text, "
        "PRIMARY KEY (order_id, tag_id)"
    ),
}


@dataclass(frozen=True, slots=True)
class Shop:
    """Sizes of the shop; rows alternate between company 1 and company 2. Everything is decided by the numbers."""

    customers: int = 20
    orders: int = 60
    lines: int = 3  # of an order
    skus: int = 16
    tags: int = 6
    note: int = 20  # bytes of each note
    crossing: bool = False  # some keys lead into the other company

    def company(self, number: int) -> int:
        return 1 + number % 2

    def canary(self, table: str, number: int, column: str) -> str:
        return f"{'ALPHA' if self.company(number) == 1 else 'OMEGA'}-{table}-{number}-{column}"

    def note_of(self, table: str, number: int) -> str:
        """The canary and, up to the length of a note, letters that hardly shrink."""
        begin = self.canary(table, number, "note")
        return begin + hashlib.shake_128(begin.encode()).hexdigest(max(0, self.note - len(begin)) // 2)

    def tables(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        """(table, rows), parents first."""
        yield "countries", [("de", "Germany"), ("fr", "France")]
        yield "customers", [self._customer(n) for n in range(1, self.customers + 1)]
        yield "skus", [self._sku(n) for n in range(1, self.skus + 1)]
        yield (
            "tags",
            [
                (n, self.company(n), self.canary("tags", n, "name"), self.note_of("tags", n))
                for n in range(1, self.tags + 1)
            ],
        )
        yield "orders", [self._order(n) for n in range(1, self.orders + 1)]
        yield (
            "line_items",
            [
                self._line(order, index)
                for order in range(1, self.orders + 1)
                for index in range(order % (self.lines + 1))
            ],
        )
        yield "order_tags", [row for order in range(1, self.orders + 1) for row in self._tags(order)]

    def _peer(self, number: int, count: int, step: int, *, cross: bool) -> int:
        """A number up to `count` of the same company, or, where keys cross, of the other one."""
        found = 1 + (number * step) % count
        if (self.company(found) == self.company(number)) is cross:
            found = found % count + 1
        return found

    def _customer(self, n: int) -> tuple[Any, ...]:
        country = ("de", "fr", None)[n % 3]
        email = None if n % 5 == 0 else f"{self.canary('customers', n, 'email')}@example.org"
        return (
            n,
            self.company(n),
            country,
            self.canary("customers", n, "name"),
            email,
            self.note_of("customers", n),
        )

    def _sku(self, n: int) -> tuple[Any, ...]:
        name = "" if n % 7 == 0 else self.canary("skus", n, "name")
        price = f"{n * 137 % 10000}.{n % 100:02}"
        return n, self.company(n), self.canary("skus", n, "code"), name, price, self.note_of("skus", n)

    def _order(self, n: int) -> tuple[Any, ...]:
        customer = self._peer(n, self.customers, 7, cross=False)
        crossed = self.crossing and n % 4 < 2
        referrer = None if n % 3 == 0 else self._peer(n, self.customers, 11, cross=crossed)
        placed = None if n % 9 == 0 else f"2026-{1 + n % 12:02}-{1 + n % 28:02} {n % 24:02}:00:00"
        number = self.canary("orders", n, "number")
        return n, customer, referrer, number, placed, f"{n * 31}.{n % 100:02}", self.note_of("orders", n)

    def _line(self, order: int, index: int) -> tuple[Any, ...]:
        # Orders and their lines are of one company: the line's number keeps the parity of its order.
        n = 2 * (order // 2 * (self.lines + 1) + index) + order % 2 + 2
        crossed = self.crossing and index == 1
        sku = None if n % 13 == 0 else self._peer(n, self.skus, 5, cross=crossed)
        return n, order, sku, 1 + n % 9, f"{n * 3}.{n % 100:02}", self.note_of("line_items", n)

    def _tags(self, order: int) -> Iterator[tuple[Any, ...]]:
        tag = self._peer(order, self.tags, 3, cross=self.crossing and order % 5 == 0)
        if order % 4:
            yield order, tag, self.note_of("order_tags", order)


def fill_sqlite(path: Path, shop: Shop) -> str:
    """A fresh SQLite file in WAL mode with the shop in it; gives its URL."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    for table, rows in shop.tables():
        connection.execute(f"CREATE TABLE {table} ({TABLES[table]})")
        places = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)
    connection.commit()
    connection.close()
    return f"sqlite:///{path}"


def fill_postgres(url: str, shop: Shop) -> str:
    """The shop in an empty PostgreSQL database, with statistics; gives its URL."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table, rows in shop.tables():
            connection.execute(f"CREATE TABLE {table} ({TABLES[table]})")
            copy_in(connection, table, rows)
        connection.execute("ANALYZE")
    return url


def copy_in(connection: psycopg.Connection[Any], table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))) as copy:
        for row in rows:
            copy.write_row(row)


def catalog_file(rules: Mapping[str, str]) -> str:
    """A catalog file that offers the shop's tables, each with its tenant rule, and countries without one."""
    offered = [f'[resources.{name}]\ntenant = "{rule}"\n' for name, rule in rules.items()]
    return "\n".join(["[resources.countries]\n", *offered])
