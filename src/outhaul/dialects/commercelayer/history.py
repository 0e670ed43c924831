"""Core words to wire: what happened, as Commerce Layer's events, versions and event stores; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from outhaul.dialects.commercelayer.query import LISTS, Asked, Shape
from outhaul.dialects.commercelayer.render import (
    EVENTS,
    GONE,
    WHOLE,
    Setting,
    errors_log,
    meta,
    related,
    time,
)
from outhaul.export import Lens, Status
from outhaul.service import Event

CHANGES = (
    *("created", "amended", "started", "interrupted", "resumed", "completed", "failed", "expired"),
    "removed",
)
# What happens to a webhook, by the words of the wire.
OF_WEBHOOKS = {"webhook_created": "create", "webhook_amended": "update", "webhook_removed": "destroy"}
# By each of these what they tell of.
KINDS: Mapping[str, str] = dict.fromkeys(CHANGES, "exports") | dict.fromkeys(OF_WEBHOOKS, "webhooks")
NAMES: Mapping[str, tuple[str, ...]] = {
    "events": tuple(EVENTS),
    "versions": tuple(KINDS),
    "event_stores": tuple(KINDS),
}
WORDS = dict.fromkeys(CHANGES, "update") | {"created": "create", "removed": "destroy"} | OF_WEBHOOKS
LENSES: Mapping[str, Lens] = {
    "events": Lens(LISTS["events"].filters, EVENTS),
    "versions": Lens(
        LISTS["versions"].filters,
        WORDS,
        kinds=KINDS,
    ),
}
# A change's names on the wire, where they differ.
ATTRIBUTES = {
    "resource": "resource_type",
    "event": "topic",
    "url": "callback_url",
    "include": "include_resources",
    "opened_at": "circuit_state",
    "failures": "circuit_failure_count",
}
OURSELVES = "outhaul"  # in whose name the ledger tells of what nobody has asked for


def identifier(kind: str, told: Event) -> dict[str, str]:
    """Type and id; an event store's id begins with its time in milliseconds."""
    return {
        "type": kind,
        "id": f"{int(told.at.timestamp() * 1000)}-{told.public}" if kind == "event_stores" else told.public,
    }


def resource(kind: str, told: Event, setting: Setting, shape: Shape = WHOLE) -> dict[str, Any]:
    """The resource object of one kind of NAMES."""
    known = identifier(kind, told)
    values = _event(told) if kind == "events" else _change(kind, told, setting)
    own = None if kind == "event_stores" else f"{setting.base}/{kind}/{quote(known['id'], safe='')}"
    return {
        "id": known["id"],
        "type": kind,
        "links": {"self": own},
        "attributes": {name: value for name, value in values.items() if shape.shows(kind, name)},
        **(related(kind, own, shape) if own else {}),
        "meta": meta(told.tenant, setting),
    }


def following(
    data: Sequence[dict[str, Any]], last: str | None, asked: Asked, setting: Setting, at: str
) -> dict[str, Any]:
    """A list's document where a cursor leads on. `last`: the id that the next page follows, None on the last page."""
    links = {}
    if last:
        query = urlencode([*asked.kept, ("page[after]", last), ("page[size]", asked.page.size)], safe="[]")
        links["next"] = f"{setting.base}{at}?{query}"
    return {"data": list(data), "meta": {}, "links": links}


def _event(told: Event) -> dict[str, Any]:
    return {
        "name": EVENTS[told.name],
        "created_at": time(told.at),
        "updated_at": time(told.updated_at or told.at),
        "reference": told.reference,
        "reference_origin": told.reference_origin,
        "metadata": dict(told.metadata),
    }


def _change(kind: str, told: Event, setting: Setting) -> dict[str, Any]:
    changed = _changed(told, setting)
    at = _offset(told.at) if kind == "event_stores" else time(told.at)
    what: dict[str, Any] = (
        {"payload": {name: {"from": old, "to": new} for name, (old, new) in changed.items()}}
        if kind == "event_stores"
        else {"changes": {name: [old, new] for name, (old, new) in changed.items()}}
    )
    return {
        "resource_type": KINDS[told.name],
        "resource_id": told.export,
        "event": WORDS[told.name],
        **what,
        "who": _who(told.who, told.data.get("by", {})),
        "created_at": at,
        "updated_at": at,
    }


def _changed(told: Event, setting: Setting) -> dict[str, tuple[Any, Any]]:
    """Attributes of the wire before and after; those that look the same on it are left out."""
    found = {}
    for name, (old, new) in told.data.get("changed", {}).items():
        pair = (_shown(name, old, setting), _shown(name, new, setting))
        if pair[0] != pair[1]:
            found[ATTRIBUTES.get(name, name)] = pair
    if told.name == "failed":
        found["errors_log"] = ({}, errors_log(told.data["errors"], told.export, setting))
    if told.name == "expired":
        found.pop("status", None)  # the wire has no word for it
        found["errors_log"] = ({}, GONE)
    return found


def _shown(name: str, value: Any, setting: Setting) -> Any:
    """What a changed attribute was or is, as the resource itself shows it."""
    if name == "opened_at":
        return "closed" if value is None else "open"
    if value is None:
        return None
    if name == "status":
        return setting.word(Status(value))
    if name == "event":
        return EVENTS[value]
    return time(datetime.fromtimestamp(value, UTC)) if name == "disabled_at" else value


def _who(caller: str, by: Mapping[str, Any]) -> dict[str, Any]:
    """The application that asked for it, a plain token as if it were one, and whose it is; or the service itself."""
    if caller == OURSELVES:
        return {"worker": {"name": OURSELVES}}
    plain = {"id": caller, "client_id": caller, "kind": "integration", "public": False}
    return {"application": plain | by.get("application", {}), "owner": by.get("owner") or None}


def _offset(moment: datetime) -> str:
    """As event stores write times: UTC with milliseconds and its offset."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
