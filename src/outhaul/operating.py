"""What whoever runs the service looks at and does: tokens, tenants, the queue, limits, the audit log, health."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError

from outhaul import trail
from outhaul.access import Access
from outhaul.errors import NotAllowed, WrongState, WrongValue
from outhaul.export import Caller
from outhaul.health import Sign
from outhaul.ledger import Busy, Crowd, Holding, Ledger, Token

__all__ = ["Limit", "Operating", "Queue", "Sign", "Token", "Workers"]

FRESH = 30.0  # seconds for which an examination is good enough: it asks the source
MOST = 200  # lines of each table of the queue
FORM = re.compile(r"[0-9a-f]{8}")  # the id of a token that is to be made


@dataclass(frozen=True, slots=True)
class Limit:
    """A setting that bounds what is done, as it is now."""

    name: str
    value: str
    description: str


@dataclass(frozen=True, slots=True)
class Queue:
    """What is at work. `workers`: those of this service that run; `slots`: as many as can run."""

    crowds: Sequence[Crowd]
    busy: Sequence[Busy]
    holding: Sequence[Holding]
    workers: Collection[str]
    slots: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Workers:
    """Who runs parts here. `alive`: names of the workers."""

    slots: int
    alive: Callable[[], Collection[str]]


class Operating:
    """For admins alone: NotAllowed to others, whatever they ask. Safe to use from several threads. `examine`: looks
    at source, disk and versions."""

    def __init__(
        self,
        access: Access,
        audit: Path,
        workers: Workers,
        examine: Callable[[], Sequence[Sign]],
        limits: Sequence[Limit],
    ) -> None:
        self._access = access
        self._ledger: Ledger = access.ledger
        self._audit = audit
        self._workers = workers
        self._examine = examine
        self._limits = limits
        self._lock = threading.Lock()
        self._signs: tuple[float, Sequence[Sign]] = (0.0, ())

    def tokens(self, caller: Caller) -> tuple[Token, ...]:
        """All tokens and API clients, newest first."""
        _may(caller)
        found = (*self._access.list_tokens(), *self._access.list_clients())
        return tuple(sorted(found, key=lambda one: (one.created_at, one.id), reverse=True))

    def token(self, caller: Caller, token_id: str) -> Token | None:
        _may(caller)
        return self._ledger.token(token_id)

    def make_token(self, caller: Caller, form: str, name: str, **granted: Any) -> tuple[str, Token]:
        """A new token, in clear for the only time, and what is kept of it; `granted`: as `Access.make_token` takes it.
        `form`: 8 hexadecimal digits, under which a token is made once: WrongState when one was."""
        _may(caller)
        if not FORM.fullmatch(form):
            raise WrongValue("This form is none of ours.", hint="Open the page again.", where=("form",))
        expires_at = granted.get("expires_at")
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise WrongValue("The token would have expired already.", where=("expires",))
        try:
            return self._access.make_token(name, of=form, **granted)
        except IntegrityError:
            raise WrongState(
                f"This form has made the token {form} already, which was shown that once.",
                hint="If it was not kept, revoke it and make another.",
            ) from None

    def revoke(self, caller: Caller, token_id: str) -> None:
        """End a token, or an API client with all that it was given; NotFound."""
        _may(caller)
        found = self._ledger.token(token_id)
        if found is not None and found.kind:
            self._access.revoke_client(token_id)
        else:
            self._access.revoke(token_id)

    def tenants(self, caller: Caller, limit: int, offset: int) -> tuple[Mapping[str, Mapping[str, int]], int]:
        """A page of tenants with how many exports of each status they have, and how many tenants there are in all."""
        _may(caller)
        names, total = self._ledger.tenants(limit, offset)
        return self._ledger.exports_of(names), total

    def queue(self, caller: Caller) -> Queue:
        _may(caller)
        return Queue(
            crowds=self._ledger.crowds(MOST),
            busy=self._ledger.busy(MOST),
            holding=self._ledger.holding(MOST),
            workers=self._workers.alive(),
            slots=self._workers.slots,
            now=datetime.now(UTC),
        )

    def limits(self, caller: Caller) -> Sequence[Limit]:
        _may(caller)
        return self._limits

    def audit(self, caller: Caller, sought: trail.Sought, cursor: str, limit: int) -> trail.Found:
        """Lines of the audit log."""
        _may(caller)
        return trail.read(self._audit, sought, cursor, limit)

    def health(self, caller: Caller) -> Sequence[Sign]:
        """The signs, as they were at most FRESH seconds ago."""
        _may(caller)
        with self._lock:
            if time.monotonic() >= self._signs[0]:
                self._signs = (time.monotonic() + FRESH, self._examine())
            return self._signs[1]


def _may(caller: Caller) -> None:
    if not caller.admin:
        raise NotAllowed(
            "This is for whoever runs the service.",
            hint="Sign in by a token that was made with --all-tenants and no limit.",
        )
