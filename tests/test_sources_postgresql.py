"""PostgreSQL as a source: sessions, rights, limits and what is said when something fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from outhaul.errors import (
    SnapshotLost,
    SourceAway,
    SourceBusy,
    SourceError,
    SourceForbids,
    SourceTimeout,
)
from outhaul.sources import postgresql
from tests.postgres_reading import EVERYTHING, connected, reading
from tests.selections import plan, selection
from tests.slow_reader import rows


@pytest.fixture
def database(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    yield from connected(postgres_url)


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
        "statement_timeout": "1s",
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
    assert postgresql.count(postgres_url, selection(catalog, "slow"), 0.5) is None


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
            with pytest.raises(SourceAway):
                act(session)
            with pytest.raises(SourceAway):
                session.ping()
        _wait_until_gone(database)


def _wait_until_gone(database: Any) -> None:
    deadline = time.monotonic() + 20
    ours = "application_name LIKE 'outhaul %' AND datname = current_database()"
    running = f"SELECT count(*) FROM pg_stat_activity WHERE {ours}"
    while database.execute(running).fetchone()[0]:
        assert time.monotonic() < deadline, "the statement still runs"
        time.sleep(0.02)


def test_a_closed_session_leaves_nothing_running(postgres_url: str, database: Any) -> None:
    database.execute("CREATE VIEW wide AS SELECT generate_series(1, 100000000) AS id, repeat('x', 1000) AS t")
    wide = selection(postgresql.reflect(postgres_url), "wide")
    session = postgresql.connect(postgres_url, "x")
    session.begin()
    stream = next(session.read(wide, EVERYTHING, "csv"))
    assert next(stream.blocks).rows > 0
    session.close()
    _wait_until_gone(database)


def test_a_source_that_is_cut_in_mid_stream_is_away(postgres_url: str, database: Any) -> None:
    database.execute("CREATE VIEW wide AS SELECT generate_series(1, 100000000) AS id, repeat('x', 1000) AS t")
    wide = selection(postgresql.reflect(postgres_url), "wide")
    with reading(postgres_url) as session:
        stream = next(session.read(wide, EVERYTHING, "csv"))
        next(stream.blocks)
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'outhaul %' AND datname = current_database()"
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
