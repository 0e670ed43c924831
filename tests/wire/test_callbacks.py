"""What became of telling webhooks: event callbacks, the ways from an event to them and back, and `_trigger`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from outhaul import app
from outhaul.app import Outhaul
from outhaul.dialects.commercelayer import callbacks, render
from outhaul.export import ALL, Stretch
from outhaul.ledger.callbacks import KEPT, LARGEST, record
from outhaul.service import Callback
from tests.receiver import Receiver, receiving
from tests.served import Asker, of_shop, served, shop

GOLDEN = Path(__file__).parent / "commercelayer"
SETTING = render.Setting(
    "https://yourdomain.commercelayer.io/api",
    "69abaa3545913c78132e5578bd26208d44aa9043647d78698fd0021f3958cd74",
)
NOON = datetime(2018, 1, 1, 12, tzinfo=UTC)


def test_a_callback_looks_as_in_the_contract() -> None:
    sent = '{"data":{"id":"XAyRWNUzyN","type":"exports"}}'
    about = ("https://example.com/hooks", 500, "status 500", NOON, "xRRkjDFafe", sent)
    one = Callback(7, "nPwTbYcGsE", "XAyRWNUzyN", 7, *about)
    assert callbacks.callback(one, SETTING) == json.loads((GOLDEN / "event_callback.json").read_text())


class House:
    """A service that never runs anything but what its webhooks are to be told, on request."""

    def __init__(self, outhaul: Outhaul, http: httpx.Client, receiver: Receiver) -> None:
        self.outhaul, self.http, self.receiver = outhaul, http, receiver
        self.courier = app.courier(outhaul, str(http.base_url))

    def asker(self, **granted: Any) -> Asker:
        return Asker(self.outhaul, self.http, **granted)

    def sent(self) -> list[dict[str, str]]:
        """The headers of what is sent now."""
        before = len(self.receiver.got)
        while self.courier.step():
            pass
        return [headers for headers, _ in self.receiver.got[before:]]


@contextmanager
def housed(folder: Path) -> Iterator[House]:
    with receiving() as receiver:
        asleep = of_shop(shop(folder), webhook_networks="127.0.0.1")
        with asleep.ledger as ledger:
            ledger.migrate()
            with served(asleep) as http:
                yield House(asleep, http, receiver)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with housed(tmp_path) as found:
        yield found


def hook(asker: Asker, url: str, topic: str = "exports.create") -> str:
    attributes = {"topic": topic, "callback_url": url}
    made = asker.call("POST", "/webhooks", json={"data": {"type": "webhooks", "attributes": attributes}})
    assert made.status_code == 201, made.text
    webhook_id: str = made.json()["data"]["id"]
    return webhook_id


def listed(asker: Asker, path: str) -> list[Any]:
    answer = asker.call("GET", path)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return data if isinstance(data, list) else [data]


def trigger(asker: Asker, event: str, **attributes: Any) -> httpx.Response:
    body = {"data": {"type": "events", "id": event, "attributes": attributes or {"_trigger": True}}}
    answer: httpx.Response = asker.call("PATCH", f"/events/{event}", json=body)
    return answer


def created(asker: Asker) -> str:
    """The id of the event that tells of a new export."""
    export = asker.ask(resource_type="orders").json()["data"]["id"]
    (event,) = listed(asker, f"/exports/{export}/events")
    found: str = event["id"]
    return found


def number(house: House, event: str) -> int:
    """By which the ledger knows the event that tells of a new export."""
    found = house.outhaul.ledger.told_once(ALL, ("created",), event)
    assert found
    return found.id


def test_each_try_is_kept_with_its_answer_and_found_from_all_sides(house: House) -> None:
    asker = house.asker(tenant="1")
    taken, away = hook(asker, house.receiver.url), hook(asker, "http://127.0.0.1:9/")
    hook(asker, house.receiver.url, "exports.fail")
    event = created(asker)
    assert len(house.sent()) == 1
    house.receiver.status = 503
    other = created(asker)
    house.sent()
    told = {
        (
            one["attributes"]["callback_url"],
            one["attributes"]["response_code"],
            one["attributes"]["response_message"],
        )
        for one in listed(asker, "/event_callbacks?sort=id")
    }
    assert told == {
        (house.receiver.url, "200", None),
        ("http://127.0.0.1:9/", None, "ConnectionRefusedError"),
        (house.receiver.url, "503", "status 503"),
    }
    tries = listed(asker, f"/events/{event}/last_event_callbacks?sort=response_code")
    assert [one["attributes"]["response_code"] for one in tries] == ["200", None]
    assert listed(asker, f"/events/{event}/relationships/last_event_callbacks?sort=response_code") == [
        {"type": "event_callbacks", "id": one["id"]} for one in tries
    ]
    assert {one["id"] for one in listed(asker, f"/events/{event}/webhooks")} == {taken, away}
    assert {one["id"] for one in listed(asker, f"/events/{event}/relationships/webhooks")} == {taken, away}
    first = tries[0]["id"]
    assert listed(asker, f"/event_callbacks/{first}")[0]["attributes"] == tries[0]["attributes"]
    assert listed(asker, f"/event_callbacks/{first}/webhook")[0]["id"] == taken
    assert listed(asker, f"/event_callbacks/{first}/relationships/webhook") == [
        {"type": "webhooks", "id": taken}
    ]
    assert len(listed(asker, f"/webhooks/{away}/last_event_callbacks")) == 2, "one for each event"
    failed = listed(asker, f"/webhooks/{taken}/last_event_callbacks?filter[q][response_code_not_eq]=200")
    later = listed(asker, f"/events/{other}/last_event_callbacks?filter[q][response_code_eq]=503")
    assert [one["id"] for one in failed] == [one["id"] for one in later]
    assert len(listed(asker, "/event_callbacks?filter[q][response_message_null]=true")) == 1


@pytest.mark.parametrize("kind", ["events", "versions", "event_callbacks"])
def test_the_event_store_of_each_says_the_same(house: House, kind: str) -> None:
    asker = house.asker(tenant="1")
    hook(asker, house.receiver.url)
    event = created(asker)
    house.sent()
    one = listed(asker, f"/{kind}")[0]["id"]
    (store,) = listed(asker, f"/{kind}/{one}/event_stores")
    assert store["id"].endswith(f"-{event}")
    assert store["attributes"]["event"] == "create"
    assert listed(asker, f"/{kind}/{one}/relationships/event_stores") == [
        {"type": "event_stores", "id": store["id"]}
    ]
    assert listed(asker, f"/{kind}/{one}/event_stores?page[after]={store['id']}") == []


def test_a_failure_and_an_interruption_are_told_as_the_export_then_is(house: House) -> None:
    asker = house.asker(tenant="1")
    for topic in ("exports.fail", "exports.interrupt"):
        hook(asker, f"{house.receiver.url}/{topic}", topic)
    failed, stopped = (asker.ask(resource_type="orders").json()["data"]["id"] for _ in range(2))
    house.outhaul.ledger.refuse(failed, {"error": "SourceTimeout", "message": "query timeout", "hint": ""})
    assert asker.change(stopped, _interrupt=True).status_code == 200
    told = house.sent()
    assert [one["path"] for one in told] == ["/exports.fail", "/exports.interrupt"]
    assert [one["X-CommerceLayer-Topic"] for one in told] == ["exports.fail", "exports.interrupt"]
    bodies = [json.loads(body)["data"] for _, body in house.receiver.got]
    assert [(one["id"], one["attributes"]["status"], one["attributes"]["errors_log"]) for one in bodies] == [
        (failed, "failed", {"SourceTimeout": "query timeout"}),
        (stopped, "interrupted", {}),
    ]


def test_a_triggered_event_is_told_once_more_to_whoever_wants_it_now(house: House) -> None:
    asker = house.asker(tenant="1")
    hook(asker, f"{house.receiver.url}/first")
    event = created(asker)
    assert [one["path"] for one in house.sent()] == ["/first"]
    hook(asker, f"{house.receiver.url}/later")
    hook(house.asker(tenant="2"), f"{house.receiver.url}/others")
    hook(house.asker(), f"{house.receiver.url}/operator")
    hook(asker, f"{house.receiver.url}/fail", "exports.fail")
    answer = trigger(asker, event)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["attributes"]["name"] == "exports.create"
    assert trigger(asker, event).status_code == 200, "twice is once, until it was sent"
    told = house.sent()
    assert sorted(one["path"] for one in told) == ["/first", "/later"], "the operator is told by nobody else"
    assert {one["X-Outhaul-Event"] for one in told} == {event}
    assert trigger(house.asker(), event).status_code == 200
    assert sorted(one["path"] for one in house.sent()) == ["/first", "/later", "/operator"]
    assert trigger(asker, event, _trigger=False).status_code == 200
    assert house.sent() == []


def test_a_triggered_event_ends_the_pause_of_what_was_missed(house: House) -> None:
    asker = house.asker(tenant="1")
    hook(asker, house.receiver.url)
    event = created(asker)
    house.receiver.status = 500
    assert len(house.sent()) == 1
    assert house.sent() == [], "it waits before it is tried again"
    house.receiver.status = 200
    trigger(asker, event)
    assert len(house.sent()) == 1
    assert house.sent() == []


def test_who_may_not_reach_webhooks_triggers_nothing_and_sees_no_tries(house: House) -> None:
    asker = house.asker(tenant="1")
    taken = hook(asker, house.receiver.url)
    event = created(asker)
    house.sent()
    (one,) = listed(asker, "/event_callbacks")
    paths = (
        f"/event_callbacks/{one['id']}",
        f"/webhooks/{taken}/last_event_callbacks",
        f"/events/{event}/webhooks",
    )
    other = house.asker(tenant="2")
    assert listed(other, "/event_callbacks") == []
    assert {other.call("GET", path).status_code for path in paths} == {404}
    assert trigger(other, event).status_code == 404
    reader = house.asker(tenant="1", read_only=True)
    assert {reader.call("GET", path).status_code for path in paths} == {200}
    assert trigger(reader, event).status_code == 401
    limited = house.asker(tenant="1", resources=("companies", "orders"))
    assert {limited.call("GET", path).status_code for path in (*paths, "/event_callbacks")} == {401}
    assert trigger(limited, event).status_code == 401
    assert house.sent() == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("PATCH", "/events/0", 404, "RECORD_NOT_FOUND"),
        ("GET", "/events/0/webhooks", 404, "RECORD_NOT_FOUND"),
        ("GET", "/event_callbacks/0", 404, "RECORD_NOT_FOUND"),
        ("GET", "/event_callbacks/007", 404, "RECORD_NOT_FOUND"),
        ("GET", "/event_callbacks/x/webhook", 404, "RECORD_NOT_FOUND"),
        ("GET", "/webhooks/nothing/last_event_callbacks", 404, "RECORD_NOT_FOUND"),
        ("GET", "/event_callbacks?sort=payload", 400, "INVALID_SORT_CRITERIA"),
        ("GET", "/event_callbacks?filter[q][payload_eq]=1", 400, "FILTER_NOT_ALLOWED"),
        ("DELETE", "/event_callbacks/1", 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_what_is_asked_wrongly_is_refused(
    house: House, method: str, path: str, status: int, code: str
) -> None:
    body = (
        {"data": {"type": "events", "id": "0", "attributes": {"_trigger": True}}}
        if method == "PATCH"
        else None
    )
    answer = house.asker(tenant="1").call(method, path, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


def test_what_an_event_is_called_stays(house: House) -> None:
    answer = trigger(house.asker(tenant="1"), "1", name="exports.fail")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "PARAM_NOT_ALLOWED")


def test_the_last_tries_of_each_webhook_are_kept_and_no_more(house: House) -> None:
    asker, one = house.asker(tenant="1"), Stretch(callbacks.LENSES["event_callbacks"], 1)
    taken, other = hook(asker, house.receiver.url), hook(asker, house.receiver.url)
    event, ledger = number(house, created(asker)), house.outhaul.ledger
    with ledger._write() as write:
        for webhook, tries in ((taken, KEPT + 7), (other, 3)):
            for _ in range(tries):
                record(write, webhook, event, "http://example.com/", 200, None)
    assert ledger.list_callbacks("1", taken, None, one)[1] == KEPT
    assert ledger.list_callbacks("1", other, None, one)[1] == 3
    asker.call("DELETE", f"/webhooks/{other}")
    assert ledger.list_callbacks("1", None, None, one)[1] == KEPT


def identifiers(found: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(one["type"], one["id"]) for one in found}


def test_dotted_paths_include_everything_on_the_way_once_and_say_where_it_belongs(house: House) -> None:
    asker = house.asker(tenant="1")
    taken, _ = hook(asker, house.receiver.url), hook(asker, house.receiver.url, "exports.fail")
    events = [created(asker), created(asker)]
    house.sent()
    tries = [one["id"] for one in listed(asker, "/event_callbacks?sort=id")]
    paths = "events.webhooks,events.last_event_callbacks.webhook,events.event_stores"
    document = asker.call("GET", f"/exports?include={paths}&sort=created_at").json()
    included = {(one["type"], one["id"]): one for one in document["included"]}
    assert len(included) == len(document["included"]), "each once"
    stores = {key for key in included if key[0] == "event_stores"}
    assert set(included) - stores == {
        *(("events", one) for one in events),
        ("webhooks", taken),
        *(("event_callbacks", one) for one in tries),
    }
    assert len(stores) == 2
    for export, event, one in zip(document["data"], events, tries, strict=True):
        assert identifiers(export["relationships"]["events"]["data"]) == {("events", event)}
        assert "data" not in export["relationships"]["versions"]
        related = included["events", event]["relationships"]
        assert identifiers(related["webhooks"]["data"]) == {("webhooks", taken)}
        assert identifiers(related["last_event_callbacks"]["data"]) == {("event_callbacks", one)}
        assert identifiers(related["event_stores"]["data"]) < stores
        assert included["event_callbacks", one]["relationships"]["webhook"]["data"] == {
            "type": "webhooks",
            "id": taken,
        }
    assert "data" not in included["webhooks", taken]["relationships"]["last_event_callbacks"]


@pytest.mark.parametrize(
    ("path", "include", "kinds"),
    [
        (
            "/events",
            "webhooks.last_event_callbacks.event_stores",
            {"webhooks", "event_callbacks", "event_stores"},
        ),
        ("/events/{event}", "last_event_callbacks", {"event_callbacks"}),
        ("/versions", "event_stores", {"event_stores"}),
        ("/webhooks", "last_event_callbacks.event_stores", {"event_callbacks", "event_stores"}),
        ("/webhooks/{webhook}", "last_event_callbacks", {"event_callbacks"}),
        ("/event_callbacks", "webhook,event_stores", {"webhooks", "event_stores"}),
        ("/events/{event}/last_event_callbacks", "webhook", {"webhooks"}),
        ("/event_callbacks/{callback}/webhook", "last_event_callbacks", {"event_callbacks"}),
    ],
)
def test_every_list_and_every_resource_includes_what_is_related(
    house: House, path: str, include: str, kinds: set[str]
) -> None:
    asker = house.asker(tenant="1")
    webhook = hook(asker, house.receiver.url)
    event = created(asker)
    house.sent()
    callback = listed(asker, "/event_callbacks")[0]["id"]
    placed = path.format(event=event, webhook=webhook, callback=callback)
    answer = asker.call("GET", f"{placed}?include={include}")
    assert answer.status_code == 200, answer.text
    assert {one["type"] for one in answer.json()["included"]} == kinds


def test_sparse_fields_go_with_what_is_included_and_identifiers_include_nothing(house: House) -> None:
    asker = house.asker(tenant="1")
    hook(asker, house.receiver.url)
    event = created(asker)
    answer = asker.call(
        "GET", f"/events/{event}?include=webhooks&fields[webhooks]=topic&fields[events]=name"
    ).json()
    assert answer["data"]["attributes"] == {"name": "exports.create"}
    assert list(answer["data"]["relationships"]) == ["webhooks"]
    assert answer["included"][0]["attributes"] == {"topic": "exports.create"}
    for path in (f"/events/{event}/relationships/webhooks", "/exports/x/relationships/events"):
        refused = asker.call("GET", f"{path}?include=webhooks")
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "INVALID_INCLUDE")


def test_nobody_is_shown_webhooks_by_the_way(house: House) -> None:
    asker = house.asker(tenant="1")
    hook(asker, house.receiver.url)
    created(asker)
    limited = house.asker(tenant="1", resources=("orders",))
    answer = limited.call("GET", "/exports?include=events.webhooks")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, "UNAUTHORIZED")
    other = house.asker(tenant="2").call("GET", "/exports?include=events.webhooks").json()
    assert (other["data"], other["included"]) == ([], [])


def test_what_was_sent_is_kept_with_the_last_ten_tries_unless_it_is_large(house: House) -> None:
    asker = house.asker(tenant="1")
    taken, event = hook(asker, house.receiver.url), number(house, created(asker))
    most = json.dumps({"x": "x" * (LARGEST - 9)})
    assert len(most) == LARGEST
    sent = [*(json.dumps({"n": n}) for n in range(12)), most, most.replace("xxx", "éé", 1)]
    with house.outhaul.ledger._write() as write:
        for one in sent:
            record(write, taken, event, "http://example.com/", 200, None, one)
    shown = [one["attributes"]["payload"] for one in listed(asker, "/event_callbacks?sort=id&page[size]=25")]
    assert shown == [None] * 4 + [{"n": n} for n in range(4, 12)] + [json.loads(most), None]
