"""Webhooks: who wants to be told of what, and the outbox's way to them by signed POSTs."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from outhaul import callbacks
from outhaul.callbacks import Network, Resolve, Unreachable
from outhaul.errors import NotAllowed, OuthaulError
from outhaul.export import Caller, Stretch
from outhaul.ledger import Callback, Event, Ledger, Sending, Webhook

__all__ = ["Callback", "Courier", "Message", "Webhook", "Webhooks"]

TICK = 1.0  # seconds between two looks when nothing is due
PARTING = 1.0  # seconds that messages under way are given at the end
COURIERS = 4  # messages under way at once, each to another webhook
# What opens a file for as long as it is good: kept nowhere, as it is not in the audit log.
LINK = re.compile(rb"(?<=/files/)[\w.-]+(?=/)")

log = logging.getLogger("outhaul.webhooks")


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be told to whom; `caller`: in whose sight, `secret`: what it is signed with."""

    webhook: Webhook
    event: Event
    caller: Caller
    secret: str


class Write(Protocol):
    """How a dialect writes a message: body and headers. It may raise OuthaulError."""

    def __call__(self, message: Message) -> tuple[bytes, Mapping[str, str]]: ...


class Webhooks:
    """The webhooks of one ledger. A caller sees those of the own tenant; safe to use from several threads."""

    def __init__(
        self,
        ledger: Ledger,
        keys: Sequence[str],
        networks: Sequence[Network],
        resolve: Resolve = callbacks.lookup,
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self.networks = networks
        self.resolve = resolve

    def create(
        self, caller: Caller, dialect: str, row: Mapping[str, Any], *, disabled: bool = False
    ) -> tuple[Webhook, str]:
        """A new one, and its secret for the only time. `row`: `event`, `url`, and what can be amended. WrongValue for
        an address that may not be called."""
        _may(caller, change=True)
        callbacks.check(row["url"], self.networks, self.resolve)
        salt, key = secrets.token_hex(16), self._keys[0]
        own = {
            "tenant": caller.tenant,
            "maker": caller.id,
            "dialect": dialect,
            "salt": salt,
            "key": _name(key),
        }
        made = self._ledger.insert_webhook({**row, **own}, disabled=disabled, who=caller)
        return made, _secret(key, salt)

    def get(self, caller: Caller, webhook_id: str) -> Webhook:
        _may(caller)
        return self._ledger.webhook(webhook_id, caller.tenant)

    def list(
        self, caller: Caller, asked: Stretch, event: Event | None = None
    ) -> tuple[tuple[Webhook, ...], int]:
        """A page, of all or of those that would be told of an event now, and how many there are. Wrong filters are
        refused as those of a draft are."""
        _may(caller)
        return self._ledger.list_webhooks(caller.tenant, asked, event)

    def amend(
        self, caller: Caller, webhook_id: str, changes: Mapping[str, Any], moves: Sequence[str] = ()
    ) -> Webhook:
        """Change what it is and make the moves enable, disable and reset_circuit, or nothing of it."""
        found = self.get(caller, webhook_id)
        _may(caller, change=True)
        if "url" in changes:
            callbacks.check(changes["url"], self.networks, self.resolve)
        if not changes and not moves:
            return found
        return self._ledger.amend_webhook(found.id, caller.tenant, changes, moves, caller)

    def tries(
        self, caller: Caller, asked: Stretch, webhook_id: str | None = None, event: Event | None = None
    ) -> tuple[tuple[Callback, ...], int]:
        """A page of the last tries to tell one webhook, or of one event, or all of them, and how many there are."""
        _may(caller)
        if webhook_id is not None:
            self._ledger.webhook(webhook_id, caller.tenant)
        event_id = None if event is None else event.id
        return self._ledger.list_callbacks(caller.tenant, webhook_id, event_id, asked)

    def last_tries(
        self, caller: Caller, of: str, ids: Sequence[Any], *, each: int, most: int
    ) -> tuple[Callback, ...]:
        """The newest tries of several webhooks or events, newest first. `of`: "webhook" or "event"; `each`: as many of
        one, `most`: as many in all."""
        _may(caller)
        return self._ledger.last_callbacks(caller.tenant, of, ids, each, most)

    def tried(self, caller: Caller, public: str) -> Callback:
        """One try; NotFound, also when it is no longer kept."""
        _may(caller)
        return self._ledger.callback(public, caller.tenant)

    def trigger(self, caller: Caller, event: Event, webhook_id: str | None = None) -> int:
        """Tell of an event once more whoever of the caller's tenant would be told of it now, or one of them; gives how
        many are."""
        _may(caller, change=True)
        return self._ledger.trigger(event, caller.tenant, webhook_id)

    def unsent(self, caller: Caller, ids: Sequence[str]) -> Mapping[str, int]:
        """How many messages wait to be sent to these webhooks, which the caller was let see, by id."""
        _may(caller)
        return self._ledger.unsent(ids)

    def delete(self, caller: Caller, webhook_id: str) -> None:
        _may(caller, change=True)
        self._ledger.remove_webhook(webhook_id, caller.tenant, caller)

    def message(self, delivery: Sending) -> Message:
        """The delivery with its secret; OuthaulError when the key that it was derived from is no longer there."""
        webhook = delivery.webhook
        key = next((one for one in self._keys if _name(one) == webhook.key), None)
        if key is None:
            raise OuthaulError("The key of this webhook's secret was taken away.", hint="Make it again.")
        caller = Caller(webhook.maker, "", webhook.tenant, all_tenants=webhook.tenant is None)
        return Message(webhook, delivery.event, caller, _secret(key, webhook.salt))


class Courier:
    """Sends what is in the outbox, in threads of its own; several services may do so on one ledger at once."""

    def __init__(self, ledger: Ledger, webhooks: Webhooks, writes: Mapping[str, Write]) -> None:
        self._ledger = ledger
        self._webhooks = webhooks
        self._writes = writes
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"courier-{n}", daemon=True) for n in range(COURIERS)
        ]

    def step(self) -> bool:
        """Send one message that is due; False when there is none."""
        delivery = self._ledger.pick()
        if delivery is None:
            return False
        status, why, payload = self._sent(delivery)
        if status is not None and why is None:
            self._ledger.arrived(delivery, status, payload)
            return True
        over = self._ledger.missed(delivery, status, str(why), payload)
        end = "; it is given up" if over else ""
        log.warning("event %s to webhook %s: %s%s", delivery.event.public, delivery.webhook.id, why, end)
        return True

    def _sent(self, delivery: Sending) -> tuple[int | None, str | None, str | None]:
        """The status of the answer, if there was one, why it was not taken, None when it was, and what of the message
        is to be kept."""
        payload = None
        try:
            body, headers = self._writes[delivery.webhook.dialect](self._webhooks.message(delivery))
            payload = LINK.sub(b"***", body).decode(errors="replace")
            status = callbacks.post(
                delivery.webhook.url, body, headers, self._webhooks.networks, self._webhooks.resolve
            )
        except (Unreachable, OuthaulError) as error:
            return None, str(error), payload
        return status, None if 200 <= status < 300 else f"status {status}", payload

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """What is under way has a moment to come to its end; else it is sent again when its lease is over."""
        self._ended.set()
        deadline = time.monotonic() + PARTING
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                if self.step():
                    continue
            except Exception:
                log.exception("could not send; trying again")
            self._ended.wait(TICK)


def _may(caller: Caller, *, change: bool = False) -> None:
    if caller.tenant is None and not caller.all_tenants:
        raise NotAllowed("This token belongs to no tenant.")
    if caller.resources:
        raise NotAllowed(
            "A webhook tells of every export, and this token reaches only some resources.",
            hint="Use one that was made without --resources.",
        )
    if change and caller.read_only:
        raise NotAllowed("This token only reads.", hint="Use one that was made without --read-only.")


def _secret(key: str, salt: str) -> str:
    """Derived rather than stored: whoever reads the ledger without the key file cannot sign."""
    return hmac.new(key.encode(), f"outhaul webhook {salt}".encode(), hashlib.sha256).hexdigest()


def _name(key: str) -> str:
    """By which a webhook remembers its key."""
    return hashlib.sha256(f"outhaul webhook key {key}".encode()).hexdigest()[:16]
