"""Commerce Layer's events, versions and event stores against its contract: documents, pages, cursors and sight."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from outhaul.dialects.commercelayer import history, render
from outhaul.export import Status
from outhaul.service import Event
from tests import drafts
from tests.served import Asker, of_shop, served, shop

GOLDEN = Path(__file__).parent / "commercelayer"
SETTING = render.Setting(
    "https://yourdomain.commercelayer.io/api",
    "69abaa3545913c78132e5578bd26208d44aa9043647d78698fd0021f3958cd74",
)
NOON = datetime(2018, 1, 1, 12, tzinfo=UTC)
CHANGED = {"status": ["running", "interrupted"], "reference": [None, "ANY-EXTERNAL-REFERENCE"]}
KINDS = ("events", "versions", "event_stores")


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def told(name: str, who: str = "someone", **data: Any) -> Event:
    return Event(7, "vKzxQhLmRd", "XAyRWNUzyN", name, NOON, who, data, "xRRkjDFafe")


@pytest.mark.parametrize(("kind", "file"), [("event_stores", "event_store"), ("versions", "version")])
def test_a_change_looks_as_in_the_contract(kind: str, file: str) -> None:
    assert history.resource(kind, told("interrupted", changed=CHANGED), SETTING) == golden(file)


def test_who_made_a_change_is_told_as_its_token_says_it() -> None:
    application = {"id": "xYZabcDEFG", "client_id": "c", "kind": "cli", "public": True}
    owner = {"id": "u", "type": "User", "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee"}
    by = {"application": application, "owner": owner}
    change = told("interrupted", "https://auth.example.com/xYZabcDEFG", changed=CHANGED, by=by)
    attributes = history.resource("event_stores", change, SETTING)["attributes"]
    assert attributes["who"] == {"application": application, "owner": owner}


def test_what_looks_the_same_on_the_wire_is_no_change() -> None:
    queued = told("resumed", changed={"status": ["created", "queued"]})
    assert history.resource("versions", queued, SETTING)["attributes"]["changes"] == {}


def test_a_failure_and_an_end_of_retention_change_the_errors() -> None:
    error = {"error": "SourceTimeout", "message": "query timeout", "hint": ""}
    failed = told("failed", "outhaul", errors=[error], changed={"status": ["running", "failed"]})
    attributes = history.resource("event_stores", failed, SETTING)["attributes"]
    assert attributes["who"] == {"worker": {"name": "outhaul"}}
    assert attributes["payload"] == {
        "status": {"from": "in_progress", "to": "failed"},
        "errors_log": {"from": {}, "to": {"SourceTimeout": "query timeout"}},
    }
    expired = told("expired", changed={"status": ["completed", "expired"]})
    changes = history.resource("versions", expired, SETTING)["attributes"]["changes"]
    assert changes == {"errors_log": [{}, render.GONE]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, httpx.Client]]:
    """Of a service that never runs anything."""
    asleep = of_shop(shop(tmp_path_factory.mktemp("history")))
    with asleep.ledger as ledger:
        ledger.migrate()
        with served(asleep) as client:
            yield asleep, client


@pytest.fixture(scope="module")
def asker(client: tuple[Any, httpx.Client]) -> Asker:
    return Asker(*client, tenant="1")


@pytest.fixture(scope="module")
def export_id(asker: Asker) -> str:
    """Of an export that was created, amended, interrupted and started again, after two others."""
    for _ in range(2):
        asker.ask(resource_type="orders")
    made: str = asker.ask(resource_type="orders", reference="a").json()["data"]["id"]
    asker.change(made, reference="b", metadata={"n": 1})
    asker.change(made, _interrupt=True)
    asker.change(made, _start=True)
    return made


def stores(asker: Asker, path: str) -> list[dict[str, Any]]:
    answer = asker.call("GET", path)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_every_change_is_told_with_who_made_it(asker: Asker, export_id: str) -> None:
    found = [one["attributes"] for one in stores(asker, f"/exports/{export_id}/event_stores")]
    assert [(one["event"], one["payload"]) for one in found] == [
        ("update", {"status": {"from": "interrupted", "to": "pending"}}),
        ("update", {"status": {"from": "pending", "to": "interrupted"}}),
        ("update", {"metadata": {"from": {}, "to": {"n": 1}}, "reference": {"from": "a", "to": "b"}}),
        (
            "create",
            {
                "resource_type": {"from": None, "to": "orders"},
                "format": {"from": None, "to": "json"},
                "status": {"from": None, "to": "pending"},
                "reference": {"from": None, "to": "a"},
            },
        ),
    ]
    assert {one["who"]["application"]["id"] for one in found} == {asker.kept.id}
    assert {one["resource_id"] for one in found} == {export_id}
    changes = [one["attributes"]["changes"] for one in stores(asker, f"/exports/{export_id}/versions")]
    assert changes[1] == {"status": ["pending", "interrupted"]}
    names = [one["attributes"]["name"] for one in stores(asker, f"/exports/{export_id}/events")]
    assert names == ["exports.interrupt", "exports.create"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_relationship_lists_identifiers_and_each_can_be_retrieved(
    asker: Asker, export_id: str, kind: str
) -> None:
    whole = stores(asker, f"/exports/{export_id}/{kind}")
    assert stores(asker, f"/exports/{export_id}/relationships/{kind}") == [
        {"type": kind, "id": one["id"]} for one in whole
    ]
    for one in whole:
        alone = asker.call("GET", f"/{kind}/{one['id']}").json()["data"]
        assert alone["meta"].pop("trace_id") != one["meta"].pop("trace_id")
        assert alone == one
    included = asker.call("GET", f"/exports/{export_id}?include={kind}").json()
    assert {one["id"] for one in included["included"]} == {one["id"] for one in whole}
    assert included["data"]["relationships"][kind]["data"] == [
        {"type": kind, "id": one["id"]} for one in included["included"]
    ]


def test_all_three_are_included_at_once(asker: Asker, export_id: str) -> None:
    shown = asker.call("GET", f"/exports/{export_id}?include=event_stores,events,versions").json()
    assert [one["type"] for one in shown["included"]] == ["event_stores"] * 4 + ["events"] * 2 + [
        "versions"
    ] * 4


@pytest.mark.parametrize("path", ["/event_stores", "/exports/{}/event_stores"])
def test_a_cursor_leads_through_all_event_stores_once(asker: Asker, export_id: str, path: str) -> None:
    path = path.format(export_id)
    every = [one["id"] for one in stores(asker, f"{path}?page[number]=1&page[size]=25")]
    walked: list[str] = []
    at = f"{path}?page[size]=3"
    while at:
        document = asker.call("GET", at).json()
        assert document["meta"] == {}
        assert set(document["links"]) <= {"next"}
        walked += [one["id"] for one in document["data"]]
        following = document["links"].get("next", "")
        assert not following or following.startswith(f"{asker.client.base_url}/api{path}?page[after]=")
        at = following.partition("/api")[2]
    assert walked == every
    assert len(every) == (4 if export_id in path else 6)


def test_events_and_versions_have_numbered_pages(asker: Asker, export_id: str) -> None:
    first = asker.call("GET", "/versions?page[size]=4&page[number]=1").json()
    assert first["meta"] == {"record_count": 6, "page_count": 2}
    base = f"{asker.client.base_url}/api/versions"
    assert first["links"]["next"] == f"{base}?page[number]=2&page[size]=4"
    second = asker.call("GET", "/versions?page[size]=4&page[number]=2").json()
    assert len(first["data"] + second["data"]) == 6
    assert asker.call("GET", "/events?fields[events]=name").json()["data"][0]["attributes"] == {
        "name": "exports.interrupt"
    }


def test_what_happened_is_known_by_ids_that_count_nothing(asker: Asker, export_id: str) -> None:
    for kind, shape in (("events", "{}"), ("versions", "{}"), ("event_stores", "[0-9]{{13}}-{}")):
        known = [one["id"] for one in stores(asker, f"/exports/{export_id}/{kind}")]
        assert known
        assert all(re.fullmatch(shape.format("[A-Za-z]{10}"), one) for one in known), known


def test_events_and_versions_are_filtered_and_sorted(asker: Asker, export_id: str) -> None:
    path = f"/exports/{export_id}/events?filter[q][name_in]=exports.create,exports.fail"
    (made,) = stores(asker, path)
    assert made["attributes"]["name"] == "exports.create"
    both = stores(asker, f"/exports/{export_id}/relationships/events?sort=name")
    assert both[0]["id"] == made["id"]
    changes = f"/versions?filter[q][resource_id_eq]={export_id}&filter[q][event_eq]=update"
    found = [one["attributes"]["created_at"] for one in stores(asker, f"{changes}&sort=id")]
    assert len(found) == 3
    assert found == sorted(found)
    page = asker.call("GET", f"{changes}&page[size]=2").json()
    assert page["meta"] == {"record_count": 3, "page_count": 2}
    assert "filter[q][event_eq]=update" in page["links"]["next"]


@pytest.mark.parametrize("kind", KINDS)
def test_another_organization_sees_nothing_of_it(
    client: tuple[Any, httpx.Client], asker: Asker, export_id: str, kind: str
) -> None:
    (one, *_) = stores(asker, f"/exports/{export_id}/{kind}")
    paths = (
        f"/exports/{export_id}/{kind}",
        f"/exports/{export_id}/relationships/{kind}",
        f"/{kind}/{one['id']}",
    )
    for granted in ({"tenant": "7"}, {"tenant": "1", "resources": ("companies",)}):
        other = Asker(*client, **granted)
        assert stores(other, f"/{kind}") == []
        assert [other.call("GET", path).status_code for path in paths] == [404, 404, 404]
    everywhere = Asker(*client)
    assert [everywhere.call("GET", path).status_code for path in paths] == [200, 200, 200]
    assert asker.client.get(f"/api/{kind}").status_code == 401


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/event_stores?page[after]=x", 400, "INVALID_PAGE_VALUE"),
        ("/event_stores?page[number]=2", 400, "INVALID_PAGE_VALUE"),
        ("/events?page[after]=1-1", 400, "INVALID_PAGE_VALUE"),
        ("/event_stores?sort=created_at", 400, "INVALID_SORT_CRITERIA"),
        ("/event_stores?filter[q][event_eq]=update", 400, "FILTER_NOT_ALLOWED"),
        ("/event_stores?filter[q][id_eq]=1", 400, "FILTER_NOT_ALLOWED"),
        ("/versions?fields[versions]=payload", 400, "INVALID_FIELD"),
        ("/versions?sort=event", 400, "INVALID_SORT_CRITERIA"),
        ("/versions?filter[q][changes_jcont]={}", 400, "FILTER_NOT_ALLOWED"),
        ("/events?sort=metadata", 400, "INVALID_SORT_CRITERIA"),
        ("/events?filter[q][created_at_gt]=soon", 400, "INVALID_FILTER_VALUE"),
        ("/webhooks?sort=shared_secret", 400, "INVALID_SORT_CRITERIA"),
        ("/webhooks?filter[q][shared_secret_eq]=x", 400, "FILTER_NOT_ALLOWED"),
        ("/webhooks?include=events", 400, "INVALID_INCLUDE"),
        ("/exports?include=events.exports", 400, "INVALID_INCLUDE"),
        ("/events?include=webhooks.", 400, "INVALID_INCLUDE"),
        ("/event_stores?include=events", 400, "INVALID_INCLUDE"),
        ("/exports?fields[webhooks]=secret", 400, "INVALID_FIELD"),
        ("/versions/0", 404, "RECORD_NOT_FOUND"),
        ("/versions/x", 404, "RECORD_NOT_FOUND"),
        ("/event_stores/1", 404, "RECORD_NOT_FOUND"),
        ("/exports/nothing/versions", 404, "RECORD_NOT_FOUND"),
    ],
)
def test_what_is_asked_wrongly_is_refused_in_the_words_of_the_contract(
    asker: Asker, path: str, status: int, code: str
) -> None:
    answer = asker.call("GET", path)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


def test_what_happened_is_told_after_the_removal_too(client: tuple[Any, httpx.Client]) -> None:
    asker = Asker(*client, tenant="9")
    made = drafts.create(client[0].ledger, tenant="9")
    assert asker.call("DELETE", f"/exports/{made.id}").status_code == 204
    found = [one["attributes"]["event"] for one in stores(asker, "/event_stores")]
    assert found == ["destroy", "create"]
    assert asker.call("GET", f"/exports/{made.id}/event_stores").status_code == 404


def test_a_move_and_what_comes_with_it_are_one_change(client: tuple[Any, httpx.Client]) -> None:
    asker = Asker(*client, tenant="6")
    made = drafts.create(client[0].ledger, tenant="6", reference="a").id
    stopped = asker.change(made, _interrupt=True, reference="b").json()["data"]["attributes"]
    assert (stopped["status"], stopped["reference"]) == ("interrupted", "b")
    started = asker.change(made, _start=True, reference="b", metadata={"n": 1}).json()["data"]["attributes"]
    assert (started["status"], started["reference"], started["metadata"]) == ("pending", "b", {"n": 1})
    found = [one["attributes"]["payload"] for one in stores(asker, f"/exports/{made}/event_stores")]
    assert found[:2] == [
        {"status": {"from": "interrupted", "to": "pending"}, "metadata": {"from": {}, "to": {"n": 1}}},
        {"status": {"from": "pending", "to": "interrupted"}, "reference": {"from": "a", "to": "b"}},
    ]
    assert len(found) == 3


def test_every_status_that_changes_has_a_word() -> None:
    for status in Status:
        if status is not Status.EXPIRED:
            shown = told("amended", changed={"status": [None, status]})
            word = history.resource("versions", shown, SETTING)["attributes"]["changes"]["status"][1]
            assert word == render.STATUSES[status]


@pytest.mark.parametrize("kind", ["versions", "event_stores"])
def test_of_many_changes_the_newest_are_included(client: tuple[Any, httpx.Client], kind: str) -> None:
    other = Asker(*client, tenant="2")
    made: str = other.ask(resource_type="orders", reference="0").json()["data"]["id"]
    quiet: str = other.ask(resource_type="orders").json()["data"]["id"]
    for n in range(1, 121):
        client[0].ledger.amend(made, reference=str(n))
    found = other.call("GET", f"/exports?include={kind}&sort=created_at").json()
    related = {one["id"]: one["relationships"][kind]["data"] for one in found["data"]}
    assert (len(related[made]), len(related[quiet])) == (100, 1)
    assert len(client[0].ledger.events(made)) == 121
    shown = {one["id"]: one["attributes"] for one in found["included"]}
    told = [
        attributes.get("changes", attributes.get("payload"))["reference"]
        for attributes in (shown[one["id"]] for one in related[made])
    ]
    before_and_after = [list(one.values()) if isinstance(one, dict) else one for one in told]
    assert before_and_after == [[str(n - 1), str(n)] for n in range(21, 121)]
