"""Runs of parts: claim, read, write, settle, and give back what could not be done."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from outhaul import pipeline, siblings, sources
from outhaul.errors import SchemaChanged, SourceError
from outhaul.ledger import AWAY, Instant, Lease, Ledger, label
from outhaul.ledger.pulse import TICK, Pulse, Stopped
from outhaul.plan import Plan, at
from outhaul.worker.brake import Braked
from outhaul.worker.failpoint import reach
from outhaul.worker.faults import is_final, lost, needs_new_instant, said
from outhaul.worker.survey import alone, survey

SETTLE = 300.0  # seconds to go on telling an absent ledger what has been done

log = logging.getLogger("outhaul.worker")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Place:
    """The source, and for one that must be copied to be read (SQLite without WAL) where to and up to which size;
    `hold`: rather let its writers wait. `rows_per_second`: how many of it are read at most."""

    url: str
    scratch: Path
    copy_bytes: int
    hold: bool = False
    rows_per_second: int | None = None


@dataclass(slots=True)
class Owed:
    """What a run still owes the ledger. `passing`: the instant is one of this run and ends with it; `alone`: it is that
    of one part only."""

    leases: list[Lease]
    passing: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Reader:
    """A session under the instant of one generation of an export, and what its tables were like."""

    export: str
    session: Any
    source: ModuleType
    plan: Plan
    tables: Mapping[str, Any]
    generation: int

    def compare(self) -> None:
        """Raises SchemaChanged unless the tables are those of the instant."""
        self.source.check(self.tables, _plain(self.session.tables(self.plan)))


class Worker:
    """Runs deliveries of one ledger, from one source into one store. `stuck`: a statement runs that only the end of
    this process can end."""

    def __init__(self, ledger: Ledger, place: Place, store: Any, name: str) -> None:
        self._ledger = ledger
        self._place = place
        self._store = store
        self._name = name
        self._held: dict[str, Reader] = {}
        self._last: Reader | None = None  # of an instant that a keeper holds; the next part may be of it too
        self.pulse = Pulse(ledger, name)
        self.stuck = False

    def run(self, export_id: str, part: int, attempt: int) -> None:
        """One delivery, to its end; nothing if it is void."""
        reach("before_claim")
        if self._last and not (part and self._last.export == export_id):
            self.rest()
        lease = self._patiently(lambda: self._ledger.claim(export_id, part, attempt, self._name))
        if lease is None:
            return
        reach("after_claim")
        owed = Owed([lease])
        try:
            (self._read if part else self._plan)(lease, owed)
        except AWAY:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, the ledger is to know
            self._give_back(owed, error)

    def _plan(self, lease: Lease, owed: Owed) -> None:
        """Part 0: take the instant, count, split. A small export is written at once, in the same transaction."""
        export_id, generation = lease.part.export, lease.part.generation
        if export_id in self._held:
            self._drop(export_id)
        plan = self._ledger.plan(export_id)
        source = siblings.load(sources, plan.source)
        url, copy = self._prepared(source)
        session = source.connect(url, label(export_id, generation))
        try:
            with self.pulse.watching([lease], session):
                found = survey(self._ledger, self.pulse, lease, plan, source, session)
                if copy:
                    copy.unlink()  # it is open: the rest of its life needs no name, whatever kills us
                self.pulse.checkpoint()
                reach("in_plan")
                self.pulse.leave(lease)
            leases = self._patiently(
                lambda: self._ledger.settle_plan(lease, found.planned, own=found.own, claim=found.whole)
            )
            owed.leases = list(leases or ())
            owed.passing = found.whole and leases is not None
            reach("after_plan")
            if leases is None:
                return
            reader = Reader(export_id, session, source, found.plan, _plain(found.planned.tables), generation)
            if found.own:
                self._hold(export_id, reader)
            with self.pulse.watching(leases, session):
                for one in leases:
                    self._write(one, reader, owed)
        finally:
            if copy:
                copy.unlink(missing_ok=True)
            if owed.passing:
                self._drop(export_id)
            elif export_id not in self._held:
                self._end(session)

    def _prepared(self, source: ModuleType) -> tuple[str, Path | None]:
        """Where to read from, and a copy to be deleted as soon as it is open."""
        if not hasattr(source, "prepare"):
            return self._place.url, None
        place = self._place
        found = source.prepare(place.url, place.scratch, copy_bytes=place.copy_bytes, hold=place.hold)
        return found.url, Path(found.url.removeprefix("sqlite:///")) if found.mode == "copy" else None

    def _read(self, lease: Lease, owed: Owed) -> None:
        """A part from 1 on, under the instant that part 0 took."""
        export_id, generation = lease.part.export, lease.part.generation
        held = self._held.get(export_id)
        if held and held.generation == generation:
            with self.pulse.watching([lease], held.session, gently=True):
                self._write(lease, held, owed)
            return
        plan = self._ledger.plan(export_id)
        if plan.consistency == "part":
            self._read_alone(lease, plan, owed)
            return
        snapshot = self._ledger.snapshot(export_id)
        if snapshot is None or snapshot.generation != generation:
            raise Stopped
        if snapshot.own and snapshot.holder != self._name:
            raise Stopped
        if snapshot.own or snapshot.state != "held":
            raise lost(snapshot)
        assert snapshot.instant_at
        self._read_joined(lease, at(plan, snapshot.instant_at), snapshot.snapshot, owed)

    def _read_joined(self, lease: Lease, plan: Plan, snapshot: str | None, owed: Owed) -> None:
        """A part under an instant that a keeper holds, in a transaction of its own: locks held from part to part would
        keep a migration waiting, and all traffic behind it. The connection may be that of the last part.
        """
        export_id, generation = lease.part.export, lease.part.generation
        if self._last and self._last.generation != generation:
            self.rest()
        reader, self._last = self._last, None
        if reader is None:
            source = siblings.load(sources, plan.source)
            session = source.connect(self._place.url, label(export_id, generation))
            reader = Reader(
                export_id, session, source, plan, self._ledger.fingerprints(export_id), generation
            )
        try:
            with self.pulse.watching([lease], reader.session):
                reader.session.begin(snapshot)
                reader.compare()
                self._write(lease, reader, owed)
            reader.session.end()
            self._last, reader = reader, None
        finally:
            if reader:
                self._end(reader.session)

    def _read_alone(self, lease: Lease, plan: Plan, owed: Owed) -> None:
        """A part of an instant of its own; tables may have been rewritten since the last part, but not altered."""
        owed.alone = True
        export_id, generation = lease.part.export, lease.part.generation
        source = siblings.load(sources, plan.source)
        url, copy = self._prepared(source)
        session = source.connect(url, label(export_id, generation))
        try:
            with self.pulse.watching([lease], session):
                tables, instant = alone(plan, lease.part, source, session)
                known = at(plan, instant.at)
                reader = Reader(export_id, session, source, known, _plain(tables), generation)
                try:
                    source.check(self._ledger.fingerprints(export_id), reader.tables)
                except SchemaChanged as error:
                    if not needs_new_instant(error):
                        raise
                self._write(lease, reader, owed, instant)
        finally:
            if copy:
                copy.unlink(missing_ok=True)
            self._end(session)

    def _write(self, lease: Lease, reader: Reader, owed: Owed, instant: Instant | None = None) -> None:
        """One part from the source into the store, and then into the ledger."""

        def progress(rows: int) -> None:
            self.pulse.read(lease, rows)
            reach("in_part")

        rate = self._place.rows_per_second
        session = Braked(reader.session, rate) if rate else reader.session
        made = pipeline.run(session, reader.plan, lease.part, self._store, self.pulse.checkpoint, progress)
        # The transaction has kept every table locked since it first read it: what is true now was true then.
        reader.compare()
        self.pulse.checkpoint()
        reach("before_settle")
        self.pulse.leave(lease)
        root = reader.plan.selections[lease.part.selection]
        if not self._patiently(lambda: self._ledger.settle(lease, made, root, instant)):
            log.info("part %s of export %s was run by another, too", lease.part.n, lease.part.export)
        owed.leases.remove(lease)
        reach("after_settle")

    def _give_back(self, owed: Owed, error: Exception) -> None:
        """What could not be done: released when we were stopped, else failed, to be tried again where that can help."""
        if not owed.leases:
            log.error("after its last part: %r", error)
            return
        part = owed.leases[0].part
        stopped = isinstance(error, Stopped) or self.pulse.stopped
        held = self._held.get(part.export)
        broken = held and (self.pulse.cancelled or (isinstance(error, SourceError) and not stopped))
        instantless = not owed.alone and (owed.passing or broken or needs_new_instant(error))
        if not stopped and part.n and instantless and not is_final(error):
            self._lose(part.export, part.generation, said(error))
        elif not stopped:
            first = owed.leases.pop(0)
            again = not is_final(error)
            self._patiently(lambda: self._ledger.fail(first, said(error), again))
        if owed.passing or broken:
            self._lose(part.export, part.generation, None)
        if broken and not owed.passing:
            self._drop(part.export)
        for lease in owed.leases:
            self._patiently(lambda lease=lease: self._ledger.release(lease))  # type: ignore[misc]  # bound now

    def _lose(self, export_id: str, generation: int, error: Mapping[str, Any] | None) -> None:
        self._patiently(lambda: self._ledger.lost(export_id, generation, error))

    def _hold(self, export_id: str, reader: Reader) -> None:
        self._held[export_id] = reader
        self.pulse.holds = tuple(self._held)

    def _drop(self, export_id: str) -> None:
        reader = self._held.pop(export_id)
        self.pulse.holds = tuple(self._held)
        self._end(reader.session)

    def _end(self, session: Any) -> None:
        session.close()
        self.stuck = self.stuck or getattr(session, "stuck", False)

    def rest(self) -> None:
        """Nothing more is to be read for now: no session stays open for it."""
        if self._last:
            reader, self._last = self._last, None
            self._end(reader.session)

    def look_after_instants(self) -> None:
        """Between two deliveries: end the instants that nobody asks for any more."""
        if self._held:
            with suppress(*AWAY):
                kept = self._ledger.holds(self._name)
                for export_id in [one for one in self._held if one not in kept]:
                    self._drop(export_id)

    def close(self) -> None:
        """Leave in order: the instants that we held are lost, which is no fault of their exports."""
        self.rest()
        for export_id, reader in tuple(self._held.items()):
            with suppress(*AWAY):
                self._ledger.lost(export_id, reader.generation)
            self._drop(export_id)

    def _patiently(self, tell: Callable[[], Answer]) -> Answer:
        """Try on while the ledger is away: what has been done is worth some minutes."""
        deadline = time.monotonic() + SETTLE
        while True:
            try:
                return tell()
            except AWAY as error:
                if self.pulse.ending or time.monotonic() > deadline:
                    raise
                log.warning("the ledger is away: %s", type(error).__name__)
                time.sleep(TICK)


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """As it comes back from the ledger."""
    plain: dict[str, Any] = json.loads(json.dumps(data))
    return plain
