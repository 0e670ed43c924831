"""How large a selection is, and where to cut it: from PostgreSQL's statistics and a few sampled blocks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from outhaul.blocks import Cut, Range
from outhaul.comparisons import Native
from outhaul.filters import expression
from outhaul.plan import Column, Node
from outhaul.sources._copy import Wire
from outhaul.sources._order import MOST_UNINDEXED, steps
from outhaul.sources._postgresql_text import TONGUE, statement
from outhaul.sources._select import Place, Query, chained, has_many, joined, limits, say, tree

ALL = Range()
SAMPLED_BLOCKS = 400  # borders within a few percent, whatever the size of the table
TINY_LEAVES = 4  # more ranges than that for each wanted part: cut by key instead

WIDTHS = (
    (re.compile(r"boolean"), 2.0),
    (re.compile(r"smallint"), 5.0),
    (re.compile(r"integer"), 8.0),
    (re.compile(r"bigint"), 11.0),
    (re.compile(r"real|double precision"), 14.0),
    (re.compile(r"date"), 11.0),
    (re.compile(r"timestamp.*|time .*"), 28.0),
    (re.compile(r"uuid"), 37.0),
)
UNKNOWN_WIDTH = 33.0

TABLE = """
WITH place AS (
  SELECT (CASE WHEN $1::text IS NULL THEN to_regclass(quote_ident($2::text))
         ELSE to_regclass(format('%I.%I', $1::text, $2::text)) END)::oid AS oid
), leaves AS (
  SELECT c.* FROM place, pg_class c WHERE c.oid = place.oid AND c.relkind <> 'p'
  UNION ALL SELECT c.* FROM place, pg_partition_tree(place.oid) t, pg_class c
  WHERE t.isleaf AND c.oid = t.relid AND c.oid <> place.oid
)
SELECT n.nspname::text, l.relname::text, format('%I.%I', n.nspname, l.relname), l.relkind::text,
       coalesce(am.amname::text, ''), l.relhassubclass,
       has_table_privilege(l.oid, 'SELECT') AND NOT row_security_active(l.oid), greatest(l.reltuples, 0)::float8,
       CASE WHEN l.relkind IN ('r', 'm') THEN pg_relation_size(l.oid) ELSE 0 END::bigint,
       CASE WHEN l.reltoastrelid <> 0 THEN pg_relation_size(l.reltoastrelid) ELSE 0 END::bigint,
       current_setting('block_size')::bigint
FROM leaves l JOIN pg_namespace n ON n.oid = l.relnamespace LEFT JOIN pg_am am ON am.oid = l.relam
ORDER BY l.oid
"""

# 950 is the collation "C", by which texts are ordered.
SERVED = """
SELECT EXISTS (
  SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
  WHERE i.indrelid = (CASE WHEN $1::text IS NULL THEN to_regclass(quote_ident($2::text))
                      ELSE to_regclass(format('%I.%I', $1::text, $2::text)) END)
    AND a.attname = $3::text AND m.amname = 'btree' AND i.indisvalid AND i.indpred IS NULL
    AND i.indcollation[0] IN (0, 950))
