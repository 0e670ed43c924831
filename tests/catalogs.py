"""A catalog without a database: a shop with every kind of relationship, for tests of what is pure."""

from __future__ import annotations

from typing import Any

from outhaul.catalog import Catalog, Field, Relationship, Resource, Segment, Type, Whose
from outhaul.export import Caller, Draft, Selection
from outhaul.plan import Plan, build

FORMATS = ("csv", "json", "ndjson")
EVERYBODY = Caller("k0", "root", None, all_tenants=True)


def field(name: str, kind: Type = Type.TEXT, *, nullable: bool = True) -> Field:
    return Field(
        name, name, kind, {Type.INTEGER: "bigint"}.get(kind, kind.value), nullable, description=f"the {name}"
    )


def number(name: str) -> Field:
    return field(name, Type.INTEGER, nullable=False)


def resource(
    name: str,
    *fields: Field,
    ways: tuple[Relationship, ...] = (),
    hidden: tuple[Field, ...] = (),
    key: tuple[str, ...] = ("id",),
    **more: Any,
) -> Resource:
    columns = (*fields, *hidden)
    return Resource(name, "public", name, "table", fields, key, (), ways, columns=columns, ways=ways, **more)


def one(name: str, target: str, stem: str = "") -> Relationship:
    return Relationship(name, target, False, ((f"{stem or name}_id", "id"),))


def many(name: str, target: str, stem: str) -> Relationship:
    return Relationship(name, target, True, (("id", f"{stem}_id"),))


SHOP = Catalog(
    "postgresql",
    {
        made.name: made
        for made in (
            resource(
                "companies",
                number("id"),
                field("name"),
                ways=(many("customers", "customers", "company"),),
                tenant=Whose((), "id"),
            ),
            resource(
                "customers",
                number("id"),
                field("email"),
                number("company_id"),
                hidden=(field("password"),),
                ways=(one("company", "companies"), many("orders", "orders", "customer")),
                tenant=Whose((), "company_id"),
            ),
            resource(
                "logs",
                field("line"),
                number("order_id"),
                key=(),
                ways=(one("order", "orders"),),
                tenant=Whose((), "line"),
            ),
            resource(
                "line_items",
                number("id"),
                number("order_id"),
                number("sku_id"),
                field("qty", Type.INTEGER),
                ways=(one("order", "orders"), one("sku", "skus"), many("options", "options", "line_item")),
                tenant=Whose(("order", "customer"), "company_id"),
            ),
            resource(
                "options",
                number("id"),
                number("line_item_id"),
                field("name"),
                ways=(one("line_item", "line_items"), many("values", "values", "option")),
                tenant=Whose(("line_item", "order", "customer"), "company_id"),
            ),
            resource(
                "orders",
                number("id"),
                field("code"),
                number("customer_id"),
                field("deleted_at", Type.INSTANT),
                field("a.b"),
                ways=(
                    one("customer", "customers"),
                    many("line_items", "line_items", "order"),
                    many("logs", "logs", "order"),
                ),
                segments=(
                    Segment("big", {"line_items_qty_gt": 100}),
                    Segment("secret", {"customer_password_eq": "x"}),
                ),
                tenant=Whose(("customer",), "company_id"),
                fixed={"deleted_at_null": True},
            ),
            resource("skus", number("id"), field("code")),
            resource(
                "values",
                number("id"),
                number("option_id"),
                ways=(one("option", "options"), many("notes", "notes", "value")),
            ),
            resource("notes", number("id"), number("value_id"), ways=(many("marks", "marks", "note"),)),
            resource("marks", number("id"), number("note_id")),
        )
    },
)


def planned(
    name: str,
    *fields: str,
    includes: tuple[str, ...] = (),
    filters: dict[str, object] | None = None,
    segments: tuple[str, ...] = (),
    caller: Caller = EVERYBODY,
) -> Plan:
    """The plan for one selection of the shop."""
    asked = Selection(name, fields, includes, filters or {}, segments)
    return build(SHOP, Draft((asked,)), caller, formats=FORMATS)
