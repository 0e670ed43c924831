"""The fields of a selection with everything below it, by dotted path, for people and machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from outhaul.plan import Node


def dictionary(root: Node) -> list[dict[str, Any]]:
    """An entry for each field, in order."""
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
