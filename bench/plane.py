"""The data plane alone: a plan's parts from the source into a folder, by `python -m bench.plane ROW --workers N`.

There is no ledger, no service and no count. It says `ready` when all is imported and the workers wait, begins at a line
on standard input, and says `done` when the last part is on the disk; at another line it puts the parts together as
files, and tells how long the count of an export takes that this has not made.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.works import WORKS, Work
from outhaul import pipeline, siblings, sources, stores
from outhaul.blocks import Range
from outhaul.export import Caller, Draft, Export, Fragment, Part, Selection, Status
from outhaul.plan import Plan

CATALOG = Path(__file__).with_name("catalog.toml")
EXPORT, PARTS = "bench", "parts"
US = Caller(id=EXPORT, name=EXPORT, tenant=None, all_tenants=True)


@dataclass(frozen=True, slots=True)
class Place:
    """From where and into which folder; passed to the workers, so it holds nothing that is open. `first`: a plan like
    the other, of a single row."""

    url: str
    out: Path
    plan: Plan
    first: Plan

    @property
    def source(self) -> ModuleType:
        return siblings.load(sources, self.plan.source)

    @property
    def store(self) -> Any:
        return siblings.load(stores, "file").open_store((self.out / PARTS).as_uri())

    def write(self, session: Any, part: Part, plan: Plan) -> tuple[Fragment, ...]:
        return pipeline.run(session, plan, part, self.store, lambda: None, lambda _: None)

    def warm(self) -> None:
        """Imports and prepares all that a running worker has: its start is not what is timed."""
        with closing(self.source.connect(self.url, EXPORT)) as session:
            session.begin(None)
            self.write(session, _part(0, Range(), self.plan), self.first)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.plane", description=__doc__)
    parser.add_argument("row", choices=WORKS)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    work, out = WORKS[asked.row], Path(os.environ["OUT"])
    crew = Crew(asked.workers) if asked.workers > 1 else None  # they import while we plan
    place = planned(work, os.environ["URL"], out, int(os.environ["PART_BYTES"]), os.environ["KEY1"])
    made = crew.run(place) if crew else _alone(place)
    _finish(place, made)


def planned(work: Work, url: str, out: Path, part_bytes: int, key: str) -> Place:
    """The plan that the service would make. `key`: of an order. Its imports are not for workers."""
    from outhaul import config
    from outhaul.app import Outhaul, offered, reflect

    settings = config.load({"source": url, "state": out.with_name("plane"), "catalog": CATALOG})
    made = Outhaul(settings, offered(settings, reflect(settings)))
    first = {f"{work.resource[0]}_orderkey_eq": key}
    plans = [
        made.exports.plan(
            US,
            Draft(
                selections=(Selection(work.resource, includes=work.includes, filters=filters),),
                formats=(work.format,),
                compress=work.compress,
                part_bytes=part_bytes,
            ),
        )
        for filters in ({}, first)
    ]
    return Place(url, out, *plans)


def _alone(place: Place) -> list[Fragment]:
    place.warm()
    _ready()
    with closing(place.source.connect(place.url, EXPORT)) as session:
        session.begin(None)
        parts = _parts(place, session)
        return [one for part in parts for one in place.write(session, part, place.plan)]


class Crew:
    """Workers of one instant: each is one process with one connection, and takes one part after the other."""

    def __init__(self, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._places, self._parts, self._answers = context.Queue(), context.Queue(), context.Queue()
        given = (self._places, self._parts, self._answers)
        self._workers = [context.Process(target=_work, args=given, daemon=True) for _ in range(workers)]
        for one in self._workers:
            one.start()

    def run(self, place: Place) -> list[Fragment]:
        for _ in self._workers:
            self._places.put(place)
        for _ in self._workers:
            self._heard()
        _ready()
        with closing(place.source.connect(place.url, EXPORT)) as session:
            session.begin(None)
            snapshot = session.share()
            found = _parts(place, session)
            for part in (*((snapshot, one) for one in found), *(None for _ in self._workers)):
                self._parts.put(part)
            return [one for _ in found for one in self._heard()]

    def _heard(self) -> tuple[Fragment, ...]:
        """What a worker has made; raises what it has met."""
        answer: tuple[Fragment, ...] | Exception = self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer


def _work(places: Any, parts: Any, answers: Any) -> None:
    session = None
    try:
        place = places.get()
        place.warm()
        answers.put(())
        while (given := parts.get()) is not None:
            snapshot, part = given
            if session is None:
                session = place.source.connect(place.url, EXPORT)
                session.begin(snapshot)
            answers.put(place.write(session, part, place.plan))
    except Exception as error:  # noqa: BLE001  # whatever it is, the leader is to end with it
        answers.put(error)
    if session:
        session.close()


def _parts(place: Place, session: Any) -> list[Part]:
    ranges = session.split(place.plan.selections[0], place.plan.part_bytes)
    return [_part(n, one, place.plan) for n, one in enumerate(ranges, 1)]


def _part(n: int, extent: Range, plan: Plan) -> Part:
    return Part(EXPORT, n, 0, plan.formats[0], extent.to_data(), 1, 1)


def _ready() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def _finish(place: Place, made: list[Fragment]) -> None:
    print("done", flush=True)
    sys.stdin.readline()
    from outhaul import downloads
    from outhaul.ledger.closing import Facts

    facts = Facts(_export(len(made)), place.plan, (), {}, (), tuple(made))
    for artifact in downloads.artifacts(facts, archived=False):
        with (place.out / artifact.name).open("wb") as file:
            file.writelines(downloads.read(artifact, place.store))
    shutil.rmtree(place.out / PARTS, ignore_errors=True)
    with closing(place.source.connect(place.url, EXPORT)) as session:
        session.begin(None)
        began = time.perf_counter()
        session.count(place.plan.selections[0])
        print(time.perf_counter() - began, flush=True)


def _export(parts: int) -> Export:
    now = datetime.now(UTC)
    return Export(EXPORT, None, EXPORT, "", Status.RUNNING, {}, None, 0, parts, parts, now, now)


if __name__ == "__main__":
    main()
