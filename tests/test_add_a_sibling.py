"""The how-tos of a further format and a further store, followed to the letter."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

import outhaul
from tests.pages import DOCS, ROOT, Block, alone, blocks, environment, script, typed

ROWS = [{"id": 1, "note": "one"}, {"id": 2, "note": 'tw"o'}]


def pages(name: str) -> list[Block]:
    return blocks(DOCS / "howto" / name)


def clone(folder: Path) -> Mapping[str, str]:
    """What a page's lines see: a copy of the package that may be added to, and a database."""
    source = Path(outhaul.__file__).parent
    shutil.copytree(source, folder / "src" / "outhaul", ignore=shutil.ignore_patterns("__pycache__"))
    with closing(sqlite3.connect(folder / "my.db")) as connection:
        connection.executescript("""
            PRAGMA journal_mode = WAL;
            CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT);
            INSERT INTO orders VALUES (1, 'one'), (2, 'tw"o');
        """)
    return environment(folder, PYTHONPATH=str(folder / "src"))


def suited(folder: Path, surroundings: Mapping[str, str], table: str, line: Block, command: Block) -> str:
    """The suite of the kind with the page's line in its table, run as the page says."""
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (name,) = (word for word in command.text.split() if word.endswith(".py"))
    suite = folder / name
    head, opened, rest = suite.read_text().partition(f"\n{table}: ")
    assert opened
    before, brace, after = rest.partition("= {")
    suite.write_text(f"{head}{opened}{before}{brace}\n{line.text}{after}")
    return typed(command.text, folder, surroundings)


def test_the_format_of_the_page_is_written_and_proven(tmp_path: Path) -> None:
    surroundings = clone(tmp_path)
    code, run, *_ = pages("add-a-format.md")
    (tmp_path / code.file).write_text(code.text)
    said = typed(run.text, tmp_path, surroundings)
    assert [json.loads(line) for line in said.splitlines() if line.startswith("{")] == ROWS
    assert len((tmp_path / "out" / "orders.jsonl").read_text().splitlines()) == 2


@pytest.mark.heavy
def test_the_format_of_the_page_keeps_what_every_format_promises(tmp_path: Path) -> None:
    surroundings = clone(tmp_path)
    code, _, reader, command = pages("add-a-format.md")
    (tmp_path / code.file).write_text(code.text)
    assert " passed" in suited(tmp_path, surroundings, "READERS", reader, command)


@pytest.mark.heavy
def test_the_store_of_the_page_keeps_what_every_store_promises(tmp_path: Path) -> None:
    surroundings = clone(tmp_path)
    code, _, _, place, command = pages("add-a-store.md")
    (tmp_path / code.file).write_text(code.text)
    assert " passed" in suited(tmp_path, surroundings, "PLACES", place, command)


@pytest.mark.heavy
def test_the_store_of_the_page_serves_what_was_exported(tmp_path: Path) -> None:
    surroundings = clone(tmp_path)
    code, serve, ask, *_ = pages("add-a-store.md")
    (tmp_path / code.file).write_text(code.text)
    with alone("8352"):
        typed(script([serve, ask], 8352), tmp_path, surroundings)
    (file,) = (tmp_path / "out").glob("orders*.json.gz")
    assert json.loads(gzip.decompress(file.read_bytes())) == ROWS
    with closing(sqlite3.connect(tmp_path / "objects.db")) as store:
        assert store.execute("SELECT count(*) FROM pieces WHERE key LIKE '%.part'").fetchone() == (0,)
        assert store.execute("SELECT count(*) > 0 FROM pieces").fetchone() == (1,)
