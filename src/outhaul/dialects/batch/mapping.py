"""The section `[batch]` of a catalog file: which resources are profiles and events, and how they are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from outhaul import plan
from outhaul.catalog import Catalog, Type
from outhaul.dialects.batch.parse import EVENTS, Attributes, Events, Wanted
from outhaul.errors import Misconfigured, Refused, WrongValue
from outhaul.export import Caller, Draft, Member, Selection
from outhaul.wishes import way_to

DIALECT = "batch"
FORMAT = "ndjson"
FILE_BYTES = 100_000_000  # Batch: "a maximum size of 100MB"
NATIVE = (
    *("$city", "$creation_date", "$email_address", "$email_marketing", "$language", "$last_activity"),
    *("$last_email_marketing_click", "$last_email_marketing_open", "$last_email_transactional_click"),
    *("$last_email_transactional_open", "$last_visit_date", "$phone_number", "$region", "$sms_marketing"),
    *("$timezone", "$push_subscriptions", "$install_date", "$email_open_tracking_consent"),
    "$topic_preferences",
)
CUSTOM = re.compile(r"[a-z0-9_]{1,30}")
ANYBODY = Caller("catalog", "", None, all_tenants=True)
LISTS = {Type.ARRAY, Type.JSON}


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WrittenProfiles(_Written):
    """`custom_id`, `installation_ids` and `attributes` are fields, by dotted names."""

    resource: str
    custom_id: str | None = None
    installation_ids: str | None = None
    attributes: dict[str, str] = {}


class WrittenEvent(_Written):
    """`date` is the resource's own field; `filters` tell which of its rows are events of this kind."""

    resource: str
    date: str
    orchestration_id: str
    custom_id: str | None = None
    installation_id: str | None = None
    filters: dict[str, Any] = {}


class WrittenSection(_Written):
    """`projects`: whose tenant a project key is for; one that is not there is for the tenant of that name. `segments`:
    which segment of the resource has a code; one that is not there is the segment's name."""

    projects: dict[str, str] = {}
    profiles: WrittenProfiles | None = None
    segments: dict[str, str] = {}
    events: dict[str, WrittenEvent] = {}


@dataclass(frozen=True, slots=True)
class Section:
    """The section of one catalog."""

    catalog: Catalog
    written: WrittenSection

    def tenant(self, project: str) -> str:
        """Whom a project key is for."""
        return self.written.projects.get(project, project)

    def draft(self, wanted: Wanted) -> Draft:
        """What is wanted in core words; WrongValue for what is not offered here."""
        if isinstance(wanted, Attributes):
            selections = [self._profiles(wanted)]
        else:
            selections = [self._event(kind, wanted) for kind in wanted.events]
        return Draft(
            tuple(selections),
            formats=(FORMAT,),
            fragment_bytes=FILE_BYTES,
            numbered=True,
            dialect=DIALECT,
            wire=wanted.echo,
        )

    def _profiles(self, wanted: Attributes) -> Selection:
        profiles = self.written.profiles
        if profiles is None:
            raise WrongValue("profiles are not offered here.", where=("export_type",))
        known = profiles.attributes
        for name in wanted.attributes:
            if name not in known:
                raise _unknown("attribute", name, known, "attributes")
        shown = tuple(self._member(name, profiles.resource, known[name]) for name in wanted.attributes)
        groups = (
            self._identifiers(profiles, wanted.identifiers),
            Member("attributes", members=shown) if shown else None,
        )
        segments = () if wanted.segment is None else (self._segment(profiles.resource, wanted.segment),)
        layout = tuple(one for one in groups if one)
        return Selection(profiles.resource, layout=layout, segments=segments)

    def _event(self, kind: str, wanted: Events) -> Selection:
        if kind not in self.written.events:
            raise _unknown("event", kind, self.written.events, "events")
        event = self.written.events[kind]
        group = self._identifiers(event, wanted.identifiers)
        layout = (
            Member("event", text=kind),
            Member("date", field=event.date, utc=True),
            *([group] if group else ()),
            Member("orchestration_id", field=event.orchestration_id, worded=True),
        )
        own = {f"{event.date}_gteq": wanted.since.isoformat()}
        if wanted.before:
            own[f"{event.date}_lt"] = wanted.before.isoformat()
        filters = {name: _plain(value) for name, value in event.filters.items()} | own
        if wanted.orchestrations:
            filters[f"{event.orchestration_id}_in"] = list(wanted.orchestrations)
        until = "" if wanted.before else event.date
        return Selection(event.resource, layout=layout, filters=filters, until=until)

    def _identifiers(self, of: WrittenProfiles | WrittenEvent, asked: Iterable[str]) -> Member | None:
        """The member that holds them; None where there are none."""
        members = []
        for name in asked:
            path: str | None = getattr(of, name)
            if path is None:
                raise WrongValue(f"{name} is not offered here.", where=("identifiers",))
            members.append(self._member(name, of.resource, path, worded=True))
        return Member("identifiers", members=tuple(members)) if members else None

    def _member(self, key: str, resource: str, path: str, *, worded: bool = False) -> Member:
        """One value, or the list of those that a relationship to many leads to."""
        walk, field = way_to(self.catalog, self.catalog.resources[resource], path)
        if any(step.many for step in walk):
            return Member(key, each=path, worded=worded, utc=True)
        return Member(key, field=path, worded=worded and field.type not in LISTS, utc=True)

    def _segment(self, resource: str, code: str) -> str:
        named = [one.name for one in self.catalog.resources[resource].segments]
        codes = {name: name for name in named} | self.written.segments
        if code not in codes:
            raise _unknown("segment", code, codes, "filter", "segment")
        return codes[code]


