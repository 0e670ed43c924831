"""How related rows, values and delimiters of a table are asked for, and what of it is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from outhaul import errors, plan
from outhaul.catalog import Catalog
from outhaul.export import Draft, Selection
from outhaul.ledger import Facts
from outhaul.plan import Node, Plan, build, places
from outhaul.reconcile import prove
from outhaul.tabular import LINES, PLAIN, Tabular, due
from tests import drafts
from tests.catalogs import EVERYBODY, FORMATS, SHOP, field, many, number, one, resource


def asked(
    resource_name: str = "orders",
    includes: tuple[str, ...] = (),
    nested: dict[str, str] | None = None,
    fields: tuple[str, ...] = (),
    **more: Any,
) -> Plan:
    selection = Selection(resource_name, fields, includes, nested=nested or {})
    draft = Draft((selection,), **{"formats": ("csv",), **more})
    return build(
        SHOP, draft, EVERYBODY, formats=FORMATS, compressions=dict.fromkeys(FORMATS, ("gzip", "zstd"))
    )


def ways(root: Node) -> dict[str, str]:
    return {path: node.nested for path, node in places(root) if path}


@pytest.mark.parametrize(
    ("nested", "expected"),
    [
        ({}, {"customer": "json", "line_items": "json", "line_items.sku": "json"}),
        ({"customer": "columns"}, {"customer": "columns", "line_items": "json", "line_items.sku": "json"}),
        ({"line_items": "rows"}, {"customer": "columns", "line_items": "rows", "line_items.sku": "columns"}),
        (
            {"line_items": "rows", "customer": "json"},
            {"customer": "json", "line_items": "rows", "line_items.sku": "columns"},
        ),
        (
            {"line_items": "rows", "line_items.sku": "json"},
            {"customer": "columns", "line_items": "rows", "line_items.sku": "json"},
        ),
        ({"line_items": "json"}, {"customer": "json", "line_items": "json", "line_items.sku": "json"}),
        (
            {"line_items": "files"},
            {"customer": "columns", "line_items": "files", "line_items.sku": "columns"},
        ),
    ],
)
def test_a_relationship_stands_as_it_is_asked_for(nested: dict[str, str], expected: dict[str, str]) -> None:
    made = asked(includes=("customer", "line_items.sku"), nested=nested)
    assert ways(made.selections[0]) == expected


def test_rows_may_stand_below_rows_and_behind_columns() -> None:
    deep = asked(
        includes=("line_items.options",), nested={"line_items": "rows", "line_items.options": "rows"}
    )
    assert ways(deep.selections[0]) == {"line_items": "rows", "line_items.options": "rows"}
    far = asked("line_items", ("order.logs",), {"order.logs": "rows"})
    assert ways(far.selections[0]) == {"order": "columns", "order.logs": "rows"}


@pytest.mark.parametrize("lines", ["rows", "files"])
def test_files_may_stand_beside_and_below_anything_with_lines(lines: str) -> None:
    nested = {"line_items": lines, "line_items.options": "files", "logs": "files"}
    made = asked(includes=("line_items.options", "logs"), nested=nested)
    assert ways(made.selections[0]) == nested
    assert ways(asked("line_items", ("order.logs",), {"order.logs": "files"}).selections[0]) == {
        "order": "columns",
        "order.logs": "files",
    }


def test_to_one_below_a_cell_of_json_stays_inside_of_it() -> None:
    made = asked(includes=("line_items.sku", "line_items.options", "logs"), nested={"logs": "rows"})
    assert ways(made.selections[0])["line_items.sku"] == "json"


REFUSED: list[tuple[dict[str, Any], type[errors.Refused], tuple[str, ...], str, tuple[str, ...]]] = [
    ({"profile": "excel"}, errors.WrongValue, ("profile",), "excel", ("machine", "spreadsheet")),
    ({"delimiter": "::"}, errors.WrongValue, ("delimiter",), "::", ("comma", "semicolon", "tab", "pipe")),
    ({"delimiter": ""}, errors.WrongValue, ("delimiter",), "", ("comma",)),
    ({"profile": "spreadsheet", "formats": ("json",)}, errors.WrongValue, ("profile",), "profile", ()),
    ({"delimiter": ";", "formats": ("ndjson",)}, errors.WrongValue, ("delimiter",), "delimiter", ()),
    ({"nested": {"logs": "rows"}}, errors.UnknownRelationship, ("nested", "logs"), "logs", ()),
    (
        {"includes": ("line_items",), "nested": {"line_item": "rows"}},
        errors.UnknownRelationship,
        ("nested", "line_item"),
        "line_item",
        ("line_items",),
    ),
    (
        {"includes": ("line_items",), "nested": {"line_items": "row"}},
        errors.WrongValue,
        ("nested", "line_items"),
        "row",
        ("json", "rows"),
    ),
    (
        {"includes": ("line_items",), "nested": {"line_items": "columns"}},
        errors.WrongValue,
        ("nested", "line_items"),
        "columns",
        ("json", "rows"),
    ),
    (
        {"includes": ("customer",), "nested": {"customer": "rows"}},
        errors.WrongValue,
        ("nested", "customer"),
        "rows",
        ("json", "columns"),
    ),
    (
        {"includes": ("line_items",), "nested": {"line_items": "rows"}, "formats": ("json",)},
        errors.WrongValue,
        ("nested", "line_items"),
        "nested line_items",
        (),
    ),
    (
        {"includes": ("line_items", "logs"), "nested": {"line_items": "rows", "logs": "rows"}},
        errors.WrongValue,
        ("nested", "logs"),
        "rows",
        ("json",),
    ),
    (
        {
            "resource_name": "line_items",
            "includes": ("order.logs", "options"),
            "nested": {"order.logs": "rows", "options": "rows"},
        },
        errors.WrongValue,
        ("nested", "options"),
        "rows",
        ("json",),
    ),
    (
        {"includes": ("line_items.options",), "nested": {"line_items.options": "rows"}},
        errors.WrongValue,
        ("nested", "line_items.options"),
        "rows",
        ("json",),
    ),
    (
        {"includes": ("line_items.sku",), "nested": {"line_items.sku": "columns"}},
        errors.WrongValue,
        ("nested", "line_items.sku"),
        "columns",
        ("json",),
    ),
    (
        {"includes": ("customer",), "nested": {"customer": "files"}},
        errors.WrongValue,
        ("nested", "customer"),
        "files",
        ("json", "columns"),
    ),
    (
        {"includes": ("line_items.options",), "nested": {"line_items.options": "files"}},
        errors.WrongValue,
        ("nested", "line_items.options"),
        "files",
        ("json",),
    ),
    (
        {
            "includes": ("line_items.options",),
            "nested": {"line_items": "files", "line_items.options": "rows"},
        },
        errors.WrongValue,
        ("nested", "line_items.options"),
        "rows",
        ("files", "json"),
    ),
    (
        {"includes": ("line_items",), "nested": {"line_items": "files"}, "compress": "zstd"},
        errors.WrongValue,
        ("compress",),
        "zstd",
        ("gzip",),
    ),
    (
        {"fields": ("code", "line_items.qty"), "nested": {"line_items": "files"}},
        errors.WrongValue,
        ("nested", "line_items"),
        "files",
        ("json", "rows"),
    ),
    (
        {
            "fields": ("id", "line_items.qty", "line_items.options.id"),
            "nested": {"line_items": "files", "line_items.options": "files"},
        },
        errors.WrongValue,
        ("nested", "line_items.options"),
        "files",
        ("json", "rows"),
    ),
]


def test_a_key_that_is_missing_or_hidden_is_told_apart() -> None:
    with pytest.raises(errors.WrongValue, match="Add 'id' to the fields of orders") as missing:
        asked(fields=("code", "line_items.qty"), nested={"line_items": "files"})
    assert "by 'id'" in str(missing.value)
    parent = resource("t", field("name"), ways=(many("us", "u", "t"),), hidden=(number("id"),))
    child = resource("u", number("id"), number("t_id"))
    draft = Draft((Selection("t", (), ("us",), nested={"us": "files"}),), formats=("csv",))
    with pytest.raises(errors.WrongValue) as hidden:
        build(Catalog("sqlite", {"t": parent, "u": child}), draft, EVERYBODY, formats=FORMATS)
    assert "'id'" not in str(hidden.value)
    assert "One of: json, rows" in hidden.value.hint


@pytest.mark.parametrize(("wish", "kind", "where", "wrong", "choices"), REFUSED)
def test_what_cannot_be_is_refused_with_the_wrong_name_and_the_valid_ones(
    wish: dict[str, Any],
    kind: type[errors.Refused],
    where: tuple[str, ...],
    wrong: str,
    choices: tuple[str, ...],
) -> None:
    with pytest.raises(kind) as refused:
        asked(**wish)
    error = refused.value
    assert tuple(map(str, error.where)) == where
    assert error.wrong == wrong
    assert set(choices) <= set(error.choices)
    assert wrong in str(error)
    assert error.hint
    assert all(choice in error.hint for choice in choices)


def test_two_columns_of_one_name_are_refused() -> None:
    catalog = Catalog(
        "sqlite",
        {
            "t": resource("t", number("id"), field("a.b"), ways=(one("a", "u"),)),
            "u": resource("u", number("id"), field("b")),
        },
    )

    def build_with(*fields: str) -> Plan:
        selection = Selection("t", fields, ("a",), nested={"a": "columns"})
        return build(catalog, Draft((selection,), formats=("csv",)), EVERYBODY, formats=FORMATS)

    with pytest.raises(errors.WrongValue) as refused:
        build_with()
    assert (refused.value.where, refused.value.wrong) == (("nested",), "a.b")
    assert "'a.b'" in str(refused.value)
    assert build_with("id", "a.id").selections


@pytest.mark.parametrize("given", [",", ";", "\t", "|"])
def test_a_delimiter_is_told_by_itself_or_by_its_name(given: str) -> None:
    name = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}[given]
    for word in (given, name):
        assert asked(delimiter=word).selections[0].tabular == Tabular("machine", given)


def test_nothing_asked_for_is_what_a_database_writes() -> None:
    assert asked().selections[0].tabular == PLAIN
    assert PLAIN.plain
    assert not asked(profile="spreadsheet").selections[0].tabular.plain


def test_a_plan_keeps_its_table_through_json() -> None:
    made = asked(
        includes=("line_items.sku",), nested={"line_items": "rows"}, profile="spreadsheet", delimiter="tab"
    )
    assert plan.from_data(json.loads(json.dumps(plan.to_data(made)))) == made


def test_lines_are_owed_by_tables_alone() -> None:
    counts = {"": 3, "line_items": 7, LINES: 8}
    assert due(counts, "csv") == counts
    assert due(counts, "json") == {"": 3, "line_items": 7}


def written(tmp_path: Path, form: str, lines: int) -> Facts:
    """An export of ten rows with thirty related ones, of which 31 lines are due and so many were written."""
    with drafts.opened(drafts.sqlite_url(tmp_path)) as ledger:
        made = drafts.create(ledger, formats=(form,))
        lease = drafts.claimed(ledger, drafts.only(ledger.admit(2)))
        drafts.hold(ledger, lease)
        counts = [{"": 10, "lines": 30, LINES: 31}]
        ledger.settle_plan(lease, drafts.planned(1, (form,), counts=counts), own=False, claim=False)
        lease = drafts.claimed(ledger, drafts.only(ledger.admit(2)))
        found = {"lines": 30} | ({LINES: lines} if form == "csv" else {})
        assert ledger.settle(lease, [replace(drafts.fragment(lease), related=found)])
        facts = ledger.facts(made.id)
    assert facts is not None
    return facts


@pytest.mark.parametrize(("form", "lines"), [("csv", 31), ("json", 0)])
def test_as_many_lines_as_are_due_are_proven(form: str, lines: int, tmp_path: Path) -> None:
    prove(written(tmp_path, form, lines), lambda _: 100)


@pytest.mark.parametrize("lines", [30, 32, 0])
def test_another_number_of_lines_fails_the_export_with_both_numbers(lines: int, tmp_path: Path) -> None:
    with pytest.raises(errors.Unproven, match=rf"31 matched, but {lines} were written"):
        prove(written(tmp_path, "csv", lines), lambda _: 100)
