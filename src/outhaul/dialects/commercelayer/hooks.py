"""The calls of Commerce Layer's `/api/webhooks`, and the letters that are sent to them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response

from outhaul.dialects.commercelayer import documents, parse, query, render
from outhaul.dialects.commercelayer.render import time
from outhaul.dialects.commercelayer.routes import (
    MEDIA_TYPE,
    Body,
    Document,
    SignedIn,
    acceptable,
    asked,
    exports_of,
    setting_of,
)
from outhaul.errors import NotFound, Refused
from outhaul.export import Lens
from outhaul.service import Exports, Message, Webhook

DIALECT = "commercelayer"
LENS = Lens(query.LISTS["webhooks"].filters, render.EVENTS)
router = APIRouter(dependencies=[Depends(acceptable)])


@router.get("/webhooks")
def list_webhooks(request: Request, caller: SignedIn) -> Document:
    wanted, setting = query.listing(asked(request), "webhooks"), setting_of(request)
    try:
        found, total = exports_of(request).webhooks.list(caller, wanted.stretch(LENS))
    except Refused as error:
        raise query.in_query(error) from error
    data = [resource(one, setting, wanted.shape) for one in found]
    return Document(render.page(data, total, wanted, setting, "/webhooks"))


@router.post("/webhooks")
def create(request: Request, caller: SignedIn, given: Body) -> Document:
    shape = query.shape(asked(request), "webhooks")
    row, disabled = parse.webhook_creation(given, render.EVENTS)
    made, secret = exports_of(request).webhooks.create(caller, DIALECT, row, disabled=disabled)
    return Document({"data": resource(made, setting_of(request), shape, secret)}, 201)


@router.get("/webhooks/{webhook_id}")
def retrieve(request: Request, caller: SignedIn, webhook_id: str) -> Document:
    shape = query.shape(asked(request), "webhooks")
    found = exports_of(request).webhooks.get(caller, webhook_id)
    return Document({"data": resource(found, setting_of(request), shape)})


@router.patch("/webhooks/{webhook_id}")
def update(request: Request, caller: SignedIn, webhook_id: str, given: Body) -> Document:
    shape = query.shape(asked(request), "webhooks")
    changes, moves = parse.webhook_update(given, webhook_id, render.EVENTS)
    amended = exports_of(request).webhooks.amend(caller, webhook_id, changes, moves)
    return Document({"data": resource(amended, setting_of(request), shape)})


@router.delete("/webhooks/{webhook_id}")
def delete(request: Request, caller: SignedIn, webhook_id: str) -> Response:
    query.nothing_asked(asked(request))
    exports_of(request).webhooks.delete(caller, webhook_id)
    return Response(status_code=204)


def resource(
    webhook: Webhook, setting: render.Setting, shape: query.Shape = render.WHOLE, secret: str | None = None
) -> dict[str, Any]:
    """The resource object; the secret is known at creation alone."""
    attributes = {
        "name": webhook.name,
        "topic": render.EVENTS[webhook.event],
        "callback_url": webhook.url,
        "include_resources": list(webhook.include),
        "disabled_at": time(webhook.disabled_at),
        "circuit_state": "closed" if webhook.opened_at is None else "open",
        "circuit_failure_count": webhook.failures,
        "shared_secret": secret,
        "created_at": time(webhook.created_at),
        "updated_at": time(webhook.updated_at),
        "reference": webhook.reference,
        "reference_origin": webhook.reference_origin,
        "metadata": dict(webhook.metadata),
    }
    own = f"{setting.base}/webhooks/{quote(webhook.id, safe='')}"
    return {
        "id": webhook.id,
        "type": "webhooks",
        "links": {"self": own},
        "attributes": {name: value for name, value in attributes.items() if shape.shows("webhooks", name)},
        **render.related("webhooks", own, shape),
        "meta": render.meta(webhook.tenant, setting),
    }


def letter(
    exports: Exports, base: str, message: Message, mode: str = "live"
) -> tuple[bytes, Mapping[str, str]]:
    """The export as a GET would show it now, of one that is gone the id alone; with topic, signature and the number
    of the event, which is the same however often it is sent."""
    webhook = message.webhook
    setting = render.Setting(
        base + documents.PREFIX, secrets.token_hex(32), openly=webhook.tenant is None, mode=mode
    )
    body = json.dumps(_document(exports, message, setting), separators=(",", ":")).encode()
    signed = hmac.new(message.secret.encode(), body, hashlib.sha256).digest()
    return body, {
        "Content-Type": MEDIA_TYPE,
        "X-CommerceLayer-Topic": render.EVENTS[message.event.name],
        "X-CommerceLayer-Signature": base64.b64encode(signed).decode(),
        "X-Outhaul-Event": str(message.event.id),
    }


def _document(exports: Exports, message: Message, setting: render.Setting) -> dict[str, Any]:
    event, shape = message.event, query.Shape(include=message.webhook.include)
    try:
        export = exports.get(message.caller, event.export)
    except NotFound:
        empty = dict.fromkeys(query.ATTRIBUTES)
        gone = {"id": event.export, "type": "exports", "attributes": empty}
        return {"data": gone | {"meta": render.meta(event.tenant, setting)}}
    (data,), included = documents.shown(exports, message.caller, [export], shape, setting)
    return {"data": data, **included}
