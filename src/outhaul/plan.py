"""Draft + Catalog -> Plan: every check that can be made before the export exists; pure, serialisable, frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from outhaul import filters, layouts, moments
from outhaul.catalog import Catalog, Field, Resource, Type
from outhaul.ceilings import UNLIMITED, Ceiling
from outhaul.conditions import hops
from outhaul.draft import archive_of, consistency_of, formats_of, one_of, size_of
from outhaul.errors import Malformed, NoKey, UnknownResource, UnknownSegment, WrongValue
from outhaul.export import Caller, Draft, Scope, Selection
from outhaul.filters import EVERYTHING, Condition, Test, every
from outhaul.predicates import Reader, hint, nearest, too_much
from outhaul.rules import Rules
from outhaul.tabular import PLAIN, Tabular, lay, tabular
from outhaul.values import DEFAULT, Limits, Where
from outhaul.wishes import Wish, dry, resolve, steps

Path = tuple[str, ...]
PART_BYTES = 100_000_000  # 60 parts of 773 MB instead of 8 cost 10 % by key and 23 % by ctid
BINARY = "binary"  # in place of a format: what belongs to rows is copied as it is


@dataclass(frozen=True, slots=True)
class Column:
    """One output column: the key it has in the output, and the column it comes from."""

    key: str
    column: str
    type: Type
    native: str
    nullable: bool
    scale: int | None = None
    description: str = ""
    stored: str = ""  # the database's own type, where the value is read as text
    utc: bool = False  # a moment is spelled as RFC 3339 has it, in UTC with a `Z`


@dataclass(frozen=True, slots=True)
class By:
    """One step of an order: the column, and whether its greatest value comes first. NULL is greater than any value;
    texts, and types that only the database knows, are ordered by the bytes of their text."""

    column: Column
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One resource at one place of the tree. The root has name "" and no `on`.

    `on`: pairs of columns (of the parent's table, of this table). `key`: columns that identify and order the rows;
    empty for a resource without a key, which is flat or a child without to-many children of its own. `where`: tenant,
    fixed and (root only) the asker's conditions. `rules`: the tenant and fixed ones alone, once more, to be told.
    Columns of `on` and `key` need not be among `columns`, which may be empty. `sort`: the order of the root's rows,
    down to the last column of its key, so that no two are equal in it; empty: any order. `ceiling`: of the root.
    """

    name: str
    resource: str
    schema: str | None
    table: str
    kind: str
    many: bool
    on: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]
    key: tuple[Column, ...]
    where: Condition
    children: tuple[Node, ...] = ()
    rules: Condition = EVERYTHING
    sort: tuple[By, ...] = ()
    ceiling: Ceiling = UNLIMITED
    nested: str = "json"  # how its rows stand in a table of its parent's
    tabular: Tabular = PLAIN  # of the root
    filled: bool = False  # objects of JSON leave out what is null or blank
    layout: tuple[layouts.Laid, ...] = ()  # of the root: what a row of it is in JSON, if not all columns
    stem: str = ""  # of the root: what its files are called, if not as the resource
    binary: str | None = None  # of a root whose binaries are copied: where they lie, "" in the columns

    @property
    def many_children(self) -> tuple[Node, ...]:
        return tuple(child for child in self.children if child.many)

    @property
    def one_children(self) -> tuple[Node, ...]:
        return tuple(child for child in self.children if not child.many)

    @property
    def flat(self) -> bool:
        """No related rows at all."""
        return not self.children


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked draft, frozen with the export: 1..n selections x 1..n formats, all of one instant."""

    source: str  # sqlite | postgresql
    selections: tuple[Node, ...]
    formats: tuple[str, ...]
    compress: str | None
    part_bytes: int
    fragment_bytes: int | None
    fragment_rows: int | None
    tenant: str | None
    catalog: str  # fingerprint
    consistency: str = "snapshot"  # "part": each part is; "none": a foreign table is read, of no instant here
    scopes: tuple[Scope, ...] = ()
    numbered: bool = False  # each fragment is a file of its own
    archive: str | None = None  # the name of a ZIP of all files
    sha1: bool = False  # of each file as a whole, too

    def forms(self, selection: int) -> tuple[str, ...]:
        """What a selection is written in: the formats, or as binaries."""
        return self.formats if self.selections[selection].binary is None else (BINARY,)

    @property
    def written(self) -> Iterator[tuple[int, str]]:
        """Each selection with each of these."""
        return ((n, form) for n in range(len(self.selections)) for form in self.forms(n))


def build(
    catalog: Catalog,
    draft: Draft,
    caller: Caller,
    *,
    formats: Sequence[str],
    compressions: Mapping[str, Sequence[str]] | None = None,
    limits: Limits = DEFAULT,
    part_bytes: int = PART_BYTES,
    ceiling: Ceiling = UNLIMITED,
) -> Plan:
    """The draft, checked whole. `formats` are the names there are, `compressions` for each format those it knows;
    `ceiling` holds where neither caller nor resource has one.

    Any error of `Refused`; its `where` leads into the draft: ("fields", 3), ("filters", "code_eq"), with
    ("selections", 1, ...) before it when there are several.
    """
    if not draft.selections:
        raise Malformed("An export needs at least one resource.", where=("selections",))
    scopes = caller.scopes if draft.scoped else ()
    asker = _Asker(catalog, replace(caller, scopes=scopes), limits, ceiling)
    several = len(draft.selections) > 1
    nodes = tuple(
        asker.selection(one, draft, ("selections", number) if several else ())
        for number, one in enumerate(draft.selections)
    )
    made_as = formats_of(draft, formats)
    if draft.compress is not None:
        for name in made_as:
            one_of("compression", draft.compress, (compressions or {}).get(name, ()), ("compress",))
    return Plan(
        source=catalog.source,
        selections=nodes,
        formats=made_as,
        compress=draft.compress,
        part_bytes=size_of(draft, "part_bytes") or part_bytes,
        fragment_bytes=size_of(draft, "fragment_bytes"),
        fragment_rows=size_of(draft, "fragment_rows"),
        tenant=caller.tenant,
        scopes=scopes,
        archive=archive_of(draft),
        sha1=draft.sha1,
        catalog=catalog.fingerprint,
        numbered=draft.numbered,
        consistency="none" if any(_distant(catalog, root) for root in nodes) else consistency_of(draft),
    )


def _distant(catalog: Catalog, root: Node) -> bool:
    """Whether anything that the selection reads, its conditions too, is of no instant of this database."""
    far = {(one.schema, one.table) for one in catalog.all() if one.distant}
    read = {(node.schema, node.table) for _, node in places(root)}
    for _, node in places(root):
        read |= {(hop.schema, hop.table) for hop in hops(node.where)}
    return bool(far & read)


class _Asker:
    """One caller before one catalog: turns selections into nodes, with the caller's rules on each."""

    def __init__(self, catalog: Catalog, caller: Caller, limits: Limits, ceiling: Ceiling) -> None:
        self.ceiling = ceiling
        self.catalog = catalog
        self.caller = caller
        self.limits = limits
        self.rules = Rules(catalog, caller)
        self.reader = Reader(catalog, self.rules.allowed, limits)

    def selection(self, asked: Selection, draft: Draft, where: Where) -> Node:
        """The root of a selection with everything below it."""
        resource = self._resource(asked.resource, where)
        rules = self.rules.allowed(resource, (*where, "resource"))
        wish = resolve(self.catalog, resource, layouts.wanted(asked), self.limits, where)
        laid = layouts.lay(self.catalog, resource, asked, draft, (*where, "layout"))
        if draft.dry:
            dry(wish, where)
        lay(wish, asked.nested, draft, (*where, "nested"))
        root = replace(self._node(wish, rules, draft.dry), tabular=tabular(draft), stem=asked.stem)
        root = _laid(root, laid, layouts.spelled(laid)) if laid else root
        asks = self.reader.read(resource, asked.filters, (*where, "filters"))
        until = moments.until(self.catalog, resource, asked.until, (*where, "until"))
        root = replace(
            root,
            where=every(root.rules, asks, self._segments(resource, asked.segments, where), until),
            sort=self._sort(resource, asked.sort, (*where, "sort")),
            ceiling=self.caller.ceiling.least(resource.ceiling).otherwise(self.ceiling),
        )
        root = _copied(root, resource, draft, self.caller.tenant, where) if asked.binaries else root
        self._check(root, where)
        return root

    def _resource(self, name: str, where: Where) -> Resource:
        if name in self.catalog.resources:
            return self.catalog.resources[name]
        near = nearest(name, list(self.caller.resources) or list(self.catalog.resources))
        message = f"There is no resource {name!r}."
        raise UnknownResource(message, hint=hint(near), where=(*where, "resource"), wrong=name, choices=near)

    def _segments(self, resource: Resource, names: Sequence[str], where: Where) -> Condition:
        """Saved filters are the owner's words: they may name hidden columns, but read only the caller's rows."""
        known = {one.name: one for one in resource.segments}
        reader = Reader(self.catalog, self.rules.due, self.limits, owner=True)
        conditions = []
        for number, name in enumerate(names):
            place = (*where, "segments", number)
            if name not in known:
                near = nearest(name, list(known))
                message = f"{resource.name} has no segment {name!r}."
                raise UnknownSegment(message, hint=hint(near), where=place, wrong=name, choices=near)
            conditions.append(reader.read(resource, known[name].filters, place))
        return every(*conditions)

    def _sort(self, resource: Resource, asked: Sequence[str], where: Where) -> tuple[By, ...]:
        wanted = [By(_column(field), down) for field, down in steps(resource, asked, where)]
        if wanted and not resource.key:
            message = (
                f"{resource.name} has no unique key, so the order of rows that sort alike would be chance."
            )
            tip = "Export it unsorted, or give its table a primary key."
            raise NoKey(message, hint=tip, where=where, wrong=asked[0])
        taken = {one.column.column for one in wanted}
        columns = {one.column: one for one in resource.columns}
        ties = [By(_column(columns[name])) for name in resource.key if name not in taken]
        return (*wanted, *ties) if wanted else ()

    def _node(self, wish: Wish, rules: Condition, filled: bool) -> Node:
        resource, way = wish.resource, wish.way
        below = ((child, self.rules.allowed(child.resource, child.where)) for child in wish.below.values())
        columns = {one.column: one for one in resource.columns}
        return Node(
            name=way.name if way else "",
            resource=resource.name,
            schema=resource.schema,
            table=resource.table,
            kind=resource.kind,
            many=way is None or way.many,
            on=way.on if way else (),
            columns=tuple(_column(one) for one in wish.fields.values()),
            key=tuple(_column(columns[name]) for name in resource.key),
            where=rules,
            children=tuple(self._node(child, due, filled) for child, due in below),
            rules=rules,
            nested=wish.nested,
            filled=filled,
        )

    def _check(self, node: Node, where: Where) -> None:
        """What holds for a row with its to-one relations, which are read in one statement."""
        row = list(_row(node))
        width = sum(len(one.columns) + len(one.key) for one in row)
        if width > self.limits.columns:
            raise too_much("columns in one row", width, self.limits.columns, (*where, "fields"))
        children = [child for one in row for child in one.many_children]
        if children and not node.key:
            message = (
                f"{node.resource} has no unique key, so {children[0].name!r} cannot be put below its rows."
            )
            tip = "Export it flat, or give its table a primary key."
            raise NoKey(message, hint=tip, where=(*where, "includes"), wrong=children[0].name)
        for child in children:
            self._check(child, where)


