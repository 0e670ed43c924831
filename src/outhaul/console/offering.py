"""The catalog as somebody sees it: what their token can export; for whoever sees all, what is hidden, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from outhaul.catalog import Catalog, Field, Hidden, Relationship, Resource, Whose
from outhaul.errors import NotFound
from outhaul.export import Caller


@dataclass(frozen=True, slots=True)
class Offered:
    """A resource with what its page tells. `ways`: relationships to what the caller can export, too; `rules`: the
    operator's own, and `hidden`: fields with why, both for whoever sees all."""

    resource: Resource
    ways: Sequence[Relationship]
    rules: Sequence[tuple[str, str]]
    hidden: Sequence[Hidden]


def visible(catalog: Catalog, caller: Caller, search: str = "") -> tuple[Resource, ...]:
    """The resources that a caller can export, in the order of their names, if it or a field is called like `search`."""
    found = (one for one in catalog.resources.values() if _may(one, caller))
    return tuple(one for one in found if search.lower() in " ".join(_names(one)).lower())


def hidden(catalog: Catalog, caller: Caller) -> tuple[Hidden, ...]:
    """What is there but not offered, for whoever sees all of it."""
    return catalog.hidden if _whole(caller) else ()


def offered(catalog: Catalog, caller: Caller, name: str) -> Offered:
    """NotFound for a resource that the caller cannot export."""
    known = {one.name: one for one in visible(catalog, caller)}
    if name not in known:
        raise NotFound("There is no such resource.", hint="Look at the catalog.", wrong=name[:100])
    resource = known[name]
    return Offered(
        resource,
        [way for way in resource.relationships if way.target in known],
        list(_rules(resource)) if _whole(caller) else [],
        [one for one in hidden(catalog, caller) if one.resource == name and one.field],
    )


def kind(field: Field) -> str:
    """Its type in core words, and the database's own where that says more."""
    own = field.stored or field.declared or field.native
    return str(field.type) if own.lower() == field.type else f"{field.type} ({own})"


def _may(resource: Resource, caller: Caller) -> bool:
    named = not caller.resources or resource.name in caller.resources
    return named and (caller.all_tenants or resource.tenant is not None)


def _whole(caller: Caller) -> bool:
    return caller.all_tenants and not caller.resources


def _names(resource: Resource) -> Iterator[str]:
    yield resource.name
    yield from (field.name for field in resource.fields)


def _rules(resource: Resource) -> Iterator[tuple[str, str]]:
    if resource.tenant:
        yield "Tenant", _path(resource.tenant)
    for scope, rules in resource.scopes.items():
        yield (
            f"Scope {scope}",
            ", ".join(f"{by}: {_path(rule)}" for by, rule in rules.items()) or "everybody's",
        )
    yield from _conditions(resource.fixed)
    if resource.ceiling.records is not None:
        yield "Rows at most", f"{resource.ceiling.records:,}"
    if resource.ceiling.bytes is not None:
        yield "Bytes at most", f"{resource.ceiling.bytes:,}"


def _conditions(fixed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in fixed.items():
        yield "Always only where", f"{name} = {value}"


def _path(rule: Whose) -> str:
    return ".".join((*rule.path, rule.column))
