"""PostgreSQL as a source: exactness of each type, session, ranges, rights and what it says when it fails."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from outhaul import filters
from outhaul.blocks import Range
from outhaul.catalog import Type
from outhaul.errors import (
    SchemaChanged,
    SnapshotLost,
    SourceAway,
    SourceBusy,
    SourceError,
    SourceForbids,
    SourceTimeout,
    UnreadableValue,
)
from outhaul.sources import _copy, _spool, postgresql
from outhaul.sources.postgresql import Session
from tests.selections import plan, selection
from tests.slow_reader import digits, rows

EVERYTHING = Range()

NASTY_TYPES = r"""
CREATE TYPE mood AS ENUM ('ok', 'not "ok"', 'über');
CREATE TYPE pair AS (number numeric, word text);
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE DOMAIN ints AS int[];
CREATE DOMAIN wrapped AS pair;
CREATE DOMAIN yes AS boolean;
CREATE DOMAIN moment AS timestamptz;
CREATE TABLE kinds (
  id int PRIMARY KEY, i2 smallint, i8 bigint, n numeric, n2 numeric(12,2), f4 real, f8 double precision, b boolean,
  t text, v varchar(20), c char(5), nm name, ch "char", u uuid, d date, ti time, tz timetz, ts timestamp, tstz timestamptz,
  ts0 timestamp(0), iv interval, by bytea, j json, jb jsonb, ia int[], ta text[], m mood, ma mood[], p pair, pa pair[], pos positive,
  dom_a ints, dom_p wrapped, dom_b yes, dom_t moment, r int4range, nr numrange, tr tstzrange, mr int4multirange, cash money, bi bit(3),
  vb varbit, ip inet, net cidr, mac macaddr, tv tsvector, tq tsquery, pt point, o oid, lsn pg_lsn,
  g numeric GENERATED ALWAYS AS (n * 2) STORED
);
INSERT INTO kinds (id) VALUES (1);
INSERT INTO kinds (id, i2, i8, n, n2, f4, f8, b, t, v, c, nm, ch, u, d, ti, tz, ts, tstz, ts0, iv, by, j, jb, ia, ta, m, ma, p, pa, pos,
  dom_a, dom_p, dom_b, dom_t, r, nr, tr, mr, cash, bi, vb, ip, net, mac, tv, tq, pt, o, lsn) VALUES
