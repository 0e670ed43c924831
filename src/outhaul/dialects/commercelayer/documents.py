"""Exports as documents: the resource objects of what a caller may see, its links made fresh, and what is included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from outhaul.dialects.commercelayer import query, render
from outhaul.dialects.commercelayer.included import Inclusion
from outhaul.export import Caller, Export
from outhaul.service import Exports

PREFIX = "/api"


def shown(
    exports: Exports, caller: Caller, found: Sequence[Export], shape: query.Shape, setting: render.Setting
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The resource objects, and the member of the document that holds what is included."""
    resources = [_resource(exports, caller, one, shape, setting) for one in found]
    return resources, Inclusion(exports, caller, shape, setting).fill("exports", found, resources)


def _resource(
    exports: Exports, caller: Caller, export: Export, shape: query.Shape, setting: render.Setting
) -> dict[str, Any]:
    links, base = exports.links(caller, export), setting.base.removesuffix(PREFIX)
    absolute = render.Links(
        # Of several, which another dialect's exports may have, one alone would pass for the whole.
        attachment=base + links.artifacts[0] if len(links.artifacts) == 1 else None,
        manifest=base + links.manifest if links.manifest else None,
    )
    return render.resource(export, absolute, setting, shape)
