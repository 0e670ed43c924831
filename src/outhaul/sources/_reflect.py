"""What a database says of its tables, as a catalog: names of resources and of the ways between them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from outhaul.catalog import Catalog, Field, Hidden, Relationship, Resource

Place = tuple[str | None, str]  # schema, table

STEM = re.compile(r"(?P<stem>.+?)(_id|_uuid|_fk|(?<=[a-z])I[dD]|(?<=[a-z])Uuid)$", re.DOTALL)
WORD = re.compile(r"[A-Za-z]+$")


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns here that hold the values of columns there, in the same order."""

    columns: tuple[str, ...]
    target: Place
    there: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table or view as it was found. `rank`: its schema's position on the search path.

    `unique`: column sets that are unique, NULLs apart, the primary key first where there is one.
    """

    schema: str | None
    name: str
    kind: str
    fields: tuple[Field, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    foreign: tuple[ForeignKey, ...] = ()
    rank: int = 0
    description: str = ""
    distant: bool = False

    @property
    def place(self) -> Place:
        return (self.schema, self.name)


def catalog(
    source: str, tables: Sequence[Table], hidden: Sequence[Hidden] = (), encoding: str = "utf-8"
) -> Catalog:
    """Every table as a resource with all its fields; nothing is trimmed yet."""
    names = resource_names(tables)
    ways, astray = _Ways(tables, names).found()
    resources = {names[table.place]: _resource(table, names, ways) for table in tables}
    ordered = {name: resources[name] for name in sorted(resources)}
    return Catalog(source, ordered, (*hidden, *astray), encoding=encoding)


def _resource(table: Table, names: Mapping[Place, str], ways: Mapping[Place, list[Relationship]]) -> Resource:
    key = _key(table)
    relationships = tuple(ways[table.place])
    return Resource(
        name=names[table.place],
        schema=table.schema,
        table=table.name,
        kind=table.kind,
        fields=table.fields,
        key=key,
        unique=tuple(unique for unique in table.unique if unique != key),
        relationships=relationships,
        columns=table.fields,
        ways=relationships,
        identity=key[0] if len(key) == 1 else None,
        timestamps=tuple(one.name for one in table.fields if one.name in {"created_at", "updated_at"}),
        description=table.description,
        distant=table.distant,
    )


def _key(table: Table) -> tuple[str, ...]:
    """The primary key, else the unique set with the fewest columns, if none of its columns can be NULL."""
    order = {one.column: position for position, one in enumerate(table.fields)}
    never_null = {one.column for one in table.fields if not one.nullable}
    whole = [unique for unique in table.unique if never_null.issuperset(unique)]
    if table.unique and table.unique[0] in whole:
        return table.unique[0]
    return min(whole, key=lambda unique: (len(unique), [order[name] for name in unique]), default=())


def resource_names(tables: Sequence[Table]) -> dict[Place, str]:
    """A resource is named as its table. Where schemas clash the first on the search path keeps the plain name, as it
    does in SQL, and the others are `schema.table`; with none on the path all are."""
    off_path = max((table.rank for table in tables), default=0) + 1
    ranks: dict[str, list[int]] = {}
    for table in tables:
        ranks.setdefault(table.name, []).append(off_path if table.rank < 0 else table.rank)
    names: dict[Place, str] = {}
    for table in sorted(tables, key=lambda one: (one.schema or "", one.name)):
        clash = len(ranks[table.name]) > 1
        plain = not clash or (table.rank >= 0 and table.rank == min(ranks[table.name]))
        names[table.place] = table.name if plain else f"{table.schema}.{table.name}"
    doubled = {name for name, times in Counter(names.values()).items() if times > 1}
    quoted = {place: f'"{place[0]}"."{place[1]}"' for place, name in names.items() if name in doubled}
    return names | quoted


@cache
def _inflection() -> Any:
    import typeguard

    checks = typeguard.typechecked
    # It has its own arguments checked at run time: 1.2 of the 1.35 s that its import took.
    setattr(typeguard, "typechecked", lambda function: function)  # noqa: B010  # an overloaded name
    try:
        import inflect
    finally:
        setattr(typeguard, "typechecked", checks)  # noqa: B010  # as above
    return inflect.engine()


def plural(name: str) -> str:
    """A name with its last word in the plural; plurals, and words that are no words, stay as they are."""
    found = WORD.search(name)
    if not found or _inflection().singular_noun(found[0].lower()):
        return name
    word = found[0]
    more: str = _inflection().plural_noun(word.lower())
    more = more.upper() if word.isupper() and len(word) > 1 else more
    return name[: found.start()] + (word[:1] + more[1:])


def singular(name: str) -> str:
    """A name with its last word in the singular."""
    found = WORD.search(name)
    one = found and _inflection().singular_noun(found[0].lower())
    return name[: found.start()] + found[0][:1] + one[1:] if found and one else name


def stem(key: ForeignKey) -> str:
    """What a foreign key calls the row it points to: `account` for `account_id` and for (tenant_id, account_id) that
    points to (tenant_id, id)."""
    telling = [here for here, there in zip(key.columns, key.there, strict=True) if here != there]
    columns = telling or list(key.columns)
    if len(columns) > 1:
        return singular(key.target[1])
    column = columns[0]
    there = key.there[key.columns.index(column)]
    if column.endswith(f"_{there}") and len(column) > len(there) + 1:
        return column[: -len(there) - 1]
    found = STEM.fullmatch(column)
    return found["stem"] if found else column


class _Ways:
    """Names the relationships of all foreign keys, the same way each time."""

    def __init__(self, tables: Sequence[Table], names: Mapping[Place, str]) -> None:
        self.tables = {table.place: table for table in tables}
        self.names = names
        self.taken = {table.place: {one.name for one in table.fields} for table in tables}
        self.ways: dict[Place, list[Relationship]] = {table.place: [] for table in tables}

    def found(self) -> tuple[Mapping[Place, list[Relationship]], list[Hidden]]:
        """Relationships by place in the order of their names, and the foreign keys that cannot be walked."""
        keys = list(self._sound())
        for table, key in keys:
            self._add(table.place, key.target, self._one_names(key), key, many=False)
        for table, key in sorted(keys, key=_nearness):
            self._add(key.target, table.place, self._many_names(table, key), key, many=True)
        ways = {place: sorted(found, key=lambda one: one.name) for place, found in self.ways.items()}
        return ways, list(self._astray())

    def _sound(self) -> Iterator[tuple[Table, ForeignKey]]:
        for place in sorted(self.tables, key=str):
            table = self.tables[place]
            for key in table.foreign:
                if not self._fault(key):
                    yield table, key

    def _astray(self) -> Iterator[Hidden]:
        for place, table in self.tables.items():
            for key in table.foreign:
                fault = self._fault(key)
                if fault:
                    yield Hidden(self.names[place], stem(key), fault)

    def _fault(self, key: ForeignKey) -> str:
        target = self.tables.get(key.target)
        if target is None:
            return f"points to {key.target[1]}, which is not there or cannot be read"
        if not any(set(unique) <= set(key.there) for unique in target.unique):
            return f"points to columns of {key.target[1]} that are not unique"
        return ""

    def _one_names(self, key: ForeignKey) -> Iterator[str]:
        yield stem(key)
        yield f"{stem(key)}_record"

    def _many_names(self, table: Table, key: ForeignKey) -> Iterator[str]:
        name = plural(table.name)
        yield name
        yield f"{name}_by_{stem(key)}"

    def _add(self, here: Place, there: Place, names: Iterator[str], key: ForeignKey, *, many: bool) -> None:
        taken = self.taken[here]
        candidates = list(names)
        numbered = (f"{candidates[-1]}_{number}" for number in range(2, len(taken) + 3))
        name = next(one for one in (*candidates, *numbered) if one not in taken)
        taken.add(name)
        pairs = tuple(zip(key.columns, key.there, strict=True))
        on = tuple((far, near) for near, far in pairs) if many else pairs
        self.ways[here].append(Relationship(name, self.names[there], many, on))


def _nearness(found: tuple[Table, ForeignKey]) -> tuple[bool, str, list[int]]:
    """A key that is named after its target takes the plain plural before the others do: `address_id` before
    `billing_address_id`."""
    table, key = found
    order = {one.column: position for position, one in enumerate(table.fields)}
    far = stem(key) not in {singular(key.target[1]), key.target[1]}
    return far, str(table.place), [order[column] for column in key.columns]


def distinct(sets: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Column sets, each once, in their order."""
    return tuple(dict.fromkeys(tuple(one) for one in sets))
