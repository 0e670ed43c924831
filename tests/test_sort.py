"""A sorted export has the order of the database's own ORDER BY, through all of its parts, whoever reads them."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from outhaul import downloads, siblings, sources
from outhaul.blocks import Range
from outhaul.catalog import Type
from outhaul.errors import NoKey, Refused, TooMuch, UnknownField, WrongValue
from outhaul.export import Draft, Selection
from outhaul.plan import Node, build, from_data, to_data
from tests import databases
from tests.catalogs import EVERYBODY, FORMATS, SHOP, field, planned
from tests.databases import Database
from tests.served import done, put_together
from tests.slow_reader import rows

ROWS = 600
FIELDS = ("n", "word", "price", "rate", "at", "day", "yes", "mark", "id")
WORDS = ("a", "B", "b", "é", "z", "Z", "", "aa", "a b", "ä", "\U0001f600", "￿", "10", "9", "%", '"', "\\")
TABLES = (
    """CREATE TABLE things (id text PRIMARY KEY, n integer, word text, price decimal(10,2), rate double precision,
    at timestamp, day date, yes boolean NOT NULL, mark uuid, filler text)""",
    "CREATE TABLE bits (thing_id text NOT NULL REFERENCES things, n integer NOT NULL, PRIMARY KEY (thing_id, n))",
    "CREATE TABLE loose (word text)",
)


def things(dialect: str) -> Iterator[tuple[Any, ...]]:
    """Few different values, so that most rows are equal in any one column, and many NULLs."""
    random = Random(4)
    truths = (0, 1) if dialect == "sqlite" else (False, True)
    rates = ("0", "-0.0", "0.1", "-1e300", "5e-324") + (() if dialect == "sqlite" else ("NaN", "Infinity"))

    def some(*values: Any) -> Any:
        return None if random.random() < 0.2 else random.choice(values)

    for number in range(ROWS):
        yield (
            f"{random.choice(WORDS[:4])}-{number}",
            some(1, 2, 3, -7, 2**31 - 1),
            some(*WORDS),
            some("0.10", "0.20", "-5", "12345678.90"),
            some(*rates),
            some("2024-02-29 23:59:59.999999", "1999-12-31 00:00:00", "2024-03-01 00:00:00"),
            some("2024-02-29", "1999-12-31"),
            random.choice(truths),
            some(*(f"00000000-0000-4000-8000-{n:012x}" for n in range(5))),
            "x" * random.randrange(200),
        )


@pytest.fixture(params=["postgresql", "sqlite"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    place = tmp_path / "shop.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with getattr(databases, request.param)(place) as database:
        database.run(*(["PRAGMA journal_mode = wal"] if request.param == "sqlite" else []), *TABLES)
        found = list(things(request.param))
        database.fill("things", found)
        database.fill("bits", [(row[0], n) for row in found for n in range(len(row[9]) % 4)])
        database.run("ANALYZE")
        yield database


def truth(database: Database, order: str, where: str = "true") -> list[str]:
    """Keys in the order that docs/reference/filters.md promises, by the database itself."""
    sqlite = database.dialect == "sqlite"
    terms = []
    for name in (*order.split(","), *(["id"] if "id" not in order.replace("-", "").split(",") else [])):
        column = f'"{name.removeprefix("-")}"'
        if sqlite:
            column += " COLLATE BINARY"
        elif column in {'"id"', '"word"'}:
            column += ' COLLATE "C"'
        terms.append(column + (" DESC NULLS FIRST" if name.startswith("-") else " ASC NULLS LAST"))
    words = f"SELECT id FROM things WHERE {where} ORDER BY {', '.join(terms)}"
    if sqlite:
        with closing(sqlite3.connect(database.url.removeprefix("sqlite:///"))) as connection:
            return [row[0] for row in connection.execute(words)]
    with psycopg.connect(database.url) as postgres:
        return [row[0] for row in postgres.execute(words.encode()).fetchall()]


def asked(database: Database, order: str, **more: Any) -> Node:
    selection = Selection("things", sort=tuple(order.split(",")), **more)
    made = build(database.reflect(), Draft((selection,)), EVERYBODY, formats=FORMATS)
    assert from_data(json.loads(json.dumps(to_data(made)))) == made
    return made.selections[0]


def random_orders(count: int, seed: int = 5) -> list[str]:
    random = Random(seed)
    return [
        ",".join(
            random.choice(("", "-")) + name for name in random.sample(FIELDS, random.choice((1, 1, 2, 3, 4)))
        )
        for _ in range(count)
    ]


def test_fifty_random_orders_are_those_of_order_by_over_all_parts(shop: Database) -> None:
    source, several = siblings.load(sources, shop.dialect), 0
    nodes = {order: asked(shop, order, fields=("id", "filler")) for order in random_orders(50)}
    expected = {order: truth(shop, order) for order in nodes}
    session = source.connect(shop.url, "of a test")
    try:
        session.begin(None)
        for order, node in nodes.items():
            ranges = session.split(node, 10_000)
            several += len(ranges) > 4
            read = [rows(session.read(node, Range.from_data(one.to_data()), "json")) for one in ranges]
            assert [row["id"] for part in read for row in part] == expected[order], order
    finally:
        session.close()
    assert several > 40


def test_related_rows_stay_with_their_parents_in_any_order(shop: Database) -> None:
    source = siblings.load(sources, shop.dialect)
    nodes = {order: asked(shop, order, includes=("bits",)) for order in random_orders(8, seed=6)}
    expected = {order: truth(shop, order) for order in nodes}
    session = source.connect(shop.url, "of a test")
    try:
        session.begin(None)
        for order, node in nodes.items():
            ranges = session.split(node, 10_000)
            assert len(ranges) > 1
            read = [row for one in ranges for row in rows(session.read(node, one, "json"))]
            assert [row["id"] for row in read] == expected[order], order
            for row in read:
                assert [bit["n"] for bit in row["bits"]] == [
                    ("number", str(n)) for n in range(len(row["filler"]) % 4)
                ]
    finally:
        session.close()


def test_two_workers_keep_the_order_in_every_format(shop: Database, tmp_path: Path) -> None:
    selection = Selection("things", ("id", "bits.n"), sort=("-word", "n"), filters={"n_not_null": True})
    draft = Draft((selection,), formats=("csv", "json", "ndjson"), part_bytes=3_000)
    with put_together(shop.url, tmp_path / "state", workers=2) as outhaul:
        made = done(outhaul, outhaul.exports.create(EVERYBODY, draft))
        assert made.parts > 5
        files = {
            one.format: b"".join(downloads.read(one, outhaul.store))
            for one in outhaul.ledger.artifacts(made.id)
        }
    expected = truth(shop, "-word,n", "n IS NOT NULL")
    assert [row["id"] for row in json.loads(files["json"])] == expected
    assert [json.loads(line)["id"] for line in files["ndjson"].splitlines()] == expected
    assert [row["id"] for row in csv.DictReader(files["csv"].decode().splitlines())] == expected


def test_a_resource_without_a_key_is_not_sorted(shop: Database) -> None:
    with pytest.raises(NoKey, match="loose has no unique key"):
        build(shop.reflect(), Draft((Selection("loose", sort=("word",)),)), EVERYBODY, formats=FORMATS)


@pytest.mark.parametrize(
    ("order", "error", "where"),
    [
        (("nam",), UnknownField, 0),
        (("code", "-nam"), UnknownField, 1),
        (("code", "-code"), WrongValue, 1),
        (("",), UnknownField, 0),
        (("-",), UnknownField, 0),
        (("customer.email",), UnknownField, 0),
        (("code",) * 17, TooMuch, None),
    ],
)
def test_what_cannot_be_sorted_by_is_refused(
    order: tuple[str, ...], error: type[Refused], where: int | None
) -> None:
    with pytest.raises(error) as caught:
        build(SHOP, Draft((Selection("orders", sort=order),)), EVERYBODY, formats=FORMATS)
    assert caught.value.where == (("sort",) if where is None else ("sort", where))


def test_a_field_whose_type_has_no_order_names_those_that_have_one() -> None:
    orders = SHOP.resources["orders"]
    shaped = replace(orders, fields=(*orders.fields, field("extra", Type.JSON)))
    catalog = replace(SHOP, resources={**SHOP.resources, "orders": shaped})
    with pytest.raises(WrongValue, match="extra is json, which has no order") as caught:
        build(catalog, Draft((Selection("orders", sort=("-extra",)),)), EVERYBODY, formats=FORMATS)
    assert "code" in caught.value.choices


def test_the_key_ends_every_order_and_no_column_is_named_twice() -> None:
    assert planned("orders").selections[0].sort == ()
    sort = (
        build(SHOP, Draft((Selection("orders", sort=("-code",)),)), EVERYBODY, formats=FORMATS)
        .selections[0]
        .sort
    )
    assert [(one.column.column, one.descending) for one in sort] == [("code", True), ("id", False)]
    sort = (
        build(SHOP, Draft((Selection("orders", sort=("-id", "code")),)), EVERYBODY, formats=FORMATS)
        .selections[0]
        .sort
    )
    assert [(one.column.column, one.descending) for one in sort] == [("id", True), ("code", False)]
