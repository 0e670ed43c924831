"""The public register: off by itself, the same for everybody, and silent about whose the data is and what is hidden."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from outhaul import config
from outhaul.app import Outhaul
from tests.console.visitors import Visitor, readable, resting, visited
from tests.served import shop

SECRETS = """
CREATE TABLE api_tokens (id INTEGER PRIMARY KEY, secret_token TEXT);
CREATE TABLE internal_notes (id INTEGER PRIMARY KEY, remark TEXT);
CREATE TABLE members (
  hidden_key INTEGER PRIMARY KEY, company_id INTEGER NOT NULL REFERENCES companies (id), nick TEXT, ssn TEXT,
  note_id INTEGER REFERENCES internal_notes (id), price DECIMAL(10, 2)
);
"""
CATALOG = """
[resources.companies]
tenant = "id"
description = "Whoever buys."
[resources.orders]
tenant = "company_id"
fixed = { note_not_eq = "of the competition" }
max_records = 4711
[resources.orders.segments.vip]
filters = { company_id_in = [271828] }
[resources.members]
tenant = "company_id"
[resources.members.fields.nick]
[resources.members.fields.price]
[resources.internal_notes]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shop(tmp_path_factory.mktemp("register"))
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        connection.executescript(SECRETS)
    (folder / "catalog.toml").write_text(CATALOG)
    return folder


@pytest.fixture(scope="module")
def outhaul(place: Path) -> Iterator[Outhaul]:
    with resting(place, public_register=True, public_url="http://example.com/data") as outhaul:
        yield outhaul


def test_it_is_off_unless_it_is_switched_on(tmp_path: Path) -> None:
    assert config.load({}).public_register is False
    with resting(shop(tmp_path)) as outhaul, visited(outhaul) as visitor:
        for path in ("/register", "/register.json", "/register/"):
            assert visitor.http.get(path).status_code == 404, path
        visitor.sign_in()
        assert "register" not in visitor.get("/catalog").text


@pytest.mark.parametrize("base", ["", "/data"])
def test_anybody_reads_what_customers_can_export_and_how(visitor: Visitor, base: str) -> None:
    told = visitor.http.get(f"{base}/register.json")
    assert (told.status_code, told.headers["content-type"]) == (200, "application/json")
    register = told.json()
    found = {one["name"]: one for one in register["resources"]}
    assert list(found) == ["companies", "members", "orders"]
    assert found["companies"]["description"] == "Whoever buys."
    assert found["companies"]["key"] == ["id"]
    assert found["orders"]["fields"] == [
        {"name": "id", "type": "integer", "nullable": False},
        {"name": "company_id", "type": "integer", "nullable": False},
        {"name": "note", "type": "text", "nullable": True},
    ]
    assert found["orders"]["related"] == [{"name": "company", "resource": "companies", "many": False}]
    assert found["members"]["fields"][1] == {"name": "price", "type": "decimal", "nullable": True, "scale": 2}
    assert found["members"]["key"] == [], "a key that is hidden is not named"
    formats = {one["name"]: one for one in register["formats"]}
    assert set(formats) == {"csv", "json", "ndjson", "parquet"}
    assert formats["csv"]["media_type"] == "text/csv; charset=utf-8"
    assert formats["csv"]["compressions"] == ["gzip", "zstd"]
    page = visitor.http.get(f"{base}/register")
    assert page.status_code == 200
    said = readable(page.text)
    for text in (
        "orders",
        "company_id",
        "Whoever buys.",
        "decimal, 2 decimals",
        "ndjson",
        register["version"],
    ):
        assert text in said, text
    assert 'href="/data/register.json"' in page.text
    for answer in (told, page):
        assert "public" in answer.headers["cache-control"]
        assert "set-cookie" not in answer.headers
        kept = visitor.http.get(answer.url, headers={"If-None-Match": answer.headers["etag"]})
        assert (kept.status_code, kept.content) == (304, b"")


def test_it_tells_nothing_of_tenants_rules_hidden_things_or_data(visitor: Visitor) -> None:
    text = visitor.http.get("/register").text + visitor.http.get("/register.json").text
    for word in ("api_tokens", "secret_token", "internal_notes", "remark", "hidden_key", "ssn", "note_id"):
        assert word not in text, word
    for word in (
        "tenant",
        "Tenant",
        "competition",
        "4711",
        "271828",
        "vip",
        "ALPHA",
        "OMEGA",
        "shop.db",
        "sqlite",
    ):
        assert word not in text, word


def test_it_is_the_same_for_whoever_asks(outhaul: Outhaul, visitor: Visitor) -> None:
    first = visitor.http.get("/register.json").text
    visitor.http.post(
        "/data/console/sign-in",
        data={"token": outhaul.access.make_token("Ann", all_tenants=True)[0]},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    catalog = visitor.http.get("/data/console/catalog").text
    assert 'href="/data/register"' in catalog
    assert visitor.http.get("/register.json").text == first
    assert json.loads(first)["version"] == json.loads(visitor.http.get("/data/register.json").text)["version"]


def test_limits_of_resources_are_for_admins(outhaul: Outhaul, visitor: Visitor) -> None:
    token, _ = outhaul.access.make_token("Ann", all_tenants=True)
    here = {"Sec-Fetch-Site": "same-origin"}
    visitor.http.post("/data/console/sign-in", data={"token": token}, headers=here)
    said = readable(visitor.http.get("/data/console/admin/limits").text)
    assert "orders 4,711 no limit" in said
    assert "companies" not in said


def test_where_no_resource_has_a_tenant_all_are_told(tmp_path: Path) -> None:
    place = shop(tmp_path)
    with (
        resting(place, catalog=None, public_register=True) as outhaul,
        visited(outhaul) as visitor,
    ):
        names = [one["name"] for one in visitor.http.get("/register.json").json()["resources"]]
    assert names == ["companies", "countries", "orders"]
