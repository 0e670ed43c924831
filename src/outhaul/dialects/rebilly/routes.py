"""The calls of Rebilly's organization exports and of the files that they become: who may, parse, do, render."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from outhaul.access import Access
from outhaul.dialects import waiting
from outhaul.dialects._links import delivered
from outhaul.dialects.rebilly import errors, ids, parse, render
from outhaul.dialects.rebilly.mapping import Mapped, binaries, mapped
from outhaul.errors import BadRange, NotAllowed, NotFound, NotSignedIn, OuthaulError, Refused, WrongValue
from outhaul.export import Caller, Export, Status
from outhaul.rates import Rate, Room
from outhaul.service import Exports

SETTINGS = ("rate_organization",)
# Signed links are files, too: two steps below /files, whatever slashes follow, the second never `download`.
PLACES = re.compile(
    r"(/(organizations|organization-exports)(/.*)?"
    r"|/files(?!/[^/]+/(?!download/*\Z)[^/]+/*\Z)(/.*)?)\Z",
    re.DOTALL,
)
LONGEST = 200  # characters of an organization's id
# By path, below the address of the service and below an organization's: what it can be asked by.
SHOWN: Mapping[str, Mapping[str, str]] = {
    "/organization-exports": {"GET": "page", "POST": "create"},
    "/organization-exports/{id}": {"GET": "get"},
    "/files/{id}": {"GET": "file"},
    "/files/{id}/download": {"GET": "download"},
}

log = logging.getLogger("outhaul.rebilly")


@dataclass(frozen=True, slots=True)
class Asking:
    """A request of somebody who has signed in. `room`: what is left under the rate of the organization."""

    request: Request
    caller: Caller
    raw: bytes = b""
    room: Room | None = None

    @property
    def base(self) -> str:
        return render.place(self.request.scope["outhaul.base"], self.caller.tenant)

    @property
    def given(self) -> str:
        """The id in the address."""
        return str(self.request.path_params["id"])


Call = Callable[[Asking], Response]
Running = Callable[[Callable[[], Any]], Awaitable[Any]]


class Calls:
    """What can be asked of one service."""

    def __init__(self, exports: Exports, found: Mapped) -> None:
        self._exports = exports
        self._mapped = found
        self._binaries = binaries(exports.catalog, found)

    def create(self, asking: Asking) -> Response:
        assert asking.caller.tenant
        draft = parse.creation(asking.raw, self._mapped, asking.caller.tenant, self._binaries)
        export = self._exports.create(asking.caller, draft)
        asking.request.scope["outhaul.audit"]["export"] = export.id
        (shown,) = self._shown(asking, [export])
        place = f"{asking.base}/organization-exports/{shown['id']}"
        return JSONResponse(shown, 201, {"Location": place, **_rate_headers(asking.room)})

    def get(self, asking: Asking) -> Response:
        (shown,) = self._shown(asking, [self._find(asking.caller, asking.given, ids.EXPORT)])
        return JSONResponse(shown)

    def page(self, asking: Asking) -> Response:
        wanted = parse.listing(parse_qsl(asking.request.url.query, keep_blank_values=True))
        try:
            found, total = self._matching(asking.caller, wanted)
        except Refused as error:
            raise _in_query(error) from error
        told = (wanted.limit, wanted.offset, total)
        names = ("Pagination-Limit", "Pagination-Offset", "Pagination-Total")
        return JSONResponse(self._shown(asking, found), headers=dict(zip(names, map(str, told), strict=True)))

    def file(self, asking: Asking) -> Response:
        export = self._find(asking.caller, asking.given, ids.FILE)
        found = self._exports.file(asking.caller, export.id, render.name(export))
        setting = render.Setting(asking.base, self._link(asking, export, found.name))
        return JSONResponse(render.file(export, found, setting))

    def download(self, asking: Asking) -> Response:
        export = self._find(asking.caller, asking.given, ids.FILE)
        found = self._exports.file(asking.caller, export.id, render.name(export))
        return delivered(found, asking.request)

    def _matching(self, caller: Caller, wanted: parse.Asked) -> tuple[Sequence[Export], int]:
        where: dict[str, Any] = dict(wanted.times)
        if wanted.statuses is not None:
            where["status_in"] = sorted(wanted.statuses)
        known = self._known(caller, wanted.others.union(*wanted.ids))
        if wanted.ids:
            sets = ({known[one] for one in some if one in known} for some in wanted.ids)
            where["id_in"] = sorted(set.intersection(*sets))
        if others := {known[one] for one in wanted.others if one in known}:
            where["id_not_in"] = sorted(others)
        if [] in where.values():
            return (), 0
        return self._exports.list(
            caller,
            where=where,
            order=wanted.order,
            limit=wanted.limit,
            offset=wanted.offset,
            view=render.VIEW,
        )

    def _known(self, caller: Caller, given: frozenset[str]) -> Mapping[str, str]:
        """Of those wire ids that are of exports, or of their files, the ledger's ids of the exports."""
        kinds = {one: ids.FILE if one.startswith(ids.FILE) else ids.EXPORT for one in given}
        wanted = sorted({own for one, prefix in kinds.items() if (own := ids.ledger_id(one, prefix))})
        if not wanted:
            return {}
        exports, _ = self._exports.list(caller, where={"id_in": wanted}, limit=len(wanted), view=render.VIEW)
        return {
            one: export.id for export in exports for one, prefix in kinds.items() if _is(export, one, prefix)
        }

    def _find(self, caller: Caller, given: str, prefix: str) -> Export:
        """The export of an id, or of the id of its file, which is there only while it can be downloaded."""
        known = ids.ledger_id(given, prefix)
        try:
            export = self._exports.get(caller, known) if known else None
        except NotFound:  # which names it by another id than the asker's
            export = None
        if not export or not _is(export, given, prefix):
            raise NotFound(f"There is no resource {given[:50]!a} here.")
        return export

    def _link(self, asking: Asking, export: Export, name: str) -> str:
        base: str = asking.request.scope["outhaul.base"]
        return base + self._exports.link(asking.caller, export, name)

    def _shown(self, asking: Asking, found: Sequence[Export]) -> list[dict[str, Any]]:
        counts, files = self._exports.counts(found), self._exports.files(found)
        links = {one.id: self._link(asking, one, files[one.id][0].name) for one in found if files.get(one.id)}
        return [
            render.organization_export(
                one, render.Setting(asking.base, links.get(one.id), counts.get(one.id, ()))
            )
            for one in found
        ]


