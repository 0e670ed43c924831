"""A new export, made by forms alone: what is offered, chosen, refused and asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from outhaul.export import Export
from tests.console.forms import Making
from tests.console.visitors import Page, Visitor, readable, visited
from tests.served import of_shop, shop

HOSTILE = "<script>alert(1)</script>'\""
MORE = """
CREATE TABLE events (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders (id), at timestamp, day date,
    done boolean, amount decimal(10,2), "a.b" TEXT, above_id INTEGER REFERENCES events (id));
CREATE TABLE "odd/na <b>me'" (id INTEGER PRIMARY KEY, "<script>alert(1)</script>'" TEXT);
"""
WIDE = 1_500
CATALOG = """
[resources.companies]
tenant = "id"
[resources.orders]
tenant = "company_id"
[resources.countries]
[resources.companies.segments.ours]
description = "Only ours"
filters = { name_eq = "ALPHA" }
[resources.events]
tenant = "order.company_id"
[resources.wide]
[resources."odd/na <b>me'"]
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """A service in which nothing runs: an export stays as it was asked for."""
    place: Path = shop(tmp_path_factory.mktemp("new"))
    columns = ", ".join(f"column_number_{n} INTEGER" for n in range(WIDE))
    with closing(sqlite3.connect(place / "shop.db")) as connection:
        connection.executescript(f"{MORE}; CREATE TABLE wide (id INTEGER PRIMARY KEY, {columns});")
    (place / "catalog.toml").write_text(CATALOG)
    outhaul = of_shop(place)
    with outhaul.ledger:
        outhaul.ledger.migrate()
        with visited(outhaul) as visitor:
            yield visitor


@pytest.fixture
def visitor(here: Visitor) -> Iterator[Visitor]:
    with here.outhaul.ledger._write() as write:
        write.exec_driver_sql("DELETE FROM rates")
    visitor = Visitor(here.outhaul, str(here.http.base_url))
    visitor.sign_in()
    yield visitor
    visitor.http.close()


def again(visitor: Visitor, **reach: Any) -> None:
    visitor.post("/sign-out")
    visitor.sign_in(**reach)


def made(visitor: Visitor, making: Making, **changed: Any) -> Export:
    answer = making.press("Create export", **changed)
    assert answer.status_code == 303, readable(answer.text)
    return visitor.outhaul.ledger.get(answer.headers["location"].removeprefix("/console/exports/"))


def selection(export: Export) -> dict[str, Any]:
    (found,) = export.draft["selections"]
    return dict(found)


def all_exports(visitor: Visitor) -> int:
    return visitor.outhaul.ledger.list()[1]


def test_one_press_asks_for_everything_of_a_resource(visitor: Visitor) -> None:
    assert "orders" in visitor.text("/new")
    export = made(visitor, Making(visitor, "orders"))
    assert (selection(export)["fields"], selection(export)["includes"]) == ([], [])
    assert (export.draft["formats"], export.draft["compress"]) == (["csv"], "gzip")
    assert (export.draft["consistency"], export.reference) == ("snapshot", None)
    text = visitor.text(f"/exports/{export.id}")
    assert "curl" in text
    assert f"outhaul exports create orders --format csv --server {visitor.http.base_url}" in text


def test_a_form_that_is_sent_twice_makes_one_export(visitor: Visitor) -> None:
    making, before = Making(visitor, "orders"), all_exports(visitor)
    first = made(visitor, making)
    assert made(visitor, making).id == first.id
    assert all_exports(visitor) == before + 1
    assert made(visitor, making, reference="another").id != first.id
    assert made(visitor, Making(visitor, "orders")).id != first.id


def test_fields_and_related_records_are_ticked_in_a_tree(visitor: Visitor) -> None:
    making = Making(visitor, "orders")
    making.press("Open company", whole=None, pick=["id"])
    assert "pick" in making.form.places
    assert making.form.values["open"] == ["company"]
    making.press("Open company.orders") if "Open company.orders" in making.form.buttons else None
    export = made(visitor, making, pick=["id", "company.name"], whole=["events"])
    assert selection(export)["fields"] == ["events.*", "id", "company.name"]
    everything = made(visitor, Making(visitor, "orders"), whole=["", "company", "events"])
    assert (selection(everything)["fields"], selection(everything)["includes"]) == ([], ["company", "events"])
    text = visitor.text(f"/exports/{everything.id}")
    assert "--include company --include events" in text


