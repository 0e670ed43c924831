"""Lists and shapes of Commerce Layer's exports against its contract: queries, documents and refusals over HTTP."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from outhaul.catalog import Type
from outhaul.dialects.commercelayer import history, query, render
from outhaul.export import Draft, Export, Selection, Status
from outhaul.filters import OPS
from outhaul.service import Event
from tests.served import Asker, of_shop, served, shop

GOLDEN = Path(__file__).parent / "commercelayer"
TRACE = "69abaa3545913c78132e5578bd26208d44aa9043647d78698fd0021f3958cd74"
SETTING = render.Setting("https://yourdomain.commercelayer.io/api", TRACE)
NOON = datetime(2018, 1, 1, 12, tzinfo=UTC)
FIELDS = ("code", "name", "prices.*", "prices.price_tiers.price_amount_cents")
SKUS = Selection("skus", fields=FIELDS, includes=("prices.price_tiers",), filters={"code_eq": "AAA"})
EXPORT = Export(
    id="XAyRWNUzyN",
    tenant="xRRkjDFafe",
    caller="someone",
    dialect="commercelayer",
    status=Status.RUNNING,
    matched=300,
    processed=270,
    parts=10,
    parts_done=9,
    created_at=NOON,
    updated_at=NOON,
    started_at=NOON,
    completed_at=NOON,
    interrupted_at=NOON,
    draft=json.loads(json.dumps(asdict(Draft((SKUS,))))),
    estimated_completion_at=NOON,
    errors=({"error": "RuntimeError", "message": "query timeout", "hint": ""},),
    reference="ANY-EXTERNAL-REFEFERNCE",
    reference_origin="ANY-EXTERNAL-REFEFERNCE-ORIGIN",
    metadata={"foo": "bar"},
)
ATTACHED = render.Links("http://cl_exports.s3.amazonaws.com/")


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def listed(text: str) -> query.Asked:
    return query.listing(parse_qsl(text, keep_blank_values=True))


def test_an_export_looks_as_in_the_seed_but_for_what_it_is_not() -> None:
    """The sample's progress of 30.0 beside 270 of 300 is just a sample."""
    seed = golden("seed_retrieve")
    filtered = replace(EXPORT, draft={**EXPORT.draft, "scoped": True})
    shown = {"data": render.resource(filtered, ATTACHED, replace(SETTING, mode="test"))}
    assert seed["data"]["attributes"].pop("progress") == 30.0
    assert shown["data"]["attributes"].pop("progress") == 90.0
    assert shown == seed
    assert list(shown["data"]) == list(seed["data"])


def test_a_first_page_looks_as_in_the_seed() -> None:
    seed = golden("seed_list")
    shown = render.page([render.resource(EXPORT, ATTACHED, SETTING)], 140, query.Asked(), SETTING)
    assert (shown["meta"], shown["links"]) == (seed["meta"], seed["links"])
    assert list(shown) == list(seed)
    (ours,), theirs = shown["data"], seed["data"][0]
    assert ours["relationships"] == theirs["relationships"]
    assert theirs["attributes"].items() <= ours["attributes"].items()


def test_what_can_be_filtered_and_sorted_by_is_what_the_seed_lists() -> None:
    texts = "resource_type format status started_at completed_at interrupted_at records_count attachment_url"
    both = {
        *texts.split(),
        "id",
        "created_at",
        "updated_at",
        "reference",
        "reference_origin",
        "processed_count",
    }
    assert set(query.SORTABLE) == both
    assert set(query.FILTERABLE) == both | {"errors_log", "metadata"}
    assert len(query.ATTRIBUTES) == 22
    assert set(query.ATTRIBUTES) == set(golden("seed_retrieve")["data"]["attributes"])


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", (("created_at", True),)),
        ("sort=-started_at", (("started_at", True),)),
        ("sort=reference,-completed_at", (("reference", False), ("completed_at", True))),
        (
            "sort=-records_count,processed_count,resource_type",
            (("matched", True), ("processed", False), ("resource", False)),
        ),
    ],
)
def test_lists_are_sorted_as_asked_and_the_newest_first_by_default(text: str, order: Any) -> None:
    assert listed(text).order == order


def test_links_keep_what_else_was_asked_for() -> None:
    asked = listed(
        "page[number]=2&sort=-created_at&filter[q][status_in]=pending,completed&page[size]=5&fields[exports]=status"
    )
    links = render.page([], 12, asked, SETTING)["links"]
    assert set(links) == {"first", "prev", "next", "last"}
    for name, number in {"first": 1, "prev": 1, "next": 3, "last": 3}.items():
        parts = urlsplit(links[name])
        assert (
            f"{parts.scheme}://{parts.netloc}{parts.path}"
            == "https://yourdomain.commercelayer.io/api/exports"
        )
        assert parse_qsl(parts.query) == [
            ("sort", "-created_at"),
            ("filter[q][status_in]", "pending,completed"),
            ("fields[exports]", "status"),
            ("page[number]", str(number)),
            ("page[size]", "5"),
        ]


