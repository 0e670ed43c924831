"""`python -m bench`: Outhaul beside other ways, in one interleaved run, into bench/RESULTS.md."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg

from bench import circumstances, latency, report, tpch
from bench.check import Checks
from bench.contenders import CONTENDERS
from bench.latency import Small
from bench.measure import ROOT, Failed
from bench.report import Entry
from bench.services import Services
from bench.ways import Place, run
from bench.works import WORKS
from outhaul import formats, siblings
from tests import postgres

PEERS = ROOT / ".peers" / "bin" / "python"
CUTS = """
SELECT percentile_disc(array[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY o_orderkey)::text[],
    (SELECT relpages FROM pg_class WHERE relname = 'lineitem') FROM orders
"""


def main(arguments: list[str] | None = None) -> int:
    """0 when every contender that is here wrote the right rows; else 1."""
    asked = _parser().parse_args(arguments)
    load = psutil.getloadavg()
    folder = Path(asked.folder).absolute()
    page = asked.results or _page(asked.scale)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    chosen = [one for one in CONTENDERS if not asked.rows or one.work.name in asked.rows]
    with ExitStack() as opened:
        opened.callback(shutil.rmtree, folder, ignore_errors=True)
        server = postgres.Server.make(next(iter(postgres.binaries())), postgres.new_home("bench"))
        opened.callback(server.remove)
        place, data = _place(asked, server.url, folder, {one.work.source for one in chosen})
        opened.enter_context(place.services)
        about = circumstances.facts(server.url, place.environment, load, data)
        entries = [Entry(one, _missing(one.needs, place.environment)) for one in chosen]
        small = Small()

        def write() -> None:
            report.write(page, entries, small, about, asked.slow)

        checks = Checks(server.url)
        for number in range(asked.rounds):
            _round(number, entries, place, checks, asked.slow)
            write()
        place.services.close()
        small = latency.measure(place.variables("postgresql"), asked.small)
        about["load after"] = ", ".join(f"{each:.2f}" for each in psutil.getloadavg())
        write()
    for entry in entries:
        if entry.wrong:
            print(f"{entry.title}: {entry.wrong}", file=sys.stderr)
    return int(any(entry.wrong for entry in entries) or bool(small.wrong))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--scale", type=float, default=0.1, help="TPC-H scale factor; 1 is 6 million lineitems")
    add("--rows", type=_rows, default=(), help=f"some of: {', '.join(WORKS)}; default: all")
    add("--rounds", type=int, default=5, help="how often each contender runs")
    add("--slow", type=float, default=4, help="a peer that takes so many times our time runs once")
    add("--small", type=int, default=30, help="how many small exports over HTTP are timed")
    add("--folder", default=ROOT / "tmp" / "bench", help="where all write; emptied, then removed")
    add(
        "--results",
        type=Path,
        help="where results go; default: bench/RESULTS-SCALE.md, at scale 1 RESULTS.md",
    )
    return parser


def _page(scale: float) -> Path:
    return ROOT / "bench" / ("RESULTS.md" if scale == 1 else f"RESULTS-{scale:g}.md")


def _rows(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in WORKS:
            raise argparse.ArgumentTypeError(f"there is no row {name!r}; one of: {', '.join(WORKS)}")
    return names


def _place(
    asked: argparse.Namespace, url: str, folder: Path, sources: set[str]
) -> tuple[Place, dict[str, str]]:
    """The databases that are asked for, what shell lines see of them, and what is to be said of them."""
    rows = tpch.load(url, asked.scale)
    urls = {"postgresql": url}
    if "uuid" in sources:
        urls["uuid"] = url.rsplit("/", 1)[0] + "/uuids"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE uuids")
        tpch.load_uuids(url, urls["uuid"])
    if "sqlite" in sources:
        tpch.load_sqlite(folder / "tpch.db", asked.scale)
        urls["sqlite"] = f"sqlite:///{folder / 'tpch.db'}"
    part_bytes = min(100_000_000, int(200_000_000 * asked.scale))
    environment = _environment(folder) | {"PART_BYTES": str(part_bytes)}
    cuts = {source: _cuts(url if source == "sqlite" else address) for source, address in urls.items()}
    with psycopg.connect(url) as connection:
        postmaster = psutil.Process(connection.info.backend_pid).ppid()
    counted = ", ".join(f"{count:,} {name}" for name, count in rows.items())
    said = {
        "data": f"TPC-H at scale {asked.scale:g}: {counted}",
        "parts": f"of about {part_bytes:,} bytes",
        "rounds": f"{asked.rounds}, interleaved, in an order that turns; medians, and the range of the wall clock",
    }
    return Place(urls, cuts, environment, Services(folder, part_bytes), postmaster, part_bytes), said


def _cuts(url: str) -> dict[str, str]:
    """What cuts orders by their keys, and lineitem by its blocks, in four."""
    with psycopg.connect(url) as connection:
        found = connection.execute(CUTS).fetchone()
    assert found
    keys, pages = found
    blocks = {f"BLOCK{number}": f"({pages * number // 4},0)" for number in (1, 2, 3)}
    return blocks | {f"KEY{number}": key for number, key in enumerate(keys, 1)}


def _environment(folder: Path) -> dict[str, str]:
    """What all shell lines see: one psql, one outhaul and one sling on PATH, and nobody's settings."""
    dropped = ("OUTHAUL_", "PG", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    programs = (Path(sys.executable).parent, Path(postgres.psql()).parent, *_sling(folder))
    return kept | {
        "PATH": os.pathsep.join((*map(str, programs), os.environ["PATH"])),
        "OUT": str(folder / "out"),
        "FILE": str(folder / "tpch.db"),
        "PEERS": str(PEERS),
        "TMPDIR": str(folder),
        "SLING_HOME_DIR": str(folder / "sling"),
        "SLING_DISABLE_TELEMETRY": "true",
    }


def _sling(folder: Path) -> list[Path]:
    """A folder with the program that sling's package holds, if it is here."""
    for program in PEERS.parent.parent.glob("lib/python*/site-packages/sling_*/bin/sling-*"):
        (folder / "bin").mkdir()
        (folder / "bin" / "sling").symlink_to(program)
        return [folder / "bin"]
    return []


def _missing(needs: Sequence[str], environment: Mapping[str, str]) -> str:
    for need in needs:
        kind, _, name = need.rpartition(":")
        if kind == "format" and name not in siblings.names(formats):
            return f"there is no format {name}"
        if kind == "peers" and not _importable(name, environment["PEERS"]):
            return f"{name} is not installed here"
        if not kind and not shutil.which(name, path=environment["PATH"]):
            return f"{name} is not installed here"
    return ""


def _importable(module: str, python: str) -> bool:
    ask = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return Path(python).exists() and not subprocess.run([python, "-c", ask], check=False).returncode


def _round(number: int, entries: list[Entry], place: Place, checks: Checks, slow: float) -> None:
    """Every contender once, in an order that turns from round to round; what is wrong once is out."""
    start = number * 7 % len(entries)
    for entry in entries[start:] + entries[:start]:
        if entry.missing or entry.wrong or _too_slow(entry, entries, slow):
            continue
        place.out.mkdir()
        try:
            cost = run(entry.contender, place)
            checks.check(entry.contender.work, entry.contender.files, place.out)
            entry.costs.append(cost)
            print(f"round {number + 1}: {entry.title}: {cost.wall:.2f} s", flush=True)
        except Failed as error:
            entry.wrong = str(error)
        except Exception as error:  # noqa: BLE001  # whatever became of one, the others go on
            entry.wrong = f"{type(error).__name__}: {error}"
        finally:
            shutil.rmtree(place.out)


def _too_slow(entry: Entry, entries: Sequence[Entry], slow: float) -> bool:
    """Whether more of a peer's rounds would tell nothing that the first one has not."""
    ours = [
        one.wall for one in entries if one.contender.work == entry.contender.work and one.ours and one.timed
    ]
    return bool(entry.costs) and not entry.ours and entry.wall > slow * min(ours, default=entry.wall)


if __name__ == "__main__":
    sys.exit(main())
