"""The tables of a plan as PostgreSQL knows them now, whatever the instant of the transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import quoted_name

from outhaul.plan import Plan
from outhaul.sources._copy import Wire
from outhaul.sources._fingerprints import Fingerprints
from outhaul.sources._postgresql_text import statement
from outhaul.sources._select import Place, touched

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
SELECT coalesce(format('%I.%I', n.nspname, c.relname), quote_ident(a.name)), r.oid::bigint,
       pg_relation_filenode(r.oid)::bigint, c.relkind::text, a.n,
       CASE WHEN c.relkind = 'v' THEN md5(pg_get_viewdef(r.oid)) END
FROM reached r LEFT JOIN asked a USING (oid) LEFT JOIN pg_class c ON c.oid = r.oid
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IS DISTINCT FROM 'i' AND c.relkind IS DISTINCT FROM 'I'
"""

# pg_attribute shows the columns of the transaction's instant, pg_identify_object_as_address their names of now.
COLUMNS = """
SELECT a.attname::text, a.attnum::int,
       (pg_identify_object_as_address('pg_class'::regclass::oid, a.attrelid, a.attnum)).object_names[3]
FROM pg_attribute a WHERE a.attrelid = $1::oid AND a.attname = ANY($2::text[]) AND NOT a.attisdropped
"""


def tables(wire: Wire, plan: Plan) -> Fingerprints:
    """Takes the lightest lock on every table first, so that nothing changes between this look and the reading."""
    places: dict[Place, dict[str, None]] = {}
    for node in plan.selections:
        for place, columns in touched(node).items():
            places.setdefault(place, {}).update(columns)
    types = [_types(wire, place, list(columns)) for place, columns in places.items()]
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
    answer = wire.fetch(statement(select.select_from(one.outerjoin(empty, sa.true()))))
    return dict(zip(columns, answer[0], strict=True)) if columns else {}


def _columns(wire: Wire, oid: int, types: Mapping[str, int]) -> dict[str, Any]:
    """Number and type by column; a column that bears another name by now is left out."""
    rows = wire.fetch(COLUMNS, oid, list(types))
    return {name: [number, types[name]] for name, number, called in rows if called == name}
