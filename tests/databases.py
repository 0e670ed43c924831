"""The same tables and rows on SQLite and PostgreSQL, to ask both the same question."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from outhaul import filters
from outhaul.catalog import Catalog, Resource
from outhaul.filters import EVERYTHING, Condition
from outhaul.predicates import Reader
from outhaul.sources import _reflect_postgresql, _reflect_sqlite

SHOP = (
    "CREATE TABLE companies (id integer PRIMARY KEY, name text)",
    """CREATE TABLE customers (id integer PRIMARY KEY, email text NOT NULL, company_id integer REFERENCES companies,
    password_hash text)""",
    """CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, total decimal(10,2),
    amount decimal, placed_at timestamp, deleted_at timestamp, created_at timestamp, customer_ref text)""",
    "CREATE TABLE line_items (id integer PRIMARY KEY, order_id integer REFERENCES orders, code varchar(10))",
    "CREATE TABLE skus (id integer PRIMARY KEY, code varchar(10) NOT NULL UNIQUE)",
    "CREATE TABLE schema_migrations (version text)",
)


@dataclass(frozen=True)
class Database:
    """One database with tables in it; `dialect` is "sqlite" or "postgresql"."""

    dialect: str
    url: str
    engine: sa.Engine

    def run(self, *statements: str) -> None:
        if self.dialect == "sqlite":
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
                for statement in statements:
                    connection.execute(statement)
                connection.commit()
        else:
            with psycopg.connect(self.url, autocommit=True) as postgres:
                for statement in statements:
                    postgres.execute(statement.encode())

    def fill(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        """Values go in as they are, on PostgreSQL as text of unknown type, so that the column decides."""
        rows = [tuple(row) for row in rows]
        marks = ", ".join("?" for _ in rows[0])
        if self.dialect == "sqlite":
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
                connection.commit()
        else:
            with psycopg.connect(self.url, autocommit=True) as postgres:
                statement = f"INSERT INTO {table} VALUES ({marks.replace('?', '%s')})"
                postgres.cursor().executemany(statement.encode(), rows)

    def reflect(self) -> Catalog:
        reflect = _reflect_sqlite.reflect if self.dialect == "sqlite" else _reflect_postgresql.reflect
        return reflect(self.url)

    def matching(self, resource: Resource, condition: Condition) -> set[Any]:
        """The `id` of each row that meets the condition."""
        names = [one.column for one in resource.columns]
        table = sa.table(resource.table, *map(sa.column, names), schema=resource.schema).alias("things")
        query = sa.select(table.c.id).where(filters.expression(condition, table, self.dialect))
        with self.engine.connect() as connection:
            found = [row[0] for row in connection.execute(query)]
        assert len(found) == len(set(found)), "a condition doubled rows"
        return set(found)

    def asked(self, catalog: Catalog, resource: str, asked: Mapping[str, Any]) -> set[Any]:
        """The `id` of each row that the filters match."""
        reader = Reader(catalog, lambda *_: EVERYTHING)
        one = catalog.resources[resource]
        return self.matching(one, reader.read(one, asked))

    def says(self, condition: Condition, row: Mapping[str, str | None]) -> bool:
        """Whether one row of texts, in no table at all, meets the condition."""
        values = (
            sa.cast(sa.bindparam(None, value, sa.Text()), sa.Text()).label(name)
            for name, value in row.items()
        )
        table = sa.select(*values).subquery()
        query = (
            sa.select(sa.func.count())
            .select_from(table)
            .where(filters.expression(condition, table, self.dialect))
        )
        with self.engine.connect() as connection:
            return connection.execute(query).scalar_one() == 1


@contextmanager
def sqlite(path: Path) -> Iterator[Database]:
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.StaticPool)
    yield Database("sqlite", f"sqlite:///{path}", engine)
    engine.dispose()


@contextmanager
def postgresql(url: str) -> Iterator[Database]:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.StaticPool)
    yield Database("postgresql", url, engine)
    engine.dispose()
