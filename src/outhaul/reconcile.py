"""The reconciler: re-sends what is lost, admits fairly, closes what is proven, sweeps what is over."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import Any, Protocol, Self

from outhaul import manifest, sessions
from outhaul.errors import OuthaulError, StoreError, Unproven
from outhaul.export import Fragment
from outhaul.ledger import AWAY, Done, Facts, Ledger
from outhaul.tabular import due
from outhaul.whole import artifacts, hashed

TICK = 0.5  # seconds between two looks when nobody nudges
SWEEP = 600.0  # seconds between two searches of the whole store for orphans
LONG = 64_000_000  # bytes of files to be hashed as a whole, from which the loop does not wait for it

UNSTARTED = OuthaulError(
    "What this export asks for could not be looked at, so it was not started.",
    hint="Ask for it again; if it comes back, tell whoever runs the service.",
)
UNCLOSED = OuthaulError(
    "The files were written, but the export could not be closed.",
    hint="Start it again; if it comes back, tell whoever runs the service.",
)

log = logging.getLogger("outhaul.reconcile")


class Engine(Protocol):
    """What the reconciler asks of an engine; see `engines/__init__.py`."""

    slots: int

    def deliver(self, delivery: Mapping[str, Any], holder: str | None, first: bool) -> None: ...
    def forget(self, export: str, part: int, attempt: int) -> None: ...
    def alive(self) -> Collection[str]: ...
    def deaths(self) -> Collection[str]: ...


class Store(Protocol):
    """What the reconciler asks of a store; see `stores/__init__.py`."""

    def put(self, key: str, chunks: Iterable[bytes]) -> int: ...
    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]: ...
    def size(self, key: str) -> int | None: ...
    def delete(self, prefix: str) -> int: ...
    def keys(self, prefix: str) -> Iterator[tuple[str, int, float]]: ...


Check = Callable[[str], None]  # raises when what the export of this id asks for is no longer offered
Close = Callable[[str], None]  # proves and completes the export of this id, of which every part is done


def once(
    ledger: Ledger,
    engine: Engine,
    store: Store,
    check: Check,
    sender: str = "",
    whole: bool = True,
    close: Close | None = None,
) -> None:
    """Everything that is due now. Any process may do it at any time, several at once too. A fault with one export
    holds up no other. `sender`: in whose name parts are delivered. Not `whole`: without what is due because time has
    passed, unless somebody has died. `close`: otherwise than at once."""
    dead = engine.deaths()
    for name in dead:
        ledger.bury(name)
    if whole or dead:
        _elapse(ledger)
    for export_id in ledger.unchecked():
        _queue(ledger, export_id, check)
    for delivery in ledger.admit(engine.slots, engine.alive(), sender):
        engine.forget(delivery.export, delivery.part, delivery.attempt - 1)
        engine.deliver(delivery.to_data(), delivery.holder, delivery.small)
    for export_id in ledger.closable():
        (close or partial(_close, ledger, store))(export_id)
    for export_id in ledger.littered():
        _clear(ledger, store, export_id)


def _elapse(ledger: Ledger) -> None:
    """Each of these takes the ledger's write lock, so they are not for every nudge."""
    ledger.lapse_snapshots()
    ledger.lapse()
    ledger.renew()
    ledger.outdate()
    ledger.let_go()
    ledger.expire()


def _queue(ledger: Ledger, export_id: str, check: Check) -> None:
    """A tenant, field or resource may have been withdrawn since the plan was made."""
    try:
        check(export_id)
    except AWAY:
        raise
    except OuthaulError as error:
        ledger.refuse(export_id, error.as_data())
    except Exception:
        log.exception("export %s could not be looked at", export_id)
        ledger.refuse(export_id, UNSTARTED.as_data())
    else:
        ledger.queue(export_id)


def _close(ledger: Ledger, store: Store, export_id: str) -> None:
    facts = _facts(ledger, export_id)
    if facts is not None:
        _finish(ledger, store, facts)


class Ended(Exception):
    """The loop has: what it was at is left to whoever comes after it."""


