"""Events and webhooks through a lens: what their lists are filtered and sorted by, in the words of who shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from outhaul.catalog import Catalog, Field, Resource, Type
from outhaul.conditions import mapped
from outhaul.export import Lens
from outhaul.filters import EVERYTHING, expression
from outhaul.ledger.seen import in_micros, micros, noted
from outhaul.ledger.tables import callbacks, events, webhooks
from outhaul.predicates import Reader

NATIVE: Mapping[Type, str] = {
    Type.TEXT: "text",
    Type.INTEGER: "bigint",
    Type.INSTANT: "timestamp with time zone",
    Type.JSON: "text",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One thing that rows are filtered by: its type, what callers read, and what orders them if not the same."""

    type: Type
    read: Any
    sort: Any = None


@dataclass(frozen=True, slots=True)
class Sifted:
    """The rows of one table through a lens. `c`: columns by our names, for conditions."""

    table: str
    shown: Mapping[str, Shown]
    lens: Lens
    dialect: sa.Dialect
    c: Mapping[str, Any]

    def where(self, filters: Mapping[str, Any]) -> list[sa.ColumnElement[bool]]:
        """Filters in the lens's names, checked: what a reader of filters raises."""
        if not filters:
            return []
        fields = tuple(
            Field(name, ours, self.shown[ours].type, NATIVE[self.shown[ours].type])
            for name, ours in self.lens.names.items()
        )
        resource = Resource(self.table, None, self.table, "table", fields)
        reader = Reader(Catalog("ledger", {self.table: resource}), lambda *_: EVERYTHING)
        condition = mapped(reader.read(resource, filters), in_micros)
        return [expression(condition, self, self.dialect.name)]

    def order(self, asked: Sequence[tuple[str, bool]]) -> list[sa.ColumnElement[Any]]:
        """By our names, each with whether it descends; what has no value comes last either way."""
        return [self._by(self.shown[name], descends) for name, descends in asked]

    def _by(self, one: Shown, descends: bool) -> sa.ColumnElement[Any]:
        column = one.read if one.sort is None else one.sort
        if one.type is Type.TEXT and one.sort is None and self.dialect.name == "postgresql":
            column = sa.collate(column, "C")  # the order of bytes, as SQLite has it
        found: sa.ColumnElement[Any] = column.desc() if descends else column.asc()
        always = isinstance(column, sa.Column) and not column.nullable
        return found if always else found.nulls_last()  # PostgreSQL's index is the other way round


def sifted_events(lens: Lens, dialect: sa.Dialect) -> Sifted:
    """The table `events`."""
    return _sifted("events", _event(lens), lens, dialect)


def sifted_webhooks(lens: Lens, dialect: sa.Dialect) -> Sifted:
    """The table `webhooks`."""
    return _sifted("webhooks", _webhook(lens), lens, dialect)


def sifted_callbacks(lens: Lens, dialect: sa.Dialect) -> Sifted:
    """The table `callbacks`; `status` is text, as it is shown."""
    shown = {
        "id": Shown(Type.TEXT, callbacks.c.public, callbacks.c.id),
        "url": Shown(Type.TEXT, callbacks.c.url),
        "status": Shown(Type.TEXT, sa.cast(callbacks.c.status, sa.Text)),
        "why": Shown(Type.TEXT, callbacks.c.why),
        "at": Shown(Type.INSTANT, micros(callbacks.c.at), callbacks.c.at),
    }
    return _sifted("callbacks", shown, lens, dialect)


def _sifted(table: str, columns: dict[str, Shown], lens: Lens, dialect: sa.Dialect) -> Sifted:
    shown = columns | {name: _same(value) for name, value in lens.same.items()}
    # Conditions say themselves of which type things are; SQLAlchemy's types would only object.
    bare = {name: sa.type_coerce(one.read, sa.types.NullType()) for name, one in shown.items()}
    return Sifted(table, shown, lens, dialect, bare)


def _event(lens: Lens) -> dict[str, Shown]:
    updated = sa.func.coalesce(events.c.updated_at, events.c.at)
    return {
        "id": Shown(Type.TEXT, events.c.public, events.c.id),
        "export": Shown(Type.TEXT, events.c.export),
        "name": Shown(Type.TEXT, _word(lens.words, events.c.name)),
        "kind": Shown(Type.TEXT, _word(lens.kinds, events.c.name)),
        "at": Shown(Type.INSTANT, micros(events.c.at), events.c.at),
        "updated_at": Shown(Type.INSTANT, micros(updated), updated),
        "reference": Shown(Type.TEXT, events.c.reference),
        "reference_origin": Shown(Type.TEXT, events.c.reference_origin),
        "metadata": Shown(Type.JSON, noted()),
    }


def _webhook(lens: Lens) -> dict[str, Shown]:
    texts: dict[str, Any] = {
        name: webhooks.c[name] for name in ("id", "url", "name", "reference", "reference_origin")
    }
    texts["event"] = _word(lens.words, webhooks.c.event)
    texts["circuit"] = sa.case((webhooks.c.opened_at.is_(None), "closed"), else_="open")
    times = {name: webhooks.c[name] for name in ("disabled_at", "created_at", "updated_at")}
    return {
        **{name: Shown(Type.TEXT, column) for name, column in texts.items()},
        **{name: Shown(Type.INSTANT, micros(column), column) for name, column in times.items()},
        "failures": Shown(Type.INTEGER, webhooks.c.failures),
        "metadata": Shown(Type.JSON, sa.cast(webhooks.c.metadata, sa.Text)),
    }


def _word(words: Mapping[str, str], name: Any) -> Any:
    return sa.case(dict(words), value=name, else_=name) if words else name


def _same(value: str | dict[str, Any] | None) -> Shown:
    """What is the same in every row."""
    kind = Type.JSON if isinstance(value, dict) else Type.TEXT
    text = json.dumps(value) if isinstance(value, dict) else value
    return Shown(kind, sa.cast(sa.literal(text, sa.Text), sa.Text))
