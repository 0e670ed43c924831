"""The program as somebody types it, in a process of its own or, where that is not what is tried, in this one."""

from __future__ import annotations

import io
import logging
import os
import pty
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest

from outhaul import cli

PROGRAM = Path(sys.executable).with_name("outhaul")
ROWS = 300
SHOP = f"""
PRAGMA journal_mode = WAL;
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, password TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), note TEXT);
INSERT INTO customers VALUES (1, 'Ada', 'x'), (2, 'Grace', 'y');
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
INSERT INTO orders SELECT i, 1 + i % 2, 'note ' || i FROM n;
"""


def fill(file: Path) -> str:
    """The URL of a small shop in a file."""
    with sqlite3.connect(file) as connection:
        connection.executescript(SHOP)
    connection.close()
    return f"sqlite:///{file}"


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTHAUL_")}
    return kept | {"OUTHAUL_MIN_FREE": "0", "OUTHAUL_WORKERS": "1", "NO_COLOR": "1", "COLUMNS": "200"} | more


def outhaul(at: Path, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        cwd=at,
        env=environment(**more),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=100,
        check=False,
    )


def here(at: Path, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """As `outhaul`, without the start of a process: for commands that begin none themselves."""
    asked, out, err = [*map(str, arguments)], io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(at)
        for name, value in environment(**more).items():
            patch.setenv(name, value)
        patch.setattr(logging.getLogger(), "handlers", [])  # a command's own write to what is closed after it
        code = cli.run(asked)
    return subprocess.CompletedProcess(asked, code, out.getvalue(), err.getvalue())


def until(true: Callable[[], Any], what: str, patience: float = 60) -> Any:
    deadline = time.monotonic() + patience
    while not (value := true()):
        assert time.monotonic() < deadline, f"not in {patience} s: {what}"
        time.sleep(0.02)
    return value


def on_screen(at: Path, *arguments: object, **more: str) -> tuple[int, bytes]:
    """What it ends with, and what a terminal of 100 columns has shown of what it says to people."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "wb") as terminal:
        process = subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            cwd=at,
            env=environment(TERM="xterm", **more) | {"COLUMNS": "100"},
            stderr=terminal,
            stdout=subprocess.DEVNULL,
        )
        terminal.close()
        shown = b""
        with suppress(OSError):  # how a terminal says that nobody is at the other end
            while piece := screen.read(4096):
                shown += piece
        return process.wait(60), shown
