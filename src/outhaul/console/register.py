"""The public register on a page and as JSON: what can be exported and in which formats, for anybody, if switched on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from functools import lru_cache
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from outhaul.console.pages import HEADERS, Visit, rendered, visit
from outhaul.console.words import Clock

PLACE = "/register"
PLACES = re.compile(r"/register(?:\.json)?")
KEPT = "public, max-age=300"


def routes(register: Mapping[str, Any]) -> list[Route]:
    """The page and the document, which are the same for whoever asks: each is made once."""
    ids = {one["name"]: f"data-{number}" for number, one in enumerate(register["resources"], 1)}
    document = json.dumps(register, ensure_ascii=False, indent=1)

    @lru_cache(maxsize=4)
    def html(seen: Visit) -> str:
        return rendered("register.html", seen, register=register, place=PLACE, ids=ids)

    async def show(request: Request) -> Response:
        seen = replace(visit(request), clock=Clock(UTC), here=None)  # what is all that the page depends on
        return _answer(request, await run_in_threadpool(html, seen), "text/html")

    async def tell(request: Request) -> Response:
        return _answer(request, document, "application/json")

    return [Route(PLACE, show), Route(f"{PLACE}.json", tell)]


def _answer(request: Request, text: str, media_type: str) -> Response:
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    headers = {**HEADERS, "Cache-Control": KEPT, "ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(text, headers=headers, media_type=media_type)
