"""Conditions as nouns: what a filter, a tenant rule or a segment comes to once its names are resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from outhaul.catalog import Type


@dataclass(frozen=True, slots=True)
class Test:
    """One column against values. Values are plain text of the (checked) value, the same for every source; they
    travel as bound parameters and are cast there.

    `loose`: equality there is not equality of bytes (citext, a nondeterministic collation, a type that only the
    catalog file gives), so that the column is compared as text.
    """

    column: str
    type: Type
    native: str
    op: str
    values: tuple[str, ...] = ()
    loose: bool = False


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
    """A walk over one relationship: the table there, and pairs of columns (here, there) compared for equality."""

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


def every(*conditions: Condition) -> Condition:
    """All of the conditions, flattened: EVERYTHING disappears, one alone stays itself."""
    flat = [part for one in conditions for part in (one.of if isinstance(one, All) else (one,))]
    return flat[0] if len(flat) == 1 else All(tuple(flat))


def either(*conditions: Condition) -> Condition:
    """Any of the conditions; one alone stays itself."""
    return conditions[0] if len(conditions) == 1 else Either(conditions)


def hops(condition: Condition) -> Iterator[Hop]:
    """Every walk over a relationship that the condition takes."""
    match condition:
        case All(of) | Either(of):
            for one in of:
                yield from hops(one)
        case Not(of=inner):
            yield from hops(inner)
        case Exists(hop, that):
            yield hop
            yield from hops(that)


def mapped(condition: Condition, change: Callable[[Test], Condition]) -> Condition:
    """The condition with each of its tests changed."""
    match condition:
        case Test():
            return change(condition)
        case All(of):
            return every(*(mapped(one, change) for one in of))
        case Either(of):
            return Either(tuple(mapped(one, change) for one in of))
        case Not(of=inner):
            return Not(mapped(inner, change))
        case Exists(hop, that):
            return Exists(hop, mapped(that, change))


def to_data(condition: Condition) -> dict[str, Any]:
    """JSON-able form; the member `is` names the kind."""
    match condition:
        case Test(column, kind, native, op, values, loose):
            data = {"is": "test", "column": column, "type": kind.value, "native": native, "op": op}
            return data | {"values": list(values)} | ({"loose": True} if loose else {})
        case All(of):
            return {"is": "all", "of": [to_data(one) for one in of]}
        case Either(of):
            return {"is": "either", "of": [to_data(one) for one in of]}
        case Not(of=inner):
            return {"is": "not", "of": to_data(inner)}
        case Exists(hop, that):
            place = {"schema": hop.schema, "table": hop.table, "on": [list(pair) for pair in hop.on]}
            return {"is": "exists", **place, "that": to_data(that)}


def from_data(data: Mapping[str, Any]) -> Condition:
    """The condition that `to_data` was given."""
    match data["is"]:
        case "test":
            values, loose = tuple(data["values"]), data.get("loose", False)
            return Test(data["column"], Type(data["type"]), data["native"], data["op"], values, loose)
        case "all":
            return All(tuple(from_data(one) for one in data["of"]))
        case "either":
            return Either(tuple(from_data(one) for one in data["of"]))
        case "not":
            return Not(from_data(data["of"]))
        case _:
            hop = Hop(data["schema"], data["table"], tuple((here, there) for here, there in data["on"]))
            return Exists(hop, from_data(data["that"]))
