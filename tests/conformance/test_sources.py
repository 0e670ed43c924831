"""What every source promises, run for each sibling."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outhaul import filters, siblings, sources
from outhaul.blocks import Range
from outhaul.catalog import Type
from outhaul.errors import SchemaChanged, SourceAway
from tests import databases
from tests.databases import Database
from tests.selections import plan, selection
from tests.shop_rows import DATA, SCHEMA, WHOLE, Predicate, counted, slow
from tests.slow_reader import rows

EVERYTHING = Range()


KINDS: dict[str, Callable[[Any], AbstractContextManager[Database]]] = {
    "postgresql": databases.postgresql,
    "sqlite": databases.sqlite,
}


def test_every_source_is_put_to_the_test() -> None:
    assert set(siblings.names(sources)) == set(KINDS)


@pytest.fixture(params=sorted(KINDS))
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    place = tmp_path / "source.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with KINDS[request.param](place) as database:
        if request.param == "sqlite":
            database.run("PRAGMA journal_mode = wal")
        yield database


@pytest.fixture
def source(database: Database) -> ModuleType:
    return siblings.load(sources, database.dialect)


@pytest.fixture
def shop(database: Database) -> Database:
    database.run(*SCHEMA.strip().splitlines())
    for table, values in DATA.items():
        database.fill(table, values)
    return database


@contextmanager
def reading(source: ModuleType, database: Database) -> Iterator[Any]:
    session = source.connect(database.url, "of a test")
    try:
        session.begin(None)
        yield session
    finally:
        session.close()


def write_elsewhere(database: Database, *statements: str) -> None:
    """A writer in a process of its own: one process opens a SQLite file with one library."""
    words = (
        "import sys; from tests.databases import Database as D; D(*sys.argv[1:3], None).run(*sys.argv[3:])"
    )
    command = [sys.executable, "-c", words, database.dialect, database.url, *statements]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], timeout=60)


def test_flat_rows_are_those_of_the_table(shop: Database, source: ModuleType) -> None:
    catalog = shop.reflect()
    with reading(source, shop) as session:
        for table, data in DATA.items():
            node = selection(catalog, table)
            streams = list(session.read(node, EVERYTHING, "json"))
            assert sorted(map(str, rows(streams))) == sorted(map(str, slow(node, {})))
            assert session.count(node) == {"": len(data)}
            assert source.count(shop.url, node, 5) == len(data) if shop.dialect == "postgresql" else True


def test_related_rows_stand_with_their_parents_to_any_depth(shop: Database, source: ModuleType) -> None:
    node = selection(shop.reflect(), "orders", *WHOLE)
    with reading(source, shop) as session:
        found = rows(session.read(node, EVERYTHING, "json"))
        assert found == slow(node, {})
        assert session.count(node) == counted(found, node)
        assert any(row["customer"] is None for row in found)
        assert any(note["marks"] for row in found for line in row["lines"] for note in line["notes"])


@pytest.mark.parametrize("root", ["customers", "skus", "lines", "notes", "countries"])
def test_any_resource_can_be_the_root(shop: Database, source: ModuleType, root: str) -> None:
    includes = {
        "customers": ["orders.lines.notes", "addresses", "country"],
        "skus": ["lines.order.customer.addresses"],
        "lines": ["notes.marks", "order.customer.country", "order.lines"],
        "notes": ["line.order.lines.sku", "marks"],
        "countries": ["customers.orders.lines.notes.marks"],
    }[root]
    catalog = shop.reflect()
    names = {one.name for one in catalog.resources[root].relationships}
    node = selection(catalog, root, *(path for path in includes if path.partition(".")[0] in names))
    assert node.children
    with reading(source, shop) as session:
        found = rows(session.read(node, EVERYTHING, "json"))
        assert sorted(found, key=str) == sorted(slow(node, {}), key=str)
        assert session.count(node) == counted(found, node)


def test_a_row_that_its_conditions_exclude_is_not_there(shop: Database, source: ModuleType) -> None:
    conditions: dict[str, filters.Condition] = {
        "": filters.Test("status", Type.TEXT, "text", "eq", ("open",)),
        "customer": filters.Test("id", Type.INTEGER, "integer", "gt", ("3",)),
        "customer.country": filters.Test("name", Type.TEXT, "text", "not_null", ("true",)),
        "customer.addresses": filters.Test("city", Type.TEXT, "text", "not_eq", ("city 3",)),
        "lines": filters.Test("n", Type.INTEGER, "integer", "lt", ("2",)),
        "lines.notes": filters.Not(filters.Test("words", Type.TEXT, "text", "end", ("7",))),
        "lines.sku": filters.Exists(
            filters.Hop(shop.reflect().resources["lines"].schema, "lines", (("code", "sku_id"),)),
            filters.Test("order_id", Type.INTEGER, "integer", "lt", ("12",)),
        ),
    }
    early = {row[2] for row in DATA["lines"] if row[0] < 12}
    where: dict[str, Predicate] = {
        "": lambda row: row["status"] == "open",
        "customer": lambda row: row["id"] > 3,
        "customer.country": lambda row: row["name"] is not None,
        "customer.addresses": lambda row: row["city"] != "city 3",
        "lines": lambda row: row["n"] < 2,
        "lines.notes": lambda row: not row["words"].endswith("7"),
        "lines.sku": lambda row: row["code"] in early,
    }
    node = selection(shop.reflect(), "orders", *WHOLE, where=conditions)
    with reading(source, shop) as session:
        found = rows(session.read(node, EVERYTHING, "json"))
        assert found == slow(node, where)
        assert session.count(node) == counted(found, node)


def test_no_rows_are_no_blocks(shop: Database, source: ModuleType) -> None:
    none = {"": filters.Test("status", Type.TEXT, "text", "eq", ("never",))}
    catalog = shop.reflect()
    for node in (selection(catalog, "orders", where=none), selection(catalog, "orders", *WHOLE, where=none)):
        with reading(source, shop) as session:
            assert rows(session.read(node, EVERYTHING, "json")) == []
            assert set(session.count(node).values()) == {0}
            chained(session.split(node, 1000))


def test_an_instant_is_not_touched_by_writers(shop: Database, source: ModuleType) -> None:
    node = selection(shop.reflect(), "orders", "lines", "customer")
    with reading(source, shop) as session:
        streams = session.read(node, EVERYTHING, "json")
        write_elsewhere(
            shop,
            "DELETE FROM marks",
            "DELETE FROM notes",
            "DELETE FROM lines WHERE n > 0",
            "INSERT INTO orders VALUES (1000, NULL, 'new')",
        )
        assert rows(streams) == slow(node, {})
        assert session.count(node)[""] == len(DATA["orders"])
        session.end()
        session.begin(None)
        assert session.count(node)[""] == len(DATA["orders"]) + 1


HOSTILE = (
    *(
        '"',
        "a'b",
        "a%b",
        "%(x)s",
        "a:b",
        "$1",
        "select",
        "Mixed",
        "mixed",
        "ü" * 31,
        "x" * 63,
        "a b",
        "?",
        "a\\b",
    ),
    *("t0", "c0", "rowid"),
)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def test_hostile_names_are_only_names(database: Database, source: ModuleType) -> None:
    columns = [name for name in HOSTILE if name != "mixed" or database.dialect == "postgresql"]
    texts = ", ".join(f"{quoted(name)} text" for name in columns)
    key, foreign = quoted("key $1"), quoted('"_id')
    database.run(
        f"CREATE TABLE {quoted(HOSTILE[0])} (id int PRIMARY KEY, {texts})",
        f"CREATE TABLE {quoted('kid ; DROP TABLE x --')} ({key} int PRIMARY KEY, "
        f"{foreign} int REFERENCES {quoted(HOSTILE[0])})",
    )
    database.fill(quoted(HOSTILE[0]), [(i, *[f"{name} {i}" for name in columns]) for i in range(3)])
    database.fill(quoted("kid ; DROP TABLE x --"), [(i, i % 3) for i in range(6)])
    catalog = database.reflect()
    table = next(name for name, one in catalog.resources.items() if one.table == HOSTILE[0])
    many = next(one.name for one in catalog.resources[table].relationships if one.many)
    for name in columns:
        where = {"": filters.Test(name, Type.TEXT, "text", "eq", (f"{name} 1",))}
        node = selection(catalog, table, many, where=where)
        with reading(source, database) as session:
            (row,) = rows(session.read(node, EVERYTHING, "json"))
            assert row == {"id": ("number", "1"), **{each: f"{each} 1" for each in columns}, many: row[many]}
            assert len(row[many]) == 2
            assert session.count(node) == {"": 1, many: 2}
            source.check(
                session.tables(plan(database.dialect, node)), session.tables(plan(database.dialect, node))
            )


VALUES = (
    *(
        "' OR 1=1 --",
        "x'; DROP TABLE orders; --",
        "\\",
        "\\'",
        "%",
        "$1",
        ":p",
        "?",
        "''",
        "\n",
        "{}",
        "é",
        '"',
        "",
    ),
)


def test_values_are_only_values(shop: Database, source: ModuleType) -> None:
    shop.fill("skus", [(value, "hostile") for value in VALUES])
    shop.fill("lines", [(3, 99 + number, value) for number, value in enumerate(VALUES)])
    catalog = shop.reflect()
    whole = selection(catalog, "skus", "lines")
    with reading(source, shop) as session:
        for value in VALUES:
            for op in ("eq", "in", "cont"):
                where = {"": filters.Test("code", Type.TEXT, "text", op, (value,))}
                found = rows(
                    session.read(selection(catalog, "skus", "lines", where=where), EVERYTHING, "json")
                )
                assert value in [row["code"] for row in found]
                assert op == "cont" or len(found) == 1
            low = rows(session.read(whole, Range("key", (value,), None), "json"))
            high = rows(session.read(whole, Range("key", None, (value,)), "json"))
            assert low[0]["code"] == value
            assert value not in [row["code"] for row in high]
            assert len(low) + len(high) == len(DATA["skus"]) + len(VALUES)


def chained(parts: tuple[Range, ...]) -> None:
    """From open end to open end, leaf by leaf."""
    for leaf in dict.fromkeys(part.leaf for part in parts):
        run = [part for part in parts if part.leaf == leaf]
        assert run[0].low is None
        assert run[-1].high is None
        assert all(before.high == after.low is not None for before, after in pairwise(run))
        assert all(Range.from_data(part.to_data()) == part for part in run)


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)


KEYS: dict[str, tuple[dict[str, str], st.SearchStrategy[tuple[Any, ...]]]] = {
    "integer": ({"id": "int"}, st.tuples(st.integers(-(2**31), 2**31 - 1))),
    "dense": ({"id": "int"}, st.tuples(st.integers(0, 300))),
    "text": ({"id": "text"}, st.tuples(WORDS)),
    "uuid": ({"id": "uuid"}, st.tuples(st.uuids().map(str))),
    "composite": (
        {"id": "text", "n": "int"},
        st.tuples(st.sampled_from(["", "a", "b", "ab"]), st.integers(0, 99)),
    ),
}


@pytest.mark.parametrize("keys", KEYS)
def test_parts_hold_every_row_once(database: Database, source: ModuleType, keys: str) -> None:
    types, strategy = KEYS[keys]
    key, foreign = ", ".join(types), ", ".join(f"a_{name}" for name in types)
    declared = ", ".join(f"{name} {kind}" for name, kind in types.items())
    pointing = ", ".join(f"a_{name} {kind}" for name, kind in types.items())
    database.run(
        f"CREATE TABLE a ({declared}, pad text, PRIMARY KEY ({key}))",
        f"CREATE TABLE b (x int, {pointing}, PRIMARY KEY (x, {foreign}), FOREIGN KEY ({foreign}) REFERENCES a ({key}))",
    )
    catalog = database.reflect()
    many = next(one.name for one in catalog.resources["a"].relationships if one.many)

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(found=st.sets(strategy, min_size=1, max_size=120), part_bytes=st.integers(1000, 30_000))
    def parts_hold_every_row_once(found: set[Any], part_bytes: int) -> None:
        database.run("DELETE FROM b", "DELETE FROM a")
        database.fill("a", [(*one, "x" * 100) for one in found])
        database.fill("b", [(number, *one) for one in found for number in (1, 2)])
        with reading(source, database) as session:
            for node in (selection(catalog, "a"), selection(catalog, "a", many)):
                parts = session.split(node, part_bytes)
                chained(parts)
                read = [row for part in parts for row in rows(session.read(node, part, "json"))]
                whole = rows(session.read(node, EVERYTHING, "json"))
                assert sorted(map(str, read)) == sorted(map(str, whole))
                assert len({str([row[name] for name in types]) for row in read}) == len(read) == len(found)
                assert all(len(row[many]) == 2 for row in read if many in row)

    parts_hold_every_row_once()


def test_a_large_selection_comes_in_several_parts(database: Database, source: ModuleType) -> None:
    database.run(
        "CREATE TABLE a (id int PRIMARY KEY, pad text)",
        "CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a)",
    )
    database.fill("a", [(i, "x" * 500) for i in range(4000)])
    database.fill("b", [(i, i) for i in range(4000)])
    catalog = database.reflect()
    with reading(source, database) as session:
        for node in (selection(catalog, "a"), selection(catalog, "a", "bs")):
            assert 1_000_000 < session.size(node) < 5_000_000
            parts = session.split(node, 200_000)
            chained(parts)
            sizes = [len(rows(session.read(node, part, "json"))) for part in parts]
            assert sum(sizes) == 4000
            assert 6 <= len(parts) <= 24
            assert max(sizes) < 1000


def test_a_missing_table_or_column_is_named(shop: Database, source: ModuleType) -> None:
    catalog = shop.reflect()
    shop.run("DROP TABLE marks", "ALTER TABLE skus DROP COLUMN name")
    for resource, column in (("marks", None), ("skus", "name")):
        node = selection(catalog, resource)
        with reading(source, shop) as session, pytest.raises(SchemaChanged) as caught:
            session.tables(plan(shop.dialect, node))
        assert resource in str(caught.value)
        assert column is None or column in str(caught.value)
        with reading(source, shop) as session, pytest.raises(SchemaChanged):
            rows(session.read(node, EVERYTHING, "json"))


ENDLESS = """CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000000)
SELECT i AS id FROM n WHERE i < 0"""


def test_cancel_calls_the_reader_away(database: Database, source: ModuleType) -> None:
    database.run(ENDLESS)
    endless = selection(database.reflect(), "endless")
    with reading(source, database) as session:
        threading.Timer(0.2, session.cancel).start()
        with pytest.raises(SourceAway):
            session.count(endless)
        with pytest.raises(SourceAway):
            session.count(endless)


def test_a_session_that_is_closed_in_mid_stream_closes_in_peace(shop: Database, source: ModuleType) -> None:
    shop.fill("countries", [(f"c{i}", "x" * 1000) for i in range(5000)])
    for style in ("csv", "json"):
        with reading(source, shop) as session:
            stream = next(session.read(selection(shop.reflect(), "countries"), EVERYTHING, style))
            assert next(stream.blocks).rows > 0
