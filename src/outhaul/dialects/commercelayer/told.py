"""The calls that tell what happened: lists, those of one export or webhook, and single events, versions, stores."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request

from outhaul.dialects.commercelayer import history, query, render
from outhaul.dialects.commercelayer.included import Inclusion
from outhaul.dialects.commercelayer.related import TELLING, event, placed, single, under
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


def _routes_of(of: str, kind: str) -> None:
    """The two calls about one kind of NAMES that lead to it from what it tells of."""
    place = f"/{of}/{{{query.PLACES[of]}}}"

    @router.get(f"{place}/{kind}")
    def list_of(request: Request, caller: SignedIn) -> Document:
        return _list(request, caller, kind, of, whole=True)

    @router.get(f"{place}/relationships/{kind}")
    def relationship(request: Request, caller: SignedIn) -> Document:
        return _list(request, caller, kind, of, whole=False)


for each in history.NAMES:
    _routes(each)
for one, names in TELLING.items():
    for each in names:
        _routes_of(one, each)


def _list(request: Request, caller: Caller, kind: str, of: str | None, *, whole: bool) -> Document:
    """A page of them; `of`: of the export or webhook in the path; `whole`: as resource objects, else as identifiers
    alone."""
    wanted, setting = query.listing(asked(request), kind, whole=whole), setting_of(request)
    exports, names, size, at = exports_of(request), history.NAMES[kind], wanted.page.size, under(request)
    about = _found(request, caller, of) if of else None
    if kind == "event_stores":
        found = exports.history.before(caller, names, about, limit=size + 1, before=wanted.after)
        last = history.identifier(kind, found[size - 1])["id"] if len(found) > size else None
        data = [_shown(kind, one, wanted.shape, setting, whole=whole) for one in found[:size]]
        return Document(history.following(data, last, wanted, setting, at))
    try:
        found, total = exports.history.list(caller, names, about, wanted.stretch(history.LENSES[kind]))
    except Refused as error:
        raise query.in_query(error) from error
    data = [_shown(kind, one, wanted.shape, setting, whole=whole) for one in found]
    included = Inclusion(exports, caller, wanted.shape, setting).fill(kind, found, data)
    return Document(render.page(data, total, wanted, setting, at) | included)


def _found(request: Request, caller: Caller, of: str) -> str:
    """The id in the path; NotFound when no such export or webhook is in sight."""
    exports, about = exports_of(request), placed(request)
    if of == "webhooks":
        exports.webhooks.get(caller, about)
    else:
        exports.get(caller, about)
    return about


def _shown(
    kind: str, one: Event, shape: query.Shape, setting: render.Setting, *, whole: bool
) -> dict[str, Any]:
    return history.resource(kind, one, setting, shape) if whole else dict(history.identifier(kind, one))


def _single(request: Request, caller: Caller, kind: str, event_id: str) -> Document:
    shape, exports, setting = query.shape(asked(request), kind), exports_of(request), setting_of(request)
    found = event(exports, caller, kind, event_id)
    return single(Inclusion(exports, caller, shape, setting), kind, found)
