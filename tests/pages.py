"""Pages of the documentation: their blocks, and a shell that runs them as they are typed."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PATIENCE = 100.0  # seconds for all lines of a page
BLOCK = re.compile(
    r"(?:^`(?P<file>[\w./-]+)`:\n\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)
SERVES = re.compile(r"(\w+=\S+ )*(\.venv/bin/)?outhaul (serve|sandbox)\b.*")
# Runs a line that goes on until it is ended, in a terminal of its own, and waits until somebody answers at the port.
BEGINNING = """
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
begin() {
    bash -c "exec env $1" 2>>serve.log &
    for _ in $(seq 300); do
        kill -0 $! || { cat serve.log >&2; exit 1; }
        curl -s -o answer.txt http://127.0.0.1:$2/api/exports && [ -s "$3" ] && return
        sleep 0.1
    done
    cat serve.log >&2
    exit 1
}
"""


@dataclass(frozen=True, slots=True)
class Block:
    """`file`: whose content it is, where the page names one above it."""

    kind: str
    text: str
    file: str = ""

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def blocks(page: Path) -> list[Block]:
    """All that is fenced, in order."""
    return [Block(one["kind"], one["text"], one["file"] or "") for one in BLOCK.finditer(page.read_text())]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Ours without what would decide for the page, and a folder with the programs `outhaul` and `python` before all."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OUTHAUL_", "PG"))}
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name, words in (("outhaul", "-m outhaul.cli"), ("python", ""), ("python3", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    return kept | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "OUTHAUL_MIN_FREE": "1", **more}


def script(some: Iterable[Block], port: int = 8350) -> str:
    """What a shell is to be given, so that all blocks happen in their order, in one folder and with one memory."""
    made = [BEGINNING]
    for block in some:
        if block.kind in {"sh", "console"}:
            made += [_begun(line, port) if SERVES.fullmatch(line) else line for line in block.lines]
        elif name := block.file or {"toml": "catalog.toml"}.get(block.kind, ""):
            made += [f"cat > {name} <<'END-OF-FILE'", block.text.rstrip("\n"), "END-OF-FILE"]
    return "\n".join(made)


def typed(text: str, place: Path, surroundings: Mapping[str, str]) -> str:
    """What the lines print; they must end well."""
    done = subprocess.run(
        ["bash", "-c", text],
        cwd=place,
        env=dict(surroundings),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    log = place / "serve.log"
    assert done.returncode == 0, done.stdout + done.stderr + (log.read_text() if log.exists() else "")
    return done.stdout


@contextmanager
def alone(what: str = "8350") -> Iterator[None]:
    """Pages name a port or a database, and tests run beside each other: one at a time has it."""
    with Path(tempfile.gettempdir(), f"outhaul-test-{what}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _begun(line: str, port: int) -> str:
    """The line in the background; it has begun when it answers and has said what it is to say."""
    return f"begin '{line}' {port} {line.partition(' > ')[2] or 'serve.log'}"