def _is(export: Export, given: str, prefix: str) -> bool:
    """Whether a wire id is that of the export, or of the file that it has while it is completed."""
    if export.dialect != render.DIALECT:
        return False
    if prefix == ids.FILE:
        return export.status is Status.COMPLETED and ids.file_id(export) == given
    return ids.export_id(export) == given


def _in_query(error: Refused) -> Refused:
    """What the core says about a filter, as one of the parameter."""
    if not error.where or error.where[0] != "filters":
        return error
    return WrongValue(error.message, hint=error.hint, where=("filter",), wrong=error.wrong)


def _rate_headers(room: Room | None) -> dict[str, str]:
    if room is None:
        return {}
    return {"X-RateLimit-Limit": str(room.rate.limit), "X-RateLimit-Remaining": str(room.remaining)}


def build(
    exports: Exports, access: Access, *, max_body: int, rate_organization: Rate | None = None
) -> ASGIApp:
    """The dialect as an app of its own, for the addresses of PLACES. `rate_organization`: of calls that change
    something, of one organization. Misconfigured for a section of the catalog file that cannot be read."""
    calls = Calls(exports, mapped(exports.catalog.sections))
    door = Door(access, max_body, rate_organization)
    routes = []
    for path, names in SHOWN.items():
        by_method: dict[str, Call] = {method: getattr(calls, name) for method, name in names.items()}
        for before in ("", "/organizations/{organization}"):
            route = Route(before + path, door.answering(by_method), methods=list(by_method))
            route.methods = set(by_method)  # Starlette adds HEAD
            routes.append(route)
    app = Starlette(routes=routes, exception_handlers={HTTPException: _nowhere})
    app.router.redirect_slashes = False
    return Bare(app)


