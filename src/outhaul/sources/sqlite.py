"""SQLite as a source: one file, opened read only, read in one transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from outhaul.blocks import Block, Cut, Range, Stream
from outhaul.errors import SnapshotLost, SourceAway, SourceBusy, SourceError, UnreadableValue
from outhaul.plan import Node, Plan
from outhaul.sources._blocks import block, unreadable, whole
from outhaul.sources._fingerprints import Fingerprints, check
from outhaul.sources._reflect_sqlite import reflect
from outhaul.sources._select import Query, Style, counts, has_many, limits, matching, say, tree
from outhaul.sources._sqlite_copy import Prepared, prepare
from outhaul.sources._sqlite_cuts import head
from outhaul.sources._sqlite_doctor import examine, grants
from outhaul.sources._sqlite_library import Library, Loose, file_of, read_only
from outhaul.sources._sqlite_numbers import as_numbers, check_same_way, heads, said
from outhaul.sources._sqlite_shape import ALL, MOST_ROWS, NARROW, Shape, within_rows
from outhaul.sources._sqlite_text import TONGUE, headed, statement, total

__all__ = ["Prepared", "Session", "check", "connect", "count", "examine", "grants", "prepare", "reflect"]

SHARED = False
WIDE_BYTES = 32 << 20  # of a batch of wide rows
STEPS = 10_000  # of SQLite's machine between two looks at the clock


def connect(url: str, label: str, **limits: float) -> Session:  # noqa: ARG001  # SQLite has no place for them
    """A connection, read only. A process that has one must not open the file with another SQLite library."""
    return Session(Library(file_of(url)))


def count(url: str, node: Node, timeout: float) -> int | None:
    """Rows of the selection for a first display; None when `timeout` seconds were not enough.

    For the serving process, which never has a Session: it uses Python's own SQLite library.
    """
    words, params = statement(matching(node, TONGUE))
    deadline = time.monotonic() + timeout
    try:
        with closing(sqlite3.connect(read_only(file_of(url)), uri=True, timeout=timeout)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
            return int(connection.execute(words, params).fetchone()[0])
    except sqlite3.OperationalError as error:
        if time.monotonic() >= deadline:
            return None
        if str(error) == "interrupted":  # by Ctrl-C, which a progress handler cannot let through
            raise KeyboardInterrupt from error
        if "locked" in str(error):
            raise SourceBusy(f"Somebody else is writing to the SQLite file: {error}.") from error
        raise SourceAway(f"The SQLite file cannot be read: {error}.") from error
    except sqlite3.Error as error:
        raise SourceError(f"The source could not answer: {error}.") from error


Bounds = list[sa.ColumnElement[bool]]


class Session:
    """One connection of one worker, for one thread at a time; only `cancel` may come from another."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._shape = Shape(library)

    def begin(self, snapshot: str | None = None) -> datetime:
        """Take the instant; there is none to join (SnapshotLost). Returns this machine's clock."""
        if snapshot is not None:
            raise SnapshotLost("An instant of SQLite ends with the process that took it.")
        self._library.transaction()
        self._shape = Shape(self._library)
        return datetime.now(UTC)

    def end(self) -> None:
        """Leave the instant; the connection stays."""
        self._library.rollback()

    def share(self) -> str:
        """SourceError: one connection alone can read an instant of SQLite."""
        raise SourceError("An instant of SQLite cannot be shared.")

    def ping(self) -> None:
        self._library.fetch("SELECT 1")

    def tables(self, plan: Plan) -> Fingerprints:
        """The tables of the plan as they stand; SchemaChanged names what is missing."""
        return self._shape.tables(plan)

    def count(self, node: Node, part: Range = ALL) -> dict[str, int]:
        """Rows by include path under the instant; "" is the root. `part`: a range of keys."""
        found = counts(node, TONGUE, part)
        return {name: int(self._library.fetch(*statement(select))[0][0]) for name, select in found}

    def size(self, node: Node, counts: Mapping[str, int] | None = None) -> int:
        """Estimated bytes of the selection's text, children included; filters are left out unless rows are counted."""
        return self._shape.size(node, counts)

    def split(self, node: Node, part_bytes: int, *, lasting: bool = False) -> tuple[Range, ...]:
        """Ranges that chain from open end to open end. `lasting`: by keys alone, so that they hold the same rows under
        another instant; a VACUUM may number rows anew."""
        return self._shape.split(node, part_bytes, lasting=lasting)

    def head(self, node: Node, rows: int, low: Cut | None = None) -> Range:
        """The range of the first rows from `low` on, by key or in the order that was asked for."""
        return head(self._library, node, rows, low)

    def read(self, node: Node, part: Range, style: Style) -> Iterator[Stream]:
        """The rows of a range: one stream, with a cursor for each to-many node below."""
        yield self._stream(tree(node, TONGUE, style), part, ordered=has_many(node) or bool(node.sort))

    def _stream(self, query: Query, part: Range, *, ordered: bool) -> Stream:
        children = tuple(self._stream(child, part, ordered=True) for child in query.children)
        return Stream(
            query.node, query.path, self._blocks(query, part, ordered=ordered), query.kinds, children
        )

    def _within(self, query: Query, part: Range) -> Bounds:
        if part.by == "ctid":
            return within_rows(part, self._shape.table(query.node.table).rowid or "rowid")
        return list(limits(query, TONGUE, part))

    def _blocks(self, query: Query, part: Range, *, ordered: bool) -> Iterator[Block]:
        for within, batch_rows in self._batches(query, self._within(query, part), ordered=ordered):
            for texts in self._texts(query, within, batch_rows, ordered=ordered):
                columns = [text.view(pa.binary()) for text in texts]
                for number, column in enumerate(columns):
                    if unreadable(column) is not None:
                        raise self._unreadable(query, part, number)
                if len(columns[0]):
                    yield block(query, columns)

    def _texts(
        self, query: Query, within: Bounds, batch_rows: int, *, ordered: bool
    ) -> Iterator[list[pa.Array]]:
        """In numbers as long as all are such; from there on in words, which come in the same order."""
        numbers, done = as_numbers(query).rows(*within, ordered=ordered), 0
        try:
            for columns in self._columns(numbers, heads(query), batch_rows, ordered=ordered):
                texts = said(query, columns)
                done += len(texts[0])
                yield texts
        except Loose:
            words = query.rows(*within, ordered=ordered)
            check_same_way(self._library, numbers, words)
        else:
            return
        empty = ["''"] * len(query.outputs)
        yield from self._columns(words, empty, batch_rows, ordered=ordered, after=done)

    def _columns(
        self, select: sa.Select[Any], head: list[str], batch_rows: int, *, ordered: bool, after: int = 0
    ) -> Iterator[list[pa.Array]]:
        words, params = headed(select, head, ordered=ordered, after=after)
        first = 1  # the head
        for table in self._library.batches(words, params, batch_rows):
            yield [whole(column) for column in table.slice(first).columns]
            first = 0

    def _batches(self, query: Query, within: Bounds, *, ordered: bool) -> Iterator[tuple[Bounds, int]]:
        """What to read, and how many rows at a time, so that no batch is large whatever the rows hold.

        Wide rows are read apart from the others where no order is asked for.
        """
        if self._shape.narrow(query.holds):
            yield within, MOST_ROWS
            return
        bytes_of = [sa.func.coalesce(sa.func.octet_length(raw), say("0")) for raw in query.raws]
        is_wide = total(bytes_of) > say(str(NARROW))
        text_of = [sa.func.coalesce(sa.func.octet_length(output), say("0")) for output in query.outputs]
        widest = sa.select(sa.func.max(total(text_of))).select_from(query.source)
        found = self._library.fetch(*statement(widest.where(*query.where, *within, is_wide)))[0][0]
        few = max(1, min(MOST_ROWS, WIDE_BYTES // found)) if found else MOST_ROWS
        if ordered or not found:
            yield within, few
        else:
            yield [*within, sa.not_(is_wide)], MOST_ROWS
            yield [*within, is_wide], few

    def _unreadable(self, query: Query, part: Range, number: int) -> UnreadableValue:
        """Looks the row up once more, with its key."""
        path = next((path for path, at in query.columns.items() if at == number), ("key",))
        keys = query.chain[-len(query.node.key) :] if query.node.key else ()
        texts = [query.outputs[number], *(sa.cast(key, sa.Text()) for key in keys)]
        select = sa.select(*texts).select_from(query.source).where(*query.where, *self._within(query, part))
        words, params = headed(select, ["''"] * len(texts), ordered=False)
        row = "a row without key"
        for table in self._library.batches(words, params, 64):
            at = unreadable(whole(table.column(0)).view(pa.binary()))
            if at is not None:
                key = [_shown(whole(column), at) for column in table.columns[1:]]
                row = f"the row with key {', '.join(key)}" if key else row
                break
        return UnreadableValue(
            f"{query.node.table}: {'.'.join(path)} of {row} is not UTF-8.",
            hint="Correct the value in the database, or leave the field out.",
        )

    @property
    def stuck(self) -> bool:
        """After `cancel` and `close`: a statement still runs, and only the end of this process stops it."""
        return self._library.stuck

    def cancel(self) -> None:
        """Call away whoever waits for the file, from any thread; the session can only be closed afterwards."""
        self._library.cancel()

    def close(self) -> None:
        self._library.close()


def _shown(column: Any, at: int) -> str:
    value = column.view(pa.binary())[at].as_py()
    return (value or b"").decode(errors="replace")
