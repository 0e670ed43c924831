"""Webhooks on pages: their last deliveries and what was sent, told once more, and each tenant's for itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from outhaul import app
from outhaul.app import Outhaul
from outhaul.export import Caller
from outhaul.ledger import Webhook
from outhaul.webhooks import Courier
from tests.console.visitors import HERE, Page, Visitor, asked, readable
from tests.receiver import Receiver, receiving
from tests.served import of_shop

ONE, TWO = Caller("one", "one", "1"), Caller("two", "two", "2")


@pytest.fixture(scope="module")
def outhaul(place: Path) -> Iterator[Outhaul]:
    with of_shop(place, "hooks", webhook_networks=["127.0.0.1"]) as outhaul:
        yield outhaul


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def courier(outhaul: Outhaul) -> Courier:
    """One that sends when it is asked to step."""
    with outhaul.ledger._write() as write:
        write.exec_driver_sql("DELETE FROM webhooks")
    return app.courier(outhaul, "http://127.0.0.1")


def hook(outhaul: Outhaul, receiver: Receiver, caller: Caller = ONE, **more: str) -> Webhook:
    row = {"event": "completed", "url": f"{receiver.url}/{caller.id}", **more}
    return outhaul.exports.webhooks.create(caller, "commercelayer", row)[0]


def test_deliveries_are_shown_and_sent_once_more(
    outhaul: Outhaul, visitor: Visitor, receiver: Receiver, courier: Courier
) -> None:
    made, beside = hook(outhaul, receiver), hook(outhaul, receiver, name="beside")
    visitor.sign_in(tenant="1")
    assert "Nothing was sent yet" in visitor.text(f"/webhooks/{made.id}")
    receiver.status = 500
    export = asked(outhaul, "1")
    assert courier.step()
    assert courier.step()
    assert len(receiver.got) == 2
    page = visitor.get(f"/webhooks/{made.id}")
    said = readable(page.text)
    for text in (export.id, "500", "Send again", '"type":"exports"'):
        assert text in said, text
    assert visitor.text("/webhooks").count("1 failure in a row") == 2
    (again,) = [one for one in Page(page.text).of("form") if str(one["action"]).endswith("/again")]
    (tried,) = [one["value"] for one in Page(page.text).of("input") if one.get("name") == "try"]
    receiver.status = 200
    answer = visitor.post(
        f"/webhooks/{made.id}/again", {"Sec-Fetch-Site": "cross-site"}, **{"try": str(tried)}
    )
    assert answer.status_code == 403
    answer = visitor.http.post(
        str(again["action"]), data={"try": tried}, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert answer.status_code == 303
    assert "put among what is to be sent" in readable(visitor.http.get(answer.headers["location"]).text)
    assert courier.step()
    assert not courier.step(), "the other webhook was not asked for"
    assert len(receiver.got) == 3
    assert outhaul.exports.webhooks.get(ONE, made.id).failures == 0
    assert outhaul.exports.webhooks.get(ONE, beside.id).failures == 1
    first, second = (visitor.text(f"/webhooks/{one.id}") for one in (made, beside))
    assert ("200" in first, "200" in second) == (True, False)


def test_a_webhook_is_disabled_enabled_and_deleted_by_forms(
    outhaul: Outhaul, visitor: Visitor, receiver: Receiver, courier: Courier
) -> None:
    made = hook(outhaul, receiver)
    visitor.sign_in(tenant="1")
    assert visitor.post(f"/webhooks/{made.id}/disable").headers["location"] == f"/console/webhooks/{made.id}"
    assert "told of nothing while it is disabled" in visitor.text(f"/webhooks/{made.id}")
    asked(outhaul, "1")
    assert not courier.step()
    visitor.post(f"/webhooks/{made.id}/enable")
    asked(outhaul, "1")
    assert courier.step()
    (tried,) = [
        one["value"]
        for one in Page(visitor.get(f"/webhooks/{made.id}").text).of("input")
        if one.get("name") == "try"
    ]
    visitor.post(f"/webhooks/{made.id}/disable")
    refused = visitor.post(f"/webhooks/{made.id}/again", HERE, **{"try": str(tried)})
    assert (refused.status_code, "nothing was sent" in refused.text) == (409, True)
    with outhaul.ledger._write() as write:
        write.exec_driver_sql("UPDATE webhooks SET opened_at = 1, failures = 30, disabled_at = NULL")
    assert "circuit open" in visitor.text("/webhooks")
    visitor.post(f"/webhooks/{made.id}/reset_circuit")
    assert "circuit open" not in visitor.text("/webhooks")
    assert visitor.post(f"/webhooks/{made.id}/explode").status_code == 404
    assert "Delete this webhook?" in visitor.text(f"/webhooks/{made.id}/delete")
    assert visitor.post(f"/webhooks/{made.id}/delete").headers["location"] == "/console/webhooks"
    assert visitor.get(f"/webhooks/{made.id}").status_code == 404
    assert "There is no webhook" in visitor.text("/webhooks")


def test_each_tenant_sees_and_changes_its_own_webhooks_alone(
    outhaul: Outhaul, visitor: Visitor, receiver: Receiver, courier: Courier
) -> None:
    ours, theirs = hook(outhaul, receiver, ONE), hook(outhaul, receiver, TWO)
    asked(outhaul, "2")
    assert courier.step()
    tried = outhaul.ledger.last_callbacks(None, "webhook", [theirs.id], 1, 1)[0].public
    visitor.sign_in(tenant="1")
    assert '<a href="/console/webhooks">Webhooks</a>' in visitor.get().text
    page = visitor.get("/webhooks").text
    assert (ours.id in page, theirs.id in page, theirs.url in page) == (True, False, False)
    for path in ("", "/delete"):
        assert visitor.get(f"/webhooks/{theirs.id}{path}").status_code == 404
    for move in ("delete", "disable", "enable", "reset_circuit", "again"):
        assert visitor.post(f"/webhooks/{theirs.id}/{move}", HERE, **{"try": tried}).status_code == 404, move
    assert visitor.post(f"/webhooks/{ours.id}/again", HERE, **{"try": tried}).status_code == 404
    assert not courier.step()
    assert outhaul.exports.webhooks.get(TWO, theirs.id).disabled_at is None
    reader = Visitor(outhaul, str(visitor.http.base_url))
    reader.sign_in(tenant="1", read_only=True)
    actions = [str(form["action"]) for form in Page(reader.get(f"/webhooks/{ours.id}").text).of("form")]
    assert actions == ["/console/sign-out", "/console/times"]
    assert reader.post(f"/webhooks/{ours.id}/disable").status_code == 403
    narrow = Visitor(outhaul, str(visitor.http.base_url))
    narrow.sign_in(tenant="1", resources=("orders",))
    assert "/console/webhooks" not in narrow.get().text
    assert narrow.get("/webhooks").status_code == 403
    whole = Visitor(outhaul, str(visitor.http.base_url))
    whole.sign_in()
    assert all(one.id in whole.get("/webhooks").text for one in (ours, theirs))
    assert whole.post(f"/webhooks/{theirs.id}/again", HERE, **{"try": tried}).status_code == 303
    assert courier.step()
    assert receiver.got[-1][0]["path"] == "/two"
    for one in (reader, narrow, whole):
        one.http.close()
