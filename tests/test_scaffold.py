"""What all other tests stand on: servers, fixtures and the wheel."""

from __future__ import annotations

import subprocess

import psycopg
import pytest

from tests.postgres import Server


@pytest.mark.every_postgres
def test_every_postgres_answers_under_its_own_version(
    postgres_server: Server, postgres_url: str, psql: str
) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.info.server_version // 10000 == postgres_server.major
    asked = [psql, "-X", "-At", "-c", "SHOW server_version_num", postgres_url]
    answer = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert int(answer.stdout) // 10000 == postgres_server.major


def test_a_fresh_database_is_empty_and_knows_accents(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchone() == (0,)
        assert connection.execute("SELECT lower('ÉÑ'), current_setting('server_encoding')").fetchone() == (
            "éñ",
            "UTF8",
        )


@pytest.mark.every_postgres
def test_an_own_server_comes_back_after_a_kill(own_postgres: Server) -> None:
    with psycopg.connect(own_postgres.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        own_postgres.stop("kill")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    own_postgres.start()
    with psycopg.connect(own_postgres.url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
