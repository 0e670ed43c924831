"""Numbers of SQLite are the same texts whether they are read as numbers or in words, wherever the first odd one is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outhaul.errors import Unproven
from outhaul.sources import sqlite
from outhaul.sources._sqlite_library import Library
from outhaul.sources._sqlite_numbers import check_same_way
from tests.loose_values import EVERYTHING, reading, writing
from tests.selections import selection
from tests.slow_reader import rows, texts

ROWS = 9_000  # more than two batches of the library
SCALES = range(9)


def expected(value: Any, scale: int | None) -> Any:
    """The text of one value, made of it alone."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, int):
        return f"{value}.{'0' * scale}" if scale else str(value)
    if scale is None or not abs(value) * 10**scale < 10**15:
        return value  # several texts read back to it
    rounded = f"{value:.{scale}f}"
    return rounded if float(rounded) == value else value


def alike(found: str | None, wanted: Any) -> bool:
    if isinstance(wanted, float):
        return found is not None and float(found) == wanted
    return bool(found == wanted)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    whole=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20),
    digits=st.lists(st.integers(-(10**17), 10**17), min_size=1, max_size=40),
    floats=st.lists(st.floats(allow_nan=False, width=64), max_size=3),
)
def test_decimals_and_integers_have_the_text_of_each_value(
    tmp_path_factory: Any, whole: list[int], digits: list[int], floats: list[float]
) -> None:
    file = tmp_path_factory.mktemp("numbers") / "source.db"
    with writing(file) as connection:
        columns = ", ".join(f"d{scale} DECIMAL(18, {scale})" for scale in SCALES)
        connection.execute(f"CREATE TABLE sums (id INTEGER PRIMARY KEY, n BIGINT, {columns})")
        for number, given_digits in enumerate(digits):
            values = [float(Decimal(given_digits).scaleb(-scale)) for scale in SCALES]
            values = [*floats, *values][: len(SCALES)] if number % 7 == 6 else values
            kept = whole[number] if number < len(whole) else None
            connection.execute(
                f"INSERT INTO sums VALUES (?, ?, {', '.join('?' * len(values))})", (number, kept, *values)
            )
        stored = connection.execute("SELECT * FROM sums ORDER BY id").fetchall()
    with reading(file) as session:
        sums = selection(sqlite.reflect(f"sqlite:///{file}"), "sums")
        for place, (name, scale) in enumerate([("n", None), *((f"d{scale}", scale) for scale in SCALES)], 1):
            found = texts(session.read(sums, EVERYTHING, "csv"), name)
            wanted = [expected(row[place], scale) for row in stored]
            assert [pair for pair in zip(found, wanted, strict=True) if not alike(*pair)] == []


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """Orders with lines, two of each, so that several batches are read of both."""
    file = tmp_path / "source.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.executescript(f"""
            CREATE TABLE orders (id INTEGER PRIMARY KEY, number INTEGER, total DECIMAL(10, 2), word TEXT);
            CREATE TABLE lines (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders, price DECIMAL(10, 2));
            CREATE INDEX lines_of_orders ON lines (order_id);
            WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS - 1})
            INSERT INTO orders SELECT i, i * 7, i / 100.0, 'w' || i FROM n;
            INSERT INTO lines SELECT o.id * 2 + k.v, o.id, o.id / 8.0 FROM orders o, (SELECT 0 v UNION SELECT 1) k;
        """)
        yield file, connection


ODD = [
    *("seven", 7.5, b"\x07", 2**53 + 1, 1e300, float("inf"), 0.125, -0.0, None, 3),
]


@pytest.mark.parametrize("at", [0, 1, 4095, 4096, ROWS - 1])
@pytest.mark.parametrize("column", ["number", "total"])
def test_the_first_odd_value_changes_no_row_before_or_after(
    shop: tuple[Path, sqlite3.Connection], column: str, at: int
) -> None:
    file, connection = shop
    scales = {"id": None, "number": None, "total": 2}
    for odd in ODD:
        connection.execute(f"UPDATE orders SET {column} = ? WHERE id = ?", (odd, at))
        stored = connection.execute("SELECT id, number, total FROM orders ORDER BY id").fetchall()
        with reading(file) as session:
            orders = selection(sqlite.reflect(f"sqlite:///{file}"), "orders")
            blocks = [block for one in session.read(orders, EVERYTHING, "csv") for block in one.blocks]
            for place, (name, scale) in enumerate(scales.items()):
                found = [
                    None if text is None else text.decode()
                    for block in blocks
                    for text in block.columns[name,].to_pylist()
                ]
                wanted = [expected(row[place], scale) for row in stored]
                pairs = [pair for pair in zip(found, wanted, strict=True) if not alike(*pair)]
                assert pairs == [], (column, odd)


@pytest.mark.parametrize("odd", ["seven", 0.125, b"\x07", float("inf")])
def test_related_rows_stay_with_their_parents_when_one_of_them_is_odd(
    shop: tuple[Path, sqlite3.Connection], odd: Any
) -> None:
    file, connection = shop
    connection.execute("UPDATE lines SET price = ? WHERE id = 10001", (odd,))
    stored = connection.execute("SELECT order_id, id, price FROM lines ORDER BY order_id, id").fetchall()
    with reading(file) as session:
        orders = selection(sqlite.reflect(f"sqlite:///{file}"), "orders", "lines")
        found = [
            (order["id"], line["id"][1], line["price"])
            for order in rows(session.read(orders, EVERYTHING, "csv"))
            for line in order["lines"]
        ]
    assert [(order, line) for order, line, _ in found] == [
        (str(order), str(line)) for order, line, _ in stored
    ]
    for (_, line, said), (*_, value) in zip(found, stored, strict=True):
        text = said[1] if isinstance(said, tuple) else said
        assert alike(text, "Infinity" if value == float("inf") else expected(value, 2)), line


def test_rows_that_could_come_in_another_order_are_not_read_on(
    shop: tuple[Path, sqlite3.Connection],
) -> None:
    file, _ = shop
    library = Library(file)
    ways = ("lines NOT INDEXED", "lines INDEXED BY lines_of_orders")
    by_table, by_index = (sa.select(sa.text("order_id")).select_from(sa.text(way)) for way in ways)
    try:
        check_same_way(library, by_table, by_table)
        with pytest.raises(Unproven, match="in the same order"):
            check_same_way(library, by_table, by_index)
    finally:
        library.close()
