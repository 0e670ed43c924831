"""PostgreSQL as a source: the text of every type, in every encoding of a database."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from outhaul import filters
from outhaul.catalog import Type
from outhaul.errors import (
    UnreadableValue,
)
from outhaul.sources import _copy, postgresql
from tests.postgres_reading import EVERYTHING, connected, reading
from tests.selections import plan, selection
from tests.slow_reader import digits, drain, rows


@pytest.fixture
def database(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    yield from connected(postgres_url)


NASTY_TYPES = r"""
CREATE TYPE mood AS ENUM ('ok', 'not "ok"', 'über');
CREATE TYPE pair AS (number numeric, word text);
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE DOMAIN ints AS int[];
CREATE DOMAIN wrapped AS pair;
CREATE DOMAIN yes AS boolean;
CREATE DOMAIN moment AS timestamptz;
CREATE TABLE kinds (
  id int PRIMARY KEY, i2 smallint, i8 bigint, n numeric, n2 numeric(12,2), f4 real, f8 double precision,
  b boolean,
  t text, v varchar(20), c char(5), nm name, ch "char", u uuid, d date, ti time, tz timetz, ts timestamp,
  tstz timestamptz,
  ts0 timestamp(0), iv interval, by bytea, j json, jb jsonb, ia int[], ta text[], m mood, ma mood[], p pair,
  pa pair[], pos positive,
  dom_a ints, dom_p wrapped, dom_b yes, dom_t moment, r int4range, nr numrange, tr tstzrange,
  mr int4multirange, cash money, bi bit(3),
  vb varbit, ip inet, net cidr, mac macaddr, tv tsvector, tq tsquery, pt point, o oid, lsn pg_lsn,
  g numeric GENERATED ALWAYS AS (n * 2) STORED
);
INSERT INTO kinds (id) VALUES (1);
INSERT INTO kinds (id, i2, i8, n, n2, f4, f8, b, t, v, c, nm, ch, u, d, ti, tz, ts, tstz, ts0, iv, by, j,
  jb, ia, ta, m, ma, p, pa, pos,
  dom_a, dom_p, dom_b, dom_t, r, nr, tr, mr, cash, bi, vb, ip, net, mac, tv, tq, pt, o, lsn) VALUES
(2, -32768, 9223372036854775807, 1234567890123456789012345678901234567890.0000000001, 0.10, 0.1,
  0.1::float8 + 0.2, true,
 E'"quoted", \\back\\ \nnew\r\n\ttab \u2028 \u0001 é 😀', '', 'ab', 'a name', 'x',
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
 '0044-03-15 BC', '23:59:59.999999', '01:02:03+05:30', '0044-03-15 12:00:00 BC',
  '0044-03-15 12:00:00+00 BC', '2024-02-29 23:59:59.7',
 '1 year -2 mons 3 days -04:05:06.789', '\x00ff22', E'{"a":\n [1.10, 1e400]}',
  '{"a": 12345678901234567890.12345}', '{1,NULL,-3}',
 E'{"","a,\\"b",NULL,"nu\nll"}', 'not "ok"', '{ok,über}', '(1.50,"a ""b"", c")', ARRAY['(1,x)'::pair, NULL],
  7, '{1,2}', '(2.0,)', false,
 '2024-01-01 00:00:00+02', '[1,5)', '(,2.50]', '["2024-01-01 00:00:00+00",infinity)', '{[1,2),[5,8)}',
  '-1234.50', B'101',
 B'10', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', 'a:1 ''b c'':2', 'a & !b', '(1.5,-2)', 4294967295,
  '16/B374D848'),
(3, 0, -9223372036854775808, 'NaN', -0.00, 'NaN', '-Infinity', false, '', '\.', '', '', '',
  '00000000-0000-0000-0000-000000000000',
 'infinity', '00:00', '00:00+00', 'infinity', '-infinity', '294276-12-31 23:59:59', '00:00', '', 'null',
  'null', '{}', '{}', 'ok', '{}', '(,)',
 '{}', 1, '{}', '(,)', NULL, '99999-12-31 23:59:59.999999+00', 'empty', 'empty', 'empty', '{}', '0', B'000',
  '', '::1', '::/0',
 'ff:ff:ff:ff:ff:ff', '', '', '(1e300,NaN)', 0, '0/0'),
