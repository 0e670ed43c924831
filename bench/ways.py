"""How a contender is started and timed: as a command, as the data plane alone, or by a request to a running service."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from bench.contenders import Contender
from bench.measure import ROOT, Cost, Failed, Meter, weighed
from bench.plane import planned
from bench.services import Kind, Services

LIMIT = 1200  # seconds after which a contender is ended
TAIL = 2000  # of what it said


@dataclass(frozen=True, slots=True)
class Place:
    """Where contenders run. By source: its URL, and what cuts it into parts; `environment`: of all shell lines."""

    urls: Mapping[str, str]
    cuts: Mapping[str, Mapping[str, str]]
    environment: Mapping[str, str]
    services: Services
    postmaster: int
    part_bytes: int

    @property
    def out(self) -> Path:
        return Path(self.environment["OUT"])

    @property
    def log(self) -> Path:
        return self.out.with_suffix(".log")

    def server(self, source: str) -> int:
        """The server's process; 0 for a source without one."""
        return 0 if source == "sqlite" else self.postmaster

    def variables(self, source: str) -> dict[str, str]:
        return {**self.environment, **self.cuts[source], "URL": self.urls[source]}


def run(contender: Contender, place: Place) -> Cost:
    """One run, with its output below OUT; Failed says what was wrong."""
    return WAYS[contender.way](contender, place)


def _command(contender: Contender, place: Place) -> Cost:
    """From the start of a shell to its end. The shell itself costs about 1 ms and 1 MB."""
    arguments = ["bash", "-o", "pipefail", "-c", contender.line]
    with _started(arguments, contender, place) as process:
        with Meter(process.pid, place.server(contender.work.source)) as meter:
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        _well(process.returncode, place)
    return weighed(meter.cost(client=used.ru_utime + used.ru_stime), place.out)


def _plane(contender: Contender, place: Place) -> Cost:
    """From the call to begin to the last part, in processes that wait for it."""
    with _started(shlex.split(contender.line), contender, place) as process:
        _hear(process, "ready", place)
        with Meter(process.pid, place.server(contender.work.source)) as meter:
            _tell(process)
            _hear(process, "done", place)
        cost = weighed(meter.cost(), place.out)
        _tell(process)
        count = float(_hear(process, "", place))
        _well(process.wait(), place)
    return replace(cost, counted=count)


def _service(contender: Contender, place: Place) -> Cost:
    source = contender.work.source
    kind = Kind(source, contender.connections, counted=contender.way == "service")
    server, url = place.server(source), place.urls[source]
    cost = place.services.export(kind, url, contender.line, place.out, server, LIMIT)
    at = _planned(contender.work, url, place.out, place.part_bytes, place.cuts[source]["KEY1"])
    began = time.perf_counter()
    at.source.count(url, at.plan.selections[0], LIMIT)
    return weighed(replace(cost, counted=time.perf_counter() - began), place.out)


@contextmanager
def _started(arguments: list[str], contender: Contender, place: Place) -> Iterator[subprocess.Popen[str]]:
    """A process in a session of its own, which does not outlive the block nor LIMIT."""
    with place.log.open("w") as said:
        process = subprocess.Popen(
            arguments,
            cwd=ROOT,
            env=place.variables(contender.work.source),
            stdin=subprocess.PIPE if contender.way == "plane" else subprocess.DEVNULL,
            stdout=subprocess.PIPE if contender.way == "plane" else said,
            stderr=said,
            text=True,
            start_new_session=True,
        )
    limit = threading.Timer(LIMIT, _end, [process.pid])
    limit.start()
    try:
        yield process
    finally:
        limit.cancel()
        _end(process.pid)
        if process.returncode is None:
            process.wait()
        for pipe in filter(None, (process.stdin, process.stdout)):
            pipe.close()


def _end(session: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)


def _tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str], word: str, place: Place) -> str:
    assert process.stdout
    line = process.stdout.readline().strip()
    if not line or (word and line != word):
        raise Failed(f"ended early: {_tail(place)}")
    return line


def _well(status: int, place: Place) -> None:
    if status:
        raise Failed(f"ended with {status}: {_tail(place)}")


def _tail(place: Place) -> str:
    return place.log.read_text(errors="replace")[-TAIL:]


_planned = cache(planned)


WAYS: Mapping[str, Callable[[Contender, Place], Cost]] = {
    "command": _command,
    "plane": _plane,
    "service": _service,
    "uncounted": _service,
}
