"""What a page shows, sent again when it has changed: one stream of events a page, one look a moment for all of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from outhaul.console.pages import HEADERS
from outhaul.errors import UnderMaintenance

EVERY = 1.0  # seconds between two looks
SHARED = 0.5  # seconds for which what one stream has seen is good enough for another
ASKED = 10  # looks after which it is asked again whether somebody is still signed in
STILL = 15  # looks without anything new after which a word goes out, so that a line that is gone is noticed
HEAD = {**HEADERS, "Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}

log = logging.getLogger("outhaul.console")


@dataclass(frozen=True, slots=True)
class Look:
    """What a page shows now. `last`: nothing will change any more."""

    html: str
    last: bool = False


class Looks:
    """Looks that streams share: what many watch is made once."""

    def __init__(self) -> None:
        self._held: dict[Hashable, tuple[float, asyncio.Future[Look]]] = {}

    async def look(self, key: Hashable, make: Callable[[], Look]) -> Look:
        now = time.monotonic()
        held = self._held.get(key)
        if held is None or (held[0] < now and held[1].done()):
            self._held = {
                one: what for one, what in self._held.items() if what[0] >= now or not what[1].done()
            }
            held = now + SHARED, asyncio.ensure_future(run_in_threadpool(make))
            self._held[key] = held
        return await asyncio.shield(held[1])


class Stream(StreamingResponse):
    """One that ends in order when the service does, as if it were complete: its browser asks again."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def stream(
    request: Request,
    looks: Looks,
    key: Hashable,
    make: Callable[[], Look],
    allowed: Callable[[], Look | None],
) -> Response:
    """`make` is shared by all streams of this key; `allowed` gives what to show instead to somebody who is signed in no
    longer."""
    if request.method == "HEAD":
        return Response(headers=HEAD)
    return Stream(_sent(looks, key, make, allowed), headers=HEAD)


async def _sent(
    looks: Looks, key: Hashable, make: Callable[[], Look], allowed: Callable[[], Look | None]
) -> AsyncIterator[str]:
    before, number, quiet = "", 0, 0
    while True:
        number += 1
        try:
            over = await run_in_threadpool(allowed) if number % ASKED == 0 else None
            now = over or await looks.look(key, make)
        except UnderMaintenance:
            return  # its browser asks again until the doors are open
        except Exception:
            log.exception("a page cannot be kept up to date")  # its browser asks again, after a while
            return
        quiet = 0 if now.html != before else quiet + 1
        if now.html != before:
            yield _message(now.html)
        elif quiet % STILL == 0:
            yield ": still here\n\n"
        if now.last:
            yield "event: done\ndata: done\n\n"
            return
        before = now.html
        await asyncio.sleep(EVERY)


def _message(html: str) -> str:
    return "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"
