"""What a page shows, sent again when it has changed: one stream of events a page, one look a moment for all of them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from outhaul.console.pages import HEADERS
from outhaul.errors import UnderMaintenance

EVERY = 1.0  # seconds between two looks
SHARED = 0.5  # seconds for which what one stream has seen is good enough for another
EACH = 50  # streams of one token at once, each of which is a page that is open somewhere
ALL = 500  # at once
LOOKING = 4  # looks at once: more wait, so that however many watch, pages and calls are answered
ASKED = 10  # looks after which it is asked again whether somebody is still signed in
STILL = 15  # looks without anything new after which a word goes out, so that a line that is gone is noticed
HEAD = {**HEADERS, "Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}

Found = TypeVar("Found")

log = logging.getLogger("outhaul.console")


@dataclass(frozen=True, slots=True)
class Look:
    """What a page shows now. `last`: nothing will change any more."""

    html: str
    last: bool = False


class Looks:
    """Looks that streams share: what many watch is made once, in threads of their own. And how many watch."""

    def __init__(self) -> None:
        self._held: dict[Hashable, tuple[float, asyncio.Future[Look]]] = {}
        self._pruned = 0.0
        self._threads = CapacityLimiter(LOOKING)
        self._lock = threading.Lock()
        self._watching: Counter[str] = Counter()

    def begin(self, who: str) -> bool:
        """Whether one more stream may be opened for this token; it counts until `end`."""
        with self._lock:
            if self._watching[who] >= EACH or self._watching.total() >= ALL:
                return False
            self._watching[who] += 1
            return True

    def end(self, who: str) -> None:
        with self._lock:
            self._watching[who] -= 1
            if not self._watching[who]:
                del self._watching[who]

    async def run(self, work: Callable[[], Found]) -> Found:
        """What the work gives, in its turn."""
        return await to_thread.run_sync(work, limiter=self._threads)

    async def look(self, key: Hashable, make: Callable[[], Look]) -> Look:
        now = time.monotonic()
        held = self._held.get(key)
        if held is None or (held[0] < now and held[1].done()):
            self._prune(now)
            held = now + SHARED, asyncio.ensure_future(self.run(make))
            self._held[key] = held
        return await asyncio.shield(held[1])

    def _prune(self, now: float) -> None:
        if now < self._pruned + SHARED:
            return
        self._pruned = now
        self._held = {one: what for one, what in self._held.items() if what[0] >= now or not what[1].done()}


class Stream(StreamingResponse):
    """One that ends in order when the service does, as if it were complete: its browser asks again. `ended` is called
    at its end, whatever that is."""

    def __init__(self, content: AsyncIterator[str], ended: Callable[[], None]) -> None:
        super().__init__(content, headers=HEAD)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._ended()


def stream(
    request: Request,
    looks: Looks,
    who: str,
    key: Hashable,
    make: Callable[[], Look],
    allowed: Callable[[], Look | None],
) -> Response:
    """`make` is shared by all streams of this key; `allowed` gives what to show instead to somebody who is signed in no
    longer. 429 when too many are open, of the token `who` or in all."""
    if request.method == "HEAD":
        return Response(headers=HEAD)
    if not looks.begin(who):
        # A stream without events: the page stays as it is, and its browser asks again, ever more slowly.
        return Response(status_code=429, headers={**HEAD, "Retry-After": "60"})
    return Stream(_sent(looks, key, make, allowed), partial(looks.end, who))


async def _sent(
    looks: Looks, key: Hashable, make: Callable[[], Look], allowed: Callable[[], Look | None]
) -> AsyncIterator[str]:
    before, number, quiet = "", 0, 0
    while True:
        number += 1
        try:
            over = await looks.run(allowed) if number % ASKED == 0 else None
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
