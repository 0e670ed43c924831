"""A worker: runs delivered parts one after the other, each under a lease; `python -m outhaul.worker`."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError

from outhaul import errors, pipeline, siblings, sources, stores
from outhaul.blocks import Range
from outhaul.errors import OuthaulError, SchemaChanged, SnapshotLost, SourceError
from outhaul.ledger import Lease, Ledger, Planned, Snapshot, Terms, label
from outhaul.ledger.pulse import TICK, Pulse, Stopped
from outhaul.plan import Plan

SETTLE = 300.0  # seconds to go on telling an absent ledger what has been done
KEEPER = 30.0  # seconds until a keeper that does not answer counts as missing
EXIT = 15  # seconds from the call to end until this process ends, come what may
INSTANTS = 3  # instants to try while tables are being rewritten under them

# No second try heals these.
FINAL = (
    *(errors.SourceForbids, errors.UnreadableValue, errors.StoreFull, errors.Unproven),
    *(errors.Refused, errors.Misconfigured),
)

log = logging.getLogger("outhaul.worker")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class Owed:
    """What a run still owes the ledger. `passing`: the instant is one of this run and ends with it."""

    leases: list[Lease]
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Reader:
    """A session under the instant of one generation of an export, and what its tables were like."""

    session: Any
    source: ModuleType
    plan: Plan
    tables: Mapping[str, Any]
    generation: int

    def compare(self) -> None:
        """Raises SchemaChanged unless the tables are those of the instant."""
        self.source.check(self.tables, _plain(self.session.tables(self.plan)))


class Worker:
    """Runs deliveries of one ledger, from one source into one store."""

    def __init__(self, ledger: Ledger, source_url: str, store: Any, name: str) -> None:
        self._ledger = ledger
        self._source_url = source_url
        self._store = store
        self._name = name
        self._held: dict[str, Reader] = {}
        self.pulse = Pulse(ledger, name)

    def run(self, export_id: str, part: int, attempt: int) -> None:
        """One delivery, to its end; nothing if it is void."""
        reach("before_claim")
        lease = self._patiently(lambda: self._ledger.claim(export_id, part, attempt, self._name))
        if lease is None:
            return
        reach("after_claim")
        owed = Owed([lease])
        try:
            (self._read if part else self._plan)(lease, owed)
        except DBAPIError:
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
        session = source.connect(self._source_url, label(export_id, generation))
        try:
            with self.pulse.watching([lease], session):
                planned, own, whole = self._survey(lease, plan, source, session)
                reach("in_plan")
                self.pulse.leave(lease)
            leases = self._patiently(lambda: self._ledger.settle_plan(lease, planned, own=own, claim=whole))
            owed.leases = list(leases or ())
            owed.passing = whole and leases is not None
            reach("after_plan")
            if leases is None:
                return
            reader = Reader(session, source, plan, _plain(planned.tables), generation)
            if own:
                self._hold(export_id, reader)
            with self.pulse.watching(leases, session):
                for one in leases:
                    self._write(one, reader, owed)
        finally:
            if owed.passing:
                self._drop(export_id)
            elif export_id not in self._held:
                session.close()

    def _survey(
        self, lease: Lease, plan: Plan, source: ModuleType, session: Any
    ) -> tuple[Planned, bool, bool]:
        """What there is under a fresh instant; whether that is this session's own; whether it is one piece of work."""
        for left in reversed(range(INSTANTS)):
            before = session.tables(plan)
            size = sum(session.size(node) for node in plan.selections) * len(plan.formats)
            whole = size <= plan.part_bytes
            own = whole or not source.SHARED
            instant_at = session.begin(None) if own else self._join(lease, session)
            counts = [session.count(node) for node in plan.selections]
            tables = session.tables(plan)
            try:
                source.check(before, tables)
            except SchemaChanged as error:
                if not (left and error.facts.get("rewritten")):
                    raise
                session.end()
                continue
            self.pulse.checkpoint()
            ranges = [
                [Range()] if whole else session.split(node, plan.part_bytes) for node in plan.selections
            ]
            extents = [[extent.to_data() for extent in one] for one in ranges]
            return Planned(counts, extents, plan.formats, size, instant_at, tables), own, whole
        raise AssertionError

    def _join(self, lease: Lease, session: Any) -> Any:
        """Ask the keeper for an instant and join it; gives its time."""
        if not self._ledger.want(lease):
            raise Stopped
        deadline = time.monotonic() + KEEPER
        while time.monotonic() < deadline:
            self.pulse.checkpoint()
            wish = self._ledger.snapshot(lease.part.export)
            if wish is None or wish.generation != lease.part.generation:
                raise Stopped
            if wish.state == "held":
                session.begin(wish.snapshot)
                return wish.instant_at
            if wish.state == "lost":
                raise _lost(wish)
            time.sleep(0.02)
        raise SnapshotLost(
            f"No keeper took an instant within {KEEPER:.0f} seconds.",
            hint="Is `outhaul serve` running on this ledger?",
        )

    def _read(self, lease: Lease, owed: Owed) -> None:
        """A part from 1 on, under the instant that part 0 took."""
        export_id, generation = lease.part.export, lease.part.generation
        held = self._held.get(export_id)
        if held and held.generation == generation:
            with self.pulse.watching([lease], held.session, gently=True):
                self._write(lease, held, owed)
            return
        snapshot = self._ledger.snapshot(export_id)
        if snapshot is None or snapshot.generation != generation:
            raise Stopped
        if snapshot.own and snapshot.holder != self._name:
            raise Stopped
        if snapshot.own or snapshot.state != "held":
            raise _lost(snapshot)
        plan = self._ledger.plan(export_id)
        source = siblings.load(sources, plan.source)
        session = source.connect(self._source_url, label(export_id, generation))
        reader = Reader(session, source, plan, self._ledger.fingerprints(export_id), generation)
        try:
            with self.pulse.watching([lease], session):
                session.begin(snapshot.snapshot)
                reader.compare()
                self._write(lease, reader, owed)
        finally:
            session.close()

    def _write(self, lease: Lease, reader: Reader, owed: Owed) -> None:
        """One part from the source into the store, and then into the ledger."""

        def progress(rows: int) -> None:
            self.pulse.read(lease, rows)
            reach("in_part")

        made = pipeline.run(
            reader.session, reader.plan, lease.part, self._store, self.pulse.checkpoint, progress
        )
        # The transaction has kept every table locked since it first read it: what is true now was true then.
        reader.compare()
        self.pulse.checkpoint()
        reach("before_settle")
        self.pulse.leave(lease)
        if not self._patiently(lambda: self._ledger.settle(lease, made)):
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
        instantless = owed.passing or broken or _needs_new_instant(error)
        if not stopped and part.n and instantless and not _is_final(error):
            self._lose(part.export, part.generation, said(error))
        elif not stopped:
            first = owed.leases.pop(0)
            again = not _is_final(error)
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
        reader.session.close()

    def look_after_instants(self) -> None:
        """Between two deliveries: end the instants that nobody asks for any more."""
        if self._held:
            with suppress(DBAPIError):
                kept = self._ledger.holds(self._name)
                for export_id in [one for one in self._held if one not in kept]:
                    self._drop(export_id)

    def close(self) -> None:
        """Leave in order: the instants that we held are lost, which is no fault of their exports."""
        for export_id, reader in tuple(self._held.items()):
            with suppress(DBAPIError):
                self._ledger.lost(export_id, reader.generation)
            self._drop(export_id)

    def _patiently(self, tell: Callable[[], Answer]) -> Answer:
        """Try on while the ledger is away: what has been done is worth some minutes."""
        deadline = time.monotonic() + SETTLE
        while True:
            try:
                return tell()
            except DBAPIError as error:
                if self.pulse.ending or time.monotonic() > deadline:
                    raise
                log.warning("the ledger is away: %s", type(error.orig).__name__)
                time.sleep(TICK)


