"""Commerce Layer's `/api/exports`: a JSON:API of exports with gzipped files behind short-lived links."""

from functools import partial

from outhaul.dialects.commercelayer import told
from outhaul.dialects.commercelayer.routes import PREFIX, SETTINGS
from outhaul.dialects.commercelayer.routes import build as build_exports

__all__ = ["PREFIX", "SETTINGS", "build"]

build = partial(build_exports, more=(told.router,))
