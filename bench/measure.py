"""One measured run of a command: wall clock, CPU of client and database, peak memory."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from outhaul.demo.memory import Peak, family

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Cost:
    """Times in seconds, `peak` the largest sum of PSS over the command's processes, in bytes; `written` in bytes."""

    wall: float
    client: float
    database: float
    peak: int
    written: int


class Failed(Exception):
    """A command ended badly, or its output is wrong; carries what it said."""


def run(command: str, environment: Mapping[str, str], postmaster: int) -> Cost:
    """Runs one shell line, which writes below OUT. The shell itself costs about 1 ms and 1 MB."""
    out = Path(environment["OUT"])
    database = database_seconds(postmaster)
    log = out.with_suffix(".log")
    with log.open("wb") as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        with Peak(process.pid) as peak:
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"ended with {process.returncode}: {log.read_text(errors='replace')[-2000:]}")
    settle(postmaster)
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    client = used.ru_utime + used.ru_stime
    return Cost(wall, client, database_seconds(postmaster) - database, peak.bytes, written)


def database_seconds(postmaster: int) -> float:
    """CPU time of the server and of every process it has had."""
    total = 0.0
    for pid in family(postmaster):
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def settle(postmaster: int, patience: float = 10) -> None:
    """Waits until the clients' backends have gone: only then their time is in the server's books."""
    deadline = time.monotonic() + patience
    while any("127.0.0.1(" in title for title in _titles(postmaster)):
        if time.monotonic() > deadline:
            raise Failed("A command has left connections open.")
        time.sleep(0.01)


def _titles(postmaster: int) -> list[str]:
    """What the server's processes call themselves: a client's backend names its user, database and address."""
    titles = []
    for pid in family(postmaster):
        with suppress(psutil.NoSuchProcess):
            titles.append(" ".join(psutil.Process(pid).cmdline()))
    return titles
