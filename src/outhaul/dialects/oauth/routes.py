"""The calls of `/oauth`: a token for a client, its end, and what it is worth."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from outhaul import scopes
from outhaul.access import Access
from outhaul.dialects import Limited, each_once
from outhaul.errors import NotAllowed, NotSignedIn, OuthaulError, UnderMaintenance, WrongValue
from outhaul.export import Caller
from outhaul.rates import Rate
from outhaul.service import Exports

PREFIX = "/oauth"
SETTINGS = ("rate_tokens",)
FORM = "application/x-www-form-urlencoded"
NEVER_KEPT = {"Cache-Control": "no-store", "Pragma": "no-cache"}
SECRETS = ("client_id", "client_secret")
NO_TEXT = re.compile("[\0\ud800-\udfff]")

log = logging.getLogger("outhaul.oauth")


@dataclass(frozen=True, slots=True)
class Words:
    """How one error of RFC 6749 is said."""

    status: int
    code: str
    detail: str


WORDS: Mapping[str, Words] = {
    "invalid_client": Words(
        401,
        "UNAUTHORIZED",
        "Client authentication failed due to unknown client, no client authentication included, or unsupported "
        "authentication method.",
    ),
    "unauthorized_client": Words(403, "FORBIDDEN", "You are not authorized to revoke this token"),
    "unsupported_grant_type": Words(
        400,
        "BAD_REQUEST",
        "The authorization grant type is not supported by the authorization server.",
    ),
    "invalid_scope": Words(400, "BAD_REQUEST", "The requested scope is invalid, unknown, or malformed."),
    "invalid_request": Words(
        400,
        "BAD_REQUEST",
        "The request is missing a required parameter, includes an unsupported parameter value, or is otherwise "
        "malformed.",
    ),
    "temporarily_unavailable": Words(
        503, "SERVICE_UNAVAILABLE", "The service is under maintenance. Try again later."
    ),
    "not_found": Words(404, "NOT_FOUND", "There is nothing at this address."),
    "method_not_allowed": Words(405, "METHOD_NOT_ALLOWED", "This address does not know that method."),
    "server_error": Words(500, "INTERNAL_SERVER_ERROR", "Something went wrong on our side. Mention {trace}."),
}
TITLES: Mapping[type[OuthaulError], str] = {
    NotSignedIn: "invalid_client",
    NotAllowed: "unauthorized_client",
    WrongValue: "invalid_scope",
    UnderMaintenance: "temporarily_unavailable",
}
LOCKED_OUT = {
    "title": "Invalid token",
    "detail": "The access token you provided is invalid.",
    "code": "INVALID_TOKEN",
    "status": "401",
}


class InvalidRequest(Exception):
    """The body is none, or too large, or lacks a member."""


def build(
    exports: Exports,  # noqa: ARG001  # every dialect is given them
    access: Access,
    *,
    max_body: int,
    rate_tokens: Rate | None = None,
) -> ASGIApp:
    """The dialect as an app of its own, to be mounted under PREFIX. `rate_tokens`: of those that one address may ask
    for."""

    async def token(request: Request) -> JSONResponse:
        given = await _members(request, max_body, ("grant_type", *SECRETS, "scope"))
        if given.get("grant_type") != "client_credentials":
            return _refusal(
                "unsupported_grant_type" if given.get("grant_type") else "invalid_request", request
            )
        who = given.get("client_id", ""), given.get("client_secret"), given.get("scope")
        request.scope["outhaul.audit"]["caller"] = who[0][:100]
        made = await run_in_threadpool(access.grant, *who)
        found = {
            "access_token": made.token,
            "token_type": "bearer",
            "expires_in": int(made.lifetime.total_seconds()),
            "scope": made.scope,
            "created_at": made.created_at,
        }
        return JSONResponse(found, headers=NEVER_KEPT)

    async def revoke(request: Request) -> JSONResponse:
        given = await _members(request, max_body, (*SECRETS, "token"))
        if "token" not in given:
            raise InvalidRequest
        who = given.get("client_id", ""), given.get("client_secret"), given["token"]
        request.scope["outhaul.audit"]["caller"] = who[0][:100]
        await run_in_threadpool(access.end, *who)
        return JSONResponse({}, headers=NEVER_KEPT)

    async def info(request: Request) -> JSONResponse:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            claims = await run_in_threadpool(access.claims, token.strip() if kind.lower() == "bearer" else "")
            caller = await run_in_threadpool(access.bearer, claims)
            request.scope["outhaul.audit"].update(caller=caller.id, tenant=caller.tenant)
        except NotSignedIn:
            return JSONResponse({"errors": [LOCKED_OUT]}, 401, NEVER_KEPT)
        return JSONResponse(_told(claims, caller), headers=NEVER_KEPT)

    app = Starlette(
        routes=[
            Route("/token", _answering(access, token), methods=["POST"]),
            Route("/revoke", _answering(access, revoke), methods=["POST"]),
            Route("/tokeninfo", _answering(access, info), methods=["GET"]),
        ],
        exception_handlers={HTTPException: _nowhere},
    )
    app.router.redirect_slashes = False
    return Limited(app, access, lambda _, path: {"tokens": rate_tokens if path == "/token" else None})


def _answering(
    access: Access,
    call: Callable[[Request], Awaitable[JSONResponse]],
) -> Callable[[Request], Awaitable[JSONResponse]]:
    async def answer(request: Request) -> JSONResponse:
        try:
            await run_in_threadpool(access.open)
            return await call(request)
        except InvalidRequest:
            return _refusal("invalid_request", request)
        except OuthaulError as error:
            title = next((TITLES[kind] for kind in type(error).__mro__ if kind in TITLES), "server_error")
            return _refusal(title, request)
        except Exception:
            log.exception("request %s failed", request.scope["outhaul.trace"])
            return _refusal("server_error", request)

    return answer


async def _nowhere(request: Request, error: Exception) -> JSONResponse:
    """What no call has been asked for."""
    assert isinstance(error, HTTPException)
    answer = _refusal("method_not_allowed" if error.status_code == 405 else "not_found", request)
    answer.headers.update(error.headers or {})
    return answer


def _refusal(title: str, request: Request) -> JSONResponse:
    """Unlike those of the API, its status is a number: so the official client has it."""
    said = WORDS[title]
    detail = said.detail.format(trace=request.scope["outhaul.trace"])
    entry = {"title": title, "detail": detail, "code": said.code, "status": said.status}
    return JSONResponse({"errors": [entry | {"meta": {"error": title}}]}, said.status, NEVER_KEPT)


async def _members(request: Request, limit: int, names: tuple[str, ...]) -> dict[str, str]:
    """The members of the body that count, JSON or a form; those that are null or no text are not there. A scope that
    counts must be text: without one everything is granted."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limit:
            raise InvalidRequest
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        data: Any = (
            each_once(parse_qsl(raw.decode()))
            if kind == FORM
            else json.loads(bytes(raw), object_pairs_hook=each_once)
        )
    except (ValueError, RecursionError):
        raise InvalidRequest from None
    if not isinstance(data, dict):
        raise InvalidRequest
    found = {name: data[name] for name in names if _is_text(data.get(name))}
    if "scope" in names and data.get("scope") is not None and "scope" not in found:
        raise InvalidRequest
    return found


def _is_text(value: Any) -> bool:
    """Whether the ledger can look for it: in NUL and halves of characters it cannot."""
    return isinstance(value, str) and not NO_TEXT.search(value)


def _told(claims: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """What the dashboard asks before it offers anything: kind and rights of a token."""
    application, ids = claims.get("application") or {}, scopes.resolved(claims)
    changes = caller.exports and not caller.read_only
    rights = {"create": changes, "destroy": changes, "read": caller.exports, "update": changes}
    role = "admin" if changes else "read_only" if caller.exports else "none"
    return {
        "token": {
            "test": bool(claims.get("test")),
            "market_ids": list(ids.get("id", ())),
            "stock_location_ids": list(ids.get("stock_location_ids", ())),
            "lifespan": max(0, int(claims["exp"] - time.time())),
        },
        "role": {"id": role, "kind": role, "name": role.replace("_", " ").capitalize()},
        "application": {
            "id": str(application.get("id")),
            "kind": str(application.get("kind")),
            "name": caller.name,
            "core": False,
        },
        "permissions": {"exports": rights},
    }
