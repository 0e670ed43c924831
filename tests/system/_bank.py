"""A bank whose money moves all the time: `python -m tests.system._bank URL SEED` moves it until its input closes."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import select
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from tests.system._oracle import Digits, Pairs

ACCOUNTS = 3000
START = 100  # what each account begins with
TOTAL = ACCOUNTS * START
SEEDS = itertools.count(1)  # each writer draws and numbers for itself

SCHEMA = (
    "CREATE TABLE accounts (id integer PRIMARY KEY, name text NOT NULL, balance integer NOT NULL)",
    (
        "CREATE TABLE entries (id integer PRIMARY KEY, account_id integer NOT NULL REFERENCES accounts (id), "
        "amount integer NOT NULL, remark text)"
    ),
    "CREATE INDEX entries_account ON entries (account_id)",
)


def found_bank(url: str) -> str:
    """Tables, accounts, and one entry for each account; gives the URL."""
    accounts = [(n, f"account {n} " + "x" * (n % 60), START) for n in range(1, ACCOUNTS + 1)]
    entries = [(n, n, START, "opening") for n in range(1, ACCOUNTS + 1)]
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in SCHEMA:
            connection.execute(statement)
        connection.executemany("INSERT INTO accounts VALUES (?, ?, ?)", accounts)
        connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", entries)
        connection.commit()
        connection.close()
        return url
    with psycopg.connect(url) as opened:
        for statement in SCHEMA:
            opened.execute(statement)
        opened.cursor().executemany("INSERT INTO accounts VALUES (%s, %s, %s)", accounts)
        opened.cursor().executemany("INSERT INTO entries VALUES (%s, %s, %s, %s)", entries)
        opened.commit()
        opened.execute("ANALYZE")
    return url


class Till:
    """One writer's connection. Every transfer is one transaction: two balances and two entries, or an account that
    opens with money of another, or one that closes and gives its money away, its entries gone with it."""

    def __init__(self, url: str, seed: int) -> None:
        self.chance = random.Random(seed)
        self.mark = "?" if url.startswith("sqlite") else "%s"
        self.connection: Any = (
            sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)
            if url.startswith("sqlite")
            else psycopg.connect(url, autocommit=True)
        )
        self.next = 1_000_000 * (1 + seed)
        self.moves = 0

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(statement.replace("?", self.mark), values)
        found: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
        return found

    def number(self) -> int:
        self.next += 1
        return self.next

    def give(self, account: int, amount: int, remark: str) -> None:
        self.run("UPDATE accounts SET balance = balance + ? WHERE id = ?", amount, account)
        self.run("INSERT INTO entries VALUES (?, ?, ?, ?)", self.number(), account, amount, remark)

    def pick(self) -> int | None:
        """An account that is there now, near a number drawn at random."""
        found = self.run(
            "SELECT id FROM accounts WHERE id >= ? ORDER BY id LIMIT 1",
            self.chance.randint(1, ACCOUNTS + 200),
        )
        return found[0][0] if found else None

    def move(self) -> None:
        self.run("BEGIN IMMEDIATE" if self.mark == "?" else "BEGIN")
        try:
            self._move()
        except psycopg.errors.Error:
            self.run("ROLLBACK")  # a deadlock, or an account that another writer has closed meanwhile
        else:
            self.run("COMMIT")
            self.moves += 1

    def _move(self) -> None:
        one, other = self.pick(), self.pick()
        if one is None or other is None or one == other:
            return
        if self.mark != "?":
            self.run("SELECT id FROM accounts WHERE id IN (?, ?) ORDER BY id FOR UPDATE", one, other)
        kind = self.chance.random()
        if kind < 0.1:
            opened = self.number()
            self.run("INSERT INTO accounts VALUES (?, ?, 0)", opened, f"opened {opened}")
            self.give(opened, 10, "opened")
            self.give(one, -10, "opened")
        elif kind < 0.2:
            left = self.run("SELECT balance FROM accounts WHERE id = ?", one)
            if left and self.run("SELECT 1 FROM accounts WHERE id = ?", other):
                self.run("DELETE FROM entries WHERE account_id = ?", one)
                self.run("DELETE FROM accounts WHERE id = ?", one)
                self.give(other, left[0][0], "closed")
        elif len(self.run("SELECT id FROM accounts WHERE id IN (?, ?)", one, other)) == 2:
            amount = self.chance.randint(1, 50)
            self.give(one, -amount, "moved")
            self.give(other, amount, "moved")


def work(url: str, seed: int) -> None:
    """Move money until the input closes, then say how often it was moved."""
    till = Till(url, seed)
    while not select.select([sys.stdin], [], [], 0)[0]:
        till.move()
        time.sleep(0.003)  # busy, and yet what is exported does not outgrow the export
    till.connection.close()
    print(till.moves)


@contextlib.contextmanager
def moving(url: str, writers: int = 2) -> Iterator[None]:
    """Money moves while the block runs; fails when in truth it did not."""
    root = Path(__file__).parents[2]
    at_work = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.system._bank", url, str(seed)],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(root)},
        )
        for seed in itertools.islice(SEEDS, writers)
    ]
    try:
        yield
    finally:
        moved = [each.communicate(timeout=30)[0] for each in at_work]
    assert all(each.returncode == 0 for each in at_work)
    assert sum(map(int, moved)) > 50, "hardly any money moved"


def _whole(value: Any) -> Decimal:
    return Decimal(value.text if isinstance(value, Digits) else value)


def check_accounts(found: list[Pairs], entries: list[list[Pairs]]) -> None:
    """Accounts, each beside its entries: every sum is that of one instant."""
    keys = [_whole(row.get("id")) for row in found]
    assert len(keys) == len(set(keys)), "an account stands twice"
    assert sum(_whole(row.get("balance")) for row in found) == TOTAL
    for row, mine in zip(found, entries, strict=True):
        assert all(
            entry.get("account_id") == row.get("id")
            or _whole(entry.get("account_id")) == _whole(row.get("id"))
            for entry in mine
        )
        assert sum(_whole(entry.get("amount")) for entry in mine) == _whole(row.get("balance")), row


def check_entries(found: list[Pairs], accounts: list[Any]) -> None:
    """Entries, each beside its account: none without, and all of them add up."""
    keys = [_whole(row.get("id")) for row in found]
    assert len(keys) == len(set(keys)), "an entry stands twice"
    assert sum(_whole(row.get("amount")) for row in found) == TOTAL
    balances: dict[Decimal, Decimal] = {}
    sums: dict[Decimal, Decimal] = {}
    for row, account in zip(found, accounts, strict=True):
        assert isinstance(account, Pairs), f"an entry without its account: {row}"
        key = _whole(account.get("id"))
        assert key == _whole(row.get("account_id"))
        assert balances.setdefault(key, _whole(account.get("balance"))) == _whole(account.get("balance"))
        sums[key] = sums.get(key, Decimal(0)) + _whole(row.get("amount"))
    assert sums == balances


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
