"""The one filter language: predicates, and conditions resolved against the catalog."""

from __future__ import annotations

from dataclasses import dataclass

from outhaul.catalog import Type


@dataclass(frozen=True, slots=True)
class Test:
    """One column against values. Values are the database's own text of the (checked) value, None is NULL;
    they travel as bound parameters and are cast to `native` there."""

    column: str
    type: Type
    native: str
    op: str
    values: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class All:
    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    of: Condition


@dataclass(frozen=True, slots=True)
class Hop:
    """A walk over one relationship: the table there, pairs of columns (here, there), and the condition that
    every row there must meet because of its tenant rule and fixed filters."""

    schema: str | None
    table: str
    on: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """At least one row over there meets the condition (the target's own tenant and fixed conditions included)."""

    hop: Hop
    that: Condition


Condition = Test | All | Either | Not | Exists

EVERYTHING = All(())
