"""Tables of very many columns, of no row or one, and of so many rows that planning must not read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from outhaul import siblings, sources
from outhaul.export import Draft, Selection
from outhaul.plan import Node, build
from outhaul.sources import _sqlite_shape
from tests import databases
from tests.catalogs import EVERYBODY, FORMATS
from tests.databases import Database
from tests.slow_reader import rows

COLUMNS = 1_500
PART = 60_000


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    place = tmp_path / "odd.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with getattr(databases, request.param)(place) as found:
        found.run(*(["PRAGMA journal_mode = wal"] if request.param == "sqlite" else []))
        yield found


def asked(database: Database, resource: str, **more: Any) -> Node:
    draft = Draft((Selection(resource, **more),))
    return build(database.reflect(), draft, EVERYBODY, formats=FORMATS).selections[0]


@pytest.mark.parametrize("sort", [(), pytest.param(("-c7",), marks=pytest.mark.heavy)], ids=["", "sorted"])
def test_a_table_of_1500_columns_is_cut_and_read(
    database: Database, monkeypatch: pytest.MonkeyPatch, sort: tuple[str, ...]
) -> None:
    monkeypatch.setattr(_sqlite_shape, "SMALL_FILE", 0)  # the width of rows is looked at in small files, too
    names = [f"c{number}" for number in range(1, COLUMNS)]
    database.run(
        f"CREATE TABLE wide (id integer PRIMARY KEY, {', '.join(f'{one} smallint' for one in names)})"
    )
    for row in range(20):
        database.run(
            f"INSERT INTO wide VALUES ({row}, {', '.join(str(row + n % 9) for n in range(1, COLUMNS))})"
        )
    node = asked(database, "wide", sort=sort)
    session = siblings.load(sources, database.dialect).connect(database.url, "of a test")
    try:
        session.begin(None)
        ranges = session.split(node, PART)
        assert len(ranges) > 1
        found = [row for one in ranges for row in rows(session.read(node, one, "json"))]
    finally:
        session.close()
    assert [list(row) for row in found] == [["id", *names]] * 20
    by_c7 = [(-int(row["c7"][1]), int(row["id"][1])) for row in found]
    assert sorted(number for _, number in by_c7) == list(range(20))
    assert not sort or by_c7 == sorted(by_c7)


@pytest.mark.parametrize("count", [0, 1])
def test_a_table_of_no_row_or_one_is_one_part_in_any_order(database: Database, count: int) -> None:
    database.run("CREATE TABLE few (id integer PRIMARY KEY, word text)")
    database.run(*["INSERT INTO few VALUES (7, 'x')"][:count])
    nodes = [asked(database, "few"), asked(database, "few", sort=("-word",))]
    session = siblings.load(sources, database.dialect).connect(database.url, "of a test")
    try:
        session.begin(None)
        for node in nodes:
            for lasting in (False, True):
                ranges = session.split(node, 1, lasting=lasting)
                found = [row for one in ranges for row in rows(session.read(node, one, "json"))]
                assert len(found) == count
    finally:
        session.close()


LARGE = (
    "CREATE TABLE large (id integer PRIMARY KEY, word text, filler text)",
    "CREATE TABLE bits (id integer PRIMARY KEY, large_id integer REFERENCES large)",
)
WISHES: tuple[dict[str, Any], ...] = ({}, {"includes": ("bits",)}, {"sort": ("word",)})


def test_planning_on_postgresql_reads_some_blocks_however_many_rows_there_are(postgres_url: str) -> None:
    """By its statistics the table has a billion rows."""
    count = 30_000
    with databases.postgresql(postgres_url) as database:
        database.run(
            *LARGE,
            f"INSERT INTO large SELECT n, n % 97, repeat('x', 900) FROM generate_series(1, {count}) n",
            "ANALYZE",
            "UPDATE pg_class SET reltuples = 1e9 WHERE relname = 'large'",
        )
        nodes = [asked(database, "large", **wish) for wish in WISHES]
    source = siblings.load(sources, "postgresql")
    read = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'large'"
    for node in nodes:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            before = connection.execute(read.encode()).fetchone()
        session = source.connect(postgres_url, "of a test")
        session.begin(None)
        assert session.size(node) > 10**11
        assert len(session.split(node, 2 * 10**10)) > 4
        session.end()
        session.close()  # the server's own counts are complete when the session has gone
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            after = connection.execute(read.encode()).fetchone()
        assert before
        assert after
        assert after[0] - before[0] < count / 2


def test_planning_on_sqlite_scans_no_table(tmp_path: Path) -> None:
    with databases.sqlite(tmp_path / "large.db") as database:
        database.run("PRAGMA journal_mode = wal", *LARGE)
        database.run("CREATE TABLE words (word text PRIMARY KEY)")
        database.fill("large", [(n, str(n % 97), "x" * 90) for n in range(1, 2_000)])
        database.fill("words", [(f"{n}-{'x' * 50}",) for n in range(500)])
        nodes = [asked(database, "large", **wish) for wish in WISHES] + [asked(database, "words")]
    session = siblings.load(sources, "sqlite").connect(f"sqlite:///{tmp_path / 'large.db'}", "of a test")
    try:
        session.begin(None)
        told: list[tuple[str, tuple[str, ...]]] = []
        fetch = session._library.fetch

        def listening(words: str, params: tuple[str, ...] = ()) -> Any:
            told.append((words, params))
            return fetch(words, params)

        session._library.fetch = listening
        for node in nodes:
            for lasting in (False, True) if not node.sort else (False,):
                assert len(session.split(node, 5_000, lasting=lasting)) > 4
        assert len(told) > 10
        steps = [step for words, params in told for *_, step in fetch(f"EXPLAIN QUERY PLAN {words}", params)]
        assert not [step for step in steps if re.match(r"SCAN (t0|large|words|bits|r)\b", step)]
    finally:
        session.close()


@pytest.mark.heavy
def test_a_catalog_of_10000_resources_is_read_and_planned_with(database: Database) -> None:
    count = 10_000
    for start in range(0, count, 500):
        database.run(
            *(
                f"CREATE TABLE t{n} (id integer PRIMARY KEY, t{n}_id integer REFERENCES t{n // 2})"
                for n in range(start, start + 500)
            )
        )
    catalog = database.reflect()
    assert len(catalog.resources) == count
    assert len(catalog.fingerprint) == 64
    ways = catalog.resources["t4000"].relationships
    assert {(way.target, way.many) for way in ways} == {("t2000", False), ("t8000", True), ("t8001", True)}
    draft = Draft((Selection("t4000", includes=tuple(way.name for way in ways)),))
    assert len(build(catalog, draft, EVERYBODY, formats=FORMATS).selections[0].children) == 3
