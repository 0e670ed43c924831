"""Values of every class in columns of every declared type of SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from outhaul.blocks import Range
from outhaul.sources import sqlite
from outhaul.sources.sqlite import Session

EVERYTHING = Range()


VALUES: list[Any] = [
    *(
        None,
        0,
        1,
        -1,
        2,
        2**62,
        -(2**63),
        0.0,
        -0.0,
        1.0,
        0.1 + 0.2,
        1e300,
        5e-324,
        -1.5,
        1e22,
        123456789012345.67,
    ),
    *(
        float("inf"),
        float("-inf"),
        "",
        "text",
        'quoted "text"',
        "back\\slash",
        "line\nbreak\r\t\x01\x7f",
        "\u2028 é 😀",
    ),
    *(
        "12",
        "1.50",
        "-0",
        "1e5",
        "NaN",
        "Infinity",
        "null",
        "true",
        '{"a": [1.10, 1e999]}',
        '{"a":\n 1}',
        "{bad",
        "nul\0byte",
    ),
    *(b"", b"\x00\xff", b"text", "2024-02-30", "2024-01-01 10:00:00", "2024-01-01T10:00:00+02:00"),
]


DECLARED = {
    "c_int": "INTEGER",
    "c_text": "TEXT",
    "c_char": "VARCHAR(20)",
    "c_real": "REAL",
    "c_num": "NUMERIC",
    "c_none": "",
    "c_dec": "DECIMAL(10,2)",
    "c_dec0": "DECIMAL(10)",
    "c_blob": "BLOB",
    "c_bool": "BOOLEAN",
    "c_date": "DATE",
    "c_ts": "TIMESTAMP",
    "c_tz": "TIMESTAMPTZ",
    "c_time": "TIME",
    "c_json": "JSON",
    "c_uuid": "UUID",
    "c_odd": "WHATEVER",
}


@contextmanager
def writing(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file)) as connection:
        yield connection
        connection.commit()


@contextmanager
def reading(file: Path) -> Iterator[Session]:
    session = sqlite.connect(f"sqlite:///{file}", "of a test")
    try:
        session.begin()
        yield session
    finally:
        session.close()


def make_values(file: Path) -> list[dict[str, Any]]:
    """A table with each value in each column, and what Python's own library reads from it."""
    with writing(file) as connection:
        columns = ", ".join(f"{name} {kind}" for name, kind in DECLARED.items())
        connection.execute(f"CREATE TABLE things (id INTEGER PRIMARY KEY, {columns})")
        marks = ", ".join("?" for _ in DECLARED)
        rows_ = [(number, *[value] * len(DECLARED)) for number, value in enumerate(VALUES)]
        connection.executemany(f"INSERT INTO things VALUES (?, {marks})", rows_)
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM things ORDER BY id")]
