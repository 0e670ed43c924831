"""Batch's project exports, `/2.N/profiles/export` and `/2.N/exports/...`: profiles and events as numbered files."""

from outhaul.dialects.batch.again import again
from outhaul.dialects.batch.mapping import check
from outhaul.dialects.batch.openapi import ABOUT, BESIDE, TITLE, openapi_part
from outhaul.dialects.batch.routes import PLACES, SETTINGS, build

__all__ = ["ABOUT", "BESIDE", "PLACES", "SETTINGS", "TITLE", "again", "build", "check", "openapi_part"]
