"""SQLite as a source: files that stay as they were, copies, locks and odd tables."""

from __future__ import annotations

import hashlib
import pickle
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from outhaul.errors import NoRoom, SnapshotLost, SourceAway, SourceBusy, SourceError, TooMuch
from outhaul.sources import _sqlite_library, _sqlite_shape, sqlite
from tests.loose_values import EVERYTHING, VALUES, make_values, reading, writing
from tests.selections import selection
from tests.slow_reader import rows


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "source.db"


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_the_file_is_the_same_afterwards(file: Path, mode: str) -> None:
    make_values(file)
    with writing(file) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    before = digest(file)
    things = selection(sqlite.reflect(f"sqlite:///{file}"), "things")
    with reading(file) as session:
        session.count(things)
        session.split(things, 100)
        rows(session.read(things, EVERYTHING, "json"))
        with pytest.raises(SourceError, match="readonly"):
            session._library.fetch("DELETE FROM things")
    assert digest(file) == before
    with writing(file) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)


def test_a_session_never_uses_a_second_library_on_the_file(file: Path, tmp_path: Path) -> None:
    make_values(file)
    things = selection(sqlite.reflect(f"sqlite:///{file}"), "things")
    words = """
import pickle, sys
from pathlib import Path
sys.addaudithook(lambda event, args: event == "sqlite3.connect" and sys.exit(f"a second library opens {args}"))
from outhaul.blocks import Range
from outhaul.plan import Plan
from outhaul.sources import sqlite
url, node = sys.argv[1], pickle.load(sys.stdin.buffer)
prepared = sqlite.prepare(url, Path(sys.argv[2]), copy_bytes=10**9)
session = sqlite.connect(url, "x")
session.begin()
session.tables(Plan("sqlite", (node,), (), None, 1, None, None, None, ""))
session.count(node), session.size(node), session.split(node, 100)
assert sum(block.rows for stream in session.read(node, Range(), "csv") for block in stream.blocks) > 10
session.close()
"""
    command = [sys.executable, "-c", words, f"sqlite:///{file}", str(tmp_path)]
    done = subprocess.run(command, input=pickle.dumps(things), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "a#b?c.db", "ü'\"$.db", ";DROP.db"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    with writing(file) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO t VALUES (7)")
    from sqlalchemy.engine import URL

    url = URL.create("sqlite", database=str(file)).render_as_string()
    node = selection(sqlite.reflect(url), "t")
    session = sqlite.connect(url, "x")
    session.begin()
    assert rows(session.read(node, EVERYTHING, "json")) == [{"id": ("number", "7")}]
    session.close()
    assert sqlite.count(url, node, 5) == 1


def test_a_file_that_cannot_be_read_is_away(tmp_path: Path) -> None:
    with pytest.raises(SourceAway, match="cannot be opened"):
        sqlite.connect(f"sqlite:///{tmp_path}/nothing.db", "x").begin()
    assert not (tmp_path / "nothing.db").exists()
    (tmp_path / "junk.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(SourceAway, match="no SQLite database"):
        sqlite.connect(f"sqlite:///{tmp_path}/junk.db", "x").begin()


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another process has the file for itself."""
    command = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        yield
        process.communicate()


def test_a_locked_file_is_said_to_be_busy(file: Path, monkeypatch: Any) -> None:
    make_values(file)
    things = selection(sqlite.reflect(f"sqlite:///{file}"), "things")
    monkeypatch.setattr(_sqlite_library, "BUSY_SECONDS", 0.2)
    with locked(file), pytest.raises(SourceBusy, match="is locked"), reading(file):
        pass
    with reading(file) as session:
        assert session.count(things)[""] == len(VALUES)


def test_an_instant_of_sqlite_is_not_shared(file: Path) -> None:
    make_values(file)
    with reading(file) as session, pytest.raises(SourceError):
        session.share()
    with pytest.raises(SnapshotLost):
        sqlite.connect(f"sqlite:///{file}", "x").begin("some name")


def test_a_file_in_wal_is_read_live(file: Path, tmp_path: Path) -> None:
    make_values(file)
    with writing(file) as connection:
        connection.execute("PRAGMA journal_mode = wal")
    prepared = sqlite.prepare(f"sqlite:///{file}", tmp_path, copy_bytes=0)
    assert (prepared.mode, prepared.url) == ("live", f"sqlite:///{file}")


def test_another_file_is_copied_for_its_owner_alone(file: Path, tmp_path: Path) -> None:
    make_values(file)
    before = digest(file)
    folder = tmp_path / "copies 'here'"
    folder.mkdir()
    prepared = sqlite.prepare(f"sqlite:///{file}", folder, copy_bytes=10**7)
    assert prepared.mode == "copy"
    (copy,) = folder.iterdir()
    assert _sqlite_library.file_of(prepared.url) == copy
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    things = selection(sqlite.reflect(f"sqlite:///{file}"), "things")
    with reading(file) as original, closing(sqlite.connect(prepared.url, "x")) as session:
        session.begin()
        assert rows(session.read(things, EVERYTHING, "json")) == rows(
            original.read(things, EVERYTHING, "json")
        )
    assert digest(file) == before


def test_a_copy_that_is_too_large_is_refused_with_both_numbers(
    file: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    make_values(file)
    size = file.stat().st_size
    with pytest.raises(TooMuch) as caught:
        sqlite.prepare(f"sqlite:///{file}", tmp_path, copy_bytes=size - 1)
    assert caught.value.facts == {"value": size, "limit": size - 1}
    assert str(size) in str(caught.value)
    assert str(size - 1) in str(caught.value)
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(NoRoom) as refused:
        sqlite.prepare(f"sqlite:///{file}", tmp_path, copy_bytes=10**9)
    assert refused.value.facts == {"value": size, "limit": 100}
    assert list(tmp_path.iterdir()) == [file]


def test_holding_makes_writers_wait_until_the_end(file: Path, tmp_path: Path) -> None:
    make_values(file)
    assert sqlite.prepare(f"sqlite:///{file}", tmp_path, copy_bytes=0, hold=True).mode == "hold"
    words = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0.1); c.execute(sys.argv[2]); c.commit()"
    write = [sys.executable, "-c", words, str(file), "DELETE FROM things"]
    with reading(file):
        assert b"locked" in subprocess.run(write, capture_output=True, check=False).stderr
    assert subprocess.run(write, check=True).returncode == 0


SLOW = """CREATE VIEW slow AS
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i FROM n"""


def test_a_bounded_count_gives_up_in_time(file: Path) -> None:
    with writing(file) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(100)])
        connection.execute(SLOW.format(1_000_000_000))
    catalog = sqlite.reflect(f"sqlite:///{file}")
    assert sqlite.count(f"sqlite:///{file}", selection(catalog, "t"), 5) == 100
    assert sqlite.count(f"sqlite:///{file}", selection(catalog, "slow"), 0.3) is None


ODD_TABLES = """
CREATE TABLE without (k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID
CREATE TABLE shadowed (rowid TEXT, _rowid_ TEXT, oid TEXT, v INT)
CREATE TABLE half (rowid TEXT, v INT)
CREATE TABLE made (id INTEGER PRIMARY KEY, v TEXT, twice TEXT AS (v || v), kept TEXT AS (v || '!') STORED)
CREATE VIEW seen AS SELECT k, v || v AS vv FROM without
CREATE TABLE loose_keys (k PRIMARY KEY, v TEXT)
"""


def test_odd_tables_are_read_whole_and_in_parts(file: Path) -> None:
    with writing(file) as connection:
        for statement in ODD_TABLES.strip().splitlines():
            connection.execute(statement)
        for i in range(500):
            connection.execute("INSERT INTO without VALUES (?, ?)", (f"k{i:03}", "v" * 50))
            connection.execute("INSERT INTO shadowed VALUES ('a', 'b', 'c', ?)", (i,))
            connection.execute("INSERT INTO half VALUES (?, ?)", ("r" * 50, i))
            connection.execute("INSERT INTO made (v) VALUES (?)", (f"v{i}" * 10,))
            connection.execute(
                "INSERT INTO loose_keys VALUES (?, ?)",
                ((i, str(i), float(i) + 0.5, b"%d" % i)[i % 4], "v" * 50),
            )
    catalog = sqlite.reflect(f"sqlite:///{file}")
    for name in ("without", "shadowed", "half", "made", "seen", "loose_keys"):
        node = selection(catalog, name)
        with reading(file) as session:
            whole = rows(session.read(node, EVERYTHING, "json"))
            parts = session.split(node, 3000)
            assert len(whole) == 500
            assert sorted(map(str, whole)) == sorted(
                str(row) for part in parts for row in rows(session.read(node, part, "json"))
            )
            assert len(parts) > 1 or name not in {"without", "half", "made"}


def test_batches_are_bounded_by_the_widest_row(file: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(_sqlite_shape, "SMALL_FILE", 0)
    monkeypatch.setattr(sqlite, "WIDE_BYTES", 200_000)
    with writing(file) as connection:
        connection.execute(
            "CREATE TABLE wide (id INTEGER PRIMARY KEY, t TEXT, parent_id INT REFERENCES wide)"
        )
        connection.execute("CREATE VIEW wider AS SELECT id, t || t AS tt FROM wide")
        for i in range(3000):
            connection.execute(
                "INSERT INTO wide VALUES (?, ?, 1)", (i, "x" * (20_000 if i % 100 == 7 else 10))
            )
    catalog = sqlite.reflect(f"sqlite:///{file}")
    with reading(file) as session:
        for name, widest in (("wide", 20_000), ("wider", 40_000)):
            seen: list[int] = []
            with monkeypatch.context() as patched:
                patched.setattr(session._library, "batches", watched(session._library.batches, seen))
                assert len(rows(session.read(selection(catalog, name), EVERYTHING, "json"))) == 3000
            assert widest < max(seen) < 300_000
            assert len(seen) < 100
        tree, seen = selection(catalog, "wide", "wides"), []
        monkeypatch.setattr(session._library, "batches", watched(session._library.batches, seen))
        found = rows(session.read(tree, EVERYTHING, "json"))
        assert [len(row["wides"]) for row in found if row["wides"]] == [3000]
        assert max(seen) < 300_000


def watched(batches: Any, seen: list[int]) -> Any:
    def watching(*args: Any) -> Iterator[Any]:
        for table in batches(*args):
            seen.extend(batch.nbytes for batch in table.to_batches())
            yield table

    return watching


def test_a_call_that_cannot_be_ended_is_told(file: Path) -> None:
    with writing(file) as connection:
        connection.execute(SLOW.format(12_000_000))
    slow = selection(sqlite.reflect(f"sqlite:///{file}"), "slow")
    session = sqlite.connect(f"sqlite:///{file}", "x")
    threading.Timer(0.1, session.cancel).start()
    with pytest.raises(SourceAway):
        session.count(slow)
    session.close()
    assert session.stuck
    deadline = time.monotonic() + 60
    while session.stuck:
        assert time.monotonic() < deadline
        time.sleep(0.02)
