"""Selections for tests: trees of nodes made straight from a catalog, without the checks of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from outhaul.catalog import Catalog, Relationship
from outhaul.filters import EVERYTHING, Condition
from outhaul.plan import Column, Node, Plan


def selection(
    catalog: Catalog,
    resource: str,
    *includes: str,
    fields: Sequence[str] | None = None,
    where: Mapping[str, Condition] | None = None,
) -> Node:
    """The resource with its includes (dotted, from the root). `fields`: of the root; `where`: by dotted path."""
    return _node(catalog, resource, None, "", includes, fields, where or {})


def _node(
    catalog: Catalog,
    resource: str,
    way: Relationship | None,
    at: str,
    includes: Sequence[str],
    fields: Sequence[str] | None,
    where: Mapping[str, Condition],
) -> Node:
    found = catalog.resources[resource]
    columns = {
        field.name: Column(field.name, field.column, field.type, field.native, field.nullable, field.scale)
        for field in (found.columns or found.fields)
    }
    below: dict[str, list[str]] = {}
    for path in includes:
        head, _, rest = path.partition(".")
        below.setdefault(head, []).extend([rest] if rest else [])
    ways = {one.name: one for one in found.relationships}
    return Node(
        name=way.name if way else "",
        resource=resource,
        schema=found.schema,
        table=found.table,
        kind=found.kind,
        many=bool(way and way.many),
        on=way.on if way else (),
        columns=tuple(columns[name] for name in (fields if fields is not None else columns)),
        key=tuple(columns[name] for name in found.key),
        where=where.get(at, EVERYTHING),
        children=tuple(
            _node(
                catalog,
                ways[head].target,
                ways[head],
                f"{at}.{head}".strip("."),
                rest,
                None,
                where,
            )
            for head, rest in below.items()
        ),
    )


def plan(source: str, *selections: Node) -> Plan:
    return Plan(source, selections, ("json",), None, 100_000_000, None, None, None, "")
