"""The calls that tell what happened to exports: lists, relationships and single events, versions, event stores."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request

from outhaul.dialects.commercelayer import history, query, render
from outhaul.dialects.commercelayer.related import event
from outhaul.dialects.commercelayer.routes import (
    Document,
    SignedIn,
    acceptable,
    asked,
    exports_of,
    setting_of,
)
from outhaul.errors import Refused
from outhaul.export import Caller
from outhaul.service import Event

router = APIRouter(dependencies=[Depends(acceptable)])


def _routes(kind: str) -> None:
    """The calls about one kind of NAMES."""

    @router.get(f"/{kind}")
    def list_all(request: Request, caller: SignedIn) -> Document:
        return _list(request, caller, kind, None, whole=True)

    @router.get(f"/{kind}/{{event_id}}")
    def retrieve(request: Request, caller: SignedIn, event_id: str) -> Document:
        return _single(request, caller, kind, event_id)

    @router.get(f"/exports/{{export_id}}/{kind}")
    def list_of_export(request: Request, caller: SignedIn, export_id: str) -> Document:
        return _list(request, caller, kind, export_id, whole=True)

    @router.get(f"/exports/{{export_id}}/relationships/{kind}")
    def relationship(request: Request, caller: SignedIn, export_id: str) -> Document:
        return _list(request, caller, kind, export_id, whole=False)


for each in history.NAMES:
    _routes(each)


def _list(request: Request, caller: Caller, kind: str, export_id: str | None, *, whole: bool) -> Document:
    """A page of them; `whole`: as resource objects, else as identifiers alone."""
    wanted, setting = query.listing(asked(request), kind), setting_of(request)
    happened, names, size = exports_of(request).history, history.NAMES[kind], wanted.page.size
    at = request.scope["path"].removeprefix(request.scope.get("root_path", ""))

    def shown(one: Event) -> dict[str, Any]:
        return (
            history.resource(kind, one, setting, wanted.shape)
            if whole
            else dict(history.identifier(kind, one))
        )

    if kind == "event_stores":
        found = happened.before(caller, names, export_id, limit=size + 1, before=wanted.after)
        last = history.identifier(kind, found[size - 1])["id"] if len(found) > size else None
        return Document(history.following([shown(one) for one in found[:size]], last, wanted, setting, at))
    try:
        found, total = happened.list(caller, names, export_id, wanted.stretch(history.LENSES[kind]))
    except Refused as error:
        raise query.in_query(error) from error
    return Document(render.page([shown(one) for one in found], total, wanted, setting, at))


def _single(request: Request, caller: Caller, kind: str, event_id: str) -> Document:
    shape = query.shape(asked(request), kind)
    found = event(exports_of(request), caller, kind, event_id)
    return Document({"data": history.resource(kind, found, setting_of(request), shape)})
