"""What all other tests stand on: servers, fixtures and the wheel."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import psycopg
import pytest

from tests.postgres import Server

ROOT = Path(__file__).parent.parent
UV = ROOT / "scripts" / "uv"


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """What a command printed; its environment knows nothing of this one."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("OUTHAUL", "PYTHON"))
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(UV, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder)
    (found,) = folder.glob("outhaul-*.whl")
    return found


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    listed = run("git", "ls-files", "src/outhaul").split()
    assert {name.removeprefix("src/") for name in listed} <= set(ZipFile(wheel).namelist())


def test_the_wheel_exports_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    python, outhaul = tmp_path / "venv/bin/python", tmp_path / "venv/bin/outhaul"
    run(UV, "venv", "--python", sys.executable, tmp_path / "venv")
    run(UV, "pip", "sync", "--python", python, "--require-hashes", ROOT / "requirements.lock")
    run(UV, "pip", "install", "--python", python, "--no-deps", wheel)
    assert "export" in run(outhaul, "--help", cwd=tmp_path)
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE skus (id INTEGER PRIMARY KEY, name TEXT)")
        shop.execute("INSERT INTO skus VALUES (1, 'Tea, green'), (2, NULL)")
    shop.close()
    given = ("sqlite:///shop.db", "skus", "--format", "csv", "--output", "out")
    run(outhaul, "export", *given, cwd=tmp_path)
    assert (tmp_path / "out" / "skus.csv").read_bytes() == b'id,name\n1,"Tea, green"\n2,\n'
    assert (tmp_path / "out" / "manifest.json").exists()


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
