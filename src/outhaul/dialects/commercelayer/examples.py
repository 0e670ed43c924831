"""Bodies as the contract shows them, each made by what makes the answers: the examples of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from outhaul import errors as core
from outhaul.dialects.commercelayer import callbacks, callers, errors, history, query, render, schemas
from outhaul.export import Caller, Draft, Export, Selection, Status
from outhaul.service import Callback, Event, Webhook

NOON = datetime(2018, 1, 1, 12, tzinfo=UTC)
ID, ORGANIZATION = "XAyRWNUzyN", "xRRkjDFafe"
REFERENCE = "ANY-EXTERNAL-REFERENCE"
SETTING = render.Setting(
    "https://exports.example.com/api", "69abaa3545913c78132e5578bd26208d44aa9043647d78698fd0021f3958cd74"
)
SELECTION = Selection(
    "skus",
    fields=("code", "name", "prices.*", "prices.price_tiers.price_amount_cents"),
    includes=("prices.price_tiers",),
    filters={"code_eq": "AAA"},
)
KEPT: Mapping[str, Any] = {
    "reference": REFERENCE,
    "reference_origin": f"{REFERENCE}-ORIGIN",
    "metadata": {"foo": "bar"},
}
EXPORT = Export(
    id=ID,
    tenant=ORGANIZATION,
    caller="someone",
    dialect="commercelayer",
    status=Status.RUNNING,
    draft=asdict(Draft((SELECTION,))),
    matched=300,
    processed=270,
    parts=10,
    parts_done=9,
    created_at=NOON,
    updated_at=NOON,
    started_at=NOON,
    estimated_completion_at=NOON.replace(second=30, microsecond=250_000),
    **KEPT,
)
CHANGED = Event(
    id=7,
    public="vKzxQhLmRd",
    export=ID,
    name="interrupted",
    at=NOON,
    who="someone",
    data={"changed": {"status": ["running", "interrupted"], "reference": [None, REFERENCE]}},
    tenant=ORGANIZATION,
)
WEBHOOK = Webhook(
    id=ID,
    tenant=ORGANIZATION,
    maker="someone",
    dialect="commercelayer",
    event="completed",
    url="https://example.com/hooks",
    name="My exports",
    include=("events",),
    salt="",
    key="",
    created_at=NOON,
    updated_at=NOON,
    disabled_at=None,
    opened_at=None,
    failures=0,
    reference=None,
    reference_origin=None,
    metadata={"foo": "bar"},
)
SENT = '{"data":{"id":"XAyRWNUzyN","type":"exports"}}'
CALLBACK = Callback(
    7, "nPwTbYcGsE", ID, 7, "https://example.com/hooks", 500, "status 500", NOON, ORGANIZATION, SENT
)
CALLER = Caller("BdbDWhLdnp", "warehouse", ORGANIZATION, application={"kind": "integration", "public": False})
REFUSALS: Mapping[int, core.OuthaulError] = {
    400: errors.ParamMissing("The required parameter, data, is missing."),
    401: core.NotSignedIn("A bearer token is needed."),
    404: core.NotFound("There is no such export."),
    422: core.TooMuch("", where=("records_count",), facts={"value": 100, "limit": 10}),
}


def shown(kind: str) -> dict[str, Any]:
    """The resource object of a kind."""
    if kind == "exports":
        return render.resource(EXPORT, render.Links(), SETTING)
    if kind == "webhooks":
        return callbacks.webhook(WEBHOOK, SETTING)
    if kind == "event_callbacks":
        return callbacks.callback(CALLBACK, SETTING)
    if kind in schemas.ITSELF:
        return callers.resource(kind, CALLER, SETTING)
    return history.resource(kind, CHANGED, SETTING)


def page(kind: str, data: list[dict[str, Any]]) -> dict[str, Any]:
    """The document of a list, which goes on after it."""
    if kind == "event_stores":
        asked = query.Asked()
        return history.following(data, data[-1]["id"], asked, SETTING, f"/{kind}")
    return render.page(data, 140, query.Asked(), SETTING, f"/{kind}")


def creation(kind: str) -> dict[str, Any]:
    """A body that makes one."""
    attributes = shown(kind)["attributes"]
    names = {
        "exports": ("resource_type", "format", "includes", "fields", "filters", *KEPT),
        "webhooks": ("name", "topic", "callback_url", "include_resources", *KEPT),
    }[kind]
    return {"data": {"type": kind, "attributes": {name: attributes[name] for name in names}}}


def change(kind: str) -> dict[str, Any]:
    """A body that changes one."""
    return {"data": {"type": kind, "attributes": dict(KEPT)}}


def refusal(status: int) -> dict[str, Any] | None:
    """The errors document of a status, where the contract shows one."""
    error = REFUSALS.get(status)
    return errors.document(error, SETTING.trace)[1] if error else None
