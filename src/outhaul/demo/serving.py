"""The demo's service: a real `outhaul serve` in a process of its own, watched and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from outhaul.errors import Misconfigured, OuthaulError

OUTHAUL = (sys.executable, "-m", "outhaul.cli")
PATIENCE = 30.0  # seconds for a start or an end
LOOK = 0.05  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    address: str
    pid: int


@contextmanager
def service(folder: Path, source: str) -> Iterator[Service]:
    """Serves `source` with all its state below `folder`, on a free port, until the block ends."""
    end_leftover(folder)
    port = _free_port()
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [*OUTHAUL, "serve", "--port", str(port), "--state", str(folder / "state")],
            env=environment(folder) | {"OUTHAUL_SOURCE": source},  # not an argument: it may hold a password
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
    (folder / "serve.pid").write_text(str(process.pid))
    try:
        _await_listening(process, port, folder / "serve.log")
        yield Service(f"http://127.0.0.1:{port}", process.pid)
    finally:
        _end(process)
        (folder / "serve.pid").unlink(missing_ok=True)


def environment(folder: Path) -> dict[str, str]:
    """Ours without the user's settings of Outhaul, and with temporary files inside the folder."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTHAUL_")}
    return kept | {"TMPDIR": str(temporary), "SQLITE_TMPDIR": str(temporary)}


def outhaul(folder: Path, *arguments: str) -> str:
    """What a command of ours prints; OuthaulError with its own words when it does not end well."""
    done = subprocess.run(
        [*OUTHAUL, *arguments],
        env=environment(folder),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OuthaulError(
            f"`outhaul {arguments[0]}` ended with {done.returncode}: {done.stderr or done.stdout}"
        )
    return done.stdout.strip()


def end_leftover(folder: Path) -> None:
    """Ends the service of a demo that was killed, if it still runs: only a process that works in this folder."""
    record = folder / "serve.pid"
    if not record.exists():
        return
    pid = int(record.read_text() or 0)
    _tell(pid, signal.SIGTERM, folder)
    deadline = time.monotonic() + PATIENCE
    while _works_in(folder, pid) and time.monotonic() < deadline:
        time.sleep(LOOK)
    _tell(pid, signal.SIGKILL, folder)
    record.unlink()


def _tell(pid: int, sign: signal.Signals, folder: Path) -> None:
    if _works_in(folder, pid):
        with suppress(ProcessLookupError):
            os.kill(pid, sign)


def _works_in(folder: Path, pid: int) -> bool:
    return str(folder / "state") in _command(pid)


def _command(pid: int) -> str:
    """The command line of a process, empty when there is none."""
    if Path("/proc/self").exists():
        with suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""
    shown = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout


def _await_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(LOOK)
    raise Misconfigured(f"The service did not start: {log.read_text(errors='replace')[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
