"""`python -m bench`: Outhaul beside the database's own tools, in one interleaved run, into bench/RESULTS.md."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import psycopg

from bench import latency, report, tpch
from bench.check import check, truth
from bench.contenders import CONTENDERS, WORKS
from bench.measure import ROOT, Failed, run
from bench.report import Entry
from tests import postgres


def main(arguments: list[str] | None = None) -> int:
    """0 when every contender that is here wrote the right rows; else 1."""
    asked = _parser().parse_args(arguments)
    folder = Path(asked.folder).absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    load = psutil.getloadavg()
    server = postgres.Server.make(next(iter(postgres.binaries())), postgres.new_home("bench"))
    try:
        rows = tpch.load(server.url, asked.scale)
        environment = _environment(server.url, folder)
        entries = [Entry(contender, _missing(contender.needs, environment)) for contender in CONTENDERS]
        _rounds(entries, asked.rounds, environment)
        small = latency.measure(environment, asked.small)
        facts = report.facts(server.url, asked, rows, load)
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)
    report.write(asked.results, entries, small, facts)
    for entry in entries:
        if entry.wrong:
            print(f"{entry.title}: {entry.wrong}", file=sys.stderr)
    return int(any(entry.wrong for entry in entries) or bool(small.wrong))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--scale", type=float, default=0.1, help="TPC-H scale factor; 1 is 6 million lineitems"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs")
    parser.add_argument("--small", type=int, default=30, help="how many small exports over HTTP are timed")
    parser.add_argument(
        "--folder", default=ROOT / "tmp" / "bench", help="where all write; emptied, then removed"
    )
    parser.add_argument(
        "--results", type=Path, default=ROOT / "bench" / "RESULTS.md", help="where results go"
    )
    return parser


def _environment(url: str, folder: Path) -> dict[str, str]:
    """What the shell lines see: one psql and one outhaul on PATH, and the facts of the data."""
    with psycopg.connect(url) as connection:
        key = connection.execute(
            "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY o_orderkey) FROM orders"
        ).fetchone()
        blocks = connection.execute("SELECT relpages / 2 FROM pg_class WHERE relname = 'lineitem'").fetchone()
    assert key
    assert blocks
    programs = (str(Path(sys.executable).parent), str(Path(postgres.psql()).parent), os.environ["PATH"])
    facts = {"URL": url, "MIDDLE_KEY": str(key[0]), "MIDDLE_BLOCK": str(blocks[0])}
    place = {"PATH": os.pathsep.join(programs), "OUT": str(folder / "out"), "TMPDIR": str(folder)}
    return dict(os.environ) | facts | place


def _missing(program: str, environment: Mapping[str, str]) -> str:
    return "" if shutil.which(program, path=environment["PATH"]) else f"{program} is not installed here"


def _rounds(entries: list[Entry], rounds: int, environment: Mapping[str, str]) -> None:
    """Every contender once in each round, in an order that turns; what is wrong once is out."""
    wanted = {name: truth(environment["URL"], work) for name, work in WORKS.items()}
    out = Path(environment["OUT"])
    for number in range(rounds):
        start = number % len(entries)
        for entry in entries[start:] + entries[:start]:
            if entry.missing or entry.wrong:
                continue
            out.mkdir()
            try:
                cost = run(entry.contender.command, environment, postmaster(environment["URL"]))
                check(entry.contender, WORKS[entry.contender.work], out, wanted[entry.contender.work])
                entry.costs.append(cost)
                print(f"round {number + 1}: {entry.title}: {cost.wall:.2f} s", flush=True)
            except Failed as error:
                entry.wrong = str(error)
            finally:
                shutil.rmtree(out)


def postmaster(url: str) -> int:
    """The process id of the server, which runs on this machine."""
    with psycopg.connect(url) as connection:
        return psutil.Process(connection.info.backend_pid).ppid()


if __name__ == "__main__":
    sys.exit(main())
