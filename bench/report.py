"""Results as a page: what ran, on what, and medians beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.contenders import Contender
from bench.latency import Small
from bench.measure import Cost
from bench.works import Work

HEAD = """\
# Results

The record at scale 1 is [RESULTS.md](RESULTS.md), made by `make bench SCALE=1 ROWS=...`; `make bench` makes all rows at
scale 0.1: [RESULTS-0.1.md](RESULTS-0.1.md). A number counts only after rows and sums of the output have been read back
by DuckDB and found equal to the database's. Times in seconds, medians. *Client* is the CPU time of the processes that
make the output, *database* that of the PostgreSQL server, *memory* the peak of the summed PSS of the former. A peer
that takes more than {slow} times as long as Outhaul's quickest way is timed in one round only.

Many callers at once, and ledgers of a million exports: see [LOAD.md](LOAD.md).

- *data plane alone*: a plan's parts from the source to the disk, by processes that are ready when the clock starts.
- *service*: from the request to `completed`, over HTTP, on a service that runs: with ledger, snapshot, two counts,
  fsync, SHA-256 and manifest. Memory is that of the whole service.
- *command line*: all of it, the start of Python and of the workers too.

Outhaul's files are on the disk (fsync) when its clock stops; the others' may still be in the cache. Where the load
before is not near zero, others were at work on the machine: read the seconds as no more than a hint.
"""
COMMANDS = """\
Run by bash with `pipefail`; `URL` is the database (`FILE` that of SQLite), `OUT` an empty folder, `PART_BYTES` the
wanted size of a part, `KEY1` to `KEY3` and `BLOCK1` to `BLOCK3` what cuts orders and lineitem in four, `PEERS` the
Python of the peers. What begins with `{` is the body of a request to a service that has as many workers."""


@dataclass(slots=True)
class Entry:
    """A contender and what its rounds have cost; `missing` names what it lacks, `wrong` what it did wrong."""

    contender: Contender
    missing: str = ""
    wrong: str = ""
    costs: list[Cost] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.contender.work.name}: {self.contender.name}, {self.contender.connections}"

    @property
    def ours(self) -> bool:
        return self.contender.name.startswith("Outhaul")

    @property
    def timed(self) -> bool:
        return bool(self.costs) and not self.wrong

    def middle(self, of: Callable[[Cost], float]) -> float:
        return median(of(cost) for cost in self.costs)

    @property
    def wall(self) -> float:
        return self.middle(lambda cost: cost.wall)


@dataclass(frozen=True, slots=True)
class Aim:
    """What Outhaul's data plane with `workers` wants to take, as a share of a peer's time; `prototype`: what it was
    before there was Outhaul."""

    work: str
    workers: int
    peer: str
    connections: int
    share: float
    prototype: str


AIMS = (
    Aim("flat-csv", 2, "psql \\copy", 1, 0.70, "0.79"),
    Aim("nested-ndjson", 2, "JSON made by PostgreSQL", 2, 0.50, "0.53"),
    Aim("parquet", 2, "DuckDB, scanner", 2, 1.00, "1.30"),
    Aim("flat-csv-gzip", 2, "psql \\copy | gzip -1", 1, 0.50, ""),
    Aim("sqlite-flat-csv", 1, "sqlite3 -csv", 1, 1.00, "1.12"),
)
PLANE, SERVICE, UNCOUNTED = "plane", "service", "uncounted"


def write(path: Path, entries: Sequence[Entry], small: Small, about: Mapping[str, str], slow: float) -> None:
    """One page in Markdown; what it says is only what this run has measured."""
    page = [HEAD.replace("{slow}", f"{slow:g}"), *(f"- {name}: {value}" for name, value in about.items())]
    page += ["", "## Aims", "", *_aims(entries)]
    works = list(dict.fromkeys(entry.contender.work for entry in entries))
    for work in works:
        page += ["", f"## {work.title}", "", f"`ROWS={work.name}`", *_table(_of(entries, work))]
    page += ["", "## What the service adds to the data plane", "", *_added(entries, works)]
    page += ["", "## A small export over HTTP", "", small.sentence()]
    page += ["", "## Commands", "", COMMANDS]
    for entry in entries:
        page += ["", f"{entry.title}:", "", "```", entry.contender.line, "```"]
    path.write_text("\n".join(page) + "\n")


def _of(entries: Sequence[Entry], work: Work) -> list[Entry]:
    return [entry for entry in entries if entry.contender.work == work]


def _table(entries: Sequence[Entry]) -> list[str]:
    lines = [
        "",
        "| | connections | wall | range | rounds | client | database | memory | written |",
        "| --- |" + " ---: |" * 8,
    ]
    for entry in entries:
        first = f"| {_cell(entry.contender.name)} | {entry.contender.connections} |"
        if not entry.timed:
            said = entry.missing or f"failed: {(entry.wrong or 'not run').splitlines()[0]}"
            lines.append(f"{first} {_cell(said)} | | | | | | |")
            continue
        walls = [cost.wall for cost in entry.costs]
        lines.append(
            f"{first} {entry.wall:.2f} | {min(walls):.2f} to {max(walls):.2f} | {len(walls)} "
            f"| {entry.middle(lambda cost: cost.client):.2f} | {entry.middle(lambda cost: cost.database):.2f} "
            f"| {entry.middle(lambda cost: cost.peak) / 1e6:.0f} MB "
            f"| {entry.middle(lambda cost: cost.written) / 1e6:.0f} MB |"
        )
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _aims(entries: Sequence[Entry]) -> list[str]:
    lines = [
        "Outhaul's data plane alone as a share of a peer's time, both of this run; in brackets what a prototype took.",
        "",
        "| | workers | beside | its connections | share | aim |",
        "| --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for aim in AIMS:
        ours = [e for e in entries if e.contender.way == PLANE and e.contender.connections == aim.workers]
        theirs = [
            e for e in entries if (e.contender.name, e.contender.connections) == (aim.peer, aim.connections)
        ]
        pair = [e for e in (*ours, *theirs) if e.contender.work.name == aim.work and e.timed]
        share = f"{pair[0].wall / pair[1].wall:.2f}" if len(pair) == 2 else "not measured"
        aimed = f"{aim.share:.2f}" + (f" ({aim.prototype})" if aim.prototype else "")
        lines.append(
            f"| {aim.work} | {aim.workers} | {_cell(aim.peer)} | {aim.connections} | {share} | {aimed} |"
        )
    return lines


def _added(entries: Sequence[Entry], works: Sequence[Work]) -> list[str]:
    lines = [
        "The aim is under 5 % of the data plane's time besides the counts. They are timed alone: rows of the resource",
        "before the answer, and of all that is included under the instant. *Uncounted* is the service without the",
        "first; *rest* is the service less the data plane and both counts. The download comes after all that.",
        "",
        "| | workers | data plane | service | uncounted | first count | count under the instant | rest | download |",
        "| --- |" + " ---: |" * 8,
    ]
    for work in works:
        ways = {
            way: {
                e.contender.connections: e for e in _of(entries, work) if e.contender.way == way and e.timed
            }
            for way in (PLANE, SERVICE, UNCOUNTED)
        }
        for workers in sorted(ways[PLANE].keys() & ways[SERVICE].keys()):
            plane, service = ways[PLANE][workers], ways[SERVICE][workers]
            uncounted = ways[UNCOUNTED].get(workers)
            first, second = (one.middle(lambda cost: cost.counted or 0) for one in (service, plane))
            rest = service.wall - plane.wall - first - second
            lines.append(
                f"| {work.name} | {workers} | {plane.wall:.2f} | {service.wall:.2f} "
                f"| {f'{uncounted.wall:.2f}' if uncounted else ''} | {first:.2f} | {second:.2f} "
                f"| {rest:.2f} ({rest / plane.wall:.0%}) | {service.middle(lambda cost: cost.fetched or 0):.2f} |"
            )
    return lines
