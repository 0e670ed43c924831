"""Signed links over HTTP: whole files and ranges, without a token, for as long as the link is good."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from outhaul.errors import BadRange, Gone, NotFound, OuthaulError, StoreError
from outhaul.service import LINKS, Exports, File

ALWAYS = {"Cache-Control": "private, no-store, no-transform", "X-Content-Type-Options": "nosniff"}
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
    """The file, or the range of it that is asked for. Everything up to the first piece is done before the status is
    said: what is said then holds. BadRange, StoreError."""
    request.scope["outhaul.audit"].update(
        caller=file.who, tenant=file.tenant, export=file.export, range=request.headers.get("range")
    )
    headers = ALWAYS | {"ETag": file.etag, "Accept-Ranges": "bytes", "Content-Disposition": file.disposition}
    if file.unchanged(request.headers.get("if-none-match")):
        return Response(status_code=304, headers=headers)
    wanted = file.range(request.headers.get("range"), request.headers.get("if-range"))
    start, stop = wanted or (0, file.length)
    headers |= {"Content-Length": str(stop - start), "Content-Type": file.media_type}
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.length}"
    status = 206 if wanted else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    pieces = file.read(start, stop)
    first = next(pieces, b"")
    return StreamingResponse(_sent(first, pieces), status, headers)


async def _sent(first: bytes, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, each read in a thread when the one before it is sent; closed however it ends."""
    try:
        piece = first
        while piece:
            yield piece
            piece = await run_in_threadpool(next, pieces, b"")
    finally:
        if isinstance(pieces, Generator):
            pieces.close()


def _refusal(error: OuthaulError) -> Response:
    """One sentence, with what to do; a link may be in anybody's hands, so nothing of the operator's own."""
    if error.outside:
        log.warning("a link: %s", error)
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    headers: dict[str, Any] = dict(ALWAYS)
    if isinstance(error, BadRange):
        headers["Content-Range"] = f"bytes */{error.facts['length']}"
    return PlainTextResponse(f"{error.outside or error}\n", status, headers)