def test_a_closed_branch_keeps_what_was_ticked_in_it(visitor: Visitor) -> None:
    making = Making(visitor, "orders")
    making.press("Open company")
    making.press("Close company", pick=["company.name"])
    assert "1 chosen" in readable(making.answer.text)
    assert selection(made(visitor, making))["fields"] == ["*", "company.name"]


def test_a_search_finds_fields_of_related_records_and_keeps_the_rest(visitor: Visitor) -> None:
    making = Making(visitor, "orders")
    making.press("Search", search="company.na", whole=None, pick=["note"])
    assert "1 found" in readable(making.answer.text)
    making.press("Show all", pick=["note", "company.name"])
    assert selection(made(visitor, making))["fields"] == ["note", "company.name"]
    making = Making(visitor, "orders")
    making.press("Search", search="nonsense")
    assert "No field is called so." in readable(making.answer.text)


def test_no_way_comes_back_to_where_it_was(visitor: Visitor) -> None:
    making = Making(visitor, "events")
    opened = {"Open above"}
    making.press("Open above")
    while more := [one for one in making.form.buttons if one.startswith("Open ") and one not in opened]:
        opened.add(more[0])
        making.press(more[0])
        assert len(opened) < 60
    assert not any("above.above" in one for one in opened)
    many = [*(f"x{n}" for n in range(40)), "above"]
    making.press("Update", open=many)
    assert "Open order" in making.form.buttons
    making.press("Open order", open=many[:30])
    assert "Close order" in making.form.buttons
    deep = {"whole": ["", "above." * 900], "pick": ["x" * 2_000], "open": ["above.above"], "do": "update"}
    answer = visitor.http.post(making.path, data=deep, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 200


def test_a_table_of_a_great_many_columns_is_bounded_and_can_be_searched(visitor: Visitor) -> None:
    making = Making(visitor, "wide")
    assert len(making.answer.content) < 150_000
    assert "and 1,301 more" in readable(making.answer.text)
    making.press("Search", search="number_1499", whole=None)
    assert "1 found" in readable(making.answer.text)
    many = [f"column_number_{n}" for n in range(900)]
    making.press("Show all", pick=many)
    assert selection(made(visitor, making))["fields"] == many
    refused = making.press("Create export", pick=[f"column_number_{n}" for n in range(WIDE)])
    assert "1,500 fields are more than 1,000" in readable(refused.text)


@pytest.mark.parametrize(
    ("field", "op", "value", "filters"),
    [
        ("id", "in", "3\n 5 \n\n", {"id_in": ["3", "5"]}),
        ("day", "lteq", "2026-03-01", {"day_lteq": "2026-03-01"}),
        ("at", "gt", "2026-03-01T10:30", {"at_gt": "2026-03-01T10:30"}),
        ("done", "eq", "true", {"done_eq": "true"}),
        ("amount", "gteq", "12.50", {"amount_gteq": "12.50"}),
        ("order.note", "cont", "x_y%", {"order.note_cont": "x_y%"}),
        ("order.company.name", "null", None, {"order.company.name_null": True}),
        ("a.b", "eq", "", {"a.b_eq": ""}),
    ],
)
def test_a_filter_is_built_by_the_type_of_its_field(
    visitor: Visitor, field: str, op: str, value: str | None, filters: dict[str, Any]
) -> None:
    making = Making(visitor, "events")
    making.press("Add", adding=field)
    making.press("Update", **{"op.0": op})
    if value is not None:
        assert "value.0" in making.form.places or "value.0" in making.form.values
    export = made(visitor, making, **({"value.0": value} if value is not None else {}))
    assert selection(export)["filters"] == filters


def test_a_picker_is_offered_for_days_and_moments(visitor: Visitor) -> None:
    making = Making(visitor, "events")
    for name in ("day", "at", "done"):
        making.press("Add", adding=name)
    kinds = [one.get("type") for one in Page(making.answer.text).of("input")]
    assert "date" in kinds
    assert "datetime-local" in kinds
    assert "is before" in making.answer.text
    making.press("Take out the filter on at")
    assert making.form.values["field.1"] == ["done"]
    assert "field.2" not in making.form.values


def test_what_is_wrong_is_said_beside_it(visitor: Visitor) -> None:
    before = all_exports(visitor)
    making = Making(visitor, "orders")
    assert "orders has no field &#39;nonsens&#39; to filter by" in making.press("Add", adding="nonsens").text
    making.press("Add", adding="id")
    for value, said in (("", "A value is missing."), ("x", "id holds INTEGER")):
        answer = making.press("Create export", **{"value.0": value})
        assert answer.status_code == 200
        assert said in readable(answer.text)
        (select,) = [one for one in Page(answer.text).of("select") if one.get("name") == "op.0"]
        assert (select["aria-invalid"], select["aria-describedby"]) == ("true", "wrong-filter-0")
    for changed, said in (
        ({"compress": "snappy"}, "There is no compression 'snappy'."),
        ({"compress": "x"}, "There is no such choice."),
        ({"format": "xml"}, "There is no such choice."),
        ({"whole": None, "value.0": "1"}, "Nothing is chosen."),
        ({"consistency": "whole", "whole": [""]}, "There is no consistency 'whole'."),
        ({"delimiter": "#", "consistency": "snapshot"}, "'#' is no delimiter."),
    ):
        answer = making.press("Create export", **{"value.0": "1", **changed})
        assert said in readable(answer.text), changed
    assert all_exports(visitor) == before


def test_related_rows_stand_in_a_table_as_chosen(visitor: Visitor) -> None:
    making = Making(visitor, "orders")
    making.press("Update", whole=["", "company", "events"])
    export = made(
        visitor, making, **{"nested.events": "rows", "profile": "spreadsheet", "delimiter": "semicolon"}
    )
    assert selection(export)["nested"] == {"events": "rows"}
    assert (export.draft["profile"], export.draft["delimiter"]) == ("spreadsheet", "semicolon")
    other = made(visitor, making, **{"nested.events": "rows", "format": "parquet", "profile": "spreadsheet"})
    assert (selection(other)["nested"], other.draft["profile"], other.draft["compress"]) == (
        {},
        "machine",
        None,
    )


def test_rows_come_in_the_order_that_is_typed(visitor: Visitor) -> None:
    making = Making(visitor, "orders")
    assert "orders has no field 'nonsens'" in readable(making.press("Create export", sort="-nonsens").text)
    export = made(visitor, making, sort=" -note , id")
    assert selection(export)["sort"] == ["-note", "id"]
    assert "in the console" in visitor.text(f"/exports/{export.id}")


def test_a_segment_is_ticked(visitor: Visitor) -> None:
    making = Making(visitor, "companies")
    assert "Only ours" in readable(making.answer.text)
    assert selection(made(visitor, making, segment=["ours"]))["segments"] == ["ours"]
    answer = making.press("Create export", segment=["theirs"])
    assert "companies has no segment 'theirs'" in readable(answer.text)


def test_who_only_reads_is_not_offered_it_and_refused(visitor: Visitor) -> None:
    making = Making(visitor, "orders")
    again(visitor, tenant="1", read_only=True)
    before = all_exports(visitor)
    for path in ("/", "/catalog", "/catalog/orders"):
        assert not [one for one in Page(visitor.get(path).text).of("a") if "/new" in str(one["href"])]
    for path in ("/new", "/new/orders"):
        assert visitor.get(path).status_code == 403
    for button in ("Create export", "Count and preview", "Update"):
        assert making.press(button).status_code == 403
    assert all_exports(visitor) == before


def test_a_tenant_is_offered_what_it_can_export(visitor: Visitor) -> None:
    again(visitor, tenant="1", resources=("orders", "companies"))
    offers = [
        str(one["href"]) for one in Page(visitor.get("/new").text).of("a") if "/new/" in str(one["href"])
    ]
    assert [one.rpartition("/")[2] for one in offers] == ["companies", "orders"]
    assert visitor.get("/new/countries").status_code == 404
    making = Making(visitor, "orders")
    assert not any("events" in one for one in making.form.buttons)
    answer = making.press("Add", adding="events.done")
    assert "no field" in readable(answer.text)
    forged = making.press("Create export", whole=["", "events"])
    assert "orders has no relationship 'events'." in readable(forged.text)
    export = made(visitor, making)
    assert (export.tenant, selection(export)["includes"]) == ("1", [])
    refused = making.press("Create export", pick=["events.id"])
    assert "no relationship" in readable(refused.text) or "not" in readable(refused.text)
    assert refused.status_code == 200


def test_a_form_of_another_site_makes_nothing(visitor: Visitor) -> None:
    before = all_exports(visitor)
    making = Making(visitor, "orders")
    sent = {**making.form.values, "do": "create"}
    answer = visitor.http.post(making.path, data=sent, headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, all_exports(visitor)) == (403, before)
    large = visitor.http.post(
        making.path, data={"pick": "x" * 600_000}, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert large.status_code == 413


def test_no_name_is_taken_for_a_page(visitor: Visitor) -> None:
    making = Making(visitor, "odd%2Fna%20%3Cb%3Eme'")
    making.press("Add", adding=HOSTILE)
    making.press("Search", search=HOSTILE)
    making.press("Show all")
    for text in (making.answer.text, visitor.get(f"/new?q={HOSTILE}").text):
        assert "<script>alert" not in text
        assert "<b>me" not in text
        for name, attributes in Page(text).elements:
            assert not {one for one in attributes if one.startswith("on") or one == "style"}, name
    assert made(visitor, making).draft["selections"][0]["resource"] == "odd/na <b>me'"


def test_a_look_tells_rows_size_and_time_and_shows_how_the_file_begins(visitor: Visitor) -> None:
    before = all_exports(visitor)
    again(visitor, tenant="2")
    making = Making(visitor, "orders")
    text = readable(making.press("Count and preview", whole=None, pick=["id", "note"]).text)
    assert "Rows that match 60" in text
    assert "Size of the files about" in text
    assert "a few seconds" in text
    assert "orders.csv" in text
    assert "id,note 1,note 1" in text
    assert "2,note 2" not in text
    assert "The first 20 rows" in text
    making.press("Add", adding="id")
    none = readable(making.press("Count and preview", **{"value.0": "2"}).text)
    assert "Rows that match 0" in none
    assert "Nothing matches." in none
    assert all_exports(visitor) == before


def test_a_related_record_that_is_gone_is_told_and_not_left_out(visitor: Visitor) -> None:
    before, making = all_exports(visitor), Making(visitor, "orders")
    answer = making.press("Create export", whole=["", "company", "warehouse"])
    assert "orders has no relationship 'warehouse'." in readable(answer.text)
    assert all_exports(visitor) == before
    assert selection(made(visitor, making))["includes"] == ["company"]


def test_no_filter_is_dropped_for_being_one_too_many(visitor: Visitor) -> None:
    before, making = all_exports(visitor), Making(visitor, "wide")
    many: dict[str, Any] = {}
    for n in range(101):
        many |= {f"field.{n}": f"column_number_{n}", f"op.{n}": "null", f"shape.{n}": "none"}
    refused = making.press("Create export", **many)
    assert "101 filters are more than 100" in readable(refused.text)
    assert all_exports(visitor) == before


def test_a_form_has_an_end_and_its_reference_no_nul(visitor: Visitor) -> None:
    making = Making(visitor, "orders")
    answer = making.press("Create export", reference="a\0b")
    assert (answer.status_code, "cannot be printed" in readable(answer.text)) == (200, True)
    answer = making.press("Create export", a=["1"] * 10_001)
    assert (answer.status_code, "at most 10,000 fields" in readable(answer.text)) == (413, True)
