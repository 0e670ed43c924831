"""Webhooks of a running service, which is killed while it tells them."""

from __future__ import annotations

import time
from pathlib import Path

from outhaul.ledger import Ledger
from tests import drafts
from tests.receiver import receiving
from tests.served import shop
from tests.system._outhaul import serving, until


def test_a_service_that_is_killed_while_it_sends_tells_it_again_after_its_start(tmp_path: Path) -> None:
    source = f"sqlite:///{shop(tmp_path)}/shop.db"
    ledger_url = drafts.sqlite_url(tmp_path / "state")
    with (
        receiving() as receiver,
        serving(source, tmp_path, webhook_networks="127.0.0.1", workers=1) as service,
    ):
        asker = service.asker()
        wanted = {"topic": "exports.create", "callback_url": f"{receiver.url}/hook"}
        body = {"data": {"type": "webhooks", "attributes": wanted}}
        assert asker.call("POST", "/webhooks", json=body).status_code == 201
        receiver.hold = True
        export_id = asker.create("orders")
        until(lambda: receiver.got, "the message under way")
        service.kill()
        receiver.hold = False
        with Ledger(ledger_url) as ledger:
            drafts.passes(ledger, "deliveries", lease_until=31)
        service.start()
        until(lambda: len(receiver.got) == 2, "the same message again")
        (first, one), (second, other) = receiver.got
        assert first["X-Outhaul-Event"] == second["X-Outhaul-Event"]
        assert export_id.encode() in one
        assert export_id.encode() in other
        begun = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - begun < 20
        with Ledger(ledger_url) as ledger:
            assert ledger.pick() is None
