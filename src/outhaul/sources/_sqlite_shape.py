"""What a SQLite file holds: tables, how wide their rows are, how large a selection is, and where to cut it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from outhaul.blocks import Cut, Range
from outhaul.catalog import Type
from outhaul.errors import SchemaChanged
from outhaul.plan import By, Node, Plan
from outhaul.sources._fingerprints import Fingerprints
from outhaul.sources._order import MOST_UNINDEXED
from outhaul.sources._select import Place, chained, has_many, joined, touched, tree
from outhaul.sources._sqlite_cuts import BY_KEY, by_order
from outhaul.sources._sqlite_library import Library
from outhaul.sources._sqlite_text import TONGUE

MOST_ROWS = 4096  # in a batch, which the library holds whole, with one more in the making
NARROW = (
    2000  # bytes of a row; as text it is six times as long at the very most, where JSON escapes every letter
)
SMALL_FILE = 16 << 20  # bytes; no batch of rows can hold more than the file
SAMPLED_ROWS = 200
UNKNOWN_WIDTH = 33.0  # bytes of a value
MOST_TERMS = 100  # of a sum; SQLite takes expressions of at most 1,000 levels

ALL = Range()


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Table:
    """`rowid`: the word that names it, None where there is none. `stored`: its rows lie in a tree of their own."""

    name: str
    kind: str
    sql: str
    columns: dict[str, tuple[int, str]]
    rowid: str | None
    stored: bool


class Shape:
    """Facts of the file, each asked for once; for one transaction."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._tables: dict[str, Table] = {}
        self._widths: dict[str, float] = {}

    def table(self, name: str) -> Table:
        if name not in self._tables:
            self._tables[name] = self._look(name)
        return self._tables[name]

    def _look(self, name: str) -> Table:
        listed = "SELECT type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ?"
        found = self._library.fetch(listed, (name,))
        if not found:
            raise SchemaChanged(f"{name} is gone.", hint="Ask for the export again.", wrong=name)
        kind, without_rowid = found[0]
        sql = self._library.fetch("SELECT coalesce(sql, '') FROM sqlite_schema WHERE name = ?", (name,))
        rows = self._library.fetch("SELECT name, cid, type, hidden FROM pragma_table_xinfo(?)", (name,))
        taken = {column.lower() for column, *_ in rows}
        words = [word for word in ("rowid", "_rowid_", "oid") if word not in taken]
        rowid = words[0] if kind == "table" and not without_rowid and words else None
        stored = kind == "table" and all(
            hidden != 2 for *_, hidden in rows
        )  # 2: a generated column that is not stored
        columns = {column: (number, declared) for column, number, declared, _ in rows}
        return Table(name, kind, sql[0][0] if sql else "", columns, rowid, stored)

    def tables(self, plan: Plan) -> Fingerprints:
        """The shape of every table of the plan; the rows themselves cannot change under a reader."""
        places = touched(*plan.selections)
        return {name: self._fingerprint(name, list(columns)) for (_, name), columns in places.items()}

    def _fingerprint(self, name: str, columns: list[str]) -> dict[str, Any]:
        table = self._look(name)
        missing = next((column for column in columns if column not in table.columns), None)
        if missing is not None:
            words = f"Column {missing!r} of {name} is gone."
            raise SchemaChanged(words, hint="Ask for the export again.", wrong=missing)
        definition = None if table.kind == "table" else hashlib.sha256(table.sql.encode()).hexdigest()
        shapes = {column: list(table.columns[column]) for column in columns}
        return {"oid": None, "file": None, "definition": definition, "columns": shapes}

    def file_bytes(self) -> int:
        pages = self._library.fetch("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        return int(pages[0][0])

    def narrow(self, places: Iterable[Place]) -> bool:
        """Whether no row of these tables, joined, can be wider than NARROW."""
        return self.file_bytes() <= SMALL_FILE or sum(self._widest(name) for _, name in places) <= NARROW

    def _widest(self, name: str) -> float:
        """Bytes of the widest row, from a pass over the pages; the rows of a view lie nowhere."""
        if name not in self._widths:
            payload = "SELECT mx_payload FROM dbstat WHERE name = ? AND aggregate = TRUE"
            found = self._library.fetch(payload, (name,)) if self.table(name).stored else [(math.inf,)]
            self._widths[name] = found[0][0] or 0 if found else math.inf
        return self._widths[name]

    def size(self, node: Node, counts: Mapping[str, int] | None = None) -> int:
        """Estimated bytes of the selection's text, from the span of row numbers and a few rows at its ends. `counts`:
        rows by include path, where they are known."""
        file = self.file_bytes()
        whole = 0.0
        for query in tree(node, TONGUE, "csv").every():
            rows = None if counts is None else counts[query.name]
            whole += sum(self._table_bytes(one, file, rows) for one in joined(query.node))
        return math.ceil(whole)

    def _table_bytes(self, node: Node, file: int, rows: int | None) -> float:
        table = self.table(node.table)
        if table.rowid is None or not node.columns:
            known = file if rows is None else rows * UNKNOWN_WIDTH * len(node.columns)
            return min(known, file) if node.columns else 0
        low, high = self._span(table.name, table.rowid)
        columns = [column.column for column in node.columns]
        # Names are quoted, row numbers are numbers.
        ends = [
            f"SELECT * FROM (SELECT {_octets(columns)} AS o FROM {quoted(table.name)} "  # noqa: S608  # see above
            f"WHERE {table.rowid} >= {start} ORDER BY {table.rowid} LIMIT {SAMPLED_ROWS})"
            for start in {low, (low + high) // 2}
        ]
        average = self._library.fetch(f"SELECT avg(o) FROM ({' UNION ALL '.join(ends)})")[0][0] or 0  # noqa: S608  # see above
        whole = (high - low + 1 if rows is None else rows) * (float(average) + len(columns))
        return whole if rows is not None else min(whole, 2.0 * file)

    def _span(self, name: str, column: str) -> tuple[int, int]:
        ends = self._library.fetch(
            f"SELECT typeof(lo), typeof(hi), lo, hi FROM (SELECT (SELECT min({column}) FROM {quoted(name)}) AS lo, "  # noqa: S608  # quoted names
            f"(SELECT max({column}) FROM {quoted(name)}) AS hi)"
        )[0]
        return (ends[2], ends[3]) if ends[:2] == ("integer", "integer") else (0, -1)

    def split(self, node: Node, part_bytes: int, *, lasting: bool = False) -> tuple[Range, ...]:
        """Even spans of row numbers or of an integer key; of texts, and in an order that was asked for, equal runs."""
        table = self.table(node.table)
        wanted = math.ceil(self.size(node) / part_bytes)
        if wanted < 2:
            return (ALL,)
        if not (node.sort or has_many(node) or lasting) and table.rowid is not None:
            return tuple(chained("ctid", _even(*self._span(table.name, table.rowid), wanted), None))
        if not node.key or table.kind != "table":
            return (ALL,)
        key = quoted(node.key[0].column)
        if node.key[0].type is Type.INTEGER and not node.sort:
            return tuple(chained("key", _even(*self._span(table.name, key), wanted), None))
        return self._sampled(node, table, wanted)

    def _runs(self, name: str, key: str, wanted: int) -> list[Cut]:
        """Cuts between texts where rows have no numbers, by a pass over the keys; none where there is anything else."""
        place = quoted(name)
        rows, low, high = self._library.fetch(
            f"SELECT count(*), typeof(min({key})), typeof(max({key})) FROM {place}"  # noqa: S608  # quoted names
        )[0]
        step = rows // wanted
        if (low, high) != ("text", "text") or not step:
            return []
        cuts = self._library.fetch(
            f"SELECT k FROM (SELECT {key} AS k, row_number() OVER (ORDER BY {key}) AS n FROM {place}) "  # noqa: S608  # quoted names
            f"WHERE n % {step} = 0"
        )
        found: dict[Cut, None] = dict.fromkeys((str(cut),) for (cut,) in cuts)
        return list(found)[: wanted - 1]

    def _sampled(self, node: Node, table: Table, wanted: int) -> tuple[Range, ...]:
        if table.rowid is None:
            cuts = [] if node.sort else self._runs(table.name, quoted(node.key[0].column), wanted)
            return tuple(chained("key", cuts, None)) if cuts else (ALL,)
        span = self._span(table.name, table.rowid)
        if node.sort:
            most = min(wanted, MOST_UNINDEXED)
            cuts = by_order(self._library, node, table.rowid, span, node.sort, most, TONGUE.placing)
            return tuple(chained("sort", cuts, None))
        by_key = (By(node.key[0]),)
        cuts = by_order(self._library, node, table.rowid, span, by_key, wanted, BY_KEY)
        return tuple(chained("key", cuts, None))


def _octets(columns: Any) -> str:
    terms = [f"coalesce(octet_length({quoted(column)}), 0)" for column in columns]
    runs = (terms[start : start + MOST_TERMS] for start in range(0, len(terms), MOST_TERMS))
    return " + ".join(f"({' + '.join(run)})" for run in runs) or "0"


def _even(low: int, high: int, wanted: int) -> list[tuple[str]]:
    span = high - low + 1
    return (
        list(dict.fromkeys((str(low + span * number // wanted),) for number in range(1, wanted)))
        if span > 0
        else []
    )


def within_rows(part: Range, rowid: str) -> list[sa.ColumnElement[bool]]:
    """The range of row numbers as conditions on the root."""
    edges = ((">=", part.low), ("<", part.high))
    column: sa.ColumnClause[int] = sa.literal_column(f"t0.{rowid}")
    return [
        column.op(compare, is_comparison=True)(sa.literal_column(str(int(edge[0] or 0))))
        for compare, edge in edges
        if edge is not None
    ]
