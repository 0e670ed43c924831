"""The pages of the catalog: what can be exported, by whom; what is hidden, and why, for whoever runs the service."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.console.visitors import Page, Visitor, visited
from tests.served import of_shop, shop

MORE = """
CREATE TABLE "odd/na me'" (id INTEGER PRIMARY KEY, "a<b>" TEXT NOT NULL, order_id INTEGER REFERENCES orders (id));
CREATE TABLE secrets (id INTEGER PRIMARY KEY, password TEXT);
"""
CATALOG = """
[resources.companies]
tenant = "id"
description = "Who buys"
[resources.orders]
tenant = "company_id"
max_records = 1000
fixed = { note_not_null = true }
[resources.countries]
[resources."odd/na me'"]
tenant = "order.company_id"
"""


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    place = shop(tmp_path_factory.mktemp("offering"))
    with closing(sqlite3.connect(place / "shop.db")) as connection:
        connection.executescript(MORE)
    (place / "catalog.toml").write_text(CATALOG)
    outhaul = of_shop(place)
    with outhaul.ledger:
        outhaul.ledger.migrate()
        with visited(outhaul) as visitor:
            yield visitor


def links(visitor: Visitor, path: str = "/catalog") -> list[str]:
    """The resources that a page leads to."""
    found = [str(one["href"]) for one in Page(visitor.get(path).text).of("a")]
    return [one.removeprefix("/console/catalog/") for one in found if one.startswith("/console/catalog/")]


def again(visitor: Visitor, **reach: object) -> None:
    """The same browser, signed in otherwise."""
    with visitor.outhaul.ledger._write() as write:
        write.exec_driver_sql("DELETE FROM rates")
    visitor.post("/sign-out")
    visitor.sign_in(**reach)


def test_whoever_sees_all_sees_what_is_hidden_and_why(visitor: Visitor) -> None:
    again(visitor)
    assert links(visitor) == ["companies", "countries", "odd%2Fna%20me%27", "orders"]
    said = visitor.text("/catalog")
    assert "4 resources can be exported" in said
    assert "Who buys" in said
    assert "secrets" in said
    orders = visitor.text("/catalog/orders")
    for text in ("Tenant company_id", "Rows at most 1,000", "note_not_null = True", "company", "one of"):
        assert text in orders, text


def test_a_tenant_sees_what_it_can_export_and_none_of_the_rules(visitor: Visitor) -> None:
    again(visitor, tenant="1")
    assert links(visitor) == ["companies", "odd%2Fna%20me%27", "orders"]
    assert "secrets" not in visitor.text("/catalog")
    orders = visitor.text("/catalog/orders")
    assert "company_id integer" in orders
    for text in ("Rows at most", "note_not_null", "Tenant company_id"):
        assert text not in orders, text
    assert visitor.get("/catalog/countries").status_code == 404
    again(visitor, tenant="1", resources=("companies",))
    assert links(visitor) == ["companies"]
    assert visitor.get("/catalog/orders").status_code == 404
    assert "orders" not in visitor.text("/catalog/companies")
    again(visitor, tenant="1", resources=("countries",))
    assert "Nothing can be exported" in visitor.text("/catalog")


def test_resources_are_found_by_their_name_or_a_field(visitor: Visitor) -> None:
    again(visitor)
    assert links(visitor, "/catalog?q=NOTE") == ["orders"]
    assert links(visitor, "/catalog?q=odd") == ["odd%2Fna%20me%27"]
    assert "Nothing matches" in visitor.text("/catalog?q=nonsense")


def test_odd_names_lead_to_their_pages(visitor: Visitor) -> None:
    again(visitor)
    html = visitor.get("/catalog/odd%2Fna%20me%27").text
    assert "a&lt;b&gt;" in html
    assert "<b>" not in html
    assert links(visitor, "/catalog/odd%2Fna%20me%27") == ["orders"]
