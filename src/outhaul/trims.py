"""What a catalog file makes of what was reflected: resources, fields and relationships by its names and rules."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from outhaul import origins, siblings
from outhaul.catalog import (
    SCOPES,
    TENANT,
    Binary,
    Catalog,
    Field,
    Hidden,
    Relationship,
    Resource,
    Segment,
    Type,
    Whose,
)
from outhaul.ceilings import Ceiling
from outhaul.errors import Misconfigured, Refused, UnknownSibling
from outhaul.filters import EVERYTHING, OPS
from outhaul.hiding import ordered, secret
from outhaul.predicates import Reader
from outhaul.written import (
    File,
    WrittenBinary,
    WrittenField,
    WrittenRelationship,
    WrittenResource,
    native,
    read,
)

UNNAMED = "not named in the catalog file"
STORED = {Type.INTEGER: "INTEGER", Type.BOOLEAN: "INTEGER", Type.DECIMAL: "NUMERIC", Type.FLOAT: "REAL"}
NUMBERS = frozenset({Type.INTEGER, Type.DECIMAL, Type.FLOAT})

Place = tuple[str, ...]


def load(path: Path, reflected: Catalog, dialects: Collection[str] = ()) -> Catalog:
    """The catalog that the file makes of the reflected one: only what it names is offered. Misconfigured. `dialects`:
    the names of those that may have sections of their own in it."""
    return _Trim(read(path, dialects), reflected).catalog()


class _Trim:
    def __init__(self, file: File, reflected: Catalog) -> None:
        self.file = file
        self.reflected = reflected
        self.written = file.written.resources
        self.tables = {name: self._table(name, one) for name, one in sorted(self.written.items())}
        self.names: dict[str, str] = {}  # by the name of the reflected resource
        for name, table in self.tables.items():
            if table.name in self.names:
                raise file.fault(("resources", name), f"{self.names[table.name]} has the same table.")
            self.names[table.name] = name
        for name in set(reflected.resources) - set(self.names):
            self.names[name] = f"{name} (hidden)" if name in self.tables else name

    def _table(self, name: str, one: WrittenResource) -> Resource:
        table = one.table or name
        if table not in self.reflected.resources:
            raise self.file.unknown(("resources", name), "table", table, list(self.reflected.resources))
        return self.reflected.resources[table]

    def catalog(self) -> Catalog:
        """Names first, then the ways between them, then the rules that walk these."""
        tables = self.reflected.resources
        made = {name: self._named(name, table) for name, table in self.tables.items()}
        unseen = {self.names[one]: replace(tables[one], name=self.names[one]) for one in self._unoffered()}
        named = replace(self.reflected, resources=made, hidden=self._hidden(made), behind=unseen)
        walked = {name: self._with_ways(named, one) for name, one in made.items()}
        behind = {name: self._with_ways(named, one) for name, one in unseen.items()}
        catalog = replace(named, resources=walked, behind=behind)
        ruled = {name: self._with_rules(catalog, one) for name, one in walked.items()}
        return replace(catalog, resources=ruled, sections=self.file.sections)

    def _unoffered(self) -> Iterator[str]:
        offered = {table.name for table in self.tables.values()}
        return (name for name in self.reflected.resources if name not in offered)

    def _hidden(self, made: Mapping[str, Resource]) -> tuple[Hidden, ...]:
        reasons = self.file.written.hidden
        hidden = [Hidden(name, None, reasons.get(name, UNNAMED)) for name in self._unoffered()]
        for name, resource in made.items():
            written = self.written[name]
            offered = {one.column for one in resource.fields}
            why = UNNAMED if written.fields is not None else ""
            hidden += [
                Hidden(name, one.name, written.hide.get(one.column) or why or secret(one.column))
                for one in resource.columns
                if one.column not in offered
            ]
        return ordered((*self.reflected.hidden, *hidden))

    def _named(self, name: str, table: Resource) -> Resource:
        written = self.written[name]
        known = {one.column: one for one in table.columns}
        asked = (
            {one: WrittenField() for one in known if not secret(one)}
            if written.fields is None
            else written.fields
        )
        fields: dict[str, Field] = {}
        for field, one in asked.items():
            column = one.column or field
            place = ("resources", name, "fields", field)
            if column not in known:
                raise self.file.unknown(place, "column", column, list(known))
            if column in fields:
                raise self.file.fault(place, f"column {column!r} has a name already.", wrong=column)
            fields[column] = self._field(known[column], field, one, place)
        self._only(written.hide, [*known, *(way.name for way in table.ways)], ("resources", name, "hide"))
        offered = tuple(one for column, one in fields.items() if column not in written.hide)
        named = {column: one.name for column, one in fields.items()}
        columns = tuple(replace(one, name=named.get(one.column, one.name)) for one in table.columns)
        resource = replace(table, name=name, fields=offered, columns=columns)
        return self._described(resource, written)

    def _described(self, resource: Resource, written: WrittenResource) -> Resource:
        """Identity, timestamps and description: the file's word, else the database's under the new names."""
        names = {one.column: one.name for one in resource.columns}
        stamps = (
            [names[one] for one in resource.timestamps] if written.timestamps is None else written.timestamps
        )
        found = names[resource.identity] if resource.identity else None
        identity = found if written.identity is None else written.identity or None
        place = ("resources", resource.name)
        self._only([identity] * bool(written.identity), list(names.values()), (*place, "identity"))
        self._only(stamps, list(names.values()), (*place, "timestamps"))
        description = resource.description if written.description is None else written.description
        return replace(resource, identity=identity, timestamps=tuple(stamps), description=description)

    def _only(self, names: Any, known: list[str], place: Place) -> None:
        for name in names:
            if name not in known:
                raise self.file.unknown(place, "field", name, known)

    def _field(self, field: Field, name: str, written: WrittenField, place: Place) -> Field:
        kind = written.type or field.type
        if written.scale is not None and kind is not Type.DECIMAL:
            raise self.file.fault((*place, "scale"), f"only a decimal has a scale, and this is {kind}.")
        changed = replace(
            field,
            name=name,
            scale=field.scale if written.scale is None else written.scale,
            description=field.description if written.description is None else written.description,
        )
        if kind is field.type:
            return changed
        if self.reflected.source == "sqlite":
            return replace(changed, type=kind, native=STORED.get(kind, "TEXT"), loose=True)
        if kind is not Type.TEXT:
            message = f"{self.reflected.source} says {field.type}; only text can be put in its place."
            raise self.file.fault(
                (*place, "type"), message, wrong=str(kind), choices=("text", str(field.type))
            )
        return replace(
            changed, type=kind, native="text", stored=field.native, choices=(), scale=None, loose=True
        )

    def _with_ways(self, named: Catalog, resource: Resource) -> Resource:
        written = self.written.get(resource.name, WrittenResource())
        found = {way.name: replace(way, target=self.names[way.target]) for way in resource.ways}
        added: list[Relationship] = []
        for name, one in written.relationships.items():
            place = ("resources", resource.name, "relationships", name)
            if one.of is None:
                added.append(self._undeclared(named, resource, name, one, place))
            elif one.of not in found or one.target:
                raise self.file.unknown(place, "relationship of the database", one.of, list(found))
            else:
                found[one.of] = replace(found[one.of], name=name)
        ways = tuple(sorted((*found.values(), *added), key=lambda way: way.name))
        hide = {found[name].name for name in written.hide if name in found}
        shown = tuple(way for way in ways if way.target in named.resources and way.name not in hide)
        self._distinct(resource, shown)
        return replace(resource, ways=ways, relationships=shown if resource.name in named.resources else ())

    def _distinct(self, resource: Resource, ways: tuple[Relationship, ...]) -> None:
        taken = {one.name for one in resource.fields}
        for way in ways:
            if way.name in taken:
                place = ("resources", resource.name, "relationships", way.name)
                tip = f'Rename one: relationships.NEW = {{ of = "{way.name}" }}.'
                raise self.file.fault(place, "a field or relationship has this name already.", hint=tip)
            taken.add(way.name)

    def _undeclared(
        self, named: Catalog, resource: Resource, name: str, written: WrittenRelationship, place: Place
    ) -> Relationship:
        if written.target is None or not written.on:
            raise self.file.fault(place, "it needs `of`, or `target` and `on`.")
        known = {**named.behind, **named.resources}
        if written.target not in known:
            raise self.file.unknown((*place, "target"), "resource", written.target, list(named.resources))
        target = known[written.target]
        pairs = [
            (self._column(resource, here, place), self._column(target, there, place))
            for here, there in written.on.items()
        ]
        self._comparable(pairs, place)
        there = {far.column for _, far in pairs}
        if not written.many and not any(there.issuperset(one) for one in (target.key, *target.unique) if one):
            message = f"{', '.join(sorted(there))} is not unique in {target.name}: many rows may be found."
            tip = "Say `many = true`, or give the table a unique key."
            raise self.file.fault(place, message, hint=tip, wrong=name)
        on = tuple((near.column, far.column) for near, far in pairs)
        return Relationship(name, target.name, written.many, on, declared=False)

    def _comparable(self, pairs: list[tuple[Field, Field]], place: Place) -> None:
        for near, far in pairs:
            alike = near.type == far.type or {near.type, far.type} <= NUMBERS
            if self.reflected.source != "sqlite" and not alike:
                raise self.file.fault(
                    place, f"{near.name} is {near.type}, and {far.name} there is {far.type}."
                )

    def _column(self, resource: Resource, name: str, place: Place) -> Field:
        found = field_or_column(resource, name)
        if found is None:
            names = [one.name for one in resource.columns]
            raise self.file.unknown(place, f"column of {resource.name}", name, names)
        return found

    def _with_rules(self, catalog: Catalog, resource: Resource) -> Resource:
        written = self.written[resource.name]
        place = ("resources", resource.name)
        ruled = replace(
            resource,
            segments=tuple(
                Segment(name, _plain(one.filters), one.description) for name, one in written.segments.items()
            ),
            fixed=_plain(written.fixed),
            ceiling=Ceiling(written.max_records, written.max_bytes),
            tenant=self._whose(catalog, resource, written.tenant, (*place, "tenant"))
            if written.tenant
            else None,
            scopes=self._scopes(catalog, resource, (*place, "scopes")),
            binary=self._binary(resource, written.binary, (*place, "binary")) if written.binary else None,
        )
        self._readable(catalog, ruled, ruled.fixed, (*place, "fixed"))
        for segment in ruled.segments:
            self._readable(catalog, ruled, segment.filters, (*place, "segments", segment.name))
        return ruled

    def _binary(self, resource: Resource, written: WrittenBinary, place: Place) -> Binary:
        places = [one for one in (written.folder, written.store) if one is not None]
        if len(places) != (written.path is not None) or (written.path is None) is (written.column is None):
            message = "it needs `folder` or `store`, and `path`, or `column`."
            raise self.file.fault(place, message)
        self._place(written, place)
        if not resource.key:
            raise self.file.fault(place, "without a unique key nothing tells binaries apart.")
        column = self._column(resource, written.path or written.column or "", place)
        if written.column and column.type is not Type.BINARY:
            raise self.file.fault((*place, "column"), f"it holds {column.type}, and no bytes.")
        name = self._column(resource, written.name, place).column if written.name else None
        return Binary(column.column, "".join(places), name)

    def _place(self, written: WrittenBinary, place: Place) -> None:
        """What is wrong with the folder, or the address, that binaries lie below."""
        if written.folder is not None and not Path(written.folder).is_absolute():
            raise self.file.fault((*place, "folder"), "it must begin at the root.", wrong=written.folder)
        if written.store is not None:
            self._store(written.store, (*place, "store"))
        what, where = ("folder", written.folder) if written.store is None else ("store", written.store)
        if any(TENANT in step != TENANT for step in (where or "").split("/")):
            raise self.file.fault((*place, what), f"{TENANT} must be a whole step of it.")

    def _store(self, address: str, place: Place) -> None:
        if TENANT in urlsplit(address).netloc:
            raise self.file.fault(place, f"{TENANT} must stand behind the first step.", wrong=address)
        try:
            siblings.load(origins, address.partition("://")[0]).open_origin(address)
        except (Misconfigured, UnknownSibling) as error:
            raise self.file.fault(place, error.message, hint=error.hint, wrong=address) from None

    def _scopes(self, catalog: Catalog, resource: Resource, place: Place) -> dict[str, dict[str, Whose]]:
        found: dict[str, dict[str, Whose]] = {}
        for kind, written in self.written[resource.name].scopes.items():
            if kind not in SCOPES:
                raise self.file.unknown((*place, kind), "scope", kind, list(SCOPES))
            found[kind] = {
                by: self._whose(catalog, resource, path, (*place, kind, by))
                for by, path in written.model_dump(exclude_none=True).items()
            }
        return found

    def _whose(self, catalog: Catalog, resource: Resource, path: str, place: Place) -> Whose:
        *steps, column = path.split(".")
        here = resource
        for step in steps:
            way = next((way for way in here.ways if way.name == step), None)
            if way is None:
                raise self.file.unknown(
                    place, f"relationship of {here.name}", step, [one.name for one in here.ways]
                )
            here = catalog.resource(way.target)
        found = self._column(here, column, place)
        if found.type not in OPS["eq"].types:
            raise self.file.fault(
                place, f"{column} is {found.type}, which no {place[2]} can be compared with."
            )
        return Whose(tuple(steps), found.column)

    def _readable(
        self, catalog: Catalog, resource: Resource, filters: Mapping[str, Any], place: Place
    ) -> None:
        """Rules are read once now, so that a slip in them is the owner's to see and not an asker's."""
        try:
            Reader(catalog, lambda *_: EVERYTHING, owner=True).read(resource, filters, place)
        except Refused as error:
            more = {"hint": error.hint, "wrong": error.wrong, "choices": error.choices}
            raise self.file.fault(tuple(map(str, error.where)), error.message, **more) from error


def field_or_column(resource: Resource, name: str) -> Field | None:
    """As the owner names it: an offered field by its name, any column by the database's."""
    offered = (one for one in resource.fields if one.name == name)
    return next(offered, None) or next((one for one in resource.columns if one.column == name), None)


