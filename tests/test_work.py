"""What is at work, as the ledger tells it to whoever runs the service, on both kinds of ledger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from outhaul.export import Caller, Status
from outhaul.ledger import Ledger
from outhaul.ledger.tokens import NewToken
from tests import drafts


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with drafts.opened(url) as ledger:
        yield ledger


def test_parts_that_are_out_are_told_with_worker_and_lease(ledger: Ledger) -> None:
    made = drafts.create(ledger, tenant="busy")
    assert (ledger.busy(10), ledger.holding(10)) == ((), ())
    delivery = drafts.only(ledger.admit(2, sender="loop-1"))
    (out,) = ledger.busy(10)
    assert (out.state, out.worker, out.n, out.attempt) == ("queued", "loop-1", 0, 1)
    lease = drafts.claimed(ledger, delivery, "w7")
    drafts.hold(ledger, lease, "keeper-9")
    (running,) = ledger.busy(10)
    assert (running.export, running.tenant, running.resource) == (made.id, "busy", "orders")
    assert (running.state, running.worker) == ("running", "w7")
    assert 0 < running.lease <= drafts.TERMS.lease.total_seconds()
    (held,) = ledger.holding(10)
    assert (held.export, held.state, held.holder, held.own) == (made.id, "held", "keeper-9", False)
    assert held.lease
    drafts.passes(ledger, "parts", lease_until=1_000)
    assert ledger.busy(10)[0].lease == 0
    assert ledger.settle_plan(lease, drafts.planned(3), own=False, claim=False) == ()
    assert ledger.busy(10) == ()
    for one in ledger.admit(2):
        drafts.claimed(ledger, one)
    assert [one.n for one in ledger.busy(10)] == [1, 2, 3]
    assert [one.n for one in ledger.busy(2)] == [1, 2]


def test_crowds_are_told_by_tenant_and_status_the_oldest_first(ledger: Ledger) -> None:
    for tenant in ("b", "a", "b", None):
        drafts.create(ledger, tenant=tenant, checked=False)
    queued = drafts.create(ledger, tenant="a")
    ledger.interrupt(drafts.create(ledger, tenant="a").id)
    ledger.remove(drafts.create(ledger, tenant="a").id)
    told = [(one.tenant, one.status, one.count) for one in ledger.crowds(10)]
    assert told == [("b", "created", 2), ("a", "created", 1), (None, "created", 1), ("a", "queued", 1)]
    assert ledger.crowds(10)[-1].oldest_at == queued.created_at
    assert len(ledger.crowds(2)) == 2


def test_tenants_are_those_of_exports_tokens_and_webhooks(ledger: Ledger) -> None:
    for tenant in ("b", "a", "a", None):
        drafts.create(ledger, tenant=tenant)
    ledger.insert_token(NewToken("t1", "h1", "x", "token's", False))
    ledger.insert_token(NewToken("t2", "h2", "x", None, True))
    own = {"maker": "x", "dialect": "commercelayer", "salt": "s", "key": "k"}
    row = {"tenant": "webhook's", "event": "created", "url": "http://127.0.0.1:9/", **own}
    hook = ledger.insert_webhook(row)
    assert ledger.tenants(10, 0) == (("a", "b", "token's", "webhook's"), 4)
    assert ledger.tenants(2, 1) == (("b", "token's"), 4)
    gone = ledger.interrupt(drafts.create(ledger, tenant="b").id)
    drafts.passes(ledger, "exports", interrupted_at=10**8)
    ledger.expire()
    assert ledger.get(gone.id).status is Status.EXPIRED
    assert ledger.exports_of(["a", "b", "nobody"]) == {"a": {"queued": 2}, "b": {"queued": 1}, "nobody": {}}
    assert ledger.unsent([hook.id]) == {}
    drafts.create(ledger, tenant="webhook's")
    assert ledger.unsent([hook.id, "nothing"]) == {hook.id: 1}


def test_an_event_is_told_once_more_to_one_webhook_alone(ledger: Ledger) -> None:
    own = {"maker": "x", "dialect": "commercelayer", "salt": "s", "key": "k", "tenant": "acme"}
    rows = [
        own | {"event": event, "url": "http://127.0.0.1:9/"} for event in ("created", "created", "failed")
    ]
    first, second, other = (ledger.insert_webhook(row) for row in rows)
    event = ledger.events(drafts.create(ledger).id)[0]
    for _ in range(2):
        delivery = ledger.pick()
        assert delivery
        ledger.arrived(delivery, 200)
    assert ledger.trigger(event, "acme", second.id) == 1
    assert ledger.unsent([first.id, second.id, other.id]) == {second.id: 1}
    for webhook, tenant in ((other.id, "acme"), (second.id, "another"), ("nothing", "acme")):
        assert ledger.trigger(event, tenant, webhook) == 0
    ledger.amend_webhook(second.id, "acme", {}, ["disable"], Caller("x", "x", "acme"))
    assert ledger.trigger(event, "acme", second.id) == 0
    assert ledger.trigger(event, "acme") == 1
    assert ledger.unsent([first.id])[first.id] == 1
