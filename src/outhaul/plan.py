"""Draft + Catalog -> Plan: every check that can be made before the export exists; pure, serialisable, frozen."""

from __future__ import annotations

from dataclasses import dataclass

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