def test_a_sparse_fieldset_shows_what_it_names_and_nothing_else() -> None:
    shape = query.shape([("fields[exports]", "status,reference")])
    shown = render.resource(EXPORT, ATTACHED, SETTING, shape)
    assert shown["attributes"] == {"status": "in_progress", "reference": "ANY-EXTERNAL-REFEFERNCE"}
    assert set(shown) == {"id", "type", "links", "attributes", "meta"}
    shown = render.resource(EXPORT, ATTACHED, SETTING, query.shape([("fields[exports]", "events")]))
    assert (shown["attributes"], list(shown["relationships"])) == ({}, ["events"])


def test_a_relationship_has_data_only_when_it_is_included() -> None:
    event = Event(7, "vKzxQhLmRd", "XAyRWNUzyN", "created", NOON, "someone", {}, EXPORT.tenant)
    whole = render.resource(EXPORT, ATTACHED, SETTING)
    assert all("data" not in one for one in whole["relationships"].values())
    assert history.resource("events", event, SETTING) == golden("included_event")
    named = query.shape([("include", "events"), ("fields[events]", "name"), ("fields[exports]", "status")])
    assert history.resource("events", event, SETTING, named)["attributes"] == {"name": "exports.create"}


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    """Of a service whose workers sleep: exports stay as they are."""
    place = shop(tmp_path_factory.mktemp("lists"))
    with closing(sqlite3.connect(place / "shop.db")) as source:
        source.executescript("INSERT INTO countries VALUES (1, 'Elsewhere')")
    asleep = of_shop(place)
    with asleep.ledger, served(asleep) as client:
        asleep.ledger.migrate()
        yield Asker(asleep, client)


@pytest.fixture(scope="module")
def made(asker: Asker) -> list[str]:
    """Three exports: of orders, of companies and interrupted, of countries."""
    ids = [
        asker.ask(resource_type=name, reference=f"GROUP-{n}", metadata={"n": n}).json()["data"]["id"]
        for n, name in enumerate(("orders", "companies", "countries"))
    ]
    asker.change(ids[1], _interrupt=True)
    return ids


