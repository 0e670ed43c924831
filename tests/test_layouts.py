"""Layouts, bounds by the export's own instant, and numbered files in a plan: checked, kept, and refused in words."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from outhaul import conditions, errors, plan
from outhaul import draft as drafts
from outhaul.catalog import Type
from outhaul.conditions import All, every
from outhaul.export import Draft, Member, Selection
from outhaul.layouts import Laid
from outhaul.plan import Plan, build, places
from tests.catalogs import EVERYBODY, FORMATS, SHOP, field

LAYOUT = (
    Member("kind", text="order"),
    Member(
        "ids",
        members=(
            Member("code", field="code"),
            Member("customer", field="customer.id", worded=True),
            Member("items", each="line_items.qty"),
        ),
    ),
)
SALES = replace(
    SHOP,
    resources=dict(SHOP.resources)
    | {
        "sales": replace(
            SHOP.resources["orders"],
            name="sales",
            fields=(
                *SHOP.resources["orders"].fields,
                field("placed_at", Type.INSTANT),
                field("due", Type.TIMESTAMP),
            ),
        )
    },
)


def planned(*layout: Member, formats: tuple[str, ...] = ("ndjson",), **more: Any) -> Plan:
    given = {name: more.pop(name) for name in ("fields", "includes", "nested", "until") if name in more}
    asked = Selection("sales", layout=layout, **given)
    return build(SALES, Draft((asked,), formats=formats, **more), EVERYBODY, formats=FORMATS)


def test_a_layout_names_what_is_read_and_where_it_stands() -> None:
    (root,) = planned(*LAYOUT).selections
    assert root.layout == (
        Laid("kind", text="order"),
        Laid(
            "ids",
            members=(
                Laid("code", path=("code",)),
                Laid("customer", path=("customer", "id"), worded=True),
                Laid("items", path=("line_items", "qty"), many=True),
            ),
        ),
    )
    read = {path: [column.key for column in node.columns] for path, node in places(root)}
    assert read == {"": ["code"], "customer": ["id"], "line_items": ["qty"]}


def test_a_null_has_no_place_in_a_list() -> None:
    (root,) = planned(*LAYOUT).selections
    lines = dict(places(root))["line_items"]
    assert lines.where == every(lines.rules, conditions.Test("qty", Type.INTEGER, "bigint", "not_null"))
    assert dict(places(root))["customer"].where == dict(places(root))["customer"].rules


def test_a_plan_with_a_layout_survives_json() -> None:
    made = planned(*LAYOUT, until="placed_at", numbered=True)
    again = plan.from_data(json.loads(json.dumps(plan.to_data(made))))
    assert again == made
    assert again.numbered


def test_plans_and_drafts_from_before_there_were_layouts_are_read() -> None:
    old = plan.to_data(planned(Member("code", field="code")))
    del old["numbered"]
    for root in old["selections"]:
        del root["layout"]
    assert plan.from_data(old).selections[0].layout == ()
    data = asdict(Draft((Selection("orders"),)))
    del data["numbered"], data["selections"][0]["layout"], data["selections"][0]["until"]
    assert drafts.from_data(data) == Draft((Selection("orders"),))


def test_a_draft_with_a_layout_survives_the_ledger() -> None:
    made = Draft((Selection("orders", layout=LAYOUT, until="placed_at"),), numbered=True)
    assert drafts.from_data(json.loads(json.dumps(asdict(made)))) == made


@pytest.mark.parametrize(
    ("member", "error", "said"),
    [
        (Member("a", field="cod"), errors.UnknownField, "cod"),
        (Member("a", field="*"), errors.UnknownField, r"\*"),
        (Member("a"), errors.UnknownField, "no field"),
        (Member("a", field="line_items.qty"), errors.WrongValue, "one value for each row"),
        (Member("a", each="code"), errors.WrongValue, "one relationship to many"),
        (Member("a", each="line_items.sku.code"), errors.WrongValue, "right below it"),
        (Member("a", each="line_items.options.name"), errors.WrongValue, "one relationship to many"),
        (Member("", field="code"), errors.WrongValue, "one member ''"),
        (Member("x", members=(Member("", field="code"),)), errors.WrongValue, "one member ''"),
    ],
)
def test_a_wrong_layout_is_refused(member: Member, error: type[errors.Refused], said: str) -> None:
    with pytest.raises(error, match=said) as raised:
        planned(Member("right", field="id"), member)
    assert raised.value.where[0] in {"layout", "fields"}


def test_two_members_of_one_name_are_refused() -> None:
    with pytest.raises(errors.WrongValue, match="one member 'a'"):
        planned(Member("a", field="code"), Member("a", field="id"))


def test_a_relationship_gives_one_list() -> None:
    twice = (Member("a", each="line_items.qty"), Member("b", each="line_items.id"))
    with pytest.raises(errors.WrongValue, match="line_items can be one list"):
        planned(*twice)


@pytest.mark.parametrize(
    "more",
    [{"fields": ("id",)}, {"includes": ("customer",)}, {"dry": True}],
    ids=lambda more: next(iter(more)),
)
def test_a_layout_alone_says_what_is_exported(more: dict[str, Any]) -> None:
    with pytest.raises(errors.Malformed, match="A layout alone"):
        planned(Member("code", field="code"), **more)


def test_a_layout_without_a_field_is_refused() -> None:
    with pytest.raises(errors.Malformed, match="A layout alone"):
        planned(Member("kind", text="order"))


@pytest.mark.parametrize("name", ["csv"])
def test_only_json_has_a_layout(name: str) -> None:
    with pytest.raises(errors.WrongValue, match="Rows of csv have no layout"):
        planned(Member("code", field="code"), formats=("json", name))


@pytest.mark.parametrize("name", ["placed_at", "due"])
def test_a_bound_by_the_exports_instant_is_known_once_that_is_taken(name: str) -> None:
    made = planned(Member("code", field="code"), until=name)
    moment = datetime(2026, 11, 22, 12, 30, 1, 250_000, tzinfo=UTC)
    (root,) = plan.at(made, moment).selections
    assert isinstance(root.where, All)
    (bound,) = [one for one in root.where.of if isinstance(one, conditions.Test) and one.column == name]
    zone = "+00:00" if name == "placed_at" else ""
    assert (bound.op, bound.values) == ("lteq", (f"2026-11-22 12:30:01.250000{zone}",))
    assert root.rules == made.selections[0].rules
    assert plan.at(plan.at(made, moment), datetime(2027, 1, 1, tzinfo=UTC)) == plan.at(made, moment)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("placed", errors.UnknownField),
        ("code", errors.WrongValue),
        ("customer.id", errors.WrongValue),
    ],
)
def test_what_is_no_moment_of_the_rows_bounds_nothing(name: str, error: type[errors.Refused]) -> None:
    with pytest.raises(error):
        planned(Member("code", field="code"), until=name)
