"""Moments in rows of a layout: spelled in one way, in UTC, whatever the database and however it keeps them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from outhaul.export import Draft, Member, Selection
from tests.served import US, done, put_together

TABLE = "CREATE TABLE stamps (id integer PRIMARY KEY, at timestamptz, due timestamp)"
LAYOUT = tuple(Member(name, field=name, utc=True) for name in ("id", "at", "due"))
# As they are written, and as they are to be read, with a zone and without.
SPELLED: list[tuple[str | None, str | None, str | None, str | None]] = [
    ("2026-01-02 03:04:05+00:00", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05", "2026-01-02T03:04:05Z"),
    ("2026-01-02 05:04:05.5+02:00", "2026-01-02T03:04:05.5Z", "2026-01-02 10:20:30", "2026-01-02T10:20:30Z"),
    (None, None, None, None),
    ("2026-01-02T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-02", "2026-01-02T00:00:00Z"),
    ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z", None, None),
    (
        "2026-06-30 23:59:10.120-05:30",
        "2026-07-01T05:29:10.12Z",
        "9999-12-31 23:59:59.1",
        "9999-12-31T23:59:59.1Z",
    ),
    (
        "2026-01-02 03:04+02:00",
        "2026-01-02T01:04:00Z",
        "2026-01-02 03:04:00.000100",
        "2026-01-02T03:04:00.0001Z",
    ),
]


def exported(url: str, folder: Path) -> list[Any]:
    draft = Draft((Selection("stamps", layout=LAYOUT),), ("ndjson",), numbered=True)
    with put_together(url, folder / "state") as outhaul:
        export = done(outhaul, outhaul.exports.create(US, draft))
        (one,) = outhaul.exports.files([export])[export.id]
        file = outhaul.exports.file(US, export.id, one.name)
        lines = b"".join(file.read(0, file.length)).splitlines()
    return sorted(map(json.loads, lines), key=lambda row: row["id"])


def wanted() -> list[Any]:
    rows = [{"id": n, "at": at, "due": due} for n, (_, at, _, due) in enumerate(SPELLED)]
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def test_moments_of_postgresql_end_with_z(postgres_url: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute(TABLE)
        for n, (at, _, due, _) in enumerate(SPELLED):
            connection.execute("INSERT INTO stamps VALUES (%s, %s, %s)", (n, at, due))
        connection.execute("INSERT INTO stamps VALUES (100, 'infinity', '-infinity')")
    found = exported(postgres_url, tmp_path)
    assert found[:-1] == wanted()
    assert found[-1] == {"id": 100, "at": "infinity", "due": "-infinity"}, "which is no moment"


JUNK: list[Any] = ["now", "12h", "soon", "", "2026-13-45", "12:30", 1_767_322_800, 0.5]


def test_moments_of_sqlite_end_with_z_and_what_is_none_stays(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(TABLE)
        rows = [(n, at, due) for n, (at, _, due, _) in enumerate(SPELLED)]
        rows += [(100 + n, one, one) for n, one in enumerate(JUNK)]
        connection.executemany("INSERT INTO stamps VALUES (?, ?, ?)", rows)
    found = exported(f"sqlite:///{tmp_path}/a.db", tmp_path)
    assert found[: len(SPELLED)] == wanted()
    assert [one["at"] for one in found[len(SPELLED) :]] == JUNK
    assert [one["due"] for one in found[len(SPELLED) :]] == JUNK
