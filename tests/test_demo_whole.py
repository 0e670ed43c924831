"""The whole demo on databases of all kinds: it serves, asks, downloads, verifies and counts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from outhaul import demo
from outhaul.demo import database, serving
from outhaul.demo.memory import Peak
from outhaul.errors import Misconfigured, OuthaulError

PATIENCE = 60.0
TABLES = """
CREATE TABLE customers (id integer PRIMARY KEY, name text);
CREATE TABLE "Odd Orders" (id integer PRIMARY KEY, customer_id integer REFERENCES customers (id));
CREATE TABLE lines (
    order_id integer REFERENCES "Odd Orders" (id), place integer, price double precision, note text,
    PRIMARY KEY (order_id, place));
CREATE TABLE notes (text text);
INSERT INTO notes VALUES ('no key')
"""
ORDERS = 400


def fill(url: str) -> None:
    """Three tables that hang together: each order has 0 to 6 lines, some have no customer."""
    engine = database.engine(url)
    with engine.begin() as connection:
        for statement in TABLES.split(";"):
            connection.execute(sa.text(statement))
        orders = [{"id": n, "customer": n % 9 or None} for n in range(ORDERS)]
        places = [(n, at) for n in range(ORDERS) for at in range(n % 7)]
        lines = [{"order": n, "place": at, "price": n / 7, "note": 'x\n"y"' * at} for n, at in places]
        connection.execute(
            sa.text("INSERT INTO customers VALUES (:id, 'Ö')"), [{"id": n} for n in range(1, 9)]
        )
        connection.execute(sa.text('INSERT INTO "Odd Orders" VALUES (:id, :customer)'), orders)
        connection.execute(sa.text("INSERT INTO lines VALUES (:order, :place, :price, :note)"), lines)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    url = (
        f"sqlite:///{tmp_path}/any.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    fill(url)
    return url


@pytest.fixture
def sqlite_source(tmp_path: Path) -> str:
    fill(url := f"sqlite:///{tmp_path}/any.db")
    return url


def test_the_demo_proves_any_database_and_asks_no_proxy_for_this_machine(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert demo.run(source, tmp_path / ".demo") == 0
    said = capsys.readouterr().out
    lines = sum(n % 7 for n in range(ORDERS))
    orders = len([n for n in range(ORDERS) if n % 7])
    for pattern in (
        rf"lines\.json\.gz\s+lines\s+{lines:,}\s+{lines:,}\s.*yes",
        rf"lines\.json\.gz\s+order\s+{lines:,}\s+{orders:,}\s.*yes",
        rf"lines\.csv\s+lines\s+{lines:,}\s+{lines:,}\s.*yes",
    ):
        assert re.search(pattern, said), said
    assert "NO" not in said


def after_verifying(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    run = serving.outhaul

    def run_and_act(folder: Path, *arguments: str) -> str:
        said = run(folder, *arguments)
        if arguments[0] == "verify":
            act()
        return said

    monkeypatch.setattr(serving, "outhaul", run_and_act)


def test_a_row_that_only_the_database_has_ends_the_demo_with_1(
    sqlite_source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def add() -> None:
        engine = database.engine(sqlite_source)
        with engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO lines SELECT order_id, max(place) + 1, 0, '' FROM lines"))

    after_verifying(monkeypatch, add)
    assert demo.run(sqlite_source, tmp_path / ".demo") == 1
    assert "NO" in capsys.readouterr().out


def test_a_file_that_is_not_as_recorded_ends_the_demo(
    sqlite_source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = serving.outhaul

    def damage_and_run(folder: Path, *arguments: str) -> str:
        if arguments[0] == "verify":
            file = next(path for path in Path(arguments[1]).parent.iterdir() if path.name != "manifest.json")
            data = file.read_bytes()
            file.write_bytes(data[:-10] + bytes([data[-10] ^ 1]) + data[-9:])
        return run(folder, *arguments)

    monkeypatch.setattr(serving, "outhaul", damage_and_run)
    with pytest.raises(OuthaulError, match="verify"):
        demo.run(sqlite_source, tmp_path / ".demo")


@contextmanager
def started(source: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    code = "import sys; from pathlib import Path; from outhaul import demo; demo.run(sys.argv[1], Path(sys.argv[2]))"
    process = subprocess.Popen([sys.executable, "-c", code, source, folder], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        serving.end_leftover(folder)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.heavy
def test_a_demo_that_was_killed_runs_again_and_ends_what_was_left(sqlite_source: str, tmp_path: Path) -> None:
    folder = tmp_path / ".demo"
    record = folder / "serve.pid"
    with started(sqlite_source, folder) as process:
        until(lambda: record.exists() and record.read_text() != "")
        process.send_signal(signal.SIGKILL)
        process.wait()
        left = psutil.Process(int(record.read_text()))
        assert left.is_running()
        assert demo.run(sqlite_source, folder) == 0
        until(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE)
    assert not record.exists()


def test_a_stale_record_never_ends_somebody_elses_process(sqlite_source: str, tmp_path: Path) -> None:
    folder = tmp_path / ".demo"
    folder.mkdir()
    with subprocess.Popen(["sleep", "60"]) as innocent:
        (folder / "serve.pid").write_text(str(innocent.pid))
        serving.end_leftover(folder)
        assert innocent.poll() is None
        innocent.kill()


@pytest.mark.heavy
def test_two_demos_in_one_folder_do_not_meet(sqlite_source: str, tmp_path: Path) -> None:
    folder = tmp_path / ".demo"
    with started(sqlite_source, folder):
        until((folder / "serve.pid").exists)
        with pytest.raises(Misconfigured, match="Another demo"):
            demo.run(sqlite_source, folder)


def test_a_database_without_any_key_is_refused_in_words(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/bare.db"
    engine = database.engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE notes (text text)"))
    with pytest.raises(Misconfigured, match="no table with a key"):
        demo.run(url, tmp_path / ".demo")


def test_the_peak_is_that_of_all_processes_together() -> None:
    code = "import sys; data = bytearray(b'x') * 60_000_000; print(flush=True); sys.stdin.read()"
    both = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}]); "
    with (
        Peak(os.getpid()) as peak,
        subprocess.Popen(
            [sys.executable, "-c", both], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout
        assert process.stdin
        before = peak.bytes
        process.stdout.readline()
        until(lambda: peak.bytes > before + 60_000_000)
        process.stdin.close()
