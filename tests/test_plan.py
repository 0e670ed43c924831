"""A draft becomes a plan, or is refused with the wrong name, its place and what is valid."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from outhaul import errors, plan
from outhaul.catalog import Field, Type
from outhaul.dictionary import dictionary
from outhaul.export import Draft, Selection
from outhaul.plan import Node, build, places
from outhaul.values import Limits
from tests.catalogs import EVERYBODY, FORMATS, SHOP, number, planned, resource


def shape(node: Node) -> dict[str, Any]:
    """Keys of the fields, and below each relationship the same again."""
    fields: dict[str, Any] = {column.key: None for column in node.columns}
    return fields | {child.name: shape(child) for child in node.children}


def tree(name: str, *fields: str, includes: tuple[str, ...] = ()) -> dict[str, Any]:
    return shape(planned(name, *fields, includes=includes).selections[0])


def nones(*names: str) -> dict[str, None]:
    return dict.fromkeys(names)


ORDER = nones("id", "code", "customer_id", "deleted_at", "a.b")
CUSTOMER = nones("id", "email", "company_id")
COMPANY = nones("id", "name")
LINE = nones("id", "order_id", "sku_id", "qty")
SKU = nones("id", "code")


@pytest.mark.parametrize(
    ("fields", "includes", "expected"),
    [
        ((), (), ORDER),
        (("*",), (), ORDER),
        (("code", "id"), (), nones("code", "id")),
        (("code", "code", "*", "code"), (), nones("code", "id", "customer_id", "deleted_at", "a.b")),
        (("a.b",), (), nones("a.b")),
        ((), ("customer",), ORDER | {"customer": CUSTOMER}),
        ((), ("customer", "customer"), ORDER | {"customer": CUSTOMER}),
        ((), ("customer.company",), ORDER | {"customer": CUSTOMER | {"company": COMPANY}}),
        (("*",), ("customer",), ORDER | {"customer": CUSTOMER}),
        (("code",), ("customer",), nones("code")),
        (("code", "customer.*"), ("customer",), nones("code") | {"customer": CUSTOMER}),
        (("customer.email",), (), {"customer": nones("email")}),
        (("customer.email", "customer.id", "id"), (), nones("id") | {"customer": nones("email", "id")}),
        (("customer.company.name",), (), {"customer": {"company": nones("name")}}),
        (
            ("*", "line_items.sku.*", "line_items.qty"),
            (),
            ORDER | {"line_items": nones("qty") | {"sku": SKU}},
        ),
        (
            ("*", "line_items.sku.code"),
            ("customer",),
            ORDER | {"customer": CUSTOMER, "line_items": {"sku": nones("code")}},
        ),
    ],
)
def test_fields_and_includes_mean_what_the_contract_says(
    fields: tuple[str, ...], includes: tuple[str, ...], expected: dict[str, Any]
) -> None:
    assert tree("orders", *fields, includes=includes) == expected
    assert list(tree("orders", *fields, includes=includes)) == list(expected), "in the order asked for"


def test_a_node_knows_its_table_key_and_way() -> None:
    root = planned("orders", "code", "line_items.sku.code").selections[0]
    line = root.children[0]
    sku = line.children[0]
    assert (root.name, root.schema, root.table, root.many, root.on) == ("", "public", "orders", True, ())
    assert (line.name, line.many, line.on, line.columns) == ("line_items", True, (("id", "order_id"),), ())
    assert (sku.name, sku.many, sku.on) == ("sku", False, (("sku_id", "id"),))
    assert [one.column for one in root.key] == ["id"]
    assert root.key[0].native == "bigint"


GZIP = ("gzip", "zstd")
COMPRESSIONS = dict.fromkeys(FORMATS, GZIP)


def test_the_plan_keeps_what_the_draft_says() -> None:
    draft = Draft(
        (Selection("skus"), Selection("orders")),
        formats=("csv", "json", "csv"),
        compress="gzip",
        part_bytes=1_000,
        fragment_bytes=500,
        fragment_rows=7,
    )
    made = build(SHOP, draft, EVERYBODY, formats=FORMATS, compressions=COMPRESSIONS)
    assert [node.resource for node in made.selections] == ["skus", "orders"]
    assert made.formats == ("csv", "json")
    assert (made.compress, made.part_bytes, made.fragment_bytes, made.fragment_rows) == (
        "gzip",
        1_000,
        500,
        7,
    )
    assert (made.source, made.catalog, made.tenant) == ("postgresql", SHOP.fingerprint, None)
    assert build(SHOP, Draft((Selection("skus"),)), EVERYBODY, formats=FORMATS).part_bytes == 100_000_000


def test_a_plan_survives_json() -> None:
    made = planned(
        "orders",
        *("*", "customer.company.*", "line_items.options.values.*"),
        filters={"customer_email_or_code_in": ["a", 'b"'], "line_items_sku_code_null": True},
        segments=("big",),
    )
    assert plan.from_data(json.loads(json.dumps(plan.to_data(made)))) == made


REFUSED: list[tuple[dict[str, Any], type[errors.Refused], tuple[Any, ...], str, tuple[str, ...]]] = [
    ({"name": "order"}, errors.UnknownResource, ("resource",), "order", ("orders",)),
    ({"fields": ("id", "prise")}, errors.UnknownField, ("fields", 1), "prise", ("code", "id")),
    ({"fields": ("",)}, errors.UnknownField, ("fields", 0), "", ("code",)),
    ({"fields": ("password",)}, errors.UnknownField, ("fields", 0), "password", ("code",)),
    ({"fields": ("customer.password",)}, errors.UnknownField, ("fields", 0), "password", ("email",)),
    ({"fields": ("customer",)}, errors.UnknownField, ("fields", 0), "customer", ("customer.*",)),
    ({"fields": ("custmer.email",)}, errors.UnknownRelationship, ("fields", 0), "custmer", ("customer",)),
    (
        {"fields": ("customer.compny.name",)},
        errors.UnknownRelationship,
        ("fields", 0),
        "compny",
        ("company",),
    ),
    ({"fields": ("*.*",)}, errors.UnknownRelationship, ("fields", 0), "*", ("customer",)),
    ({"fields": ("code.*",)}, errors.UnknownField, ("fields", 0), "code.*", ("code",)),
    ({"includes": ("custmer",)}, errors.UnknownRelationship, ("includes", 0), "custmer", ("customer",)),
    (
        {"includes": ("customer", "customer.x")},
        errors.UnknownRelationship,
        ("includes", 1),
        "x",
        ("company",),
    ),
    ({"includes": ("code",)}, errors.UnknownRelationship, ("includes", 0), "code", ("customer",)),
    ({"includes": ("customer.",)}, errors.UnknownRelationship, ("includes", 0), "", ("company",)),
    (
        {"fields": ("id",), "includes": ("nobody",)},
        errors.UnknownRelationship,
        ("includes", 0),
        "nobody",
        ("customer",),
    ),
    ({"includes": ("customer.orders",)}, errors.Cycle, ("includes", 0), "customer.orders", ()),
    ({"fields": ("line_items.order.id",)}, errors.Cycle, ("fields", 0), "line_items.order.id", ()),
    ({"filters": {"prise_eq": 1}}, errors.UnknownField, ("filters", "prise_eq"), "prise", ("code",)),
    ({"filters": {"password_eq": 1}}, errors.UnknownField, ("filters", "password_eq"), "password", ("code",)),
    ({"filters": {"id_gt": "x"}}, errors.WrongValue, ("filters", "id_gt"), "x", ()),
    ({"segments": ("bgi",)}, errors.UnknownSegment, ("segments", 0), "bgi", ("big",)),
    ({"name": "logs", "includes": ("order.line_items",)}, errors.NoKey, ("includes",), "line_items", ()),
    ({"fields": ("." * 30,)}, errors.TooMuch, ("fields", 0), "30", ()),
    ({"includes": ("customer." * 1_000,)}, errors.TooMuch, ("includes", 0), "1000", ()),
    ({"fields": ("id",) * 10_000}, errors.TooMuch, ("fields",), "10000", ()),
    ({"includes": ("customer",) * 10_000}, errors.TooMuch, ("includes",), "10000", ()),
    ({"filters": {f"x{n}_eq": 1 for n in range(10_000)}}, errors.TooMuch, ("filters",), "10000", ()),
]


@pytest.mark.parametrize(("asked", "error", "where", "wrong", "choices"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_is_refused_at_once_with_what_can(
    asked: dict[str, Any],
    error: type[errors.Refused],
    where: tuple[Any, ...],
    wrong: str,
    choices: tuple[str, ...],
) -> None:
    selection = Selection(
        asked.get("name", "orders"), **{name: one for name, one in asked.items() if name != "name"}
    )
    with pytest.raises(error) as caught:
        build(SHOP, Draft((selection,)), EVERYBODY, formats=FORMATS)
    assert type(caught.value) is error
    assert (caught.value.where, caught.value.wrong) == (where, wrong)
    assert set(choices) <= set(caught.value.choices)
    assert all(choice in str(caught.value) for choice in caught.value.choices)
    assert wrong[:20] in str(caught.value).replace(",", "")
    with pytest.raises(error) as caught:
        build(SHOP, Draft((Selection("skus"), selection)), EVERYBODY, formats=FORMATS)
    assert caught.value.where == ("selections", 1, *where)


@pytest.mark.parametrize(
    ("draft", "error", "where", "choices"),
    [
        (Draft(()), errors.Malformed, ("selections",), ()),
        (Draft((Selection("skus"),), formats=()), errors.Malformed, ("formats",), ()),
        (
            Draft((Selection("skus"),), formats=("json", "xml")),
            errors.UnknownSibling,
            ("formats", 1),
            FORMATS,
        ),
        (Draft((Selection("skus"),), compress="zip"), errors.UnknownSibling, ("compress",), GZIP),
        (Draft((Selection("skus"),), part_bytes=0), errors.WrongValue, ("part_bytes",), ()),
        (Draft((Selection("skus"),), fragment_bytes=-1), errors.WrongValue, ("fragment_bytes",), ()),
        (Draft((Selection("skus"),), fragment_rows=True), errors.WrongValue, ("fragment_rows",), ()),
    ],
)
def test_a_draft_that_is_no_export_is_refused(
    draft: Draft, error: type[errors.Refused], where: tuple[Any, ...], choices: tuple[str, ...]
) -> None:
    with pytest.raises(error) as caught:
        build(SHOP, draft, EVERYBODY, formats=FORMATS, compressions=COMPRESSIONS)
    assert (caught.value.where, caught.value.choices) == (where, choices)
    assert all(choice in str(caught.value) for choice in choices)


def test_includes_go_to_five_levels_and_not_to_six() -> None:
    path = "line_items.options.values.notes.marks"
    assert len(list(places(planned("orders", includes=(path,)).selections[0]))) == 6
    with pytest.raises(errors.TooMuch) as caught:
        planned("customers", includes=(f"orders.{path}",))
    assert caught.value.facts == {"value": 6, "limit": 5}


def test_includes_and_columns_have_a_limit() -> None:
    selection = Draft((Selection("orders", includes=("customer", "line_items", "logs")),))
    with pytest.raises(errors.TooMuch):
        build(SHOP, selection, EVERYBODY, formats=FORMATS, limits=Limits(includes=2))
    wide = resource("wide", number("id"), *(Field(f"c{n}", f"c{n}", Type.TEXT, "text") for n in range(1_700)))
    catalog = replace(SHOP, resources={**SHOP.resources, "wide": wide})
    with pytest.raises(errors.TooMuch) as caught:
        build(catalog, Draft((Selection("wide"),)), EVERYBODY, formats=FORMATS)
    assert caught.value.facts == {"value": 1_702, "limit": 1_650}
    narrow = build(catalog, Draft((Selection("wide", ("c1599",)),)), EVERYBODY, formats=FORMATS)
    assert [one.key for one in narrow.selections[0].columns] == ["c1599"]


def test_a_resource_without_a_key_is_flat_or_a_leaf() -> None:
    assert planned("logs").selections[0].key == ()
    assert planned("logs", includes=("order.customer",)).selections[0].children[0].name == "order"
    assert planned("orders", includes=("logs",)).selections[0].children[0].key == ()
    with pytest.raises(errors.NoKey) as caught:
        planned("logs", "order.line_items.id")
    assert "logs has no unique key" in str(caught.value)


def test_the_dictionary_tells_every_field_by_its_path() -> None:
    entries = dictionary(
        planned("orders", "id", "customer.id", "line_items.id", "line_items.sku.code").selections[0]
    )
    assert [(one["field"], one["type"], one["nullable"], one["native"]) for one in entries] == [
        ("id", "integer", False, "bigint"),
        ("customer.id", "integer", True, "bigint"),
        ("line_items.id", "integer", False, "bigint"),
        ("line_items.sku.code", "text", True, "text"),
    ]
    assert entries[0]["description"] == "the id"


def test_a_dry_draft_is_without_identities_and_timestamps_at_every_place() -> None:
    named = {"orders": ("id", ("deleted_at",)), "line_items": ("id", ()), "skus": ("id", ("code",))}
    resources = {
        name: replace(one, identity=named[name][0], timestamps=named[name][1]) if name in named else one
        for name, one in SHOP.resources.items()
    }
    asked = Selection("orders", includes=("line_items.sku", "customer"))
    made = build(replace(SHOP, resources=resources), Draft((asked,), dry=True), EVERYBODY, formats=FORMATS)
    root = made.selections[0]
    assert shape(root) == {
        **nones("code", "customer_id", "a.b"),
        "line_items": nones("order_id", "sku_id", "qty"),
        "customer": CUSTOMER,
    }, "of skus nothing is left, and customers have neither"
    assert [one.key for one in root.key] == ["id"], "parts are still cut and counted by it"
    assert all(node.filled for _, node in places(root))
    assert plan.from_data(json.loads(json.dumps(plan.to_data(made)))) == made
