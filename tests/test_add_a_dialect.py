"""The how-to of a further dialect, followed to the letter."""

from __future__ import annotations

import csv
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

import outhaul

PAGE = (Path(__file__).parent.parent / "docs" / "howto" / "add-a-dialect.md").read_text()
(CODE,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SERVE, ASK = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(FILE,) = re.findall(r"^`src/(outhaul/dialects/\w+\.py)`:$", PAGE, re.MULTILINE)
HERE = "http://127.0.0.1:8351/plain/exports"
PATIENCE = 30.0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the one file more, `outhaul` on it, and a database."""
    folder = tmp_path_factory.mktemp("fourth")
    source = Path(outhaul.__file__).parent
    shutil.copytree(source, folder / "src" / "outhaul", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "src" / FILE).write_text(CODE)
    program = folder / "bin" / "outhaul"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m outhaul.cli "$@"\n')
    program.chmod(0o755)
    with closing(sqlite3.connect(folder / "my.db")) as connection:
        connection.executescript("""
            PRAGMA journal_mode = WAL;
            CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT);
            INSERT INTO orders VALUES (1, 'one'), (2, 'tw"o');
        """)
    return folder


@pytest.fixture(scope="module")
def environment(place: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OUTHAUL_", "PG"))}
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "PYTHONPATH": str(place / "src"), "OUTHAUL_MIN_FREE": "1"}


@pytest.fixture(scope="module")
def service(place: Path, environment: dict[str, str]) -> Iterator[None]:
    with (place / "serve.log").open("w") as log:
        running = subprocess.Popen(
            ["bash", "-c", f"exec {SERVE}"], cwd=place, env=environment, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while _status() != 401:
            assert running.poll() is None, (place / "serve.log").read_text()
            assert time.monotonic() < deadline, (place / "serve.log").read_text()
            time.sleep(0.05)
        yield
    finally:
        running.terminate()
        running.wait(PATIENCE)


def _status(**more: str) -> int:
    try:
        return httpx.get(f"{HERE}/x", headers=more, trust_env=False).status_code
    except httpx.HTTPError:
        return 0


@pytest.mark.usefixtures("service")
def test_the_lines_of_the_page_end_with_the_rows_of_the_table(
    place: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", ASK],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = list(csv.reader((place / "orders.csv").read_text().splitlines()))
    assert rows == [["id", "note"], ["1", "one"], ["2", 'tw"o']]


@pytest.mark.usefixtures("service")
def test_the_fourth_dialect_refuses_in_its_own_form(place: Path, environment: dict[str, str]) -> None:
    made = subprocess.run(
        ["outhaul", "token", "create", "--all-tenants"],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
    for body, status, word in (
        ("{", 400, "JSON"),
        ('{"resource": "orders", "odd": "x"}', 400, "odd"),
        ('{"resource": "customers"}', 422, "customers"),
        ('{"resource": "orders", "format": "odd"}', 422, "odd"),
    ):
        answer = httpx.post(HERE, content=body, headers=headers, trust_env=False)
        assert (answer.status_code, word in answer.text) == (status, True), answer.text
    assert _status() == 401
    assert _status(**headers) == 404
