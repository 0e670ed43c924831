"""`outhaul export --resume`: finished parts are kept through every kill, in every file, or it is said why not."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.terminal import PROGRAM, environment, here, outhaul, until

MANY = 10_000  # parts enough that a kill after the first comes before the last
CHILDREN = ("--include", "lines", "--nested", "lines=files")


def texts(folder: Path, count: int) -> str:
    """A table of so many rows, and one with two lines to each of them."""
    path = folder / "large.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, words TEXT)")
        connection.execute("CREATE TABLE lines (id INTEGER PRIMARY KEY, text_id INTEGER REFERENCES texts)")
        connection.execute("CREATE INDEX lines_text_id ON lines (text_id)")
        connection.executemany("INSERT INTO texts VALUES (?, ?)", ((n, "x" * 100) for n in range(count)))
        connection.executemany("INSERT INTO lines VALUES (?, ?)", ((n, n // 2) for n in range(2 * count)))
        connection.commit()
    return f"sqlite:///{path}"


def arguments(url: str, *more: str, consistency: str = "part") -> list[str]:
    asked = ["texts", "--format", "csv", "--consistency", consistency, "--part-size", "15kB"]
    return ["export", url, *asked, "-o", "out", *more]


def started(folder: Path, *asked: str, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PROGRAM, *asked],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        text=True,
    )


def finished(folder: Path) -> dict[int, int]:
    """By number the attempt of each part that is done."""
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"file:{folder}/out/.outhaul/ledger.db?mode=ro", uri=True)) as ledger,
    ):
        return dict(ledger.execute("SELECT n, attempt FROM parts WHERE state = 'done' AND n > 0"))
    return {}


def has_finished(folder: Path, parts: int) -> bool:
    return len(finished(folder)) >= parts


def is_whole(folder: Path, count: int, *more: str) -> None:
    expected = {"texts.csv": ["id,words", *(f"{n},{'x' * 100}" for n in range(count))]}
    if more:
        lines = (f"{n // 2},{n},{n // 2}" for n in range(2 * count))
        expected["texts.lines.csv"] = ["id,lines.id,lines.text_id", *lines]
    for name, lines_of in expected.items():
        assert (folder / "out" / name).read_text().splitlines() == lines_of
    assert {one.name for one in (folder / "out").iterdir()} == {"manifest.json", *expected}


def killed_and_resumed(tmp_path: Path, kills: int, count: int, *more: str) -> None:
    url = texts(tmp_path, count)
    print(f"seed {(seed := int.from_bytes(os.urandom(4), 'big'))}")
    random, kept = Random(seed), dict[int, int]()
    for number in range(kills):
        running = started(tmp_path, *arguments(url, "--resume", *more))
        until(partial(has_finished, tmp_path, number % 2 and len(kept) + random.randint(1, 3)), "some parts")
        with suppress(subprocess.TimeoutExpired):
            running.wait(random.uniform(0, 1))
        running.send_signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL, "it was done before all kills"
        found = finished(tmp_path)
        assert kept.items() <= found.items(), "finished parts were run again"
        kept = found
    done = outhaul(tmp_path, *arguments(url, "--resume", *more))
    assert done.returncode == 0, done.stderr
    proof = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert kept.items() <= {part["part"]: part["attempt"] for part in proof["parts"]}.items()
    assert 0 < len(kept) < len(proof["parts"])
    is_whole(tmp_path, count, *more)


@pytest.mark.heavy
def test_an_export_with_child_files_killed_at_random_moments_goes_on_where_it_was(tmp_path: Path) -> None:
    killed_and_resumed(tmp_path, 3, 15_000, *CHILDREN)
    assert here(tmp_path, "verify", "--deep", "out/manifest.json").returncode == 0


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("more", [(), CHILDREN])
def test_an_export_killed_twenty_times_goes_on_where_it_was(tmp_path: Path, more: tuple[str, ...]) -> None:
    killed_and_resumed(tmp_path, 20, 80_000, *more)


def test_ctrl_c_keeps_finished_parts_and_only_resume_goes_on_with_them(tmp_path: Path) -> None:
    url = texts(tmp_path, MANY)
    running = started(tmp_path, *arguments(url, "--resume"), stderr=subprocess.PIPE)
    until(lambda: len(finished(tmp_path)) > 1, "finished parts")
    running.send_signal(signal.SIGINT)
    said = running.communicate()[1]
    assert running.returncode == 130
    assert "Nothing unfinished is there" in said
    assert "--resume goes on with them" in said
    kept = finished(tmp_path)
    other = outhaul(tmp_path, *arguments(url, "--resume", "--fields", "id"))
    assert other.returncode == 2
    assert "is another export" in other.stderr
    assert finished(tmp_path) == kept
    done = outhaul(tmp_path, *arguments(url, "--resume"))
    assert done.returncode == 0, done.stderr
    assert "Going on with the finished parts" in done.stderr
    is_whole(tmp_path, MANY)


def test_an_export_of_one_instant_begins_anew_and_says_so(tmp_path: Path) -> None:
    url = texts(tmp_path, MANY)
    asked = arguments(url, "--resume", *CHILDREN, consistency="snapshot")
    running = started(tmp_path, *asked)
    until(lambda: finished(tmp_path), "finished parts")
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL, "it was done before it was killed"
    done = outhaul(tmp_path, *asked)
    assert done.returncode == 0, done.stderr
    assert "starting from the beginning" in done.stderr
    assert "--consistency part" in done.stderr
    is_whole(tmp_path, MANY, *CHILDREN)