def said(error: Exception) -> dict[str, str]:
    """An error as the ledger keeps it. One that we did not foresee is logged, and named without its text, which may
    hold a value of a row."""
    if isinstance(error, OuthaulError):
        return error.as_data()
    log.error("unforeseen", exc_info=error)
    return OuthaulError(
        f"A part failed in an unforeseen way ({type(error).__name__}).",
        hint="Start the export again; if it comes back, report it with the log of the service.",
    ).as_data()


def _is_final(error: Exception) -> bool:
    changed = isinstance(error, SchemaChanged) and not _needs_new_instant(error)
    return changed or isinstance(error, FINAL)


def _needs_new_instant(error: Exception) -> bool:
    return isinstance(error, SnapshotLost) or (
        isinstance(error, SchemaChanged) and bool(error.facts.get("rewritten"))
    )


def _lost(snapshot: Snapshot) -> OuthaulError:
    """Why there is no instant, in the words of who lost it."""
    if not snapshot.error:
        return SnapshotLost("The instant of the export is no longer held.")
    kind: type[OuthaulError] = getattr(errors, snapshot.error["error"], SourceError)
    return kind(snapshot.error["message"], hint=snapshot.error["hint"])


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """As it comes back from the ledger."""
    plain: dict[str, Any] = json.loads(json.dumps(data))
    return plain


