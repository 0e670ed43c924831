"""The demo's own reader of the database: plain joins and sums, through nothing that exports use."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from outhaul.catalog import Field, Resource
from outhaul.demo.looks import Count, Look, plain, sum_floats

ROWS = 10_000


def engine(url: str) -> sa.Engine:
    """An engine on the user's URL, which need not name a driver; it keeps no connection open."""
    parsed = sa.make_url(url)
    drivers = {
        "sqlite": "sqlite+pysqlite",
        "postgres": "postgresql+psycopg",
        "postgresql": "postgresql+psycopg",
    }
    return sa.create_engine(
        parsed.set(drivername=drivers.get(parsed.drivername, parsed.drivername)), poolclass=sa.NullPool
    )


def count(connection: sa.Connection, look: Look) -> Count:
    """The same facts as of a file, of the rows that the file must hold."""
    joined, here = _joined(look)
    rows = connection.scalar(sa.select(sa.func.count()).select_from(joined)) or 0
    keys = sa.select(*(here.c[field.column] for field in look.key)).select_from(joined).distinct().subquery()
    distinct = connection.scalar(sa.select(sa.func.count()).select_from(keys)) if look.key else 0
    sums = _exact_sums(connection, joined, here, look.exact)
    sums |= _float_sums(connection, joined, here, look.floats)
    return Count(rows, distinct or 0, sums)


def fit(connection: sa.Connection, look: Look) -> Look:
    """The look without columns of a SQLite table that hold something else than their declared kind of number."""
    if connection.dialect.name != "sqlite":
        return look
    floats = _of_class(connection, look.resource, look.floats, ("integer", "real"))
    return replace(look, exact=_of_class(connection, look.resource, look.exact, ("integer",)), floats=floats)


def _of_class(
    connection: sa.Connection, resource: Resource, fields: tuple[Field, ...], classes: tuple[str, ...]
) -> tuple[Field, ...]:
    here = _table(resource, "r0")
    kinds = (sa.func.typeof(here.c[field.column]) for field in fields)
    strange = _one(
        connection, here, [sa.func.count().filter(kind.not_in((*classes, "null"))) for kind in kinds]
    )
    return tuple(field for field, rows in zip(fields, strange, strict=True) if not rows)


def rows_of(connection: sa.Connection, resource: Resource) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(_table(resource, "r0"))) or 0


def _table(resource: Resource, alias: str) -> sa.FromClause:
    columns: Iterable[sa.ColumnClause[Any]] = (sa.column(field.column) for field in resource.columns)
    return sa.table(resource.table, *columns, schema=resource.schema).alias(alias)


def _joined(look: Look) -> tuple[sa.FromClause, sa.FromClause]:
    here: sa.FromClause = _table(look.root, "r0")
    joined = here
    for depth, (relationship, resource) in enumerate(look.steps, 1):
        there = _table(resource, f"r{depth}")
        joined = joined.join(
            there, sa.and_(*(here.c[ours] == there.c[theirs] for ours, theirs in relationship.on))
        )
        here = there
    return joined, here


def _one(
    connection: sa.Connection, joined: sa.FromClause, wanted: Iterable[sa.ColumnElement[Any]]
) -> list[Any]:
    columns = list(wanted)
    return list(connection.execute(sa.select(*columns).select_from(joined)).one()) if columns else []


def _exact_sums(
    connection: sa.Connection, joined: sa.FromClause, here: sa.FromClause, fields: tuple[Field, ...]
) -> dict[str, str]:
    columns = [here.c[field.column] for field in fields]
    if (
        connection.dialect.name == "sqlite"
    ):  # its sum() of integers stops at 64 bits: two halves cannot reach that
        halves = [half for column in columns for half in (column.op(">>")(32), column.op("&")(0xFFFFFFFF))]
        found = [int(half or 0) for half in _one(connection, joined, map(sa.func.sum, halves))]
        totals = [str((high << 32) + low) for high, low in zip(found[::2], found[1::2], strict=True)]
    else:
        totals = _one(connection, joined, (sa.cast(sa.func.sum(column), sa.Text) for column in columns))
    return {field.name: plain(Decimal(total or 0)) for field, total in zip(fields, totals, strict=True)}


def _float_sums(
    connection: sa.Connection, joined: sa.FromClause, here: sa.FromClause, fields: tuple[Field, ...]
) -> dict[str, str]:
    if not fields:
        return {}
    values = [array("d") for _ in fields]
    query = sa.select(*(here.c[field.column] for field in fields)).select_from(joined)
    with connection.execution_options(stream_results=True, yield_per=ROWS).execute(query) as found:
        for rows in found.partitions():
            for column, read in zip(values, zip(*rows, strict=True), strict=True):
                column.extend(float(value) for value in read if value is not None)
    return {field.name: sum_floats(column) for field, column in zip(fields, values, strict=True)}
