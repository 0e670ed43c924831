"""What is in a database is found, named and typed the same way each time, without writing to it."""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from outhaul.catalog import Catalog, Hidden, Resource, Type
from outhaul.errors import Misconfigured, SourceAway
from outhaul.sources import _reflect_postgresql, _reflect_sqlite
from outhaul.sources._reflect import plural, singular


def address(path: Path) -> str:
    return f"sqlite:///{quote(str(path))}"


def in_sqlite(path: Path, *statements: str) -> Catalog:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return _reflect_sqlite.reflect(address(path))


def in_postgresql(url: str, *statements: str) -> Catalog:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
    return _reflect_postgresql.reflect(url)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some file %41?#ä.db"


def ways(resource: Resource) -> dict[str, tuple[str, bool]]:
    return {one.name: (one.target, one.many) for one in resource.relationships}


SHOP = (
    "CREATE TABLE addresses (id integer PRIMARY KEY, city text)",
    "CREATE TABLE account (id integer PRIMARY KEY, name text)",
    "CREATE TABLE entry (id integer PRIMARY KEY, account_id integer NOT NULL REFERENCES account)",
    """CREATE TABLE orders (id integer PRIMARY KEY, shipping_address_id integer REFERENCES addresses,
    billing_address_id integer REFERENCES addresses, address_id integer REFERENCES addresses)""",
    "CREATE TABLE categories (id integer PRIMARY KEY, parent_id integer REFERENCES categories)",
    "CREATE TABLE countries (code char(2) PRIMARY KEY NOT NULL, account integer REFERENCES account)",
    """CREATE TABLE visits (country_code char(2) REFERENCES countries (code), orders integer,
    order_id integer REFERENCES orders)""",
    "CREATE TABLE stock (shop integer NOT NULL, sku integer NOT NULL, PRIMARY KEY (shop, sku))",
    """CREATE TABLE moves (id integer PRIMARY KEY, shop integer, from_sku integer,
    FOREIGN KEY (shop, from_sku) REFERENCES stock (shop, sku))""",
)


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, path: Path) -> Catalog:
    if request.param == "sqlite":
        return in_sqlite(path, *SHOP)
    return in_postgresql(request.getfixturevalue("postgres_url"), *SHOP)


def test_relationships_are_named_by_stem_and_by_plural(shop: Catalog) -> None:
    found = {name: ways(one) for name, one in shop.resources.items()}
    assert found["entry"] == {"account": ("account", False)}
    assert found["account"] == {"entries": ("entry", True), "countries": ("countries", True)}
    assert found["categories"] == {"parent": ("categories", False), "categories": ("categories", True)}
    assert found["visits"] == {"country": ("countries", False), "order": ("orders", False)}
    assert found["stock"] == {"moves": ("moves", True)}
    assert found["moves"] == {"from": ("stock", False)}


def test_a_second_key_between_the_same_tables_adds_its_stem(shop: Catalog) -> None:
    assert ways(shop.resources["orders"]) == {
        "address": ("addresses", False),
        "billing_address": ("addresses", False),
        "shipping_address": ("addresses", False),
        "visits": ("visits", True),
    }
    assert ways(shop.resources["addresses"]) == {
        "orders": ("orders", True),
        "orders_by_billing_address": ("orders", True),
        "orders_by_shipping_address": ("orders", True),
    }
    plain = next(one for one in shop.resources["addresses"].relationships if one.name == "orders")
    assert plain.on == (("id", "address_id"),), "the key that is named after its target has the plain plural"


def test_a_relationship_never_takes_the_name_of_a_field(shop: Catalog) -> None:
    assert ways(shop.resources["countries"]) == {
        "account_record": ("account", False),
        "visits": ("visits", True),
    }
    for resource in shop.resources.values():
        names = [one.name for one in resource.fields] + [one.name for one in resource.relationships]
        assert len(names) == len(set(names))


def test_keys_are_primary_or_unique_and_never_null(shop: Catalog) -> None:
    assert shop.resources["orders"].key == ("id",)
    assert shop.resources["stock"].key == ("shop", "sku")
    assert shop.resources["countries"].key == ("code",)
    assert shop.resources["visits"].key == ()
    assert shop.resources["orders"].identity == "id"
    assert shop.resources["stock"].identity is None


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_unique_key_that_is_never_null_stands_in(
    request: pytest.FixtureRequest, dialect: str, path: Path
) -> None:
    statements = (
        """CREATE TABLE things (a integer NOT NULL, b integer NOT NULL, c integer UNIQUE, d integer NOT NULL UNIQUE,
        UNIQUE (a, b))""",
        "CREATE TABLE parts (a integer NOT NULL, b integer NOT NULL)",
        "CREATE UNIQUE INDEX partial ON parts (a) WHERE b > 0",
        "CREATE UNIQUE INDEX computed ON parts (a, abs(b))",
    )
    if dialect == "sqlite":
        found = in_sqlite(path, *statements)
    else:
        found = in_postgresql(request.getfixturevalue("postgres_url"), *statements)
    assert found.resources["things"].key == ("d",)
    assert set(found.resources["things"].unique) == {("c",), ("a", "b")}
    assert found.resources["parts"].key == ()
    assert found.resources["parts"].unique == ()


