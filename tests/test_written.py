"""A catalog file is written, read back, compared with the database, and its slips are said with their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from outhaul.catalog import Catalog
from outhaul.errors import Misconfigured
from outhaul.hiding import offered
from outhaul.trims import Difference, check, load
from outhaul.written import to_toml
from tests.databases import SHOP, Database, postgresql, sqlite


@pytest.fixture
def reflected(tmp_path: Path) -> Catalog:
    with sqlite(tmp_path / "shop.db") as database:
        database.run(*SHOP)
        return database.reflect()


Trim = Callable[[str], Catalog]


@pytest.fixture
def trim(tmp_path: Path, reflected: Catalog) -> Trim:
    def trimmed(text: str) -> Catalog:
        path = tmp_path / "catalog.toml"
        path.write_text(text)
        return load(path, reflected)

    return trimmed


def test_a_starting_file_loads_back_to_the_same_catalog(reflected: Catalog, trim: Trim) -> None:
    catalog = offered(reflected)
    again = trim(to_toml(catalog))
    assert again == catalog
    assert again.fingerprint == catalog.fingerprint


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_starting_file_can_hold_any_name(
    request: pytest.FixtureRequest, dialect: str, tmp_path: Path
) -> None:
    def there_and_back(database: Database) -> None:
        for name in (
            "a.b",
            'q"uo"te',
            "back\\slash",
            "new\nline",
            "\x7f",
            "ä b",
            "1",
            "-",
            "",
            "select",
            "a = b #",
        ):
            quoted = '"' + (name or "empty ").replace('"', '""') + '"'
            database.run(f"CREATE TABLE {quoted} ({quoted} integer, password text)")
        catalog = offered(database.reflect())
        path = tmp_path / "catalog.toml"
        path.write_text(to_toml(catalog), "utf-8")
        assert load(path, database.reflect()) == catalog
        assert check(path, database.reflect()) == []

    if dialect == "sqlite":
        with sqlite(tmp_path / "odd.db") as database:
            there_and_back(database)
    else:
        with postgresql(request.getfixturevalue("postgres_url")) as database:
            there_and_back(database)


def test_check_tells_what_is_new_gone_or_changed(tmp_path: Path) -> None:
    path = tmp_path / "catalog.toml"
    with sqlite(tmp_path / "shop.db") as database:
        database.run(*SHOP)
        path.write_text(to_toml(offered(database.reflect())))
        assert check(path, database.reflect()) == []
        database.run(
            "ALTER TABLE skus ADD COLUMN colour text",
            "ALTER TABLE orders DROP COLUMN total",
            "ALTER TABLE customers DROP COLUMN password_hash",
            "DROP TABLE line_items",
            "DROP TABLE schema_migrations",
            "CREATE TABLE returns (id integer PRIMARY KEY)",
            "ALTER TABLE companies RENAME TO firms",
            "CREATE TABLE companies (id bigint PRIMARY KEY, name text)",
        )
        found = check(path, database.reflect())
    assert found == [
        Difference("changed", "companies.id", "INTEGER, now bigint"),
        Difference("gone", "customers.password_hash"),
        Difference("new", "firms"),
        Difference("gone", "line_items"),
        Difference("gone", "orders.total"),
        Difference("new", "returns"),
        Difference("gone", "schema_migrations"),
        Difference("new", "skus.colour", "TEXT"),
    ]
    assert str(found[0]) == "changed companies.id  (INTEGER, now bigint)"


SLIPS: list[tuple[str, str, str, str]] = [
    ("[resources.order]", "resources.order:", "order", "orders"),
    ('[resources.x]\ntable = "order"', "resources.x:", "order", "orders"),
    ("[resource.orders]", "resource:", "resource", "resources"),
    ('[resources.orders]\ntennant = "x"', "resources.orders.tennant:", "tennant", "tenant"),
    ("[resources.orders.fields]\ntotl = {}", "resources.orders.fields.totl:", "totl", "total"),
    (
        "[resources.orders.fields]\ntotal = { scal = 1 }",
        "resources.orders.fields.total.scal:",
        "scal",
        "scale",
    ),
    ('[resources.orders.fields]\ntotal = { type = "money" }', "fields.total.type:", "money", "decimal"),
    ("[resources.orders.fields]\nid = { scale = 2 }", "fields.id.scale: only a decimal", "", ""),
    (
        '[resources.orders.fields]\nid = {}\nx = { column = "id" }',
        "fields.x: column 'id' has a name",
        "id",
        "",
    ),
    ('[resources.orders]\nhide = ["totl"]', "resources.orders.hide:", "totl", "total"),
    ('[resources.orders]\nidentity = "ids"', "resources.orders.identity:", "ids", "id"),
    ('[resources.orders]\ntimestamps = ["placed"]', "resources.orders.timestamps:", "placed", "placed_at"),
    ('[resources.orders]\ntenant = "custmer.company_id"', "orders.tenant:", "custmer", "customer"),
    ('[resources.orders]\ntenant = "customer.company"', "orders.tenant:", "company", "company_id"),
    ("[resources.orders]\nfixed = { deleted_null = true }", "fixed.deleted_null:", "deleted", "deleted_at"),
    ("[resources.orders]\nfixed = { total_is = 1 }", "fixed.total_is:", "is", "eq"),
    ('[resources.orders]\nfixed = { total_eq = "x" }', "fixed.total_eq:", "x", ""),
    ('[resources.orders.segments.a]\nfilters = { id_gt = "x" }', "segments.a.id_gt:", "x", ""),
    ("[resources.orders.relationships]\nx = {}", "relationships.x: it needs", "", ""),
    ('[resources.orders.relationships]\nx = { of = "custmer" }', "relationships.x:", "custmer", "customer"),
    (
        '[resources.orders.relationships]\nx = { target = "sku", on = { id = "id" } }',
        "x.target:",
        "sku",
        "orders",
    ),
    (
        '[resources.skus]\n[resources.orders.relationships]\nx = { target = "skus", on = { ids = "id" } }',
        "orders.relationships.x:",
        "ids",
        "id",
    ),
    (
        '[resources.line_items]\n[resources.orders.relationships]\nx = { target = "line_items", on = { id = "code" } }',
        "orders.relationships.x: code is not unique in line_items",
        "x",
        "",
    ),
    (
        '[resources.orders.fields]\ncustomer = { column = "customer_id" }\n[resources.customers]',
        "orders.relationships.customer: a field or relationship has this name",
        "",
        "",
    ),
    (
        '[resources.a]\ntable = "orders"\n[resources.b]\ntable = "orders"',
        "resources.b: a has the same table",
        "",
        "",
    ),
]


@pytest.mark.parametrize(("text", "place", "wrong", "choice"), SLIPS, ids=[one[1] for one in SLIPS])
def test_a_slip_is_said_with_its_place_and_what_is_valid(
    tmp_path: Path, trim: Trim, text: str, place: str, wrong: str, choice: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        trim(text)
    assert str(tmp_path / "catalog.toml") in str(caught.value)
    assert place in str(caught.value)
    assert caught.value.wrong == wrong
    assert choice in str(caught.value)
    assert not choice or choice in caught.value.choices


def test_a_slip_in_the_writing_is_said_with_its_line(trim: Trim) -> None:
    with pytest.raises(Misconfigured, match="line 2"):
        trim("[resources.orders]\nfixed = = 1")


def test_a_file_that_is_not_there_is_named(tmp_path: Path, reflected: Catalog) -> None:
    with pytest.raises(Misconfigured, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml", reflected)
