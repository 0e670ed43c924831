"""The one filter language: predicates, and conditions as SQL expressions over any table."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

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

Says = Callable[[Tongue, Column, Test], Truth]

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

    `takes`: "one" value, "many", "several" of which each is compared by itself, or a "flag" (true: as it says; false:
    `opposite`). `each`: a value is "typed" (it must fit the field), any "text", a "pattern" of LIKE or a "document" of
    JSON. `nothing`: over a path also true where no row is at its end.
    """

    takes: Literal["one", "many", "several", "flag"]
    types: frozenset[Type]
    says: Says
    each: Literal["typed", "text", "pattern", "document"] = "typed"
    opposite: str = ""
    nothing: bool = False


def _compared(compare: Callable[[Any, Any], Any]) -> Says:
    return lambda tongue, column, test: tongue.ordered(column, test, compare)


def _equal(tongue: Tongue, column: Column, test: Test) -> Truth:
    return tongue.same(column, test) == tongue.value(test)


def _unequal(tongue: Tongue, column: Column, test: Test) -> Truth:
    return tongue.same(column, test) != tongue.value(test)


def _empty(tongue: Tongue, column: Column, test: Test) -> Truth:
    if test.type not in TEXT:
        return column.is_(None)
    return sa.or_(column.is_(None), tongue.trimmed(tongue.text(column, test)) == bound(""))


def _filled(tongue: Tongue, column: Column, test: Test) -> Truth:
    if test.type not in TEXT:
        return column.is_not(None)
    return tongue.trimmed(tongue.text(column, test)) != bound("")


def _worded(part: str) -> Says:
    """`start`, `end` or `cont`; every text starts with the empty one, NULL with none."""

    def says(tongue: Tongue, column: Column, test: Test) -> Truth:
        value = test.values[0]
        truth: Truth = getattr(tongue, part)(tongue.text(column, test), value)
        return truth if value else column.is_not(None)

    return says


def _matches(tongue: Tongue, column: Column, test: Test) -> Truth:
    return tongue.matches(tongue.text(column, test), test.values[0])


def _within(tongue: Tongue, column: Column, test: Test) -> Truth:
    return tongue.among(column, test)


def _outside(tongue: Tongue, column: Column, test: Test) -> Truth:
    return sa.and_(column.is_not(None), sa.not_(tongue.among(column, test)))


def _not(says: Says) -> Says:
    """The opposite for what there is: NULL meets neither."""
    return lambda tongue, column, test: sa.and_(column.is_not(None), sa.not_(says(tongue, column, test)))


def _or_null(says: Says) -> Says:
    return lambda tongue, column, test: sa.or_(column.is_(None), says(tongue, column, test))


def _each(says: Says, join: Callable[..., Truth]) -> Says:
    """Every value compared by itself, and the answers joined."""
    return lambda tongue, column, test: join(
        *(says(tongue, column, replace(test, values=(value,))) for value in test.values)
    )


def _flag(value: str) -> Says:
    return lambda tongue, column, test: _equal(tongue, column, replace(test, values=(value,)))


BOOLEAN = frozenset({Type.BOOLEAN})
JSON = frozenset({Type.JSON})


def _family(types: frozenset[Type], each: Literal["typed", "text", "pattern"], **said: Says) -> dict[str, Op]:
    """Predicates of one value, each with its `_any` and `_all`."""
    found: dict[str, Op] = {}
    for name, says in said.items():
        found[name] = Op("one", types, says, each)
        found[f"{name}_any"] = Op("several", types, _each(says, sa.or_), each)
        found[f"{name}_all"] = Op("several", types, _each(says, sa.and_), each)
    return found


OPS: Mapping[str, Op] = {
    "eq": Op("one", EQUAL, _equal),
    "eq_or_null": Op("one", EQUAL, _or_null(_equal), nothing=True),
    "not_eq": Op("one", EQUAL, _unequal),
    "not_eq_or_null": Op("one", EQUAL, _or_null(_unequal), nothing=True),
    "not_eq_all": Op("many", EQUAL, _outside),
    "in": Op("many", EQUAL, _within),
    "in_or_null": Op("many", EQUAL, _or_null(_within), nothing=True),
    "not_in": Op("many", EQUAL, _outside),
    "not_in_or_null": Op("many", EQUAL, _or_null(_outside), nothing=True),
    **_family(
        ORDERED,
        "typed",
        lt=_compared(operator.lt),
        lteq=_compared(operator.le),
        gt=_compared(operator.gt),
        gteq=_compared(operator.ge),
    ),
    "null": Op("flag", ANY, lambda _, c, __: c.is_(None), opposite="not_null", nothing=True),
    "not_null": Op("flag", ANY, lambda _, c, __: c.is_not(None), opposite="null"),
    "blank": Op("flag", ANY, _empty, opposite="present", nothing=True),
    "present": Op("flag", ANY, _filled, opposite="blank"),
    **_family(
        TEXT,
        "text",
        start=_worded("start"),
        not_start=_not(_worded("start")),
        end=_worded("end"),
        not_end=_not(_worded("end")),
        cont=_worded("cont"),
        not_cont=_not(_worded("cont")),
    ),
    **_family(TEXT, "pattern", matches=_matches, does_not_match=_not(_matches)),
    "jcont": Op("one", JSON, lambda tongue, c, test: tongue.contains(c, test), "document"),
    "true": Op("flag", BOOLEAN, _flag("true"), opposite="false"),
    "false": Op("flag", BOOLEAN, _flag("false"), opposite="true"),
}


class Rows(Protocol):
    """A table, an alias, or anything else that has columns by their names."""

    @property
    def c(self) -> Any: ...


def expression(condition: Condition, table: Rows, dialect: str) -> Truth:
    """The condition over `table`, which needs the columns; `dialect`: "postgresql" | "sqlite".

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


def _exists(hop: Hop, that: Condition, table: Rows, dialect: str) -> Truth:
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
