"""`python -m bench.load`: very many callers at once, and ledgers of very many exports, into bench/LOAD.md."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from bench import circumstances, load_page, watchers
from bench.crowd import Asked, Seen
from bench.ledgers import grow
from bench.load_page import Pages, Sizes
from bench.measure import ROOT
from bench.places import RESOURCE, Place, place, tenants
from bench.sizes import Asker, compare
from bench.watchers import Watched
from tests import postgres

CROWDED = 10  # organizations among which the callers of the crowd are
MANY, ONE = 100, 1  # organizations that share the exports of a ledger


class Run:
    """One run, by what was asked on the command line; `server`: where ledgers are, if they are not SQLite's."""

    def __init__(self, asked: argparse.Namespace, server: postgres.Server | None) -> None:
        self._asked, self._server = asked, server
        self._folder = Path(asked.folder).absolute()

    def crowd(self) -> Seen:
        """Many callers at once."""
        with self._place("crowd", CROWDED) as at:
            asked = Asked(
                *(at.service.address, list(at.tokens), RESOURCE),
                *(self._asked.clients, self._asked.seconds, self._asked.poll),
            )
            return Seen(**_apart("bench.crowd", asdict(asked)))

    def watched(self) -> Pages:
        """Pages of the console that are open on an export."""
        many, rows = self._asked.pages, self._asked.rows
        with self._ledger() as ledger, place(self._folder / "watched", 1, ledger, among=1, rows=rows) as at:
            asked = watchers.Asked(*(at.service.address, at.tokens[0], RESOURCE, many, self._asked.exports))
            return Pages(many, rows, Watched(**_apart("bench.watchers", asdict(asked))))

    def sizes(self, organizations: int) -> Sizes:
        """The same calls against a small and a large ledger that so many organizations share."""
        both = (self._asked.small, self._asked.large)
        with ExitStack() as opened:
            small, large = (
                opened.enter_context(self._grown(f"{name}-{organizations}", many, organizations))
                for name, many in zip(("small", "large"), both, strict=True)
            )
            return Sizes(organizations, *both, tuple(compare(small, large, self._asked.rounds)))

    @contextmanager
    def _grown(self, name: str, many: int, organizations: int) -> Iterator[Asker]:
        """A caller of a service whose ledger holds so many exports. It was grown while no service ran."""
        with self._ledger() as ledger:
            with self._at(name, organizations, ledger) as at, closing(Asker(at)) as asker:
                pattern, url = asker.export()[0], at.ledger
            grow(url, pattern, many - 1, tenants(organizations))
            print(f"{name}: {many:,} exports", flush=True)
            with self._at(name, organizations, ledger) as at, closing(Asker(at)) as asker:
                asker.look()
                yield asker
        shutil.rmtree(self._folder / name)

    @contextmanager
    def _place(self, name: str, organizations: int) -> Iterator[Place]:
        with self._ledger() as ledger, self._at(name, organizations, ledger) as at:
            yield at

    @contextmanager
    def _ledger(self) -> Iterator[str]:
        if self._server is None:
            yield ""
            return
        with self._server.database(f"ledger_{uuid4().hex}") as url:
            yield url

    @contextmanager
    def _at(self, name: str, organizations: int, ledger: str) -> Iterator[Place]:
        with place(self._folder / name, organizations, ledger) as at:
            yield at


def _apart(module: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a process of its own tells, which takes none of the service's time."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
    )
    told: Mapping[str, Any] = json.loads(done.stdout)
    return told


def main(arguments: list[str] | None = None) -> int:
    """0 when every request of the crowd was answered, and none with 5xx; else 1."""
    asked = _parser().parse_args(arguments)
    about = circumstances.here(psutil.getloadavg())
    folder = Path(asked.folder).absolute()
    shutil.rmtree(folder, ignore_errors=True)
    with ExitStack() as opened:
        opened.callback(shutil.rmtree, folder, ignore_errors=True)
        server = None
        if asked.ledger == "postgresql":
            server = postgres.Server.make(next(iter(postgres.binaries())), postgres.new_home("load"))
            opened.callback(server.remove)
        run = Run(asked, server)
        seen = run.crowd()
        print(load_page.summary(seen), flush=True)
        watched = run.watched()
        print(load_page.watched(watched), flush=True)
        sizes = [run.sizes(organizations) for organizations in (MANY, ONE)] if asked.large else []
    about |= {
        "load after": circumstances.loads(psutil.getloadavg()),
        "ledger": load_page.LEDGERS[asked.ledger],
    }
    asked.page.write_text(load_page.page(about, asked.clients, asked.poll, seen, sizes, watched))
    return int(seen.broken > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    add = parser.add_argument
    add("--clients", type=int, default=100, help="callers at once")
    add("--seconds", type=float, default=60, help="how long they go on")
    add(
        "--poll", type=float, default=1, help="seconds after which each asks again whether its export is done"
    )
    add("--pages", type=int, default=50, help="pages of the console that are open on one export")
    add("--rows", type=int, default=6_000_000, help="rows of that export")
    add("--exports", type=int, default=5, help="exports with, and as many without these pages")
    add("--small", type=int, default=10_000, help="exports in the smaller ledger")
    add("--large", type=int, default=1_000_000, help="exports in the larger ledger; 0 for callers alone")
    add("--rounds", type=int, default=40, help="how often each call is timed against each ledger")
    add("--ledger", choices=("sqlite", "postgresql"), default="sqlite", help="where the ledgers are")
    add("--folder", default=ROOT / "tmp" / "load", help="where all is kept; emptied, then removed")
    add("--page", type=Path, default=ROOT / "bench" / "LOAD.md", help="where results go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