def _finish(ledger: Ledger, store: Store, facts: Facts, stop: Callable[[], None] = lambda: None) -> None:
    """Prove, write the manifest last, complete. What cannot be proven or written fails, with the reason. `stop` is
    called often, and raises what ends it."""
    export_id, generation = facts.export.id, facts.export.generation
    try:
        prove(facts, store.size)
        made = artifacts(facts, store)
        if facts.plan.sha1:
            made = tuple(hashed(one, store, stop) for one in made)
        key = f"{export_id}/manifest-{secrets.token_hex(4)}.json"
        store.put(key, [manifest.to_bytes(manifest.build(facts, made))])
    except (*AWAY, Ended):
        raise
    except OuthaulError as error:
        ledger.disprove(export_id, generation, error.as_data())
    except Exception:
        log.exception("export %s could not be closed", export_id)
        ledger.disprove(export_id, generation, UNCLOSED.as_data())
    else:
        if not ledger.complete(export_id, generation, made, key):
            store.delete(key)


def _facts(ledger: Ledger, export_id: str) -> Facts | None:
    """None where there is nothing to close, or nothing that could be understood: then it has failed."""
    try:
        return ledger.facts(export_id)
    except AWAY:
        raise
    except Exception:
        log.exception("the records of export %s could not be read", export_id)
        ledger.refuse(export_id, UNCLOSED.as_data())
        return None


def _clear(ledger: Ledger, store: Store, export_id: str) -> None:
    """Delete the files of what is over; where that fails, the next look tries again."""
    try:
        store.delete(f"{export_id}/")
    except StoreError as error:
        log.warning("the files of export %s could not be deleted: %s", export_id, error)
    else:
        ledger.swept(export_id)


def prove(facts: Facts, size: Callable[[str], int | None]) -> None:
    """Raises Unproven unless, for every selection in every format, the ranges of the parts chain from open end to open
    end, as many rows were written as matched, those of each include too, and every fragment lies in the store, in a
    file of its own."""
    for selection, name in facts.plan.written:
        what = f"{facts.plan.selections[selection].resource} as {name}"
        parts = [part for part in facts.parts if (part.selection, part.format) == (selection, name)]
        _prove_ranges(what, parts)
        _prove_rows(what, parts, due(facts.counts[selection], name))
        for part in parts:
            if facts.plan.consistency == "part":
                _prove_alone(what, part)
            _prove_fragments(what, part, [one for one in facts.fragments if one.part == part.n], size)
    _prove_distinct([one.key for one in facts.fragments])


def _prove_distinct(keys: Sequence[str]) -> None:
    if len(set(keys)) != len(keys):
        raise Unproven(
            f"{len(keys):,} fragments were recorded, but only {len(set(keys)):,} files.",
            hint="Start the export again; if it comes back, report it.",
            facts={"fragments": len(keys), "files": len(set(keys))},
        )


def _prove_ranges(what: str, parts: Sequence[Done]) -> None:
    chains: dict[Any, list[Done]] = defaultdict(list)
    for part in parts:
        chains[part.range["leaf"]].append(part)
    if not chains:
        raise Unproven(f"{what}: nothing was read at all.", facts={"parts": 0})
    for leaf, chain in chains.items():
        of = f"{what}, {leaf}" if leaf else what
        ends = [None, *(part.range["high"] for part in chain)]
        begins = [*(part.range["low"] for part in chain), None]
        for place, (end, begin) in enumerate(zip(ends, begins, strict=True)):
            inner = 0 < place < len(chain)
            if end != begin or (inner and end is None):
                raise Unproven(
                    f"{of}: the ranges that were read leave a gap or overlap: one ends at {_edge(end)}, "
                    f"the next begins at {_edge(begin)}.",
                    hint="Start the export again.",
                    facts={"end": end, "begin": begin},
                )


def _edge(values: Sequence[str] | None) -> str:
    return "the open end" if values is None else ", ".join(map(repr, values))


def _prove_rows(what: str, parts: Sequence[Done], matched: Mapping[str, int]) -> None:
    written: Counter[str] = Counter({"": sum(part.rows for part in parts)})
    for part in parts:
        written.update(part.related)
    for path in sorted({*matched, *written}):
        _prove_equal(f"{what}: {path or 'rows'}", matched.get(path, 0), written[path])


def _prove_alone(what: str, part: Done) -> None:
    """A part of its own instant counted under it what it was to write, within borders that rows do not cross."""
    if part.instant is None or part.range["by"] not in {"key", "all"}:
        raise Unproven(f"{what}: part {part.n} was not counted under its own instant, by its keys.")
    _prove_rows(f"{what}, part {part.n}", [part], due(part.instant.matched, part.format))


def _prove_equal(what: str, matched: int, written: int) -> None:
    if matched != written:
        raise Unproven(
            f"{what}: {matched:,} matched, but {written:,} were written.",
            hint="Nothing of it can be downloaded. Start the export again; if it comes back, report it.",
            facts={"matched": matched, "written": written},
        )


