"""Commerce Layer's `/api/exports`: a JSON:API of exports with gzipped files behind short-lived links."""

from outhaul.dialects.commercelayer.routes import PREFIX, SETTINGS, build

__all__ = ["PREFIX", "SETTINGS", "build"]
