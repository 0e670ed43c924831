"""Wire to core words: the queries of Commerce Layer's exports, what is filtered, sorted, shown and paged by; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from outhaul import errors as core
from outhaul.dialects.commercelayer import errors
from outhaul.export import Lens, Stretch

PAGE_SIZE, LARGEST_PAGE = 10, 25  # Commerce Layer: "page[size] (default 10, max 25)"
LAST_PAGE = 10**9

# What a list can be filtered by, with the core's names.
FILTERABLE: Mapping[str, str] = {
    "resource_type": "resource",
    "format": "format",
    "status": "status",
    "started_at": "started_at",
    "completed_at": "completed_at",
    "interrupted_at": "interrupted_at",
    "records_count": "matched",
    "processed_count": "processed",
    "attachment_url": "attachment",
    "errors_log": "errors",
    "id": "id",
    "created_at": "created_at",
    "updated_at": "updated_at",
    "reference": "reference",
    "reference_origin": "reference_origin",
    "metadata": "metadata",
}
SORTABLE = {name: ours for name, ours in FILTERABLE.items() if name not in {"errors_log", "metadata"}}
Order = tuple[tuple[str, bool], ...]
NEWEST: Order = (("created_at", True),)
RELATIONSHIPS = ("events", "versions", "event_stores")
REFERENCES = {name: name for name in ("reference", "reference_origin", "metadata")}
HAPPENED = {"id": "id", "created_at": "at", "updated_at": "at"}
AMENDED = HAPPENED | {"updated_at": "updated_at"}
ALWAYS_SORTABLE = (
    "id",
    "created_at",
    "updated_at",
    "reference",
    "reference_origin",
)  # of every resource of the SDK


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list can be asked for: `filters` with the core's names, `sorts` of these, what it starts with;
    `cursor`: it is paged by one."""

    filters: Mapping[str, str] = field(default_factory=dict)
    sorts: tuple[str, ...] = ()
    newest: Order = (("id", True),)
    cursor: bool = False


LISTS: Mapping[str, Listed] = {
    "exports": Listed(FILTERABLE, tuple(SORTABLE), NEWEST),
    "events": Listed({"name": "name"} | AMENDED | REFERENCES, ("name", *ALWAYS_SORTABLE)),
    "versions": Listed(
        {"resource_type": "kind", "resource_id": "export", "event": "name"} | HAPPENED,
        tuple(HAPPENED),
    ),
    "event_callbacks": Listed(
        {"callback_url": "url", "response_code": "status", "response_message": "why"} | HAPPENED | REFERENCES,
        ("response_code", "response_message", *ALWAYS_SORTABLE),
    ),
    "event_stores": Listed(cursor=True),  # Commerce Layer: "neither filterable nor sortable"
    "webhooks": Listed(
        {
            "name": "name",
            "topic": "event",
            "callback_url": "url",
            "disabled_at": "disabled_at",
            "circuit_state": "circuit",
            "circuit_failure_count": "failures",
            **{name: name for name in ("id", "created_at", "updated_at")},
        }
        | REFERENCES,
        ("disabled_at", "circuit_state", "circuit_failure_count", *ALWAYS_SORTABLE),
        NEWEST,
    ),
}
ATTRIBUTES = (
    *("resource_type", "format", "status", "includes", "fields", "filters", "dry_data", "jwt_filters"),
    *("started_at", "completed_at", "estimated_completion_at", "interrupted_at", "records_count"),
    *("processed_count", "progress", "attachment_url", "errors_log", "created_at", "updated_at"),
    *("reference", "reference_origin", "metadata"),
)
EVENT_ATTRIBUTES = ("name", "created_at", "updated_at", "reference", "reference_origin", "metadata")
CHANGE_ATTRIBUTES = ("resource_type", "resource_id", "event", "who", "created_at", "updated_at")
WEBHOOK_ATTRIBUTES = (
    *("name", "topic", "callback_url", "include_resources", "disabled_at", "circuit_state"),
    *("circuit_failure_count", "shared_secret", "created_at", "updated_at"),
    *("reference", "reference_origin", "metadata"),
)
CALLBACK_ATTRIBUTES = (
    *("callback_url", "payload", "response_code", "response_message", "created_at", "updated_at"),
    *("reference", "reference_origin", "metadata"),
)
# The relationships of each kind, with the kind that they lead to.
RELATED: Mapping[str, Mapping[str, str]] = {
    "exports": {name: name for name in RELATIONSHIPS},
    "events": {
        "webhooks": "webhooks",
        "last_event_callbacks": "event_callbacks",
        "event_stores": "event_stores",
    },
    "versions": {"event_stores": "event_stores"},
    "webhooks": {
        "last_event_callbacks": "event_callbacks",
        "versions": "versions",
        "event_stores": "event_stores",
    },
    "event_callbacks": {"webhook": "webhooks", "event_stores": "event_stores"},
}


