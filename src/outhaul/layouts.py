"""Rows as a dialect wants them in JSON: its members, held against the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from outhaul.catalog import Catalog, Resource, Type
from outhaul.errors import Malformed, WrongValue
from outhaul.export import Draft, Member, Selection
from outhaul.predicates import hint
from outhaul.values import Where
from outhaul.wishes import way_to

FORMATS = ("json", "ndjson")  # those in which a row is an object


@dataclass(frozen=True, slots=True)
class Laid:
    """A member of a row's object: `text`, an object of `members`, or the value at `path`, where `many` the list of the
    values there: names of relationships, and of a field. `worded`: values are texts whatever their type; `utc`: they
    are moments, and spelled in UTC."""

    key: str
    text: str | None = None
    path: tuple[str, ...] = ()
    many: bool = False
    worded: bool = False
    utc: bool = False
    members: tuple[Laid, ...] = ()


def wanted(asked: Selection) -> Selection:
    """The selection with the fields that its layout needs."""
    return replace(asked, fields=_named(asked.layout)) if asked.layout else asked


def lay(
    catalog: Catalog, resource: Resource, asked: Selection, draft: Draft, where: Where
) -> tuple[Laid, ...]:
    """The layout of a selection; UnknownField, WrongValue, Malformed."""
    if not asked.layout:
        return ()
    for name in draft.formats:
        if name not in FORMATS:
            message = f"Rows of {name} have no layout."
            raise WrongValue(message, hint=hint(FORMATS), where=("formats",), wrong=name, choices=FORMATS)
    if asked.fields or asked.includes or asked.nested or draft.dry or not _named(asked.layout):
        raise Malformed("A layout alone says which fields there are, and where.", where=where)
    lists: dict[tuple[str, ...], str] = {}
    return _members(catalog, resource, asked.layout, lists, where)


def _named(layout: Sequence[Member]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.field or one.each for one in _leaves(layout) if one.text is None))


def _leaves(layout: Sequence[Member]) -> Iterator[Member]:
    for one in layout:
        if one.members:
            yield from _leaves(one.members)
        else:
            yield one


def _members(
    catalog: Catalog,
    resource: Resource,
    layout: Sequence[Member],
    lists: dict[tuple[str, ...], str],
    where: Where,
) -> tuple[Laid, ...]:
    keys = [one.key for one in layout]
    for key in keys:
        if not key or keys.count(key) > 1:
            raise WrongValue(f"An object has one member {key!r}.", where=where, wrong=key)
    made = []
    for one in layout:
        if one.text is not None:
            made.append(Laid(one.key, text=one.text))
        elif one.members:
            inside = _members(catalog, resource, one.members, lists, (*where, one.key))
            made.append(Laid(one.key, members=inside))
        else:
            made.append(_value(catalog, resource, one, lists, (*where, one.key)))
    return tuple(made)


def _value(
    catalog: Catalog, resource: Resource, one: Member, lists: dict[tuple[str, ...], str], where: Where
) -> Laid:
    name = one.field or one.each
    walk, field = way_to(catalog, resource, name, where)
    path = (*(step.name for step in walk), field.name)
    many = [step.many for step in walk]
    utc = one.utc and field.type in {Type.INSTANT, Type.TIMESTAMP}
    if one.each and many.count(True) == 1 and many[-1]:
        if path[:-1] in lists:
            message = f"{'.'.join(path[:-1])} can be one list, and is that of {lists[path[:-1]]!r} already."
            raise WrongValue(message, where=where, wrong=name)
        lists[path[:-1]] = one.key
        return Laid(one.key, path=path, many=True, worded=one.worded, utc=utc)
    if one.each or any(many):
        told = "one value for each row" if one.field else "values of one relationship to many, right below it"
        raise WrongValue(f"{resource.name}.{name} does not lead to {told}.", where=where, wrong=name)
    return Laid(one.key, path=path, worded=one.worded, utc=utc)


def spelled(layout: Sequence[Laid]) -> frozenset[tuple[str, ...]]:
    """The paths of all that is spelled in UTC."""
    below = (spelled(one.members) for one in layout)
    return frozenset(one.path for one in layout if one.utc).union(*below)


def from_data(data: Sequence[Mapping[str, Any]]) -> tuple[Laid, ...]:
    """The layout that `asdict` made data of."""
    return tuple(
        Laid(**{**one, "path": tuple(one["path"]), "members": from_data(one["members"])}) for one in data
    )
