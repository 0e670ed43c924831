"""PostgreSQL's values as text: what COPY writes, and what its own row_to_json would."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects.postgresql.base import PGCompiler, PGDialect

from outhaul.blocks import Kind
from outhaul.catalog import Type
from outhaul.comparisons import Native, bound
from outhaul.plan import Column
from outhaul.sources._order import Placing
from outhaul.sources._select import Element, Style, Tongue

# Types by the words of format_type. The output function of each is what row_to_json would put there, quoted or bare.
BARE = re.compile(r"smallint|integer|bigint|numeric(\(.*\))?|real|double precision|jsonb?")
MOMENT = re.compile(r"timestamp(\(\d\))? with(out)? time zone")
QUOTED = re.compile(
    r'text|name|"char"|character( varying)?(\(\d+\))?|bpchar|uuid|bytea|xml|money|oid|date|interval.*'
    r"|time(\(\d\))? with(out)? time zone|inet|cidr|macaddr8?|bit( varying)?(\(\d+\))?|tsvector|tsquery"
    r"|(int4|int8|num|ts|tstz|date)(multi)?range|point|line|lseg|box|path|polygon|circle|pg_lsn"
)

PLAIN: tuple[tuple[re.Pattern[str], Kind], ...] = ((MOMENT, "time"), (QUOTED, "str"), (BARE, "raw"))


def text(element: Element, column: Column, style: Style) -> tuple[Element, Kind]:
    """The value as it stands (csv; typed but for booleans and arrays), or so that COPY's text is what JSON wants."""
    if column.stored:
        return sa.cast(element, Native("text")), "str"
    if column.utc and style == "json":
        return _in_utc(element, column), "str"
    if style == "csv" or (style == "typed" and column.type not in {Type.BOOLEAN, Type.ARRAY}):
        return element, "str"
    for words, kind in PLAIN:
        if words.fullmatch(column.native):
            return element, kind
    if column.native == "boolean":
        return sa.cast(element, Native("text")), "raw"
    # Domains, arrays, composites, enums, extensions: only the server knows what they come to.
    return sa.cast(sa.func.pg_catalog.to_json(element), Native("text")), "raw"


def _in_utc(element: Element, column: Column) -> Element:
    """As RFC 3339 has it; sessions are in UTC, and what has no zone is taken as that."""
    moment = element if column.type is Type.INSTANT else sa.func.pg_catalog.timezone(bound("UTC"), element)
    text = sa.cast(sa.func.pg_catalog.to_json(moment), Native("text"))
    return sa.func.pg_catalog.replace(sa.func.pg_catalog.btrim(text, bound('"')), bound("+00:00"), bound("Z"))


def _bound(value: str, column: Column) -> Element:
    return bound(value, column.native)


def _by_bytes(column: Column) -> bool:
    """A collation is not the same everywhere, and some types have no order."""
    return bool(column.stored) or column.type in {Type.TEXT, Type.OTHER}


def _placed(element: Element, column: Column) -> Element:
    return sa.collate(sa.cast(element, Native("text")), "C") if _by_bytes(column) else element


def _place(value: str, column: Column) -> Element:
    return bound(value) if _by_bytes(column) else bound(value, column.native)


TONGUE = Tongue("postgresql", text, _bound, Placing(_placed, _place))


class _Compiler(PGCompiler):
    """Writes values into the statement, quoted by libpq: COPY takes no parameters."""

    def render_literal_value(self, value: Any, type_: Any) -> str:  # noqa: ARG002  # SQLAlchemy passes both
        return sql.Literal(value).as_string(None)


class _Dialect(PGDialect):
    statement_compiler = _Compiler


_DIALECT = _Dialect(paramstyle="named")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def statement(select: sa.Select[Any]) -> str:
    """A SELECT as one text without parameters."""
    return str(select.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


def literal(value: str) -> str:
    return sql.Literal(value).as_string(None)
