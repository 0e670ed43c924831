"""What a run costs: wall clock, CPU of client and database, peak memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import psutil

from outhaul.demo.memory import Peak, family

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Cost:
    """Times in seconds, `peak` the largest sum of PSS over the processes, in bytes; `written` in bytes.

    `counted`: the independent count under the instant, and `fetched`: the download of the file, where they were timed.
    """

    wall: float
    client: float
    database: float
    peak: int
    written: int = 0
    counted: float | None = None
    fetched: float | None = None


class Failed(Exception):
    """A contender ended badly, or its output is wrong; carries what it said."""


class Meter:
    """Runs while its block does: over a family of processes, and the server's (0 where there is none)."""

    def __init__(self, pid: int, postmaster: int) -> None:
        self._pid, self._postmaster = pid, postmaster
        self._peak = Peak(pid)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._database, self._client = seconds(self._postmaster), seconds(self._pid)
        self._began = time.perf_counter()
        self._open.enter_context(self._peak)
        return self

    def __exit__(self, *_: object) -> None:
        self._wall = time.perf_counter() - self._began
        self._open.close()
        self._used = seconds(self._pid) - self._client
        settle(self._postmaster)
        self._served = seconds(self._postmaster) - self._database

    def cost(self, *, wall: float | None = None, client: float | None = None) -> Cost:
        """What it has seen; where `wall` or `client` are known better, those."""
        return Cost(
            self._wall if wall is None else wall,
            self._used if client is None else client,
            self._served,
            self._peak.bytes,
        )


def weighed(cost: Cost, out: Path) -> Cost:
    """The cost with the bytes below a folder."""
    return replace(cost, written=sum(path.stat().st_size for path in out.rglob("*") if path.is_file()))


def seconds(pid: int) -> float:
    """CPU time of a process, of all below it, and of those that it has had and waited for; 0 for no process."""
    total = 0.0
    for each in family(pid) if pid else ():
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(each).cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def settle(postmaster: int, patience: float = 10) -> None:
    """Waits until the clients' backends have gone: only then their time is in the server's books."""
    deadline = time.monotonic() + patience
    while postmaster and any("127.0.0.1(" in title for title in _titles(family(postmaster))):
        if time.monotonic() > deadline:
            raise Failed("A command has left connections open.")
        time.sleep(0.01)


def _titles(pids: Sequence[int]) -> list[str]:
    """What the server's processes call themselves: a client's backend names its user, database and address."""
    titles = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            titles.append(" ".join(psutil.Process(pid).cmdline()))
    return titles