class Bare:
    """An address with a slash at its end is the same address: a redirected POST would become a GET."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "path": scope["path"].rstrip("/")}, receive, send)


class Door:
    """Who is let in, how often, and with how large a body."""

    def __init__(self, access: Access, max_body: int, rate: Rate | None) -> None:
        self._access = access
        self._max_body = max_body
        self._rate = rate

    def answering(self, by_method: Mapping[str, Call]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                return await self._answered(request, by_method[request.method])
            except OuthaulError as error:
                return _refusal(request, errors.in_time(error))
            except Exception:
                log.exception("request %s failed", request.scope["outhaul.trace"])
                return _refusal(request, OuthaulError("unforeseen"))

        return answer

    async def _answered(self, request: Request, call: Call) -> Response:
        """What only looks never waits behind what changes something."""
        changes = request.method == "POST"
        run: Running = waiting if changes else run_in_threadpool
        asking: Asking = await run(partial(self._let_in, request))
        if changes:
            asking = replace(asking, raw=await self._body(request))
        answer: Response = await run(partial(call, asking))
        return answer

    def _let_in(self, request: Request) -> Asking:
        caller = self._signed_in(request)
        request.scope["outhaul.audit"].update(caller=caller.id, tenant=caller.tenant)
        if self._rate is None or request.method == "GET":
            return Asking(request, caller)
        (room,) = self._access.let_in({f"rebilly {caller.tenant}": self._rate}).values()
        if room.wait:
            raise errors.TooManyRequests(
                f"This organization has made {room.rate.limit} requests in {room.rate.interval:g} seconds.",
                hint="Wait, and try again.",
                facts={"wait": room.wait, "limit": room.rate.limit},
            )
        return Asking(request, caller, room=room)

    def _signed_in(self, request: Request) -> Caller:
        """Whose key or token it is, for the organization in the address, or without one for its own."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        key = request.headers.get("reb-apikey") or (token if kind.lower() == "bearer" else "")
        if not key.strip():
            raise NotSignedIn("An API key in REB-APIKEY or a bearer token is needed.")
        organization = request.path_params.get("organization")
        if organization is not None and not (organization.isprintable() and len(organization) <= LONGEST):
            raise NotAllowed("This key does not reach that organization.")
        caller = self._access.caller(key.strip(), organization)
        if caller.tenant is None:
            raise NotAllowed(
                "This key is for all organizations.", hint="Name one: /organizations/ID/organization-exports."
            )
        return caller

    async def _body(self, request: Request) -> bytes:
        raw = bytearray()
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > self._max_body:
                raise errors.BodyTooLarge(f"The body is larger than {self._max_body} bytes.")
        return bytes(raw)


def _refusal(request: Request, error: OuthaulError, more: Mapping[str, str] | None = None) -> JSONResponse:
    trace = request.scope["outhaul.trace"]
    if error.outside:
        log.warning("request %s: %s", trace, error)
    status, body = errors.problem(error, trace)
    headers = dict(more or {})
    if isinstance(error, BadRange):
        headers["Content-Range"] = f"bytes */{error.facts['length']}"
    if isinstance(error, errors.TooManyRequests):
        wait = math.ceil(error.facts["wait"])
        headers |= {"Retry-After": str(wait), "X-RateLimit-Retry-After": str(int(time.time()) + wait)}
        if "limit" in error.facts:
            headers |= {"X-RateLimit-Limit": str(error.facts["limit"]), "X-RateLimit-Remaining": "0"}
    return JSONResponse(body, status, headers)


async def _nowhere(request: Request, error: Exception) -> JSONResponse:
    """What no call has been asked for."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = sorted((error.headers or {}).get("Allow", "").split(", "))
        refusal = errors.NoSuchMethod("This address does not know that method.")
        return _refusal(request, refusal, {"Allow": ", ".join(allowed)})
    return _refusal(request, NotFound("There is nothing at this address."))