def _paths(kind: str, passed: frozenset[str]) -> Iterator[str]:
    for name, target in RELATED.get(kind, {}).items():
        if target not in passed:
            yield name
            yield from (f"{name}.{below}" for below in _paths(target, passed | {target}))


# The dotted paths that can be included with each kind: none comes back to a kind that it has passed.
INCLUDABLE: Mapping[str, tuple[str, ...]] = {kind: tuple(_paths(kind, frozenset({kind}))) for kind in RELATED}
# Those of one step: all that calls which change something include.
NEAR = {kind: tuple(names) for kind, names in RELATED.items()}
PLACES = {"exports": "export_id", "webhooks": "webhook_id", "event_callbacks": "callback_id"} | dict.fromkeys(
    ("events", "versions", "event_stores"), "event_id"
)  # by kind, how paths call its id
FIELDS = {
    "exports": (*ATTRIBUTES, *RELATIONSHIPS),
    "events": (*EVENT_ATTRIBUTES, *RELATED["events"]),
    "versions": (*CHANGE_ATTRIBUTES, "changes", *RELATED["versions"]),
    "event_stores": (*CHANGE_ATTRIBUTES, "payload"),
    "webhooks": (*WEBHOOK_ATTRIBUTES, *RELATED["webhooks"]),
    "event_callbacks": (*CALLBACK_ATTRIBUTES, *RELATED["event_callbacks"]),
}
EVENT = re.compile(r"[A-Za-z0-9]{10,16}")  # what an event, a version or a callback is known by
CURSOR = re.compile(
    rf"[0-9]{{1,16}}-({EVENT.pattern})"
)  # an event store's id: when, and what its event is known by
FILTER = re.compile(r"filter\[q\]\[(.+)\]", re.DOTALL)
Query = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Page:
    """Which stretch of the list: `number` from 1, `size` in exports."""

    number: int = 1
    size: int = PAGE_SIZE

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


@dataclass(frozen=True, slots=True)
class Shape:
    """What of each resource is shown: `fields` by type, all where a type is not named; `include`: relationships."""

    fields: Mapping[str, frozenset[str]] = field(default_factory=dict)
    include: tuple[str, ...] = ()

    def shows(self, kind: str, name: str) -> bool:
        return kind not in self.fields or name in self.fields[kind]


@dataclass(frozen=True, slots=True)
class Asked:
    """A list: `where` filters in the wire's names, `order` in the core's, `kept` the query without its page."""

    page: Page = Page()
    where: Mapping[str, str] = field(default_factory=dict)
    order: Order = NEWEST
    shape: Shape = Shape()
    kept: tuple[tuple[str, str], ...] = ()
    after: str | None = None  # what the event is known by that a cursor stands on

    def stretch(self, lens: Lens) -> Stretch:
        """The same in core words, of events or webhooks."""
        return Stretch(lens, self.page.size, self.page.offset, self.where, self.order)


def listing(query: Query, kind: str = "exports", *, whole: bool = True) -> Asked:
    """The query of a list of this kind of LISTS; `whole`: of resource objects, with which others can be included."""
    given, listed = _once(query), LISTS[kind]
    pages: dict[str, int] = {}
    where: dict[str, str] = {}
    order, after = listed.newest, None
    last = 1 if listed.cursor else LAST_PAGE  # the SDK asks every list for a page by its number
    rest: dict[str, str] = {}
    for name, value in given.items():
        member = {"page[number]": "number", "page[size]": "size"}.get(name)
        found = FILTER.fullmatch(name)
        if member:
            pages[member] = _page_number(member, value, LARGEST_PAGE if member == "size" else last)
        elif name == "page[after]" and listed.cursor:
            after = _cursor(value)
        elif found and listed.filters:
            where[found[1]] = value
        elif name == "sort" and listed.sorts:
            order = _order(value, kind)
        else:
            rest[name] = value
    kept = tuple((name, value) for name, value in given.items() if not name.startswith("page["))
    return Asked(Page(**pages), where, order, shape(rest.items(), kind, whole=whole), kept, after)


def shape(query: Query, kind: str = "exports", *, whole: bool = True, changes: bool = False) -> Shape:
    """The query of a single resource: sparse fieldsets of it and of what can be included, and what is included.
    `changes`: of a call that changes something, and must be refused before it does: what is included may then not be
    too much, however much is there."""
    fields: dict[str, frozenset[str]] = {}
    include: tuple[str, ...] = ()
    paths = (NEAR if changes else INCLUDABLE).get(kind, ()) if whole else ()
    possible = reached(kind) if paths else set()
    for name, value in _once(query).items():
        of = name.removeprefix("fields[").removesuffix("]")
        if name == f"fields[{of}]" and of in FIELDS and of in {kind, *possible}:
            fields[of] = _fields(of, value, name)
        elif name == "include" and paths:
            include = _include(value, kind, paths)
        else:
            _refuse(name, value, kind)
    return Shape(fields, include)


