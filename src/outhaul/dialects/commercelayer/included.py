"""What is included with resources: everything that a dotted path leads to, once, and the links that say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from outhaul.dialects.commercelayer import callbacks, errors, history, query, render
from outhaul.export import Caller, Stretch
from outhaul.service import Callback, Event, Exports

MOST = 100  # of what is related to one resource
LIMIT = 2_500  # resources that one answer includes: as many as MOST of each on the largest page

Document = dict[str, Any]
Groups = Sequence[Sequence[Any]]  # for each resource what is related to it


@dataclass(frozen=True, slots=True)
class Inclusion:
    """What one answer includes, for one caller. `found`: the resource objects by type and id, in the order in which
    they were reached."""

    exports: Exports
    caller: Caller
    shape: query.Shape
    setting: render.Setting
    found: dict[tuple[str, str], Document] = field(default_factory=dict)

    def fill(self, kind: str, items: Sequence[Any], documents: Sequence[Document]) -> Document:
        """Say in the resource objects of these items what is related to them; gives the member of the document that
        holds it."""
        self._fill(kind, items, documents, self.shape.include)
        return {"included": list(self.found.values())} if self.shape.include else {}

    def _fill(
        self, kind: str, items: Sequence[Any], documents: Sequence[Document], paths: Sequence[str]
    ) -> None:
        if not items:
            return
        for name in dict.fromkeys(path.partition(".")[0] for path in paths):
            target = query.RELATED[kind][name]
            groups = FETCH[kind, name](self, items)
            for document, group in zip(documents, groups, strict=True):
                known = [self._known(target, one) for one in group]
                _say(document, name, known if name.endswith("s") else known[0])
            reached = {self._id(target, one): one for group in groups for one in group}
            below = [self.found[target, one] for one in reached]
            rest = [path.partition(".")[2] for path in paths if path.startswith(f"{name}.")]
            self._fill(target, list(reached.values()), below, rest)

    def _known(self, kind: str, one: Any) -> Document:
        """Type and id of what is included with that; InvalidInclude when it is one too many."""
        known = self._id(kind, one)
        if (kind, known) not in self.found:
            if len(self.found) == LIMIT:
                raise errors.InvalidInclude(
                    f"More than {LIMIT:,} resources would be included.",
                    hint="Ask for smaller pages, or include less.",
                    where=("include",),
                )
            self.found[kind, known] = SHOW[kind](one, self.setting, self.shape)
        return {"type": kind, "id": known}

    def _id(self, kind: str, one: Any) -> str:
        if kind in history.NAMES:
            return history.identifier(kind, one)["id"]
        return str(one.public if kind == "event_callbacks" else one.id)

    def happened(self, kind: str, items: Sequence[Any]) -> Groups:
        told = self.exports.events(items, history.NAMES[kind], LIMIT + 1)
        return [told.get(one.id, ()) for one in items]

    def hooks(self, items: Sequence[Event]) -> Groups:
        """Asked for once for all events that are told alike."""
        page = Stretch(callbacks.LENSES["webhooks"], MOST)
        one = {(event.name, event.tenant): event for event in items}
        asked = {key: self.exports.webhooks.list(self.caller, page, event)[0] for key, event in one.items()}
        return [asked[event.name, event.tenant] for event in items]

    def tries(self, of: str, items: Sequence[Any]) -> Groups:
        """Of each event or webhook; asked for once for all of them."""
        groups: dict[Any, list[Callback]] = {one.id: [] for one in items}
        told = self.exports.webhooks.last_tries(self.caller, of, list(groups), each=MOST, most=LIMIT + 1)
        for one in told:
            groups[getattr(one, of)].append(one)
        return [groups[one.id] for one in items]

    def hook(self, items: Sequence[Callback]) -> Groups:
        ids = dict.fromkeys(one.webhook for one in items)
        page = Stretch(callbacks.LENSES["webhooks"], len(ids), where={"id_in": ",".join(ids)})
        known = {one.id: one for one in self.exports.webhooks.list(self.caller, page)[0]}
        # One that is removed meanwhile is refused as it would have been alone.
        return [
            [known.get(one.webhook) or self.exports.webhooks.get(self.caller, one.webhook)] for one in items
        ]

    def store(self, items: Sequence[Callback]) -> Groups:
        names, ids = history.NAMES["event_stores"], {one.event for one in items}
        known = self.exports.history.several(self.caller, names, ids)
        return [[known[one.event]] if one.event in known else [] for one in items]


def _say(document: Document, name: str, known: Any) -> None:
    own = document["links"]["self"]
    links = {"self": f"{own}/relationships/{name}", "related": f"{own}/{name}"}
    document.setdefault("relationships", {}).setdefault(name, {"links": links})["data"] = known


def _itself(_: Inclusion, items: Sequence[Event]) -> Groups:
    return [[one] for one in items]


# By kind and relationship, for each of some resources what is related to it.
FETCH: Mapping[tuple[str, str], Callable[[Inclusion, Sequence[Any]], Groups]] = {
    ("exports", "events"): lambda one, items: one.happened("events", items),
    ("exports", "versions"): lambda one, items: one.happened("versions", items),
    ("exports", "event_stores"): lambda one, items: one.happened("event_stores", items),
    ("webhooks", "versions"): lambda one, items: one.happened("versions", items),
    ("webhooks", "event_stores"): lambda one, items: one.happened("event_stores", items),
    ("events", "webhooks"): Inclusion.hooks,
    ("events", "last_event_callbacks"): lambda one, items: one.tries("event", items),
    ("events", "event_stores"): _itself,
    ("versions", "event_stores"): _itself,
    ("webhooks", "last_event_callbacks"): lambda one, items: one.tries("webhook", items),
    ("event_callbacks", "webhook"): Inclusion.hook,
    ("event_callbacks", "event_stores"): Inclusion.store,
}
SHOW: Mapping[str, Callable[..., Document]] = {
    "events": lambda one, *more: history.resource("events", one, *more),
    "versions": lambda one, *more: history.resource("versions", one, *more),
    "event_stores": lambda one, *more: history.resource("event_stores", one, *more),
    "webhooks": callbacks.webhook,
    "event_callbacks": callbacks.callback,
}
