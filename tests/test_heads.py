"""The first rows of a selection as a range: so many, those that come first, from anywhere on, of each source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from outhaul import siblings, sources
from outhaul.blocks import Range
from outhaul.export import Caller, Draft, Selection
from outhaul.plan import Node, build
from tests import databases
from tests.databases import Database
from tests.slow_reader import rows

EVERYBODY = Caller("us", "us", None, all_tenants=True)
COUNT = 40
TABLES = (
    "CREATE TABLE orders (id integer PRIMARY KEY, word text, at timestamp)",
    """CREATE TABLE lines (order_id integer NOT NULL REFERENCES orders, n integer NOT NULL, code text,
    PRIMARY KEY (order_id, n))""",
    "CREATE TABLE marks (mark text PRIMARY KEY)",
)
WORDS = ("b", None, "a", "Z", "a")


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Any = tmp_path_factory.mktemp("heads") / "shop.db"
    place = path if request.param == "sqlite" else request.getfixturevalue("postgres_module_url")
    with getattr(databases, request.param)(place) as database:
        database.run(*TABLES)
        at = "2024-02-29 23:59:59.999999"
        database.fill("orders", [(2 * n, WORDS[n % 5], at if n % 3 else None) for n in range(COUNT)])
        database.fill("lines", [(2 * n, m, f"c{m}") for n in range(COUNT) for m in range(n % 4)])
        database.fill("marks", [(f"m{n:02}",) for n in range(COUNT)])
        yield database


@pytest.fixture
def session(shop: Database) -> Iterator[Any]:
    with closing(siblings.load(sources, shop.dialect).connect(shop.url, "of a test")) as session:
        session.begin(None)
        yield session


def asked(shop: Database, resource: str, **more: Any) -> Node:
    draft = Draft((Selection(resource, **more),))
    return build(shop.reflect(), draft, EVERYBODY, formats=("json",)).selections[0]


def read(session: Any, node: Node, extent: Range, of: str = "id") -> list[Any]:
    extent = Range.from_data(extent.to_data())
    found = [row[of] for row in rows(session.read(node, extent, "json"))]
    return [int(one[1]) if isinstance(one, tuple) else one for one in found]


def test_the_first_rows_are_those_with_the_smallest_keys(shop: Database, session: Any) -> None:
    node = asked(shop, "orders")
    assert sorted(read(session, node, session.head(node, 3))) == [0, 2, 4]
    marks = asked(shop, "marks")
    assert sorted(read(session, marks, session.head(marks, 2), "mark")) == ["m00", "m01"]


def test_they_can_begin_anywhere(shop: Database, session: Any) -> None:
    node = asked(shop, "orders")
    found = session.head(node, 3, ("31",))
    assert (found.low, sorted(read(session, node, found))) == (("31",), [32, 34, 36])
    lines = asked(shop, "lines")
    found = session.head(lines, 4, ("2", "0"))
    assert found.high == ("6", "1")


def test_what_has_fewer_rows_is_open_at_its_end(shop: Database, session: Any) -> None:
    for node in (asked(shop, "orders"), asked(shop, "orders", sort=("-word",))):
        assert session.head(node, COUNT).high is None
        assert session.head(node, COUNT - 1).high is not None
    nobody = asked(shop, "orders", filters={"word_eq": "nobody's"})
    assert read(session, nobody, session.head(nobody, 5)) == []


def test_filters_and_related_rows_come_with_them(shop: Database, session: Any) -> None:
    node = asked(shop, "orders", includes=("lines",), filters={"word_eq": "a"})
    found = rows(session.read(node, session.head(node, 4), "json"))
    assert [(int(row["id"][1]), len(row["lines"])) for row in found] == [(4, 2), (8, 0), (14, 3), (18, 1)]


@pytest.mark.parametrize("order", ["word", "-word", "at,-id", "-at,word"])
def test_the_first_rows_of_an_order_are_those_that_it_begins_with(
    shop: Database, session: Any, order: str
) -> None:
    for includes in ((), ("lines",)):
        node = asked(shop, "orders", sort=tuple(order.split(",")), includes=includes)
        whole = read(session, node, Range())
        assert len(whole) == COUNT
        found = session.head(node, 7)
        assert read(session, node, found) == whole[:7]
        rest = session.head(node, 9, found.high)
        assert read(session, node, rest) == whole[7:16]
        assert replace(rest, high=None) == Range("sort", found.high)
