"""The calls of Commerce Layer's `/api/exports`: who may, parse, do, render."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from outhaul.access import Access
from outhaul.dialects import Limited, in_turn
from outhaul.dialects.commercelayer import documents, errors, parse, query, render
from outhaul.dialects.commercelayer.documents import PREFIX
from outhaul.errors import Malformed, NotFound, NotSignedIn, OuthaulError, Refused
from outhaul.export import Caller, Export
from outhaul.rates import Rate
from outhaul.service import Exports

SETTINGS = ("mode", "failed_as_interrupted", "rate_average", "rate_burst")
MEDIA_TYPE = "application/vnd.api+json"
ACCEPTED = {MEDIA_TYPE, "application/json", "application/*", "*/*"}
KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")  # a header has no space at its ends
HTTP_ERRORS: dict[int, OuthaulError] = {405: errors.NoSuchMethod("This address does not know that method.")}

log = logging.getLogger("outhaul.commercelayer")


class Document(JSONResponse):
    media_type = MEDIA_TYPE


def build(
    exports: Exports,
    access: Access,
    *,
    max_body: int,
    mode: str = "live",
    failed_as_interrupted: Sequence[str] = (),
    rate_average: Rate | None = None,
    rate_burst: Rate | None = None,
    more: Sequence[APIRouter] = (),
) -> ASGIApp:
    """The dialect as an app of its own, to be mounted under PREFIX. `mode`: live or test. `failed_as_interrupted`: what
    the names of clients begin with that know no failed exports and would ask for ever; they are shown interrupted ones.
    `rate_average`: of calls from one address, reads and writes each; `rate_burst`: the same, to one endpoint. `more`:
    calls about other things than exports."""
    app = FastAPI(openapi_url=None, redirect_slashes=False, default_response_class=Document)
    app.state.exports, app.state.access, app.state.max_body = exports, access, max_body
    app.state.mode = mode
    app.state.failed_as_interrupted = tuple(failed_as_interrupted)
    app.state.routers = (polled, router, *more)
    for one in app.state.routers:
        app.include_router(one)
    app.add_exception_handler(OuthaulError, _refused)
    app.add_exception_handler(HTTPException, _refused)
    app.add_middleware(Outermost)
    return Limited(app, access, lambda method, path: _rates(method, path, rate_average, rate_burst))


def _rates(method: str, path: str, average: Rate | None, burst: Rate | None) -> dict[str, Rate | None]:
    way = "reads" if method in {"GET", "HEAD", "OPTIONS"} else "writes"
    return {way: average, f"{way} {path.strip('/').partition('/')[0][:40]}": burst}


class Outermost:
    """An address with a slash at its end is the same address, and no failure leaves without a document."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["path"] = scope["path"].rstrip("/")
        if "\0" in scope["path"]:  # which no ledger can look for
            await _answer(Request(scope), HTTPException(404))(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            log.exception("request %s failed", scope["outhaul.trace"])
            response = _answer(Request(scope), error)
            await response(scope, receive, send)


def _answer(request: Request, error: Exception) -> Document:
    trace, headers = request.scope["outhaul.trace"], {}
    if isinstance(error, HTTPException):
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(_methods(request)))
        error = HTTP_ERRORS.get(error.status_code) or NotFound("There is nothing at this address.")
    if not isinstance(error, OuthaulError):
        error = OuthaulError(type(error).__name__)
    if error.outside:
        log.warning("request %s: %s", trace, error)
    status, document = errors.document(error, trace, openly=getattr(request.state, "openly", False))
    return Document(document, status, headers)


def _methods(request: Request) -> set[str]:
    """What its address can be asked by: each of its methods is a route of its own."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    routes = [route for router in request.app.state.routers for route in router.routes]
    return {method for route in routes if route.path_regex.match(path) for method in route.methods}


async def _refused(request: Request, error: Exception) -> Document:
    return _answer(request, error)


def signed_in(request: Request) -> Caller:
    """Whose token the request carries; NotSignedIn for none and for a bad one alike."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer":
        raise NotSignedIn("A bearer token is needed.")
    caller: Caller = request.app.state.access.caller(token.strip())
    request.state.openly = caller.all_tenants
    request.scope["outhaul.audit"].update(caller=caller.id, tenant=caller.tenant)
    request.app.state.exports.may(caller)
    return caller


SignedIn = Annotated[Caller, Depends(signed_in)]


async def acceptable(request: Request, _: SignedIn) -> None:
    """As `accepted`; on the event loop, since a way to a thread and back costs more."""
    accepted(request)


def accepted(request: Request) -> None:
    """406 when the asker takes nothing that we speak; several lines of the header are one."""
    told = ",".join(request.headers.getlist("accept")).split(",")
    wanted = {kind.partition(";")[0].strip().lower() for kind in told} - {""}
    if wanted and not ACCEPTED & wanted:
        raise errors.NotAcceptable(
            f"All requests must accept '{MEDIA_TYPE}'. This request accepts other types only."
        )


