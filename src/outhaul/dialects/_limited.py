"""How often one address may ask: the headers that tell, and the refusal."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from outhaul.access import Access
from outhaul.rates import Rate, Room, neighbourhood

log = logging.getLogger("outhaul.limits")

HEADERS: Mapping[str, str] = {
    "X-Ratelimit-Limit": "Requests of the average rate.",
    "X-Ratelimit-Interval": "Seconds of the average rate.",
    "X-Ratelimit-Remaining": "Requests that are left of it.",
}
REFUSED = {
    "title": "Too many requests",
    "detail": "You have made too many requests. Wait, and try again.",
    "code": "TOO_MANY_REQUESTS",
    "status": "429",
}


class Limited:
    """The layer around a dialect that lets requests in under rates. `rates(method, path)` names those of a request; the
    first is the one that its headers tell of; without any, nothing is counted and nothing is told."""

    def __init__(
        self, app: ASGIApp, access: Access, rates: Callable[[str, str], Mapping[str, Rate | None]]
    ) -> None:
        self.app, self.access, self.rates = app, access, rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = self._wanted(scope) if scope["type"] == "http" else {}
        if not wanted:
            await self.app(scope, receive, send)
            return
        try:
            rooms = await run_in_threadpool(self.access.let_in, wanted)
        except Exception:  # what is broken is for the dialect to say, in its own words
            log.exception("request %s cannot be counted", scope["outhaul.trace"])
            await self.app(scope, receive, send)
            return
        first = next(iter(rooms.values()))
        wait = max(one.wait for one in rooms.values())
        headers = _headers(first)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        if wait:
            headers["Retry-After"] = str(math.ceil(wait))
            refusal = JSONResponse({"errors": [REFUSED]}, 429, media_type="application/vnd.api+json")
            await refusal(scope, receive, told)
            return
        await self.app(scope, receive, told)

    def _wanted(self, scope: Scope) -> dict[str, Rate]:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        asked = self.rates(scope["method"], path)
        who = neighbourhood(scope["outhaul.client"])
        return {f"{who} {name}": rate for name, rate in asked.items() if rate}


def _headers(room: Room) -> dict[str, str]:
    told = (str(room.rate.limit), f"{room.rate.interval:g}", str(room.remaining))
    return dict(zip(HEADERS, told, strict=True))
