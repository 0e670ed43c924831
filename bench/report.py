"""Results as a page: what ran, on what, and medians beside each other."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psycopg

from bench.contenders import WORKS, Contender
from bench.latency import Small
from bench.measure import Cost

SETTINGS = ("fsync", "shared_buffers", "max_parallel_workers_per_gather", "jit")
PACKAGES = ("outhaul", "pyarrow", "asyncpg", "numpy", "tpchgen-cli")


@dataclass(slots=True)
class Entry:
    """A contender and what its rounds have cost; `missing` names what it lacks, `wrong` what it did wrong."""

    contender: Contender
    missing: str = ""
    wrong: str = ""
    costs: list[Cost] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.contender.name}, {self.contender.connections}"


def facts(
    url: str, asked: argparse.Namespace, rows: Mapping[str, int], load: Sequence[float]
) -> dict[str, str]:
    """The circumstances of a run, in the order in which they are printed."""
    with psycopg.connect(url) as connection:
        shown = [
            connection.execute(f"SHOW {name}".encode()).fetchone() for name in ("server_version", *SETTINGS)
        ]
    server, *values = [row[0] for row in shown if row]
    settings = [f"{name} = {value}" for name, value in zip(SETTINGS, values, strict=True)]
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores ({_processor()}), {platform.system()} {platform.release()}",
        "load before": ", ".join(f"{each:.2f}" for each in load),
        "Python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "database": f"PostgreSQL {server} on the same machine, over TCP; {', '.join(settings)}",
        "data": f"TPC-H at scale {asked.scale}: "
        + ", ".join(f"{count:,} {name}" for name, count in rows.items()),
        "rounds": f"{asked.rounds}, interleaved, in an order that turns; medians, and the range of the wall clock",
    }


def write(path: Path, entries: Sequence[Entry], small: Small, about: Mapping[str, str]) -> None:
    """One page in Markdown; what it says is only what this run has measured."""
    page = [HEAD, *(f"- {name}: {value}" for name, value in about.items())]
    for name, work in WORKS.items():
        page += [
            "",
            f"## {work.title}",
            *_table([entry for entry in entries if entry.contender.work == name]),
        ]
    page += ["", "## A small export over HTTP", "", small.sentence()]
    page += ["", "## Commands", "", COMMANDS]
    page += [
        f"\n{entry.title} ({WORKS[entry.contender.work].title}):\n\n```\n{entry.contender.command}\n```"
        for entry in entries
    ]
    path.write_text("\n".join(page) + "\n")


HEAD = """\
# Results

Made by `make bench`; `make bench SCALE=1` for more. A number counts only after rows and sums of the output have been
read back by DuckDB and found equal to the database's. Times in seconds. *Client* is the CPU time of the command and all
its processes, *database* that of the PostgreSQL server, *memory* the peak of the summed PSS of the command's processes.
For Outhaul the whole command counts: start of Python, ledger, snapshot, independent count, SHA-256, fsync and manifest.
Where the load before is not near zero, others were at work on the machine: read the seconds as no more than a hint.
"""
COMMANDS = """\
Run by bash with `URL` of the database, `OUT` an empty folder, `MIDDLE_KEY` the median order and `MIDDLE_BLOCK` the
middle block of lineitem."""


def _table(entries: Sequence[Entry]) -> list[str]:
    lines = [
        "",
        "| | connections | wall | range | client | database | memory | written |",
        "| --- |" + " ---: |" * 7,
    ]
    for entry in entries:
        first = f"| {entry.contender.name} | {entry.contender.connections} |"
        if not entry.costs or entry.wrong:
            said = entry.missing or f"failed: {entry.wrong.splitlines()[0]}"
            lines.append(f"{first} {said} | | | | | |")
            continue
        walls = [cost.wall for cost in entry.costs]
        middle = _middle(entry.costs)
        lines.append(
            f"{first} {middle(lambda cost: cost.wall):.2f} | {min(walls):.2f} to {max(walls):.2f} "
            f"| {middle(lambda cost: cost.client):.2f} | {middle(lambda cost: cost.database):.2f} "
            f"| {middle(lambda cost: cost.peak) / 1e6:.0f} MB | {middle(lambda cost: cost.written) / 1e6:.0f} MB |"
        )
    return lines


def _middle(costs: Sequence[Cost]) -> Callable[[Callable[[Cost], float]], float]:
    return lambda of: median(of(cost) for cost in costs)


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
        )
        return done.stdout.strip()

    # The page itself is written by every run: it alone does not make a tree dirty.
    changed = git("status", "--porcelain", "--", "../src", ":!RESULTS.md", ".")
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
