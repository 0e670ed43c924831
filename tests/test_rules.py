"""A tenant's plan carries the tenant's and the fixed conditions at every node and every hop, or there is no plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from outhaul import errors, filters, plan
from outhaul.catalog import Catalog, Segment, Type, Whose
from outhaul.dictionary import explain
from outhaul.export import Caller, Draft, Scope, Selection
from outhaul.filters import All, Condition, Either, Exists, Hop, Not, every
from outhaul.plan import build, places
from tests.catalogs import EVERYBODY, FORMATS, SHOP, planned

ACME = Caller("k7", "acme", "7")


def owned(column: str) -> filters.Test:
    return filters.Test(column, Type.INTEGER, "bigint", "eq", ("7",))


def over(table: str, here: str, condition: Condition) -> Exists:
    return Exists(Hop("public", table, ((here, "id"),)), condition)


# Each resource's due, written out by hand: the tenant's condition, and for orders the fixed one too.
KEPT = filters.Test("deleted_at", Type.INSTANT, "instant", "null")
DUE: dict[str, tuple[Condition, ...]] = {
    "companies": (owned("id"),),
    "customers": (owned("company_id"),),
    "orders": (over("customers", "customer_id", owned("company_id")), KEPT),
    "line_items": (over("orders", "order_id", over("customers", "customer_id", owned("company_id"))),),
    "options": (
        over(
            "line_items",
            "line_item_id",
            over("orders", "order_id", over("customers", "customer_id", owned("company_id"))),
        ),
    ),
    "logs": (filters.Test("line", Type.TEXT, "text", "eq", ("7",)),),
}


def parts(condition: Condition) -> tuple[Condition, ...]:
    return condition.of if isinstance(condition, All) else (condition,)


def hops(condition: Condition) -> Iterator[Exists]:
    match condition:
        case All(of) | Either(of):
            for one in of:
                yield from hops(one)
        case Not(of=inner):
            yield from hops(inner)
        case Exists(_, that):
            yield condition
            yield from hops(that)
        case _:
            return


def test_every_node_carries_its_due() -> None:
    made = planned("customers", includes=("company", "orders.line_items.options", "orders.logs"), caller=ACME)
    found = list(places(made.selections[0]))
    assert len(found) == 6
    for _, node in found:
        assert set(DUE[node.resource]) <= set(parts(node.where)), node.resource
        assert node.rules == every(*DUE[node.resource])
    assert made.tenant == "7"


FILTERS: list[dict[str, Any]] = [
    {"customer_email_eq": "x"},
    {"customer_email_not_eq": "x"},
    {"customer_email_null": True},
    {"customer_email_null": False},
    {"customer.company.name_blank": True},
    {"line_items_id_null": True},
    {"line_items.options.name_or_customer.company.name_or_code_cont": "x"},
    {"logs_line_in": "7,8"},
]


@pytest.mark.parametrize("asked", FILTERS, ids=str)
def test_every_hop_of_a_filter_carries_the_due_of_its_target(asked: dict[str, Any]) -> None:
    root = planned("orders", filters=asked, caller=ACME).selections[0]
    assert set(DUE["orders"]) <= set(parts(root.where))
    asks = [one for one in parts(root.where) if one not in DUE["orders"]]
    found = [hop for one in asks for hop in hops(one)]
    rules = [hop for due in DUE.values() for one in due for hop in hops(one)]
    walked = [hop for hop in found if hop not in rules]
    assert walked, "the filter walks somewhere"
    for hop in walked:
        assert set(DUE[hop.hop.table]) <= set(parts(hop.that)), hop


def test_every_hop_of_a_segment_carries_the_due_of_its_target() -> None:
    root = planned("orders", segments=("big", "secret"), caller=ACME).selections[0]
    line, customer = (one for one in parts(root.where) if one not in DUE["orders"])
    assert isinstance(line, Exists)
    assert isinstance(customer, Exists)
    assert (line.hop.table, customer.hop.table) == ("line_items", "customers")
    assert set(DUE["line_items"]) <= set(parts(line.that))
    assert set(DUE["customers"]) <= set(parts(customer.that))


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        (Selection("skus"), ("resource",)),
        (Selection("line_items", includes=("sku",)), ("includes", 0)),
        (Selection("line_items", ("id", "sku.code")), ("fields", 1)),
        (Selection("line_items", ("id",), ("sku",)), None),
        (Selection("line_items", filters={"sku_code_eq": "x"}), ("filters", "sku_code_eq")),
        (
            Selection("orders", filters={"line_items.sku_code_null": True}),
            ("filters", "line_items.sku_code_null"),
        ),
        (Selection("options", includes=("values",)), ("includes", 0)),
    ],
)
def test_a_resource_without_a_tenant_rule_is_closed_to_tenants(
    asked: Selection, where: tuple[Any, ...] | None
) -> None:
    draft = Draft((asked,))
    if where is None:
        assert build(SHOP, draft, ACME, formats=FORMATS).selections[0].children == ()
        return
    with pytest.raises(errors.NotAllowed) as caught:
        build(SHOP, draft, ACME, formats=FORMATS)
    assert caught.value.where == where
    assert caught.value.wrong in {"skus", "values"}
    assert "tenant rule" in str(caught.value)
    build(SHOP, draft, EVERYBODY, formats=FORMATS)


def test_a_segment_does_not_lead_a_tenant_into_what_is_closed() -> None:
    lines = replace(SHOP.resources["line_items"], segments=(Segment("red", {"sku.code_eq": "red"}),))
    catalog = replace(SHOP, resources={**SHOP.resources, "line_items": lines})
    draft = Draft((Selection("line_items", segments=("red",)),))
    with pytest.raises(errors.NotAllowed):
        build(catalog, draft, ACME, formats=FORMATS)


def test_all_tenants_sees_all_but_what_is_fixed() -> None:
    root = planned("orders", includes=("customer",)).selections[0]
    assert root.where == KEPT
    assert root.children[0].where == filters.EVERYTHING
    both = replace(EVERYBODY, tenant="7")
    assert set(DUE["orders"]) <= set(parts(planned("orders", caller=both).selections[0].where)), (
        "a tenant binds always"
    )


def test_nobody_in_particular_sees_nothing() -> None:
    with pytest.raises(errors.NotAllowed):
        planned("orders", caller=Caller("k", "k", None))


@pytest.mark.parametrize("tenant", ["acme", "", "7 OR 1=1", "9" * 30])
def test_a_tenant_that_no_row_can_have_is_refused(tenant: str) -> None:
    with pytest.raises(errors.NotAllowed) as caught:
        planned("orders", caller=Caller("k", "k", tenant))
    assert caught.value.wrong == tenant


@pytest.mark.parametrize(
    ("asked", "where", "wrong"),
    [
        (Selection("companies"), ("resource",), "companies"),
        (Selection("orders", includes=("line_items",)), ("includes", 0), "line_items"),
        (Selection("orders", ("customer.company.name",)), ("fields", 0), "companies"),
        (Selection("orders", filters={"logs_line_eq": "x"}), ("filters", "logs_line_eq"), "logs"),
    ],
)
def test_a_token_of_some_resources_reads_these_alone(
    asked: Selection, where: tuple[Any, ...], wrong: str
) -> None:
    caller = replace(ACME, resources=("orders", "customers"))
    build(
        SHOP,
        Draft((Selection("orders", includes=("customer",), segments=("big",)),)),
        caller,
        formats=FORMATS,
    )
    with pytest.raises(errors.NotAllowed) as caught:
        build(SHOP, Draft((asked,)), caller, formats=FORMATS)
    assert (caught.value.where, caught.value.wrong) == (where, wrong)
    assert caught.value.choices == ("orders", "customers")
    with pytest.raises(errors.UnknownResource) as unknown:
        build(SHOP, Draft((Selection("skuz"),)), caller, formats=FORMATS)
    assert set(unknown.value.choices) == {"orders", "customers"}, "others are not told of"


def test_a_rule_may_stand_on_hidden_columns_and_resources() -> None:
    customers = replace(SHOP.resources["customers"], tenant=Whose((), "password"))
    orders = SHOP.resources["orders"]
    shown = {"orders": replace(orders, relationships=(), tenant=Whose(("customer",), "password"))}
    catalog = Catalog(SHOP.source, shown, behind={"customers": customers})
    made = build(catalog, Draft((Selection("orders"),)), ACME, formats=FORMATS)
    test = filters.Test("password", Type.TEXT, "text", "eq", ("7",))
    assert over("customers", "customer_id", test) in parts(made.selections[0].where)


EUROPE = replace(EVERYBODY, scopes=(Scope("market", "id", ("7",)), Scope("market", "code", ("eu", "uk"))))
MARKETS: dict[str, dict[str, Whose]] = {
    "customers": {"id": Whose((), "company_id"), "code": Whose(("company",), "name")},
    "orders": {"id": Whose(("customer",), "company_id"), "code": Whose(("customer", "company"), "name")},
    "line_items": {},
}
SCOPED = replace(
    SHOP,
    resources={
        name: replace(one, scopes={"market": MARKETS[name]} if name in MARKETS else {})
        for name, one in SHOP.resources.items()
    },
)
NAMED = filters.Test("name", Type.TEXT, "text", "in", ("eu", "uk"))
OF_EUROPE: dict[str, Condition] = {
    "customers": Either((owned("company_id"), over("companies", "company_id", NAMED))),
    "orders": Either(
        (
            over("customers", "customer_id", owned("company_id")),
            over("customers", "customer_id", over("companies", "company_id", NAMED)),
        )
    ),
    "line_items": filters.EVERYTHING,
}


def scoped(asked: Selection, caller: Caller = EUROPE) -> plan.Plan:
    return build(SCOPED, Draft((asked,), scoped=True), caller, formats=FORMATS)


def test_a_scoped_draft_carries_the_callers_scope_at_every_node_and_hop() -> None:
    asked = {"line_items_order_code_eq": "x"}
    made = scoped(Selection("orders", includes=("customer", "line_items"), filters=asked, segments=("big",)))
    assert made.scopes == EUROPE.scopes
    root = made.selections[0]
    for _, node in places(root):
        assert node.rules == every(OF_EUROPE[node.resource], *([KEPT] if node.resource == "orders" else []))
        assert set(parts(node.rules)) <= set(parts(node.where))
    line, big = (one for one in parts(root.where) if one not in parts(root.rules))
    assert isinstance(line, Exists)
    assert isinstance(line.that, Exists)
    assert {OF_EUROPE["orders"], KEPT} <= set(parts(line.that.that))
    assert isinstance(big, Exists)
    assert plan.from_data(plan.to_data(made)) == made


def test_a_draft_that_is_not_scoped_knows_nothing_of_scopes() -> None:
    made = build(SCOPED, Draft((Selection("skus"),)), EUROPE, formats=FORMATS)
    assert (made.scopes, made.selections[0].where) == ((), filters.EVERYTHING)


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        (Selection("skus"), "skus"),
        (Selection("line_items", includes=("sku",)), "skus"),
        (Selection("line_items", filters={"sku_code_eq": "x"}), "skus"),
        (Selection("line_items", ("options.name",)), "options"),
    ],
)
def test_a_resource_without_a_rule_for_the_scope_is_closed_to_scoped_drafts(
    asked: Selection, wrong: str
) -> None:
    with pytest.raises(errors.WrongValue) as caught:
        scoped(asked)
    assert (caught.value.where, caught.value.wrong) == (("scoped",), wrong)


def test_a_kind_that_has_no_rule_does_not_count_beside_one_that_has() -> None:
    store = Scope("store", "id", ("s",))
    both = replace(EUROPE, scopes=(store, *EUROPE.scopes))
    assert scoped(Selection("customers"), both).selections == scoped(Selection("customers")).selections
    with pytest.raises(errors.WrongValue):
        scoped(Selection("customers"), replace(EUROPE, scopes=(store,)))


def test_a_scope_that_is_named_otherwise_than_the_rule_is_refused_and_not_left_out() -> None:
    by_tag = replace(EUROPE, scopes=(*EUROPE.scopes, Scope("market", "tag", ("new",))))
    with pytest.raises(errors.WrongValue, match="no rule for the market tag"):
        scoped(Selection("customers"), by_tag)


def test_a_scope_that_no_row_can_have_is_refused() -> None:
    lost = replace(EUROPE, scopes=(Scope("market", "id", ("xYZ",)),))
    with pytest.raises(errors.WrongValue, match="belongs to the market xYZ") as caught:
        scoped(Selection("customers"), lost)
    assert caught.value.where == ("scoped",)


def test_the_rules_are_explained_as_data_for_each_place() -> None:
    made = planned("orders", "id", "customer.email", filters={"code_eq": "x"}, caller=ACME)
    assert [(one["selection"], one["path"], one["resource"]) for one in explain(made)] == [
        (0, "", "orders"),
        (0, "customer", "customers"),
    ]
    assert [filters.from_data(one["rules"]) for one in explain(made)] == [
        every(*DUE["orders"]),
        every(*DUE["customers"]),
    ]
