"""Filters of a new export: a row each, with the words, the values and the input that its field calls for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any, Literal

from outhaul.catalog import Catalog, Field, Resource, Type
from outhaul.errors import Malformed, Refused, UnknownField, WrongValue
from outhaul.filters import EVERYTHING, OPS, TEXT
from outhaul.predicates import Reader, Way, endings, hint, nearest

MOST = 100  # rows, and labels of an enum that are shown as such
LONGEST = 500  # characters of a field's dotted name

Input = Literal["none", "choice", "choices", "date", "datetime", "time", "number", "lines", "text"]

# What a filter says between its field and its value, by predicate; of moments in words of their own.
WORDS: Mapping[str, str] = {
    "eq": "is",
    "not_eq": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "lt": "is less than",
    "lteq": "is at most",
    "gt": "is more than",
    "gteq": "is at least",
    "cont": "contains",
    "not_cont": "does not contain",
    "start": "begins with",
    "not_start": "does not begin with",
    "end": "ends with",
    "not_end": "does not end with",
    "matches": "matches, with % and _",
    "does_not_match": "does not match, with % and _",
    "jcont": "contains the JSON",
    "blank": "is empty",
    "present": "is not empty",
    "null": "is missing",
    "not_null": "is not missing",
}
OF_MOMENTS: Mapping[str, str] = {
    "lt": "is before",
    "lteq": "is at or before",
    "gt": "is after",
    "gteq": "is at or after",
}
MOMENTS: Mapping[Type, Input] = {
    Type.DATE: "date",
    Type.TIME: "time",
    Type.TIMESTAMP: "datetime",
    Type.INSTANT: "datetime",
}
NUMBERS = {Type.INTEGER, Type.DECIMAL, Type.FLOAT}
LISTED = {"in", "not_in"}
LINE = re.compile(r"\r\n?|\n")  # and nothing else that Python takes for the end of a line


@dataclass(frozen=True, slots=True)
class Row:
    """One filter as it was sent. `shape`: the input that its values come from."""

    field: str
    op: str = ""
    values: tuple[str, ...] = ()
    shape: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """A row with what its place on the page needs. `field`: None when there is none of that name."""

    row: Row
    field: Field | None
    ops: Sequence[tuple[str, str]] = ()
    input: Input = "text"
    choices: Sequence[str] = ()
    zone: str = ""
    many: bool = False  # a way leads there that has many rows at its end


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters on one resource, for somebody whose clock is in this zone. `known`: names of resources that they may
    export."""

    catalog: Catalog
    resource: Resource
    known: frozenset[str]
    zone: tzinfo

    def shown(self, row: Row) -> Shown:
        way = self.way(row.field)
        if way is None:
            return Shown(row, None)
        ops = offered(way.field)
        row = row if row.op in dict(ops) else replace(row, op=ops[0][0])
        kind = _input(way.field, row.op)
        labels = ("true", "false") if way.field.type is Type.BOOLEAN else way.field.choices
        return Shown(
            replace(row, values=row.values if kind == row.shape else self._kept(row, kind)),
            way.field,
            ops,
            kind,
            labels if kind in {"choice", "choices"} else (),
            str(self.zone) if way.field.type is Type.INSTANT and kind == "datetime" else "",
            any(step.many for step in way.walk),
        )

    def added(self, name: str) -> Row:
        """A row for the field of this dotted name; UnknownField."""
        way = self.way(name)
        if way is None:
            names = [one.name for one in self.resource.fields]
            near = nearest(name, names)
            raise UnknownField(
                f"{self.resource.name} has no field {name!r} to filter by.",
                hint=hint(near),
                where=("adding",),
            )
        return Row(".".join([*(step.name for step in way.walk), way.field.name]), offered(way.field)[0][0])

    def said(self, rows: Sequence[Row]) -> tuple[dict[str, Any], dict[int, str]]:
        """The rows as a draft says them, and what is wrong with some, by their number."""
        filters: dict[str, Any] = {}
        wrong: dict[int, str] = {}
        for number, row in enumerate(rows):
            try:
                name, value = self._one(row)
                if name in filters:
                    raise Malformed("There is one of this kind on this field already.", hint="Take one out.")
                filters[name] = value
            except Refused as error:
                wrong[number] = str(error)
        return filters, wrong

    def numbers(self, rows: Sequence[Row]) -> Mapping[str, int]:
        """The number of each row, by what a draft calls it."""
        found = ((f"{row.field}_{row.op}", number) for number, row in enumerate(rows))
        return dict(found)

    def way(self, name: str) -> Way | None:
        """The field of a dotted name; none beyond what they may export."""
        if len(name) > LONGEST:
            return None
        found = Reader(self.catalog, lambda _resource, _where: EVERYTHING).way(self.resource, name)
        return found if found and all(step.target in self.known for step in found.walk) else None

    def _one(self, row: Row) -> tuple[str, Any]:
        way, name = self.way(row.field), f"{row.field}_{row.op}"
        if way is None:
            raise UnknownField(f"{self.resource.name} has no field {row.field!r} to filter by.")
        if row.op not in dict(offered(way.field)):
            raise WrongValue(f"{row.field} cannot be compared in this way.", hint="Choose another.")
        if self._read_as(name) != (way, row.op):
            raise WrongValue(f"The API would take {name!r} for another filter.", hint="Choose another.")
        kind = _input(way.field, row.op)
        if kind == "none":
            return name, True
        if row.shape != kind:
            raise Malformed("A value is missing.", hint="Give it now.")
        values = [self._value(one, way.field, kind) for one in row.values]
        if kind in {"lines", "choices"}:
            return name, self._several(values)
        if not values or (values[0] == "" and way.field.type not in TEXT):
            raise Malformed("A value is missing.", hint="Give one, or take the filter out.")
        return name, values[0]

    def _several(self, values: Sequence[str]) -> list[str]:
        told = [one for one in values if one]
        if not told:
            raise Malformed("A value is missing.", hint="Give one at least, or take the filter out.")
        return told

    def _read_as(self, name: str) -> tuple[Way, str] | None:
        """The field and predicate that a filter's name is read as: a field may be called like both together."""
        found = ((self.way(name.removesuffix(f"_{op}")), op) for op in endings(name))
        return next(((way, op) for way, op in found if way), None)

    def _value(self, text: str, field: Field, kind: Input) -> str:
        if field.type is not Type.INSTANT or kind != "datetime":
            return text
        try:
            moment = datetime.fromisoformat(text)
            return text if moment.tzinfo else moment.replace(tzinfo=self.zone).isoformat()
        except ValueError:
            return text  # whoever reads it says what is wrong

    def _kept(self, row: Row, kind: Input) -> tuple[str, ...]:
        """What was typed into another input, where it can stand in this one."""
        alike = {"lines", "text", "number", "choices", "choice"}
        return row.values if {row.shape, kind} <= alike else ()


