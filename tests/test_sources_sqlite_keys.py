"""SQLite as a source: foreign keys that are declared with another type than the key they point to."""

from __future__ import annotations

from pathlib import Path

import pytest

from outhaul.sources import sqlite
from tests.loose_values import reading, writing
from tests.selections import selection
from tests.slow_reader import rows


@pytest.mark.parametrize("declared", ["INT", "TEXT", "VARCHAR(9)", "", "REAL", "NUMERIC"])
def test_children_are_found_whatever_type_their_foreign_key_has(tmp_path: Path, declared: str) -> None:
    file = tmp_path / "source.db"
    with writing(file) as connection:
        connection.executescript(
            f"""
            PRAGMA journal_mode = wal;
            CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT);
            CREATE TABLE lines (id INTEGER PRIMARY KEY, order_id {declared} REFERENCES orders(id));
            """
        )
        connection.executemany("INSERT INTO orders VALUES (?, 'n')", [(n,) for n in range(1, 301)])
        connection.executemany("INSERT INTO lines VALUES (?, ?)", [(n, (n + 1) // 2) for n in range(1, 601)])
    orders = selection(sqlite.reflect(f"sqlite:///{file}"), "orders", "lines")
    with reading(file) as session:
        ranges = session.split(orders, 500)
        found = [row for part in ranges for row in rows(session.read(orders, part, "json"))]
    assert len(ranges) > 3
    assert [int(row["id"][1]) for row in found] == list(range(1, 301))
    assert [[int(line["id"][1]) for line in row["lines"]] for row in found] == [
        [2 * n - 1, 2 * n] for n in range(1, 301)
    ]
