"""A file over HTTP: the whole of it, or the range that was asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from outhaul.service import File

ALWAYS = {"Cache-Control": "private, no-store, no-transform", "X-Content-Type-Options": "nosniff"}


def sent(file: File, request: Request) -> Response:
    """The answer to a GET or HEAD; BadRange. Everything up to the first piece is done before the status is said: what
    is said then holds."""
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
    return StreamingResponse(_pieces(first, pieces), status, headers)


async def _pieces(first: bytes, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, each read in a thread when the one before it is sent; closed however it ends."""
    try:
        piece = first
        while piece:
            yield piece
            piece = await run_in_threadpool(next, pieces, b"")
    finally:
        if isinstance(pieces, Generator):
            pieces.close()
