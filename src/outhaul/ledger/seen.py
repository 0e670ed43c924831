"""Exports and their events as resources: what lists are filtered by, in the words of whoever shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from outhaul.catalog import Catalog, Field, Relationship, Resource, Type
from outhaul.conditions import All, Condition, Either, Test, either, every, hops, mapped
from outhaul.errors import MENTION, outsides
from outhaul.export import Status, View
from outhaul.filters import EVERYTHING, expression
from outhaul.ledger.tables import artifacts, events, exports
from outhaul.predicates import Reader

TEXTS = ("id", "status", "resource", "format", "reference", "reference_origin", "attachment", "caller")
NUMBERS = ("matched", "processed")
TIMES = (
    "created_at",
    "updated_at",
    "queued_at",
    "started_at",
    "completed_at",
    "interrupted_at",
    "expires_at",
)
OBJECTS = ("metadata", "errors")
SORTABLE = frozenset({*TEXTS, *NUMBERS, *TIMES})
KINDS: Mapping[str, tuple[Type, str]] = {
    **dict.fromkeys(TEXTS, (Type.TEXT, "text")),
    **dict.fromkeys(NUMBERS, (Type.INTEGER, "bigint")),
    **dict.fromkeys(TIMES, (Type.INSTANT, "timestamp with time zone")),
    **dict.fromkeys(OBJECTS, (Type.JSON, "text")),
}
EVENT_KINDS: Mapping[str, Type] = {
    **dict.fromkeys(("id", "name", "reference", "reference_origin"), Type.TEXT),
    **dict.fromkeys(("created_at", "updated_at"), Type.INSTANT),
    "metadata": Type.JSON,
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SLACK = 0.002  # seconds by which a time may differ from what is shown of it, which ends at milliseconds


class micros(FunctionElement[int]):  # noqa: N801  # reads as the SQL function that it is
    """A table's seconds as microseconds since 1970, down to the millisecond: what callers are shown."""

    inherit_cache = True


@compiles(micros, "sqlite")
def _micros_sqlite(element: micros, compiler: Any, **more: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **more)} * 1000 AS INTEGER) * 1000"


@compiles(micros, "postgresql")
def _micros_postgresql(element: micros, compiler: Any, **more: Any) -> str:
    return f"CAST(floor({compiler.process(element.clauses, **more)} * 1000) AS bigint) * 1000"


@dataclass(frozen=True, slots=True)
class Seen:
    """The rows of `exports` through a view. `c`: columns by our names, for conditions and order."""

    view: View
    dialect: str
    c: Any

    def read(self, where: Mapping[str, Any]) -> Condition:
        """Filters in the view's names, checked; what a reader of filters raises."""
        resources = _resources(self.view)
        return Reader(Catalog("ledger", resources), lambda *_: EVERYTHING).read(resources["exports"], where)

    def asked(self, condition: Condition) -> list[sa.ColumnElement[bool]]:
        """The condition in SQL, and beside it what an index can answer."""
        dialect = self.view.dialect
        outer = condition.of if isinstance(condition, All) else (condition,)
        near = [_near(one) for one in outer if isinstance(one, Test)]
        return [
            expression(self._stored(condition), self, self.dialect),
            *(one for each in near for one in each),
            *([] if dialect is None else [exports.c.dialect == dialect]),
        ]

    def events(self, condition: Condition) -> list[sa.CTE]:
        """The tables that the condition walks to."""
        return [_events(self.view)] if any(hops(condition)) else []

    def order(self, name: str, descends: bool) -> sa.ColumnElement[Any]:
        """By one name of SORTABLE; what has no value comes last either way."""
        column: Any = exports.c[name] if name in TIMES else self.c[name]
        if name in TEXTS and self.dialect == "postgresql":
            column = sa.collate(column, "C")  # the order of bytes, as SQLite has it
        found: sa.ColumnElement[Any] = (column.desc() if descends else column.asc()).nulls_last()
        return found

    def _stored(self, condition: Condition) -> Condition:
        """The condition on what is stored: times are microseconds, a status is one of ours."""
        return mapped(condition, self._test)

    def _test(self, test: Test) -> Condition:
        if test.column == "status" and test.op in {"eq", "in"}:
            return self._of_status([one for one, word in self.view.words.items() if word in test.values])
        return in_micros(test)

    def _of_status(self, statuses: Sequence[Status]) -> Condition:
        """Of one of the statuses, or expired after one: an index finds the first, and mostly they are all."""
        test = Test("kept", Type.TEXT, "text", "eq" if len(statuses) == 1 else "in", tuple(statuses))
        if not {Status.COMPLETED, Status.FAILED, Status.INTERRUPTED} & {*statuses}:
            return test if statuses else Either(())
        gone = Test("kept", Type.TEXT, "text", "eq", (Status.EXPIRED,))
        return either(test, every(gone, replace(test, column="outcome")))


def in_micros(test: Test) -> Test:
    """A test of a time as one of its microseconds; any other as it is."""
    if test.type is not Type.INSTANT:
        return test
    moments = tuple(str(_micros(one)) for one in test.values)
    return replace(test, type=Type.INTEGER, native="bigint", values=moments)


