"""Cells for a spreadsheet: nothing of a text runs, no digit is lost, and the stored text can be had back."""

from __future__ import annotations

import csv as python_csv
import io
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outhaul.blocks import Stream
from outhaul.catalog import Type
from outhaul.formats import _columns, _pieces, csv
from outhaul.plan import Column
from outhaul.tabular import DELIMITERS, Tabular
from tests import trees
from tests.test_assemble import text_of
from tests.trees import Row, Shape

NATIVE = {Type.INSTANT: "timestamp with time zone", Type.TIMESTAMP: "timestamp without time zone"}
FORMULAS = tuple("=+-@\t\r\n＝＋－＠")


def table(values: list[str | None], kind: Type = Type.TEXT, delimiter: str = ",", name: str = "v") -> str:
    """A file of one key and one column of that type."""
    stream = trees.stream(Shape({"n": "raw", name: "str"}), [{"n": "1", name: value} for value in values])
    of = Column(name, name, kind, NATIVE.get(kind, "text"), nullable=True)
    node = replace(
        stream.node,
        columns=(Column("n", "n", Type.INTEGER, "bigint", nullable=False), of),
        tabular=Tabular("spreadsheet", delimiter),
    )
    made = csv.pieces(Stream(node, (), stream.blocks, stream.kinds))
    return (csv.opening(node) + text_of(csv, list(made))).decode()


def read(text: str, delimiter: str = ",") -> list[str]:
    """The second column by Python's own parser, without the header."""
    assert text.startswith("\ufeff")
    lines = python_csv.reader(io.StringIO(text[1:], newline=""), delimiter=delimiter, strict=True)
    return [line[1] for line in lines][1:]


def shown(value: str, kind: Type = Type.TEXT) -> str:
    (cell,) = read(table([value], kind))
    return cell


WILD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
LIKE_NUMBERS = st.text("0123456789.,-+eE", max_size=20)
SIGNED = st.tuples(st.sampled_from([*FORMULAS, "'", "''", "'=", " ="]), WILD).map("".join)


@given(
    values=st.lists(WILD | LIKE_NUMBERS | SIGNED, max_size=8),
    delimiter=st.sampled_from(list(DELIMITERS.values())),
)
@settings(max_examples=300, deadline=None)
def test_no_text_is_a_formula_and_all_are_had_back_by_taking_one_guard_away(values, delimiter) -> None:
    cells = read(table(values, delimiter=delimiter), delimiter)
    assert not [cell for cell in cells if cell.startswith(FORMULAS)]
    assert [cell.removeprefix("'") for cell in cells] == values


@given(value=LIKE_NUMBERS)
@settings(max_examples=300, deadline=None)
def test_a_text_of_digits_is_bare_only_where_a_spreadsheet_shows_the_same(value) -> None:
    cell = shown(value)
    if cell and cell == value and value[0] in ".0123456789" and _is_number(value):
        assert len(value.replace(".", "")) <= 15 or "." in value
        assert format(float(value), ".15g") == value or "e" in format(float(value), ".15g")


def _is_number(value: str) -> bool:
    try:
        return bool(float(value)) or value == "0"
    except ValueError:
        return False


