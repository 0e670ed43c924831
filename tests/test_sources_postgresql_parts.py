"""PostgreSQL as a source: runs of parents, ranges and estimates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from outhaul import filters
from outhaul.blocks import Range
from outhaul.catalog import Type
from outhaul.sources import _spool, postgresql
from tests import databases
from tests.postgres_reading import EVERYTHING, connected, reading
from tests.selections import selection
from tests.shop_rows import DATA, SCHEMA, WHOLE, counted, slow
from tests.slow_reader import rows


@pytest.fixture
def database(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    yield from connected(postgres_url)


def test_parents_with_heavy_children_shrink_the_runs(
    postgres_url: str, database: Any, monkeypatch: Any
) -> None:
    database.execute("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 3000)")
    database.execute("CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a, t text)")
    database.execute("INSERT INTO b SELECT i, i, repeat('x', 20000) FROM generate_series(1, 3000) i")
    tree = selection(postgresql.reflect(postgres_url), "a", "bs")
    sizes = []
    with reading(postgres_url) as session:
        for stream in session.read(tree, EVERYTHING, "json"):
            sizes.append(sum(block.rows for block in stream.blocks))
            assert sum(block.rows for block in stream.children[0].blocks) == sizes[-1]
    assert sum(sizes) == 3000
    assert sizes[0] == postgresql.FIRST_PARENTS
    assert all(size * 20_000 < 1.5 * postgresql.CHUNK_BYTES for size in sizes[1:])


def test_parents_that_turn_out_wide_are_cut_off(postgres_url: str, database: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(postgresql, "PARENT_BYTES", 3_000_000)
    monkeypatch.setattr(postgresql, "CHUNK_BYTES", 1_000_000)
    database.execute(
        "CREATE TABLE a (id int PRIMARY KEY, t text); CREATE TABLE b (id int, a_id int REFERENCES a)"
    )
    database.execute(
        "INSERT INTO a SELECT i, CASE WHEN i > 1000 THEN repeat('x', 50000) END FROM generate_series(1, 1500) i"
    )
    database.execute("INSERT INTO b SELECT i, i FROM generate_series(1, 1500) i")
    tree = selection(postgresql.reflect(postgres_url), "a", "bs")
    with reading(postgres_url) as session:
        streams = []
        ids: list[str] = []
        for stream in session.read(tree, EVERYTHING, "json"):
            read = rows([stream])
            assert all([one["a_id"] for one in row["bs"]] == [row["id"]] for row in read)
            assert sum(len(row["t"] or "") for row in read) < 6_000_000
            ids += [row["id"][1] for row in read]
            streams.append(len(read))
    assert ids == [str(number) for number in range(1, 1501)]
    assert 10 < len(streams) < 100


def test_a_copy_can_be_given_up_at_any_point(postgres_url: str, database: Any) -> None:
    database.execute("CREATE TABLE a AS SELECT n, repeat('x', 40000) FROM generate_series(1, 400) n")
    with reading(postgres_url) as session:
        wire = session._wire
        for turn in range(80):
            wire.execute("SAVEPOINT run")
            copy = wire.copy(f"SELECT * FROM a LIMIT {(turn * 7) % 400 + 1}")
            for _ in copy.blocks():
                if copy.bytes > 2_250_000 * (turn % 4 + 1):
                    copy.stop()
                    break
            wire.execute("ROLLBACK TO SAVEPOINT run")
            assert wire.fetch("SELECT count(*) FROM a") == [(400,)]


@pytest.mark.parametrize("root", ["orders", "customers", "lines", "skus"])
def test_runs_of_few_parents_give_the_same_rows(postgres_url: str, root: str, monkeypatch: Any) -> None:
    for name, few in {"FIRST_PARENTS": 2, "FEWEST_PARENTS": 1, "MOST_PARENTS": 3}.items():
        monkeypatch.setattr(postgresql, name, few)
    includes = {
        "orders": WHOLE,
        "customers": ("orders.lines.notes.marks", "addresses", "country"),
        "lines": ("notes.marks", "order.customer.addresses"),
        "skus": ("lines.notes", "lines.order.lines"),
    }
    with databases.postgresql(postgres_url) as shop:
        shop.run(*SCHEMA.strip().splitlines())
        for table, values in DATA.items():
            shop.fill(table, values)
        node = selection(shop.reflect(), root, *includes[root])
    with reading(postgres_url) as session:
        streams = session.read(node, EVERYTHING, "json")
        found = [rows([stream]) for stream in streams]
        assert [row for run in found for row in run] == slow(node, {})
        assert max(len(run) for run in found) == 3
        assert session.count(node) == counted([row for run in found for row in run], node)


def test_text_keys_follow_their_own_collation(postgres_url: str, database: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(postgresql, "FIRST_PARENTS", 3)
    monkeypatch.setattr(postgresql, "MOST_PARENTS", 7)
    words = [
        "a10",
        "a9",
        "b",
        "_x",
        "ä",
        "z",
        "Zz",
        "",
        " ",
        "é1",
        "e2",
        "ss1",
        "ß2",
        "-1",
        "1",
        "10",
        "9",
        "x'y",
        "~",
    ]
    wanted = (
        "SELECT collname FROM pg_collation WHERE collname IN ('C', 'default', 'en-x-icu', 'pg_unicode_fast')"
    )
    for (collation,) in database.execute(wanted).fetchall():
        database.execute("DROP TABLE IF EXISTS b, a")
        database.execute(f'CREATE TABLE a (id text COLLATE "{collation}" PRIMARY KEY, pad text)')
        database.execute("CREATE TABLE b (n int PRIMARY KEY, a_id text REFERENCES a)")
        for number, word in enumerate(words):
            database.execute("INSERT INTO a VALUES (%s, repeat('x', 500))", (word,))
            database.execute("INSERT INTO b VALUES (%s, %s), (%s, %s)", (number, word, number + 100, word))
        tree = selection(postgresql.reflect(postgres_url), "a", "bs")
        with reading(postgres_url) as session:
            for parts in ((EVERYTHING,), session.split(tree, 2000)):
                found = [row for part in parts for row in rows(session.read(tree, part, "json"))]
                assert sorted(row["id"] for row in found) == sorted(words)
                assert all(len(row["bs"]) == 2 for row in found)
            assert len(parts) > 2


def test_what_does_not_fit_into_memory_waits_in_an_unnamed_file(
    postgres_url: str, database: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(_spool.Spool.__init__, "__defaults__", (1000,))
    database.execute(
        "CREATE TABLE a (id int PRIMARY KEY, t text);"
        "INSERT INTO a SELECT i, repeat('y', i) FROM generate_series(1, 900) i"
    )
    for name in ("b", "c"):
        database.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, a_id int REFERENCES a)")
        database.execute(f"INSERT INTO {name} SELECT i, 1 + i % 900 FROM generate_series(1, 5000) i")
    tree = selection(postgresql.reflect(postgres_url), "a", "bs", "cs")
    with reading(postgres_url) as session:
        got = rows(session.read(tree, EVERYTHING, "json"))
    assert [len(row["t"]) for row in got] == list(range(1, 901))
    assert sum(len(row["bs"]) for row in got) == sum(len(row["cs"]) for row in got) == 5000


def test_plain_tables_are_cut_by_block_numbers_and_views_are_not(postgres_url: str, database: Any) -> None:
    database.execute(
        "CREATE TABLE big AS SELECT i AS id, repeat('x', 100) AS t FROM generate_series(1, 20000) i"
    )
    database.execute(
        "CREATE VIEW seen AS SELECT * FROM big; CREATE MATERIALIZED VIEW kept AS SELECT * FROM big"
    )
    database.execute("CREATE TABLE parent (id int) PARTITION BY RANGE (id)")
    for low, high in ((0, 10000), (10000, 10001), (10001, 30000)):
        database.execute(f"CREATE TABLE leaf_{low} PARTITION OF parent FOR VALUES FROM ({low}) TO ({high})")
    database.execute(
        "INSERT INTO parent SELECT id FROM big; CREATE TABLE heir () INHERITS (big); INSERT INTO heir VALUES (0, 'h')"
    )
    database.execute("ANALYZE")
    catalog = postgresql.reflect(postgres_url)
    with reading(postgres_url) as session:
        found = {name: session.split(selection(catalog, name), 200_000) for name in ("seen", "kept", "big")}
        assert found["seen"] == found["big"] == (Range(),)
        assert {part.by for part in found["kept"]} == {"ctid"}
        assert 8 <= len(found["kept"]) <= 14
        leaves = session.split(selection(catalog, "parent"), 20_000)
        assert list(dict.fromkeys(part.leaf for part in leaves)) == [
            f"public.leaf_{low}" for low in (0, 10000, 10001)
        ]
        for name, parts in {**found, "parent": leaves}.items():
            tree = selection(catalog, name)
            ids = [row["id"][1] for part in parts for row in rows(session.read(tree, part, "json"))]
            assert len(ids) == len(set(ids)) == session.count(tree)[""]


def test_a_selective_filter_stays_in_one_part(postgres_url: str, database: Any) -> None:
    database.execute(
        "CREATE TABLE big AS SELECT i AS id, repeat('x', 100) AS t FROM generate_series(1, 20000) i; ANALYZE"
    )
    some = filters.Test("id", Type.INTEGER, "integer", "lt", ("20",))
    catalog = postgresql.reflect(postgres_url)
    with reading(postgres_url) as session:
        assert session.split(selection(catalog, "big", where={"": some}), 200_000) == (Range(),)
        assert session.size(selection(catalog, "big", where={"": some})) < 20_000
        assert 1_500_000 < session.size(selection(catalog, "big")) < 3_500_000


def test_wide_values_out_of_line_are_part_of_the_estimate(postgres_url: str, database: Any) -> None:
    database.execute(
        "CREATE TABLE blobs (id int PRIMARY KEY, b bytea); ALTER TABLE blobs ALTER b SET STORAGE external"
    )
    database.execute(
        "INSERT INTO blobs SELECT i, decode(repeat('ab', 50000), 'hex') FROM generate_series(1, 100) i; ANALYZE"
    )
    with reading(postgres_url) as session:
        assert session.size(selection(postgresql.reflect(postgres_url), "blobs")) > 5_000_000
