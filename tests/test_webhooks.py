"""The outbox on both ledgers: retries, leases, kills; and where callbacks may go."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path

import pytest
import sqlalchemy as sa

from outhaul import callbacks
from outhaul.callbacks import Unreachable
from outhaul.errors import TooMuch, WrongValue
from outhaul.export import Caller
from outhaul.ledger import Ledger
from outhaul.ledger.events import tell
from outhaul.ledger.outbox import BREAKS, MOST, RETRIES
from outhaul.webhooks import Courier, Message, Webhook, Webhooks
from tests import drafts
from tests.receiver import Receiver, receiving
from tests.served import until

LOOPBACK = (ip_network("127.0.0.1"),)
ANN = Caller("key-1", "Ann", "acme")
KEYS = ("first key",)


def write(message: Message) -> tuple[bytes, Mapping[str, str]]:
    return message.event.name.encode(), {"Event": str(message.event.id), "Secret": message.secret}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def courier(ledger: Ledger, keys: Sequence[str] = KEYS) -> Courier:
    return Courier(ledger, Webhooks(ledger, keys, LOOPBACK), {"": write})


def hook(ledger: Ledger, url: str, event: str = "created", caller: Caller = ANN) -> tuple[Webhook, str]:
    return Webhooks(ledger, KEYS, LOOPBACK).create(caller, "", {"event": event, "url": url})


def waiting(ledger: Ledger) -> list[tuple[int, float]]:
    """Of each message in the outbox its failed tries, and in how many seconds it is due."""
    from outhaul.ledger.clock import now
    from outhaul.ledger.tables import deliveries

    with ledger._read() as read:
        wanted = sa.select(deliveries.c.tries, deliveries.c.due_at - now()).order_by(deliveries.c.event)
        return [(row[0], row[1]) for row in read.execute(wanted)]


def test_a_message_is_sent_once_and_gone(ledger: Ledger, receiver: Receiver) -> None:
    _, secret = hook(ledger, receiver.url)
    made = drafts.create(ledger)
    sender = courier(ledger)
    assert [sender.step(), sender.step()] == [True, False]
    ((headers, body),) = receiver.got
    (event,) = ledger.events(made.id)
    assert (body, headers["Event"], headers["Secret"]) == (b"created", str(event.id), secret)
    assert waiting(ledger) == []


def test_a_failure_is_retried_ten_times_with_growing_pauses_and_then_given_up(
    ledger: Ledger, receiver: Receiver
) -> None:
    made, _ = hook(ledger, receiver.url)
    drafts.create(ledger)
    receiver.status = 503
    sender = courier(ledger)
    pauses: list[float] = []
    while sender.step():
        assert not sender.step(), "before its pause is over nothing is due"
        for tries, seconds in waiting(ledger):
            assert tries == len(pauses) + 1
            pauses.append(seconds)
            drafts.passes(ledger, "deliveries", due_at=seconds + 1)
    wanted = [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600]
    assert pauses == pytest.approx(wanted, abs=4), "some time has passed since"
    assert len(receiver.got) == 1 + RETRIES == 11
    assert len({headers["Event"] for headers, _ in receiver.got}) == 1, "the number to drop doubles by"
    assert ledger.webhook(made.id, "acme").failures == 11


def test_a_success_between_failures_keeps_the_circuit_closed(ledger: Ledger, receiver: Receiver) -> None:
    made, _ = hook(ledger, receiver.url)
    sender = courier(ledger)
    for n in range(BREAKS + 5):
        receiver.status = 200 if n == 10 else 404
        drafts.create(ledger)
        assert sender.step(), n
    assert ledger.webhook(made.id, "acme").failures == BREAKS + 5 - 11
    assert ledger.webhook(made.id, "acme").opened_at is None


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(url: str, receiver: Receiver, status: int) -> None:
    receiver.status, receiver.headers = status, {"Location": f"{receiver.url}/elsewhere"}
    with drafts.opened(url) as ledger:
        hook(ledger, f"{receiver.url}/here")
        drafts.create(ledger)
        assert courier(ledger).step()
        assert [headers["path"] for headers, _ in receiver.got] == ["/here"]
        assert [tries for tries, _ in waiting(ledger)] == [1]


def test_two_services_do_not_both_send_one_message(ledger: Ledger, receiver: Receiver) -> None:
    for n in range(8):
        hook(ledger, f"{receiver.url}/{n}")
    for _ in range(5):
        drafts.create(ledger)
    with courier(ledger), courier(ledger):
        until(lambda: len(receiver.got) >= 40 and not waiting(ledger), "all messages")
    sent = [(headers["path"], headers["Event"]) for headers, _ in receiver.got]
    assert len(sent) == len(set(sent)) == 40


def test_a_message_under_way_is_held_and_the_next_one_to_its_receiver_waits(ledger: Ledger) -> None:
    hook(ledger, "http://127.0.0.1:9/")
    hook(ledger, "http://127.0.0.1:9/", "amended")
    made = drafts.create(ledger)
    drafts.create(ledger)
    held = ledger.pick()
    assert held
    assert ledger.pick() is None
    ledger.amend(made.id, reference="r")
    other = ledger.pick()
    assert other
    assert other.webhook.id != held.webhook.id
    drafts.passes(ledger, "deliveries", lease_until=31)
    again = ledger.pick()
    assert again
    assert (again.event.id, again.tries) == (held.event.id, 0)
    ledger.arrived(held, 200)
    assert len(waiting(ledger)) == 3, "whoever lost the lease says nothing"
    ledger.arrived(again, 200)
    assert len(waiting(ledger)) == 2


def test_a_transaction_that_is_rolled_back_sends_nothing(ledger: Ledger, receiver: Receiver) -> None:
    hook(ledger, receiver.url)
    with pytest.raises(RuntimeError), ledger._write() as write:  # noqa: PT012  # the rest is what must not happen
        tell(write, "XAyRWNUzyN", "created")
        raise RuntimeError
    assert waiting(ledger) == []


CHILD = """
import sys
from ipaddress import ip_network
from outhaul.ledger import Ledger
from outhaul.webhooks import Courier, Webhooks
from tests import drafts

