"""`jwt_filters`: the same export with and without, by tokens of every scope, against what SQL says by itself."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import psycopg
import pytest

from outhaul.app import Outhaul
from tests.issuing import Authority, authority
from tests.served import Asker, finished, put_together, served

SHOP = """
CREATE TABLE stores (id varchar(9) PRIMARY KEY, code varchar(9));
CREATE TABLE price_lists (id varchar(9) PRIMARY KEY);
CREATE TABLE markets (id varchar(9) PRIMARY KEY, code varchar(9), price_list_id varchar(9) REFERENCES price_lists);
CREATE TABLE stock_locations (id varchar(9) PRIMARY KEY, code varchar(9));
CREATE TABLE customers (id integer PRIMARY KEY, name varchar(9));
CREATE TABLE skus (id integer PRIMARY KEY, code varchar(9));
CREATE TABLE prices (id integer PRIMARY KEY, sku_id integer REFERENCES skus,
    price_list_id varchar(9) REFERENCES price_lists);
CREATE TABLE stock_items (id integer PRIMARY KEY, sku_id integer REFERENCES skus,
    stock_location_id varchar(9) REFERENCES stock_locations);
CREATE TABLE orders (id integer PRIMARY KEY, company_id integer NOT NULL, market_id varchar(9) REFERENCES markets,
    store_id varchar(9) REFERENCES stores, customer_id integer REFERENCES customers);
CREATE TABLE line_items (id integer PRIMARY KEY, order_id integer REFERENCES orders, sku_id integer REFERENCES skus);
CREATE TABLE tags (id integer PRIMARY KEY, name varchar(9));
INSERT INTO stores VALUES ('milan', 'MI'), ('rome', 'RM');
INSERT INTO price_lists VALUES ('eur'), ('usd');
INSERT INTO markets VALUES ('euMKT', 'europe', 'eur'), ('usMKT', 'us', 'usd'), ('ukMKT', 'uk', 'eur');
INSERT INTO stock_locations VALUES ('north', 'N'), ('south', 'S');
INSERT INTO customers VALUES (1, 'Ann'), (2, 'Bob');
INSERT INTO skus VALUES (1, 'A'), (2, 'B'), (3, 'C'), (4, 'D');
INSERT INTO prices VALUES (1, 1, 'eur'), (2, 2, 'usd'), (3, 3, 'eur'), (4, 3, 'usd');
INSERT INTO stock_items VALUES (1, 1, 'north'), (2, 2, 'south'), (3, 3, 'north'), (4, 4, NULL);
INSERT INTO orders VALUES (1, 1, 'euMKT', 'milan', 1), (2, 1, 'usMKT', 'rome', 2), (3, 1, 'ukMKT', 'milan', 1),
    (4, 1, NULL, NULL, 1), (5, 2, 'euMKT', 'milan', 1), (6, 1, 'euMKT', 'rome', 2);
