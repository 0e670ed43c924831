"""The audit log read backwards: the lines that reading all of it finds, and no more of it than a page is worth."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from outhaul import trail
from outhaul.audit import Audit
from outhaul.trail import Found, Sought

CALLERS = ("a1", "b2", None)
METHODS = ("GET", "POST", "DELETE")


def line(number: int, **more: Any) -> dict[str, Any]:
    chance = random.Random(number)
    told: dict[str, Any] = {
        "at": f"2027-01-31T00:00:00.{number:06}+00:00",
        "trace": f"{number:064x}",
        "client": chance.choice(["127.0.0.1", "203.0.113.7"]),
        "method": chance.choice(METHODS),
        "path": f"/api/exports/{'é' * chance.randrange(3)}{number}",
        "agent": "x" * chance.randrange(200),
        "status": chance.choice([200, 403]),
        "caller": chance.choice(CALLERS),
        "tenant": chance.choice(["1", "2", None]),
    }
    return told | more


def put(folder: Path, day: str, lines: list[dict[str, Any]], end: str = "\n") -> Path:
    path = folder / f"{day}.jsonl"
    path.write_text(
        "".join(json.dumps(one) + "\n" for one in lines).removesuffix("\n") + (end if lines else "")
    )
    return path


def pages(folder: Path, sought: Sought, limit: int) -> Iterator[Found]:
    cursor = ""
    while True:
        found = trail.read(folder, sought, cursor, limit)
        yield found
        if found.older is None:
            return
        assert found.older != cursor, "it does not come to an end"
        cursor = found.older


@pytest.fixture
def three_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[dict[str, Any]]]:
    """A folder, and all its lines from the newest on."""
    monkeypatch.setattr(trail, "BLOCK", 700)
    every = [line(number) for number in range(300)]
    for day, (start, stop) in {
        "2027-01-29": (0, 100),
        "2027-01-30": (100, 100),
        "2027-01-31": (100, 300),
    }.items():
        put(tmp_path, day, every[start:stop])
    (tmp_path / "notes.jsonl").write_text('{"method": "none of ours"}\n')
    (tmp_path / "2027-01-30.jsonl.gz").write_bytes(b"nor this")
    return tmp_path, every[::-1]


def said(one: dict[str, Any]) -> str:
    return f"{one['method']} {one['path']} {one['status']}".lower()


@pytest.mark.parametrize("limit", [1, 7, 1_000])
def test_all_pages_together_are_all_lines_from_the_newest_on(
    three_days: tuple[Path, list[dict[str, Any]]], limit: int
) -> None:
    folder, every = three_days
    wanted = {
        "all": (Sought(), every),
        "who": (
            Sought(who={"a1", "203.0.113.7"}),
            [one for one in every if one["caller"] == "a1" or one["client"] == "203.0.113.7"],
        ),
        "what": (
            Sought(what="Get /API/exports 403"),
            [one for one in every if all(word in said(one) for word in ("get", "/api/exports", "403"))],
        ),
        "accent": (Sought(what="É"), [one for one in every if "é" in one["path"]]),
        "not by whom": (Sought(what="a1"), [one for one in every if "a1" in said(one)]),
        "tenant": (Sought(tenant="2"), [one for one in every if one["tenant"] == "2"]),
        "changes": (Sought(changes=True), [one for one in every if one["method"] != "GET"]),
        "without": (
            Sought(without="/api/exports/é"),
            [one for one in every if not one["path"].startswith("/api/exports/é")],
        ),
        "until": (Sought(until="2027-01-30"), every[200:]),
        "nobody": (Sought(who=set()), []),
    }
    for name, (sought, lines) in wanted.items():
        found = list(pages(folder, sought, limit))
        assert [one for page in found for one in page.lines] == lines, name
        assert all(len(page.lines) <= limit for page in found)


def test_what_has_no_end_yet_is_not_read_and_what_is_no_line_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "BLOCK", 700)
    monkeypatch.setattr(trail, "LONGEST", 1_000)
    path = put(tmp_path, "2027-01-31", [line(1)])
    with path.open("a") as file:
        file.write(
            "torn\n\n[1, 2]\n" + "x" * 5_000 + "\n" + json.dumps(line(2)) + "\n" + json.dumps(line(3))[:-5]
        )
    assert [page.lines for page in pages(tmp_path, Sought(), 10)] == [(line(2), line(1))]
    assert trail.read(tmp_path / "nowhere", Sought()) == Found((), None)
    assert trail.read(tmp_path, Sought(), "../../etc/passwd.1").lines == (line(2), line(1))


def test_lines_that_come_meanwhile_shift_no_page(tmp_path: Path) -> None:
    put(tmp_path, "2027-01-31", [line(number) for number in range(10)])
    first = trail.read(tmp_path, Sought(), limit=4)
    with (tmp_path / "2027-01-31.jsonl").open("a") as file:
        file.write(json.dumps(line(10)) + "\n")
    assert first.older
    second = trail.read(tmp_path, Sought(), first.older, limit=4)
    assert [one["trace"] for one in (*first.lines, *second.lines)] == [f"{n:064x}" for n in range(9, 1, -1)]
    (tmp_path / "2027-01-31.jsonl").unlink()
    assert second.older
    assert trail.read(tmp_path, Sought(), second.older) == Found((), None), "it was moved away"


def test_of_a_log_of_gigabytes_little_is_read_for_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, "2027-01-31", [line(number) for number in range(2_000)])
    with path.open("r+b") as file:
        told = file.read()
        file.seek(10 << 30)  # what lies before is a hole, and has no line at all
        file.write(b"\n" + told)
    read: list[int] = []
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: _Counted(opened(self, mode), read))
    assert len(trail.read(tmp_path, Sought(), limit=50).lines) == 50
    assert sum(read) <= 2 * trail.BLOCK
    read.clear()
    found = trail.read(tmp_path, Sought(what="nothing is like that"))
    assert (found.lines, bool(found.older)) == ((), True)
    assert sum(read) <= trail.MOST + 2 * trail.BLOCK
    read.clear()
    assert trail.read(tmp_path, Sought(what="nothing is like that"), str(found.older)).older != found.older
    assert sum(read) <= trail.MOST + 2 * trail.BLOCK


class _Counted:
    """A file whose bytes are counted as they are read."""

    def __init__(self, file: Any, read: list[int]) -> None:
        self.file, self.counted = file, read

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def seek(self, *given: int) -> int:
        return int(self.file.seek(*given))

    def read(self, size: int) -> bytes:
        self.counted.append(size)
        return bytes(self.file.read(size))


def test_what_is_written_meanwhile_is_read_in_whole_lines(tmp_path: Path) -> None:
    audit, over = Audit(tmp_path), threading.Event()

    def write() -> None:
        for number in range(3_000):
            audit.write({"n": number, "text": "x" * (number % 300)})
        over.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not over.is_set():
        numbers = [one["n"] for one in trail.read(tmp_path, Sought(), limit=200).lines]
        assert numbers == sorted(numbers, reverse=True)
        assert not numbers or numbers[0] - numbers[-1] == len(numbers) - 1
    thread.join()
    audit.close()