HOSTILE = [
    *(
        "select",
        "order by",
        "a b",
        "a'b",
        'a"b',
        "a%b",
        "%s",
        "a/b",
        "..",
        "../etc",
        "a.b",
        "a,b",
        "a(b)",
        "[a]",
    ),
    *(
        "a;b--",
        "ä",
        "Ä",
        "日本語",
        "x" * 63,
        "Name",
        "a\\b",
        "a\tb",
        "$1",
        ":a",
        "?",
        "{a}",
        "é" * 31,
        "-",
        "1a",
    ),
]


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_hostile_names_are_found_as_they_are(
    request: pytest.FixtureRequest, dialect: str, path: Path
) -> None:
    quoted = ['"' + name.replace('"', '""') + '"' for name in HOSTILE]
    statements = [f"CREATE TABLE {name} ({name} integer PRIMARY KEY)" for name in quoted]
    for (one, other), number in zip(itertools.pairwise(quoted), itertools.count()):
        statements.append(
            f"CREATE TABLE way{number} (id integer PRIMARY KEY, {one} integer, {other} integer REFERENCES {other}, "
            f"FOREIGN KEY ({one}) REFERENCES {one})"
        )
    if dialect == "sqlite":
        found = in_sqlite(path, *statements)
    else:
        found = in_postgresql(request.getfixturevalue("postgres_url"), *statements)
    for name in HOSTILE:
        assert [one.column for one in found.resources[name].fields] == [name]
        assert found.resources[name].key == (name,)
    for (one, other), number in zip(itertools.pairwise(HOSTILE), itertools.count()):
        relationships = found.resources[f"way{number}"].relationships
        assert {(way.target, way.on) for way in relationships} == {
            (one, ((one, one),)),
            (other, ((other, other),)),
        }


def test_names_that_differ_only_in_case_are_two(postgres_url: str) -> None:
    found = in_postgresql(
        postgres_url,
        'CREATE TABLE orders (id int PRIMARY KEY, "Code" int, code int, "CODE" int)',
        'CREATE TABLE "Orders" (id int PRIMARY KEY, order_id int REFERENCES orders)',
    )
    assert {"orders", "Orders"} == set(found.resources)
    assert [one.name for one in found.resources["orders"].fields] == ["id", "Code", "code", "CODE"]
    assert ways(found.resources["orders"]) == {"Orders": ("Orders", True)}


@pytest.mark.parametrize("url", ["sqlite:///nowhere/at/all.db", "sqlite:////"])
def test_a_sqlite_file_that_is_not_there_is_said_to_be_away(url: str) -> None:
    with pytest.raises(SourceAway):
        _reflect_sqlite.reflect(url)


def test_a_sqlite_address_without_a_file_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"sqlite:///my\.db"):
        _reflect_sqlite.reflect("sqlite://")