async def body(request: Request, _: SignedIn) -> Any:
    """The JSON of the body, which is read no further than the limit."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != MEDIA_TYPE:
        raise errors.UnsupportedMediaType(
            f"All requests that create or update must use the '{MEDIA_TYPE}' Content-Type. "
            f"This request specified '{kind[:100]}'."
        )
    limit, raw = request.app.state.max_body, bytearray()
    too_large = errors.BodyTooLarge(f"The body is larger than {limit} bytes.", facts={"limit": limit})
    if int(request.headers.get("content-length", 0)) > limit:
        raise too_large
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limit:
            raise too_large
    if not raw:
        raise errors.ParamMissing("The required parameter, data, is missing.")
    return await run_in_threadpool(parse.body, bytes(raw))


def asked(request: Request) -> list[tuple[str, str]]:
    """The query's parameters, in order."""
    return parse_qsl(request.url.query, keep_blank_values=True)


def key(request: Request) -> str | None:
    """By which a request can be sent again; Malformed when it is no such thing."""
    given = request.headers.get("idempotency-key")
    if given is not None and not KEY.fullmatch(given):
        raise Malformed("Idempotency-Key takes 1 to 255 printable characters of ASCII.", where=("key",))
    return given


Body = Annotated[Any, Depends(body)]
router = APIRouter(dependencies=[Depends(acceptable)])
polled = APIRouter()


@router.get("/exports")
def listexports_of(request: Request, caller: SignedIn) -> Document:
    exports, setting = exports_of(request), setting_of(request)
    wanted = query.listing(asked(request))
    try:
        found, total = exports.list(
            caller,
            where=wanted.where,
            order=wanted.order,
            limit=wanted.page.size,
            offset=wanted.page.offset,
            view=render.view(setting),
        )
    except Refused as error:
        raise query.in_query(error) from error
    data, included = documents.shown(exports, caller, found, wanted.shape, setting)
    return Document(render.page(data, total, wanted, setting) | included)


@router.post("/exports")
@in_turn
def create(request: Request, caller: SignedIn, given: Body) -> Document:
    shape = query.shape(asked(request), changes=True)
    export = exports_of(request).create(caller, parse.creation(given), least=1, key=key(request))
    request.scope["outhaul.audit"]["export"] = export.id
    return _single(request, caller, export, shape, 201)


@polled.get("/exports/{export_id}")
def retrieve(request: Request, export_id: str) -> Document:
    # What is asked most often takes one way to a thread and back, not one for each thing that it depends on.
    caller = signed_in(request)
    accepted(request)
    shape = query.shape(asked(request))
    return _single(request, caller, exports_of(request).get(caller, export_id), shape)


@router.patch("/exports/{export_id}")
@in_turn
def update(request: Request, caller: SignedIn, export_id: str, given: Body) -> Document:
    shape = query.shape(asked(request), changes=True)
    exports = exports_of(request)
    change = parse.update(given, export_id)
    if change.move == "interrupt":
        export = exports.interrupt(caller, export_id, **change.amend)
    elif change.move == "start":
        export = exports.start(caller, export_id, **change.amend)
    else:
        export = exports.amend(caller, export_id, change.amend)
    return _single(request, caller, export, shape)


@router.delete("/exports/{export_id}")
@in_turn
def delete(request: Request, caller: SignedIn, export_id: str) -> Response:
    query.nothing_asked(asked(request))
    exports_of(request).delete(caller, export_id)
    return Response(status_code=204)


@router.get("/exports/{export_id}/manifest")
def manifest(request: Request, caller: SignedIn, export_id: str) -> Response:
    """The proof, as it was written: Outhaul's own, beside the contract."""
    query.nothing_asked(asked(request))
    file = exports_of(request).manifest(caller, export_id)
    return Response(b"".join(file.read(0, file.length)), media_type=file.media_type)


def exports_of(request: Request) -> Exports:
    exports: Exports = request.app.state.exports
    return exports


def setting_of(request: Request) -> render.Setting:
    agent = request.headers.get("user-agent", "")
    return render.Setting(
        base=request.scope["outhaul.base"] + PREFIX,
        trace=request.scope["outhaul.trace"],
        openly=request.state.openly,
        failed="interrupted" if agent.startswith(request.app.state.failed_as_interrupted) else "failed",
        mode=request.app.state.mode,
    )


def _single(
    request: Request, caller: Caller, export: Export, shape: query.Shape, status: int = 200
) -> Document:
    (data,), included = documents.shown(exports_of(request), caller, [export], shape, setting_of(request))
    return Document({"data": data} | included, status)
