"""How much is included with an answer, and how many questions it takes: bounds, however large a ledger has grown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from outhaul.app import Outhaul
from outhaul.dialects.commercelayer import included, query
from outhaul.export import Sight
from outhaul.ledger import Ledger
from outhaul.ledger.callbacks import record
from outhaul.ledger.tables import callbacks, metadata
from tests import drafts
from tests.served import Asker
from tests.wire.test_callbacks import House, created, hook, housed, number


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with housed(tmp_path) as found:
        yield found


def asked_of(outhaul: Outhaul, call: Callable[[], httpx.Response]) -> tuple[httpx.Response, int]:
    """An answer, and how many statements it has taken."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sa.event.listen(outhaul.ledger._reader, "before_cursor_execute", note)
    try:
        return call(), len(statements)
    finally:
        sa.event.remove(outhaul.ledger._reader, "before_cursor_execute", note)


def crowd(house: House, asker: Asker, hooks: int, tries: int) -> list[str]:
    """Webhooks that were told of two events again and again; their ids."""
    event = [number(house, created(asker)) for _ in range(2)]
    made = [hook(asker, house.receiver.url) for _ in range(hooks)]
    rows = [
        {"webhook": one, "event": event[n % 2], "url": house.receiver.url, "status": 200}
        for one in made
        for n in range(tries)
    ]
    with house.outhaul.ledger._write() as write:
        write.execute(callbacks.insert(), rows)
    return made


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        (
            "/events?include=webhooks.last_event_callbacks.event_stores",
            {"webhooks": 4, "event_callbacks": 24, "event_stores": 2},
        ),
        (
            "/exports?include=events.last_event_callbacks.webhook",
            {"events": 2, "webhooks": 4, "event_callbacks": 24},
        ),
        ("/event_callbacks?include=event_stores,webhook&page[size]=25", {"webhooks": 4, "event_stores": 2}),
        ("/webhooks?include=versions.event_stores,event_stores", {"versions": 4, "event_stores": 4}),
    ],
)
def test_what_is_included_is_asked_for_once_a_level_however_much_it_is(
    house: House, path: str, kinds: dict[str, int]
) -> None:
    asker = house.asker(tenant="1")
    crowd(house, asker, 2, 2)
    _, few = asked_of(house.outhaul, lambda: asker.call("GET", path))
    other = house.asker(tenant="2")
    crowd(house, other, 4, 6)
    answer, many = asked_of(house.outhaul, lambda: other.call("GET", path))
    assert answer.status_code == 200, answer.text
    assert Counter(one["type"] for one in answer.json()["included"]) == kinds
    assert many == few


def test_more_than_an_answer_can_hold_is_refused_in_words(house: House) -> None:
    asker = house.asker(tenant="1")
    crowd(house, asker, 26, 100)
    whole = asker.call("GET", "/events?include=webhooks.last_event_callbacks")
    assert whole.status_code == 400
    (error,) = whole.json()["errors"]
    assert (error["code"], error["source"]) == ("INVALID_INCLUDE", {"parameter": "include"})
    assert "2,500" in error["detail"]
    part = asker.call("GET", "/webhooks?include=last_event_callbacks&page[size]=25")
    assert part.status_code == 200
    assert len(part.json()["included"]) == 2_500
    event = asker.call("GET", "/events?include=last_event_callbacks").json()
    assert {len(one["relationships"]["last_event_callbacks"]["data"]) for one in event["data"]} == {100}


def test_the_newest_of_each_are_told_on_every_ledger(ledger: Ledger) -> None:
    made = [drafts.create(ledger).id for _ in range(2)]
    for n in range(103):
        ledger.amend(made[0], reference=str(n))
    told = ledger.events_of(made, ("amended", "created"))
    assert [one.data["changed"]["reference"][1] for one in told[made[0]]] == [str(n) for n in range(3, 103)]
    assert [one.name for one in told[made[1]]] == ["created"]
    row = {"event": "created", "url": "http://example.com/", "dialect": "commercelayer", "name": None}
    own = {"tenant": "acme", "maker": "key-1", "salt": "", "key": "", "include": []}
    hooks = [ledger.insert_webhook({**row, **own}, disabled=False).id for _ in range(2)]
    with ledger._write() as write:
        for webhook, event in ((0, 7), (1, 7), (0, 8), (0, 7), (1, 9)):
            record(write, hooks[webhook], event, "http://example.com/", 200, None)

    def last(of: str, ids: list[Any], each: int = 2, most: int = 9, tenant: str | None = "acme") -> list[Any]:
        return [(one.webhook, one.event) for one in ledger.last_callbacks(tenant, of, ids, each, most)]

    assert last("webhook", hooks) == [(hooks[1], 9), (hooks[0], 7), (hooks[0], 8), (hooks[1], 7)]
    assert last("event", [7, 8]) == [(hooks[0], 7), (hooks[0], 8), (hooks[1], 7)]
    assert last("event", [7, 8], most=1, tenant=None) == [(hooks[0], 7)]
    assert last("event", [7], tenant="other") == []
    everybody = ledger.insert_webhook({**row, **own, "tenant": None}, disabled=False).id
    with ledger._write() as write:
        for _ in range(3):
            record(write, everybody, 8, "http://example.com/", 200, None)
    assert last("event", [8]) == [(hooks[0], 8)]
    assert last("event", [8], tenant=None) == [(everybody, 8)] * 2


