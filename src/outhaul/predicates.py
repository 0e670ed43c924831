"""Reads `attr_or_attr_predicate: value` into conditions: names against the catalog, values against their types."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from outhaul import values
from outhaul.catalog import Catalog, Field, Relationship, Resource, Type
from outhaul.errors import OuthaulError, TooMuch, UnknownField, UnknownPredicate, WrongValue
from outhaul.filters import OPS, Condition, Exists, Hop, Not, Op, Test, either, every
from outhaul.values import Limits, Where

Guard = Callable[[Resource, Where], Condition]  # what each row there must meet for this asker; may refuse

NAME = 500  # characters of a filter's name
ALTERNATIVES = 20  # attributes joined in one filter
JOINTS: Mapping[str, Callable[..., Condition]] = {
    "_or_": either,
    "_and_": every,
}  # all of one kind in one filter


@dataclass(frozen=True, slots=True)
class Way:
    """A field, and the relationships that lead to it."""

    walk: tuple[Relationship, ...]
    field: Field


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads filters on the resources of one catalog for one asker.

    `owner`: the names are the owner's (a rule of the catalog file), who may name hidden columns and resources.
    """

    catalog: Catalog
    guard: Guard
    limits: Limits = values.DEFAULT
    owner: bool = False

    def read(self, resource: Resource, filters: Mapping[str, Any], where: Where = ("filters",)) -> Condition:
        """All of the filters; UnknownField, UnknownPredicate, WrongValue, TooMuch and what the guard raises."""
        if len(filters) > self.limits.filters:
            raise too_much("filters", len(filters), self.limits.filters, where)
        return every(*(self._one(resource, name, value, (*where, name)) for name, value in filters.items()))

    def _one(self, resource: Resource, name: str, value: Any, where: Where) -> Condition:
        if len(name) > NAME:
            raise too_much("characters in a filter's name", len(name), NAME, where)
        for predicate in endings(name):
            for joint, join in JOINTS.items():
                ways = self._joined(resource, name.removesuffix(f"_{predicate}"), joint, {}, where)
                if ways:
                    return join(*(self._said(resource, way, predicate, value, where) for way in ways))
        raise self._unknown(resource, name, where)

    def _joined(
        self, resource: Resource, text: str, joint: str, known: dict[str, tuple[Way, ...]], where: Where
    ) -> tuple[Way, ...]:
        """The attributes that `_or_` joins; a name that holds `_or_` itself goes first, then the longest."""
        if text not in known:
            whole = self.way(resource, text)
            known[text] = (whole,) if whole else ()
            joints = [at for at in range(len(text)) if text.startswith(joint, at)]
            if len(joints) >= ALTERNATIVES:
                raise too_much("attributes in one filter", len(joints) + 1, ALTERNATIVES, where)
            for at in () if whole else reversed(joints):
                first = self.way(resource, text[:at])
                after = text[at + len(joint) :]
                rest = self._joined(resource, after, joint, known, where) if first else ()
                if first and rest:
                    known[text] = (first, *rest)
                    break
        return known[text]

    def way(self, resource: Resource, text: str, depth: int | None = None) -> Way | None:
        """A field by its name or by a path with dots or underscores; fields go before relationships."""
        left = self.limits.depth if depth is None else depth
        found = self._field(resource, text)
        if found:
            return Way((), found)
        for relationship in sorted(self.ways(resource), key=lambda one: (-len(one.name), one.name)):
            rest = text[len(relationship.name) :]
            if left and text.startswith(relationship.name) and rest[:1] in {".", "_"}:
                below = self.way(self.catalog.resource(relationship.target), rest[1:], left - 1)
                if below:
                    return Way((relationship, *below.walk), below.field)
        return None

    def ways(self, resource: Resource) -> tuple[Relationship, ...]:
        return resource.ways if self.owner else resource.relationships

    def _field(self, resource: Resource, name: str) -> Field | None:
        found = next((one for one in resource.fields if one.name == name), None)
        hidden = (one for one in resource.columns if one.column == name)
        return found or (next(hidden, None) if self.owner else None)

    def _said(self, resource: Resource, way: Way, predicate: str, value: Any, where: Where) -> Condition:
        op = OPS[predicate]
        field = way.field
        if field.type not in op.types:
            raise _unfit(resource, way, predicate, where)
        if op.takes == "flag":
            predicate = predicate if values.truth(value, where) else op.opposite
        given = self._values(op, field, value, where)
        self._storable(given, where)
        test = Test(field.column, field.type, field.native, predicate, given, field.loose)
        return self._walked(way.walk, test, OPS[predicate].nothing, where)

    def _storable(self, texts: tuple[str, ...], where: Where) -> None:
        for text in texts:
            try:
                text.encode(self.catalog.encoding)
            except UnicodeEncodeError as error:
                char = text[error.start]
                message = f"The source keeps texts in {self.catalog.encoding}, which has no {char!r}."
                raise WrongValue(message, where=where, wrong=text) from None

    def _values(self, op: Op, field: Field, value: Any, where: Where) -> tuple[str, ...]:
        if op.takes == "flag":
            return ()
        form = self._form(op, field, where)
        if op.takes == "one":
            return (form(value),)
        most = self.limits.several if op.takes == "several" else None
        return tuple(dict.fromkeys(map(form, values.many(value, where, self.limits, most))))

    def _form(self, op: Op, field: Field, where: Where) -> Callable[[Any], str]:
        """How one value is checked and brought to plain text."""
        match op.each:
            case "typed":
                return lambda value: values.checked(field, value, where, self.limits)
            case "text":
                return lambda value: values.plain(value, where, self.limits)
            case "pattern":
                return lambda value: values.pattern(value, where, self.limits)
            case "document":
                return lambda value: values.document(value, where, self.limits)

    def _walked(self, walk: tuple[Relationship, ...], test: Test, nothing: bool, where: Where) -> Condition:
        """`nothing`: as a left join would have it, a path without a row at its end has a NULL there."""
        if not walk:
            return test
        target = self.catalog.resource(walk[0].target)
        hop = Hop(target.schema, target.table, walk[0].on)
        allowed = self.guard(target, where)
        found = Exists(hop, every(allowed, self._walked(walk[1:], test, nothing, where)))
        return either(Not(Exists(hop, allowed)), found) if nothing else found

    def _unknown(self, resource: Resource, name: str, where: Where) -> OuthaulError:
        """The error that says which part of a name nobody knows."""
        for ending in endings(name):
            return self._unknown_field(resource, name.removesuffix(f"_{ending}"), where)
        stem = max((stem for stem in _stems(name) if self.way(resource, stem)), key=len, default="")
        way = self.way(resource, stem)
        if way:
            fit = _fitting(way.field.type)
            text = f"{resource.name}.{stem} has no predicate {name[len(stem) + 1 :]!r}."
            return UnknownPredicate(
                text, hint=hint(fit), where=where, wrong=name[len(stem) + 1 :], choices=fit
            )
        text = f"The filter {name!r} does not end in a predicate."
        return UnknownPredicate(text, hint=hint(tuple(OPS)), where=where, wrong=name, choices=tuple(OPS))

    def _unknown_field(self, resource: Resource, text: str, where: Where) -> OuthaulError:
        for attribute in re.split("_or_|_and_", text):
            if not self.way(resource, attribute):
                return self._lost(resource, attribute, where)
        return self._lost(resource, text, where)

    def _lost(self, resource: Resource, text: str, where: Where) -> OuthaulError:
        """The path is walked as far as it is known; what is left is the wrong name."""
        for relationship in sorted(self.ways(resource), key=lambda one: -len(one.name)):
            rest = text.removeprefix(relationship.name)
            if rest != text and rest[:1] in {".", "_"}:
                return self._lost(self.catalog.resource(relationship.target), rest[1:], where)
        names = [one.name for one in (resource.columns if self.owner else resource.fields)]
        near = nearest(text, [*names, *(one.name for one in self.ways(resource))])
        message = f"{resource.name} has no field {text!r} to filter by."
        return UnknownField(message, hint=hint(near), where=where, wrong=text, choices=near)