(4, 1, 1, 'Infinity', 99999.99, '-Infinity', 'NaN', NULL, 'NaN', 'NULL', 'a b', 'x', NULL, NULL,
  '5874897-12-31', NULL, NULL,
 '294276-12-31 23:59:59.999999', '4713-01-01 00:00:00+00 BC', NULL, '-178000000 years', '\xdeadbeef',
  '"a\u2028\\n"',
 '"\u2028"', '{{1,2},{3,4}}', '{NULL}', NULL, '{NULL}', NULL, NULL, NULL, '{{1},{2}}', NULL, true,
  '-infinity', NULL, NULL, NULL, NULL,
 '92233720368547758.07', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(5, 1, 1, 1e-30, 0, 1e-45, 5e-324, true, E'\x7f', ' lead and trail ', 'é', 'é', 'y', NULL, '2024-12-31',
  '12:00:00.100', '12:00:00.1-08',
 '1999-12-31 23:59:59.10', '1999-12-31 23:59:59.123456-08', NULL, '1 day', '\x5c', '{"k":"v","k":1}',
  '{"z":1,"a":[]}', '[2:3]={5,6}', '{a b}',
 'über', '{"not \"ok\""}', '(NaN,é)', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL,
 NULL, NULL, NULL, NULL, NULL);
"""


@pytest.mark.every_postgres
def test_every_type_becomes_what_row_to_json_makes_of_it(postgres_url: str, database: Any) -> None:
    database.execute(NASTY_TYPES)
    database.execute("SET timezone = 'UTC'; SET extra_float_digits = 1")
    wanted = [
        digits(row[0]) for row in database.execute("SELECT row_to_json(kinds)::text FROM kinds ORDER BY id")
    ]
    kinds = selection(postgresql.reflect(postgres_url), "kinds")
    with reading(postgres_url) as session:
        got = sorted(rows(session.read(kinds, EVERYTHING, "json")), key=lambda row: int(row["id"][1]))
    for found, right in zip(got, wanted, strict=True):
        assert {name: (value, found[name]) for name, value in right.items() if found[name] != value} == {}
        assert list(found) == list(right)


@pytest.mark.every_postgres
def test_flat_csv_is_byte_for_byte_that_of_copy(postgres_url: str, database: Any, psql: str) -> None:
    database.execute(NASTY_TYPES)
    kinds = selection(postgresql.reflect(postgres_url), "kinds")
    with reading(postgres_url) as session:
        blocks = [block for stream in session.read(kinds, EVERYTHING, "csv") for block in stream.blocks]
    command = [
        psql,
        postgres_url,
        "-X",
        "-c",
        "SET timezone='UTC'",
        "-c",
        r"\copy (select * from kinds) to stdout (format csv)",
    ]
    copied = subprocess.run(command, capture_output=True, check=True, env={"PGOPTIONS": ""}).stdout
    assert b"".join(block.csv or b"" for block in blocks) == copied.removeprefix(b"SET\n")
    assert sum(block.rows for block in blocks) == 5


def test_a_single_column_keeps_its_nulls_and_empty_texts(postgres_url: str, database: Any) -> None:
    database.execute(
        "CREATE TABLE words (w text); INSERT INTO words VALUES (NULL), (''), (E'\\n'), (NULL), ('\\.')"
    )
    words = selection(postgresql.reflect(postgres_url), "words")
    with reading(postgres_url) as session:
        assert rows(session.read(words, EVERYTHING, "json")) == [
            {"w": w} for w in (None, "", "\n", None, "\\.")
        ]
        streams = list(session.read(words, EVERYTHING, "csv"))
        assert [block.rows for block in streams[0].blocks] == [5]


def test_every_block_ends_at_the_end_of_a_row(postgres_url: str, database: Any) -> None:
    database.execute(
        "CREATE TABLE notes AS SELECT i AS id, repeat(E'a \"word\",\\n', 1 + i * 37 % 900) AS note"
        " FROM generate_series(1, 6000) i"
    )
    notes = selection(postgresql.reflect(postgres_url), "notes")
    with reading(postgres_url) as session:
        blocks = [block for stream in session.read(notes, EVERYTHING, "csv") for block in stream.blocks]
    assert len(blocks) > 5
    assert sum(block.rows for block in blocks) == 6000
    for block in blocks:
        assert block.csv is not None
        assert block.csv.endswith(b'"\n')
        assert block.csv.count(b'"') % 2 == 0
        assert len(block.csv) < 3 * _copy.BLOCK_BYTES


def test_text_of_a_latin1_database_comes_as_utf8(postgres_server: Any) -> None:
    with encoded(postgres_server, "LATIN1") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute('CREATE TABLE "é" (id int PRIMARY KEY, "naïve" text)')
            connection.execute("""INSERT INTO "é" VALUES (1, 'ÿ £ "é"')""")
        tree = selection(postgresql.reflect(url), "é")
        with reading(url) as session:
            assert rows(session.read(tree, EVERYTHING, "json")) == [
                {"id": ("number", "1"), "naïve": 'ÿ £ "é"'}
            ]
            stream = next(session.read(tree, EVERYTHING, "csv"))
            assert next(stream.blocks).csv == '1,"ÿ £ ""é"""\n'.encode()


@contextmanager
def encoded(server: Any, encoding: str) -> Iterator[str]:
    name = f"test_{encoding.lower()}_{time.monotonic_ns()}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
        try:
            yield server.url_of(name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_without_encoding_is_read_if_it_holds_utf8(postgres_server: Any) -> None:
    with encoded(postgres_server, "SQL_ASCII") as url:
        with psycopg.connect(url, autocommit=True, client_encoding="utf8") as connection:
            connection.execute('CREATE TABLE "é" (id int PRIMARY KEY, "naïve" text)')
            connection.execute("""INSERT INTO "é" SELECT i, 'é' || i FROM generate_series(1, 3000) i""")
        tree = selection(
            postgresql.reflect(url),
            "é",
            where={"": filters.Test("naïve", Type.TEXT, "text", "not_eq", ("é7",))},
        )
        with reading(url) as session:
            assert session.count(tree) == {"": 2999}
            assert rows(session.read(tree, EVERYTHING, "json"))[1] == {"id": ("number", "2"), "naïve": "é2"}
            assert 'public."é"' in session.tables(plan("postgresql", tree))
        with psycopg.connect(url, autocommit=True, client_encoding="latin1") as connection:
            table, column = (name.encode().decode("latin-1") for name in ("é", "naïve"))
            connection.execute(f"""UPDATE "{table}" SET "{column}" = 'caf' || chr(233) WHERE id = 2345""")
        for style in ("csv", "json"):
            with reading(url) as session, pytest.raises(UnreadableValue) as caught:
                drain(session.read(tree, EVERYTHING, style))
            assert "public.é: naïve of the row with key 2345" in str(caught.value)
