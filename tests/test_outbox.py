"""The outbox where several want something of it at once: transactions that meet, tenants that share couriers."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
import sqlalchemy as sa

from outhaul.export import Caller, Lens, Stretch
from outhaul.ledger import Ledger
from outhaul.ledger.outbox import BREAKS
from outhaul.ledger.tables import deliveries
from tests import drafts
from tests.test_webhooks import hook, waiting


def test_a_circuit_that_cannot_be_closed_whole_stays_open(ledger: Ledger) -> None:
    made, _ = hook(ledger, "http://127.0.0.1:9/")
    drafts.create(ledger)
    ledger.amend_webhook(made.id, "acme", {"opened_at": 1.0, "failures": BREAKS})

    def dies(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("UPDATE deliveries"):
            raise KeyboardInterrupt

    sa.event.listen(ledger._writer, "before_cursor_execute", dies)
    with pytest.raises(KeyboardInterrupt):
        ledger.amend_webhook(made.id, "acme", {}, ("reset_circuit",))
    sa.event.remove(ledger._writer, "before_cursor_execute", dies)
    assert ledger.webhook(made.id, "acme").opened_at is not None


def triggered_while(ledger: Ledger, change: str) -> None:
    """An event is triggered while another transaction, which then ends, has made a change."""
    (event,) = ledger.events(drafts.create(ledger).id)
    with ledger._write() as write:
        write.execute(sa.text("DELETE FROM deliveries"))
    with ThreadPoolExecutor(1) as pool:
        with ledger._write() as write:
            write.execute(sa.text(change))
            waits = pool.submit(ledger.trigger, event, "acme")
            wait([waits], 0.5)
        waits.result()


def test_what_is_triggered_while_a_webhook_is_removed_is_told_to_nobody(ledger: Ledger) -> None:
    hook(ledger, "http://127.0.0.1:9/")
    triggered_while(ledger, "DELETE FROM webhooks")
    assert waiting(ledger) == []


def test_what_is_triggered_while_a_circuit_closes_is_due(ledger: Ledger) -> None:
    made, _ = hook(ledger, "http://127.0.0.1:9/")
    ledger.amend_webhook(made.id, "acme", {"opened_at": 1.0, "failures": BREAKS})
    triggered_while(ledger, "UPDATE webhooks SET opened_at = NULL")
    ((_, seconds),) = waiting(ledger)
    assert seconds <= 0


def test_a_tenant_with_many_messages_holds_up_no_other(ledger: Ledger) -> None:
    for n in range(5):
        hook(ledger, f"http://127.0.0.1:9/{n}")
    drafts.create(ledger)
    hook(ledger, "http://127.0.0.1:9/", caller=Caller("key-2", "Bob", "bolt"))
    hook(ledger, "http://127.0.0.1:9/", "amended", Caller("key-3", "Cleo", None, all_tenants=True))
    made = drafts.create(ledger, tenant="bolt")
    ledger.amend(made.id, reference="r")
    picked = [ledger.pick() for _ in range(7)]
    assert [one and one.webhook.tenant for one in picked] == ["acme", "bolt", None, *["acme"] * 4]
    first = picked[0]
    assert first
    ledger.arrived(first, 200)
    drafts.passes(ledger, "deliveries", lease_until=31)
    assert {one.webhook.tenant for one in (ledger.pick(), ledger.pick(), ledger.pick()) if one} == {
        "acme",
        "bolt",
        None,
    }


def test_the_number_of_a_try_is_never_used_again(ledger: Ledger) -> None:
    numbers = []
    for _ in range(2):
        made, _ = hook(ledger, "http://127.0.0.1:9/")
        drafts.create(ledger)
        sending = ledger.pick()
        assert sending
        ledger.arrived(sending, 200)
        (tried,), _ = ledger.list_callbacks("acme", made.id, None, Stretch(Lens({}), 25))
        numbers.append(tried.id)
        ledger.remove_webhook(made.id, "acme")
    assert numbers[0] < numbers[1]


def test_each_webhook_is_told_in_order_and_the_longest_due_comes_first(ledger: Ledger) -> None:
    hooks = [
        hook(ledger, f"http://127.0.0.1:9/{n}", name)[0].id for n, name in enumerate(("created", "amended"))
    ]
    made = [drafts.create(ledger).id for _ in range(3)]
    for one in made:
        ledger.amend(one, reference="r")
    with ledger._write() as write:
        for n, row in enumerate(write.execute(sa.select(deliveries).order_by(deliveries.c.event)).all()):
            ours = deliveries.c.event == row.event
            write.execute(deliveries.update().where(ours).values(due_at=1_000 - n))  # the last first
    told = []
    while sending := ledger.pick():
        told.append((sending.webhook.id, sending.event.id))
        ledger.arrived(sending, 200)
    events = [event for _, event in told]
    assert events == sorted(events, reverse=True)
    assert [webhook for webhook, _ in told] == [hooks[1]] * 3 + [hooks[0]] * 3


def test_the_next_message_is_found_by_an_index_however_many_wait(ledger: Ledger) -> None:
    hook(ledger, "http://127.0.0.1:9/")
    drafts.create(ledger)
    said: list[tuple[str, Any]] = []

    def listen(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        said.append((statement, parameters))

    sa.event.listen(ledger._reader, "before_cursor_execute", listen)
    assert ledger.pick()
    sa.event.remove(ledger._reader, "before_cursor_execute", listen)
    statement, parameters = next((one, more) for one, more in said if "deliveries" in one)
    explain = "EXPLAIN QUERY PLAN" if ledger.dialect.name == "sqlite" else "EXPLAIN"
    with ledger._reader.connect() as connection:
        if ledger.dialect.name == "postgresql":  # which reads so few rows without any index
            for way in ("seqscan", "bitmapscan"):
                connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
        plan = "\n".join(str(row) for row in connection.exec_driver_sql(f"{explain} {statement}", parameters))
    found = r"ix_deliveries_next \(webhook=\? AND due_at<\?\)"
    if ledger.dialect.name == "postgresql":
        found = r"ix_deliveries_next(?s:.{0,200})Index Cond: \(\(webhook = webhooks\.id\) AND \(due_at <= "
    assert re.search(found, plan), plan
    assert "(webhook=?)" not in plan, "every message of a webhook"
    assert not re.search(r"SCAN (deliveries|waiting)|Seq Scan on deliveries", plan), plan
