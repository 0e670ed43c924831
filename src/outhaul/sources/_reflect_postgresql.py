"""Reads what is there in a PostgreSQL database, and which of it the role may select, from the system catalogs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from outhaul.catalog import Catalog, Field, Hidden, Type
from outhaul.errors import Misconfigured, SourceAway, SourceForbids
from outhaul.sources._reflect import ForeignKey, Table, catalog, distinct

CONNECTION: Mapping[str, Any] = {
    "connect_timeout": 10,  # seconds until a server that does not answer counts as away
    "client_encoding": "utf8",
    "application_name": "outhaul",
}

KINDS = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}
TYPES: Mapping[str, Type] = {
    **dict.fromkeys(("int2", "int4", "int8"), Type.INTEGER),
    "numeric": Type.DECIMAL,
    **dict.fromkeys(("float4", "float8"), Type.FLOAT),
    "bool": Type.BOOLEAN,
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "char"), Type.TEXT),
    "uuid": Type.UUID,
    "date": Type.DATE,
    **dict.fromkeys(("time", "timetz"), Type.TIME),
    "timestamp": Type.TIMESTAMP,
    "timestamptz": Type.INSTANT,
    "interval": Type.INTERVAL,
    "bytea": Type.BINARY,
    **dict.fromkeys(("json", "jsonb"), Type.JSON),
}

# Leaves of a partitioned table are read through it. An extension's tables (`owner`) are its own bookkeeping.
RELATIONS = """
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind,
       obj_description(c.oid, 'pg_class') AS description,
       coalesce(array_position(current_schemas(false), n.nspname), 0) AS rank,
       has_any_column_privilege(c.oid, 'SELECT') AS readable,
       format('GRANT SELECT ON %I.%I TO %I;', n.nspname, c.relname, current_user) AS grant,
       EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) AND c.relkind = 'r' AS parent,
       (SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
         WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
           AND d.refclassid = 'pg_extension'::regclass) AS owner
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND has_schema_privilege(n.oid, 'USAGE')
 ORDER BY n.nspname, c.relname
"""

# A domain is followed to its base type: a cast to the domain would check values that only are compared with it.
COLUMNS = """
WITH RECURSIVE kinds AS (
  SELECT a.attrelid, a.attnum, a.atttypid AS type, a.atttypmod AS modifier, a.atttypid AS declared
    FROM pg_attribute a WHERE a.attrelid = ANY(%(oids)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT k.attrelid, k.attnum, t.typbasetype, t.typtypmod, k.declared
    FROM kinds k JOIN pg_type t ON t.oid = k.type WHERE t.typtype = 'd'
)
SELECT a.attrelid AS oid, a.attnum AS number, a.attname AS name,
       NOT a.attnotnull OR EXISTS (  -- PostgreSQL 18: older rows may hold NULL until it is validated
         SELECT FROM pg_constraint v WHERE v.conrelid = a.attrelid AND v.contype = 'n' AND NOT v.convalidated
            AND a.attnum = ANY(v.conkey)) AS nullable,
       col_description(a.attrelid, a.attnum) AS description, t.typname AS base, t.typtype AS class,
       t.typelem <> 0 AND t.typcategory = 'A' AS listed, n.nspname = 'pg_catalog' AS own,
       format_type(t.oid, k.modifier) AS native,
       quote_ident(n.nspname) || '.' || quote_ident(coalesce(e.typname, t.typname))
         || CASE WHEN e.oid IS NULL THEN '' ELSE '[]' END AS qualified,
       CASE WHEN k.declared <> t.oid THEN format_type(k.declared, -1) ELSE '' END AS declared,
       NOT coalesce(l.collisdeterministic, true) AS loose,
       ARRAY(SELECT v.enumlabel::text FROM pg_enum v WHERE v.enumtypid = t.oid ORDER BY v.enumsortorder) AS choices
  FROM kinds k
  JOIN pg_attribute a ON a.attrelid = k.attrelid AND a.attnum = k.attnum
  JOIN pg_type t ON t.oid = k.type AND t.typtype <> 'd'
  JOIN pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
  LEFT JOIN pg_collation l ON l.oid = a.attcollation
 WHERE has_column_privilege(a.attrelid, a.attnum, 'SELECT')
 ORDER BY a.attrelid, a.attnum
"""

# Only indexes that hold every row once: whole, valid, of plain columns, not those of WITHOUT OVERLAPS.
UNIQUE = """
SELECT i.indrelid AS oid, (i.indkey::int2[])[0:i.indnkeyatts - 1] AS numbers
  FROM pg_index i
 WHERE i.indrelid = ANY(%(oids)s::oid[]) AND i.indisunique AND i.indisvalid AND NOT i.indisexclusion
   AND i.indpred IS NULL AND 0 <> ALL ((i.indkey::int2[])[0:i.indnkeyatts - 1])
   AND NOT EXISTS (  -- by another collation than the column's, two keys could be one
     SELECT FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1], (i.indcollation::oid[])[0:i.indnkeyatts - 1])
         AS k(number, by) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
      WHERE a.attcollation <> k.by)
 ORDER BY i.indrelid, NOT i.indisprimary, i.indexrelid
