"""The one filter language: predicates, and conditions as SQL expressions over any table."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.sql.elements import quoted_name

from outhaul.catalog import Type
from outhaul.comparisons import TONGUES, Column, Tongue, Truth, bound, say
from outhaul.conditions import (
    EVERYTHING,
    All,
    Condition,
    Either,
    Exists,
    Hop,
    Not,
    Test,
    either,
    every,
    from_data,
    to_data,
)

__all__ = [
    "EVERYTHING",
    "OPS",
    "All",
    "Condition",
    "Either",
    "Exists",
    "Hop",
    "Not",
    "Op",
    "Test",
    "either",
    "every",
    "expression",
    "from_data",
    "to_data",
]

ANY = frozenset(Type)
TEXT = frozenset({Type.TEXT, Type.OTHER})
ORDERED = frozenset(
    {
        *(Type.INTEGER, Type.DECIMAL, Type.FLOAT, Type.TEXT, Type.UUID),
        *(Type.DATE, Type.TIME, Type.TIMESTAMP, Type.INSTANT),
    }
)
EQUAL = ORDERED | {Type.BOOLEAN, Type.OTHER}


@dataclass(frozen=True, slots=True)
class Op:
    """A predicate: what it takes, on which types, and what it says.

    `takes`: "one" value, "many", a "pattern" of LIKE or a "flag" (true: as it says; false: `opposite`).
    `typed`: the value must fit the field's type; otherwise it is any text. `nothing`: over a path also true where
    no row is at its end.
    """

    takes: Literal["one", "many", "pattern", "flag"]
    types: frozenset[Type]
    says: Callable[[Tongue, Column, Test], Truth]
    typed: bool = True
    opposite: str = ""
    nothing: bool = False


def _compared(compare: Callable[[Any, Any], Any]) -> Callable[[Tongue, Column, Test], Truth]:
    return lambda tongue, column, test: tongue.ordered(column, test, compare)


def _empty(tongue: Tongue, column: Column, test: Test) -> Truth:
    if test.type not in TEXT:
        return column.is_(None)
    return sa.or_(column.is_(None), tongue.trimmed(tongue.text(column, test)) == bound(""))


def _filled(tongue: Tongue, column: Column, test: Test) -> Truth:
    if test.type not in TEXT:
        return column.is_not(None)
    return tongue.trimmed(tongue.text(column, test)) != bound("")


def _worded(part: str) -> Callable[[Tongue, Column, Test], Truth]:
    """`start`, `end` or `cont`; every text starts with the empty one, NULL with none."""

    def says(tongue: Tongue, column: Column, test: Test) -> Truth:
        value = test.values[0]
        truth: Truth = getattr(tongue, part)(tongue.text(column, test), value)
        return truth if value else column.is_not(None)

    return says


def _within(tongue: Tongue, column: Column, test: Test) -> Truth:
    return tongue.among(column, test)


def _outside(tongue: Tongue, column: Column, test: Test) -> Truth:
    return sa.and_(column.is_not(None), sa.not_(tongue.among(column, test)))


def _flag(value: str) -> Callable[[Tongue, Column, Test], Truth]:
    def says(tongue: Tongue, column: Column, test: Test) -> Truth:
        return tongue.same(column, test) == tongue.value(
            Test(test.column, test.type, test.native, test.op, (value,))
        )

    return says


BOOLEAN = frozenset({Type.BOOLEAN})

OPS: Mapping[str, Op] = {
    "eq": Op("one", EQUAL, lambda tongue, c, test: tongue.same(c, test) == tongue.value(test)),
    "not_eq": Op("one", EQUAL, lambda tongue, c, test: tongue.same(c, test) != tongue.value(test)),
    "lt": Op("one", ORDERED, _compared(operator.lt)),
    "lteq": Op("one", ORDERED, _compared(operator.le)),
    "gt": Op("one", ORDERED, _compared(operator.gt)),
    "gteq": Op("one", ORDERED, _compared(operator.ge)),
    "in": Op("many", EQUAL, _within),
    "not_in": Op("many", EQUAL, _outside),
    "null": Op("flag", ANY, lambda _, c, __: c.is_(None), opposite="not_null", nothing=True),
    "not_null": Op("flag", ANY, lambda _, c, __: c.is_not(None), opposite="null"),
    "blank": Op("flag", ANY, _empty, opposite="present", nothing=True),
    "present": Op("flag", ANY, _filled, opposite="blank"),
    "start": Op("one", TEXT, _worded("start"), typed=False),
    "end": Op("one", TEXT, _worded("end"), typed=False),
    "cont": Op("one", TEXT, _worded("cont"), typed=False),
    "matches": Op(
        "pattern",
        TEXT,
        lambda tongue, c, test: tongue.matches(tongue.text(c, test), test.values[0]),
        typed=False,
    ),
    "true": Op("flag", BOOLEAN, _flag("true"), opposite="false"),
    "false": Op("flag", BOOLEAN, _flag("false"), opposite="true"),
}


def expression(condition: Condition, table: sa.FromClause, dialect: str) -> Truth:
    """The condition over `table`, which may be an alias and needs the columns; `dialect`: "postgresql" | "sqlite".

    True or NULL-or-false for each row; every value is a bound parameter of type text.
    """
    match condition:
        case Test(column=name, op=op):
            return OPS[op].says(TONGUES[dialect], table.c[name], condition)
        case All(of):
            return sa.and_(sa.true(), *(expression(one, table, dialect) for one in of))
        case Either(of):
            return sa.or_(sa.false(), *(expression(one, table, dialect) for one in of))
        case Not(of=inner):
            return sa.not_(expression(inner, table, dialect))
        case Exists(hop, that):
            return _exists(hop, that, table, dialect)


def _exists(hop: Hop, that: Condition, table: sa.FromClause, dialect: str) -> Truth:
    names = dict.fromkeys([there for _, there in hop.on] + _columns(that))
    columns: list[sa.ColumnClause[Any]] = [sa.column(quoted_name(name, quote=True)) for name in names]
    schema = None if hop.schema is None else quoted_name(hop.schema, quote=True)
    there = sa.table(quoted_name(hop.table, quote=True), *columns, schema=schema).alias()
    joined = [there.c[name] == table.c[here] for here, name in hop.on]
    found: sa.Select[Any] = (
        sa.select(say("1")).select_from(there).where(*joined, expression(that, there, dialect))
    )
    return sa.exists(found.correlate_except(there))


def _columns(condition: Condition) -> list[str]:
    """The columns of its own table that a condition needs."""
    match condition:
        case Test(column=name):
            return [name]
        case All(of) | Either(of):
            return [name for one in of for name in _columns(one)]
        case Not(of=inner):
            return _columns(inner)
        case Exists(hop, _):
            return [here for here, _ in hop.on]
