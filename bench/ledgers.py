"""Ledgers of very many exports: copies of a completed one, each with an id, times and an organization of its own."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from outhaul.export import Status
from outhaul.ledger.tables import artifacts, events, exports, fragments, parts, reads, snapshots

DAY = 86_400.0
YEAR = 365 * DAY  # over which the exports were created
KEPT = 6 * DAY  # files are kept for seven days by default, and none is to expire while the clock runs
# Of 50 exports 47 were completed, 2 failed and 1 was interrupted.
ENDS = (*[Status.COMPLETED] * 47, *[Status.FAILED] * 2, Status.INTERRUPTED)
MARK = {Status.COMPLETED: "completed_at", Status.FAILED: "failed_at", Status.INTERRUPTED: "interrupted_at"}
BATCH = 20_000  # exports of a transaction
BESIDE = (reads, parts, snapshots, artifacts, events)  # rows of an export that stay when its files are gone

# What tells one copy from another; by it, all rows of all copies are made inside the database.
copies = sa.Table(
    "bench_copies",
    sa.MetaData(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("ended", sa.Text, nullable=False),
    sa.Column("reference", sa.Text, nullable=False),
    sa.Column("age", sa.Double, nullable=False),  # seconds
)


def grow(url: str, pattern: str, many: int, tenants: Sequence[str], seed: int = 1) -> None:
    """Adds `many` copies of the completed export `pattern` to the ledger at `url`, evenly over the tenants and over the
    last year. Files and fragments belong to those of the last days only, as in a ledger that has lived so long."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    drawn = _drawn(random.Random(seed), many, tenants)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            for pragma in ("synchronous = OFF", "cache_size = -500000"):
                connection.exec_driver_sql(f"PRAGMA {pragma}")
        copies.create(connection)
        while rows := [row for _, row in zip(range(BATCH), drawn, strict=False)]:
            connection.execute(copies.insert(), rows)
            _copy_all(connection, pattern)
            connection.execute(copies.delete())
            connection.commit()
        copies.drop(connection)
        connection.commit()
    if engine.dialect.name == "postgresql":  # whose own keeper would have been there in a year
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()


def _drawn(chance: random.Random, many: int, tenants: Sequence[str]) -> Iterator[dict[str, Any]]:
    for number in range(many):
        age = YEAR * (many - number) / many
        end = chance.choice(ENDS)
        yield {
            "id": "".join(chance.choices(string.ascii_letters, k=10)),
            "tenant": tenants[number % len(tenants)],
            "status": end if age < KEPT else Status.EXPIRED,
            "ended": end,
            "reference": f"order-{number:07}",
            "age": age,
        }


def _copy_all(connection: sa.Connection, pattern: str) -> None:
    _copy(connection, exports, pattern, _export())
    for table in BESIDE:
        _copy(connection, table, pattern, _beside(table))
    _copy(connection, fragments, pattern, _beside(fragments), copies.c.status != Status.EXPIRED)


def _copy(
    connection: sa.Connection,
    table: sa.Table,
    pattern: str,
    changed: Mapping[str, sa.ColumnElement[Any]],
    *which: sa.ColumnElement[bool],
) -> None:
    owner = table.c.id if table is exports else table.c.export
    names = [one.name for one in table.c if not (table is events and one.name == "id")]
    chosen = sa.select(*(changed.get(name, table.c[name]).label(name) for name in names))
    source = chosen.select_from(table.join(copies, sa.true())).where(owner == pattern, *which)
    connection.execute(table.insert().from_select(names, source))


def _export() -> dict[str, sa.ColumnElement[Any]]:
    """An export as it would be now if it had been created so long ago, and had ended in its own way."""
    ended = {
        column: sa.case((copies.c.ended == status, exports.c.completed_at - copies.c.age))
        for status, column in MARK.items()
    }
    same = {name: copies.c[name] for name in ("id", "tenant", "status", "reference")}
    return {**_moved(exports), **same, **ended, "littered": sa.false()}


def _beside(table: sa.Table) -> dict[str, sa.ColumnElement[Any]]:
    tenant = {"tenant": copies.c.tenant} if "tenant" in table.c else {}
    # An id of its own for what happened, too.
    known = {"public": copies.c.id.concat(sa.cast(events.c.id, sa.Text))} if table is events else {}
    return {**_moved(table), **tenant, **known, "export": copies.c.id}


def _moved(table: sa.Table) -> dict[str, sa.ColumnElement[Any]]:
    """Every time of a row, so much earlier."""
    times = [one for one in table.c if one.name.endswith("_at") or one.name in {"lease_until", "at"}]
    return {one.name: one - copies.c.age for one in times}