"""

# Foreign tables, and what reads them: parents, and views at any depth.
DISTANT = """
WITH RECURSIVE distant(oid) AS (
  SELECT oid FROM pg_class WHERE relkind = 'f'
  UNION
  SELECT above.oid FROM distant d CROSS JOIN LATERAL (
    SELECT inhparent AS oid FROM pg_inherits WHERE inhrelid = d.oid
    UNION ALL
    SELECT w.ev_class FROM pg_depend k JOIN pg_rewrite w ON w.oid = k.objid
      JOIN pg_class v ON v.oid = w.ev_class AND v.relkind = 'v'
     WHERE k.classid = 'pg_rewrite'::regclass AND k.refclassid = 'pg_class'::regclass AND k.refobjid = d.oid
  ) above
)
SELECT oid FROM distant
"""

FOREIGN = """
SELECT k.conrelid AS oid, k.confrelid AS target, k.conkey AS numbers, k.confkey AS there
  FROM pg_constraint k
 WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = ANY(%(oids)s::oid[])
   AND coalesce(to_jsonb(k) ->> 'conperiod', 'false') = 'false'
 ORDER BY k.conrelid, k.conkey, k.conname
"""

Row = dict[str, Any]


def reflect(url: str) -> Catalog:
    """Everything that the role may read, in all schemas; SourceAway, SourceForbids, Misconfigured for a wrong URL."""
    try:
        with psycopg.connect(_address(url), row_factory=dict_row, **CONNECTION) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return _Reflection(connection).catalog()
    except psycopg.errors.InsufficientPrivilege as error:
        raise SourceForbids(f"The source's role lacks a right: {error}") from error
    except psycopg.Error as error:
        raise SourceAway(f"The PostgreSQL source cannot be read: {error}") from error


def _address(url: str) -> str:
    """As libpq understands it; what it says of a wrong one may hold the password, so that is not passed on."""
    scheme, _, rest = url.partition("://")
    plain = f"{scheme.partition('+')[0]}://{rest}"
    try:
        conninfo_to_dict(plain)
    except psycopg.ProgrammingError:
        hint = "Write special characters in its parts as %XX, a space as %20."
        raise Misconfigured("The source's URL is not one that PostgreSQL understands.", hint=hint) from None
    return plain


class _Reflection:
    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self.connection = connection
        seen = connection.execute(RELATIONS).fetchall()
        self.extensions = [one for one in seen if one["owner"] is not None]
        self.closed = [one for one in seen if one["owner"] is None and not one["readable"]]
        self.relations = [one for one in seen if one["owner"] is None and one["readable"]]
        self.oids = [one["oid"] for one in self.relations]
        self.columns = self._by_oid(COLUMNS)
        self.unique = self._by_oid(UNIQUE)
        self.foreign = self._by_oid(FOREIGN)
        self.distant = {row["oid"] for row in connection.execute(DISTANT)}
        self.places = {one["oid"]: (one["schema"], one["name"]) for one in self.relations}

    def _by_oid(self, sql: str) -> Mapping[int, list[Row]]:
        found: dict[int, list[Row]] = defaultdict(list)
        for row in self.connection.execute(sql, {"oids": self.oids}):
            found[row["oid"]].append(row)
        return found

    def catalog(self) -> Catalog:
        why = [(one["name"], f"belongs to the extension {one['owner']}") for one in self.extensions]
        why += [(one["name"], f"may not be read. If it should be: {one['grant']}") for one in self.closed]
        hidden = [Hidden(name, None, reason) for name, reason in why]
        return catalog("postgresql", [self._table(one) for one in self.relations], hidden, self._encoding())

    def _encoding(self) -> str:
        """What the driver would call the server's encoding; one that takes any byte, or is unknown, is no limit."""
        server = self.connection.info.parameter_status("server_encoding") or ""
        self.connection.execute("SELECT set_config('client_encoding', %s, true)", [server])
        try:
            found = self.connection.info.encoding
        except psycopg.NotSupportedError:
            return "utf-8"
        return "utf-8" if found == "ascii" else found

    def _table(self, relation: Row) -> Table:
        columns = self.columns[relation["oid"]]
        names = {column["number"]: column["name"] for column in columns}
        return Table(
            relation["schema"],
            relation["name"],
            KINDS[relation["kind"]],
            tuple(_field(column) for column in columns),
            () if relation["parent"] else self._sets(relation["oid"], names),
            tuple(self._keys(relation["oid"], names)),
            relation["rank"] - 1,
            relation["description"] or "",
            relation["oid"] in self.distant,
        )

    def _sets(self, oid: int, names: Mapping[int, str]) -> tuple[tuple[str, ...], ...]:
        """Unique column sets that the role can read."""
        rows = self.unique[oid]
        return distinct(
            [[names[n] for n in row["numbers"]] for row in rows if names.keys() >= set(row["numbers"])]
        )

    def _keys(self, oid: int, names: Mapping[int, str]) -> Iterator[ForeignKey]:
        for row in self.foreign[oid]:
            there = {column["number"]: column["name"] for column in self.columns[row["target"]]}
            readable = names.keys() >= set(row["numbers"]) and there.keys() >= set(row["there"])
            if readable and row["target"] in self.places:
                far = tuple(there[number] for number in row["there"])
                near = tuple(names[number] for number in row["numbers"])
                yield ForeignKey(near, self.places[row["target"]], far)


def _field(column: Row) -> Field:
    kind = _kind(column)
    native = column["native"] if column["own"] else column["qualified"]
    scale = re.fullmatch(r"numeric\(\d+,(-?\d+)\)", native)
    return Field(
        name=column["name"],
        column=column["name"],
        type=kind,
        native=native,
        nullable=column["nullable"],
        scale=max(0, int(scale[1])) if scale else None,
        choices=tuple(column["choices"]),
        description=column["description"] or "",
        declared=column["declared"],
        loose=kind is Type.TEXT and (column["loose"] or column["base"] == "citext"),
    )


def _kind(column: Row) -> Type:
    if column["listed"]:
        return Type.ARRAY
    if column["class"] == "e" or (column["base"] == "citext" and not column["own"]):
        return Type.TEXT
    return TYPES.get(column["base"], Type.OTHER) if column["own"] else Type.OTHER
