"""Draft + Catalog -> Plan: every check that can be made before the export exists; pure, serialisable, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from outhaul import filters
from outhaul.catalog import Type
from outhaul.filters import Condition


@dataclass(frozen=True, slots=True)
class Column:
    """One output column: the key it has in the output, and the column it comes from."""

    key: str
    column: str
    type: Type
    native: str
    nullable: bool
    scale: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One resource at one place of the tree. The root has name "" and no `on`.

    `on`: pairs of columns (of the parent's table, of this table). `key`: columns that identify and order the rows;
    empty for a flat resource without a key. `where`: tenant, fixed and (root only) the asker's conditions.
    `hidden_keys`: columns of `on`/`key` need not be among `columns`.
    """

    name: str
    resource: str
    schema: str | None
    table: str
    kind: str
    many: bool
    on: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]
    key: tuple[Column, ...]
    where: Condition
    children: tuple[Node, ...] = ()

    @property
    def many_children(self) -> tuple[Node, ...]:
        return tuple(child for child in self.children if child.many)

    @property
    def one_children(self) -> tuple[Node, ...]:
        return tuple(child for child in self.children if not child.many)

    @property
    def flat(self) -> bool:
        """No related rows at all."""
        return not self.children


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked draft, frozen with the export: 1..n selections x 1..n formats, all of one instant."""

    source: str  # sqlite | postgresql
    selections: tuple[Node, ...]
    formats: tuple[str, ...]
    compress: str | None
    part_bytes: int
    fragment_bytes: int | None
    fragment_rows: int | None
    tenant: str | None
    catalog: str  # fingerprint
    consistency: str = "snapshot"


def to_data(plan: Plan) -> dict[str, Any]:
    """JSON-able form, from which `from_data` makes the same plan again."""
    names = (name for name in Plan.__dataclass_fields__ if name not in {"selections", "formats"})
    data = {name: getattr(plan, name) for name in names}
    return data | {
        "selections": [_node_data(node) for node in plan.selections],
        "formats": list(plan.formats),
    }


def from_data(data: Mapping[str, Any]) -> Plan:
    """The plan that `to_data` was given, also after a way through JSON."""
    selections = tuple(_node(one) for one in data["selections"])
    return Plan(**{**data, "selections": selections, "formats": tuple(data["formats"])})


def _node_data(node: Node) -> dict[str, Any]:
    data = {name: getattr(node, name) for name in ("name", "resource", "schema", "table", "kind", "many")}
    return data | {
        "on": [list(pair) for pair in node.on],
        "columns": [asdict(column) for column in node.columns],
        "key": [asdict(column) for column in node.key],
        "where": filters.to_data(node.where),
        "children": [_node_data(child) for child in node.children],
    }


def _node(data: Mapping[str, Any]) -> Node:
    made = {
        "on": tuple((here, there) for here, there in data["on"]),
        "columns": tuple(_column(one) for one in data["columns"]),
        "key": tuple(_column(one) for one in data["key"]),
        "where": filters.from_data(data["where"]),
        "children": tuple(_node(child) for child in data["children"]),
    }
    return Node(**{**data, **made})


def _column(data: Mapping[str, Any]) -> Column:
    return Column(**{**data, "type": Type(data["type"])})