def event_key(kind: str, resource_id: str) -> str | None:
    """What the event behind an id of this kind is known by; None when it can be none."""
    if kind == "event_stores":
        found = CURSOR.fullmatch(resource_id)
        return found[1] if found else None
    return resource_id if EVENT.fullmatch(resource_id) else None


def _cursor(value: str) -> str:
    public = event_key("event_stores", value)
    if public is None:
        raise errors.InvalidPageValue(
            f"{value[:200]} is not a valid value for after page parameter.",
            hint="The id of an event store; links.next has it.",
            where=("page[after]",),
            wrong=value[:200],
        )
    return public


def reached(kind: str) -> set[str]:
    """The kinds that can be included with one."""
    return {_end(kind, path) for path in INCLUDABLE.get(kind, ())}


def _end(kind: str, path: str) -> str:
    for name in path.split("."):
        kind = RELATED[kind][name]
    return kind


def nothing_asked(query: Query) -> None:
    """Refuse any parameter where none is known."""
    for name, value in query:
        _refuse(name, value)


def in_query(error: core.Refused) -> core.Refused:
    """What the core says about a filter, as the wire says it of a parameter."""
    if not error.where or error.where[0] != "filters" or isinstance(error, core.NotAllowed):
        return error
    name = str(error.where[-1]) if len(error.where) > 1 else "q"
    place = (f"filter[q][{name}]"[:200] if len(error.where) > 1 else "filter[q]",)
    facts: dict[str, Any] = {
        "wrong": error.wrong,
        "choices": error.choices,
        "hint": str(error),
        "where": place,
    }
    if isinstance(error, core.WrongValue | core.TooMuch):
        wrong = error.wrong.strip("'")
        return errors.InvalidFilterValue(f"{wrong} is not a valid value for {name[:200]}.", **facts)
    return errors.FilterNotAllowed(f"{name[:200]} is not allowed.", **facts)


def _once(query: Query) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in query:
        if name in given:
            raise errors.UnknownParameter(
                f"{name[:200]} is not allowed twice.", hint="Give it once.", where=(name[:200],), wrong=name
            )
        given[name] = value
    return given


def _page_number(member: str, value: str, limit: int) -> int:
    if value.isascii() and value.isdigit() and len(value) < 11 and 1 <= int(value) <= limit:
        return int(value)
    raise errors.InvalidPageValue(
        f"{value} is not a valid value for {member} page parameter.",
        hint=f"A whole number from 1 to {limit}." if limit > 1 else "links.next leads to the next page.",
        where=(f"page[{member}]",),
        wrong=value,
    )


def _order(value: str, kind: str) -> Order:
    listed = LISTS[kind]
    order: dict[str, bool] = {}
    for name in value.split(","):
        bare = name.removeprefix("-")
        if bare not in listed.sorts or listed.filters[bare] in order:
            raise errors.InvalidSort(
                f"{bare} is not a valid sort criteria for {kind}", **_choices(bare, listed.sorts, "sort")
            )
        order[listed.filters[bare]] = name != bare
    return tuple(order.items())


def _fields(kind: str, value: str, parameter: str) -> frozenset[str]:
    named = [name for name in value.split(",") if name]
    for name in named:
        if name not in FIELDS[kind]:
            raise errors.InvalidField(
                f"{name} is not a valid field for {kind}.", **_choices(name, FIELDS[kind], parameter)
            )
    return frozenset(named)


def _include(value: str, kind: str, paths: tuple[str, ...]) -> tuple[str, ...]:
    named = tuple(dict.fromkeys(name for name in value.split(",") if name))
    for name in named:
        if name not in paths:
            raise errors.InvalidInclude(
                f"{name} is not a valid includable relationship of {kind}",
                **_choices(name, paths, "include"),
            )
    return named


def _choices(wrong: str, choices: tuple[str, ...], parameter: str) -> dict[str, Any]:
    hint = f"One of: {', '.join(choices)}."
    return {"wrong": wrong[:200], "choices": choices, "hint": hint, "where": (parameter,)}


def _refuse(name: str, value: str, kind: str = "exports") -> NoReturn:
    short = name[:200]
    where = (short,)
    if name == "sort":
        raise errors.InvalidSort(f"{value} is not a valid sort criteria for {kind}", wrong=value, where=where)
    if name == "include":
        raise errors.InvalidInclude(
            f"{value} is not a valid includable relationship of {kind}", wrong=value, where=where
        )
    if name.startswith("fields"):
        raise errors.InvalidField(f"{value} is not a valid field for {kind}.", wrong=value, where=where)
    if name.startswith("filter"):
        hint = "Write filter[q][ATTRIBUTE_PREDICATE]=VALUE."
        raise errors.FilterNotAllowed(f"{short} is not allowed.", hint=hint, wrong=name, where=where)
    if name.startswith("page"):
        hint = "page[number], page[size]."
        raise errors.InvalidPageValue(f"{short} is not a page parameter.", hint=hint, wrong=name, where=where)
    raise errors.UnknownParameter(f"{short} is not allowed.", wrong=name, where=where)
