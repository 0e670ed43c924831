"""What the page of a new export offers to filter by is what the core takes, in words, and by the viewer's clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from outhaul import formats, siblings
from outhaul.catalog import Field, Type
from outhaul.console import creating, filtering
from outhaul.console.filtering import Filters, Row
from outhaul.filters import OPS, TEXT
from outhaul.forms import forms
from outhaul.tabular import WAYS
from tests.catalogs import SHOP, field

BERLIN = ZoneInfo("Europe/Berlin")


def filters(*fields: Field) -> Filters:
    orders = SHOP.resources["orders"]
    shaped = replace(orders, fields=(*orders.fields, *fields))
    catalog = replace(SHOP, resources={**SHOP.resources, "orders": shaped})
    return Filters(catalog, shaped, frozenset(catalog.resources), BERLIN)


@pytest.mark.parametrize("kind", Type)
def test_whatever_is_offered_of_a_type_the_core_takes(kind: Type) -> None:
    found = dict(filtering.offered(field("x", kind)))
    assert found
    assert {"null", "not_null"} <= found.keys() or kind in TEXT
    assert all(kind in OPS[op].types for op in found)
    assert len(set(found.values())) == len(found)


def test_labels_are_chosen_among_and_only_compared_as_such() -> None:
    here = filters(replace(field("state"), choices=("open", "paid", "a b")))
    shown = here.shown(Row("state"))
    assert (shown.input, shown.choices) == ("choice", ("open", "paid", "a b"))
    assert {op for op, _ in shown.ops} == {"eq", "not_eq", "in", "not_in", "null", "not_null"}
    several = here.shown(Row("state", "in", ("paid",), "choice"))
    assert (several.input, several.row.values) == ("choices", ("paid",))
    assert here.said([Row("state", "in", ("paid", "a b"), "choices")]) == (
        {"state_in": ["paid", "a b"]},
        {},
    )


def test_a_value_a_line_is_what_stands_between_two_of_them() -> None:
    form = {"field.0": ["code"], "op.0": ["in"], "shape.0": ["lines"], "value.0": ["a\u2028b\r\n c\x85\nd"]}
    (row,) = filtering.sent(form)
    assert row.values == ("a\u2028b", "c", "d")


def test_moments_are_those_of_the_viewers_clock() -> None:
    here = filters(field("at", Type.INSTANT), field("local_at", Type.TIMESTAMP))
    assert here.shown(Row("at", "lt")).zone == "Europe/Berlin"
    assert here.shown(Row("local_at", "lt")).zone == ""
    rows = [
        Row("at", "gteq", ("2026-07-01T12:00",), "datetime"),
        Row("at", "lt", ("2026-12-01T12:00:30",), "datetime"),
        Row("local_at", "lt", ("2026-07-01T12:00",), "datetime"),
        Row("at", "not_eq", ("2026-07-01T12:00Z",), "datetime"),
    ]
    assert here.said(rows) == (
        {
            "at_gteq": "2026-07-01T12:00:00+02:00",
            "at_lt": "2026-12-01T12:00:30+01:00",
            "local_at_lt": "2026-07-01T12:00",
            "at_not_eq": "2026-07-01T12:00Z",
        },
        {},
    )


def test_a_value_of_another_kind_of_input_is_asked_for_again() -> None:
    here = filters()
    _, wrong = here.said([Row("id", "in", ("1, 2",), "number")])
    assert "A value is missing." in wrong[0]
    assert here.shown(Row("id", "in", ("1",), "number")).row.values == ("1",)


def test_two_of_a_kind_on_one_field_are_one_too_many() -> None:
    given, wrong = filters().said([Row("id", "gt", ("1",), "number"), Row("id", "gt", ("5",), "number")])
    assert given == {"id_gt": "1"}
    assert list(wrong) == [1]


def test_a_name_that_reads_as_another_filter_is_refused() -> None:
    here = filters(field("word"), field("word_not"))
    _, wrong = here.said([Row("word_not", "eq", ("x",), "text")])
    assert "another filter" in wrong[0]
    assert here.said([Row("word", "not_eq", ("x",), "text")])[0] == {"word_not_eq": "x"}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.7, "a few seconds"),
        (4.9, "a few seconds"),
        (12, "about 10 s"),
        (100, "about 100 s"),
        (150, "about 2 min"),
        (7_000, "about 117 min"),
        (9_000, "about 2 h"),
    ],
)
def test_times_are_told_no_more_exactly_than_they_are_known(seconds: float, said: str) -> None:
    assert creating.span(timedelta(seconds=seconds)) == said


def test_every_format_and_way_of_the_core_is_offered_in_words() -> None:
    assert set(creating.written()) == set(siblings.names(formats)) == set(creating.SAID)
    assert {one for ways in WAYS.values() for one in ways} == set(creating.NESTED)
    known = {
        one for name in siblings.names(formats) for one in formats.compressions(siblings.load(formats, name))
    }
    assert set(creating.compressions()) == known | {"", "none"}
    assert creating.compressions()["snappy"] == "snappy, in parquet only"


@pytest.mark.parametrize(
    ("form", "asked", "compress"),
    [
        ("csv", "", "gzip"),
        ("csv", "none", None),
        ("json", "zstd", "zstd"),
        ("parquet", "", None),
        ("parquet", "none", "none"),
        ("parquet", "gzip", "gzip"),
    ],
)
def test_a_compression_is_what_the_core_calls_it(form: str, asked: str, compress: str | None) -> None:
    assert forms()[form].compress(asked) == compress
