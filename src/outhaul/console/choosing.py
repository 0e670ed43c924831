"""Fields and related records of a new export: a tree that opens branch by branch, what is ticked, and a search."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from outhaul.catalog import Catalog, Field, Relationship, Resource
from outhaul.errors import Malformed, Refused, UnknownRelationship
from outhaul.export import Selection
from outhaul.values import DEFAULT
from outhaul.wishes import Edge, Wish, edge_of, resolve

SHOWN = 200  # fields of one branch; a search finds the others
OPEN = 30  # branches
FOUND = 100  # fields that a search shows
WALKED = 500  # branches that it looks into


@dataclass(frozen=True, slots=True)
class Ticked:
    """What is wanted, by dotted names. `whole`: branches of which every field is, "" is the resource itself; `opened`:
    branches that are shown."""

    whole: tuple[str, ...] = ("",)
    fields: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """A resource at one place. `picked`: how many of its fields are ticked one by one; `more`: how many are not
    shown."""

    path: str
    resource: Resource
    way: Relationship | None
    whole: bool
    opened: bool
    picked: int
    fields: Sequence[Field] = ()
    more: int = 0
    branches: Sequence[Branch] = ()

    def name(self, of: Field) -> str:
        return dotted(self.path, of.name)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found: dotted names with their fields; `more`: there may be others."""

    fields: Sequence[tuple[str, Field]]
    more: bool


@dataclass(frozen=True, slots=True)
class Tree:
    """All that somebody can tick of one resource. `known`: names of resources that they may export."""

    catalog: Catalog
    resource: Resource
    known: frozenset[str]

    def branches(self, ticked: Ticked) -> Branch:
        """The tree, as far as it is open."""
        return self._branch(self.resource, None, "", (), ticked, set(ticked.opened[:OPEN]))

    def search(self, text: str) -> Found:
        """Fields by a part of their dotted name, those of near branches first."""
        found: list[tuple[str, Field]] = []
        waiting: deque[tuple[Resource, str, tuple[Edge, ...]]] = deque([(self.resource, "", ())])
        walked = 0
        while waiting and walked < WALKED:
            here, path, way = waiting.popleft()
            walked += 1
            for one in here.fields:
                name = dotted(path, one.name)
                if text.lower() in name.lower():
                    found.append((name, one))
            if len(found) > FOUND:
                return Found(found[:FOUND], more=True)
            for step in self._ways(here, way):
                there = self.catalog.resources[step.target]
                waiting.append((there, dotted(path, step.name), (*way, edge_of(here, step))))
        return Found(found, more=bool(waiting))

    def names(self, depth: int, most: int) -> list[str]:
        """Dotted names of fields up to so many relationships away, near ones first, to be offered while one types."""
        found: list[str] = []
        level: list[tuple[Resource, str, tuple[Edge, ...]]] = [(self.resource, "", ())]
        for _ in range(depth + 1):
            below = []
            for here, path, way in level:
                found += [dotted(path, one.name) for one in here.fields[:most]]
                if len(found) >= most:
                    return found[:most]
                for step in self._ways(here, way):
                    there = self.catalog.resources[step.target]
                    below.append((there, dotted(path, step.name), (*way, edge_of(here, step))))
            level = below
        return found

    def selection(self, ticked: Ticked) -> Selection:
        """What is ticked as a draft says it; Malformed when nothing is, UnknownRelationship."""
        walks = {path: self._walk(path) for path in ticked.whole}
        lost = next((path for path, walk in walks.items() if walk[-1][0] != path), None)
        if lost is not None:
            message = f"{self.resource.name} has no relationship {lost!r}."
            raise UnknownRelationship(message, hint="Look what there is now.", where=("fields",), wrong=lost)
        covered = {dotted(path, one.name) for path, walk in walks.items() for one in walk[-1][1].fields}
        places = {one.name: n for n, one in enumerate(self.resource.fields)}
        fields = [name for name in dict.fromkeys(ticked.fields) if name not in covered]
        fields.sort(key=lambda name: places.get(name, len(places)))
        if not walks and not fields:
            raise Malformed("Nothing is chosen.", hint="Tick a field at least.", where=("fields",))
        # An include brings all fields of everything on the way to it.
        if not fields and all(above in walks for walk in walks.values() for above, _ in walk):
            return Selection(self.resource.name, includes=tuple(path for path in walks if path))
        every = [f"{path}.*" if path else "*" for path in walks]
        return Selection(self.resource.name, (*every, *fields))

    def leads(self, path: str) -> bool:
        """Whether there is a branch of this path."""
        return self._walk(path)[-1][0] == path

    def included(self, selection: Selection) -> list[tuple[str, Wish]]:
        """The related records that a selection holds, by their paths; none where it is wrong."""
        try:
            root = resolve(self.catalog, self.resource, selection, DEFAULT, ())
        except Refused:
            return []
        return list(_below(root, ""))

    def _branch(
        self,
        here: Resource,
        way: Relationship | None,
        path: str,
        walked: tuple[Edge, ...],
        ticked: Ticked,
        opened: set[str],
    ) -> Branch:
        chosen = set(ticked.fields)
        fields = [one for one in here.fields if dotted(path, one.name) in chosen] if chosen else []
        told = Branch(path, here, way, path in ticked.whole, not way or path in opened, len(fields))
        if not told.opened:
            return told
        near = here.fields[:SHOWN]
        shown = [*near, *(one for one in fields if one not in near)]
        below = [
            self._branch(
                self.catalog.resources[step.target],
                step,
                dotted(path, step.name),
                (*walked, edge_of(here, step)),
                ticked,
                opened,
            )
            for step in self._ways(here, walked)
        ]
        return Branch(
            path, here, way, told.whole, True, told.picked, shown, len(here.fields) - len(shown), below
        )

    def _ways(self, here: Resource, walked: tuple[Edge, ...]) -> Iterator[Relationship]:
        """Where one can go on to: never back along a way that was come by, nor too far."""
        if len(walked) < DEFAULT.depth:
            yield from (
                one
                for one in here.relationships
                if one.target in self.known and edge_of(here, one) not in walked
            )

    def _walk(self, path: str) -> tuple[tuple[str, Resource], ...]:
        """Every branch on the way to one, each by its path, this one last; none when there is no such branch."""
        root = ("", self.resource)
        return (root, *next(self._steps(self.resource, "", path), ())) if path else (root,)

    def _steps(self, here: Resource, at: str, path: str) -> Iterator[tuple[tuple[str, Resource], ...]]:
        for step in sorted(here.relationships, key=lambda one: -len(one.name)):
            if step.target not in self.known:
                continue
            reached = dotted(at, step.name), self.catalog.resources[step.target]
            if path == step.name:
                yield (reached,)
            elif path.startswith(f"{step.name}."):
                below = self._steps(reached[1], reached[0], path[len(step.name) + 1 :])
                yield from ((reached, *rest) for rest in below)


def rendered(branch: Branch) -> Iterator[tuple[str, str]]:
    """What can be ticked on the page: `whole` or `field`, and its name."""
    yield "whole", branch.path
    yield from (("field", branch.name(one)) for one in branch.fields)
    for below in branch.branches:
        yield from rendered(below)


def dotted(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _below(wish: Wish, path: str) -> Iterator[tuple[str, Wish]]:
    for name, child in wish.below.items():
        yield dotted(path, name), child
        yield from _below(child, dotted(path, name))