def seen(view: View, dialect: sa.Dialect) -> Seen:
    """The exports as they look through a view."""
    words = {str(status): word for status, word in view.words.items()}
    columns: dict[str, Any] = {name: exports.c[name] for name in KINDS if name in exports.c}
    outcome = exports.c.status if Status.EXPIRED in view.words else _outcome()
    columns |= {name: micros(exports.c[name]) for name in TIMES}
    columns |= {
        "kept": exports.c.status,
        "outcome": outcome,
        "status": sa.case(words, value=outcome, else_=exports.c.status),
        "processed": exports.c.shown,
        "attachment": _attachment(view),
        "metadata": sa.cast(exports.c.metadata, sa.Text),
        "errors": _errors(view, dialect.name),
    }
    # Conditions say themselves of which type things are; SQLAlchemy's types would only object.
    bare = {name: sa.type_coerce(column, sa.types.NullType()) for name, column in columns.items()}
    return Seen(view, dialect.name, bare)


def _outcome() -> sa.ColumnElement[str]:
    """The status; of what has expired the one that it had."""
    ended = sa.case(
        (exports.c.completed_at.is_not(None), Status.COMPLETED),
        (exports.c.failed_at.is_not(None), Status.FAILED),
        else_=Status.INTERRUPTED,
    )
    return sa.case((exports.c.status == Status.EXPIRED, ended), else_=exports.c.status)


def _attachment(view: View) -> sa.ColumnElement[str]:
    """Where the file lies, without what makes a link: the same as long as it is there. NULL, if there are several."""
    place = sa.literal(f"{view.files}/").concat(artifacts.c.export).concat("/").concat(artifacts.c.name)
    more = artifacts.alias()
    alone = ~sa.exists().where(more.c.export == artifacts.c.export, more.c.n > 0)
    only = sa.select(place).where(artifacts.c.export == exports.c.id, artifacts.c.n == 0, alone)
    return sa.case((exports.c.status == Status.COMPLETED, only.scalar_subquery()))


def _errors(view: View, dialect: str) -> sa.ColumnElement[str]:
    """What is told of the errors, as text of JSON: an object of class and sentence. NULL when there is none."""
    if dialect == "sqlite":
        each: Any = sa.func.json_each(exports.c.errors).table_valued("value", joins_implicitly=True).alias()
        member = [sa.func.json_extract(each.c.value, f"$.{name}") for name in ("error", "message", "hint")]
        gather = sa.func.json_group_object
    else:
        each = sa.func.json_array_elements(exports.c.errors).table_valued(
            sa.column("value", sa.JSON), joins_implicitly=True
        )
        member = [
            each.c.value.op("->>", return_type=sa.Text())(name) for name in ("error", "message", "hint")
        ]
        gather = sa.func.json_object_agg
    name, message, hint = member
    told: Any = sa.func.rtrim(sa.func.coalesce(message, "").concat(" ").concat(sa.func.coalesce(hint, "")))
    if not view.openly:
        public = sa.case({kind: f"{text} " for kind, text in outsides().items()}, value=name)
        mention = MENTION.split("{}")
        told = sa.func.coalesce(public.concat(mention[0]).concat(exports.c.id).concat(mention[1]), told)
    object_of = sa.select(gather(name, told)).select_from(each).correlate(exports).scalar_subquery()
    whole = sa.cast(object_of, sa.Text)
    return sa.case(
        (exports.c.status == Status.EXPIRED, sa.literal(view.gone)),
        else_=sa.func.nullif(whole, sa.literal("{}")),
    )


def _events(view: View) -> sa.CTE:
    """The events that are shown, under the names that they are shown by."""
    shown = sa.select(
        events.c.export,
        events.c.public.label("id"),
        sa.case(dict(view.events), value=events.c.name).label("name"),
        micros(events.c.at).label("created_at"),
        micros(sa.func.coalesce(events.c.updated_at, events.c.at)).label("updated_at"),
        events.c.reference,
        events.c.reference_origin,
        noted().label("metadata"),
    ).where(events.c.name.in_(list(view.events)))
    return shown.cte("shown_events").prefix_with("NOT MATERIALIZED", dialect="postgresql")


def noted() -> sa.ColumnElement[str]:
    """The metadata of an event, as text of JSON."""
    return sa.func.coalesce(sa.cast(events.c.metadata, sa.Text), "{}")


def _resources(view: View) -> dict[str, Resource]:
    """Exports and their events as a catalog has resources."""
    fields = tuple(Field(name, ours, *KINDS[ours]) for name, ours in view.names.items())
    told = tuple(Field(name, name, kind, "text") for name, kind in EVENT_KINDS.items())
    way = Relationship("events", "events", True, (("id", "export"),))
    ways = (way,) if view.events else ()
    return {
        "exports": Resource("exports", None, "exports", "table", fields, ("id",), relationships=ways),
        "events": Resource("events", None, "shown_events", "table", told, ("id",)),
    }


def _micros(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def _near(test: Test) -> list[sa.ColumnElement[bool]]:
    """What an index can answer of the test: a reference as it is, bounds on stored seconds, a little wider."""
    if (test.column, test.op) == ("reference", "eq"):
        return [exports.c.reference == test.values[0]]
    if test.type is not Type.INSTANT:
        return []
    seconds = [_micros(one) / 1e6 for one in test.values]
    low = exports.c[test.column] >= min(seconds, default=0) - SLACK
    high = exports.c[test.column] <= max(seconds, default=0) + SLACK
    return {"gt": [low], "gteq": [low], "lt": [high], "lteq": [high], "eq": [low, high]}.get(test.op, [])
