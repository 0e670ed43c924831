"""The tables of a plan as PostgreSQL knows them now, whatever the instant of the transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import quoted_name

from outhaul.errors import SchemaChanged
from outhaul.plan import Plan
from outhaul.sources._copy import Wire
from outhaul.sources._fingerprints import Fingerprints
from outhaul.sources._postgresql_text import statement
from outhaul.sources._select import Place, all_below, place_of, touched

# Everything that is read in the end: partitions, heirs, and what views stand on.
REACHED = """
WITH RECURSIVE asked AS (
  SELECT schema, name, n, (CASE WHEN schema IS NULL THEN to_regclass(quote_ident(name))
         ELSE to_regclass(format('%I.%I', schema, name)) END)::oid AS oid
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS given(schema, name, n)
), reached(oid) AS (
  SELECT oid FROM asked WHERE oid IS NOT NULL
  UNION
  SELECT next.oid FROM reached r CROSS JOIN LATERAL (
    SELECT relid::oid FROM pg_partition_tree(r.oid)
    UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = r.oid
    UNION ALL SELECT d.refobjid FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass
              AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
              WHERE w.ev_class = r.oid AND (SELECT relkind FROM pg_class WHERE oid = r.oid) = 'v'
  ) next(oid)
)
SELECT (pg_identify_object('pg_class'::regclass::oid, r.oid, 0)).identity, r.oid::bigint,
       pg_relation_filenode(r.oid)::bigint, c.relkind::text, a.n,
       CASE WHEN c.relkind = 'v' THEN md5(pg_get_viewdef(r.oid)) END
FROM reached r LEFT JOIN asked a USING (oid) LEFT JOIN pg_class c ON c.oid = r.oid
WHERE c.relkind IS DISTINCT FROM 'i' AND c.relkind IS DISTINCT FROM 'I'
"""

# pg_attribute shows the columns of the transaction's instant, pg_identify_object_as_address their names of now.
COLUMNS = """
SELECT a.attname::text, a.attnum::int,
       (pg_identify_object_as_address('pg_class'::regclass::oid, a.attrelid, a.attnum)).object_names[3]
FROM pg_attribute a WHERE a.attrelid = $1::oid AND a.attname = ANY($2::text[]) AND NOT a.attisdropped
"""

PRESENT = """
SELECT a.attname::text FROM pg_attribute a WHERE NOT a.attisdropped AND a.attrelid = (CASE WHEN $1::text IS NULL
  THEN to_regclass(quote_ident($2::text)) ELSE to_regclass(format('%I.%I', $1::text, $2::text)) END)
"""

# Number of each type that is not, or not a domain over, what the plan took it for.
MISTAKEN = """
WITH RECURSIVE base(n, oid) AS (
  SELECT n, oid FROM unnest($1::oid[]) WITH ORDINALITY AS given(oid, n)
  UNION ALL SELECT b.n, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd'
)
SELECT n::int, format_type(t.oid, NULL) FROM base JOIN pg_type t USING (oid)
JOIN unnest($2::text[]) WITH ORDINALITY AS wanted(native, n) USING (n)
WHERE t.typtype <> 'd' AND t.oid IS DISTINCT FROM to_regtype(native)::oid ORDER BY n
"""


def tables(wire: Wire, plan: Plan) -> Fingerprints:
    """Takes the lightest lock on every table first, so that nothing changes between this look and the reading."""
    places = touched(*plan.selections)
    types = [_types(wire, place, list(columns)) for place, columns in places.items()]
    _compare_types(wire, plan, dict(zip(places, types, strict=True)))
    found: Fingerprints = {}
    schemas, names = [schema for schema, _ in places], [name for _, name in places]
    for name, oid, file, _, asked, definition in wire.fetch(REACHED, schemas, names):
        columns = {} if asked is None else _columns(wire, oid, types[asked - 1])
        found[name] = {"oid": oid, "file": file, "definition": definition, "columns": columns}
    return found


def _types(wire: Wire, place: Place, columns: list[str]) -> Mapping[str, int]:
    """The types of now, by column; the planner locks partitions and what views stand on as it would for reading."""
    named: list[sa.ColumnClause[Any]] = [sa.column(quoted_name(name, quote=True)) for name in columns]
    table = sa.table(
        quoted_name(place[1], quote=True),
        *named,
        schema=None if place[0] is None else quoted_name(place[0], quote=True),
    )
    empty = sa.select(*table.c).limit(sa.literal_column("0")).subquery("x")
    one = sa.select(sa.literal_column("1")).subquery("one")
    kinds = [sa.func.pg_typeof(empty.c[name]).op("::")(sa.literal_column("oid::bigint")) for name in columns]
    select = sa.select(*(kind.label(f"c{number}") for number, kind in enumerate(kinds)))
    try:
        answer = wire.fetch(statement(select.select_from(one.outerjoin(empty, sa.true()))))
    except SchemaChanged as error:
        raise _named(wire, place, columns, error) from error
    return dict(zip(columns, answer[0], strict=True)) if columns else {}


def _compare_types(wire: Wire, plan: Plan, types: Mapping[Place, Mapping[str, int]]) -> None:
    """A column that has another type than the plan knows would be written wrongly: SchemaChanged."""
    nodes = [below for node in plan.selections for below in all_below(node)]
    known = {
        (place_of(node), each.column): each.stored or each.native
        for node in nodes
        for each in (*node.columns, *node.key)
    }
    oids = [types[table][column] for table, column in known]
    for number, native in wire.fetch(MISTAKEN, oids, list(known.values())):
        (table, column), was = list(known.items())[number - 1]
        name = ".".join(part for part in table if part)
        facts = {"table": name, "column": column, "rewritten": False}
        words = f"Column {column!r} of {name} was {was} when the export was asked for, and is {native} now."
        raise SchemaChanged(words, hint="Ask for the export again.", wrong=column, facts=facts)


def _named(wire: Wire, place: Place, columns: list[str], error: SchemaChanged) -> SchemaChanged:
    """The same with the names of table and column. Ends the transaction, whose catalog is of its instant."""
    wire.execute("ROLLBACK")
    table = ".".join(part for part in place if part)
    found = wire.fetch(PRESENT, *place)
    missing = next((name for name in columns if (name,) not in found), None)
    if missing is None:
        return error
    words = f"Column {missing!r} of {table} is gone." if found else f"{table} is gone."
    column = missing if found else None
    facts = {"table": table, "column": column, "rewritten": False}
    return SchemaChanged(words, hint=error.hint, wrong=column or table, facts=facts)


def _columns(wire: Wire, oid: int, types: Mapping[str, int]) -> dict[str, Any]:
    """Number and type by column; a column that bears another name by now is left out."""
    rows = wire.fetch(COLUMNS, oid, list(types))
    return {name: [number, types[name]] for name, number, called in rows if called == name}