INSERT INTO line_items VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 1), (5, 5, 1), (6, 6, 3), (7, 6, 1);
INSERT INTO tags VALUES (1, 'new');
"""
CATALOG = """
[resources.markets]
scopes = { market = { id = "id", code = "code" } }
[resources.customers]
scopes = { market = false }
[resources.skus]
scopes = { market = "prices.price_list.markets.id", stock_location = "stock_items.stock_location_id" }
[resources.prices]
scopes = { market = "price_list.markets.id", price_list = "price_list_id" }
[resources.stock_items]
scopes = { stock_location = { id = "stock_location_id", code = "stock_location.code" } }
[resources.orders]
tenant = "company_id"
scopes = { market = { id = "market_id", code = "market.code" }, store = { id = "store_id", code = "store.code" } }
[resources.line_items]
tenant = "order.company_id"
scopes = { market = { id = "order.market_id", code = "order.market.code" }, store = "order.store_id" }
[resources.tags]
"""


class House:
    """A service over the shop, and tokens of any scope."""

    def __init__(
        self, outhaul: Outhaul, http: httpx.Client, other: Authority, ask: Callable[..., Any]
    ) -> None:
        self.outhaul, self.http, self.other, self.sql = outhaul, http, other, ask

    def client(self, scope: str | None, **granted: Any) -> Bearer:
        secret, kept = self.outhaul.access.make_client("x", **granted or {"all_tenants": True})
        body = {"grant_type": "client_credentials", "client_id": kept.id, "client_secret": secret}
        answer = self.http.post("/oauth/token", json=body | ({"scope": scope} if scope else {}))
        return Bearer(self, answer.json()["access_token"])

    def foreign(self, **claims: Any) -> Bearer:
        return Bearer(self, self.other.token(**claims))

    def ids(self, query: str) -> list[int]:
        return sorted(row[0] for row in self.sql(query))


class Bearer(Asker):
    """Somebody with a signed token."""

    def __init__(self, house: House, token: str) -> None:
        self.house, self.token, self.client, self.outhaul = house, token, house.http, house.outhaul

    def rows(self, **attributes: Any) -> list[dict[str, Any]]:
        """The rows of a finished export, as many as it has counted."""
        data = finished(self, **attributes)
        answer = self.house.http.get(data["attributes"]["attachment_url"])
        found: list[dict[str, Any]] = json.loads(gzip.decompress(answer.content))
        assert len(found) == data["attributes"]["records_count"]
        return found

    def ids(self, resource: str, **attributes: Any) -> list[int]:
        return sorted(one["id"] for one in self.rows(resource_type=resource, fields=["id"], **attributes))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    place = tmp_path_factory.mktemp("jwt")
    (place / "catalog.toml").write_text(CATALOG)
    if request.param == "sqlite":
        url = f"sqlite:///{place}/shop.db"
        with closing(sqlite3.connect(place / "shop.db")) as connection:
            connection.executescript(f"PRAGMA journal_mode = WAL; {SHOP}")
    else:
        url = request.getfixturevalue("postgres_module_url")
        with psycopg.connect(url, autocommit=True) as postgres:
            postgres.execute(SHOP.encode())

    def sql(query: str) -> Any:
        if request.param == "sqlite":
            with closing(sqlite3.connect(place / "shop.db")) as connection:
                return connection.execute(query).fetchall()
        with psycopg.connect(url) as postgres:
            return postgres.execute(query.encode()).fetchall()

    catalog = place / "catalog.toml"
    with (
        authority() as other,
        put_together(url, place / "state", catalog=catalog, trusted_issuers=[other.url]) as outhaul,
        served(outhaul) as http,
    ):
        yield House(outhaul, http, other, sql)


IN_EUROPE = "SELECT id FROM orders WHERE market_id = 'euMKT'"


@pytest.mark.parametrize(
    ("scope", "resource", "query"),
    [
        ("market:id:euMKT", "orders", IN_EUROPE),
        ("market:euMKT", "orders", IN_EUROPE),
        ("market:code:europe", "orders", IN_EUROPE),
        ("market:id:euMKT market:code:uk", "orders", "SELECT id FROM orders WHERE market_id <> 'usMKT'"),
        ("market:id:euMKT store:code:MI", "orders", f"{IN_EUROPE} AND store_id = 'milan'"),
        ("store:id:rome", "line_items", "SELECT id FROM line_items WHERE order_id IN (2, 6)"),
        ("market:code:us", "line_items", "SELECT id FROM line_items WHERE order_id = 2"),
        ("market:id:euMKT", "skus", "SELECT sku_id FROM prices WHERE price_list_id = 'eur'"),
        (
            "stock_location:code:N",
            "stock_items",
            "SELECT id FROM stock_items WHERE stock_location_id = 'north'",
        ),
    ],
)
def test_the_same_export_with_and_without_has_exactly_the_expected_rows(
    house: House, scope: str, resource: str, query: str
) -> None:
    somebody = house.client(scope)
    everything = house.ids(f"SELECT id FROM {resource}")
    expected = house.ids(query)
    assert expected != everything
    assert somebody.ids(resource, jwt_filters=True) == expected
    assert somebody.ids(resource, jwt_filters=False) == everything


def test_guess_without_the_attribute_nothing_is_narrowed(house: House) -> None:
    somebody = house.client("market:id:euMKT")
    data = somebody.ask(resource_type="orders").json()["data"]["attributes"]
    assert (data["jwt_filters"], data["records_count"]) == (False, 6)
    data = somebody.ask(resource_type="orders", jwt_filters=True).json()["data"]["attributes"]
    assert (data["jwt_filters"], data["records_count"]) == (True, 3)


@pytest.mark.parametrize("scope", [None, "market:all"])
def test_guess_a_token_of_every_market_is_narrowed_by_nothing(house: House, scope: str | None) -> None:
    somebody = house.client(scope)
    for resource in ("orders", "tags"):
        assert somebody.ids(resource, jwt_filters=True) == house.ids(f"SELECT id FROM {resource}")


def test_the_rows_of_the_scope_are_those_of_the_tenant_too(house: House) -> None:
    somebody = house.client("market:id:euMKT", tenant="1")
    assert somebody.ids("orders", jwt_filters=True) == house.ids(f"{IN_EUROPE} AND company_id = 1")


def test_included_rows_and_those_that_filters_walk_over_are_of_the_scope_too(house: House) -> None:
    somebody = house.client("market:id:euMKT")
    both = {"resource_type": "customers", "includes": ["orders.line_items"]}
    narrow, wide = somebody.rows(**both, jwt_filters=True), somebody.rows(**both)
    for rows, orders, lines in (
        (narrow, IN_EUROPE, "WHERE order_id IN (1, 5, 6)"),
        (wide, "SELECT id FROM orders", ""),
    ):
        found = [order for one in rows for order in one["orders"]]
        assert sorted(one["id"] for one in found) == house.ids(orders)
        below = [line["id"] for one in found for line in one["line_items"]]
        assert sorted(below) == house.ids(f"SELECT id FROM line_items {lines}")
    assert {one["id"] for one in narrow} == {1, 2}, "customers are of every market"
    asked = {"filters": {"orders_id_in": [2, 3]}}
    assert somebody.ids("customers", **asked) == [1, 2]
    refused = somebody.ask(resource_type="customers", jwt_filters=True, **asked)
    assert refused.json()["errors"][0]["meta"]["error"] == "greater_than", "no order of Europe is among them"


EUROPE = {"id": ["euMKT"], "price_list_id": "eur", "stock_location_ids": ["north"], "geocoder_id": None}


@pytest.mark.parametrize(
    ("resource", "query"),
    [
        ("orders", f"{IN_EUROPE} AND company_id = 1"),
        ("line_items", "SELECT id FROM line_items WHERE order_id IN (1, 6)"),
    ],
)
def test_another_issuers_token_is_narrowed_by_its_claims(house: House, resource: str, query: str) -> None:
    somebody = house.foreign(scope="market:code:anything", market=EUROPE)
    assert somebody.ids(resource, jwt_filters=True) == house.ids(query)
    assert len(somebody.ids(resource)) > len(house.ids(query))


@pytest.mark.parametrize(
    "claims",
    [
        {"market": "abc", "scope": ""},
        {"market": ["euMKT"]},
        {"market": {"id": {"x": 1}}},
        {"market": {"id": [["euMKT"]]}},
        {"market": {"id": ["euMKT"], "stock_location_ids": True}},
    ],
    ids=str,
)
def test_a_market_claim_that_is_none_signs_nobody_in(house: House, claims: dict[str, Any]) -> None:
    token = house.other.token(**claims)
    assert Bearer(house, token).call("GET", "/exports").status_code == 401
    told = house.http.get("/oauth/tokeninfo", headers={"Authorization": f"Bearer {token}"})
    assert told.status_code == 401
    assert told.json()["errors"][0]["code"] == "INVALID_TOKEN"


@pytest.mark.parametrize(
    ("market", "markets", "locations"),
    [
        (EUROPE, ["euMKT"], ["north"]),
        ({"id": "abc"}, ["abc"], []),
        ({"id": 5, "stock_location_ids": 7}, ["5"], ["7"]),
        ({"id": None, "stock_location_ids": []}, [], []),
    ],
    ids=str,
)
def test_tokeninfo_tells_the_ids_of_another_issuers_token(
    house: House, market: dict[str, Any], markets: list[str], locations: list[str]
) -> None:
    token = house.other.token(market=market)
    told = house.http.get("/oauth/tokeninfo", headers={"Authorization": f"Bearer {token}"})
    assert told.status_code == 200, told.text
    found = told.json()["token"]
    assert (found["market_ids"], found["stock_location_ids"]) == (markets, locations)


@pytest.mark.parametrize(
    ("scope", "resource", "more"),
    [
        ("market:id:euMKT", "tags", {}),
        ("market:id:euMKT", "stock_items", {}),
        ("market:id:euMKT", "line_items", {"includes": ["sku.stock_items"]}),
        ("stock_location:id:north", "orders", {}),
        ("market:code:europe", "prices", {}),
        ("market:code:europe", "orders", {"filters": {"line_items_sku_code_eq": "A"}}),
    ],
)
def test_guess_a_resource_without_a_rule_for_the_scope_is_refused_rather_than_exported_whole(
    house: House, scope: str, resource: str, more: dict[str, Any]
) -> None:
    somebody = house.client(scope)
    answer = somebody.ask(resource_type=resource, jwt_filters=True, **more)
    (error,) = answer.json()["errors"]
    assert answer.status_code == 422, answer.text
    assert error["code"] == "VALIDATION_ERROR"
    assert error["source"] == {"pointer": "/data/attributes/jwt_filters"}
    assert error["meta"]["error"] == "invalid"
    assert "has no rule for the" in error["detail"]
    assert somebody.ask(resource_type=resource, **more).status_code == 201


def test_the_same_key_under_another_scope_is_another_request(house: House) -> None:
    secret, kept = house.outhaul.access.make_client("x", all_tenants=True)
    body = {"grant_type": "client_credentials", "client_id": kept.id, "client_secret": secret}
    europe, america = (
        Bearer(house, house.http.post("/oauth/token", json=body | {"scope": one}).json()["access_token"])
        for one in ("market:code:europe", "market:code:us")
    )
    attributes = {"resource_type": "orders", "jwt_filters": True}
    more = {
        "json": {"data": {"type": "exports", "attributes": attributes}},
        "headers": {"Idempotency-Key": "k"},
    }
    assert {europe.call("POST", "/exports", **more).status_code for _ in range(2)} == {201}
    assert america.call("POST", "/exports", **more).status_code == 422


def test_an_export_keeps_the_scope_of_its_maker(house: House) -> None:
    """What it asks for is checked again before it runs, and another starts it."""
    made = house.client("market:id:euMKT").ask(resource_type="orders", jwt_filters=True).json()["data"]["id"]
    plan = house.outhaul.ledger.plan(made)
    assert [(one.kind, one.by, one.values) for one in plan.scopes] == [("market", "id", ("euMKT",))]
    object.__setattr__(house.outhaul.exports.catalog, "_known", ["a catalog that has changed"])
    try:
        house.outhaul.exports.check(made)
    finally:
        object.__setattr__(house.outhaul.exports.catalog, "_known", [plan.catalog])


@pytest.mark.parametrize("foreign", [False, True])
def test_a_change_is_told_with_the_application_and_the_owner_that_its_token_names(
    house: House, foreign: bool
) -> None:
    application = {"id": "xYZ", "client_id": "abc", "kind": "cli", "public": True, "confidential": False}
    owner = {"id": "u1", "type": "User"}
    one = house.foreign(application=application, owner=owner) if foreign else house.client(None)
    export = one.ask(resource_type="orders").json()["data"]["id"]
    one.change(export, _interrupt=True)
    told = one.call("GET", f"/exports/{export}/event_stores").json()["data"]
    whos = [change["attributes"]["who"] for change in told if change["attributes"]["payload"]]
    (said,) = {json.dumps(who) for who in whos if "worker" not in who}
    found = json.loads(said)
    if foreign:
        del application["confidential"]
        assert found == {"application": application, "owner": owner}
    else:
        assert found["owner"] is None
        client = found["application"]["id"]
        assert client.startswith("ohc_")
        assert found["application"] == {
            "id": client,
            "client_id": client,
            "kind": "integration",
            "public": False,
        }
