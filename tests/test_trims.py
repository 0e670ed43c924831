"""A catalog file trims what was reflected: names, types, relationships, rules."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from outhaul.catalog import Catalog, Field, Hidden, Relationship, Resource, Segment, Type, Whose
from outhaul.errors import Misconfigured
from outhaul.trims import load
from tests.databases import SHOP, postgresql, sqlite


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


def names(resource: Resource) -> list[str]:
    return [one.name for one in resource.fields]


def ways(resource: Resource) -> dict[str, str]:
    return {one.name: one.target for one in resource.relationships}


def field(catalog: Catalog, resource: str, name: str) -> Field:
    return next(one for one in catalog.resources[resource].fields if one.name == name)


def test_only_what_the_file_names_is_served(trim: Trim) -> None:
    catalog = trim(
        """
        [resources.orders]
        [resources.orders.fields]
        id = "INTEGER"
        total = "decimal(10,2)"
        [resources.customers]
        [hidden]
        schema_migrations = "of no use"
        """
    )
    assert set(catalog.resources) == {"customers", "orders"}
    assert names(catalog.resources["orders"]) == ["id", "total"]
    assert names(catalog.resources["customers"]) == ["id", "email", "company_id"], "all but the secrets"
    assert ways(catalog.resources["orders"]) == {"customer": "customers"}
    assert ways(catalog.resources["customers"]) == {"orders": "orders"}
    assert Hidden("schema_migrations", None, "of no use") in catalog.hidden
    assert Hidden("skus", None, "not named in the catalog file") in catalog.hidden
    assert Hidden("orders", "placed_at", "not named in the catalog file") in catalog.hidden
    assert Hidden("customers", "password_hash", "looks like a secret") in catalog.hidden


def test_a_secret_that_the_file_names_is_served(trim: Trim) -> None:
    catalog = trim('[resources.customers.fields]\nid = {}\nhash = { column = "password_hash" }')
    assert names(catalog.resources["customers"]) == ["id", "hash"]


def test_columns_and_relationships_can_be_hidden_one_by_one(trim: Trim) -> None:
    catalog = trim('[resources.orders]\nhide = ["amount", "customer"]\n[resources.customers]\n')
    assert "amount" not in names(catalog.resources["orders"])
    assert ways(catalog.resources["orders"]) == {}
    assert Hidden("orders", "amount", "hidden by the catalog file") in catalog.hidden
    catalog = trim('[resources.orders]\nhide = { amount = "our margin" }')
    assert Hidden("orders", "amount", "our margin") in catalog.hidden


def test_everything_can_have_another_name(trim: Trim) -> None:
    catalog = trim(
        """
        [resources.purchases]
        table = "orders"
        description = "What was bought"
        identity = "number"
        timestamps = ["placed", "created_at"]
        [resources.purchases.fields]
        number = { column = "id", description = "Of the receipt" }
        placed = { column = "placed_at" }
        created_at = {}
        customer_id = {}
        [resources.purchases.relationships]
        buyer = { of = "customer" }
        [resources.customers.relationships]
        purchases = { of = "orders" }
        """
    )
    purchases = catalog.resources["purchases"]
    assert (purchases.table, purchases.key, purchases.identity) == ("orders", ("id",), "number")
    assert purchases.timestamps == ("placed", "created_at")
    assert [(one.name, one.column) for one in purchases.fields[:2]] == [
        ("number", "id"),
        ("placed", "placed_at"),
    ]
    assert field(catalog, "purchases", "number").description == "Of the receipt"
    assert trim('[resources.orders]\nidentity = ""').resources["orders"].identity is None
    assert ways(purchases) == {"buyer": "customers"}
    assert ways(catalog.resources["customers"]) == {"purchases": "purchases"}


def test_types_and_scales_can_be_told(trim: Trim) -> None:
    catalog = trim(
        """
        [resources.orders.fields]
        id = { type = "text" }
        amount = { scale = 3 }
        customer_ref = { type = "decimal", scale = 1 }
        placed_at = { type = "instant" }
        """
    )
    told = {one.name: (one.type, one.native, one.scale) for one in catalog.resources["orders"].fields}
    assert told == {
        "id": (Type.TEXT, "TEXT", None),
        "amount": (Type.DECIMAL, "NUMERIC", 3),
        "customer_ref": (Type.DECIMAL, "NUMERIC", 1),
        "placed_at": (Type.INSTANT, "TEXT", None),
    }
    columns = {one.name: one.type for one in catalog.resources["orders"].columns}
    assert columns["id"] is Type.INTEGER, "keys and joins go by the database's type"


def test_postgresql_lets_text_alone_be_told(postgres_url: str, tmp_path: Path) -> None:
    path = tmp_path / "catalog.toml"
    with postgresql(postgres_url) as database:
        database.run("CREATE TABLE things (id bigint PRIMARY KEY, n numeric)")
        reflected = database.reflect()
        path.write_text('[resources.things.fields]\nid = { type = "text" }\nn = { scale = 2 }')
        catalog = load(path, reflected)
        assert [(one.type, one.scale) for one in catalog.resources["things"].fields] == [
            (Type.TEXT, None),
            (Type.DECIMAL, 2),
        ]
        database.fill("things", [(7, 1), (70, 2)])
        assert database.asked(catalog, "things", {"id_start": "7"}) == {7, 70}
        assert database.asked(catalog, "things", {"id_in": ["70", "007"]}) == {70}
    path.write_text('[resources.things.fields]\nid = { type = "date" }')
    with pytest.raises(Misconfigured, match=r"resources\.things\.fields\.id\.type: postgresql says integer"):
        load(path, reflected)


def test_relationships_that_the_database_does_not_know_can_be_told(trim: Trim) -> None:
    catalog = trim(
        """
        [resources.skus]
        [resources.skus.fields]
        id = {}
        sku_code = { column = "code" }
        [resources.skus.relationships]
        line_items = { target = "line_items", on = { sku_code = "code" }, many = true }
        [resources.line_items.relationships]
        sku = { target = "skus", on = { code = "sku_code" } }
        """
    )
    assert catalog.resources["line_items"].relationships == (
        Relationship("sku", "skus", many=False, on=(("code", "code"),), declared=False),
    )
    assert catalog.resources["skus"].relationships[0].many


def test_rules_and_segments_are_kept_as_data(trim: Trim) -> None:
    catalog = trim(
        """
        [resources.customers]
        tenant = "company_id"
        [resources.orders]
        tenant = "customer.company_id"
        fixed = { deleted_at_null = true }
        [resources.orders.fields]
        id = {}
        [resources.orders.segments.recent]
        filters = { placed_at_gteq = 2026-01-01, total_gt = 1.50, "customer.email_present" = true }
        description = "Of this year"
        [resources.line_items]
        tenant = "order.customer.company_id"
        fixed = { "order.deleted_at_null" = true }
        """
    )
    assert catalog.resources["line_items"].tenant == Whose(("order", "customer"), "company_id")
    assert catalog.resources["orders"].fixed == {"deleted_at_null": True}
    assert catalog.resources["orders"].segments == (
        Segment(
            "recent",
            {"placed_at_gteq": "2026-01-01", "total_gt": "1.50", "customer.email_present": True},
            "Of this year",
        ),
    )


def test_scopes_are_rules_by_kind_and_by_what_names_them(trim: Trim) -> None:
    catalog = trim(
        """
        [resources.customers]
        scopes = { market = "company_id", store = false }
        [resources.orders.scopes]
        market = { id = "customer.company_id", code = "customer.company.name" }
        """
    )
    assert catalog.resources["customers"].scopes == {"market": {"id": Whose((), "company_id")}, "store": {}}
    assert catalog.resources["orders"].scopes == {
        "market": {
            "id": Whose(("customer",), "company_id"),
            "code": Whose(("customer", "company"), "name"),
        }
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('scopes = { markt = "id" }', "resources.orders.scopes.markt: there is no scope 'markt'"),
        ('scopes = { market = "buyer.id" }', "there is no relationship of orders 'buyer'"),
        (
            'scopes = { market = { code = "customer.nam" } }',
            "resources.orders.scopes.market.code: there is no",
        ),
        (
            'scopes = { market = { name = "id" } }',
            "resources.orders.scopes.market.name: there is no key 'name'",
        ),
        ("scopes = { market = true }", "resources.orders.scopes.market"),
    ],
)
def test_a_slip_in_a_scope_is_the_owners_to_see(trim: Trim, text: str, told: str) -> None:
    with pytest.raises(Misconfigured, match=re.escape(told)):
        trim(f"[resources.orders]\n{text}\n[resources.customers]")


def test_a_rule_may_walk_through_what_is_not_offered(trim: Trim) -> None:
    catalog = trim(
        '[resources.line_items]\ntenant = "order.customer.company_id"\n[resources.orders]\ntable = "skus"'
    )
    assert catalog.resources["line_items"].tenant == Whose(("order", "customer"), "company_id")
    assert ways(catalog.resources["line_items"]) == {}
    order = next(one for one in catalog.resources["line_items"].ways if one.name == "order")
    assert catalog.resource(order.target).table == "orders"


def test_a_section_of_a_dialect_is_kept_as_it_is_written(tmp_path: Path, reflected: Catalog) -> None:
    path = tmp_path / "catalog.toml"
    path.write_text('[resources.orders]\n[vendor]\nodd = 1\n[vendor.types]\norders = "orders"\n')
    catalog = load(path, reflected, ("vendor", "another"))
    assert catalog.sections == {"vendor": {"odd": 1, "types": {"orders": "orders"}}}
    with pytest.raises(Misconfigured, match="vendor"):
        load(path, reflected)
