"""Exports as documents: the resource objects of what a caller may see, its links made fresh, and what is included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from outhaul.dialects.commercelayer import history, query, render
from outhaul.export import Caller, Export
from outhaul.service import Exports

PREFIX = "/api"


def shown(
    exports: Exports, caller: Caller, found: Sequence[Export], shape: query.Shape, setting: render.Setting
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The resource objects, and the member of the document that holds what is included."""
    data: dict[str, dict[str, list[dict[str, str]]]] = {export.id: {} for export in found}
    included = []
    for kind in shape.include:
        told = exports.events(found, history.NAMES[kind])
        for export in found:
            own = told.get(export.id, ())
            data[export.id][kind] = [history.identifier(kind, one) for one in own]
            included += [history.resource(kind, one, setting, shape) for one in own]
    resources = [_resource(exports, caller, one, shape, setting, data[one.id]) for one in found]
    return resources, {"included": included} if shape.include else {}


def _resource(
    exports: Exports,
    caller: Caller,
    export: Export,
    shape: query.Shape,
    setting: render.Setting,
    data: Mapping[str, Sequence[Mapping[str, str]]],
) -> dict[str, Any]:
    links, base = exports.links(caller, export), setting.base.removesuffix(PREFIX)
    absolute = render.Links(
        attachment=base + links.artifacts[0] if links.artifacts else None,
        manifest=base + links.manifest if links.manifest else None,
    )
    return render.resource(export, absolute, setting, shape, data)