def endings(name: str) -> Iterator[str]:
    """The predicates that a filter's name may end in, longest first."""
    yield from sorted((op for op in OPS if name.endswith(f"_{op}")), key=len, reverse=True)


def _stems(name: str) -> Iterator[str]:
    yield from (name[:at] for at in range(1, len(name)) if name[at] == "_")


def _fitting(kind: Type) -> tuple[str, ...]:
    return tuple(name for name, op in OPS.items() if kind in op.types)


def _unfit(resource: Resource, way: Way, predicate: str, where: Where) -> UnknownPredicate:
    fit = _fitting(way.field.type)
    path = ".".join([resource.name, *(one.name for one in way.walk), way.field.name])
    message = f"{path} is {way.field.type}, which has no predicate {predicate!r}."
    return UnknownPredicate(message, hint=hint(fit), where=where, wrong=predicate, choices=fit)


def nearest(wrong: str, names: list[str]) -> tuple[str, ...]:
    """The names that are meant most probably, nearest first; every name when none is near and they are few."""
    close = get_close_matches(wrong[:100], names, n=5, cutoff=0.5)
    return tuple(dict.fromkeys(close + (sorted(names)[:20])))


def hint(choices: tuple[str, ...]) -> str:
    return f"One of: {', '.join(choices)}." if choices else "There is none."


def too_much(what: str, value: int, limit: int, where: Where) -> TooMuch:
    facts = {"value": value, "limit": limit}
    return TooMuch(f"{value:,} {what} are more than {limit:,}.", where=where, wrong=str(value), facts=facts)
