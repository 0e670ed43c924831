"""The calls of Batch's project exports: who may, parse, do, render."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from outhaul.access import Access
from outhaul.dialects import waiting
from outhaul.dialects.batch import errors, ids, mapping, parse, render
from outhaul.dialects.batch.mapping import DIALECT, Section
from outhaul.errors import NotAllowed, NotFound, NotSignedIn, OuthaulError, TooMuch
from outhaul.export import Caller, Export, Numbered
from outhaul.rates import Bound, Bucket
from outhaul.service import Exports

# Below any version, so that wrong ones are told of.
PLACES = re.compile(r"/\d{1,9}(\.\d{1,9})+(/.*)?", re.DOTALL)
VERSION = re.compile(r"2\.\d{1,9}", re.ASCII)
SETTINGS = ("batch_limits",)
LINK = timedelta(minutes=20)  # for which the link of a download can be used
FILES = 10_000  # of a page of exports; one that has more is a page
TOGETHER = 5  # exports of which the files are asked for at once
CALLS = Bucket(1, 1.0)  # of one project, by whatever name
FILTERED = Bucket(10, 720.0)  # creations with a segment, of one project: 5 an hour, 10 at once
LONGEST = 200  # characters of a project's key, which is kept in indexes
POST, GET = ["POST"], ["GET"]

log = logging.getLogger("outhaul.batch")

Answer = Callable[["Asked"], Response]
Running = Callable[[Callable[[], Response]], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of somebody who is known: with `raw`, its body."""

    request: Request
    caller: Caller
    project: str
    raw: bytes = b""

    @property
    def base(self) -> str:
        """The address that the call was made to, up to the version."""
        return f"{self.request.scope['outhaul.base']}/{self.request.path_params['version']}"

    def parameter(self, name: str) -> str | None:
        found: str | None = self.request.query_params.get(name)
        return found


