"""The order that a selection was asked for, as SQL: ORDER BY, and what lies before or behind a place in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from outhaul.blocks import Cut, Range
from outhaul.plan import By, Column

Element = sa.ColumnElement[Any]
Truth = sa.ColumnElement[bool]

# Without an index that serves the order, each part reads the whole table to find its rows.
MOST_UNINDEXED = 16


@dataclass(frozen=True, slots=True)
class Placing:
    """How a source says an order: the `element` that counts of a column, and a text as a `value` to compare it with."""

    element: Callable[[Element, Column], Element]
    value: Callable[[str, Column], Element]


@dataclass(frozen=True, slots=True)
class Step:
    """One column of an order, over a table. NULL is greater than any value."""

    element: Element
    column: Column
    descending: bool
    value: Callable[[str, Column], Element]

    def clause(self) -> sa.UnaryExpression[Any]:
        if self.descending:
            return self.element.desc().nulls_first() if self.column.nullable else self.element.desc()
        return self.element.asc().nulls_last() if self.column.nullable else self.element.asc()

    def at(self, text: str | None) -> Truth:
        return self._is("=", text) if text is not None else self.element.is_(None)

    def ahead(self, text: str | None) -> Truth:
        return self._greater(">", text) if self.descending else self._less(text)

    def behind(self, text: str | None, *, within: bool = False) -> Truth:
        """`within`: or at it; in one comparison, for an index."""
        if not self.descending:
            return self._greater(">=" if within else ">", text)
        if text is None and within:
            return sa.true()
        return self._is("<=", text) if text is not None and within else self._less(text)

    def _less(self, text: str | None) -> Truth:
        return self.element.is_not(None) if text is None else self._is("<", text)

    def _greater(self, compare: str, text: str | None) -> Truth:
        if text is None:
            return self.element.is_(None) if compare == ">=" else sa.false()
        found = self._is(compare, text)
        return sa.or_(found, self.element.is_(None)) if self.column.nullable else found

    def _is(self, compare: str, text: str) -> Truth:
        return self.element.op(compare, is_comparison=True)(self.value(text, self.column))


def steps(order: Sequence[By], table: sa.FromClause, placing: Placing) -> tuple[Step, ...]:
    """An order over the table whose columns it names."""
    return tuple(
        Step(
            placing.element(table.c[one.column.column], one.column),
            one.column,
            one.descending,
            placing.value,
        )
        for one in order
    )


def between(order: Sequence[Step], part: Range) -> Iterator[Truth]:
    """The rows from `low` on and before `high`. A comparison with NULL is never true, so that no condition may be
    turned round by NOT."""
    if part.low is not None:
        yield order[0].behind(part.low[0], within=True)
        yield _walked(order, part.low, Step.behind, sa.true())
    if part.high is not None:
        yield _walked(order, part.high, Step.ahead, sa.false())


def _walked(order: Sequence[Step], cut: Cut, side: Callable[[Step, str | None], Truth], here: Truth) -> Truth:
    """Beyond the place in the first column in which the row differs from it; `here`: of a row that differs in none."""
    for step, text in reversed(list(zip(order, cut, strict=True))):
        here = sa.or_(side(step, text), sa.and_(step.at(text), here))
    return here