def _prove_fragments(
    what: str, part: Done, fragments: Sequence[Fragment], size: Callable[[str], int | None]
) -> None:
    if [one.seq for one in fragments] != list(range(len(fragments))):
        raise Unproven(
            f"{what}: part {part.n} has {len(fragments)} fragments, numbered {[one.seq for one in fragments]}.",
            facts={"fragments": [one.seq for one in fragments]},
        )
    own = [one.rows for one in fragments if not one.path]
    _prove_equal(f"{what}: rows of part {part.n}", part.rows, sum(own))
    for one in fragments:
        if one.path:
            _prove_equal(
                f"{what}: lines of {one.path} in part {part.n}", one.related.get(one.path, 0), one.rows
            )
        found = size(one.key)
        if found != one.length:
            raise Unproven(
                f"{what}: a file of part {part.n} should have {one.length:,} bytes and has {found or 0:,}.",
                hint="Something else changes the folder or bucket of the files. Start the export again.",
                facts={"recorded": one.length, "found": found},
            )


def sweep(ledger: Ledger, store: Store) -> int:
    """Delete old objects that no export names and nobody is writing; gives how many."""
    grace = ledger.terms.orphaned.total_seconds()
    old = [key for key, _, age in store.keys("") if age >= grace]
    swept = 0
    for export_id, keys in groupby(sorted(old), key=lambda key: key.partition("/")[0]):
        named = ledger.named(export_id) or ()
        for key in keys:
            if not key.startswith(tuple(name for name in named if name.endswith("-"))) and key not in named:
                swept += store.delete(key)
    return swept


class Loop:
    """Reconciles in a thread of its own: at every nudge what somebody has changed, and twice a second everything."""

    def __init__(self, ledger: Ledger, engine: Engine, store: Store, check: Check) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._tools = (ledger, engine, store, check)
        self._due = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconcile", daemon=True)
        self._beside = ThreadPoolExecutor(1, "reconcile-beside")
        self._closing: set[str] = set()

    def nudge(self) -> None:
        """Something has changed: look at once."""
        self._due.set()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """What we delivered and no worker has taken up is left to whoever comes after us."""
        self._ended.set()
        self._due.set()
        self._thread.join()
        self._beside.shutdown(cancel_futures=True)
        with suppress(*AWAY):
            self._tools[0].recall(self.name)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        ledger, engine, store, check = self._tools
        whole_at = sweep_at = 0.0
        while not self._ended.is_set():
            self._due.clear()
            whole = time.monotonic() >= whole_at
            if whole:
                whole_at = time.monotonic() + TICK
            try:
                once(ledger, engine, store, check, self.name, whole, self._close)
                if time.monotonic() >= sweep_at:
                    sweep_at = time.monotonic() + SWEEP
                    self._take_over()
                    ledger.forget_linked(sessions.LASTS)
                    sweep(ledger, store)
            except Exception:
                log.exception("could not reconcile; trying again")
            self._due.wait(max(0.0, whole_at - time.monotonic()))

    def _close(self, export_id: str) -> None:
        """At once, or beside the loop where a long pass over files would hold up all other exports."""
        if export_id in self._closing:
            return
        ledger, _, store, _ = self._tools
        facts = _facts(ledger, export_id)
        if facts is None:
            return
        if not facts.plan.sha1 or sum(one.length for one in facts.fragments) < LONG:
            _finish(ledger, store, facts)
        else:
            self._closing.add(export_id)
            self._beside.submit(self._finish_beside, facts)

    def _finish_beside(self, facts: Facts) -> None:
        ledger, _, store, _ = self._tools
        try:
            _finish(ledger, store, facts, self._stop)
        except Ended:
            log.info("export %s is left to be closed by another", facts.export.id)
        except Exception:
            log.exception("export %s could not be closed now; trying again", facts.export.id)
        finally:
            self._closing.discard(facts.export.id)
            self.nudge()

    def _stop(self) -> None:
        if self._ended.is_set():
            raise Ended

    def _take_over(self) -> None:
        """What loops of this machine delivered that run no more would otherwise wait for its time to run out."""
        ledger = self._tools[0]
        for name in ledger.senders():
            if name != self.name and _is_gone(name):
                ledger.recall(name)
                self.nudge()


def _is_gone(name: str) -> bool:
    """Whether the loop of this name ran on this machine, in a process that is no more."""
    host, _, rest = name.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return int(rest) == os.getpid()
