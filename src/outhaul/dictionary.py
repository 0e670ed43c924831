"""What a plan says, for people and machines: its fields with everything below, and the conditions nobody can lift."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from outhaul import filters
from outhaul.plan import Node, Plan, places


def dictionary(root: Node) -> list[dict[str, Any]]:
    """An entry for each field of a selection, by dotted path."""
    return list(_entries(root, "", missing=False))


def _entries(node: Node, prefix: str, *, missing: bool) -> Iterator[dict[str, Any]]:
    """`missing`: the row itself may not be there, so that any of its fields may be null."""
    for column in node.columns:
        yield {
            "field": prefix + column.key,
            "type": column.type.value,
            "nullable": column.nullable or missing,
            "native": column.native,
            "scale": column.scale,
            "description": column.description,
        }
    for child in node.children:
        yield from _entries(child, f"{prefix}{child.name}.", missing=not child.many)


def explain(plan: Plan) -> list[dict[str, Any]]:
    """The tenant's and fixed conditions as data, one for each place of each selection, for the manifest."""
    return [
        {"selection": number, "path": path, "resource": node.resource, "rules": filters.to_data(node.rules)}
        for number, root in enumerate(plan.selections)
        for path, node in places(root)
    ]
