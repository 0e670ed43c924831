"""The circumstances of a run: machine, load, versions, commit, data."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psycopg

SETTINGS = ("fsync", "shared_buffers", "max_parallel_workers_per_gather", "jit")
PACKAGES = ("outhaul", "pyarrow", "asyncpg", "adbc-driver-sqlite", "isal", "numpy", "tpchgen-cli")
PEERS = (
    *("duckdb", "duckdb-extension-postgres-scanner", "duckdb-extension-sqlite-scanner", "psycopg", "django"),
    *("polars", "connectorx", "sling-linux-amd64"),
)
PROGRAMS = ("psql", "sqlite3", "gzip")
ASK = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def facts(
    url: str,
    environment: Mapping[str, str],
    load: Sequence[float],
    data: Mapping[str, str],
) -> dict[str, str]:
    """In the order in which they are printed."""
    with psycopg.connect(url) as connection:
        shown = [
            connection.execute(f"SHOW {name}".encode()).fetchone() for name in ("server_version", *SETTINGS)
        ]
    server, *values = [row[0] for row in shown if row]
    settings = [f"{name} = {value}" for name, value in zip(SETTINGS, values, strict=True)]
    return {
        **here(load),
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "peers": ", ".join((*_peers(environment), *_programs(environment))) or "none is installed",
        "database": f"PostgreSQL {server} on the same machine, over TCP; {', '.join(settings)}",
        **data,
    }


def here(load: Sequence[float]) -> dict[str, str]:
    """Of every run: when, of what, and on which machine."""
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores ({_processor()}), {platform.system()} {platform.release()}",
        "load before": loads(load),
        "Python": platform.python_version(),
    }


def loads(load: Sequence[float]) -> str:
    """The machine's load over one, five and fifteen minutes."""
    return ", ".join(f"{each:.2f}" for each in load)


def _peers(environment: Mapping[str, str]) -> list[str]:
    if not Path(environment["PEERS"]).exists():
        return []
    done = subprocess.run(
        [environment["PEERS"], "-c", ASK, *PEERS], capture_output=True, text=True, check=True
    )
    return [f"{name} {found}" for name, found in json.loads(done.stdout).items()]


def _programs(environment: Mapping[str, str]) -> list[str]:
    found = []
    for name in PROGRAMS:
        if path := shutil.which(name, path=environment["PATH"]):
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            words = [word for word in said.split() if word[0].isdigit()]
            found.append(f"{name} {words[0] if words else ''}".strip())
    return found


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
        )
        return done.stdout.strip()

    # The pages themselves are written by every run: they alone do not make a tree dirty.
    changed = git("status", "--porcelain", "--", "../src", ":!RESULTS*.md", ":!LOAD.md", ".")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (
        " with changes not committed" if changed else ""
    )


def _processor() -> str:
    found = [
        line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")
    ]
    return found[0] if found else platform.machine()


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