def found(asker: Asker, text: str) -> list[str]:
    answer = asker.call("GET", f"/exports?{text}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["meta"]["record_count"] == len(answer.json()["data"])
    return [one["id"] for one in answer.json()["data"]]


CLIENTS: dict[str, list[int]] = {
    "sort=-started_at&page[size]=25&filter[q][resource_type_eq]=companies&filter[q][status_eq]=interrupted": [
        1
    ],
    "sort=reference,-completed_at&filter[q][reference_start]=GROUP-": [0, 1, 2],
    "sort=-created_at&page[size]=25&filter[q][status_in]=pending,in_progress&filter[q][created_at_gteq]=2020-01-01": [
        2,
        0,
    ],
    "sort=-created_at&filter[q][resource_type_cont]=o&filter[q][created_at_lteq]=2999-01-01T00:00:00Z": [
        2,
        1,
        0,
    ],
    "filter%5Bq%5D%5Bmetadata_jcont%5D=%7B%22n%22%3A1%7D": [1],
    "filter[q][reference_or_resource_type_eq]=orders": [0],
    "filter[q][reference_and_status_cont]=zzz": [],
    'sort=id&filter[q][status_not_in]=["pending"]': [1],
    "filter[q][events_name_eq]=exports.interrupt": [1],
    "filter[q][attachment_url_null]=true&sort=created_at": [0, 1, 2],
    "filter[q][errors_log_present]=true": [],
}


@pytest.mark.parametrize("text", CLIENTS)
def test_what_clients_ask_of_lists_is_answered(asker: Asker, made: list[str], text: str) -> None:
    assert found(asker, text) == [made[number] for number in CLIENTS[text]]


def test_an_included_event_stands_beside_the_data(asker: Asker, made: list[str]) -> None:
    whole = asker.call("GET", "/exports?include=events&fields[exports]=status").json()
    alone = asker.call("GET", f"/exports/{made[1]}?include=events").json()
    assert [one["attributes"]["name"] for one in alone["included"]] == ["exports.create", "exports.interrupt"]
    linked = [one for each in whole["data"] for one in each["relationships"]["events"]["data"]]
    assert linked == [{"type": one["type"], "id": one["id"]} for one in whole["included"]]
    assert len(linked) == 4
    assert all(each["attributes"].keys() == {"status"} for each in whole["data"])


REFUSED = golden("list_errors")
CHOICES = {
    "filter[q][prise_eq]=1": ("prise", "resource_type", "processed_count"),
    "filter[q][status_is]=pending": ("'is'", "eq_or_null", "does_not_match"),
    "filter[q][records_count_start]=1": ("integer", "gteq", "not_in_or_null"),
    "filter[q][records_count_gt]=many": ("bigint", "42"),
    "filter[q][metadata_jcont]=x": ("JSON object",),
    "sort=-prise": ("processed_count", "attachment_url"),
    "fields[exports]=status,prise": ("records_count", "event_stores"),
    "include=prices": ("events",),
    "page[size]=99": ("25",),
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_wrong_query_is_refused_as_in_the_contract_with_the_valid_choices(asker: Asker, text: str) -> None:
    answer = asker.call("GET", f"/exports?{text}")
    (error,) = answer.json()["errors"]
    expected = REFUSED[text]
    assert answer.status_code == 400
    assert error["detail"].startswith(expected["detail"])
    assert all(choice in error["detail"] for choice in CHOICES.get(text, ()))
    assert {**error, "detail": ""} == {**expected, "detail": ""}


@pytest.mark.parametrize("predicate", OPS)
def test_a_predicate_that_does_not_fit_is_refused_at_creation_with_those_that_do(
    asker: Asker, predicate: str
) -> None:
    """`id` is an integer, `note` a text: the predicate does not go with it, or not with the value."""
    name = f"{'note' if predicate in {'true', 'false', 'jcont'} else 'id'}_{predicate}"
    answer = asker.ask(resource_type="orders", filters={name: "x"})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"], error["status"]) == (422, "VALIDATION_ERROR", "422")
    assert error["source"] == {"pointer": f"/data/attributes/filters/{name}"}
    assert error["detail"].startswith(f"filters.{name} - ")
    assert error["meta"]["error"] in {"inclusion", "invalid"}
    assert error["meta"]["value"] in {predicate, "x"}
    if error["meta"]["error"] == "inclusion":
        fitting = Type.TEXT if name.startswith("note") else Type.INTEGER
        assert all(f" {one}" in error["detail"] for one in OPS if fitting in OPS[one].types)


@pytest.mark.parametrize(
    ("text", "parameter"),
    [("filter[q][status_eq]=a&filter[q][status_eq]=b", "filter[q][status_eq]"), ("sort=id&sort=id", "sort")],
)
def test_a_parameter_that_is_given_twice_is_refused(asker: Asker, text: str, parameter: str) -> None:
    (error,) = asker.call("GET", f"/exports?{text}").json()["errors"]
    assert (error["code"], error["source"]) == ("PARAM_NOT_ALLOWED", {"parameter": parameter})


def test_guess_the_default_order_is_the_newest_first(asker: Asker, made: list[str]) -> None:
    assert found(asker, "page[size]=25") == made[::-1]


def test_guess_a_page_of_more_than_25_is_refused_and_not_cut(asker: Asker) -> None:
    assert asker.call("GET", "/exports?page[size]=26").status_code == 400


def test_guess_an_empty_list_has_one_page(asker: Asker, made: list[str]) -> None:
    assert made
    shown = asker.call("GET", "/exports?filter[q][id_eq]=nobody").json()
    assert shown["meta"] == {"record_count": 0, "page_count": 1}


def test_guess_a_status_that_is_none_finds_nothing(asker: Asker, made: list[str]) -> None:
    assert made
    assert found(asker, "filter[q][status_eq]=paused") == []


def test_guess_an_errors_log_with_nothing_in_it_is_null_to_filters(asker: Asker, made: list[str]) -> None:
    assert found(asker, "filter[q][errors_log_null]=true&sort=created_at") == made
    assert found(asker, "filter[q][metadata_null]=false&sort=created_at") == made


def test_guess_and_joins_are_served(asker: Asker, made: list[str]) -> None:
    assert found(asker, "filter[q][reference_and_id_not_null]=true&sort=created_at") == made


def test_a_client_may_send_a_content_type_where_there_is_no_body(asker: Asker, made: list[str]) -> None:
    assert asker.call("GET", f"/exports/{made[0]}/").status_code == 200
    gone = asker.ask(resource_type="orders").json()["data"]["id"]
    answer: httpx.Response = asker.call("DELETE", f"/exports/{gone}")
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_late_export_is_shown_with_its_new_status_at_once(asker: Asker, made: list[str]) -> None:
    assert asker.change(made[1], _start=True).json()["data"]["attributes"]["status"] == "pending"
    attributes = asker.change(made[1], _interrupt=True).json()["data"]["attributes"]
    assert attributes["status"] == "interrupted"
    assert not {"_start", "_interrupt"} & set(attributes)
    assert replace(EXPORT, status=Status.INTERRUPTED).percentage == 90.0
