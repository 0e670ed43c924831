"""PostgreSQL as a source: one connection that reads as of one instant, by COPY."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

import psycopg
import pyarrow as pa
import sqlalchemy as sa

from outhaul.blocks import Block, Cut, Range, Stream
from outhaul.comparisons import Native, bound
from outhaul.errors import SnapshotLost, SourceAway, SourceError, SourceForbids, UnreadableValue
from outhaul.plan import Node, Plan
from outhaul.sources import _postgresql_split, _postgresql_tables
from outhaul.sources._blocks import block, parsed, rows_in, unreadable
from outhaul.sources._copy import Copy, Wire
from outhaul.sources._fingerprints import Fingerprints, check
from outhaul.sources._postgresql_doctor import examine, grants
from outhaul.sources._postgresql_rights import missing_rights
from outhaul.sources._postgresql_split import ALL
from outhaul.sources._postgresql_text import TONGUE, literal, statement
from outhaul.sources._reflect_postgresql import reflect
from outhaul.sources._select import (
    Edge,
    Query,
    Style,
    bounds,
    counts,
    edges,
    has_many,
    limits,
    matching,
    say,
    touched,
    tree,
)
from outhaul.sources._spool import Spool

__all__ = ["Session", "check", "connect", "count", "examine", "grants", "reflect"]

FIRST_PARENTS, FEWEST_PARENTS, MOST_PARENTS = 200, 16, 20_000
CHUNK_BYTES = 16 << 20  # parents with all their children, as CSV
PARENT_BYTES = 4 * CHUNK_BYTES  # parents that turn out wide are cut off here, wherever the run was to end
GROWTH = 8
SHARED = True  # a keeper can hold an instant that sessions of any process join
NAME_BYTES = 63  # PostgreSQL: NAMEDATALEN - 1


def plain(url: str) -> str:
    """The URL without a driver's name: what libpq and asyncpg understand."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


def connect(url: str, label: str, *, statement_seconds: float = 0, lock_seconds: float = 30) -> Session:
    """A connection, read only; `label` is the export's id. Seconds: 0 is no limit."""
    application = f"outhaul {label}".encode()[:NAME_BYTES].decode(errors="ignore")
    wire = Wire(plain(url), application, settings(statement_seconds, lock_seconds))
    return Session(wire)


def settings(statement_seconds: float, lock_seconds: float) -> dict[str, str]:
    """So that the same row reads the same in every session, and nothing of a session outlives its worker."""
    return {
        "default_transaction_read_only": "on",
        "TimeZone": "UTC",
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "postgres",
        "bytea_output": "hex",
        "extra_float_digits": "1",
        "xmloption": "content",
        "row_security": "off",
        "standard_conforming_strings": "on",
        "lock_timeout": str(int(lock_seconds * 1000)),
        "idle_in_transaction_session_timeout": "0",  # the keeper of an instant is idle by trade
        "transaction_timeout": "0",
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
        "client_connection_check_interval": "1000",  # the statement of a killed worker ends
        # Without a limit of ours the one that the role was given holds.
        **({"statement_timeout": str(int(statement_seconds * 1000))} if statement_seconds else {}),
    }


def count(url: str, node: Node, timeout: float) -> int | None:
    """Rows of the selection for a first display; None when they cannot be told in `timeout` seconds. Own connection."""
    select = statement(matching(node, TONGUE))
    given = settings(timeout, timeout) | {"client_connection_check_interval": "0"}
    try:
        with psycopg.connect(
            plain(url),
            connect_timeout=max(2, int(timeout)),
            autocommit=True,
            client_encoding="utf8",  # that of the statement; else it would be the database's
            application_name="outhaul count",
        ) as connection:
            names, values = list(given), list(given.values())
            connection.execute(APPLY, (names, values))
            answer = connection.execute(select.encode()).fetchone()
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
        return None
    except psycopg.errors.InsufficientPrivilege:
        return None  # the run says which right is missing, and how to give it
    except psycopg.OperationalError as error:
        raise SourceAway(f"The source cannot be reached: {error}.") from error
    except psycopg.Error as error:
        raise SourceError(f"The source could not answer: {error}.") from error
    return int(answer[0]) if answer else None


APPLY = """
SELECT set_config(given.name, given.value, false) FROM unnest(%s::text[], %s::text[]) AS given(name, value)
WHERE current_setting(given.name, true) IS NOT NULL
"""


