"""The calls that tell callers of themselves: the organization and the application of their token."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request

from outhaul.access import slug
from outhaul.dialects.commercelayer import query, render
from outhaul.dialects.commercelayer.routes import Document, SignedIn, acceptable, asked, setting_of
from outhaul.export import Caller

EVERYBODY = "all"  # in place of an organization's id, for tokens of all of them
router = APIRouter(dependencies=[Depends(acceptable)])


@router.get("/organization")
def organization(request: Request, caller: SignedIn) -> Document:
    return _single(request, caller, "organizations")


@router.get("/application")
def application(request: Request, caller: SignedIn) -> Document:
    return _single(request, caller, "applications")


def _single(request: Request, caller: Caller, kind: str) -> Document:
    query.nothing_asked(asked(request))
    return Document({"data": resource(kind, caller, setting_of(request))})


def resource(kind: str, caller: Caller, setting: render.Setting) -> dict[str, Any]:
    """The resource object. An organization is called as its id; a token that is no client's has no kind."""
    if kind == "organizations":
        identity = caller.tenant or EVERYBODY
        attributes: dict[str, Any] = {"name": identity, "slug": slug(caller.tenant)}
    else:
        identity = str(caller.application.get("id", caller.id))
        attributes = {
            "name": caller.name,
            "kind": caller.application.get("kind"),
            "public_access": bool(caller.application.get("public")),
        }
    return {
        "id": identity,
        "type": kind,
        "links": {"self": f"{setting.base}/{kind.removesuffix('s')}"},
        "attributes": attributes,
        "meta": render.meta(caller.tenant, setting),
    }
