"""Names of filters are read against the catalog, over relationships too, and refused with what is valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from outhaul import errors, filters
from outhaul.catalog import Catalog, Field, Relationship, Resource, Type
from outhaul.filters import EVERYTHING, OPS, Exists
from outhaul.predicates import Reader
from outhaul.values import Limits
from tests import databases
from tests.databases import Database

Row = Mapping[str, Any]

TABLES = {
    "markets": "id integer PRIMARY KEY, name text",
    "customers": "id integer PRIMARY KEY, email text, market_id integer REFERENCES markets",
    "skus": "id integer PRIMARY KEY, code text",
    "orders": "id integer PRIMARY KEY, number text, customer_id integer REFERENCES customers, colour_or_size text",
    "line_items": "id integer PRIMARY KEY, order_id integer REFERENCES orders, "
    "sku_id integer REFERENCES skus, qty integer",
}
MARKETS = {1: "north", 2: "south"}
CUSTOMERS = {1: ("a@x", 1), 2: ("b@x", 2), 3: (None, 1), 4: ("", None)}
SKUS = {1: "red", 2: None, 3: "blue"}
ORDERS = {
    1: ("n1", 1, "red"),
    2: ("n2", 2, "L"),
    3: ("n3", 3, None),
    4: ("n4", None, "red"),
    5: (None, 4, None),
}
LINES = {1: (1, 1, 5), 2: (1, 2, 6), 3: (2, None, 1), 4: (3, 3, None), 5: (4, 1, 2), 6: (4, 3, 9)}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    if request.param == "sqlite":
        with databases.sqlite(tmp_path_factory.mktemp("predicates") / "shop.db") as found:
            filled(found)
            yield found
    else:
        with databases.postgresql(request.getfixturevalue("postgres_module_url")) as found:
            filled(found)
            yield found


def filled(database: Database) -> None:
    for name, columns in TABLES.items():
        database.run(f"CREATE TABLE {name} ({columns})")
    database.fill("markets", MARKETS.items())
    database.fill("customers", ((key, *row) for key, row in CUSTOMERS.items()))
    database.fill("skus", SKUS.items())
    database.fill("orders", ((key, *row) for key, row in ORDERS.items()))
    database.fill("line_items", ((key, *row) for key, row in LINES.items()))


@pytest.fixture(scope="module")
def catalog(shop: Database) -> Catalog:
    return shop.reflect()


def emails(order: int) -> list[str | None]:
    """The emails that a left join finds for an order: one, or the NULL of no customer."""
    customer = ORDERS[order][1]
    return [CUSTOMERS[customer][0] if customer else None]


def codes(order: int) -> list[str | None]:
    """The codes that a left join over lines and skus finds for an order."""
    lines = [line for line in LINES.values() if line[0] == order]
    return [SKUS[sku] if sku else None for _, sku, _ in lines] or [None]


def markets(order: int) -> list[str | None]:
    customer = ORDERS[order][1]
    market = CUSTOMERS[customer][1] if customer else None
    return [MARKETS[market] if market else None]


CASES: list[tuple[dict[str, Any], Callable[[int], bool]]] = [
    ({"number_eq": "n1"}, lambda order: ORDERS[order][0] == "n1"),
    ({"customer_id_in": "1,3"}, lambda order: ORDERS[order][1] in {1, 3}),
    ({"customer_id_in": "[1, 3]"}, lambda order: ORDERS[order][1] in {1, 3}),
    ({"customer.id_in": [1, 3]}, lambda order: ORDERS[order][1] in {1, 3}),
    ({"customer_email_eq": "a@x"}, lambda order: "a@x" in emails(order)),
    ({"customer.email_eq": "a@x"}, lambda order: "a@x" in emails(order)),
    (
        {"customer_email_not_eq": "a@x"},
        lambda order: any(one is not None and one != "a@x" for one in emails(order)),
    ),
    (
        {"customer_market_name_start": "no"},
        lambda order: any((one or "").startswith("no") for one in markets(order)),
    ),
    ({"customer_market_name_null": True}, lambda order: None in markets(order)),
    ({"customer_market_name_null": False}, lambda order: any(one is not None for one in markets(order))),
    ({"customer_email_null": "true"}, lambda order: None in emails(order)),
    ({"customer_email_not_null": "true"}, lambda order: any(one is not None for one in emails(order))),
    ({"customer_email_blank": "true"}, lambda order: any(not one for one in emails(order))),
    ({"customer_email_blank": "false"}, lambda order: any(emails(order))),
    ({"customer_email_present": "true"}, lambda order: any(emails(order))),
    ({"line_items.sku.code_eq": "red"}, lambda order: "red" in codes(order)),
    ({"line_items_sku_code_in": "red,blue"}, lambda order: bool({"red", "blue"} & set(codes(order)))),
    ({"line_items.sku.code_null": True}, lambda order: None in codes(order)),
    ({"line_items_sku_code_null": False}, lambda order: any(one is not None for one in codes(order))),
    (
        {"line_items_qty_gt": 4},
        lambda order: any(line[0] == order and (line[2] or 0) > 4 for line in LINES.values()),
    ),
    ({"line_items_id_null": True}, lambda order: not any(line[0] == order for line in LINES.values())),
    ({"colour_or_size_eq": "red"}, lambda order: ORDERS[order][2] == "red"),
    ({"number_or_colour_or_size_eq": "n2"}, lambda order: "n2" in {ORDERS[order][0], ORDERS[order][2]}),
    (
        {"colour_or_size_or_customer_email_eq": "a@x"},
        lambda order: "a@x" in {ORDERS[order][2], *emails(order)},
    ),
    (
        {"number_or_customer.email_cont": "@"},
        lambda order: any("@" in (one or "") for one in [ORDERS[order][0], *emails(order)]),
    ),
    (
        {"number_start": "n", "customer_id_not_null": True},
        lambda order: bool(ORDERS[order][0] and ORDERS[order][1]),
    ),
    (
        {"customer_email_eq_or_null": "a@x"},
        lambda order: any(one is None or one == "a@x" for one in emails(order)),
    ),
    (
        {"customer_email_not_in_or_null": "a@x,"},
        lambda order: any(one is None or one not in {"a@x", ""} for one in emails(order)),
    ),
    (
        {"line_items_sku_code_not_cont": "re"},
        lambda order: any(one is not None and "re" not in one for one in codes(order)),
    ),
    (
        {"line_items_sku_code_start_any": "bl,x"},
        lambda order: any((one or "").startswith(("bl", "x")) for one in codes(order)),
    ),
    (
        {"number_and_customer_email_not_start": "a"},
        lambda order: (
            bool(ORDERS[order][0])
            and any(one is not None and not one.startswith("a") for one in emails(order))
        ),
    ),
    ({}, lambda order: True),
]


@pytest.mark.parametrize(("asked", "rule"), CASES, ids=[str(asked) for asked, _ in CASES])
def test_filters_over_relationships_match_what_a_left_join_finds(
    shop: Database, catalog: Catalog, asked: dict[str, Any], rule: Callable[[int], bool]
) -> None:
    assert shop.asked(catalog, "orders", asked) == {order for order in ORDERS if rule(order)}


def test_what_the_guard_says_holds_for_every_row_on_the_way(shop: Database, catalog: Catalog) -> None:
    def guard(resource: Resource, _: Any) -> Any:
        if resource.name != "customers":
            return EVERYTHING
        return filters.Test("market_id", Type.INTEGER, "integer", "eq", ("1",))

    orders = catalog.resources["orders"]

    def asked(**filters: Any) -> set[Any]:
        return shop.matching(orders, Reader(catalog, guard).read(orders, filters))

    assert asked(customer_email_eq="b@x") == set()
    assert asked(customer_email_eq="a@x") == {1}
    assert asked(customer_email_not_null=True) == {1}
    assert asked(customer_email_null=True) == {2, 3, 4, 5}, "a customer who may not be seen is not there"
    assert asked(customer_market_name_eq="south") == set()


def resource(name: str, *fields: str, ways: tuple[Relationship, ...] = (), **types: Type) -> Resource:
    made = tuple(Field(one, one, types.get(one, Type.TEXT), "text") for one in fields)
    return Resource(name, None, name, "table", made, relationships=ways, columns=made, ways=ways)


def way(name: str, target: str, many: bool = False) -> Relationship:
    return Relationship(name, target, many, ((f"{name}_id", "id"),))


def read(asked: Mapping[str, Any], *resources: Resource, **limits: int) -> Any:
    catalog = Catalog("sqlite", {one.name: one for one in resources})
    return Reader(catalog, lambda *_: EVERYTHING, Limits(**limits)).read(resources[0], asked)


def test_a_field_goes_before_a_relationship_and_a_longer_predicate_before_a_shorter() -> None:
    market = resource("markets", "id", "is", "is_not")
    bare = resource("orders", "status", ways=(way("market", "markets"),))
    both = resource("orders", "market_id", "status", ways=(way("market", "markets"),))
    assert isinstance(read({"market_id_in": "1"}, bare, market), Exists)
    assert read({"market_id_in": "1"}, both, market) == filters.Test(
        "market_id", Type.TEXT, "text", "in", ("1",)
    )
    assert read({"status_not_in": "a"}, bare, market).op == "not_in"
    assert read({"is_not_in": "a"}, market) == filters.Test("is", Type.TEXT, "text", "not_in", ("a",))
    assert read({"is_not_eq": "a"}, resource("x", "is_not")).column == "is_not"


def test_the_longest_relationship_wins_and_hostile_names_are_found() -> None:
    line = resource("lines", "id", "a.b", "per cent %")
    order = resource(
        "orders", "x", ways=(way("line", "lines", many=True), way("line_item", "lines", many=True))
    )
    assert read({"line_item_id_eq": "1"}, order, line).hop.on == (("line_item_id", "id"),)
    assert read({"line.a.b_eq": "1"}, order, line).that.column == "a.b"
    assert read({"line_per cent %_eq": "1"}, order, line).that.column == "per cent %"


def test_and_joins_attributes_as_or_does_but_never_together_with_it() -> None:
    thing = resource("things", "a", "b", "c")
    found: Any = read({"a_and_b_and_c_eq": "x"}, thing)
    assert type(found).__name__ == "All"
    assert [one.column for one in found.of] == ["a", "b", "c"]
    with pytest.raises(errors.UnknownField):
        read({"a_and_b_or_c_eq": "x"}, thing)


def test_a_predicate_with_or_in_its_name_is_no_joint() -> None:
    thing = resource("things", "a", "b", "null")
    one: Any = read({"a_eq_or_null": "x"}, thing)
    assert one.op == "eq_or_null"
    found: Any = read({"a_or_b_eq_or_null": "x"}, thing)
    assert [(one.column, one.op) for one in found.of] == [("a", "eq_or_null"), ("b", "eq_or_null")]
    named: Any = read({"a_or_null_eq": "x"}, thing)
    assert [one.column for one in named.of] == ["a", "null"]


def test_attributes_joined_by_or_share_the_value_each_by_its_type() -> None:
    thing = resource("things", "a", "b", "c", b=Type.INTEGER)
    found: Any = read({"a_or_b_or_c_eq": "07"}, thing)
    assert [one.values for one in found.of] == [("07",), ("7",), ("07",)]
    with pytest.raises(errors.WrongValue):
        read({"a_or_b_eq": "x"}, thing)


SHOP = (
    resource(
        "orders",
        *("code", "qty", "paid", "total", "data", "placed_at"),
        ways=(way("customer", "customers"), way("line_items", "line_items", many=True)),
        qty=Type.INTEGER,
        paid=Type.BOOLEAN,
        total=Type.DECIMAL,
        data=Type.JSON,
        placed_at=Type.INSTANT,
    ),
    resource("customers", "email", "name"),
    resource("line_items", "sku"),
)

REFUSED: list[tuple[dict[str, Any], type[errors.Refused], str, tuple[str, ...]]] = [
    ({"prise_eq": 1}, errors.UnknownField, "prise", ("code",)),
    ({"cod_eq": 1}, errors.UnknownField, "cod", ("code",)),
    ({"customer.emial_eq": 1}, errors.UnknownField, "emial", ("email", "name")),
    ({"customer_emial_eq": 1}, errors.UnknownField, "emial", ("email", "name")),
    ({"code_or_cod_eq": 1}, errors.UnknownField, "cod", ("code",)),
    ({"password_eq": 1}, errors.UnknownField, "password", ("code",)),
    ({"code": "x"}, errors.UnknownPredicate, "code", tuple(OPS)),
    ({"": "x"}, errors.UnknownPredicate, "", tuple(OPS)),
    ({"_eq": "x"}, errors.UnknownField, "", ("code",)),
    ({"code_is": "x"}, errors.UnknownPredicate, "is", ("eq", "in")),
    ({"customer_email_is": "x"}, errors.UnknownPredicate, "is", ("eq", "in")),
    ({"qty_start": "x"}, errors.UnknownPredicate, "start", ("eq", "lt")),
    ({"data_eq": "x"}, errors.UnknownPredicate, "eq", ("null", "present")),
    ({"paid_lt": "x"}, errors.UnknownPredicate, "lt", ("true", "eq")),
    ({"code_true": "x"}, errors.UnknownPredicate, "true", ("eq",)),
    ({"qty_eq": "x"}, errors.WrongValue, "x", ()),
    ({"qty_in": "1,x"}, errors.WrongValue, "x", ()),
    ({"qty_in": []}, errors.WrongValue, "[]", ()),
    ({"code_null": "maybe"}, errors.WrongValue, "maybe", ("true", "false")),
    ({"code_eq": None}, errors.WrongValue, "None", ()),
    ({"code_eq": {"a": 1}}, errors.WrongValue, "{'a': 1}", ()),
    ({"code_eq": "a\0b"}, errors.WrongValue, "'a\\x00b'", ()),
    ({"code_cont": "a\0b"}, errors.WrongValue, "'a\\x00b'", ()),
    ({"code_matches": "a\\"}, errors.WrongValue, "a\\", ()),
    ({"x" * 600 + "_eq": 1}, errors.TooMuch, "603", ()),
    ({"_or_".join(["code"] * 30) + "_eq": 1}, errors.TooMuch, "30", ()),
    ({"code_in": ["a"] * 10_001}, errors.TooMuch, "10001", ()),
    ({"code_eq": "x" * 8_001}, errors.TooMuch, "'" + "x" * 56 + "...", ()),
]


@pytest.mark.parametrize(
    ("asked", "error", "wrong", "choices"), REFUSED, ids=[str(one[0])[:40] for one in REFUSED]
)
def test_a_filter_that_cannot_be_is_refused_with_what_can(
    asked: dict[str, Any], error: type[errors.Refused], wrong: str, choices: tuple[str, ...]
) -> None:
    with pytest.raises(error) as caught:
        read(asked, *SHOP)
    assert type(caught.value) is error
    assert caught.value.wrong == wrong
    assert caught.value.where == ("filters", next(iter(asked)))
    assert set(choices) <= set(caught.value.choices)
    assert all(choice in str(caught.value) for choice in caught.value.choices)


def test_too_many_filters_are_refused_before_any_is_read() -> None:
    with pytest.raises(errors.TooMuch) as caught:
        read({f"no{number}_eq": 1 for number in range(101)}, *SHOP)
    assert caught.value.facts == {"value": 101, "limit": 100}
    assert caught.value.where == ("filters",)


def test_a_path_deeper_than_the_limit_is_not_walked() -> None:
    node = resource("nodes", "id", ways=(way("up", "nodes"),))
    assert isinstance(read({"up." * 5 + "id_eq": 1}, node), Exists)
    with pytest.raises(errors.UnknownField):
        read({"up." * 6 + "id_eq": 1}, node)


def test_hidden_columns_can_be_named_by_the_owner_alone() -> None:
    shown = resource("users", "id")
    hidden = Field("secret", "secret", Type.TEXT, "text")
    users = Resource("users", None, "users", "table", shown.fields, columns=(*shown.fields, hidden))
    with pytest.raises(errors.UnknownField) as caught:
        read({"secret_eq": "x"}, users)
    assert "secret" not in caught.value.choices
    owner = Reader(Catalog("sqlite", {"users": users}), lambda *_: EVERYTHING, owner=True)
    assert owner.read(users, {"secret_eq": "x"}) == filters.Test("secret", Type.TEXT, "text", "eq", ("x",))
