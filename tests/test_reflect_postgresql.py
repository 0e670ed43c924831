"""PostgreSQL's own: kinds of tables, types with their words, schemas, and what the role may read."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from outhaul.catalog import Catalog, Field, Type
from outhaul.errors import WrongValue
from outhaul.filters import EVERYTHING
from outhaul.predicates import Reader
from outhaul.sources._reflect_postgresql import reflect
from tests.postgres import Server


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def found(url: str, *statements: str) -> Catalog:
    run(url, *statements)
    return reflect(url)


@pytest.fixture
def guest(postgres_url: str) -> Iterator[str]:
    """URL of a role that may connect and nothing else; its name is the user of the URL."""
    name = f"guest_{uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        yield postgres_url.replace("postgres@", f"{name}@", 1)
        connection.execute(sql.SQL("DROP OWNED BY {0}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(name)))


@pytest.mark.every_postgres
def test_every_kind_of_table_is_found_once(postgres_url: str) -> None:
    catalog = found(
        postgres_url,
        "CREATE TABLE plain (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)",
        "CREATE TABLE parted (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
        "CREATE TABLE leaf PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
        """CREATE TABLE under (id int PRIMARY KEY, parted_id int, day date, FOREIGN KEY (parted_id, day)
        REFERENCES parted (id, day))""",
        "CREATE VIEW seen AS SELECT * FROM plain",
        "CREATE MATERIALIZED VIEW kept AS SELECT * FROM plain",
        "CREATE UNIQUE INDEX ON kept (id)",
        "CREATE FOREIGN DATA WRAPPER nothing",
        "CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing",
        "CREATE FOREIGN TABLE far (id int) SERVER nowhere",
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "CREATE TABLE child () INHERITS (parent)",
        "CREATE UNLOGGED TABLE quick (id int)",
        "CREATE SEQUENCE counting",
        "CREATE TYPE pair AS (a int, b text)",
    )
    assert {name: (one.kind, one.key) for name, one in catalog.resources.items()} == {
        "child": ("table", ()),
        "far": ("foreign table", ()),
        "kept": ("materialized view", ()),
        "parent": ("table", ()),
        "parted": ("partitioned table", ("id", "day")),
        "plain": ("table", ("id",)),
        "quick": ("table", ()),
        "seen": ("view", ()),
        "under": ("table", ("id",)),
    }
    assert [one.name for one in catalog.resources["plain"].fields] == ["id", "twice"]
    assert catalog.resources["kept"].unique == (("id",),), "unique, but nothing forbids a NULL there"
    assert [(one.name, one.target, one.on) for one in catalog.resources["under"].relationships] == [
        ("parted", "parted", (("parted_id", "id"), ("day", "day")))
    ]
    assert [one.name for one in catalog.resources["parted"].relationships] == ["unders"]


TYPES: list[tuple[str, Type, str]] = [
    ("smallint", Type.INTEGER, "smallint"),
    ("int", Type.INTEGER, "integer"),
    ("bigserial", Type.INTEGER, "bigint"),
    ("numeric", Type.DECIMAL, "numeric"),
    ("numeric(12,2)", Type.DECIMAL, "numeric(12,2)"),
    ("real", Type.FLOAT, "real"),
    ("float8", Type.FLOAT, "double precision"),
    ("bool", Type.BOOLEAN, "boolean"),
    ("text", Type.TEXT, "text"),
    ("varchar", Type.TEXT, "character varying"),
    ("varchar(20)", Type.TEXT, "character varying(20)"),
    ("char(3)", Type.TEXT, "character(3)"),
    ("bpchar", Type.TEXT, "bpchar"),
    ('"char"', Type.TEXT, '"char"'),
    ("name", Type.TEXT, "name"),
    ("uuid", Type.UUID, "uuid"),
    ("date", Type.DATE, "date"),
    ("time(3)", Type.TIME, "time(3) without time zone"),
    ("timetz", Type.TIME, "time with time zone"),
    ("timestamp", Type.TIMESTAMP, "timestamp without time zone"),
    ("timestamptz(0)", Type.INSTANT, "timestamp(0) with time zone"),
    ("interval", Type.INTERVAL, "interval"),
    ("bytea", Type.BINARY, "bytea"),
    ("json", Type.JSON, "json"),
    ("jsonb", Type.JSON, "jsonb"),
    ("int[]", Type.ARRAY, "integer[]"),
    ("varchar(5)[]", Type.ARRAY, "character varying(5)[]"),
    ("money", Type.OTHER, "money"),
    ("inet", Type.OTHER, "inet"),
    ("int4range", Type.OTHER, "int4range"),
    ("xml", Type.OTHER, "xml"),
    ("bit(3)", Type.OTHER, "bit(3)"),
    ("tsvector", Type.OTHER, "tsvector"),
    ("oid", Type.OTHER, "oid"),
    ('"odd s"."mo%od"', Type.TEXT, '"odd s"."mo%od"'),
    ('"odd s"."mo%od"[]', Type.ARRAY, '"odd s"."mo%od"[]'),
    ('"odd s".price', Type.DECIMAL, "numeric(10,3)"),
    ('"odd s".dear', Type.DECIMAL, "numeric(10,3)"),
    ("moods", Type.ARRAY, '"odd s"."mo%od"[]'),
    ("pair", Type.OTHER, "public.pair"),
]


@pytest.mark.every_postgres
def test_types_are_told_in_core_words_and_in_words_that_can_be_cast_to(postgres_url: str) -> None:
    columns = ", ".join(f"c{number} {declared}" for number, (declared, _, _) in enumerate(TYPES))
    catalog = found(
        postgres_url,
        'CREATE SCHEMA "odd s"',
        "CREATE TYPE \"odd s\".\"mo%od\" AS ENUM ('so, so', 'o''k \"x\"', '')",
        'CREATE DOMAIN "odd s".price AS numeric(10,3) CHECK (value > 0)',
        'CREATE DOMAIN "odd s".dear AS "odd s".price NOT NULL CHECK (value > 10)',
        'CREATE DOMAIN moods AS "odd s"."mo%od"[]',
        "CREATE TYPE pair AS (a int, b text)",
        f"CREATE TABLE kinds ({columns})",
    )
    fields = catalog.resources["kinds"].fields
    assert [(one.type, one.native) for one in fields] == [(kind, native) for _, kind, native in TYPES]
    by_declared: dict[str, Field] = {
        declared: one for (declared, _, _), one in zip(TYPES, fields, strict=True)
    }
    assert by_declared['"odd s"."mo%od"'].choices == ("so, so", 'o\'k "x"', "")
    assert by_declared["numeric(12,2)"].scale == 2
    assert by_declared["numeric"].scale is None
    assert by_declared['"odd s".dear'].scale == 3
    assert by_declared['"odd s".dear'].declared == '"odd s".dear'
    with psycopg.connect(postgres_url) as connection:
        for one in fields:
            connection.execute(f"SELECT CAST(CAST(NULL AS text) AS {one.native})".encode())


def test_comments_become_descriptions(postgres_url: str) -> None:
    catalog = found(
        postgres_url,
        "CREATE TABLE things (id int PRIMARY KEY, note text)",
        "COMMENT ON TABLE things IS 'All the things'",
        "COMMENT ON COLUMN things.note IS 'What was said'",
    )
    assert catalog.resources["things"].description == "All the things"
    assert [one.description for one in catalog.resources["things"].fields] == ["", "What was said"]


def test_the_first_schema_on_the_search_path_keeps_the_plain_name(postgres_url: str) -> None:
    catalog = found(
        postgres_url,
        *("CREATE SCHEMA sales", "CREATE SCHEMA old", "CREATE SCHEMA older"),
        *("CREATE TABLE orders (id int PRIMARY KEY)", "CREATE TABLE sales.orders (id int PRIMARY KEY)"),
        *("CREATE TABLE old.notes (id int)", "CREATE TABLE older.notes (id int)"),
        'CREATE TABLE "sales.orders" (id int)',
        """CREATE TABLE sales.alone (id int PRIMARY KEY, order_id int REFERENCES sales.orders,
        other_id int REFERENCES orders)""",
    )
    assert {name: (one.schema, one.table) for name, one in catalog.resources.items()} == {
        "alone": ("sales", "alone"),
        "old.notes": ("old", "notes"),
        "older.notes": ("older", "notes"),
        "orders": ("public", "orders"),
        '"sales"."orders"': ("sales", "orders"),
        '"public"."sales.orders"': ("public", "sales.orders"),
    }
    targets = {one.name: one.target for one in catalog.resources["alone"].relationships}
    assert targets == {"order": '"sales"."orders"', "other": "orders"}


def test_only_what_the_role_may_select_is_there(postgres_url: str, guest: str) -> None:
    role = guest.removeprefix("postgresql://").partition("@")[0]
    run(
        postgres_url,
        "CREATE SCHEMA closed",
        "CREATE TABLE open (id int PRIMARY KEY, hidden_id int)",
        "CREATE TABLE half (id int PRIMARY KEY, code text NOT NULL UNIQUE, secret text, open_id int REFERENCES open)",
        "CREATE TABLE shut (id int PRIMARY KEY, open_id int REFERENCES open)",
        "CREATE TABLE closed.there (id int PRIMARY KEY)",
        f"GRANT SELECT ON open TO {role}",
        f"GRANT SELECT (code, open_id) ON half TO {role}",
        f"GRANT SELECT ON closed.there TO {role}",
    )
    catalog = reflect(guest)
    assert set(catalog.resources) == {"half", "open"}
    half = catalog.resources["half"]
    assert [one.name for one in half.fields] == ["code", "open_id"]
    assert half.key == ("code",), "the primary key cannot be read, another one can"
    assert [one.name for one in catalog.resources["open"].relationships] == ["halves"]
    with psycopg.connect(guest) as connection:
        for resource in catalog.resources.values():
            names = sql.SQL(", ").join(sql.Identifier(one.column) for one in resource.fields)
            table = sql.Identifier(resource.schema or "", resource.table)
            connection.execute(sql.SQL("SELECT {} FROM {}").format(names, table))


def test_the_tables_of_an_extension_are_hidden_and_listed(postgres_url: str) -> None:
    catalog = found(postgres_url, "CREATE EXTENSION pg_stat_statements", "CREATE TABLE things (id int)")
    assert set(catalog.resources) == {"things"}
    assert {(one.resource, one.reason) for one in catalog.hidden} == {
        ("pg_stat_statements", "belongs to the extension pg_stat_statements"),
        ("pg_stat_statements_info", "belongs to the extension pg_stat_statements"),
    }


def test_the_same_database_gives_the_same_catalog(postgres_url: str) -> None:
    tables = [f"t{number}" for number in range(12)]
    run(postgres_url, *(f"CREATE TABLE {name} (id int PRIMARY KEY)" for name in tables))
    for name in tables:
        keys = (
            f"ADD COLUMN {other}_id int REFERENCES {other}, ADD COLUMN {other} int" for other in tables[:4]
        )
        run(postgres_url, f"ALTER TABLE {name} {', '.join(keys)}")
    first, second = reflect(postgres_url), reflect(postgres_url)
    assert first == second
    assert first.fingerprint == second.fingerprint
    run(postgres_url, "ALTER TABLE t0 ADD COLUMN more int")
    assert reflect(postgres_url).fingerprint != first.fingerprint


def test_a_text_that_the_database_cannot_hold_is_refused_in_a_filter(postgres_server: Server) -> None:
    name = f"latin_{uuid4().hex}"
    create = f"CREATE DATABASE {name} ENCODING LATIN1 LOCALE 'C' TEMPLATE template0"
    run(postgres_server.url, create)
    try:
        catalog = found(postgres_server.url_of(name), "CREATE TABLE things (id int, t text)")
        reader = Reader(catalog, lambda *_: EVERYTHING)
        reader.read(catalog.resources["things"], {"t_eq": "é"})
        with pytest.raises(WrongValue) as caught:
            reader.read(catalog.resources["things"], {"t_in": ["é", "日"]})
    finally:
        run(postgres_server.url, f"DROP DATABASE {name} WITH (FORCE)")
    assert catalog.encoding == "iso8859-1"
    assert caught.value.where == ("filters", "t_in")
    assert "'日'" in str(caught.value)


def test_an_odd_collation_or_citext_is_marked_as_loose(postgres_url: str) -> None:
    catalog = found(postgres_url, "CREATE EXTENSION citext", "CREATE TABLE things (id int, c citext, t text)")
    assert [(one.type, one.native, one.loose) for one in catalog.resources["things"].fields] == [
        (Type.INTEGER, "integer", False),
        (Type.TEXT, "public.citext", True),
        (Type.TEXT, "text", False),
    ]