def _laid(node: Node, layout: tuple[layouts.Laid, ...], utc: frozenset[Path], path: Path = ()) -> Node:
    """The tree under a layout, with moments in UTC at those paths, and no NULL in its lists."""
    where = node.where
    if node.name and node.many:
        (one,) = node.columns
        where = every(where, Test(one.column, one.type, one.native, "not_null"))
    columns = tuple(replace(one, utc=(*path, one.key) in utc) for one in node.columns)
    children = tuple(_laid(child, (), utc, (*path, child.name)) for child in node.children)
    return replace(node, where=where, layout=layout, columns=columns, children=children)


def _copied(root: Node, resource: Resource, draft: Draft, tenant: str | None, where: Where) -> Node:
    """The root, of which is read what names the binaries: its key, where each lies and what it is called."""
    found = resource.binary
    if draft.archive is None or found is None:
        message = f"{resource.name} has no binaries, or no archive is asked for that they could be in."
        raise WrongValue(message, where=(*where, "binaries"), wrong=resource.name)
    columns = {one.column: one for one in resource.columns}
    names = (*resource.key, found.column, *filter(None, [found.name]))
    read = tuple(replace(_column(columns[name]), key=f"{n} {name}") for n, name in enumerate(names))
    of = columns[found.column]
    there = every(root.where, Test(of.column, of.type, of.native, "not_null", (), of.loose))
    folder = found.folder(tenant)
    if folder is None:
        message = "Each tenant has a folder of its own for binaries, and this one has none."
        raise WrongValue(message, where=(*where, "binaries"), wrong=resource.name)
    return replace(root, columns=read, children=(), sort=(), where=there, binary=folder)