@dataclass(frozen=True, slots=True)
class Calls:
    """What each call does. `limits`: whether those that Batch documents hold."""

    exports: Exports
    access: Access
    section: Section
    limits: bool

    def sign_in(self, request: Request, raw: bytes) -> Asked:
        """Whose key the request carries, for the project that it names; NotSignedIn, TooMany."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        project = request.headers.get("x-batch-project", "").strip()
        if kind.lower() != "bearer" or not 0 < len(project) <= LONGEST:
            raise NotSignedIn("A key and a project are needed.")
        try:
            caller = self.access.caller(token.strip(), tenant=self.section.tenant(project))
        except NotAllowed as error:
            raise NotSignedIn(error.message) from error
        request.scope["outhaul.audit"].update(caller=caller.id, tenant=caller.tenant)
        self.exports.may(caller)
        self._count(f"batch calls {caller.tenant}", CALLS)
        return Asked(request, caller, project, raw)

    def create(self, asked: Asked) -> Response:
        wanted = parse.creation(asked.raw, datetime.now(UTC))
        draft = self.section.draft(wanted)
        if isinstance(wanted, parse.Attributes) and wanted.segment is not None:
            self.exports.plan(asked.caller, draft)  # what is refused costs nothing
            self._count(f"batch filtered {asked.caller.tenant}", FILTERED)
        export = self.exports.create(asked.caller, draft)
        asked.request.scope["outhaul.audit"]["export"] = export.id
        return JSONResponse({"id": ids.export(export.id)}, 202)

    def view(self, asked: Asked) -> Response:
        export = self._export(asked, ids.read_export(_id(asked)))
        return JSONResponse(render.request(export, self._files(export), asked.base))

    def list(self, asked: Asked) -> Response:
        page = parse.listing(asked.parameter("limit"), asked.parameter("from"))
        found = self.exports.recent(asked.caller, DIALECT, page.limit + 1, page.before)
        shown, files = self._within(found[: page.limit])
        return JSONResponse(render.page(shown, files, asked.base, more=len(found) > len(shown)))

    def _within(self, found: Sequence[Export]) -> tuple[Sequence[Export], Mapping[str, Sequence[Numbered]]]:
        """The first of them, up to FILES files but one at least, and their files."""
        files: dict[str, Sequence[Numbered]] = {}
        count = 0
        for n, export in enumerate(found):
            if n % TOGETHER == 0:
                files |= self.exports.files(found[n : n + TOGETHER])
            count += len(files.get(export.id, ()))
            if n and count > FILES:
                return found[:n], files
        return found, files

    def download(self, asked: Asked) -> Response:
        export_id, n = ids.read_file(_id(asked)) or (None, 0)
        export = self._export(asked, export_id)
        file = next((one for one in self._files(export) if one.n == n), None)
        if file is None:
            raise NotFound("There is no such file, or it is no longer kept.")
        asked.request.scope["outhaul.audit"]["export"] = export.id
        link = self.exports.link(asked.caller, export, file.name, LINK)
        location = f"{asked.request.scope['outhaul.base']}{link}"
        return Response(status_code=307, headers={"Location": location, "Cache-Control": "no-store"})

    def _export(self, asked: Asked, export_id: str | None) -> Export:
        """One that was asked for by these calls, in this project."""
        with suppress(NotFound):
            found = self.exports.get(asked.caller, export_id or "")
            if found.dialect == DIALECT:
                return found
        raise NotFound("There is no export of this id in the project.")

    def _files(self, export: Export) -> Sequence[Numbered]:
        return self.exports.files([export]).get(export.id, ())

    def _count(self, key: str, rate: Bound) -> None:
        """Let one more in; TooMany."""
        if not self.limits:
            return
        wait = self.access.let_in({key: rate})[key].wait
        if wait:
            raise errors.TooMany("Too many requests. Wait, and try again.", facts={"wait": math.ceil(wait)})


def _id(asked: Asked) -> str:
    found = asked.parameter("id")
    if not found:
        raise errors.MissingParameter("id: is needed.")
    return found


def build(exports: Exports, access: Access, *, max_body: int, batch_limits: bool = False) -> ASGIApp:
    """The dialect as an app of its own, which answers at PLACES. `batch_limits`: whether the rates that Batch documents
    hold for each project."""
    section = mapping.read(exports.catalog)
    if section is None:
        return Starlette(exception_handlers={HTTPException: _nowhere})
    calls = Calls(exports, access, section, batch_limits)

    def answering(call: Answer, run: Running = run_in_threadpool) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                _supported(request)
                raw = await _body(request, max_body)
                return await run(lambda: call(calls.sign_in(request, raw)))
            except OuthaulError as error:
                return _refusal(error, request)
            except Exception as error:
                log.exception("request %s failed", request.scope["outhaul.trace"])
                return _refusal(OuthaulError(type(error).__name__), request)

        return answer

    routes = [
        Route("/{version}/profiles/export", answering(calls.create, waiting), methods=POST),
        Route("/{version}/exports/create", answering(calls.create, waiting), methods=POST),
        Route("/{version}/exports/view", answering(calls.view), methods=GET),
        Route("/{version}/exports/list", answering(calls.list), methods=GET),
        Route("/{version}/exports/download", answering(calls.download), methods=GET),
    ]
    for route in routes:
        (route.methods or set()).discard("HEAD")
    app = Starlette(routes=routes, exception_handlers={HTTPException: _nowhere})
    app.router.redirect_slashes = False
    return app


def _supported(request: Request) -> None:
    if not VERSION.fullmatch(request.path_params["version"]):
        raise errors.NoRoute("There is no such version: take one from 2.1 on.")


async def _body(request: Request, limit: int) -> bytes:
    """The body, read no further than the limit."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limit:
            raise errors.MalformedBody(f"The body is larger than {limit} bytes.")
    return bytes(raw)


async def _nowhere(request: Request, error: Exception) -> Response:
    """What no call has been asked for."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        answer = _refusal(errors.NoSuchMethod("This address does not know that method."), request)
        answer.headers.update(error.headers or {})
        return answer
    return _refusal(errors.NoRoute("There is nothing at this address."), request)


def _refusal(error: OuthaulError, request: Request) -> Response:
    trace = request.scope["outhaul.trace"]
    if error.outside:
        log.warning("request %s: %s", trace, error)
    if isinstance(error, TooMuch) and error.facts.get("rule") == "too_many_at_once":
        error = errors.TooMany(error.message, hint=error.hint, facts={"wait": 60})
    status, body = errors.answer(error, trace)
    headers = {"Retry-After": str(error.facts["wait"])} if isinstance(error, errors.TooMany) else {}
    return JSONResponse(body, status, headers)
