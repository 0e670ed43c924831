"""Runs parts in child processes: nothing to install, and they end with the process that started them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

PATIENCE = 20.0  # seconds for running parts to come to a checkpoint and be given back
SHORT_LIFE = (
    10.0  # seconds; a child that ends sooner is started again only after a pause, doubled each time ...
)
LONGEST_PAUSE = 30.0  # ... up to this


@dataclass(eq=False)
class _Child:
    """A running child. What it was handed and has not finished is in `handed`."""

    name: str
    process: subprocess.Popen[str]
    idle: bool = False
    handed: list[_Waiting] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Waiting:
    delivery: Mapping[str, Any]
    holder: str | None
    first: bool

    @property
    def key(self) -> tuple[Any, ...]:
        return tuple(self.delivery[name] for name in ("export", "part", "attempt"))


class Engine:
    """Children that read one JSON line of configuration, then one a delivery, and write a line whenever they are idle.
    A child gets the next delivery only when it is idle, so that what is most urgent then goes first. The end of its
    standard input tells a child to give back what it runs and to end; so it ends with us, however we end.

    `ahead`: how many are started before there is work for them; None for all."""

    def __init__(
        self,
        argv: Sequence[str],
        slots: int,
        config: Mapping[str, Any],
        nudge: Callable[[], None],
        ahead: int | None = None,
    ) -> None:
        self.argv = list(argv)
        self.slots = slots
        self._ahead = slots if ahead is None else ahead
        self._crowded = threading.Event()
        self._config = dict(config)
        self._nudge = nudge
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._children: dict[str, _Child] = {}
        self._waiting: list[_Waiting] = []
        self._dead: list[str] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for number in range(self.slots):
            thread = threading.Thread(target=self._tend, args=[number], name=f"tend-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def deliver(self, delivery: Mapping[str, Any], holder: str | None = None, first: bool = False) -> None:
        with self._lock:
            self._wait(_Waiting(delivery, holder, first))
            self._hand_out()

    def forget(self, export: str, part: int, attempt: int) -> None:
        with self._lock:
            self._waiting = [one for one in self._waiting if one.key != (export, part, attempt)]

    def alive(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._children)

    def deaths(self) -> tuple[str, ...]:
        with self._lock:
            dead, self._dead = self._dead, []
            return tuple(dead)

    def close(self, patience: float = PATIENCE) -> None:
        """Tell the children to end, and end those that do not within `patience` seconds."""
        self._closing.set()
        self._crowded.set()
        with self._lock:
            children = list(self._children.values())
        for child in children:
            _hang_up(child.process)
        deadline = time.monotonic() + patience
        for child in children:
            _end(child.process, deadline)
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 5.0))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, waiting: _Waiting) -> None:
        """Urgent ones go behind other urgent ones, before all others."""
        behind = sum(one.first for one in self._waiting) if waiting.first else len(self._waiting)
        self._waiting.insert(behind, waiting)

    def _hand_out(self) -> None:
        for waiting in list(self._waiting):
            child = next(
                (
                    one
                    for one in self._children.values()
                    if one.idle and waiting.holder in {None, one.name} and not self._closing.is_set()
                ),
                None,
            )
            if child is not None:
                self._waiting.remove(waiting)
                child.idle = False
                child.handed.append(waiting)
                _say(child.process, waiting.delivery)
        if len(self._waiting) > sum(not one.handed for one in self._children.values()):
            self._crowded.set()

    def _tend(self, number: int) -> None:
        """Keep one child running until we close; those that are not started ahead, from when there is a crowd."""
        if number >= self._ahead:
            self._crowded.wait()
        pause = 0.1
        while not self._closing.is_set():
            born = time.monotonic()
            child = self._spawn()
            for _line in child.process.stdout or ():
                self._is_idle(child)
            self._has_ended(child)
            pause = min(2 * pause, LONGEST_PAUSE) if time.monotonic() - born < SHORT_LIFE else 0.1
            self._closing.wait(pause)

    def _spawn(self) -> _Child:
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        process = subprocess.Popen(
            self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        child = _Child(name, process)
        with self._lock:
            self._children[name] = child
            _say(process, self._config | {"worker": name})
            if self._closing.is_set():
                _hang_up(process)
        return child

    def _is_idle(self, child: _Child) -> None:
        with self._lock:
            child.idle = True
            child.handed.clear()
            self._hand_out()
        self._nudge()

    def _has_ended(self, child: _Child) -> None:
        """What it was handed goes to another: if it had begun, the ledger will refuse that."""
        child.process.wait()
        _hang_up(child.process)
        assert child.process.stdout
        child.process.stdout.close()
        with self._lock:
            del self._children[child.name]
            self._dead.append(child.name)
            self._waiting = [one for one in (*child.handed, *self._waiting) if one.holder != child.name]
            self._hand_out()
        self._nudge()


def _say(process: subprocess.Popen[str], what: Mapping[str, Any]) -> None:
    assert process.stdin
    with contextlib.suppress(OSError, ValueError):  # it has ended, which its own thread will see
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()


def _hang_up(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    with contextlib.suppress(OSError):
        process.stdin.close()


def _end(process: subprocess.Popen[str], deadline: float) -> None:
    for urge in (process.terminate, process.kill):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 1.0))
            return
        urge()
    process.wait()
