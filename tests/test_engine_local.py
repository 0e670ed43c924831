"""The local engine with real child processes that are no workers: what it hands to whom, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from outhaul.engines.local import Engine

# Writes down its configuration and each delivery, ends each one when a file of the delivery's name appears.
CHILD = """
import json, os, sys, time
folder = sys.argv[1]
config = json.loads(sys.stdin.readline())
log = open(os.path.join(folder, config["worker"] + ".log"), "a", buffering=1)
log.write(json.dumps({"pid": os.getpid(), "config": config}) + chr(10))
def idle():
    try:
        print("idle", flush=True)
    except BrokenPipeError:
        pass
idle()
for line in sys.stdin:
    delivery = json.loads(line)
    log.write(line)
    while delivery.get("hold") and not os.path.exists(os.path.join(folder, delivery["hold"])):
        time.sleep(0.005)
    log.write(json.dumps({"ended": delivery["part"]}) + chr(10))
    idle()
log.write(json.dumps({"bye": True}) + chr(10))
"""


def until(true: Callable[[], Any], what: str = "", patience: float = 20.0) -> Any:
    deadline = time.monotonic() + patience
    while not (value := true()):
        assert time.monotonic() < deadline, what
        time.sleep(0.005)
    return value


class Children:
    """An engine over such children, and what they wrote down."""

    def __init__(self, folder: Path, slots: int, program: str = CHILD, ahead: int | None = None) -> None:
        self.folder = folder
        self.nudged = threading.Event()
        argv = [sys.executable, "-c", program, str(folder)]
        self.engine = Engine(argv, slots, {"secret": "s3cret"}, self.nudged.set, ahead)

    def logs(self) -> dict[str, list[Any]]:
        return {
            path.stem: [json.loads(line) for line in path.read_text().splitlines()]
            for path in self.folder.glob("*.log")
        }

    def parts(self) -> dict[str, list[int]]:
        """Per worker the parts that it was handed, in order."""
        return {
            name: [line["part"] for line in lines if "part" in line] for name, lines in self.logs().items()
        }

    def all_parts(self) -> list[int]:
        return sorted(part for parts in self.parts().values() for part in parts)

    def pid(self, name: str) -> int:
        pid: int = self.logs()[name][0]["pid"]
        return pid

    def finish(self, name: str) -> None:
        (self.folder / name).touch()


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Callable[..., Children]]:
    made: list[Children] = []

    def make(slots: int, program: str = CHILD, ahead: int | None = None) -> Children:
        one = Children(tmp_path, slots, program, ahead)
        made.append(one)
        one.engine.start()
        if program == CHILD:
            until(lambda: len(one.logs()) == (ahead or slots) and all(one.logs().values()))
        return one

    yield make
    for one in made:
        one.engine.close(patience=2)


def delivery(part: int, hold: str = "") -> dict[str, Any]:
    return {"export": "x", "part": part, "attempt": 1, "hold": hold}


def test_every_delivery_reaches_one_child_and_each_end_is_a_nudge(children: Callable[..., Children]) -> None:
    run = children(2)
    run.nudged.clear()
    for part in range(20):
        run.engine.deliver(delivery(part))
    until(lambda: run.all_parts() == list(range(20)))
    assert run.nudged.wait(20)


def test_children_that_nobody_needs_are_not_started(children: Callable[..., Children]) -> None:
    run = children(3, ahead=1)

    def done(expected: list[int]) -> bool:
        return run.all_parts() == expected

    for part in range(5):
        run.engine.deliver(delivery(part))
        until(partial(done, list(range(part + 1))))
        until(lambda: all(child.idle for child in run.engine._children.values()), "it is ready for the next")
    assert len(run.engine.alive()) == 1
    for part in range(5, 9):
        run.engine.deliver(delivery(part, "go"))
    until(lambda: len(run.engine.alive()) == 3, "a crowd starts the others")
    until(lambda: len([1 for parts in run.parts().values() if parts]) == 3)
    run.finish("go")
    until(lambda: run.all_parts() == list(range(9)))


def test_the_configuration_is_not_on_the_command_line(children: Callable[..., Children]) -> None:
    run = children(1)
    (name,) = run.engine.alive()
    assert run.logs()[name][0]["config"] == {"secret": "s3cret", "worker": name}
    assert "s3cret" not in " ".join(psutil.Process(run.pid(name)).cmdline())


def test_what_is_urgent_overtakes_what_waits(children: Callable[..., Children]) -> None:
    run = children(1)
    run.engine.deliver(delivery(1, "go"))
    until(lambda: run.all_parts() == [1])
    for part in (2, 3):
        run.engine.deliver(delivery(part))
    for part in (4, 5):
        run.engine.deliver(delivery(part), first=True)
    run.finish("go")
    until(lambda: len(run.all_parts()) == 5)
    assert list(run.parts().values()) == [[1, 4, 5, 2, 3]]


def test_a_delivery_for_a_holder_waits_for_it(children: Callable[..., Children]) -> None:
    run = children(2)
    holder, _other = run.engine.alive()
    run.engine.deliver(delivery(1, "go"), holder=holder)
    until(lambda: run.parts()[holder] == [1])
    run.engine.deliver(delivery(2), holder=holder)
    run.engine.deliver(delivery(3))
    until(lambda: run.all_parts() == [1, 3])
    run.finish("go")
    until(lambda: run.parts()[holder] == [1, 2])


def test_a_forgotten_delivery_is_not_handed_out(children: Callable[..., Children]) -> None:
    run = children(1)
    run.engine.deliver(delivery(1, "go"))
    run.engine.deliver(delivery(2))
    run.engine.deliver(delivery(3))
    run.engine.forget("x", 2, 1)
    run.finish("go")
    until(lambda: run.all_parts() == [1, 3])


def test_what_a_killed_child_was_handed_goes_to_another(children: Callable[..., Children]) -> None:
    run = children(1)
    (name,) = run.engine.alive()
    run.engine.deliver(delivery(1, "never"))
    run.engine.deliver(delivery(2))
    until(lambda: run.all_parts() == [1])
    os.kill(run.pid(name), signal.SIGKILL)
    run.finish("never")
    until(lambda: run.all_parts() == [1, 1, 2])
    assert name in run.engine.deaths()
    assert run.engine.deaths() == ()
    assert name not in run.engine.alive()


def test_what_was_for_a_dead_holder_is_dropped(children: Callable[..., Children]) -> None:
    run = children(1)
    (name,) = run.engine.alive()
    run.engine.deliver(delivery(1, "never"), holder=name)
    run.engine.deliver(delivery(2), holder=name)
    until(lambda: run.all_parts() == [1])
    os.kill(run.pid(name), signal.SIGKILL)
    run.engine.deliver(delivery(3))
    until(lambda: run.all_parts() == [1, 3])


def test_a_child_that_ends_at_once_is_started_again_ever_more_slowly(
    children: Callable[..., Children],
) -> None:
    program = """