with Ledger(sys.argv[1], drafts.TERMS) as ledger:
    drafts.create(ledger)
    print("committed", flush=True)
    if sys.argv[2] == "send":
        webhooks = Webhooks(ledger, ("first key",), (ip_network("127.0.0.1"),))
        write = lambda message: (b"created", {"Event": str(message.event.id)})
        Courier(ledger, webhooks, {"": write}).step()
    sys.stdin.read()
"""


@pytest.mark.parametrize("moment", ["commit", "send"])
def test_a_kill_after_the_commit_loses_no_message(
    ledger: Ledger, url: str, receiver: Receiver, moment: str
) -> None:
    hook(ledger, receiver.url)
    receiver.hold = True
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, url, moment],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    assert child.stdin
    assert child.stdout
    with child.stdin, child.stdout:
        assert child.stdout.readline() == b"committed\n"
        if moment == "send":
            until(lambda: receiver.got, "the message under way")
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    receiver.hold = False
    sender = courier(ledger)
    if moment == "send":
        assert not sender.step(), "its lease is not over"
        drafts.passes(ledger, "deliveries", lease_until=31)
    assert sender.step()
    assert len({headers["Event"] for headers, _ in receiver.got}) == 1
    assert len(receiver.got) == (2 if moment == "send" else 1)
    assert waiting(ledger) == []


def test_a_key_can_be_replaced_while_its_line_is_kept(ledger: Ledger, receiver: Receiver) -> None:
    _, secret = hook(ledger, receiver.url)
    drafts.create(ledger)
    assert courier(ledger, ("second key", *KEYS)).step()
    assert receiver.got[0][0]["Secret"] == secret
    drafts.create(ledger)
    assert courier(ledger, ("second key",)).step()
    assert len(receiver.got) == 1
    assert [tries for tries, _ in waiting(ledger)] == [1]


def test_a_tenant_has_a_limited_number_of_webhooks(tmp_path: Path) -> None:
    with drafts.opened(drafts.sqlite_url(tmp_path)) as ledger:
        for _ in range(MOST):
            hook(ledger, "http://127.0.0.1/")
        with pytest.raises(TooMuch, match=str(MOST)):
            hook(ledger, "http://127.0.0.1/")


def test_a_second_answer_of_the_resolver_does_not_get_through(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [["93.184.215.14"], ["127.0.0.1"], ["93.184.215.14", "127.0.0.1"]]
    asked = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    port = receiver.url.rpartition(":")[2]
    with drafts.opened(drafts.sqlite_url(tmp_path)) as ledger:
        webhooks = Webhooks(ledger, KEYS, (), resolve)
        webhooks.create(ANN, "", {"event": "created", "url": f"http://rebound.example:{port}/"})
        drafts.create(ledger)
        sender = Courier(ledger, webhooks, {"": write})
        for _ in range(2):
            assert sender.step()
            drafts.passes(ledger, "deliveries", due_at=100)
        assert [tries for tries, _ in waiting(ledger)] == [2]
    assert asked == ["rebound.example"] * 3
    assert receiver.got == []
    assert "private network" in caplog.text


def test_the_connection_goes_to_the_address_that_was_looked_at(receiver: Receiver) -> None:
    asked = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    port = int(receiver.url.rpartition(":")[2])
    status = callbacks.post(f"http://hooks.example:{port}/x?y=1#z", b"{}", {}, LOOPBACK, resolve)
    assert (status, asked) == (200, [("hooks.example", port)])
    ((headers, body),) = receiver.got
    assert (headers["Host"], headers["path"], body) == (f"hooks.example:{port}", "/x?y=1", b"{}")


@pytest.mark.parametrize("drips", [False, True])
def test_an_answer_that_takes_too_long_is_none(drips: bool) -> None:
    """Neither silence nor single bytes, each of them in time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def answer() -> None:
            wire, _ = listener.accept()
            with wire:
                wire.recv(1000)
                while not ended.wait(0.05):
                    try:
                        wire.sendall(b"H" if drips else b"")
                    except OSError:
                        return

        thread = threading.Thread(target=answer)
        thread.start()
        begun = time.monotonic()
        try:
            with pytest.raises(Unreachable, match=r"within 0\.5 s"):
                callbacks.post(
                    f"http://127.0.0.1:{listener.getsockname()[1]}/", b"", {}, LOOPBACK, timeout=0.5
                )
            assert time.monotonic() - begun < 20
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize("post", [False, True])
def test_a_host_that_is_looked_up_for_too_long_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, post: bool
) -> None:
    """Neither where it is set nor where it is called; and the look-ups that nobody waits for are few."""
    places, going = threading.BoundedSemaphore(2), threading.Event()
    asked: list[str] = []
    assert callbacks.TIMEOUT == 5, "Commerce Layer's"
    monkeypatch.setattr(callbacks, "TIMEOUT", 0.2)
    monkeypatch.setattr(callbacks, "LOOKUPS", places)

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        going.wait(30)
        return ["127.0.0.1"]

    def looked_up(url: str) -> None:
        if post:
            callbacks.post(url, b"", {}, LOOPBACK, resolve, timeout=0.2)
        else:
            callbacks.check(url, LOOPBACK, resolve)

    begun = time.monotonic()
    for n in range(3):
        with pytest.raises(Unreachable if post else WrongValue, match=f"{n}.example was not found in time"):
            looked_up(f"http://{n}.example/")
    assert time.monotonic() - begun < 20
    assert asked == ["0.example", "1.example"]
    going.set()
    assert all(places.acquire(timeout=20) for _ in range(2)), "they are free when those have ended"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1"),
        *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1"),
    ],
)
def test_an_address_that_is_not_public_is_refused_unless_it_is_configured(address: str) -> None:
    def resolve(host: str, port: int) -> Sequence[str]:
        return [address]

    with pytest.raises(WrongValue, match="private network"):
        callbacks.check("https://hooks.example/", (), resolve)
    every = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    callbacks.check("https://hooks.example/", every, resolve)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "64:ff9b::101:101"])
