"""The README does what it says: its lines are run as they are typed."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from tests import oracle
from tests.postgres import Server

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = [block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)]
MADE_BY_MAKE = {"make demo", "make test", "make setup"}
SERVE = [line for block in BLOCKS for line in block if " serve " in line]
EXPORT = [line for block in BLOCKS for line in block if " export " in line]
PATIENCE = 30.0
SCHEMA = """
CREATE TABLE customers (id integer PRIMARY KEY, name text);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers (id), total numeric(10,2));
INSERT INTO customers VALUES (1, 'Ada'), (2, 'Grace');
INSERT INTO orders VALUES (10, 1, 9.90), (11, 2, 0.10), (12, 1, 100.00);
"""
ORDERS = [(10, 1), (11, 2), (12, 1)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that looks like a clone: the environment, and somebody's database."""
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    with sqlite3.connect(tmp_path / "my.db") as connection:
        connection.executescript(f"PRAGMA journal_mode = WAL; {SCHEMA}")
    connection.close()
    return tmp_path


@pytest.fixture
def environment(postgres_server: Server) -> Iterator[dict[str, str]]:
    """PostgreSQL as the README's URL names it, with a role that may only read."""
    with postgres_server.database("shop") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SCHEMA.encode())
            connection.execute("CREATE ROLE reader LOGIN")
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OUTHAUL_", "PG"))}
        yield kept | {"PGPORT": str(urlsplit(url).port), "OUTHAUL_MIN_FREE": "1"}
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY reader")
            connection.execute("DROP ROLE reader")


@contextmanager
def served(line: str, place: Path, environment: dict[str, str]) -> Iterator[None]:
    """The line running in a terminal of its own, as soon as it answers."""
    with (place / "serve.log").open("w") as log:
        service = subprocess.Popen(
            ["bash", "-c", f"exec {line}"],
            cwd=place,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not _answers():
            assert service.poll() is None, (place / "serve.log").read_text()
            assert time.monotonic() < deadline, (place / "serve.log").read_text()
            time.sleep(0.05)
        yield
    finally:
        service.send_signal(signal.SIGINT)
        service.wait(PATIENCE)


def _answers() -> bool:
    try:
        return httpx.get("http://127.0.0.1:8350/api/exports", trust_env=False).status_code == 401
    except httpx.HTTPError:
        return False


def typed(lines: list[str], place: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_line_of_the_readme_is_left_out_here() -> None:
    assert len(BLOCKS) == 7
    assert {line for block in BLOCKS for line in block if line.startswith("make")} == MADE_BY_MAKE
    assert [line.rsplit(" ", 1)[1] for line in SERVE] == [
        "sqlite:///my.db",
        "postgresql://reader@localhost/shop",
    ]
    assert len(EXPORT) == 1


def test_one_can_serve_a_database_of_postgresql(place: Path, environment: dict[str, str]) -> None:
    with served(SERVE[1], place, environment):
        assert "2 resources of postgresql" in (place / "serve.log").read_text()


@pytest.mark.parametrize("line", [SERVE[0], pytest.param(SERVE[1], marks=pytest.mark.heavy)])
def test_one_can_serve_ask_follow_download_and_verify(
    line: str, place: Path, environment: dict[str, str]
) -> None:
    asking = [each for block in BLOCKS[3:6] for each in block]
    with served(line, place, environment):
        typed(asking, place, environment)
    (file,) = place.glob("orders/*.json.gz")
    rows = json.loads(gzip.decompress(file.read_bytes()))
    assert [(row["id"], row["customer"]["id"]) for row in rows] == ORDERS
    (other,) = place.glob("customers/*.json.gz")
    assert [row["name"] for row in json.loads(gzip.decompress(other.read_bytes()))] == ["Ada", "Grace"]


def test_one_can_export_without_a_service(place: Path, environment: dict[str, str]) -> None:
    typed(BLOCKS[6], place, environment)
    rows = oracle.read(place / "exported" / "orders.csv")
    assert [(row["id"], json.loads(row["customer"])["id"]) for row in rows] == [
        (str(here), there) for here, there in ORDERS
    ]


def test_the_readme_is_one_page_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) <= 90
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("line", sorted(MADE_BY_MAKE))
def test_make_knows_its_commands(line: str) -> None:
    subprocess.run([*line.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_the_demo_runs_in_a_fresh_clone_and_writes_nothing_outside(tmp_path: Path) -> None:
    clone, temporary = tmp_path / "clone", tmp_path / "tmp"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    temporary.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTHAUL_")}
    done = subprocess.run(
        ["make", "demo"],
        cwd=clone,
        env=kept | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1,469,307" in done.stdout
    assert list(temporary.iterdir()) == []
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, check=True, capture_output=True)
    assert status.stdout == b""
