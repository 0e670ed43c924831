"""OAuth 2 as Commerce Layer speaks it: clients are given signed tokens, which they can end and ask about."""

from outhaul.dialects.oauth.openapi import openapi_part
from outhaul.dialects.oauth.routes import PREFIX, SETTINGS, build

__all__ = ["PREFIX", "SETTINGS", "build", "openapi_part"]