def _plain(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Dates and times of TOML as text, so that a catalog stays JSON."""
    return {name: one if isinstance(one, str | int | list) else str(one) for name, one in filters.items()}


@dataclass(frozen=True, slots=True)
class Difference:
    """`kind`: new, gone or changed; `what`: a table or `resource.field`."""

    kind: str
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind:8}{self.what}" + (f"  ({self.detail})" if self.detail else "")


def check(path: Path, reflected: Catalog, dialects: Collection[str] = ()) -> list[Difference]:
    """Where the database is no longer what the file was written for; empty when all is as it was. `dialects`: as
    above."""
    file = read(path, dialects)
    named = {one.table or name for name, one in file.written.resources.items()} | set(file.written.hidden)
    found = [Difference("new", name) for name in reflected.resources if name not in named]
    found += [Difference("gone", name) for name in file.written.hidden if name not in reflected.resources]
    for name, one in file.written.resources.items():
        table = reflected.resources.get(one.table or name)
        found += _differences(name, one, table, reflected.source) if table else [Difference("gone", name)]
    return sorted(found, key=lambda one: (one.what, one.kind))


def _differences(name: str, written: WrittenResource, table: Resource, source: str) -> Iterator[Difference]:
    columns = {one.column: one for one in table.columns}
    fields = written.fields or {}
    named = {one.column or field for field, one in fields.items()} | set(written.hide)
    ways = {way.name for way in table.ways}
    for column in named - columns.keys() - ways:
        yield Difference("gone", f"{name}.{column}")
    for column in columns.keys() - named if written.fields is not None else ():
        yield Difference("new", f"{name}.{column}", native(columns[column], source))
    for field, one in fields.items():
        column = one.column or field
        if column in columns and one.native not in {None, native(columns[column], source)}:
            yield Difference(
                "changed", f"{name}.{column}", f"{one.native}, now {native(columns[column], source)}"
            )
