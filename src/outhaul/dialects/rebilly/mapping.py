"""The catalog's section `[rebilly]`: which resource is which of Rebilly's types, and what is missing or wrong there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from outhaul import plan
from outhaul.catalog import Catalog
from outhaul.errors import Misconfigured, Refused
from outhaul.export import Caller, Draft, Selection

SECTION = "rebilly"
FORMATS = ("json", "csv")
Name = Literal[
    "customers",
    "users",
    "payment-instruments",
    "invoices",
    "orders",
    "transactions",
    "disputes",
    "gateway-accounts",
    "blocklists",
    "lists",
    "webhooks",
    "products",
    "websites",
    "plans",
    "credit-memos",
    "files",
    "email-notifications",
]
TYPES: tuple[str, ...] = get_args(Name)  # in the order of the contract, which is that of the files


def _with_resource(value: Any) -> Any:
    """The name of a resource alone, for all of it."""
    return {"resource": value} if isinstance(value, str) else value


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WrittenType(_Written):
    """What a type is: rows of a resource. Without `fields`: all of them."""

    resource: str
    fields: list[str] = []
    includes: list[str] = []
    filters: dict[str, Any] = {}
    segments: list[str] = []


class WrittenSection(_Written):
    types: dict[Name, Annotated[WrittenType, BeforeValidator(_with_resource)]] = {}
    absent: list[Name] = []


@dataclass(frozen=True, slots=True)
class Mapped:
    """`selections`: one a type that is mapped; `absent`: the types that there are none of here."""

    selections: tuple[Selection, ...] = ()
    absent: tuple[str, ...] = TYPES
    declared: frozenset[str] = field(default_factory=frozenset)  # those of `absent` that the file names


def mapped(sections: Mapping[str, Mapping[str, Any]]) -> Mapped:
    """What a catalog's sections say; nothing where there is none for us. Misconfigured names the place of a slip."""
    try:
        written = WrittenSection.model_validate(dict(sections.get(SECTION, {})))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in (SECTION, *first["loc"]) if step != "[key]")
        raise Misconfigured(f"The catalog file, {place}: {first['msg']}.") from None
    types: Mapping[str, WrittenType] = {str(name): one for name, one in written.types.items()}
    both = sorted(types.keys() & set(written.absent))
    if both:
        raise Misconfigured(f"The catalog file, {SECTION}: {both[0]} is both mapped and absent.")
    return Mapped(
        tuple(_selection(name, types[name]) for name in TYPES if name in types),
        tuple(name for name in TYPES if name not in types),
        frozenset(written.absent),
    )


def _selection(name: str, written: WrittenType) -> Selection:
    return Selection(
        resource=written.resource,
        fields=tuple(written.fields),
        includes=tuple(written.includes),
        filters={name: _plain(value) for name, value in written.filters.items()},
        segments=tuple(written.segments),
        stem=name,
    )


def _plain(value: Any) -> Any:
    """Dates and times of TOML as text, so that a draft stays JSON."""
    return value if isinstance(value, str | int | list) else str(value)


def binaries(catalog: Catalog, found: Mapped) -> tuple[Selection, ...]:
    """The binaries of whatever is mapped and has some: what `includeFiles` includes."""
    there = [one for one in found.selections if one.resource in catalog.resources]
    return tuple(
        Selection(one.resource, filters=one.filters, segments=one.segments, stem=one.stem, binaries=True)
        for one in there
        if catalog.resources[one.resource].binary is not None
    )


def check(catalog: Catalog) -> tuple[str, ...]:
    """What is missing or wrong in the section, in words."""
    try:
        found = mapped(catalog.sections)
    except Misconfigured as error:
        return (str(error),)
    return (
        *_unsaid(found),
        *(said for one in found.selections for said in _faults(catalog, one)),
    )


def _unsaid(found: Mapped) -> Iterator[str]:
    for name in found.absent:
        if name not in found.declared:
            yield f'{name}: not mapped. Map it in [{SECTION}.types], or name it in absent = ["{name}"].'


def _faults(catalog: Catalog, selection: Selection) -> Iterator[str]:
    everybody = Caller(id=SECTION, name=SECTION, tenant=None, all_tenants=True)
    try:
        plan.build(catalog, Draft((selection,), formats=FORMATS), everybody, formats=FORMATS)
    except Refused as error:
        yield f"{selection.stem}: {error}"
        return
    if catalog.resources[selection.resource].tenant is None:
        yield f"{selection.stem}: {selection.resource} has no tenant rule, so no organization can export it."