"""

AVERAGES = """
SELECT s.attname::text, avg(s.avg_width)::float8
FROM pg_stats s WHERE s.schemaname = ANY($1::text[]::name[]) AND s.tablename = ANY($2::text[]::name[]) GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A table that holds rows of its own; `name` is quoted, with its schema. Sizes in bytes."""

    schema: str
    table: str
    name: str
    kind: str
    method: str
    heirs: bool
    readable: bool
    rows: float
    size: int
    toast: int
    block: int

    @property
    def blocks(self) -> int:
        return self.size // self.block

    @property
    def has_blocks(self) -> bool:
        """Whether ranges of ctid cut it without loss."""
        return self.kind in {"r", "m"} and self.method == "heap" and self.readable and not self.heirs


def leaves(wire: Wire, place: Place) -> list[Leaf]:
    """The table itself, or its partitions."""
    return [Leaf(*row) for row in wire.fetch(TABLE, *place)]


def size(wire: Wire, node: Node, counts: Mapping[str, int] | None = None) -> int:
    """Estimated bytes of the selection's text, children included; looks at statistics only. `counts`: rows by include
    path, where they are known."""
    return math.ceil(sum(_bytes(wire, query, counts) for query in tree(node, TONGUE, "csv").every()))


def _bytes(wire: Wire, query: Query, counts: Mapping[str, int] | None) -> float:
    rows = counts[query.name] if counts else _planned_rows(wire, query)
    return sum(_node_bytes(wire, node, rows) for node in joined(query.node))


def _planned_rows(wire: Wire, query: Query) -> float:
    select = statement(query.rows(ordered=False))
    plan = json.loads(wire.fetch(f"EXPLAIN (FORMAT JSON) {select}")[0][0])
    return float(plan[0]["Plan"]["Plan Rows"])


def _node_bytes(wire: Wire, node: Node, rows: float) -> float:
    parts = leaves(wire, (node.schema, node.table))
    averages = dict(wire.fetch(AVERAGES, [part.schema for part in parts], [part.table for part in parts]))
    text = rows * sum(_width(column, averages) for column in node.columns)
    stored, there = sum(part.size for part in parts), max(rows, sum(part.rows for part in parts), 1.0)
    if not averages:  # never analyzed: no less than what lies on disk
        text = max(text, stored * rows / there)
    return text + sum(part.toast for part in parts) * rows / there


def _width(column: Column, averages: dict[str, float]) -> float:
    for words, width in WIDTHS:
        if words.fullmatch(column.native):
            return width
    average = averages.get(column.column, UNKNOWN_WIDTH)
    return 1 + average * (2 if column.native == "bytea" else 1)


def split(wire: Wire, node: Node, part_bytes: int, *, lasting: bool = False) -> tuple[Range, ...]:
    """Ranges of about `part_bytes` that chain from open end to open end. `lasting`: an UPDATE moves no row from one to
    another, as it does between blocks."""
    wanted = math.ceil(size(wire, node) / part_bytes)
    if wanted < 2:
        return (ALL,)
    wanted += wanted % 2  # of an odd number the last one keeps one worker of two, and the others wait
    parts = leaves(wire, (node.schema, node.table))
    if not has_many(node) and not node.sort and not lasting:
        by_block = _by_block(wire, parts, wanted)
        if by_block:
            return by_block
    return _by_key(wire, node, parts, wanted)


def head(wire: Wire, node: Node, rows: int, low: Cut | None) -> Range:
    """The range of the first rows from `low` on, by key or in the order that was asked for; open where there are no
    more."""
    query = tree(replace(node, columns=(), children=()), TONGUE, "csv")
    here = Range("sort" if node.sort else "key", low)
    keys = [query.root.c[column.column] for column in node.key]
    texts = [sa.cast(one, Native("text")) for one in [step.element for step in query.steps] or keys]
    found = sa.select(*texts).select_from(query.base).where(*query.where, *limits(query, TONGUE, here))
    ordered = found.order_by(*([step.clause() for step in query.steps] or keys))
    after = wire.fetch(statement(ordered.limit(say("1")).offset(say(str(rows)))))
    return replace(here, high=after[0]) if after else here


def _by_block(wire: Wire, parts: list[Leaf], wanted: int) -> tuple[Range, ...]:
    """Ranges of block numbers, leaf by leaf; nothing where they cannot be had or would be too many."""
    if wire.version < 14 or not parts or not all(part.has_blocks for part in parts):
        return ()
    total = max(1, sum(part.blocks for part in parts))
    shares = [max(1, min(part.blocks, round(wanted * part.blocks / total))) for part in parts]
    if sum(shares) > wanted * TINY_LEAVES:
        return ()
    return tuple(each for part, share in zip(parts, shares, strict=True) for each in _cut_leaf(part, share))


def _cut_leaf(part: Leaf, share: int) -> list[Range]:
    cuts = [(str(part.blocks * number // share),) for number in range(1, share)]
    return chained("ctid", cuts, part.name)


def _by_key(wire: Wire, node: Node, parts: list[Leaf], wanted: int) -> tuple[Range, ...]:
    samplable = parts and all(part.kind in {"r", "m"} and not part.heirs for part in parts)
    if not node.key or not samplable:
        return (ALL,)
    first = node.sort[0].column.column if node.sort else None
    if first and not wire.fetch(SERVED, node.schema, node.table, first)[0][0]:
        wanted = min(wanted, MOST_UNINDEXED)
    percent = min(100.0, 100.0 * max(SAMPLED_BLOCKS, 4 * wanted) / max(1, sum(part.blocks for part in parts)))
    cuts: list[Cut] = wire.fetch(statement(_sampled_borders(node, percent, wanted)))
    return tuple(chained("sort" if first else "key", list(dict.fromkeys(cuts))[: wanted - 1], None))


def _sampled_borders(node: Node, percent: float, wanted: int) -> sa.Select[Any]:
    """Keys, or places in the order asked for, that cut the matching rows of some random blocks into equal runs."""
    root: Any = tree(node, TONGUE, "csv").root
    sample = root.element.tablesample(sa.func.system(sa.literal_column(repr(percent))), name="t0")
    order = steps(node.sort, sample, TONGUE.placing)
    keys = [step.element for step in order] or [sample.c[column.column] for column in node.key]
    texts = [sa.cast(key, Native("text")).label(f"k{number}") for number, key in enumerate(keys)]
    place = sa.func.row_number().over(order_by=[step.clause() for step in order] or keys).label("n")
    among = sa.func.count().over().label("m")
    rows = sa.select(*texts, place, among).where(expression(node.where, sample, "postgresql")).subquery("s")
    parts: sa.ColumnClause[int] = sa.literal_column(str(wanted))
    before, here = (rows.c.n - sa.literal_column("1")) * parts, rows.c.n * parts
    border = before.op("/")(rows.c.m) != here.op("/")(rows.c.m)
    columns = [rows.c[f"k{number}"] for number in range(len(keys))]
    return sa.select(*columns).where(border, rows.c.n < rows.c.m).order_by(rows.c.n)