def offered(field: Field) -> list[tuple[str, str]]:
    """What can be said of a field, the most usual first: predicate, and words."""
    words = {**WORDS, **(OF_MOMENTS if field.type in MOMENTS else {})}
    return [(op, said) for op, said in words.items() if field.type in OPS[op].types and _sensible(field, op)]


def _sensible(field: Field, op: str) -> bool:
    if field.type in MOMENTS and op in LISTED:
        return False
    if field.type not in TEXT and op in {"blank", "present"}:
        return False  # `null` says the same
    worded = field.type is Type.BOOLEAN or bool(field.choices)
    return not (worded and op not in {"eq", "not_eq", "in", "not_in", "null", "not_null"})


def _input(field: Field, op: str) -> Input:
    takes = OPS[op].takes
    if takes == "flag":
        return "none"
    labels = field.type is Type.BOOLEAN or 0 < len(field.choices) <= MOST
    if labels and OPS[op].each == "typed":
        return "choices" if takes == "many" else "choice"
    if takes == "many" or op == "jcont":
        return "lines" if takes == "many" else "text"
    return MOMENTS.get(field.type, "number" if field.type in NUMBERS else "text")


def sent(form: Mapping[str, Sequence[str]]) -> Iterator[Row]:
    """The rows of a form, in which each has a number."""
    for number in range(MOST + 1):  # one more, for the core to refuse
        field = form.get(f"field.{number}")
        if not field:
            return
        shape = form.get(f"shape.{number}", [""])[0]
        values = form.get(f"value.{number}", [])
        lines = [line.strip() for one in values for line in LINE.split(one)] if shape == "lines" else values
        yield Row(field[0], form.get(f"op.{number}", [""])[0], tuple(lines), shape)