@given(
    value=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**25), max_value=10**25, places=4)
)
@settings(max_examples=300, deadline=None)
def test_a_number_stays_a_number_if_fifteen_digits_can_hold_it(value: Decimal) -> None:
    text = format(value, "f")
    digits = text.lstrip("-").replace(".", "").strip("0")
    assert shown(text, Type.DECIMAL) == (f"'{text}" if len(digits) > 15 else text)


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        (Type.INTEGER, "-5", "-5"),
        (Type.INTEGER, "999999999999999", "999999999999999"),
        (Type.INTEGER, "-999999999999999", "-999999999999999"),
        (Type.INTEGER, "1000000000000000", "'1000000000000000"),
        (Type.INTEGER, "-1234567890123456", "'-1234567890123456"),
        (Type.INTEGER, "=1+1", "'=1+1"),  # SQLite keeps any text in any column
        (Type.INTEGER, "-1+1", "'-1+1"),
        (Type.DECIMAL, "-0.50", "-0.50"),
        (Type.DECIMAL, "1.00000000000000000000", "1.00000000000000000000"),
        (Type.DECIMAL, "1234567890123.456", "'1234567890123.456"),
        (Type.DECIMAL, "0.000000000000001", "0.000000000000001"),
        (Type.DECIMAL, "NaN", "NaN"),
        (Type.DECIMAL, "-Infinity", "'-Infinity"),
        (Type.FLOAT, "0.30000000000000004", "0.30000000000000004"),
        (Type.FLOAT, "-1e-07", "-1e-07"),
        (Type.FLOAT, "-Infinity", "'-Infinity"),
        (Type.TEXT, "-5", "'-5"),
        (Type.TEXT, "5", "5"),
        (Type.TEXT, "1.5", "1.5"),
        (Type.TEXT, "1.50", "'1.50"),
        (Type.TEXT, "007", "'007"),
        (Type.TEXT, "0", "0"),
        (Type.TEXT, "0.7", "0.7"),
        (Type.TEXT, "12E3", "'12E3"),
        (Type.TEXT, "1,234", "'1,234"),
        (Type.TEXT, "4915112345678901", "'4915112345678901"),
        (Type.TEXT, "+49 30 1", "'+49 30 1"),
        (Type.TEXT, "'tis", "''tis"),
        (Type.TEXT, "2 apples", "2 apples"),
        (Type.TEXT, "", ""),
        (Type.UUID, "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001"),
        (Type.JSON, "-1", "'-1"),
        (Type.INTERVAL, "-1 days", "'-1 days"),
        (Type.DATE, "2026-01-02", "2026-01-02"),
        (Type.DATE, "-infinity", "'-infinity"),
        (Type.BOOLEAN, "t", "TRUE"),
        (Type.BOOLEAN, "0", "FALSE"),
        (Type.BOOLEAN, "maybe", "maybe"),
        (Type.TIMESTAMP, "2026-01-02 03:04:05", "2026-01-02 03:04:05"),
        (Type.INSTANT, "2026-01-02 03:04:05.678+00", "2026-01-02 03:04:05.678"),
        (Type.INSTANT, "0044-03-15 00:00:00+00 BC", "0044-03-15 00:00:00 BC"),
        (Type.INSTANT, "infinity", "infinity"),
    ],
)
def test_a_value_is_shown_as_it_is_stored(kind: Type, value: str, cell: str) -> None:
    assert shown(value, kind) == cell


def test_the_zone_is_named_above_instants_alone() -> None:
    assert table([], Type.INSTANT) == "\ufeffn,v (UTC)\n"
    assert table([], Type.TIMESTAMP) == "\ufeffn,v\n"
    assert table([], Type.TEXT, name="=name") == "\ufeffn,'=name\n"


def test_whatever_a_spreadsheet_may_split_at_stands_in_quotes() -> None:
    assert table(["a;b", "a,b", "a|b", "a\tb", "a b"], delimiter=";") == (
        '\ufeffn;v\n1;"a;b"\n1;"a,b"\n1;"a|b"\n1;"a\tb"\n1;a b\n'
    )


def test_null_and_empty_stay_apart() -> None:
    assert table([None, ""]) == '\ufeffn,v\n1,\n1,""\n'


@pytest.mark.parametrize("value", ["=" + "x" * 99, "0" * 99, "9" * 99, "x" * 99, "'" + '"' * 99])
def test_a_long_text_is_guarded_as_a_short_one(value: str, monkeypatch) -> None:
    short = shown(value)
    monkeypatch.setattr(_columns, "WINDOW", 16)
    monkeypatch.setattr(_pieces, "AT_ONCE", 1)
    assert shown(value) == short


def test_the_machine_profile_changes_nothing() -> None:
    rows: list[Row] = [{"a": one} for one in ("=1", "007", "12345678901234567", "2026-01-02 03:04:05+00")]
    made = text_of(csv, list(csv.pieces(trees.stream(Shape({"a": "str"}), rows))))
    assert made.decode().splitlines() == [row["a"] for row in rows]