class Session:
    """One connection of one worker, for one thread at a time; only `cancel` may come from another."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._snapshot: str | None = None

    def begin(self, snapshot: str | None = None) -> datetime:
        """Take a new instant, or join the one of that name (SnapshotLost). Returns the server's clock."""
        self._snapshot = snapshot
        self._wire.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        if snapshot is not None:
            try:
                self._wire.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}")
            except SourceAway:
                raise
            except SourceError as error:
                self.end()
                raise SnapshotLost("The instant of the export is no longer held.") from error
        clock: datetime = self._wire.fetch("SELECT clock_timestamp()")[0][0]
        return clock

    def end(self) -> None:
        """Leave the instant; the connection stays."""
        self._wire.execute("ROLLBACK")

    def share(self) -> str:
        """The name under which other sessions join this instant, as long as this one holds it."""
        return str(self._wire.fetch("SELECT pg_export_snapshot()")[0][0])

    def ping(self) -> None:
        """Raises SourceAway if the connection, and with it the instant, has gone."""
        self._wire.fetch("SELECT 1")

    def tables(self, plan: Plan) -> Fingerprints:
        """The tables as they stand now; before `begin`, or after it under the locks of this transaction."""
        with self._about(*plan.selections):
            found = _postgresql_tables.tables(self._wire, plan)
            if self._snapshot is None or not any(one["definition"] for one in found.values()):
                return found
            # Only a new transaction sees how a view is defined now.
            self.end()
            definitions = _postgresql_tables.tables(self._wire, plan)
            self.begin(self._snapshot)
            found = _postgresql_tables.tables(self._wire, plan)
        changed = {name: one["definition"] for name, one in definitions.items() if name in found}
        return {name: one | {"definition": changed.get(name)} for name, one in found.items()}

    def count(self, node: Node, part: Range = ALL) -> dict[str, int]:
        """Rows by include path under the instant; "" is the root. `part`: a range of keys."""
        with self._about(node):
            found = counts(node, TONGUE, part)
            return {name: int(self._wire.fetch(statement(select))[0][0]) for name, select in found}

    def size(self, node: Node, counts: Mapping[str, int] | None = None) -> int:
        """Estimated bytes of the selection's text, children included; better where its rows are counted."""
        with self._about(node):
            return _postgresql_split.size(self._wire, node, counts)

    def split(self, node: Node, part_bytes: int, *, lasting: bool = False) -> tuple[Range, ...]:
        """Ranges that chain from open end to open end, of about `part_bytes` each. `lasting`: by keys alone, so that
        they hold the same rows under another instant."""
        with self._about(node):
            return _postgresql_split.split(self._wire, node, part_bytes, lasting=lasting)

    def head(self, node: Node, rows: int, low: Cut | None = None) -> Range:
        """The range of the first rows from `low` on, by key or in the order that was asked for."""
        with self._about(node):
            return _postgresql_split.head(self._wire, node, rows, low)

    def read(self, node: Node, part: Range, style: Style) -> Iterator[Stream]:
        """The rows of a range: one stream, or where there are to-many nodes one for each run of parents.

        A stream is to be read to its end before the next one is asked for.
        """
        with self._about(node):
            query = tree(node, TONGUE, style, part.leaf)
            if has_many(node) and node.sort:
                yield from self._at_once(query, part)
            elif has_many(node):
                yield from self._runs(query, edges(part))
            else:
                yield self._flat(query, part, bare=style == "csv" and node.flat and node.tabular.plain)

    def _flat(self, query: Query, part: Range, *, bare: bool) -> Stream:
        within = _blocks_of(part) if part.by == "ctid" else limits(query, TONGUE, part)
        copy = self._wire.copy(statement(query.rows(*within, ordered=bool(query.steps))))
        blocks = self._passed(query, copy) if bare else self._parsed(query, copy, copy.blocks())
        return Stream(query.node, (), blocks, query.kinds)

    def _passed(self, query: Query, copy: Copy) -> Iterator[Block]:
        """COPY's own bytes."""
        with self._about(query.node):
            rows = 0
            for text in copy.blocks():
                if self._wire.unproven_text and unreadable(pa.array([text])) is not None:
                    self._readable(query, copy, parsed(text, len(query.outputs)))
                found = rows_in(text)
                rows += found
                yield Block(found, {}, csv=text)
            copy.prove(rows)

    def _parsed(self, query: Query, copy: Copy, texts: Iterable[bytes]) -> Iterator[Block]:
        with self._about(query.node):
            rows = 0
            for text in texts:
                columns = parsed(text, len(query.outputs))
                if self._wire.unproven_text:
                    self._readable(query, copy, columns)
                rows += len(columns[0])
                yield block(query, columns)
            copy.prove(rows)

    def _runs(self, query: Query, ends: tuple[Edge, ...]) -> Iterator[Stream]:
        """Runs of parents by their keys, so many at a time as fit with their children into CHUNK_BYTES."""
        parents, here, heaviest = FIRST_PARENTS, ends, list(query.every())[-1].name
        while True:
            with ExitStack() as spools:
                copy, spool = self._ordered(query, here, parents), spools.enter_context(Spool())
                last = self._spooled(query, copy, spool, most=PARENT_BYTES)
                if last is None:
                    return
                copies, aside = {query.name: copy}, {query.name: spool}
                for below in list(query.every())[1:]:
                    copies[below.name] = self._ordered(below, (*here, ("<=", last)))
                    if below.name != heaviest:
                        aside[below.name] = spools.enter_context(Spool())
                        self._spooled(below, copies[below.name], aside[below.name])
                yield self._stream(query, copies, aside)
                for _ in copies[heaviest].blocks():
                    pass
            if copy.rows is not None and copy.rows < parents:
                return
            here = (*ends, (">", last))
            taken = {name: one.bytes for name, one in copies.items() if name != query.name}
            heaviest = max(taken, key=lambda name: taken[name])
            parents = _fitting(parents, copy.bytes + sum(taken.values()))

    def _at_once(self, query: Query, part: Range) -> Iterator[Stream]:
        """The whole range in the order asked for: to find runs of parents in it would cost a sort for each of them."""
        every = list(query.every())
        with ExitStack() as spools:
            copies: dict[str, Copy] = {}
            aside: dict[str, Spool] = {}
            for one in every:
                select = one.rows(*limits(one, TONGUE, part), ordered=True)
                copies[one.name] = self._wire.copy(statement(select))
                if one is not every[-1]:
                    aside[one.name] = spools.enter_context(Spool())
                    for text in copies[one.name].blocks():
                        aside[one.name].write(text)
            yield self._stream(query, copies, aside)
            for _ in copies[every[-1].name].blocks():
                pass

    def _ordered(self, query: Query, within: Iterable[Edge], most: int | None = None) -> Copy:
        select = query.rows(*bounds(query, TONGUE, within), ordered=True)
        return self._wire.copy(statement(select.limit(most and say(str(most)))))

    def _spooled(
        self, query: Query, copy: Copy, spool: Spool, most: float = math.inf
    ) -> tuple[str, ...] | None:
        """Puts the answer aside, and gives up the rest beyond `most` bytes; returns the key of the last row."""
        text = b""
        if most < math.inf:
            self._wire.execute("SAVEPOINT run")
        for text in copy.blocks():  # the last one is looked at afterwards
            spool.write(text)
            if copy.bytes > most:
                copy.stop()
                self._wire.execute("ROLLBACK TO SAVEPOINT run")
                break
        if most < math.inf:
            self._wire.execute("RELEASE SAVEPOINT run")
        if not text:
            return None
        columns = parsed(text, len(query.outputs))
        if self._wire.unproven_text:
            self._readable(query, copy, columns)
        return tuple(columns[number][-1].as_py().decode() for number in query.own)

    def _stream(self, query: Query, copies: Mapping[str, Copy], spools: Mapping[str, Spool]) -> Stream:
        copy = copies[query.name]
        texts = spools[query.name].blocks() if query.name in spools else copy.blocks()
        children = tuple(self._stream(child, copies, spools) for child in query.children)
        return Stream(query.node, query.path, self._parsed(query, copy, texts), query.kinds, children)

    def _readable(self, query: Query, copy: Copy, columns: list[pa.Array]) -> None:
        """Raises UnreadableValue for the first text that is not UTF-8, with the key of its row."""
        for number, column in enumerate(columns):
            row = unreadable(column)
            if row is not None:
                copy.stop()
                raise self._unreadable(query, number, column[row].as_py())

    def _unreadable(self, query: Query, number: int, value: bytes) -> UnreadableValue:
        path = next((path for path, at in query.columns.items() if at == number), ("key",))
        table = ".".join(name for name in (query.node.schema, query.node.table) if name)
        as_bytes = sa.func.convert_to(sa.cast(query.outputs[number], Native("text")), bound("SQL_ASCII"))
        same = as_bytes == bound("\\x" + value.hex(), "bytea")
        keys = [sa.cast(element, Native("text")) for element in query.chain[-len(query.node.key) :]]
        select = sa.select(sa.func.concat_ws(", ", *keys)).select_from(query.source).where(*query.where, same)
        self._wire.execute("ROLLBACK")
        found = self._wire.fetch(statement(select.limit(say("1")))) if query.node.key else []
        row = f"the row with key {found[0][0]}" if found else "a row without key"
        return UnreadableValue(
            f"{table}: {'.'.join(path)} of {row} is not UTF-8, and the database does not say what else it is.",
            hint="Correct the value in the database, or leave the field out.",
        )

    @contextmanager
    def _about(self, *nodes: Node) -> Iterator[None]:
        """A right that is missing is looked up, so that the hint can name it."""
        try:
            yield
        except SourceForbids as error:
            places = touched(*nodes)
            raise missing_rights(self._wire, list(places), error) from error

    def cancel(self) -> None:
        """End the running statement, from any thread; the session can only be closed afterwards."""
        self._wire.cancel()

    def close(self) -> None:
        self._wire.close()


def _fitting(parents: int, measured: int) -> int:
    """How many parents the next run takes, by what this one weighed."""
    fitting = int(parents * CHUNK_BYTES / max(measured, 1))
    return max(FEWEST_PARENTS, min(fitting, parents * GROWTH, MOST_PARENTS))


def _blocks_of(part: Range) -> Iterator[sa.ColumnElement[bool]]:
    """The range of block numbers as conditions on the root."""
    for compare, (number,) in edges(part):
        place: sa.ColumnClause[Any] = say(f"'({int(number or 0)},0)'::tid")
        yield say("t0.ctid").op(compare, is_comparison=True)(place)