def read(catalog: Catalog) -> Section | None:
    """The section; None where the file has none. Misconfigured says the first thing that is wrong in it."""
    if DIALECT not in catalog.sections:
        return None
    section = _read(catalog)
    for said in _wrong(section):
        raise Misconfigured(f"The section [{DIALECT}] of the catalog file: {said}")
    return section


def check(catalog: Catalog) -> tuple[str, ...]:
    """All that is wrong in the section, and if nothing is, what is missing."""
    try:
        section = _read(catalog)
    except Misconfigured as error:
        return (str(error),)
    return tuple(dict.fromkeys(_wrong(section))) or tuple(_missing(section))


def _read(catalog: Catalog) -> Section:
    try:
        return Section(catalog, WrittenSection.model_validate(catalog.sections[DIALECT]))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Misconfigured(f"{place}: {first['msg']}.", wrong=place) from None


def _wrong(section: Section) -> Iterator[str]:
    """What cannot be served, each with its place below the section."""
    written, profiles = section.written, section.written.profiles
    unknown = [kind for kind in written.events if kind not in EVENTS]
    resources = {f"events.{kind}": event.resource for kind, event in written.events.items()}
    resources |= {"profiles": profiles.resource} if profiles else {}
    lost = {place: name for place, name in resources.items() if name not in section.catalog.resources}
    yield from (f"events: there is no event {kind!r}. One of: {', '.join(EVENTS)}." for kind in unknown)
    yield from (f"{place}.resource: there is no resource {name!r}." for place, name in lost.items())
    if unknown or lost:
        return
    if profiles:
        yield from _wrong_profiles(section, profiles)
    for kind, event in written.events.items():
        yield from _wrong_event(section, kind, event)


def _wrong_profiles(section: Section, profiles: WrittenProfiles) -> Iterator[str]:
    for name in profiles.attributes:
        place = f"profiles.attributes.{name}"
        if name not in NATIVE and not CUSTOM.fullmatch(name):
            yield f"{place}: neither a native attribute nor a name of up to 30 of a-z, 0-9 and _."
        yield from _tried(section, place, Attributes((name,), (), None, {}))
    for name in ("custom_id", "installation_ids"):
        if getattr(profiles, name):
            yield from _tried(section, f"profiles.{name}", Attributes((), (name,), None, {}))
    if profiles.installation_ids and _single(section, profiles.resource, profiles.installation_ids):
        yield "profiles.installation_ids: there is one value for each profile, and it should be a list."
    for code in section.written.segments:
        some = tuple(profiles.attributes)[:1]
        yield from _tried(section, f"segments.{code}", Attributes(some, (), code, {}))


def _single(section: Section, resource: str, path: str) -> bool:
    """Whether a field holds one value that is no list."""
    try:
        walk, field = way_to(section.catalog, section.catalog.resources[resource], path)
    except Refused:
        return False  # which is told already
    return not any(step.many for step in walk) and field.type not in LISTS


def _wrong_event(section: Section, kind: str, event: WrittenEvent) -> Iterator[str]:
    ours = {f"{event.date}_gteq", f"{event.date}_lt", f"{event.orchestration_id}_in"}
    if taken := ours & event.filters.keys():
        yield f"events.{kind}.filters: {', '.join(sorted(taken))} is for those who ask to say."
    names = tuple(name for name in ("custom_id", "installation_id") if getattr(event, name))
    since = datetime(2026, 1, 1, tzinfo=UTC)
    for before in (None, since):
        yield from _tried(section, f"events.{kind}", Events((kind,), names, (), since, before, {}))


def _tried(section: Section, place: str, wanted: Wanted) -> Iterator[str]:
    """What the plan says to somebody who wants this."""
    try:
        made = plan.build(section.catalog, section.draft(wanted), ANYBODY, formats=(FORMAT,))
    except Refused as error:
        yield f"{place}: {error}"
        return
    for _, node in plan.places(made.selections[0]):
        if section.catalog.resources[node.resource].tenant is None:
            yield f"resources.{node.resource} has no tenant rule, so that no key may read it."


def _missing(section: Section) -> Iterator[str]:
    """What clients of Batch may ask for, and cannot be given."""
    written, profiles = section.written, section.written.profiles
    if profiles is None:
        yield "profiles: is missing."
    else:
        unnamed = [name for name in ("custom_id", "installation_ids") if not getattr(profiles, name)]
        yield from (f"profiles.{name}: is missing." for name in unnamed)
        native = [name for name in NATIVE if name not in profiles.attributes]
        yield from (f"profiles.attributes.{name}: is missing." for name in native)
    yield from (f"events.{kind}: is missing." for kind in EVENTS if kind not in written.events)
    for kind, event in written.events.items():
        unnamed = [name for name in ("custom_id", "installation_id") if not getattr(event, name)]
        yield from (f"events.{kind}.{name}: is missing." for name in unnamed)
        _, field = way_to(section.catalog, section.catalog.resources[event.resource], event.date)
        if field.type is not Type.INSTANT:
            yield f"events.{kind}.date: {event.resource}.{event.date} has no zone, and is taken as UTC."


def _unknown(what: str, name: str, choices: Iterable[str], *where: str) -> WrongValue:
    known = tuple(choices)
    hint = f"One of: {', '.join(known)}." if known else "There is none."
    return WrongValue(f"there is no {what} {name[:100]!a} here.", hint=hint, where=where, choices=known)


def _plain(value: Any) -> Any:
    """Dates and times of TOML as text, so that a draft stays JSON."""
    return value if isinstance(value, str | int | list) else str(value)
