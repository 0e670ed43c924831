"""Lists of exports: filtered, sorted, in pages, the same on every database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from outhaul.catalog import Catalog, Field, Resource, Type
from outhaul.export import ALL, Export, Sight
from outhaul.filters import EVERYTHING, expression
from outhaul.ledger.exports import Exports, in_sight
from outhaul.ledger.progress import shown, shown_exports
from outhaul.ledger.tables import exports
from outhaul.predicates import Reader

TEXTS = ("id", "status", "resource", "format", "reference", "reference_origin")
NUMBERS = ("matched", "processed")
TIMES = (
    "created_at",
    "updated_at",
    "queued_at",
    "started_at",
    "completed_at",
    "interrupted_at",
    "expires_at",
)
OBJECTS = ("metadata", "errors")

# Exports as a resource: what a filter on a list of exports is checked against.
RESOURCE = Resource(
    name="exports",
    schema=None,
    table="exports",
    kind="table",
    fields=(
        *(Field(name, name, Type.TEXT, "text") for name in TEXTS),
        *(Field(name, name, Type.INTEGER, "bigint") for name in NUMBERS),
        *(Field(name, name, Type.INSTANT, "timestamp with time zone") for name in TIMES),
        *(Field(name, name, Type.JSON, "text") for name in OBJECTS),
    ),
    key=("id",),
)
READER = Reader(Catalog("ledger", {RESOURCE.name: RESOURCE}), guard=lambda _resource, _where: EVERYTHING)
SORTABLE = frozenset({*TEXTS, *NUMBERS, *TIMES})


class as_instant(FunctionElement[Any]):  # noqa: N801  # reads as the SQL function that it is
    """A table's seconds as a time of the database, to the millisecond: what callers are shown."""

    inherit_cache = True


@compiles(as_instant, "sqlite")
def _instant_sqlite(element: as_instant, compiler: Any, **more: Any) -> str:
    column = compiler.process(element.clauses, **more)
    return f"strftime('%Y-%m-%d %H:%M:%f', {column}, 'unixepoch')"


@compiles(as_instant, "postgresql")
def _instant_postgresql(element: as_instant, compiler: Any, **more: Any) -> str:
    column = compiler.process(element.clauses, **more)
    return f"date_trunc('milliseconds', to_timestamp({column}))"


class Listing(Exports):
    """Many exports at once."""

    def list(
        self,
        sight: Sight = ALL,
        where: Mapping[str, Any] | None = None,
        order: Sequence[tuple[str, bool]] = (("created_at", True),),
        limit: int = 25,
        offset: int = 0,
    ) -> tuple[tuple[Export, ...], int]:
        """A page, and how many there are in all. `where`: filters on RESOURCE (`status_in`, `reference_start`);
        `order`: names of SORTABLE, each with whether it descends. What has no value comes last either way; ties are
        broken by id. Raises what a reader of filters raises: UnknownField, UnknownPredicate, WrongValue, TooMuch."""
        seen = _seen()
        condition = READER.read(RESOURCE, where or {})
        matching = sa.select(seen.c.id).where(expression(condition, seen, self.dialect.name))
        found = [exports.c.id.in_(matching), in_sight(sight)]
        by = [self._sorted(name, descends) for name, descends in order]
        page = shown().where(*found).order_by(*by, exports.c.id).limit(limit).offset(offset)
        with self._read() as read:
            total = read.execute(sa.select(sa.func.count()).select_from(exports).where(*found)).scalar_one()
            return shown_exports(read.execute(page).all()), total

    def _sorted(self, name: str, descends: bool) -> sa.ColumnElement[Any]:
        column: sa.ColumnElement[Any] = exports.c.shown if name == "processed" else exports.c[name]
        if name in TEXTS and self.dialect.name == "postgresql":
            column = sa.collate(column, "C")  # the order of bytes, as SQLite has it
        return (column.desc() if descends else column.asc()).nulls_last()


def _seen() -> sa.Subquery:
    """The exports as RESOURCE says they look."""
    columns = [exports.c[name] for name in (*TEXTS, "matched")]
    times = [as_instant(exports.c[name]).label(name) for name in TIMES]
    objects = [sa.cast(exports.c[name], sa.Text).label(name) for name in OBJECTS]
    return sa.select(*columns, exports.c.shown.label("processed"), *times, *objects).subquery("seen")