import os, sys, time
open(os.path.join(sys.argv[1], "starts"), "a").write(f"{time.monotonic()}" + chr(10))
"""
    run = children(1, program)
    starts = run.folder / "starts"
    until(lambda: starts.exists() and len(starts.read_text().split()) == 4)
    times = [float(text) for text in starts.read_text().split()]
    pauses = [later - sooner for sooner, later in pairwise(times)]
    assert pauses[0] >= 0.2
    assert pauses[1] >= 0.4
    assert pauses[2] >= 0.8


def test_closing_ends_idle_children_by_the_end_of_their_input(children: Callable[..., Children]) -> None:
    run = children(2)
    pids = [run.pid(name) for name in run.engine.alive()]
    run.engine.close()
    assert all(lines[-1] == {"bye": True} for lines in run.logs().values())
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_closing_kills_what_will_not_end(children: Callable[..., Children]) -> None:
    program = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(os.path.join(sys.argv[1], "pid"), "w").write(str(os.getpid()))
while True: time.sleep(1)
"""
    run = children(1, program)
    file = run.folder / "pid"
    pid = int(until(lambda: file.exists() and file.read_text()))
    run.engine.close(patience=0.5)
    assert not psutil.pid_exists(pid)


def test_children_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    parent = f"""
import sys
from outhaul.engines.local import Engine
engine = Engine([sys.executable, "-c", {CHILD!r}, {str(tmp_path)!r}], 2, {{}}, lambda: None)
engine.start()
sys.stdin.read()
"""
    process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, start_new_session=True)
    logs = lambda: [path.read_text().splitlines() for path in tmp_path.glob("*.log")]  # noqa: E731  # one line
    until(lambda: len(logs()) == 2 and all(logs()))
    pids = [json.loads(lines[0])["pid"] for lines in logs()]
    process.kill()
    process.communicate()
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    assert all(json.loads(lines[-1]) == {"bye": True} for lines in logs())