def test_an_event_is_noted_by_whoever_sees_it_on_every_ledger(ledger: Ledger) -> None:
    (event,) = ledger.events(drafts.create(ledger).id)
    noted = {"reference": "r", "metadata": {"a": 1}}
    for sight in (Sight("other"), Sight("acme", ("companies",))):
        assert ledger.amend_event(sight, ("created",), event.public, noted) is None
    assert ledger.amend_event(Sight("acme"), ("failed",), event.public, noted) is None
    assert ledger.events(event.export) == (event,)
    found = ledger.amend_event(Sight("acme", ("orders",)), ("created",), event.public, noted)
    assert found
    assert (found.reference, found.reference_origin, found.metadata) == ("r", None, {"a": 1})
    assert found.updated_at
    assert found.updated_at >= found.at == event.at
    assert ledger.events(event.export) == (found,)


def kept(house: House) -> dict[str, list[Any]]:
    """All that the ledger keeps but who has asked."""
    with house.outhaul.ledger._read() as read:
        return {
            table.name: [tuple(row) for row in read.execute(sa.select(table))]
            for table in metadata.sorted_tables
            if table.name not in {"tokens", "rates"}
        }


QUERIES = (
    "include=nothing",
    "include=event_stores&include=event_stores",
    "fields[exports]=nothing&fields[webhooks]=nothing&fields[events]=nothing",
    "colour=red",
    "page[size]=1",
)
FURTHER = {
    "exports": "events.webhooks",
    "webhooks": "last_event_callbacks.event_stores",
    "events": "webhooks.last_event_callbacks",
}
BODIES: dict[str, tuple[dict[str, Any], ...]] = {
    "exports": (
        {"_interrupt": True, "reference": 7},
        {"_interrupt": True, "status": "completed"},
        {"_interrupt": True, "metadata": {"a": "\0"}},
        {"_start": True, "reference": "x"},
        {"_start": True, "_interrupt": True, "reference": "x"},
    ),
    "webhooks": (
        {"name": "x", "callback_url": "http://10.0.0.1/"},
        {"_disable": True, "topic": "nothing"},
        {"_disable": True, "_enable": True, "name": "x"},
        {"_reset_circuit": True, "include_resources": ["orders"]},
    ),
    "events": ({"_trigger": True, "name": "exports.fail"}, {"_trigger": "yes"}),
}


@pytest.mark.parametrize("kind", BODIES)
def test_what_is_refused_changes_nothing_however_much_of_it_was_right(house: House, kind: str) -> None:
    asker = house.asker(tenant="1")
    webhook, event = hook(asker, house.receiver.url), created(asker)
    (export,) = (one["id"] for one in asker.call("GET", "/exports").json()["data"])
    known = {"exports": export, "webhooks": webhook, "events": event}[kind]
    right: dict[str, dict[str, Any]] = {
        "exports": {"_interrupt": True, "reference": "x"},
        "webhooks": {"_disable": True, "name": "x"},
        "events": {"_trigger": True},
    }
    made = {"resource_type": "orders", "topic": "exports.fail", "callback_url": house.receiver.url}
    new = {name: made[name] for name in query.FIELDS[kind] if name in made}
    before = kept(house)

    def refused(method: str, path: str, attributes: dict[str, Any]) -> None:
        body = {"data": {"type": kind, "attributes": attributes}}
        answer = asker.call(method, path, content=json.dumps(body))
        assert answer.status_code in {400, 422}, (method, path, answer.text)
        assert kept(house) == before, (method, path, attributes)

    for asked in (*QUERIES, f"include={FURTHER[kind]}"):
        refused("PATCH", f"/{kind}/{known}?{asked}", right[kind])
        if kind != "events":
            refused("POST", f"/{kind}?{asked}", new)
            refused("DELETE", f"/{kind}/{known}?{asked}", {})
    for attributes in BODIES[kind]:
        refused("PATCH", f"/{kind}/{known}", attributes)


def test_a_change_includes_what_is_next_to_it_and_that_is_never_too_much(house: House) -> None:
    asker = house.asker(tenant="1")
    crowd(house, asker, 26, 100)
    for kind, names in query.NEAR.items():
        assert len(names) * included.MOST <= included.LIMIT
        if kind not in {"exports", "webhooks", "events"}:
            continue
        one = asker.call("GET", f"/{kind}").json()["data"][0]["id"]
        body = {"data": {"type": kind, "attributes": {}}}
        answer = asker.call("PATCH", f"/{kind}/{one}?include={','.join(names)}", json=body)
        assert answer.status_code == 200, answer.text
        assert {each["type"] for each in answer.json()["included"]} <= {*query.RELATED[kind].values()}
