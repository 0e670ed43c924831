"""SQLite as a source: loose types against a slow reader."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outhaul.errors import UnreadableValue
from outhaul.sources import sqlite
from tests.loose_values import DECLARED, EVERYTHING, make_values, reading, writing
from tests.selections import selection
from tests.slow_reader import digits, drain, rows, texts


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "source.db"


def plain(value: Any, kind: str) -> Any:
    """The text of a value; numbers that have several texts are compared by what they read back to."""
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) and kind == "DECIMAL(10,2)":
        return f"{value}.00"
    return value if isinstance(value, float) or value is None else str(value)


def same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, str):
        return struct.pack("d", float(found)) == struct.pack("d", wanted) or float(found) == wanted == 0
    return bool(found == wanted)


def test_every_value_of_any_class_comes_as_its_text(file: Path) -> None:
    wanted = make_values(file)
    with reading(file) as session:
        things = selection(sqlite.reflect(f"sqlite:///{file}"), "things")
        for name, kind in DECLARED.items():
            found = texts(session.read(things, EVERYTHING, "csv"), name)
            pairs = [(text, plain(row[name], kind)) for text, row in zip(found, wanted, strict=True)]
            assert [pair for pair in pairs if not same(*pair)] == []


def as_json(value: Any, kind: str) -> Any:
    text = plain(value, kind)
    if kind == "BOOLEAN" and value in (0, 1) and isinstance(value, int):
        return bool(value)
    if kind == "JSON" and isinstance(value, str):
        try:
            json.loads(value, parse_constant=lambda _: 1 / 0)
        except (ValueError, ZeroDivisionError):
            return value
        return digits(value)
    if isinstance(value, int | float) and text not in ("Infinity", "-Infinity"):
        return text if kind in ("TEXT", "VARCHAR(20)") else ("number", text)
    return text


def test_every_value_of_any_class_comes_as_json_of_its_class(file: Path) -> None:
    wanted = make_values(file)
    with reading(file) as session:
        found = rows(
            session.read(selection(sqlite.reflect(f"sqlite:///{file}"), "things"), EVERYTHING, "json")
        )
    for got, row in zip(found, wanted, strict=True):
        for name, kind in DECLARED.items():
            right = as_json(row[name], kind)
            if isinstance(right, tuple) and isinstance(right[1], float):
                assert got[name][0] == "number"
                assert same(got[name][1], right[1])
            else:
                assert (name, got[name]) == (name, right)


def test_declared_decimals_have_all_their_decimals_unless_that_would_round(file: Path) -> None:
    with writing(file) as connection:
        connection.execute("CREATE TABLE prices (id INTEGER PRIMARY KEY, price DECIMAL(10,2))")
        given_ = [1, 1.5, 0.1, 19.99, -3, 1.005, 1e17, 2**60, 1234567890123.45, 0, "19.999"]
        connection.executemany("INSERT INTO prices (price) VALUES (?)", [(value,) for value in given_])
    prices = selection(sqlite.reflect(f"sqlite:///{file}"), "prices")
    with reading(file) as session:
        found = texts(session.read(prices, EVERYTHING, "csv"), "price")
    wanted = ["1.00", "1.50", "0.10", "19.99", "-3.00", "1.005", "100000000000000000.00", f"{2**60}.00"]
    assert found == [*wanted, "1234567890123.45", "0.00", "19.999"]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=300))
def test_every_double_reads_back_to_itself(tmp_path_factory: Any, patterns: list[int]) -> None:
    file = tmp_path_factory.mktemp("doubles") / "source.db"
    doubles = [struct.unpack("d", struct.pack("Q", pattern))[0] for pattern in patterns]
    with writing(file) as connection:
        connection.execute("CREATE TABLE doubles (id INTEGER PRIMARY KEY, d REAL)")
        connection.executemany("INSERT INTO doubles (d) VALUES (?)", [(d,) for d in doubles])
    with reading(file) as session:
        found = texts(
            session.read(selection(sqlite.reflect(f"sqlite:///{file}"), "doubles"), EVERYTHING, "csv"), "d"
        )
    for text, double in zip(found, doubles, strict=True):
        if double != double:
            assert text is None  # SQLite stores NaN as NULL
        else:
            assert text is not None
            assert float(text) == double
            assert len([c for c in text.partition("e")[0].strip("-0.") if c.isdigit()]) <= 17


def test_a_column_that_is_null_for_long_is_still_text(file: Path) -> None:
    with writing(file) as connection:
        connection.execute("CREATE TABLE late (id INTEGER PRIMARY KEY, t, d DATE)")
        connection.executemany("INSERT INTO late (t) VALUES (?)", [(None,)] * 9000)
        connection.execute("INSERT INTO late (t, d) VALUES ('at last', 5)")
    late = selection(sqlite.reflect(f"sqlite:///{file}"), "late")
    with reading(file) as session:
        assert rows(session.read(late, EVERYTHING, "json"))[-1] == {
            "id": ("number", "9001"),
            "t": "at last",
            "d": ("number", "5"),
        }


@pytest.mark.parametrize("style", ["csv", "json"])
def test_text_that_is_not_utf8_fails_with_table_key_and_column(file: Path, style: Any) -> None:
    with writing(file) as connection:
        connection.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY, t TEXT)")
        connection.execute(
            "CREATE TABLE kids (a TEXT, b INT, parent_id INT REFERENCES parents, note, PRIMARY KEY (a, b))"
        )
        connection.executemany("INSERT INTO parents VALUES (?, 'fine')", [(i,) for i in range(3000)])
        connection.executemany("INSERT INTO kids VALUES ('k', ?, ?, 'fine')", [(i, i) for i in range(3000)])
        connection.execute("UPDATE kids SET note = CAST(x'636166e9' AS TEXT) WHERE b = 2345")
    catalog = sqlite.reflect(f"sqlite:///{file}")
    for node in (selection(catalog, "kids"), selection(catalog, "parents", "kids")):
        with reading(file) as session, pytest.raises(UnreadableValue) as caught:
            drain(session.read(node, EVERYTHING, style))
        assert "kids: note of the row with key k, 2345 is not UTF-8" in str(caught.value)
