"""Signed links over HTTP: whole files and ranges, without a token, for as long as the link is good."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from outhaul.errors import BadRange, Gone, NotFound, OuthaulError, StoreError
from outhaul.sending import ALWAYS, sent
from outhaul.service import LINKS, Exports, File

STATUSES: Mapping[type[OuthaulError], int] = {
    NotFound: 404,
    Gone: 410,
    BadRange: 416,
    StoreError: 503,
    OuthaulError: 500,
}

log = logging.getLogger("outhaul.links")


def links(exports: Exports) -> Route:
    """The route of all signed links."""

    async def fetch(request: Request) -> Response:
        try:
            return await run_in_threadpool(_answer, exports, request)
        except OuthaulError as error:
            return _refusal(error)

    return Route(f"{LINKS}/{{link}}/{{name}}", fetch, methods=["GET", "HEAD"])


def _answer(exports: Exports, request: Request) -> Response:
    return delivered(exports.open(request.path_params["link"], request.path_params["name"]), request)


def delivered(file: File, request: Request) -> Response:
    """The file, or the range of it that is asked for, noted for the audit log; BadRange, StoreError."""
    request.scope["outhaul.audit"].update(
        caller=file.who, tenant=file.tenant, export=file.export, range=request.headers.get("range")
    )
    return sent(file, request)


def _refusal(error: OuthaulError) -> Response:
    """One sentence, with what to do; a link may be in anybody's hands, so nothing of the operator's own."""
    if error.outside:
        log.warning("a link: %s", error)
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    headers: dict[str, Any] = dict(ALWAYS)
    if isinstance(error, BadRange):
        headers["Content-Range"] = f"bytes */{error.facts['length']}"
    return PlainTextResponse(f"{error.outside or error}\n", status, headers)
