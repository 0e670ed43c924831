"""Rebilly's organization exports: everything that an organization has, as one ZIP, and the files behind it."""

from outhaul.dialects.rebilly.again import again
from outhaul.dialects.rebilly.mapping import check
from outhaul.dialects.rebilly.openapi import ABOUT, BESIDE, TITLE, openapi_part
from outhaul.dialects.rebilly.routes import PLACES, SETTINGS, build

__all__ = ["ABOUT", "BESIDE", "PLACES", "SETTINGS", "TITLE", "again", "build", "check", "openapi_part"]
