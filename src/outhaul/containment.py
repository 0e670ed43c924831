"""How SQLite is asked whether a JSON document contains another, as PostgreSQL's `@>` means it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

Column = sa.ColumnElement[Any]
Truth = sa.ColumnElement[bool]
say = sa.literal_column

Step = str | None  # a key of an object; None: any element of an array
Path = tuple[
    tuple[Step, ...], Any
]  # the way to what is wanted at its end: a scalar, or a container of one level


class Literal(str):
    """A number as it was written."""

    __slots__ = ()


def read(text: str) -> Any:
    """A document, its numbers as Literal, and NaN and Infinity, which are not JSON, too."""
    return json.loads(text, parse_int=Literal, parse_float=Literal, parse_constant=Literal)


def contained(column: Column, wanted: str) -> Truth:
    """The document in `column` contains `wanted`, an object or array as text. What is no JSON contains nothing.

    Each leaf is looked for by its own path, so that SQLite's parser, which ends at eight subqueries in each other,
    is not asked for depth; only the leaves of one element of an array have to be found together.
    """
    valid = sa.and_(sa.func.typeof(column) == say("'text'"), sa.func.json_valid(column) == say("1"))
    whole = sa.case((valid, say("'['").concat(column).concat(say("']'"))))
    return sa.and_(*(_within(whole, path) for path in _paths(read(wanted))))


def _within(whole: Column, path: Path) -> Truth:
    """`whole`: the document alone in an array, so that it is named once, however long its expression is."""
    steps, end = path
    return _found(whole, say("'array'"), ((None, *steps), end))


def depth(wanted: Any) -> int:
    """How many subqueries stand in each other for this document."""
    return max((1 + (depth(end) if _together(end) else 0) for _, end in _paths(wanted)), default=1)


def _together(end: Any) -> bool:
    return isinstance(end, dict | list) and bool(end)


def _paths(wanted: Any) -> Iterator[Path]:
    if isinstance(wanted, dict) and wanted:
        for key, value in wanted.items():
            yield from (((key, *steps), end) for steps, end in _paths(value))
    elif isinstance(wanted, list) and wanted:
        for element in wanted:
            below = list(_paths(element))
            if len(below) == 1:
                steps, end = below[0]
                yield (None, *steps), end
            else:
                yield (None,), element
    else:
        yield (), wanted


def _found(document: Column, kind: Column, path: Path) -> Truth:
    """Something lies at the end of the path: each step is a join with the members of the one before."""
    steps, end = path
    if not steps:
        truth: Truth = kind == _kind(end)
        return truth
    places: list[Any] = []
    met: list[Truth] = []
    for step in steps:
        inside = sa.case((kind == say("'array'" if step is None else "'object'"), document))
        here = _members(inside)
        if step is not None:
            met.append(here.c.id == _last(inside, step))
        places.append(here)
        document, kind = here.c.value, here.c.type
    met.append(_meets(places[-1], end))
    return sa.exists(sa.select(say("1")).select_from(*places).where(*met))


def _members(inside: Column) -> Any:
    each = sa.func.json_each(inside)
    return each.table_valued("key", "value", "type", "atom", "id", joins_implicitly=True).alias()


def _last(inside: Column, key: str) -> sa.ScalarSelect[Any]:
    """The member of this key; of several the last one counts."""
    same = _members(inside)
    text = sa.collate(_bound(key), "BINARY")
    return sa.select(sa.func.max(same.c.id)).select_from(same).where(same.c.key == text).scalar_subquery()


def _meets(member: Any, end: Any) -> Truth:
    if _together(end):
        return sa.and_(
            member.c.type == _kind(end), *(_found(member.c.value, member.c.type, one) for one in _paths(end))
        )
    if isinstance(end, Literal):
        number = sa.func.json_extract(_bound(end), say("'$'"))  # read as the numbers that it is compared with
        return sa.and_(member.c.type.in_([say("'integer'"), say("'real'")]), member.c.atom == number)
    if isinstance(end, str):
        return sa.and_(member.c.type == say("'text'"), member.c.atom == sa.collate(_bound(end), "BINARY"))
    kind: Truth = member.c.type == _kind(end)
    return kind


def _kind(end: Any) -> Column:
    """SQLite's word for what needs no look at its value."""
    words = {dict: "'object'", list: "'array'", type(None): "'null'"}
    return say(words.get(type(end), "'true'" if end else "'false'"))


def _bound(text: str) -> Column:
    return sa.cast(sa.bindparam(None, str(text), type_=sa.Text(), unique=True), sa.Text())
