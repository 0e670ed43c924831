"""The calls of Commerce Layer's `/api/webhooks`, and the letters that are sent to them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from outhaul.dialects import in_turn
from outhaul.dialects.commercelayer import callbacks, documents, parse, query, render
from outhaul.dialects.commercelayer.included import Inclusion
from outhaul.dialects.commercelayer.related import Way, page, single
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
from outhaul.errors import NotFound
from outhaul.export import Caller
from outhaul.service import Exports, Message

KIND = "webhooks"
router = APIRouter(dependencies=[Depends(acceptable)])


@router.get("/webhooks")
def list_webhooks(request: Request, caller: SignedIn) -> Document:
    return page(request, caller, Way("", KIND, KIND), whole=True)


@router.post("/webhooks")
@in_turn
def create(request: Request, caller: SignedIn, given: Body) -> Document:
    inclusion = _inclusion(request, caller, changes=True)
    row, disabled = parse.webhook_creation(given, render.EVENTS)
    made, secret = exports_of(request).webhooks.create(caller, render.DIALECT, row, disabled=disabled)
    data = callbacks.webhook(made, inclusion.setting, inclusion.shape, secret)
    return Document({"data": data} | inclusion.fill(KIND, [made], [data]), 201)


@router.get("/webhooks/{webhook_id}")
def retrieve(request: Request, caller: SignedIn, webhook_id: str) -> Document:
    inclusion = _inclusion(request, caller)
    return single(inclusion, KIND, exports_of(request).webhooks.get(caller, webhook_id))


@router.patch("/webhooks/{webhook_id}")
@in_turn
def update(request: Request, caller: SignedIn, webhook_id: str, given: Body) -> Document:
    inclusion = _inclusion(request, caller, changes=True)
    changes, moves = parse.webhook_update(given, webhook_id, render.EVENTS)
    return single(inclusion, KIND, exports_of(request).webhooks.amend(caller, webhook_id, changes, moves))


@router.delete("/webhooks/{webhook_id}")
@in_turn
def delete(request: Request, caller: SignedIn, webhook_id: str) -> Response:
    query.nothing_asked(asked(request))
    exports_of(request).webhooks.delete(caller, webhook_id)
    return Response(status_code=204)


def _inclusion(request: Request, caller: Caller, *, changes: bool = False) -> Inclusion:
    shape = query.shape(asked(request), KIND, changes=changes)
    return Inclusion(exports_of(request), caller, shape, setting_of(request))


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
        "X-Outhaul-Event": message.event.public,
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
