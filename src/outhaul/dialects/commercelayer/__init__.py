"""Commerce Layer's `/api/exports`: a JSON:API of exports with gzipped files behind short-lived links."""

from functools import partial

from outhaul.dialects.commercelayer import callers, hooks, openapi, related, told
from outhaul.dialects.commercelayer.documents import PREFIX
from outhaul.dialects.commercelayer.hooks import letter
from outhaul.dialects.commercelayer.openapi import ABOUT, BESIDE, TITLE, openapi_part
from outhaul.dialects.commercelayer.routes import SETTINGS
from outhaul.dialects.commercelayer.routes import build as build_exports

__all__ = ["ABOUT", "BESIDE", "PREFIX", "SETTINGS", "TITLE", "build", "letter", "openapi_part"]

build = partial(
    build_exports, more=(told.router, related.router, hooks.router, callers.router, openapi.router)
)
