"""Changes of webhooks as versions and event stores: each with who made it, in the words of the webhook itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outhaul.ledger.events import tell_of_webhook
from outhaul.ledger.outbox import BREAKS
from outhaul.ledger.tables import webhooks
from tests import drafts
from tests.served import Asker
from tests.wire.test_callbacks import House, housed, listed

KINDS = ("versions", "event_stores")
PUBLIC = "http://1.1.1.1/hooks"  # checked, and never called


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with housed(tmp_path) as found:
        yield found


def made(asker: Asker, **attributes: Any) -> str:
    wanted = {"topic": "exports.create", "callback_url": PUBLIC} | attributes
    answer = asker.call("POST", "/webhooks", json={"data": {"type": "webhooks", "attributes": wanted}})
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["data"]["id"]
    return found


def change(asker: Asker, webhook: str, **attributes: Any) -> dict[str, Any]:
    body = {"data": {"type": "webhooks", "id": webhook, "attributes": attributes}}
    answer = asker.call("PATCH", f"/webhooks/{webhook}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]["attributes"]
    return found


def told(asker: Asker, path: str) -> list[tuple[str, dict[str, Any]]]:
    """What each change was and did, newest first."""
    return [
        (one["event"], one["payload"])
        for one in (each["attributes"] for each in listed(asker, path))
        if one["resource_type"] == "webhooks"
    ]


def test_every_change_of_a_webhook_is_told_with_who_made_it(house: House) -> None:
    asker, other = house.asker(tenant="1"), house.asker(tenant="1")
    one = made(asker, name="a", include_resources=["events"], metadata={"n": 1})
    change(other, one, topic="exports.fail", callback_url=f"{PUBLIC}/2", name="a", reference="r")
    disabled = change(asker, one, _disable=True)["disabled_at"]
    change(asker, one, _enable=True, metadata=None)
    assert told(asker, f"/webhooks/{one}/event_stores") == [
        ("update", {"disabled_at": {"from": disabled, "to": None}, "metadata": {"from": {"n": 1}, "to": {}}}),
        ("update", {"disabled_at": {"from": None, "to": disabled}}),
        (
            "update",
            {
                "topic": {"from": "exports.create", "to": "exports.fail"},
                "callback_url": {"from": PUBLIC, "to": f"{PUBLIC}/2"},
                "reference": {"from": None, "to": "r"},
            },
        ),
        (
            "create",
            {
                "topic": {"from": None, "to": "exports.create"},
                "callback_url": {"from": None, "to": PUBLIC},
                "name": {"from": None, "to": "a"},
                "include_resources": {"from": None, "to": ["events"]},
                "metadata": {"from": None, "to": {"n": 1}},
            },
        ),
    ]
    whole = listed(asker, f"/webhooks/{one}/event_stores")
    makers = [each["attributes"]["who"]["application"]["id"] for each in whole]
    assert makers == [asker.kept.id, asker.kept.id, other.kept.id, asker.kept.id]
    assert {each["attributes"]["resource_id"] for each in whole} == {one}
    versions = [each["attributes"]["changes"] for each in listed(asker, f"/webhooks/{one}/versions")]
    assert versions[1] == {"disabled_at": [None, disabled]}


def test_what_changes_nothing_is_no_change_and_secrets_are_in_none(house: House) -> None:
    asker = house.asker(tenant="1")
    one = made(asker, name="a")
    change(asker, one)
    change(asker, one, name="a", _enable=True, _reset_circuit=True)
    assert [event for event, _ in told(asker, f"/webhooks/{one}/event_stores")] == ["create"]
    kept = asker.call("GET", f"/webhooks/{one}/event_stores").text
    with house.outhaul.ledger._read() as read:
        row = read.execute(webhooks.select()).one()
    assert row.salt not in kept
    assert row.key not in kept


def test_a_circuit_that_opens_by_itself_and_is_reset_is_told(house: House) -> None:
    asker = house.asker(tenant="1")
    one = made(asker, callback_url=house.receiver.url)
    house.receiver.status = 500
    for _ in range(BREAKS):
        drafts.create(house.outhaul.ledger, tenant="1")
        house.sent()
    change(asker, one, _reset_circuit=True)
    newest, opened, *_ = listed(asker, f"/webhooks/{one}/event_stores")
    assert newest["attributes"]["payload"] == {
        "circuit_state": {"from": "open", "to": "closed"},
        "circuit_failure_count": {"from": 30, "to": 0},
    }
    assert opened["attributes"]["payload"] == {
        "circuit_state": {"from": "closed", "to": "open"},
        "circuit_failure_count": {"from": 29, "to": 30},
    }
    assert opened["attributes"]["who"] == {"worker": {"name": "outhaul"}}
    assert len(listed(asker, f"/webhooks/{one}/event_stores")) == 3, "a failure alone is told by its callback"


def test_a_deletion_is_told_and_what_came_before_it_stays(house: House) -> None:
    asker = house.asker(tenant="1")
    one = made(asker)
    assert asker.call("DELETE", f"/webhooks/{one}").status_code == 204
    assert [event for event, _ in told(asker, "/event_stores")] == ["destroy", "create"]
    assert listed(asker, f"/versions?filter[q][resource_id_eq]={one}&filter[q][event_eq]=destroy")
    for path in (f"/webhooks/{one}/event_stores", f"/webhooks/{one}/relationships/versions"):
        assert asker.call("GET", path).status_code == 404


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_listed_named_included_and_retrieved_as_those_of_exports_are(
    house: House, kind: str
) -> None:
    asker = house.asker(tenant="1")
    asker.ask(resource_type="orders")
    one, another = made(asker), made(asker)
    change(asker, one, name="b")
    whole = listed(asker, f"/webhooks/{one}/{kind}")
    assert [each["attributes"]["event"] for each in whole] == ["update", "create"]
    known = [{"type": kind, "id": each["id"]} for each in whole]
    assert listed(asker, f"/webhooks/{one}/relationships/{kind}") == known
    for each in whole:
        (alone,) = listed(asker, f"/{kind}/{each['id']}")
        assert alone["attributes"] == each["attributes"]
    document = asker.call("GET", f"/webhooks?include={kind}&sort=created_at").json()
    related = {each["id"]: each["relationships"][kind]["data"] for each in document["data"]}
    assert related[one] == known[::-1]
    assert len(related[another]) == 1
    assert len(document["included"]) == 3
    assert {each["attributes"]["resource_type"] for each in listed(asker, f"/{kind}")} == {
        "exports",
        "webhooks",
    }


def test_versions_are_filtered_by_what_they_tell_of(house: House) -> None:
    asker = house.asker(tenant="1")
    asker.ask(resource_type="orders")
    one = made(asker)
    for kind, ids in {"webhooks": {one}, "prices": set()}.items():
        found = listed(asker, f"/versions?filter[q][resource_type_eq]={kind}")
        assert {each["attributes"]["resource_id"] for each in found} == ids
    assert len(listed(asker, "/versions?filter[q][resource_type_in]=exports,webhooks")) == 2
    assert listed(asker, "/events?filter[q][name_cont]=webhook") == []
    assert len(listed(asker, "/events")) == 1


def test_a_change_of_a_webhook_is_seen_by_whoever_sees_the_webhook(house: House) -> None:
    asker, operator = house.asker(tenant="1"), house.asker()
    one, everywhere = made(asker), made(operator)
    (store,) = listed(asker, f"/webhooks/{one}/event_stores")
    paths = (f"/webhooks/{one}/event_stores", f"/webhooks/{one}/versions", f"/event_stores/{store['id']}")
    assert [listed(operator, path)[0]["id"].endswith(store["id"][14:]) for path in paths] == [True] * 3
    assert listed(house.asker(tenant="1", read_only=True), paths[0])
    other = house.asker(tenant="2")
    assert [other.call("GET", path).status_code for path in paths] == [404] * 3
    assert [listed(other, f"/{kind}") for kind in KINDS] == [[], []]
    limited = house.asker(tenant="1", resources=("orders",))
    assert [limited.call("GET", path).status_code for path in paths] == [401, 401, 404]
    assert [listed(limited, f"/{kind}") for kind in KINDS] == [[], []]
    assert asker.call("GET", f"/webhooks/{everywhere}/event_stores").status_code == 404
    assert [one for one, _ in told(operator, "/event_stores")] == ["create", "create"]
    assert [one for one, _ in told(asker, "/event_stores")] == ["create"]


def test_those_of_very_many_webhooks_are_included_or_refused_in_words(house: House) -> None:
    """More than one question of the ledger can ask for."""
    operator, ledger = house.asker(), house.outhaul.ledger
    for tenant in map(str, range(6)):
        drafts.create(ledger, tenant=tenant)
    same = {
        "maker": "x",
        "event": "created",
        "url": PUBLIC,
        "dialect": "commercelayer",
        "salt": "",
        "key": "",
    }
    rows = [same | {"id": f"hook{n}", "tenant": str(n % 6)} for n in range(600)]

    def amended(times: int) -> None:
        with ledger._write() as write:
            for row in rows * times:
                tell_of_webhook(write, row["id"], row["tenant"], "webhook_amended", "x")

    with ledger._write() as write:
        write.execute(webhooks.insert(), rows)
    amended(1)
    found = operator.call("GET", "/exports?include=events.webhooks.versions").json()
    assert sum(one["type"] == "versions" for one in found["included"]) == 600
    amended(4)
    refused = operator.call("GET", "/exports?include=events.webhooks.versions")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "INVALID_INCLUDE")