def test_a_file_that_is_no_database_is_said_to_be_away(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("no database at all, only text\n" * 100)
    with pytest.raises(SourceAway):
        _reflect_sqlite.reflect(f"sqlite:///{path}")


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    with pytest.raises(SourceAway) as caught:
        _reflect_postgresql.reflect("postgresql://me:hunter2%40@127.0.0.1:1/db")
    chain: list[BaseException] = [caught.value]
    while chain[-1].__cause__:
        chain.append(chain[-1].__cause__)
    assert "hunter2" not in " ".join(map(repr, chain))


def test_an_address_that_is_none_is_not_repeated() -> None:
    with pytest.raises(Misconfigured) as caught:
        _reflect_postgresql.reflect("postgresql://me:hunter 2%@127.0.0.1/db")
    assert "hunter" not in repr(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_reading_a_sqlite_file_leaves_its_bytes_alone(path: Path, mode: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE things (id integer PRIMARY KEY)")
        connection.commit()
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    assert set(_reflect_sqlite.reflect(address(path)).resources) == {"things"}
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)


def test_sqlite_types_are_read_by_their_declared_names(path: Path) -> None:
    declared = {
        "integer": Type.INTEGER,
        "BIGINT UNSIGNED": Type.INTEGER,
        "tinyint(1)": Type.INTEGER,
        "varchar(20)": Type.TEXT,
        "NATIVE CHARACTER(70)": Type.TEXT,
        "clob": Type.TEXT,
        "double precision": Type.FLOAT,
        "float": Type.FLOAT,
        "decimal(10,2)": Type.DECIMAL,
        "NUMERIC": Type.DECIMAL,
        "boolean": Type.BOOLEAN,
        "datetime": Type.TIMESTAMP,
        "timestamp with time zone": Type.INSTANT,
        "date": Type.DATE,
        "time": Type.TIME,
        "json": Type.JSON,
        "uuid": Type.UUID,
        "blob": Type.BINARY,
        "varbinary(16)": Type.BINARY,
        "interval": Type.OTHER,
        "string": Type.OTHER,
        "": Type.OTHER,
    }
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(declared))
    fields = in_sqlite(path, f"CREATE TABLE kinds ({columns})").resources["kinds"].fields
    assert {one.declared.upper(): one.type for one in fields} == {
        name.upper(): kind for name, kind in declared.items()
    }
    assert {one.native for one in fields} == {"INTEGER", "TEXT", "REAL", "NUMERIC", "BLOB"}
    assert {one.declared: one.scale for one in fields if one.scale is not None} == {"decimal(10,2)": 2}


def test_sqlite_tables_of_every_kind_are_found_or_listed_with_the_reason(path: Path) -> None:
    found = in_sqlite(
        path,
        "CREATE TABLE plain (id integer PRIMARY KEY, twice AS (id * 2), kept AS (id * 3) STORED)",
        "CREATE TABLE strict (code text PRIMARY KEY) STRICT",
        "CREATE TABLE rowless (code text PRIMARY KEY) WITHOUT ROWID",
        "CREATE VIEW seen AS SELECT id, twice FROM plain",
        "CREATE VIEW broken AS SELECT * FROM gone",
        "CREATE VIRTUAL TABLE words USING fts5(text)",
        "CREATE TEMP TABLE passing (id integer)",
        "INSERT INTO plain (id) VALUES (1)",
        "ANALYZE",
    )
    assert {name: one.kind for name, one in found.resources.items()} == {
        "plain": "table",
        "rowless": "table",
        "seen": "view",
        "strict": "table",
    }
    assert [one.name for one in found.resources["plain"].fields] == ["id", "twice", "kept"]
    assert found.resources["strict"].key == ("code",)
    assert found.resources["rowless"].key == ("code",)
    assert found.resources["seen"].key == ()
    assert {one.resource for one in found.hidden} == {"broken", "words"}


def test_a_sqlite_primary_key_with_a_null_in_it_is_no_key(path: Path) -> None:
    found = in_sqlite(path, "CREATE TABLE things (code text PRIMARY KEY)", "INSERT INTO things VALUES ('a')")
    assert found.resources["things"].key == ("code",)
    found = in_sqlite(path, "INSERT INTO things VALUES (NULL)")
    assert found.resources["things"].key == ()


def test_a_sqlite_foreign_key_that_cannot_be_walked_is_listed(path: Path) -> None:
    found = in_sqlite(
        path,
        "CREATE TABLE far (id integer PRIMARY KEY, loose integer)",
        """CREATE TABLE near (id integer PRIMARY KEY, FAR_id integer REFERENCES FAR (ID),
        loose_id integer REFERENCES far (loose), gone_id integer REFERENCES nowhere)""",
    )
    assert ways(found.resources["near"]) == {"FAR": ("far", False)}
    assert set(found.hidden) == {
        Hidden("near", "gone", "points to nowhere, which is not there or cannot be read"),
        Hidden("near", "loose", "points to columns of far that are not unique"),
    }


def test_words_are_put_into_the_plural_once() -> None:
    assert [
        plural(one) for one in ("entry", "entries", "line_item", "address", "Person", "data", "日本", "a_")
    ] == [*("entries", "entries", "line_items", "addresses", "People", "data", "日本", "a_")]
    assert [singular(one) for one in ("entries", "line_items", "address", "People", "日本", "")] == [
        *("entry", "line_item", "address", "Person", "日本", "")
    ]


def test_an_address_may_hold_any_character(postgres_url: str) -> None:
    role, password = "o'dd %41 @:/", "p@ss:w/ord %41"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE things (id int)")
        quoted = '"' + role + '"'
        connection.execute(f"DROP ROLE IF EXISTS {quoted}".encode())
        connection.execute(f"CREATE ROLE {quoted} LOGIN PASSWORD '{password}'".encode())
        connection.execute(f"GRANT SELECT ON things TO {quoted}".encode())
    own = postgres_url.replace("postgres@", f"{quote(role, safe='')}:{quote(password, safe='')}@", 1)
    try:
        assert set(_reflect_postgresql.reflect(own).resources) == {"things"}
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {quoted}; DROP ROLE {quoted}".encode())