class _Failpoint:
    """For tests only. OUTHAUL_FAILPOINT=name[:n][@file]: kill this process when it reaches the point of that name for
    the n-th time; with a file, only the first process that can make it does."""

    def __init__(self, wanted: str) -> None:
        wanted, _, self._file = wanted.partition("@")
        self._name, _, count = wanted.partition(":")
        self._left = int(count or 1)

    def reach(self, name: str) -> None:
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0 and self._is_ours():
            os.kill(os.getpid(), signal.SIGKILL)

    def _is_ours(self) -> bool:
        try:
            return not self._file or bool(os.open(self._file, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False


reach = _Failpoint(os.environ.get("OUTHAUL_FAILPOINT", "")).reach


def main() -> None:
    """Run deliveries, a JSON line each on standard input after one of configuration, until it ends; write a line
    whenever idle."""
    os.umask(0o077)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = json.loads(sys.stdin.readline())
    store = siblings.load(stores, config["store"].partition(":")[0]).open_store(config["store"])
    with Ledger(config["ledger"], Terms.from_data(config["terms"])) as ledger:
        worker = Worker(ledger, config["source"], store, config["worker"])
        deliveries: SimpleQueue[Mapping[str, Any] | None] = SimpleQueue()

        def end(*_: object) -> None:
            worker.pulse.ending = True
            deliveries.put(None)
            signal.alarm(EXIT)

        signal.signal(signal.SIGTERM, end)
        threading.Thread(target=_listen, args=[deliveries], daemon=True).start()
        worker.pulse.start()
        _serve(worker, deliveries)
        worker.close()
        worker.pulse.close()


def _listen(deliveries: SimpleQueue[Mapping[str, Any] | None]) -> None:
    """The end of standard input is a call to end."""
    for line in sys.stdin:
        deliveries.put(json.loads(line))
    os.kill(os.getpid(), signal.SIGTERM)


def _serve(worker: Worker, deliveries: SimpleQueue[Mapping[str, Any] | None]) -> None:
    idle = True
    while not worker.pulse.ending:
        if idle:
            with suppress(BrokenPipeError):
                sys.stdout.write("idle\n")
                sys.stdout.flush()
        try:
            delivery = deliveries.get(timeout=TICK)
            idle = delivery is not None
        except Empty:
            delivery, idle = None, False
        if delivery is not None:
            try:
                worker.run(delivery["export"], delivery["part"], delivery["attempt"])
            except DBAPIError as error:
                log.warning("a part was given up: the ledger is away: %s", type(error.orig).__name__)
        worker.look_after_instants()


if __name__ == "__main__":
    main()
