"""Webhooks on pages: who is told of what, how the last tries went, and a word once more; each tenant its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from outhaul.console.pages import HEADERS, Visit, numbered, page
from outhaul.errors import NotFound, WrongState
from outhaul.export import Lens, Stretch
from outhaul.service import Callback, Event, Exports, Webhook

ROWS = 25  # of a page
TRIES = 20
# Whatever a webhook can be told of.
NAMES = ("created", "started", "completed", "failed", "interrupted", "removed")
ID = re.compile(r"[\w-]{1,80}", re.ASCII)
MOVES = ("enable", "disable", "reset_circuit")


@dataclass(frozen=True, slots=True)
class Try:
    """One try, and the event that it was to tell of; None when that is not there or not in sight."""

    made: Callback
    event: Event | None


@dataclass(frozen=True, slots=True)
class Hooks:
    """The pages of webhooks."""

    exports: Exports

    def list(self, request: Request, seen: Visit) -> Response:
        number = numbered(request.query_params.get("page", ""))
        hooks = self.exports.webhooks
        found, total = hooks.list(seen.who, Stretch(Lens({}), ROWS, (number - 1) * ROWS))
        unsent = hooks.unsent(seen.who, [one.id for one in found])
        pages = max(1, -(-total // ROWS))
        return page(
            "admin-webhooks.html",
            seen,
            webhooks=found,
            unsent=unsent,
            total=total,
            number=number,
            pages=pages,
            state=state,
        )

    def show(self, request: Request, seen: Visit) -> Response:
        caller, found = seen.who, self._known(request, seen)
        tries, total = self.exports.webhooks.tries(caller, Stretch(Lens({}), TRIES), found.id)
        events = self.exports.history.several(caller, NAMES, {one.event for one in tries})
        return page(
            "admin-webhook.html",
            seen,
            hook=found,
            tries=[Try(one, events.get(one.event)) for one in tries],
            total=total,
            unsent=self.exports.webhooks.unsent(caller, [found.id]).get(found.id, 0),
            state=state(found),
            sent=request.query_params.get("sent") == "again",
            now=datetime.now(UTC),
        )

    def sure(self, request: Request, seen: Visit) -> Response:
        return page("admin-webhook-delete.html", seen, hook=self._known(request, seen))

    def move(self, request: Request, seen: Visit) -> Response:
        """Enable, disable, close its circuit, delete it, or tell it once more of the event of a try."""
        name, found = request.path_params["move"], self._known(request, seen)
        moves: Mapping[str, Callable[[Request, Visit, Webhook], str]] = {
            **dict.fromkeys(MOVES, self._amend),
            "delete": self._delete,
            "again": self._again,
        }
        if name not in moves:
            raise NotFound("There is nothing at this address.")
        where = moves[name](request, seen, found)
        request.scope["outhaul.audit"]["webhook"] = found.id
        return RedirectResponse(f"{seen.root}/webhooks{where}", 303, HEADERS)

    def _amend(self, request: Request, seen: Visit, hook: Webhook) -> str:
        self.exports.webhooks.amend(seen.who, hook.id, {}, [request.path_params["move"]])
        return f"/{hook.id}"

    def _delete(self, _: Request, seen: Visit, hook: Webhook) -> str:
        self.exports.webhooks.delete(seen.who, hook.id)
        return ""

    def _again(self, request: Request, seen: Visit, hook: Webhook) -> str:
        caller, hooks = seen.who, self.exports.webhooks
        made = hooks.tried(caller, _id(request.state.form.get("try", "")))
        event = self.exports.history.several(caller, NAMES, [made.event]).get(made.event)
        if event is None or made.webhook != hook.id:
            raise NotFound("What it was to be told of is not there any more.")
        if not hooks.trigger(caller, event, hook.id):
            raise WrongState(
                "It is not told of such events now, so nothing was sent.",
                hint="Enable it first; or what it is told of was changed since.",
            )
        return f"/{hook.id}?sent=again"

    def _known(self, request: Request, seen: Visit) -> Webhook:
        return self.exports.webhooks.get(seen.who, _id(request.path_params["webhook_id"]))


def _id(text: str) -> str:
    """What can be an id; NotFound."""
    if not ID.fullmatch(text):
        raise NotFound("There is nothing of that id.")
    return text


def state(hook: Webhook) -> str:
    """In a word, as badges have it."""
    if hook.disabled_at is not None:
        return "disabled"
    return "open" if hook.opened_at is not None else "working"