def test_a_public_address_may_be_called(address: str) -> None:
    callbacks.check("https://hooks.example/", (), lambda host, port: [address])


def test_what_waits_for_an_open_circuit_is_not_looked_at_and_is_sent_when_it_closes(
    ledger: Ledger, receiver: Receiver
) -> None:
    made, _ = hook(ledger, receiver.url)
    receiver.status = 500
    sender = courier(ledger)
    for _ in range(BREAKS):
        drafts.create(ledger)
        assert sender.step()
    drafts.create(ledger)
    assert ledger.webhook(made.id, "acme").opened_at is not None
    assert all(seconds > 10**9 for _, seconds in waiting(ledger))
    ledger.amend_webhook(made.id, "acme", {}, ("reset_circuit",))
    receiver.status = 200
    while sender.step():
        pass
    assert waiting(ledger) == []
    assert len({headers["Event"] for headers, _ in receiver.got}) == BREAKS + 1


def test_a_message_that_is_written_while_the_circuit_closes_is_due(ledger: Ledger) -> None:
    made, _ = hook(ledger, "http://127.0.0.1:9/")
    export = drafts.create(ledger)
    ledger.amend_webhook(made.id, "acme", {"opened_at": 1.0, "failures": BREAKS})
    closing = threading.Thread(target=ledger.amend_webhook, args=[made.id, "acme", {}, ("reset_circuit",)])
    with ledger._write() as write:
        tell(write, export.id, "created")
        closing.start()
        closing.join(0.5)
    closing.join()
    assert len(waiting(ledger)) == 2
    assert all(seconds <= 0 for _, seconds in waiting(ledger))
