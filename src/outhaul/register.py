"""The public register: which data structures can be exported, and in which formats; nothing of whose they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

from outhaul import formats, siblings
from outhaul.catalog import Catalog, Field, Resource


def build(catalog: Catalog) -> dict[str, Any]:
    """As JSON has it: `formats`, `resources` with their fields and what they are related to, and `version`, which is
    another one when anything in it is. What only whoever runs the service can export is not in it: as soon as any
    resource has a tenant rule, that is each which has none."""
    ruled = [one for one in catalog.resources.values() if one.tenant is not None]
    told = ruled or list(catalog.resources.values())
    names = {one.name for one in told}
    found = {"formats": list(_formats()), "resources": [_resource(one, names) for one in told]}
    text = json.dumps(found, sort_keys=True)
    return {"version": hashlib.sha256(text.encode()).hexdigest()[:16], **found}


@cache
def _formats() -> tuple[dict[str, Any], ...]:
    return tuple(_format(name) for name in siblings.names(formats))


def _format(name: str) -> dict[str, Any]:
    form = siblings.load(formats, name)
    return {
        "name": name,
        "description": (form.__doc__ or "").partition("\n")[0],
        "media_type": form.MEDIA_TYPE,
        "compressions": [one for one in formats.compressions(form) if one != "none"],
    }


def _resource(resource: Resource, known: Collection[str]) -> dict[str, Any]:
    return {
        "name": resource.name,
        "description": resource.description,
        "key": list(key(resource)),
        "fields": [_field(one) for one in resource.fields],
        "related": list(_related(resource, known)),
    }


def key(resource: Resource) -> tuple[str, ...]:
    """The fields that tell rows apart; none where one of them is hidden."""
    names = {field.column: field.name for field in resource.fields}
    return tuple(names[one] for one in resource.key) if set(resource.key) <= names.keys() else ()


def _field(field: Field) -> dict[str, Any]:
    told: dict[str, Any] = {"name": field.name, "type": str(field.type), "nullable": field.nullable}
    if field.scale is not None:
        told["scale"] = field.scale
    if field.choices:
        told["choices"] = list(field.choices)
    return told | ({"description": field.description} if field.description else {})


def _related(resource: Resource, known: Collection[str]) -> Iterator[dict[str, Any]]:
    for way in resource.relationships:
        if way.target in known:
            yield {"name": way.name, "resource": way.target, "many": way.many}
