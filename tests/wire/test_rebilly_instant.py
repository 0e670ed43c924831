"""Organization exports while money moves between resources of two types: every total is right, in every file."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from tests.organizations import Organization
from tests.served import put_together, served, until

ROWS, EACH = 400, 100
TABLES = """
CREATE TABLE invoices (id integer PRIMARY KEY, owner text NOT NULL, amount integer NOT NULL);
CREATE TABLE credit_memos (id integer PRIMARY KEY, owner text NOT NULL, amount integer NOT NULL)
"""
MOVE = "UPDATE {} SET amount = amount + {} WHERE id = {}"
CATALOG = """
rebilly.types = { invoices = "invoices", credit-memos = "credit_memos" }
resources = { invoices = { tenant = "owner" }, credit_memos = { tenant = "owner" } }
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/shop.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    rows = [f"({n}, 'acme', {EACH})" for n in range(ROWS)]
    filled = [f"INSERT INTO {table} VALUES {', '.join(rows)}" for table in ("invoices", "credit_memos")]
    with connected(url) as run:
        run(*TABLES.split(";"), *filled)
    return url


@contextmanager
def connected(url: str) -> Iterator[Callable[..., None]]:
    """Runs statements, those of a call in one transaction."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as lite:
            lite.execute("PRAGMA journal_mode = WAL")
            lite.execute("PRAGMA synchronous = OFF")

            def both(*statements: str) -> None:
                for one in ("BEGIN IMMEDIATE", *statements, "COMMIT"):
                    lite.execute(one)

            yield both
        return
    with psycopg.connect(url, autocommit=True) as connection:

        def each(*statements: str) -> None:
            with connection.transaction():
                for one in statements:
                    connection.execute(one.encode())

        yield each


@contextmanager
def moving(url: str) -> Iterator[list[int]]:
    """Money moves all the while between an invoice and a credit memo; gives what was moved each time."""
    over, moved, chance = threading.Event(), [], Random(1)

    def move() -> None:
        with connected(url) as run:
            while not over.is_set():
                amount, one, other = chance.randint(-50, 50), chance.randrange(ROWS), chance.randrange(ROWS)
                run(MOVE.format("invoices", amount, one), MOVE.format("credit_memos", -amount, other))
                moved.append(amount)
                over.wait(0.002)  # the exports need a core, too

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield moved
    finally:
        over.set()
        thread.join()


def read(name: str, data: bytes) -> list[int]:
    if name.endswith(".json"):
        return [row["amount"] for row in json.loads(data)]
    return [int(row["amount"]) for row in csv.DictReader(io.StringIO(data.decode()))]


@pytest.mark.heavy
def test_every_total_is_right_while_money_moves_between_two_types(url: str, tmp_path: Path) -> None:
    (tmp_path / "catalog.toml").write_text(CATALOG)
    flags: dict[str, Any] = {"catalog": tmp_path / "catalog.toml", "part_bytes": 2_000, "workers": 2}
    seen = set()
    with put_together(url, tmp_path / "state", **flags) as outhaul, served(outhaul) as client:
        organization = Organization(outhaul, client, tenant="acme")
        with moving(url) as moved:
            until(lambda: len(moved) > 5, "money moves")
            for _ in range(2):
                before = len(moved)
                made = organization.finished()
                assert len(moved) > before, "it moved while the export was made"
                data = organization.call("GET", f"/files/{made['fileId']}/download").content
                with zipfile.ZipFile(io.BytesIO(data)) as found:
                    for form in ("json", "csv"):
                        names = (f"invoices.{form}", f"credit-memos.{form}")
                        amounts = [read(name, found.read(name)) for name in names]
                        assert [len(one) for one in amounts] == [ROWS, ROWS]
                        assert sum(map(sum, amounts)) == 2 * ROWS * EACH
                        seen.add(sum(amounts[0]))
        assert len(seen) > 1, "each export was of another instant"
        assert outhaul.ledger.list()[0][0].parts > 4