def _row(node: Node) -> Iterator[Node]:
    yield node
    for child in node.one_children:
        yield from _row(child)


def _column(field: Field) -> Column:
    about = (field.type, field.native, field.nullable, field.scale, field.description, field.stored)
    return Column(field.name, field.column, *about)


def at(plan: Plan, moment: datetime) -> Plan:
    """The plan as it is read once the instant has been taken."""
    roots = (replace(root, where=moments.at(root.where, moment)) for root in plan.selections)
    return replace(plan, selections=tuple(roots))


def places(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """A node and all below it, each with its dotted include path; "" for the first."""
    yield path, node
    for child in node.children:
        yield from places(child, f"{path}.{child.name}" if path else child.name)


def to_data(plan: Plan) -> dict[str, Any]:
    """JSON-able form, from which `from_data` makes the same plan again."""
    names = (name for name in Plan.__dataclass_fields__ if name not in {"selections", "formats", "scopes"})
    data = {name: getattr(plan, name) for name in names}
    return data | {
        "selections": [_node_data(node) for node in plan.selections],
        "formats": list(plan.formats),
        "scopes": [asdict(one) for one in plan.scopes],
    }


def from_data(data: Mapping[str, Any]) -> Plan:
    """The plan that `to_data` was given, also after a way through JSON."""
    read = {
        "selections": tuple(_node(one) for one in data["selections"]),
        "formats": tuple(data["formats"]),
        "scopes": tuple(
            Scope(one["kind"], one["by"], tuple(one["values"])) for one in data.get("scopes", ())
        ),
    }
    return Plan(**{**data, **read})


def _node_data(node: Node) -> dict[str, Any]:
    names = ("name", "resource", "schema", "table", "kind", "many", "nested", "filled", "stem", "binary")
    return {name: getattr(node, name) for name in names} | {
        "on": [list(pair) for pair in node.on],
        "columns": [asdict(column) for column in node.columns],
        "key": [asdict(column) for column in node.key],
        "where": filters.to_data(node.where),
        "children": [_node_data(child) for child in node.children],
        "rules": filters.to_data(node.rules),
        "sort": [asdict(one) for one in node.sort],
        "ceiling": asdict(node.ceiling),
        "tabular": asdict(node.tabular),
        "layout": [asdict(one) for one in node.layout],
    }


def _node(data: Mapping[str, Any]) -> Node:
    made = {
        "on": tuple((here, there) for here, there in data["on"]),
        "columns": tuple(_read_column(one) for one in data["columns"]),
        "key": tuple(_read_column(one) for one in data["key"]),
        "where": filters.from_data(data["where"]),
        "children": tuple(_node(child) for child in data["children"]),
        "rules": filters.from_data(data["rules"]),
        "sort": tuple(By(_read_column(one["column"]), one["descending"]) for one in data["sort"]),
        "ceiling": Ceiling(**data["ceiling"]),
        "tabular": Tabular(**data["tabular"]),
        "layout": layouts.from_data(data.get("layout", ())),
    }
    return Node(**{**data, **made})


def _read_column(data: Mapping[str, Any]) -> Column:
    return Column(**{**data, "type": Type(data["type"])})
