"""The public keys of the tokens that we sign, where their readers look for them."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from outhaul.access import Access

WELL_KNOWN = "/.well-known"


def keys(access: Access) -> Route:
    """The route of the JSON Web Key Set."""

    async def fetch(_: Request) -> JSONResponse:
        found = await run_in_threadpool(access.public_keys)
        return JSONResponse(found, headers={"Cache-Control": "public, max-age=300"})

    return Route(f"{WELL_KNOWN}/jwks.json", fetch, methods=["GET", "HEAD"])
