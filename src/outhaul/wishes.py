"""What a selection asks for, as a tree over the catalog: its fields and includes, resolved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from outhaul.catalog import Catalog, Field, Relationship, Resource
from outhaul.errors import Cycle, UnknownField, UnknownRelationship, WrongValue
from outhaul.export import Selection
from outhaul.filters import EQUAL
from outhaul.predicates import hint, nearest, too_much
from outhaul.values import DEFAULT, Limits, Where

Edge = frozenset[frozenset[tuple[str, str]]]  # the columns of a relationship, the same from either side

DOTS = 20  # in one path; names of the database may hold some
SORTS = 16  # fields of one order; each is one level deeper in the conditions that cut it into parts


@dataclass(slots=True)
class Wish:
    """One resource at one place: the fields wanted there, in the order wanted, and what is wanted below.

    `way` is None at the root. `where` leads to the place in the selection that asked for it first.
    """

    resource: Resource
    way: Relationship | None = None
    where: Where = ()
    fields: dict[str, Field] = field(default_factory=dict)
    below: dict[str, Wish] = field(default_factory=dict)
    walked: tuple[Edge, ...] = ()
    above: str = ""  # dotted path of the wish that this one is below
    nested: str = "json"  # how its rows stand in a table; see `tabular`

    def want(self, *fields: Field) -> None:
        self.fields.update({one.name: one for one in fields if one.name not in self.fields})

    def size(self) -> int:
        """How many related resources are wanted, at all depths."""
        return len(self.below) + sum(child.size() for child in self.below.values())


def resolve(catalog: Catalog, resource: Resource, selection: Selection, limits: Limits, where: Where) -> Wish:
    """The tree of a selection. Without `fields` everything that its includes name; with them only what they name,
    `*` standing for every field of the root and of the includes.

    UnknownField, UnknownRelationship, Cycle, TooMuch.
    """
    for what, asked, most in (
        ("fields", selection.fields, limits.fields),
        ("includes", selection.includes, limits.includes),
    ):
        if len(asked) > most:
            raise too_much(what, len(asked), most, (*where, what))
    wishes = _Wishes(catalog, limits)
    root = Wish(resource)
    # With fields the includes add nothing of their own, but a wrong one is still refused.
    wishes.everything(Wish(resource) if selection.fields else root, selection, where)
    for number, name in enumerate(selection.fields):
        if name == "*":
            wishes.everything(root, selection, where)
        else:
            wishes.field(root, name, (*where, "fields", number))
    if root.size() > limits.includes:
        raise too_much("related resources", root.size(), limits.includes, (*where, "includes"))
    return root


def way_to(
    catalog: Catalog, resource: Resource, name: str, where: Where = ()
) -> tuple[tuple[Relationship, ...], Field]:
    """The field of a dotted name, and the relationships that lead to it; UnknownField, UnknownRelationship."""
    return _Wishes(catalog, DEFAULT).way(resource, name, where)


def dry(wish: Wish, where: Where) -> None:
    """Leave out, at every place, identity and timestamps, and relations of which nothing remains then; WrongValue when
    that is everything."""
    again = {wish.resource.identity, *wish.resource.timestamps}
    wish.fields = {name: one for name, one in wish.fields.items() if name not in again}
    for child in wish.below.values():
        dry(child, where)
    wish.below = {name: child for name, child in wish.below.items() if child.fields or child.below}
    if wish.way is None and not wish.fields and not wish.below:
        message = f"Nothing of {wish.resource.name} is left without identity and timestamps."
        raise WrongValue(message, hint="Ask for other fields.", where=(*where, "dry"), wrong="true")


def steps(resource: Resource, asked: Sequence[str], where: Where) -> Iterator[tuple[Field, bool]]:
    """The fields that an order names, each with whether `-` stands before it. UnknownField, WrongValue, TooMuch."""
    if len(asked) > SORTS:
        raise too_much("fields to sort by", len(asked), SORTS, where)
    known = {one.name: one for one in resource.fields}
    sortable = [one.name for one in resource.fields if one.type in EQUAL]
    seen = set()
    for number, name in enumerate(asked):
        place = (*where, number)
        field = known.get(name) or known.get(name.removeprefix("-"))
        if field is None or field.type not in EQUAL:
            near = nearest(name.removeprefix("-"), sortable)
            missing = f"{resource.name} has no field {name.removeprefix('-')!r}."
            kind = UnknownField if field is None else WrongValue
            message = f"{field.name} is {field.type}, which has no order." if field else missing
            raise kind(message, hint=hint(near), where=place, wrong=name, choices=near)
        if field.name in seen:
            raise WrongValue(f"The order names {field.name!r} twice.", where=place, wrong=name)
        seen.add(field.name)
        yield field, name not in known


@dataclass(frozen=True, slots=True)
class _Wishes:
    catalog: Catalog
    limits: Limits

    def everything(self, root: Wish, selection: Selection, where: Where) -> None:
        root.want(*root.resource.fields)
        for number, path in enumerate(selection.includes):
            place = (*where, "includes", number)
            walk = self._walk(root.resource, path, place)
            node = root
            for relationship in walk:
                node = self._below(node, relationship, place, path)
                node.want(*node.resource.fields)

    def field(self, root: Wish, name: str, where: Where) -> None:
        _not_too_long(name, where)
        found = next(self._fields(root.resource, name), None)
        if found is None:
            raise self._unknown(root.resource, name, where)
        walk, fields = found
        node = root
        for relationship in walk:
            node = self._below(node, relationship, where, name)
        node.want(*fields)

    def way(self, resource: Resource, name: str, where: Where) -> tuple[tuple[Relationship, ...], Field]:
        _not_too_long(name, where)
        found = None if name.endswith("*") else next(self._fields(resource, name), None)
        if found is None:
            raise self._unknown(resource, name, where)
        walk, (field,) = found
        return walk, field

    def _walk(self, resource: Resource, path: str, where: Where) -> tuple[Relationship, ...]:
        _not_too_long(path, where)
        found = next(self._paths(resource, path), None)
        if found is None:
            raise self._lost(resource, path, where)
        return found

    def _paths(self, resource: Resource, path: str) -> Iterator[tuple[Relationship, ...]]:
        """The ways that a dotted path can mean, the longest names first; names may hold dots themselves."""
        for relationship, rest in self._heads(resource, path):
            if rest is None:
                yield (relationship,)
            else:
                yield from ((relationship, *below) for below in self._paths(self._target(relationship), rest))

    def _fields(
        self, resource: Resource, path: str
    ) -> Iterator[tuple[tuple[Relationship, ...], tuple[Field, ...]]]:
        named = resource.fields if path == "*" else [one for one in resource.fields if one.name == path]
        if named or path == "*":
            yield (), tuple(named)
        for relationship, rest in self._heads(resource, path):
            for below, fields in self._fields(self._target(relationship), rest) if rest is not None else ():
                yield (relationship, *below), fields

    def _heads(self, resource: Resource, path: str) -> Iterator[tuple[Relationship, str | None]]:
        """Relationships that a path can begin with, and the rest of it, None at its end."""
        for relationship in sorted(resource.relationships, key=lambda one: (-len(one.name), one.name)):
            if path == relationship.name:
                yield relationship, None
            elif path.startswith(f"{relationship.name}."):
                yield relationship, path[len(relationship.name) + 1 :]

    def _target(self, relationship: Relationship) -> Resource:
        return self.catalog.resources[relationship.target]

    def _below(self, node: Wish, relationship: Relationship, where: Where, path: str) -> Wish:
        if relationship.name in node.below:
            return node.below[relationship.name]
        if len(node.walked) >= self.limits.depth:
            raise too_much("relationships in a row", len(node.walked) + 1, self.limits.depth, where)
        edge = edge_of(node.resource, relationship)
        if edge in node.walked:
            message = f"{path!r} comes back to the relationship {relationship.name!r}, which it has passed."
            raise Cycle(message, hint="Ask for it once.", where=where, wrong=path)
        target = self._target(relationship)
        made = Wish(target, relationship, where, walked=(*node.walked, edge))
        node.below[relationship.name] = made
        return made

    def _unknown(self, resource: Resource, name: str, where: Where) -> UnknownField | UnknownRelationship:
        """Walks as far as the path is known; the rest is the wrong name."""
        for relationship, rest in self._heads(resource, name):
            if rest is not None:
                return self._unknown(self._target(relationship), rest, where)
        head, dot, _ = name.partition(".")
        relations = [one.name for one in resource.relationships]
        if dot and head not in {one.name for one in resource.fields}:
            return self._lost(resource, head, where)
        fields = [one.name for one in resource.fields] + [f"{one}.*" for one in relations] + ["*"]
        near = nearest(f"{name}.*" if name in relations else name, fields)
        message = f"{resource.name} has no field {name!r}."
        return UnknownField(message, hint=hint(near), where=where, wrong=name, choices=near)

    def _lost(self, resource: Resource, path: str, where: Where) -> UnknownRelationship:
        for relationship, rest in self._heads(resource, path):
            if rest is not None:
                return self._lost(self._target(relationship), rest, where)
        name = path.partition(".")[0]
        near = nearest(name, [one.name for one in resource.relationships])
        message = f"{resource.name} has no relationship {name!r}."
        return UnknownRelationship(message, hint=hint(near), where=where, wrong=name, choices=near)


def edge_of(here: Resource, relationship: Relationship) -> Edge:
    """What no path may walk twice."""
    there = relationship.target
    return frozenset(frozenset({(here.name, near), (there, far)}) for near, far in relationship.on)


def _not_too_long(path: str, where: Where) -> None:
    if path.count(".") > DOTS:
        raise too_much("dots in one path", path.count("."), DOTS, where)
