"""All that can be exported from a source: resources, fields, relationships, segments, tenant rules."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from outhaul.ceilings import UNLIMITED, Ceiling

# What a token can be for, narrower than a tenant.
SCOPES = ("market", "stock_location", "store", "price_list")


class Type(StrEnum):
    """What a field holds, in core words; the database's own word is `Field.native`."""

    INTEGER = "integer"
    DECIMAL = "decimal"  # exact; unconstrained numeric has scale None
    FLOAT = "float"
    BOOLEAN = "boolean"
    TEXT = "text"
    UUID = "uuid"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"  # without a zone
    INSTANT = "instant"  # with a zone
    INTERVAL = "interval"
    BINARY = "binary"
    JSON = "json"
    ARRAY = "array"
    OTHER = "other"  # ranges, composites, network addresses...: text of the database's own


@dataclass(frozen=True, slots=True)
class Field:
    """One exportable column. `scale` is the number of decimals, None when unconstrained.

    `native` can stand in a cast: PostgreSQL's format_type() (of a domain: its base type; schema-qualified and quoted
    for an enum), on SQLite INTEGER, REAL, NUMERIC, TEXT or BLOB.
    """

    name: str
    column: str
    type: Type
    native: str
    nullable: bool = True
    scale: int | None = None
    choices: tuple[str, ...] = ()  # labels of an enum
    description: str = ""
    declared: str = ""  # the schema's own word where it is not `native`: a domain, SQLite's declared type
    stored: str = ""  # the database's own type, where the catalog file has the field read as text
    loose: bool = (
        False  # the database's equality is not that of bytes, or the type is the catalog file's word
    )


@dataclass(frozen=True, slots=True)
class Relationship:
    """A named way from a resource to another: pairs of columns (here, there), compared for equality."""

    name: str
    target: str
    many: bool
    on: tuple[tuple[str, str], ...]
    declared: bool = True  # False: only the catalog file says so, the database does not


@dataclass(frozen=True, slots=True)
class Segment:
    """A filter with a name; the condition is kept as data: predicate -> value."""

    name: str
    filters: Mapping[str, Any]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Whose:
    """Where it stands whose a row is, which tenant's or market's: relationship names to walk, then a column of the
    last resource."""

    path: tuple[str, ...]
    column: str


TENANT = "{tenant}"


@dataclass(frozen=True, slots=True)
class Binary:
    """Where the binary of a row lies: at the path in `column` below `place`, a folder or an address, or without one in
    the column itself. `name`: the column of what it is called. A step TENANT of the place is each tenant's own."""

    column: str
    place: str = ""
    name: str | None = None

    def folder(self, tenant: str | None) -> str | None:
        """The place of one tenant; None for one that can have none."""
        if TENANT not in self.place:
            return self.place
        if not tenant or tenant in {".", ".."} or "/" in tenant or "\0" in tenant:
            return None
        own = tenant if self.place.startswith("/") else quote(tenant, safe="")
        return self.place.replace(TENANT, own)


@dataclass(frozen=True, slots=True)
class Resource:
    """One exportable kind of thing. `key` names columns that are unique and never null, or is empty."""

    name: str
    schema: str | None
    table: str
    kind: str  # table | view | materialized view | partitioned table | foreign table
    fields: tuple[Field, ...]
    key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()  # other column sets that are unique (NULLs apart)
    relationships: tuple[Relationship, ...] = ()
    segments: tuple[Segment, ...] = ()
    tenant: Whose | None = None
    scopes: Mapping[str, Mapping[str, Whose]] = field(
        default_factory=dict
    )  # by kind of SCOPES, then by what names it (id, code); a kind without any: the rows are everybody's
    fixed: Mapping[str, Any] = field(default_factory=dict)  # predicate -> value; no caller can lift it
    columns: tuple[
        Field, ...
    ] = ()  # every column as the database types it, hidden ones too, for keys, joins, rules
    ways: tuple[
        Relationship, ...
    ] = ()  # every relationship, those to hidden resources too: rules may walk them
    identity: str | None = None
    timestamps: tuple[str, ...] = ()
    description: str = ""
    ceiling: Ceiling = UNLIMITED
    distant: bool = False  # a foreign table, or a view over one: its rows are of no instant of this database
    binary: Binary | None = None  # where the binary of each row lies, if there are any


@dataclass(frozen=True, slots=True)
class Hidden:
    """Something that is there but not offered, and why."""

    resource: str
    field: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """Resources by name, in the order of their names. `sections`: what the catalog file says for each dialect, by the
    dialect's name; what that means is the dialect's to know."""

    source: str  # sqlite | postgresql
    resources: Mapping[str, Resource]
    hidden: tuple[Hidden, ...] = ()
    behind: Mapping[str, Resource] = field(default_factory=dict)  # not offered; rules may walk through them
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    encoding: str = "utf-8"  # Python's name of what the source's texts are stored in; a filter's must fit
    _known: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def resource(self, name: str) -> Resource:
        """A resource, offered or behind; KeyError."""
        return self.resources[name] if name in self.resources else self.behind[name]

    def all(self) -> Iterator[Resource]:
        """Every resource, offered or behind."""
        yield from self.resources.values()
        yield from self.behind.values()

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that a plan depends on."""
        if not self._known:  # 0.2 s for 100 tables, and asked for with each plan
            text = json.dumps(asdict(self), sort_keys=True, default=str)
            self._known.append(hashlib.sha256(text.encode()).hexdigest())
        return self._known[0]
