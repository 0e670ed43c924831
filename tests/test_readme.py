"""The README and the quickstart do what they say: their lines are run as they are typed."""

from __future__ import annotations

import gzip
import json
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests import oracle
from tests.pages import DOCS, ROOT, Block, alone, blocks, environment, script, typed
from tests.postgres import Server

README, QUICKSTART = ROOT / "README.md", DOCS / "quickstart.md"
DEMO, OWN, SANDBOX, ASKED = blocks(README)
GET, SQLITE, POSTGRESQL, SERVE, CLIENT, CURL = blocks(QUICKSTART)
MADE_BY_MAKE = {"make demo", "make test", "make setup"}
LIMIT = 180  # seconds from `git clone` to a first file
SCHEMA = """
CREATE TABLE customers (id integer PRIMARY KEY, name text);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers (id), total numeric(10,2));
INSERT INTO customers VALUES (1, 'Ada'), (2, 'Grace');
INSERT INTO orders VALUES (10, 1, 9.90), (11, 2, 0.10), (12, 1, 100.00);
"""
ORDERS = [(10, 1), (11, 2), (12, 1)]


def fill(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.executescript(f"PRAGMA journal_mode = WAL; {SCHEMA}")
    connection.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that looks like a clone: the environment, and somebody's database."""
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    fill(tmp_path / "my.db")
    return tmp_path


@pytest.fixture
def port_of_postgres(postgres_server: Server) -> Iterator[str]:
    """PostgreSQL as the quickstart's address names it, with a role that may only read."""
    with alone("shop"), postgres_server.database("shop") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SCHEMA.encode())
            connection.execute("CREATE ROLE reader LOGIN")
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        yield str(urlsplit(url).port)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY reader")
            connection.execute("DROP ROLE reader")


def of_csv(file: Path) -> list[tuple[int, int]]:
    return [(int(row["id"]), json.loads(row["customer"])["id"]) for row in oracle.read(file)]


def of_json(folder: Path) -> list[tuple[int, int]]:
    (file,) = folder.glob("*.json.gz")
    return [(row["id"], row["customer"]["id"]) for row in json.loads(gzip.decompress(file.read_bytes()))]


def answers(text: str) -> list[dict[str, Any]]:
    """Documents of JSON, one behind the other."""
    found = []
    while text := text.strip():
        one, end = json.JSONDecoder().raw_decode(text)
        found.append(one)
        text = text[end:]
    return found


def test_one_can_export_without_a_service(place: Path) -> None:
    setup, *lines = OWN.lines
    assert setup == "make setup"
    typed(script([Block("sh", "\n".join(lines))]), place, environment(place))
    assert of_csv(place / "exported" / "orders.csv") == ORDERS


def test_one_can_ask_in_three_dialects(place: Path) -> None:
    with alone():
        said = typed(script([SANDBOX, ASKED]), place, environment(place))
    created, profiles, organization = answers(said)
    assert created["data"]["attributes"]["resource_type"] == "orders"
    assert profiles["id"].startswith("export_")
    assert organization["status"] == "pending"


def test_one_can_serve_ask_follow_download_and_verify(place: Path) -> None:
    with alone():
        said = typed(script([SQLITE, SERVE, CLIENT, CURL]), place, environment(place))
    assert of_csv(place / "first" / "orders.csv") == ORDERS
    assert of_json(place / "third") == of_json(place / "fourth") == ORDERS
    assert "http://127.0.0.1:8350/console/" in said


@pytest.mark.heavy
def test_one_can_export_and_serve_a_database_of_postgresql(place: Path, port_of_postgres: str) -> None:
    (line,) = SERVE.lines
    (address,) = re.findall(r"export (postgresql\S+)", POSTGRESQL.text)
    served = Block("sh", line.replace("sqlite:///my.db", address))
    assert served != SERVE
    with alone():
        typed(script([POSTGRESQL, served, CLIENT, CURL]), place, environment(place, PGPORT=port_of_postgres))
    assert of_csv(place / "second" / "orders.csv") == ORDERS
    assert of_json(place / "third") == of_json(place / "fourth") == ORDERS


def test_the_readme_is_one_page_and_its_links_lead_somewhere() -> None:
    assert len(README.read_text().splitlines()) <= 90
    for page in (README, ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_picture_is_small() -> None:
    for picture in (DOCS / "images").iterdir():
        assert picture.stat().st_size <= 100_000


@pytest.mark.parametrize("line", sorted(MADE_BY_MAKE))
def test_make_knows_its_commands(line: str) -> None:
    assert line in {one for block in (DEMO, OWN, GET) for one in block.lines}
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


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_from_a_clone_to_a_first_file_it_is_three_minutes(tmp_path: Path, port_of_postgres: str) -> None:
    """Each kind of database alone, from nothing; what packages are brought from is as fast as it is."""
    clone, *rest = GET.lines
    address = clone.split()[-1]
    for name, block, folder in (("sqlite", SQLITE, "first"), ("postgresql", POSTGRESQL, "second")):
        place = tmp_path / name
        place.mkdir()
        fill(place / "my.db")
        lines = [
            clone.replace(address, f"{ROOT} outhaul"),
            *rest[:1],
            "mv ../my.db .",
            *rest[1:],
            *block.lines,
        ]
        began = time.monotonic()
        typed(script([Block("sh", "\n".join(lines))]), place, environment(place, PGPORT=port_of_postgres))
        took = time.monotonic() - began
        print(f"{name}: {took:.0f} s")
        assert of_csv(place / "outhaul" / folder / "orders.csv") == ORDERS
        assert took < LIMIT
