"""The catalog file as it is written: its shape is checked here, its names are not yet."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, NonNegativeInt, ValidationError
from pydantic import Field as Key

from outhaul.catalog import Catalog, Field, Resource, Type
from outhaul.errors import Misconfigured
from outhaul.predicates import hint, nearest


def _with_reasons(value: Any) -> Any:
    return dict.fromkeys(value, "hidden by the catalog file") if isinstance(value, list) else value


def _with_native(value: Any) -> Any:
    return {"native": value} if isinstance(value, str) else value


def _with_id(value: Any) -> Any:
    """A path alone is of the id; false: the rows are of every market, or whatever it is."""
    return {"id": value} if isinstance(value, str) else {} if value is False else value


Hide = Annotated[dict[str, str], BeforeValidator(_with_reasons)]


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WrittenField(_Written):
    """One field."""

    column: str | None = Key(default=None, description="the column, where it is not called like the field")
    type: Type | None = Key(
        default=None, description="its type; on PostgreSQL only `text` can be put in place of another"
    )
    scale: NonNegativeInt | None = Key(default=None, description="digits behind the point, of a decimal")
    native: str | None = Key(
        default=None,
        description="the type in the database when the file was written, which `--check` compares; "
        "a text in place of the table says the same",
    )
    description: str | None = Key(default=None, description="for people; default: the database's comment")


class WrittenRelationship(_Written):
    """Either `of`, or `target` and `on`."""

    of: str | None = Key(
        default=None, description="a relationship of the database, to be called by this name"
    )
    target: str | None = Key(
        default=None,
        description="the resource that one leads to which the database does not declare; needs `on`",
    )
    on: dict[str, str] = Key(default={}, description="columns here, and those there that they are equal to")
    many: bool = Key(default=False, description="whether it leads to many rows")


class WrittenSegment(_Written):
    filters: dict[str, Any] = Key(description="filters, all of which hold")
    description: str = Key(default="", description="for people")


class WrittenScope(_Written):
    """Paths to what names the market, or whatever it is, of a row."""

    id: str | None = Key(
        default=None,
        description="the path to the id of a row's market, stock location, store or price list; "
        "a path in place of the table is the same",
    )
    code: str | None = Key(default=None, description="the path to its code")


class WrittenBinary(_Written):
    """Either `folder` or `store`, and `path`; or `column`."""

    folder: str | None = Key(
        default=None, description="the folder that the files are below; `{tenant}` in it is the tenant"
    )
    store: str | None = Key(
        default=None, description="in place of `folder` the address of a bucket: `s3://BUCKET/PREFIX`"
    )
    path: str | None = Key(default=None, description="the field that holds a file's path below these")
    column: str | None = Key(
        default=None, description="the field that holds the bytes themselves, in place of all these"
    )
    name: str | None = Key(default=None, description="the field that holds its name")


class WrittenResource(_Written):
    """One resource."""

    table: str | None = Key(
        default=None, description="the table or view, where it is not called like the resource"
    )
    description: str | None = Key(default=None, description="for people; default: the database's comment")
    fields: dict[str, Annotated[WrittenField, BeforeValidator(_with_native)]] | None = Key(
        default=None,
        description="the fields that are offered; default: every column but what looks like a secret",
    )
    hide: Hide = Key(
        default={},
        description="columns and relationships that are not offered: a list, or each with the reason",
    )
    relationships: dict[str, WrittenRelationship] = Key(
        default={}, description="relationships under another name, or that the database does not declare"
    )
    segments: dict[str, WrittenSegment] = Key(default={}, description="filters with a name")
    identity: str | None = Key(
        default=None,
        description='the field that `dry_data` leaves out as the identity; `""`: none; '
        "default: the key, where it is one column",
    )
    timestamps: list[str] | None = Key(
        default=None,
        description="the fields that `dry_data` leaves out as made anew; default: `created_at`, `updated_at`",
    )
    tenant: str | None = Key(
        default=None,
        description="whose a row is: a column, or relationships and a column, with dots; "
        "without it no tenant's token sees the resource",
    )
    scopes: dict[str, Annotated[WrittenScope, BeforeValidator(_with_id)]] = Key(
        default={},
        description="of which `market`, `stock_location`, `store`, `price_list` a row is; `false`: of every one",
    )
    max_records: NonNegativeInt | None = Key(default=None, description="rows that one export may have")
    max_bytes: ByteSize | None = Key(
        default=None, description='bytes of text that one export may have; `"2GB"`'
    )
    fixed: dict[str, Any] = Key(
        default={}, description="filters that always hold, below those of whoever asks"
    )
    binary: WrittenBinary | None = Key(default=None, description="where the file is that belongs to a row")


class WrittenCatalog(_Written):
    resources: dict[str, WrittenResource] = Key(
        default={}, description="what is offered, by its name; nothing else is"
    )
    hidden: Hide = Key(
        default={}, description="tables that are not offered, each with the reason, as `--toml` lists them"
    )


@dataclass(frozen=True, slots=True)
class File:
    """A catalog file that has been read. `sections`: of dialects, by their names, as they were written. `fault` makes
    the error that names a place in it."""

    path: Path
    written: WrittenCatalog
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def fault(self, place: tuple[str, ...], message: str, **more: Any) -> Misconfigured:
        return Misconfigured(f"{self.path}: {'.'.join(place)}: {message}", where=place, **more)

    def unknown(self, place: tuple[str, ...], what: str, name: str, names: list[str]) -> Misconfigured:
        near = nearest(name, names)
        return self.fault(place, f"there is no {what} {name!r}.", hint=hint(near), wrong=name, choices=near)


def read(path: Path, dialects: Collection[str] = ()) -> File:
    """The file; Misconfigured names the line of a slip in TOML, or the place of a wrong key or value. `dialects`: the
    names of sections that are for others to understand."""
    try:
        told = tomllib.loads(path.read_text("utf-8"), parse_float=str)
        sections = {name: told.pop(name) for name in dialects if isinstance(told.get(name), dict)}
        return File(path, WrittenCatalog.model_validate(told), sections)
    except OSError as error:
        raise Misconfigured(f"The catalog file {path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise _misshapen(File(path, WrittenCatalog()), error) from None
    except ValueError as error:
        raise Misconfigured(f"{path} is not written in TOML: {error}.") from error


def _misshapen(file: File, error: ValidationError) -> Misconfigured:
    first = error.errors(include_url=False)[0]
    place = tuple(str(step) for step in first["loc"])
    if first["type"] == "extra_forbidden":
        return file.unknown(place, "key", place[-1], list(_model(place).model_fields))
    choices = tuple(Type) if place[-1] == "type" else ()
    tip = hint(choices) if choices else ""
    return file.fault(place, f"{first['msg']}.", hint=tip, wrong=str(first["input"])[:100], choices=choices)


def _model(place: tuple[str, ...]) -> type[BaseModel]:
    """The model that the last key of a place is no member of."""
    inner: dict[str, type[BaseModel]] = {
        "fields": WrittenField,
        "relationships": WrittenRelationship,
        "segments": WrittenSegment,
        "scopes": WrittenScope,
    }
    if len(place) > 4:
        return inner[place[2]]
    return WrittenResource if len(place) > 2 else WrittenCatalog


def native(field: Field, source: str) -> str:
    """The type in the words of the schema, which `check` compares; of a domain with its base type."""
    if source == "sqlite" or not field.declared:
        return field.declared or field.native
    return f"{field.declared} = {field.native}"


def to_toml(offered: Catalog) -> str:
    """A file to start from; it offers what is offered without a file, and lists what is not with the reason."""
    return "\n".join(_lines(offered)) + "\n"


def _lines(offered: Catalog) -> Iterator[str]:
    reasons: dict[str, dict[str, str]] = {}
    for one in offered.hidden:
        reasons.setdefault(one.resource, {})[one.field or ""] = one.reason
    yield "# What Outhaul offers of this database. Only what stands here is served; take out what is not to leave."
    for resource in offered.resources.values():
        yield from _resource(resource, reasons.get(resource.name, {}), offered.source)
    yield "\n# Not offered; to offer one, move it up."
    yield "[hidden]"
    for name in offered.behind:
        yield f"{_key(name)} = {_text(reasons[name][''])}"


def _resource(resource: Resource, reasons: Mapping[str, str], source: str) -> Iterator[str]:
    yield f"\n[resources.{_key(resource.name)}]"
    columns = {one.column for one in resource.columns}
    hidden = {name: reason for name, reason in reasons.items() if name in columns}
    if hidden:
        pairs = ", ".join(f"{_key(name)} = {_text(reason)}" for name, reason in hidden.items())
        yield f"hide = {{ {pairs} }}"
    if not resource.key:
        yield "# It has no unique key: it can be exported flat only."
    yield f"[resources.{_key(resource.name)}.fields]"
    for one in resource.fields:
        yield f"{_key(one.name)} = {_text(native(one, source))}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(text: str) -> str:
    """A basic string of TOML: those of JSON, but for one control character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
