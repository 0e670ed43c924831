"""What the demo compares: rows, distinct keys and sums of every resource in a file, as counted by any reader."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from math import fsum, inf, isfinite
from operator import itemgetter
from typing import Any

import numpy as np

from outhaul.catalog import Catalog, Field, Relationship, Resource, Type

EXACT = {"sqlite": {Type.INTEGER}, "postgresql": {Type.INTEGER, Type.DECIMAL}}
NUMBERS = {Type.INTEGER, Type.DECIMAL, Type.FLOAT}
ENDLESS = Context(prec=400_000, traps=[])  # PostgreSQL's numeric has at most 147,456 digits


@dataclass(frozen=True, slots=True)
class Look:
    """One resource at one place of a file: `steps` lead there from the root, a resource each.

    `key` identifies a row; sums of `exact` fields are exact, sums of `floats` are rounded once, at the end.
    """

    root: Resource
    steps: tuple[tuple[Relationship, Resource], ...]
    key: tuple[Field, ...]
    exact: tuple[Field, ...]
    floats: tuple[Field, ...]

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(relationship.name for relationship, _ in self.steps)

    @property
    def resource(self) -> Resource:
        return self.steps[-1][1] if self.steps else self.root


@dataclass(frozen=True, slots=True)
class Count:
    """Equal counts are what the demo calls proof. Sums are by field, as text."""

    rows: int
    distinct: int
    sums: Mapping[str, str]


@dataclass(slots=True)
class Tally:
    """Adds up the rows of one look. A key costs 8 bytes, a float 8 bytes."""

    look: Look
    rows: int = 0
    keys: array[int] = field(default_factory=lambda: array("q"))
    exact: dict[str, Decimal] = field(default_factory=dict)
    floats: dict[str, array[float]] = field(default_factory=dict)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows as any reader gives them: numbers as text, absent ones as None or ""."""
        self.rows += len(rows)
        if self.look.key:
            self.keys.extend(map(hash, map(itemgetter(*(key.name for key in self.look.key)), rows)))
        for column in self.look.exact:
            values: Iterator[str | None] = map(itemgetter(column.name), rows)
            self.exact[column.name] = sum_exact(values, self.exact.get(column.name, Decimal()))
        for column in self.look.floats:
            values = map(itemgetter(column.name), rows)
            self.floats.setdefault(column.name, array("d")).extend(map(float, filter(None, values)))

    def count(self) -> Count:
        sums = {column.name: plain(self.exact.get(column.name, Decimal())) for column in self.look.exact}
        sums |= {column.name: sum_floats(self.floats.get(column.name, ())) for column in self.look.floats}
        return Count(self.rows, len(np.unique(np.frombuffer(self.keys, np.int64))) if self.keys else 0, sums)


def looks(catalog: Catalog, resource: str, includes: Iterable[str]) -> tuple[Look, ...]:
    """The root and each include path, shortest first. A resource whose key is not exported has no distinct keys."""
    root = catalog.resources[resource]
    paths = {
        tuple(include.split(".")[:depth])
        for include in includes
        for depth in range(1, include.count(".") + 2)
    }
    found = [_look(catalog, root, ())]
    for path in sorted(paths, key=lambda path: (len(path), path)):
        steps: tuple[tuple[Relationship, Resource], ...] = ()
        here = root
        for name in path:
            relationship = next(each for each in here.relationships if each.name == name)
            here = catalog.resources[relationship.target]
            steps += ((relationship, here),)
        found.append(_look(catalog, root, steps))
    return tuple(found)


def below(rows: Iterable[Mapping[str, Any]], path: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    """The objects at a path: a list is to-many, an object to-one, null no such row."""
    for name in path:
        rows = [child for row in rows for child in _children(row[name])]
    yield from rows


def sum_exact(values: Iterable[str | None], start: Decimal) -> Decimal:
    """The sum of numbers written in digits, not one of which is lost; None and "" are no numbers."""
    with localcontext(ENDLESS):
        return sum(map(Decimal, filter(None, values)), start)


def sum_floats(values: Iterable[float]) -> str:
    """The sum of the finite values, rounded once; the same for every order of the values."""
    try:
        return repr(fsum(value for value in values if isfinite(value)))
    except OverflowError:
        return repr(inf)


def plain(number: Decimal) -> str:
    """`1.0`, `1` and `1E+0` are one number and one text."""
    return f"{number.normalize(ENDLESS):f}"


def _children(value: Any) -> Iterable[Mapping[str, Any]]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


def _look(catalog: Catalog, root: Resource, steps: tuple[tuple[Relationship, Resource], ...]) -> Look:
    here = steps[-1][1] if steps else root
    offered = {each.column: each for each in here.fields}
    key = tuple(offered[column] for column in here.key if column in offered)
    numbers = [each for each in here.fields if each.type in NUMBERS and each not in key]
    exact = EXACT[catalog.source]
    return Look(
        root,
        steps,
        key if len(key) == len(here.key) else (),
        tuple(each for each in numbers if each.type in exact),
        tuple(each for each in numbers if each.type not in exact),
    )
