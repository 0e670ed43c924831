"""SQLite's values as text, each by the storage class that it has and not by the one that was declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import Grouping

from outhaul.blocks import Kind
from outhaul.catalog import Type
from outhaul.comparisons import DAY, Sqlite
from outhaul.plan import Column
from outhaul.sources._order import Placing
from outhaul.sources._select import Element, Style, Tongue, say

_DIALECT = sqlite.dialect(paramstyle="qmark")
_AS_TEXT = sa.Text()

EXPECTED = {
    **dict.fromkeys((Type.INTEGER, Type.BOOLEAN), "integer"),
    **dict.fromkeys((Type.DECIMAL, Type.FLOAT), "real"),
    Type.BINARY: "blob",
}
MOST_SCALE = 6  # with more decimals small values would be written with an exponent


class Number(sa.ColumnElement[str]):
    """The words of a value that was declared as an integer, or with `scale` as a decimal: where it is one indeed, they
    can also be made of the number itself, which is `raw`."""

    inherit_cache = False
    type = _AS_TEXT

    def __init__(self, words: Element, raw: Element, scale: int | None) -> None:
        self.words, self.raw, self.scale = words, raw, scale


@compiles(Number)
def _spell(number: Number, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(number.words, **options)


def text(element: Element, column: Column, style: Style) -> tuple[Element, Kind]:
    """As plain text; for JSON as JSON of the class that each value has, where the declaration is no promise."""
    words, kind = _text(element, column, style)
    exact = column.type is Type.DECIMAL and column.scale is not None and column.scale <= MOST_SCALE
    if exact or (column.type is Type.INTEGER and not column.scale):
        return Number(words, element, column.scale if exact else None), kind
    return words, kind


def _text(element: Element, column: Column, style: Style) -> tuple[Element, Kind]:
    if style == "csv" or column.type is Type.TEXT:
        return _by_class(element, column, say("'\\x'").concat(_hex(element)), element), "str"
    if style == "typed":
        return _typed(element, column), "str"
    quoted: Element = sa.func.json_quote(element)
    if column.type is Type.JSON:
        flat = sa.func.replace(
            sa.func.replace(element, say("char(10)"), say("' '")), say("char(13)"), say("' '")
        )
        quoted = sa.case((sa.func.json_valid(element), flat), else_=quoted)
    if column.utc:
        quoted = sa.func.coalesce(_in_utc(element), quoted)
    blob = say("'\"\\\\x'").concat(_hex(element)).concat(say("'\"'"))
    return _by_class(element, column, blob, quoted, json=True), "raw"


def _in_utc(element: Element) -> Element:
    """A text that is a moment as RFC 3339 has it, in quotes; NULL for another. SQLite would take more for moments, as
    `now` and numbers."""
    moment = Sqlite.forms[Type.INSTANT](element)
    second = sa.func.rtrim(sa.func.rtrim(moment, say("'0'")), say("'.'"))
    spelled = sa.func.replace(second, say("' '"), say("'T'"))
    dated = element.op("GLOB", is_comparison=True)(say(f"'{DAY}*'"))
    return sa.case((dated, say("'\"'").concat(spelled).concat(say("'Z\"'"))))


def _typed(element: Element, column: Column) -> Element:
    """Plain text, but for a text or blob where a number, truth or blob was declared: with quotes no reader takes it."""
    blob, words = say("'\\x'").concat(_hex(element)), element
    if column.type in EXPECTED and (column.type is not Type.DECIMAL or column.scale is not None):
        words = sa.func.json_quote(element)
        blob = blob if column.type is Type.BINARY else say("'\"'").concat(blob).concat(say("'\"'"))
    said = _by_class(element, column, blob, words)
    if column.type is Type.BOOLEAN:
        zero = sa.and_(sa.func.typeof(element) == say("'integer'"), element == say("0"))
        one = sa.and_(sa.func.typeof(element) == say("'integer'"), element == say("1"))
        return sa.case((zero, say("'false'")), (one, say("'true'")), else_=said)
    return said


def _by_class(
    element: Element, column: Column, blob: Element, words: Element, *, json: bool = False
) -> Element:
    """The class that the declaration lets expect is asked for first."""
    said = {
        "text": words,
        "integer": _integer(element, column, json=json),
        "real": _real(element, column, json=json),
        "blob": blob,
    }
    order = sorted(said, key=lambda name: name != EXPECTED.get(column.type, "text"))
    return sa.case(*((say(f"'{name}'"), said[name]) for name in order), value=sa.func.typeof(element))


def _hex(element: Element) -> Element:
    return sa.func.lower(sa.func.hex(element))


def _integer(element: Element, column: Column, *, json: bool) -> Element:
    plain = sa.cast(element, _AS_TEXT)
    if column.scale:
        return plain.concat(say(f"'.{'0' * column.scale}'"))
    if json and column.type is Type.BOOLEAN:
        return sa.case(
            (element == say("0"), say("'false'")), (element == say("1"), say("'true'")), else_=plain
        )
    return plain


def _real(element: Element, column: Column, *, json: bool) -> Element:
    """The fewest digits that read back to the same double; declared decimals with all of their decimals if they can."""
    mark = '"' if json else ""
    forms = [sa.func.printf(say(f"'%!.{digits}g'"), element) for digits in (15, 16, 17)]
    if column.scale is not None:
        forms.insert(0, sa.func.printf(say(f"'%.{column.scale}f'"), element))
    return sa.case(
        *((sa.cast(form, sa.REAL()) == element, form) for form in forms[:-1]),
        (element == say("9e999"), say(f"'{mark}Infinity{mark}'")),
        (element == say("-9e999"), say(f"'{mark}-Infinity{mark}'")),
        else_=forms[-1],
    )


def _bound(value: str, _: Column) -> Element:
    """A key text takes on the affinity of the column that it is compared with."""
    return sa.bindparam(None, value, type_=sa.Text(), unique=True)


def _placed(element: Element, _: Column) -> Element:
    return sa.collate(element, "BINARY")


TONGUE = Tongue("sqlite", text, _bound, Placing(_placed, _bound))


def total(terms: Sequence[Element]) -> Element:
    """Their sum, added in pairs: SQLite takes expressions of at most 1,000 levels."""
    if len(terms) < 2:
        return terms[0] if terms else say("0")
    half = len(terms) // 2
    # SQLAlchemy would write a sum of sums without the parentheses.
    return Grouping(total(terms[:half])).op("+")(Grouping(total(terms[half:])))


def statement(select: sa.Select[Any]) -> tuple[str, tuple[str, ...]]:
    """A SELECT as text, with the values of its parameters in order."""
    compiled = select.compile(dialect=_DIALECT)
    params = compiled.params
    return str(compiled), tuple(params[name] for name in compiled.positiontup or ())


def headed(
    select: sa.Select[Any], head: Sequence[str], *, ordered: bool, after: int = 0
) -> tuple[str, tuple[str, ...]]:
    """The same rows behind a first one that says of each column what is in it, for a reader that guesses types from
    what comes first; without the first `after` of them.

    The order of an inner SELECT is kept where it has a LIMIT, even one that limits nothing.
    """
    words, params = statement(select)
    if ordered or after:
        words = f"SELECT * FROM ({words} LIMIT -1 OFFSET {after})"  # noqa: S608  # compiled, values are bound
    return f"SELECT {', '.join(head)} UNION ALL {words}", params
