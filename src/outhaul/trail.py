"""The audit log read from its end: some lines at a time, by blocks, and no more of it than a page is worth."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = 64 << 10  # bytes that are read at once
MOST = 8 << 20  # bytes that are read for one page: where nothing matches, the next page goes on
LONGEST = 32 << 10  # bytes of a line; ours are shorter, and what is longer is none of them
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
CURSOR = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})\.(?P<end>\d{1,18})")
CHANGES = frozenset({"POST", "PATCH", "PUT", "DELETE"})
WHOSE = frozenset(
    {"at", "trace", "client", "agent", "caller", "tenant"}
)  # of a line; the rest is what was done


@dataclass(frozen=True, slots=True)
class Sought:
    """Which lines are looked for. `who`: ids or addresses of callers, any of which will do, None for anybody; `what`:
    words that all stand in method, path, status or whatever else was noted; `tenant`: only of this one; `changes`: only
    calls that may have changed something; `without`: none whose path begins so; `until`: the last day (UTC,
    `2027-01-31`), "" for today's."""

    who: Collection[str] | None = None
    what: str = ""
    tenant: str = ""
    changes: bool = False
    without: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Lines, newest first. `older`: the cursor for those before them, None where there are none."""

    lines: tuple[Mapping[str, Any], ...]
    older: str | None


def read(folder: Path, sought: Sought, cursor: str = "", limit: int = 50) -> Found:
    """The newest lines that are sought, or those before a cursor; fewer than `limit` when MOST bytes were read."""
    found: list[Mapping[str, Any]] = []
    before, left = CURSOR.fullmatch(cursor), MOST
    for path in _days(folder, before["day"] if before else sought.until):
        top = int(before["end"]) if before and before["day"] == path.stem else None
        for start, line in _backwards(path, top):
            top = start + len(line) + 1 if top is None else top
            told = _matching(line, sought)
            if told is not None:
                found.append(told)
            if len(found) == limit or top - start >= left:
                return Found(tuple(found), f"{path.stem}.{start}")
        left -= top or 0
    return Found(tuple(found), None)


def _days(folder: Path, until: str) -> Iterator[Path]:
    """The files of the log up to a day, the newest first; what else lies there is left alone."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in reversed(names):
        day = name.removesuffix(".jsonl")
        if day != name and DAY.fullmatch(day) and (not until or day <= until):
            yield folder / name


def _backwards(path: Path, end: int | None) -> Iterator[tuple[int, bytes]]:
    """Whole lines before `end`, the last first, each with the place where it begins; nothing of a file that is gone. An
    empty one for a block without any, so that whoever counts what was read can count it, too."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        place = file.seek(0, os.SEEK_END)
        place = place if end is None else min(end, place)
        tail: bytes | None = (
            None  # of the line that begins further up; None while that has no end yet, either
        )
        while place > 0:
            size = min(BLOCK, place)
            place -= size
            file.seek(place)
            first, *rest = (file.read(size) + (tail or b"")).split(b"\n")
            lines = _placed(rest[:-1] if tail is None else rest, place + len(first) + 1)
            yield from reversed(lines or [(place, b"")])
            # Of a line that is far too long only the end is kept, which says nothing: it is passed over.
            tail = None if tail is None and not rest else first[-LONGEST:]
        if tail:
            yield 0, tail


def _placed(lines: list[bytes], at: int) -> list[tuple[int, bytes]]:
    """Each line with the place where it begins, the first at this one."""
    placed = []
    for line in lines:
        placed.append((at, line))
        at += len(line) + 1
    return placed


def _matching(line: bytes, sought: Sought) -> Mapping[str, Any] | None:
    """What a line says; None for one that is not sought, or says nothing."""
    words = sought.what.lower().split()
    low = line.lower()
    if not all(json.dumps(word)[1:-1].encode() in low for word in words if word.isascii()):
        return None
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) and _is(told, sought, words) else None


def _is(told: Mapping[str, Any], sought: Sought, words: list[str]) -> bool:
    if sought.who is not None and not {told.get("caller"), told.get("client")} & set(sought.who):
        return False
    if sought.tenant and told.get("tenant") != sought.tenant:
        return False
    if sought.changes and told.get("method") not in CHANGES:
        return False
    if sought.without and str(told.get("path")).startswith(sought.without):
        return False
    said = " ".join(str(value) for name, value in told.items() if name not in WHOSE).lower()
    return all(word in said for word in words)
