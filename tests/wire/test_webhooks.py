"""Commerce Layer's webhooks against its contract: documents, refusals, who may, and what is sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from outhaul import app
from outhaul.app import Outhaul
from outhaul.dialects.commercelayer import callbacks, render
from outhaul.dialects.commercelayer.examples import WEBHOOK
from outhaul.webhooks import Courier
from tests import drafts
from tests.receiver import Receiver, receiving
from tests.served import Asker, finished, of_shop, served, shop

GOLDEN = Path(__file__).parent / "commercelayer"
SETTING = render.Setting(
    "https://yourdomain.commercelayer.io/api",
    "69abaa3545913c78132e5578bd26208d44aa9043647d78698fd0021f3958cd74",
)
PUBLIC = "http://1.1.1.1/hooks"  # checked, and never called


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def test_a_webhook_looks_as_in_the_contract_and_its_secret_is_shown_once() -> None:
    created = golden("webhook_created")
    assert callbacks.webhook(WEBHOOK, SETTING, secret="1c0994648da528e0ccc3c8b7ee8d8c3c") == created
    later = callbacks.webhook(WEBHOOK, SETTING)
    assert later["attributes"].pop("shared_secret") is None
    assert created["attributes"].pop("shared_secret")
    assert later == created


@pytest.fixture(scope="module")
def outhaul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outhaul]:
    with of_shop(shop(tmp_path_factory.mktemp("webhooks")), webhook_networks="127.0.0.1") as outhaul:
        yield outhaul


@pytest.fixture(scope="module")
def client(outhaul: Outhaul) -> Iterator[httpx.Client]:
    with served(outhaul) as client:
        yield client


@pytest.fixture
def asker(outhaul: Outhaul, client: httpx.Client) -> Iterator[Asker]:
    """Of one tenant, whose webhooks are deleted afterwards."""
    asker = Asker(outhaul, client, tenant="1")
    yield asker
    for one in asker.call("GET", "/webhooks?page[size]=25").json()["data"]:
        assert asker.call("DELETE", f"/webhooks/{one['id']}").status_code == 204


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def courier(outhaul: Outhaul, client: httpx.Client) -> Courier:
    return app.courier(outhaul, str(client.base_url))


def document(**attributes: Any) -> dict[str, Any]:
    return {"data": {"type": "webhooks", "attributes": attributes}}


def hook(asker: Asker, **attributes: Any) -> dict[str, Any]:
    wanted = {"topic": "exports.create", "callback_url": PUBLIC} | attributes
    answer = asker.call("POST", "/webhooks", json=document(**wanted))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["data"]
    return made


def change(asker: Asker, webhook_id: str, **attributes: Any) -> Any:
    return asker.call("PATCH", f"/webhooks/{webhook_id}", json=document(**attributes))


def sent(courier: Courier) -> int:
    """Everything that is due is sent; how many."""
    count = 0
    while courier.step():
        count += 1
    return count


def test_a_webhook_is_made_listed_changed_and_deleted(asker: Asker) -> None:
    made = hook(asker, name="a", metadata={"n": 1}, include_resources=["events"])
    assert len(made["attributes"]["shared_secret"]) == 64
    path = f"/webhooks/{made['id']}"
    shown = asker.call("GET", path).json()["data"]
    assert shown["attributes"] == made["attributes"] | {"shared_secret": None}
    listed = asker.call("GET", "/webhooks").json()
    assert ([one["id"] for one in listed["data"]], listed["meta"]["record_count"]) == ([made["id"]], 1)
    changed = change(asker, made["id"], name="b", topic="exports.fail", metadata=None).json()["data"]
    assert {name: changed["attributes"][name] for name in ("name", "topic", "metadata")} == {
        "name": "b",
        "topic": "exports.fail",
        "metadata": {},
    }
    assert change(asker, made["id"], _disable=True).json()["data"]["attributes"]["disabled_at"]
    assert change(asker, made["id"], _enable=True).json()["data"]["attributes"]["disabled_at"] is None
    assert asker.call("DELETE", path).status_code == 204
    assert asker.call("GET", path).status_code == 404


@pytest.mark.parametrize(
    ("attributes", "pointer", "rule"),
    [
        ({"topic": None}, "topic", "blank"),
        ({"callback_url": ""}, "callback_url", "blank"),
        ({"topic": "orders.place"}, "topic", "inclusion"),
        ({"include_resources": ["prices"]}, "include_resources", "inclusion"),
        ({"callback_url": "ftp://example.com/"}, "callback_url", "invalid"),
        ({"callback_url": "http://me:secret@1.1.1.1/"}, "callback_url", "invalid"),
        ({"callback_url": "http://1.1.1.1:99999/"}, "callback_url", "invalid"),
        ({"callback_url": "http://10.0.0.1/"}, "callback_url", "invalid"),
        ({"callback_url": "http://169.254.169.254/latest"}, "callback_url", "invalid"),
        ({"callback_url": "http://[::ffff:10.0.0.1]/"}, "callback_url", "invalid"),
        ({"callback_url": "http://[64:ff9b::a00:1]/"}, "callback_url", "invalid"),
        ({"callback_url": "http://[fe80::1]/"}, "callback_url", "invalid"),
        ({"callback_url": "http://167772161/"}, "callback_url", "invalid"),
        ({"callback_url": "http://nothing.invalid/"}, "callback_url", "invalid"),
    ],
)
def test_a_wrong_webhook_is_refused_at_its_place(
    asker: Asker, attributes: dict[str, Any], pointer: str, rule: str
) -> None:
    wanted = {"topic": "exports.create", "callback_url": PUBLIC} | attributes
    made = hook(asker)
    for answer in (
        asker.call("POST", "/webhooks", json=document(**wanted)),
        change(asker, made["id"], **attributes),
    ):
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert (error["code"], error["source"], error["meta"]["error"]) == (
            "VALIDATION_ERROR",
            {"pointer": f"/data/attributes/{pointer}"},
            rule,
        )


def test_a_webhook_can_begin_disabled(asker: Asker, courier: Courier, receiver: Receiver) -> None:
    made = hook(asker, callback_url=receiver.url, _disable=True)
    assert made["attributes"]["disabled_at"]
    assert hook(asker, topic="exports.fail", _enable=True)["attributes"]["disabled_at"] is None
    finished(asker)
    sent(courier)
    assert receiver.got == []
    both = asker.call(
        "POST",
        "/webhooks",
        json=document(topic="exports.fail", callback_url=PUBLIC, _disable=True, _enable=True),
    )
    assert both.json()["errors"][0]["source"] == {"pointer": "/data/attributes/_enable"}


def test_what_no_webhook_has_is_not_allowed(asker: Asker) -> None:
    assert asker.call("POST", "/webhooks", json=document(secret="x")).json()["errors"][0]["code"] == (
        "PARAM_NOT_ALLOWED"
    )
    wrong = {"data": {"type": "exports", "attributes": {}}}
    assert asker.call("POST", "/webhooks", json=wrong).json()["errors"][0]["code"] == "INVALID_RESOURCE"


CALLS = ("list", "create", "retrieve", "update", "delete")
MATRIX = {
    "own": (200, 201, 200, 200, 204),
    "operator": (200, 201, 200, 200, 204),
    "reader": (200, 401, 200, 401, 401),
    "limited": (401, 401, 401, 401, 401),
    "other": (200, 201, 404, 404, 404),
    "nobody": (401, 401, 401, 401, 401),
}
GRANTED: dict[str, dict[str, Any]] = {
    "own": {"tenant": "1"},
    "operator": {"all_tenants": True},
    "reader": {"tenant": "1", "read_only": True},
    "limited": {"tenant": "1", "resources": ("orders",)},
    "other": {"tenant": "2"},
    "nobody": {"tenant": "1"},
}


@pytest.mark.parametrize("who", MATRIX)
def test_only_whoever_may_reaches_webhooks_of_an_organization(asker: Asker, who: str) -> None:
    other = Asker(asker.outhaul, asker.client, **GRANTED[who])
    if who == "nobody":
        asker.outhaul.access.revoke(other.kept.id)
    path = f"/webhooks/{hook(asker)['id']}"
    new = document(topic="exports.create", callback_url=PUBLIC)
    answers = [
        other.call("GET", "/webhooks"),
        other.call("POST", "/webhooks", json=new),
        other.call("GET", path),
        other.call("PATCH", path, json=document(name="x")),
        other.call("DELETE", path),
    ]
    assert dict(zip(CALLS, (one.status_code for one in answers), strict=True)) == dict(
        zip(CALLS, MATRIX[who], strict=True)
    )
    if answers[1].status_code == 201:
        other.call("DELETE", f"/webhooks/{answers[1].json()['data']['id']}")
    if who == "other":
        assert answers[0].json()["data"] == []


def test_a_sales_channel_reaches_no_webhooks_and_an_integration_does(asker: Asker) -> None:
    for kind, status in {"sales_channel": 401, "integration": 200}.items():
        secret, client = asker.outhaul.access.make_client("x", kind, tenant="1")
        given = {"grant_type": "client_credentials", "client_id": client.id, "client_secret": secret}
        token = asker.client.post("/oauth/token", json=given).json()["access_token"]
        answer = asker.call("GET", "/webhooks", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status
        if status == 401:
            assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"


def test_the_whole_life_of_an_export_is_told_and_signed(
    asker: Asker, courier: Courier, receiver: Receiver
) -> None:
    secrets = {}
    for topic in render.EVENTS.values():
        made = hook(
            asker, topic=topic, callback_url=f"{receiver.url}/in?topic={topic}", include_resources=["events"]
        )
        secrets[topic] = made["attributes"]["shared_secret"]
    data = finished(asker)
    shown = asker.call("GET", f"/exports/{data['id']}?include=events").json()
    assert sent(courier) == 3
    assert asker.call("DELETE", f"/exports/{data['id']}").status_code == 204
    assert sent(courier) == 1
    topics = ["exports.create", "exports.start", "exports.complete", "exports.destroy"]
    assert [headers["X-CommerceLayer-Topic"] for headers, _ in receiver.got] == topics
    for headers, body in receiver.got:
        topic = headers["X-CommerceLayer-Topic"]
        signature = hmac.new(secrets[topic].encode(), body, hashlib.sha256).digest()
        assert base64.b64decode(headers["X-CommerceLayer-Signature"]) == signature
        assert headers["path"] == f"/in?topic={topic}"
        assert headers["Content-Type"] == "application/vnd.api+json"
        told = asker.call("GET", f"/events/{headers['X-Outhaul-Event']}").json()["data"]
        assert told["attributes"]["name"] == topic
    destroyed = json.loads(receiver.got[3][1])
    assert destroyed["data"].pop("meta")["organization_id"] == "1"
    expected = golden("webhook_destroyed")
    expected["data"]["id"] = data["id"]
    assert destroyed == expected
    complete = json.loads(receiver.got[2][1])
    for found in (complete, shown):
        assert found["data"]["attributes"].pop("attachment_url").startswith(str(asker.client.base_url))
        assert found["data"]["links"].pop("manifest")
        for one in (found["data"], *found["included"]):
            assert one["meta"].pop("trace_id")
    assert complete == shown


def test_what_was_sent_is_kept_but_for_links_that_open_files(
    asker: Asker, courier: Courier, receiver: Receiver
) -> None:
    hook(asker, topic="exports.complete", callback_url=receiver.url)
    finished(asker)
    assert sent(courier) == 1
    told = json.loads(receiver.got[0][1])
    (tried,) = asker.call("GET", "/event_callbacks").json()["data"]
    kept = tried["attributes"]["payload"]
    for document, status in ((told, 200), (kept, 404)):
        shown = document["data"]
        for link in (shown["attributes"].pop("attachment_url"), shown["links"].pop("manifest")):
            assert asker.client.get(link).status_code == status
    assert kept == told


def test_events_of_another_organization_are_not_told(
    asker: Asker, outhaul: Outhaul, courier: Courier, receiver: Receiver
) -> None:
    hook(asker, callback_url=receiver.url)
    operator = Asker(outhaul, asker.client)
    everywhere = hook(operator, callback_url=f"{receiver.url}/all")
    made = drafts.create(outhaul.ledger, tenant="2", checked=False)
    assert sent(courier) == 1
    assert [headers["path"] for headers, _ in receiver.got] == ["/all"]
    operator.call("DELETE", f"/webhooks/{everywhere['id']}")
    outhaul.ledger.remove(made.id)


def test_a_disabled_webhook_is_told_nothing_and_an_open_circuit_closes_on_request(
    outhaul: Outhaul, client: httpx.Client, courier: Courier, receiver: Receiver
) -> None:
    # The exports here fail in their own time: of another tenant, whom no other test hears of.
    asker = Asker(outhaul, client, tenant="3")
    made = hook(asker, callback_url=receiver.url)
    change(asker, made["id"], _disable=True)
    drafts.create(outhaul.ledger, tenant="3", checked=False)
    assert sent(courier) == 0
    change(asker, made["id"], _enable=True)
    receiver.status = 500
    for n in range(30):
        drafts.create(outhaul.ledger, tenant="3", checked=False)
        assert sent(courier) == 1, n
    attributes = asker.call("GET", f"/webhooks/{made['id']}").json()["data"]["attributes"]
    assert (attributes["circuit_state"], attributes["circuit_failure_count"]) == ("open", 30)
    drafts.create(outhaul.ledger, tenant="3", checked=False)
    drafts.passes(outhaul.ledger, "deliveries", due_at=10_000)
    assert sent(courier) == 0
    receiver.status = 204
    receiver.got.clear()
    attributes = change(asker, made["id"], _reset_circuit=True).json()["data"]["attributes"]
    assert (attributes["circuit_state"], attributes["circuit_failure_count"]) == ("closed", 0)
    assert sent(courier) == 31, "nothing was lost"
    assert len({headers["X-Outhaul-Event"] for headers, _ in receiver.got}) == 31
    asker.call("DELETE", f"/webhooks/{made['id']}")


def test_the_secret_of_a_webhook_is_nowhere_in_the_ledger(asker: Asker, outhaul: Outhaul) -> None:
    secret = hook(asker)["attributes"]["shared_secret"]
    files = [file for file in outhaul.settings.state.iterdir() if file.name.startswith("ledger")]
    assert files
    for file in files:
        assert secret.encode() not in file.read_bytes()
