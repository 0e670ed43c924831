"""Values are taken in every way people write them, brought to one text, and refused with an example."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outhaul.catalog import Field, Type
from outhaul.errors import Refused, TooMuch, WrongValue
from outhaul.values import checked, many, pattern, plain, truth

WHERE = ("filters", "f_eq")


def field(kind: Type, native: str = "text", choices: tuple[str, ...] = ()) -> Field:
    return Field("f", "f", kind, native, choices=choices)


TAKEN: list[tuple[Type, str, Any, str]] = [
    (Type.INTEGER, "bigint", 42, "42"),
    (Type.INTEGER, "bigint", "+007", "7"),
    (Type.INTEGER, "bigint", str(-(2**63)), "-9223372036854775808"),
    (Type.INTEGER, "smallint", 32767, "32767"),
    (Type.INTEGER, "INTEGER", 2**63 - 1, "9223372036854775807"),
    (Type.DECIMAL, "numeric", "12.50", "12.50"),
    (Type.DECIMAL, "numeric(3,1)", Decimal("1234567890.123456789"), "1234567890.123456789"),
    (Type.DECIMAL, "numeric", 0.1, "0.1"),
    (Type.DECIMAL, "numeric", ".5e-3", ".5e-3"),
    (Type.FLOAT, "double precision", "1e308", "1e308"),
    (Type.FLOAT, "real", 0, "0"),
    (Type.BOOLEAN, "boolean", True, "true"),
    (Type.BOOLEAN, "boolean", "FALSE", "false"),
    (Type.BOOLEAN, "boolean", 1, "true"),
    (Type.UUID, "uuid", "A0EEBC999C0B4EF8BB6D6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    (Type.DATE, "date", "2024-02-29", "2024-02-29"),
    (Type.TIME, "time without time zone", "9:30".zfill(5), "09:30:00.000000"),
    (Type.TIME, "time with time zone", "09:30:00.5+02", "09:30:00.500000+02"),
    (Type.TIMESTAMP, "timestamp", "2024-01-01", "2024-01-01 00:00:00.000000"),
    (Type.TIMESTAMP, "timestamp", "2024-01-01T00:30:00.000001+01:00", "2023-12-31 23:30:00.000001"),
    (Type.INSTANT, "timestamptz", "2024-01-01T00:30-0530", "2024-01-01 06:00:00.000000+00:00"),
    (Type.INSTANT, "timestamptz", "2024-01-01T00:30:00.123Z", "2024-01-01 00:30:00.123000+00:00"),
    (Type.TEXT, "text", "o'clock ä😀\n", "o'clock ä😀\n"),
    (Type.TEXT, "text", 7, "7"),
    (Type.TEXT, "text", "", ""),
    (Type.OTHER, "inet", "10.0.0.1", "10.0.0.1"),
]


@pytest.mark.parametrize(("kind", "native", "value", "text"), TAKEN)
def test_a_value_becomes_one_plain_text(kind: Type, native: str, value: Any, text: str) -> None:
    assert checked(field(kind, native), value) == text


NO_TEXTS: list[Any] = [None, True, [], ["a"], {}, "a\0", "\ud800"]
REFUSED: list[tuple[Type, str, Any]] = [
    *(
        (Type.INTEGER, "bigint", one)
        for one in ("", "1.0", 1.5, "1e3", "abc", "१", "0x10", " 1", 2**63, True)
    ),
    *((Type.INTEGER, "smallint", one) for one in (32768, -32769)),
    *((Type.INTEGER, "bigint", one) for one in ("9" * 2000, 10**5000)),
    *(
        (Type.DECIMAL, "numeric", one)
        for one in ("", "1,5", "NaN", "Infinity", "--1", ".", "1e1001", "1" * 1001)
    ),
    *(
        (Type.FLOAT, "double precision", one)
        for one in ("1e400", "1e-400", "inf", float("nan"), float("inf"))
    ),
    *((Type.FLOAT, "real", one) for one in ("1e39", "1e-60")),
    *((Type.BOOLEAN, "boolean", one) for one in ("yes", 2, "t", "")),
    *((Type.UUID, "uuid", one) for one in ("", "abc", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "g" * 32)),
    *(
        (Type.DATE, "date", one)
        for one in ("2024-02-30", "20240101", "2024-1-1", "0000-01-01", "2024-W01-1", "")
    ),
    *((Type.TIME, "time without time zone", one) for one in ("24:00", "9:30", "09:30:60", "09:30Z")),
    *(
        (Type.TIMESTAMP, "timestamp", one)
        for one in ("now", "2024-01-01T25:00", "2024-01-01T10:00:00.1234567")
    ),
    *(
        (Type.INSTANT, "timestamptz", one)
        for one in ("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00")
    ),
    (Type.INSTANT, "timestamptz", "2024-01-01 10:00:00 02:00"),
    *((Type.TEXT, "text", one) for one in NO_TEXTS),
]


@pytest.mark.parametrize(("kind", "native", "value"), REFUSED, ids=range(len(REFUSED)))
def test_a_value_that_does_not_fit_is_refused_in_words(kind: Type, native: str, value: Any) -> None:
    with pytest.raises(WrongValue) as caught:
        checked(field(kind, native), value, WHERE)
    assert caught.value.where == WHERE
    assert len(str(caught.value)) < 400
    assert "\0" not in str(caught.value)


def test_an_enum_takes_its_labels_alone() -> None:
    mood = field(Type.TEXT, "public.mood", ("sad", "ok"))
    assert checked(mood, "ok") == "ok"
    with pytest.raises(WrongValue) as caught:
        checked(mood, "OK", WHERE)
    assert caught.value.choices == ("sad", "ok")
    assert caught.value.wrong == "OK"
    assert "sad, ok" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "listed"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("a,,b", ["a", "", "b"]),
        ("", [""]),
        (["a,b", 1], ["a,b", 1]),
        ('["a,b", 1, 1.10]', ["a,b", 1, Decimal("1.10")]),
        ("[a,b]", ["[a", "b]"]),
        (5, [5]),
    ],
)
def test_a_list_is_written_with_commas_or_as_json(value: Any, listed: list[Any]) -> None:
    assert many(value) == listed


@pytest.mark.parametrize("value", [[], "[]"])
def test_an_empty_list_is_refused(value: Any) -> None:
    with pytest.raises(WrongValue):
        many(value)


@pytest.mark.parametrize(
    "value", [list(range(10_001)), ",".join("x" * 10_001), json.dumps(list(range(10_001)))]
)
def test_a_list_that_is_too_long_says_both_numbers(value: Any) -> None:
    with pytest.raises(TooMuch) as caught:
        many(value, WHERE)
    assert caught.value.facts == {"value": 10_001, "limit": 10_000}
    assert "10,001" in str(caught.value)
    assert "10,000" in str(caught.value)


def test_a_text_that_is_too_long_is_refused() -> None:
    assert len(plain("x" * 8_000)) == 8_000
    with pytest.raises(TooMuch):
        plain("x" * 8_001)


@pytest.mark.parametrize(
    ("text", "fine"), [("a\\%", True), ("a\\\\", True), ("a\\", False), ("\\\\\\", False)]
)
def test_a_pattern_may_not_end_in_a_lone_backslash(text: str, fine: bool) -> None:
    if fine:
        assert pattern(text) == text
    else:
        with pytest.raises(WrongValue):
            pattern(text)


@pytest.mark.parametrize("value", [None, "maybe", 2, [], "", 1.0])
def test_a_flag_is_true_or_false(value: Any) -> None:
    assert truth(True)
    assert not truth("False")
    with pytest.raises(WrongValue) as caught:
        truth(value)
    assert caught.value.choices == ("true", "false")


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.sampled_from(Type), json_like)
def test_any_value_at_all_is_taken_or_refused(kind: Type, value: Any) -> None:
    try:
        text = checked(field(kind), value)
    except Refused:
        return
    assert "\0" not in text
    assert checked(field(kind), text) == text, "what was taken is taken again, unchanged"