(2, -32768, 9223372036854775807, 1234567890123456789012345678901234567890.0000000001, 0.10, 0.1, 0.1::float8 + 0.2, true,
 E'"quoted", \\back\\ \nnew\r\n\ttab \u2028 \u0001 é 😀', '', 'ab', 'a name', 'x', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
 '0044-03-15 BC', '23:59:59.999999', '01:02:03+05:30', '0044-03-15 12:00:00 BC', '0044-03-15 12:00:00+00 BC', '2024-02-29 23:59:59.7',
 '1 year -2 mons 3 days -04:05:06.789', '\x00ff22', E'{"a":\n [1.10, 1e400]}', '{"a": 12345678901234567890.12345}', '{1,NULL,-3}',
 E'{"","a,\\"b",NULL,"nu\nll"}', 'not "ok"', '{ok,über}', '(1.50,"a ""b"", c")', ARRAY['(1,x)'::pair, NULL], 7, '{1,2}', '(2.0,)', false,
 '2024-01-01 00:00:00+02', '[1,5)', '(,2.50]', '["2024-01-01 00:00:00+00",infinity)', '{[1,2),[5,8)}', '-1234.50', B'101',
 B'10', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', 'a:1 ''b c'':2', 'a & !b', '(1.5,-2)', 4294967295, '16/B374D848'),
(3, 0, -9223372036854775808, 'NaN', -0.00, 'NaN', '-Infinity', false, '', '\.', '', '', '', '00000000-0000-0000-0000-000000000000',
 'infinity', '00:00', '00:00+00', 'infinity', '-infinity', '294276-12-31 23:59:59', '00:00', '', 'null', 'null', '{}', '{}', 'ok', '{}', '(,)',
 '{}', 1, '{}', '(,)', NULL, '99999-12-31 23:59:59.999999+00', 'empty', 'empty', 'empty', '{}', '0', B'000', '', '::1', '::/0',
 'ff:ff:ff:ff:ff:ff', '', '', '(1e300,NaN)', 0, '0/0'),
(4, 1, 1, 'Infinity', 99999.99, '-Infinity', 'NaN', NULL, 'NaN', 'NULL', 'a b', 'x', NULL, NULL, '5874897-12-31', NULL, NULL,
 '294276-12-31 23:59:59.999999', '4713-01-01 00:00:00+00 BC', NULL, '-178000000 years', '\xdeadbeef', '"a\u2028\\n"',
 '"\u2028"', '{{1,2},{3,4}}', '{NULL}', NULL, '{NULL}', NULL, NULL, NULL, '{{1},{2}}', NULL, true, '-infinity', NULL, NULL, NULL, NULL,
 '92233720368547758.07', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(5, 1, 1, 1e-30, 0, 1e-45, 5e-324, true, E'\x7f', ' lead and trail ', 'é', 'é', 'y', NULL, '2024-12-31', '12:00:00.100', '12:00:00.1-08',
 '1999-12-31 23:59:59.10', '1999-12-31 23:59:59.123456-08', NULL, '1 day', '\x5c', '{"k":"v","k":1}', '{"z":1,"a":[]}', '[2:3]={5,6}', '{a b}',
 'über', '{"not \"ok\""}', '(NaN,é)', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
 NULL, NULL, NULL, NULL, NULL);
"""


@pytest.fixture
def database(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@contextmanager
def reading(url: str, snapshot: str | None = None, **settings: float) -> Iterator[Session]:
    session = postgresql.connect(url, "of a test", **settings)
    try:
        session.begin(snapshot)
        yield session
    finally:
        session.close()


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
        "CREATE TABLE notes AS SELECT i AS id, repeat(E'a \"word\",\\n', 1 + i * 37 % 900) AS note FROM generate_series(1, 6000) i"
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


def test_a_session_is_set_up_the_same_whatever_the_role_prefers(postgres_url: str, database: Any) -> None:
    name = database.info.dbname
    for setting, value in {
        "TimeZone": "Asia/Kathmandu",
        "DateStyle": "SQL, DMY",
        "IntervalStyle": "iso_8601",
        "bytea_output": "escape",
        "extra_float_digits": "-15",
        "row_security": "on",
        "default_transaction_isolation": "serializable",
        "idle_in_transaction_session_timeout": "1s",
        "statement_timeout": "1s",
        "standard_conforming_strings": "off",
    }.items():
        database.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(name), sql.Identifier(setting), value
            )
        )
    wanted = {
        "timezone": "UTC",
        "datestyle": "ISO, YMD",
        "intervalstyle": "postgres",
        "bytea_output": "hex",
        "extra_float_digits": "1",
        "row_security": "off",
        "default_transaction_read_only": "on",
        "client_connection_check_interval": "1s",
        "transaction_isolation": "repeatable read",
        "statement_timeout": "0",
        "transaction_read_only": "on",
        "idle_in_transaction_session_timeout": "0",
        "standard_conforming_strings": "on",
        "client_encoding": "UTF8",
    }
    session = postgresql.connect(postgres_url, "0" * 80)
    try:
        session.begin()
        found = dict(session._wire.fetch("SELECT lower(name), current_setting(name) FROM pg_settings"))
        assert {name: found.get(name) for name in wanted} == wanted
        assert found["application_name"] == ("outhaul " + "0" * 80)[:63]
    finally:
        session.close()


def test_a_session_cannot_write(postgres_url: str, database: Any) -> None:
    database.execute("CREATE TABLE plain (id int)")
    session = postgresql.connect(postgres_url, "x")
    try:
        with pytest.raises(SourceError, match="read-only"):
            session._wire.execute("INSERT INTO plain VALUES (1)")
    finally:
        session.close()


def test_sessions_share_an_instant_until_its_holder_ends(postgres_url: str, database: Any) -> None:
    database.execute(
        "CREATE TABLE plain (id int PRIMARY KEY); INSERT INTO plain SELECT generate_series(1, 10)"
    )
    plain = selection(postgresql.reflect(postgres_url), "plain")
    with reading(postgres_url) as keeper:
        name = keeper.share()
        database.execute("DELETE FROM plain WHERE id > 3; INSERT INTO plain VALUES (99)")
        with reading(postgres_url, name) as other:
            assert other.count(plain) == {"": 10}
            assert len(rows(other.read(plain, EVERYTHING, "json"))) == 10
            other.end()
            assert other.count(plain) == {"": 4}
    for gone in (name, "00000003-0000001B-1", "'; DROP TABLE plain; --"):
        with pytest.raises(SnapshotLost), reading(postgres_url, gone):
            pass
    assert database.execute("SELECT count(*) FROM plain").fetchone() == (4,)


def test_a_bounded_count_gives_up_in_time(postgres_url: str, database: Any) -> None:
    database.execute("CREATE TABLE plain AS SELECT i AS id FROM generate_series(1, 100) i")
    database.execute("CREATE VIEW slow AS SELECT id FROM plain WHERE pg_sleep(0.2) IS NOT NULL")
    catalog = postgresql.reflect(postgres_url)
    assert postgresql.count(postgres_url, selection(catalog, "plain"), 5) == 100
    began = time.monotonic()
    assert postgresql.count(postgres_url, selection(catalog, "slow"), 0.5) is None
    assert time.monotonic() - began < 3


def test_cancel_ends_a_statement_from_another_thread(postgres_url: str, database: Any) -> None:
    database.execute(
        "CREATE VIEW endless AS SELECT i AS id, pg_sleep(0.001)::text AS s FROM generate_series(1, 1000000) i"
    )
    endless = selection(postgresql.reflect(postgres_url), "endless")
    for act in (
        lambda session: session.count(endless),
        lambda session: rows(session.read(endless, EVERYTHING, "csv")),
    ):
        with reading(postgres_url) as session:
            timer = threading.Timer(0.3, session.cancel)
            timer.start()
            began = time.monotonic()
            with pytest.raises(SourceAway):
                act(session)
            assert time.monotonic() - began < 1.3
            with pytest.raises(SourceAway):
                session.ping()
        _wait_until_gone(database)


def _wait_until_gone(database: Any) -> None:
    deadline = time.monotonic() + 5
    running = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'outhaul %' AND datname = current_database()"
    while database.execute(running).fetchone()[0]:
        assert time.monotonic() < deadline, "the statement still runs"
        time.sleep(0.02)


def test_a_closed_session_leaves_nothing_running(postgres_url: str, database: Any) -> None:
    database.execute(
        "CREATE VIEW wide AS SELECT i AS id, repeat('x', 1000) AS t FROM generate_series(1, 100000000) i"
    )
    wide = selection(postgresql.reflect(postgres_url), "wide")
    session = postgresql.connect(postgres_url, "x")
    session.begin()
    stream = next(session.read(wide, EVERYTHING, "csv"))
    assert next(stream.blocks).rows > 0
    session.close()
    _wait_until_gone(database)


def test_a_source_that_is_cut_in_mid_stream_is_away(postgres_url: str, database: Any) -> None:
    database.execute(
        "CREATE VIEW wide AS SELECT i AS id, repeat('x', 1000) AS t FROM generate_series(1, 100000000) i"
    )
    wide = selection(postgresql.reflect(postgres_url), "wide")
    with reading(postgres_url) as session:
        stream = next(session.read(wide, EVERYTHING, "csv"))
        next(stream.blocks)
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'outhaul %'"
        )
        with pytest.raises(SourceAway):
            list(stream.blocks)


def test_a_source_that_is_not_there_is_away() -> None:
    with pytest.raises(SourceAway, match="cannot be reached"):
        postgresql.connect("postgresql://nobody:hunter2@127.0.0.1:1/x", "x")
    with pytest.raises(SourceAway) as caught:
        postgresql.count("postgresql://nobody:hunter2@127.0.0.1:1/x", selection_of_nothing(), 1)
    assert "hunter2" not in str(caught.value)


def selection_of_nothing() -> Any:
    from outhaul.filters import EVERYTHING as ALL_ROWS
    from outhaul.plan import Node

    return Node("", "t", None, "t", "table", False, (), (), (), ALL_ROWS)


def test_timeouts_and_locks_are_said_in_words(postgres_url: str, database: Any) -> None:
    database.execute("CREATE TABLE plain (id int PRIMARY KEY)")
    database.execute("CREATE VIEW slow AS SELECT 1 AS id, pg_sleep(10)::text AS s")
    catalog = postgresql.reflect(postgres_url)
    with reading(postgres_url, statement_seconds=0.3) as session, pytest.raises(SourceTimeout):
        (
            session.count(selection(catalog, "slow")),
            rows(session.read(selection(catalog, "slow"), EVERYTHING, "csv")),
        )
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE plain IN ACCESS EXCLUSIVE MODE")
        with reading(postgres_url, lock_seconds=0.2) as session, pytest.raises(SourceBusy):
            session.count(selection(catalog, "plain"))


@pytest.fixture
def guest(postgres_url: str, database: Any) -> Iterator[str]:
    """The URL of a role that may do nothing yet but connect."""
    name = f"guest_{database.info.dbname[-12:]}"
    database.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
    yield postgres_url.replace("postgres@", f"{name}:x@", 1)
    database.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def test_connect_usage_and_select_are_enough(postgres_url: str, database: Any, guest: str) -> None:
    role = guest.split("//")[1].split(":", maxsplit=1)[0]
    database.execute("REVOKE ALL ON SCHEMA public FROM public; CREATE SCHEMA shop")
    database.execute(
        "CREATE TABLE shop.a (id int PRIMARY KEY); CREATE TABLE shop.b (id int PRIMARY KEY, a_id int REFERENCES shop.a)"
    )
    database.execute(
        "INSERT INTO shop.a VALUES (1); INSERT INTO shop.b SELECT i, 1 FROM generate_series(1, 3000) i"
    )
    tree = selection(postgresql.reflect(postgres_url), "b", "a", "a.bs")
    with reading(guest) as session, pytest.raises(SourceForbids) as caught:
        session.count(tree)
    assert f"GRANT USAGE ON SCHEMA shop TO {role};" in caught.value.hint
    assert f"GRANT SELECT ON shop.a, shop.b TO {role};" in caught.value.hint
    database.execute(f"GRANT USAGE ON SCHEMA shop TO {role}; GRANT SELECT ON shop.b TO {role}")
    with reading(guest) as session, pytest.raises(SourceForbids) as caught:
        rows(session.read(tree, EVERYTHING, "json"))
    assert caught.value.hint == f"As the owner: GRANT SELECT ON shop.a TO {role};"
    database.execute(f"GRANT SELECT ON shop.a TO {role}")
    before = postgresql.connect(guest, "x")
    try:
        fingerprints = before.tables(plan("postgresql", tree))
        before.begin()
        postgresql.check(fingerprints, before.tables(plan("postgresql", tree)))
        assert before.count(tree) == {"": 3000, "a.bs": 9_000_000}
        assert before.split(tree, 10_000_000)
        before.share()
    finally:
        before.close()


def test_row_level_security_is_an_error_and_never_a_filter(
    postgres_url: str, database: Any, guest: str
) -> None:
    role = guest.split("//")[1].split(":", maxsplit=1)[0]
    database.execute("CREATE TABLE secret (id int PRIMARY KEY); INSERT INTO secret VALUES (1), (2)")
    database.execute("ALTER TABLE secret ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON secret USING (id = 1)")
    database.execute(f"GRANT USAGE ON SCHEMA public TO {role}; GRANT SELECT ON secret TO {role}")
    secret = selection(postgresql.reflect(postgres_url), "secret")
    for act in (lambda s: s.count(secret), lambda s: rows(s.read(secret, EVERYTHING, "csv"))):
        with reading(guest) as session, pytest.raises(SourceForbids, match="Row-level security") as caught:
            act(session)
        assert "public.secret" in str(caught.value)
        assert f"ALTER ROLE {role} BYPASSRLS" in caught.value.hint


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
            connection.execute("""INSERT INTO "é".x VALUES (1)""") if False else None
            connection.execute(
                r"""UPDATE "{}" SET "{}" = 'caf' || chr(233) WHERE id = 2345""".format(
                    *_as_latin("é", "naïve")
                )
            )
        for style in ("csv", "json"):
            with reading(url) as session, pytest.raises(UnreadableValue) as caught:
                rows(session.read(tree, EVERYTHING, style)) if style == "json" else [
                    block for stream in session.read(tree, EVERYTHING, "csv") for block in stream.blocks
                ]
            assert "public.é: naïve of the row with key 2345" in str(caught.value)


def _as_latin(*names: str) -> list[str]:
    return [name.encode().decode("latin-1") for name in names]


def test_parents_with_heavy_children_shrink_the_runs(
    postgres_url: str, database: Any, monkeypatch: Any
) -> None:
    database.execute("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 3000)")
    database.execute("CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a, t text)")
    database.execute("INSERT INTO b SELECT i, i, repeat('x', 20000) FROM generate_series(1, 3000) i")
    tree = selection(postgresql.reflect(postgres_url), "a", "bs")
    sizes = []
    with reading(postgres_url) as session:
        for stream in session.read(tree, EVERYTHING, "json"):
            sizes.append(sum(block.rows for block in stream.blocks))
            assert sum(block.rows for block in stream.children[0].blocks) == sizes[-1]
    assert sum(sizes) == 3000
    assert sizes[0] == postgresql.FIRST_PARENTS
    assert all(size * 20_000 < 1.5 * postgresql.CHUNK_BYTES for size in sizes[1:])


def test_what_does_not_fit_into_memory_waits_in_an_unnamed_file(
    postgres_url: str, database: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(_spool.Spool.__init__, "__defaults__", (1000,))
    database.execute(
        "CREATE TABLE a (id int PRIMARY KEY, t text); INSERT INTO a SELECT i, repeat('y', i) FROM generate_series(1, 900) i"
    )
    for name in ("b", "c"):
        database.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, a_id int REFERENCES a)")
        database.execute(f"INSERT INTO {name} SELECT i, 1 + i % 900 FROM generate_series(1, 5000) i")
    tree = selection(postgresql.reflect(postgres_url), "a", "bs", "cs")
    with reading(postgres_url) as session:
        got = rows(session.read(tree, EVERYTHING, "json"))
    assert [len(row["t"]) for row in got] == list(range(1, 901))
    assert sum(len(row["bs"]) for row in got) == sum(len(row["cs"]) for row in got) == 5000


def test_plain_tables_are_cut_by_block_numbers_and_views_are_not(postgres_url: str, database: Any) -> None:
    database.execute(
        "CREATE TABLE big AS SELECT i AS id, repeat('x', 100) AS t FROM generate_series(1, 20000) i"
    )
    database.execute(
        "CREATE VIEW seen AS SELECT * FROM big; CREATE MATERIALIZED VIEW kept AS SELECT * FROM big"
    )
    database.execute("CREATE TABLE parent (id int) PARTITION BY RANGE (id)")
    for low, high in ((0, 10000), (10000, 10001), (10001, 30000)):
        database.execute(f"CREATE TABLE leaf_{low} PARTITION OF parent FOR VALUES FROM ({low}) TO ({high})")
    database.execute(
        "INSERT INTO parent SELECT id FROM big; CREATE TABLE heir () INHERITS (big); INSERT INTO heir VALUES (0, 'h')"
    )
    database.execute("ANALYZE")
    catalog = postgresql.reflect(postgres_url)
    with reading(postgres_url) as session:
        found = {name: session.split(selection(catalog, name), 200_000) for name in ("seen", "kept", "big")}
        assert found["seen"] == found["big"] == (Range(),)
        assert {part.by for part in found["kept"]} == {"ctid"}
        assert 8 <= len(found["kept"]) <= 14
        leaves = session.split(selection(catalog, "parent"), 20_000)
        assert list(dict.fromkeys(part.leaf for part in leaves)) == [
            f"public.leaf_{low}" for low in (0, 10000, 10001)
        ]
        for name, parts in {**found, "parent": leaves}.items():
            tree = selection(catalog, name)
            ids = [row["id"][1] for part in parts for row in rows(session.read(tree, part, "json"))]
            assert len(ids) == len(set(ids)) == session.count(tree)[""]


def test_a_selective_filter_stays_in_one_part(postgres_url: str, database: Any) -> None:
    database.execute(
        "CREATE TABLE big AS SELECT i AS id, repeat('x', 100) AS t FROM generate_series(1, 20000) i; ANALYZE"
    )
    some = filters.Test("id", Type.INTEGER, "integer", "lt", ("20",))
    catalog = postgresql.reflect(postgres_url)
    with reading(postgres_url) as session:
        assert session.split(selection(catalog, "big", where={"": some}), 200_000) == (Range(),)
        assert session.size(selection(catalog, "big", where={"": some})) < 20_000
        assert 1_500_000 < session.size(selection(catalog, "big")) < 3_500_000


def test_wide_values_out_of_line_are_part_of_the_estimate(postgres_url: str, database: Any) -> None:
    database.execute(
        "CREATE TABLE blobs (id int PRIMARY KEY, b bytea); ALTER TABLE blobs ALTER b SET STORAGE external"
    )
    database.execute(
        "INSERT INTO blobs SELECT i, decode(repeat('ab', 50000), 'hex') FROM generate_series(1, 100) i; ANALYZE"
    )
    with reading(postgres_url) as session:
        assert session.size(selection(postgresql.reflect(postgres_url), "blobs")) > 5_000_000


CHANGES = {
    "TRUNCATE a": ("rewritten", None),
    "VACUUM FULL a": ("rewritten", None),
    "CLUSTER a USING a_pkey": ("rewritten", None),
    "ALTER TABLE a ALTER t TYPE varchar(90)": ("shape", "t"),
    "ALTER TABLE a DROP t": ("shape", "t"),
    "ALTER TABLE a RENAME t TO other": ("shape", "t"),
    "ALTER TABLE a RENAME t TO x; ALTER TABLE a RENAME s TO t; ALTER TABLE a RENAME x TO s": ("shape", "t"),
    "ALTER TABLE a DROP t; ALTER TABLE a ADD t text": ("shape", "t"),
    "ALTER TABLE a ALTER at TYPE timestamp": ("shape", "at"),
    "ALTER TABLE a ADD extra int DEFAULT 5": (None, None),
    "ALTER TABLE a DROP unused": (None, None),
    "DROP TABLE a CASCADE": ("shape", None),
    "ALTER TABLE a RENAME TO z; CREATE TABLE a (LIKE z INCLUDING ALL)": ("rewritten", None),
    "CREATE OR REPLACE VIEW v AS SELECT id, s AS t FROM a": ("shape", None),
    "REFRESH MATERIALIZED VIEW m": ("rewritten", None),
    "CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (20) TO (30)": ("rewritten", None),
    "TRUNCATE p2": ("rewritten", None),
    "UPDATE a SET t = 'new'": (None, None),
}


@pytest.mark.every_postgres
@pytest.mark.parametrize("change", CHANGES)
def test_a_table_that_changes_under_an_instant_is_noticed(
    postgres_url: str, database: Any, change: str
) -> None:
    database.execute(
        "SET timezone = 'UTC'; CREATE TABLE a (id int PRIMARY KEY, t text, s text, at timestamptz, unused int)"
    )
    database.execute("INSERT INTO a VALUES (1, 't', 's', now()), (2, 'tt', 'ss', now())")
    database.execute("CREATE MATERIALIZED VIEW m AS SELECT id FROM a" if " m" in change else "SELECT 1")
    database.execute("CREATE VIEW v AS SELECT id, t FROM a" if " v " in change else "SELECT 1")
    database.execute("CREATE TABLE p (id int) PARTITION BY RANGE (id)")
    database.execute("CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (0) TO (20); INSERT INTO p VALUES (1)")
    catalog = postgresql.reflect(postgres_url)
    trees = [selection(catalog, "a", fields=["t", "s", "at"])]
    trees += [selection(catalog, name) for name in ("m", "v", "p") if name in catalog.resources]
    whole = plan("postgresql", *trees)
    with reading(postgres_url) as keeper:
        name = keeper.share()
        before = keeper.tables(whole)
        keeper.end()
        keeper.begin()
        name = keeper.share()
        with psycopg.connect(postgres_url, autocommit=True) as other:
            other.execute("SET timezone = 'UTC'")
            for statement in change.split("; "):
                other.execute(statement)
        with reading(postgres_url, name) as session:
            found = _difference(lambda: postgresql.check(before, session.tables(whole)))
    assert found == CHANGES[change]


def _difference(look: Any) -> tuple[str | None, str | None]:
    try:
        look()
    except SchemaChanged as error:
        return "rewritten" if error.facts["rewritten"] else "shape", error.facts["column"]
    return None, None
