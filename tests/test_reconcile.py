"""The reconciler: what it proves before it completes an export, what it sweeps, and that two of them do no harm."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from outhaul import reconcile, siblings, stores
from outhaul.errors import NotAllowed, StoreFull, Unproven
from outhaul.export import Export, Fragment, Status
from outhaul.ledger import Delivery, Done, Facts, Lease, Ledger
from tests import drafts
from tests.drafts import claimed, fragment, only, plan_out

PIECES = 4


class FakeEngine:
    """Keeps what it is handed."""

    def __init__(self, slots: int = 2) -> None:
        self.slots = slots
        self.delivered: list[Mapping[str, Any]] = []
        self.forgotten: list[tuple[str, int, int]] = []
        self.dead: list[str] = []

    def deliver(self, delivery: Mapping[str, Any], holder: str | None, first: bool) -> None:
        self.delivered.append(delivery)

    def forget(self, export: str, part: int, attempt: int) -> None:
        self.forgotten.append((export, part, attempt))

    def alive(self) -> Collection[str]:
        return ("w1",)

    def deaths(self) -> Collection[str]:
        dead, self.dead = self.dead, []
        return dead


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with drafts.opened(url, replace(drafts.TERMS, orphaned=timedelta(0))) as ledger:
        yield ledger


@pytest.fixture
def store(tmp_path: Path) -> Any:
    return siblings.load(stores, "file").open_store(f"file://{tmp_path / 'objects'}")


def allow(_: str) -> None:
    """Every export is still offered."""


def write(store: Any, lease: Lease) -> Fragment:
    made = fragment(lease)
    store.put(made.key, [b"x" * made.length])
    return made


def run_parts(ledger: Ledger, store: Any) -> None:
    while deliveries := ledger.admit(2):
        for delivery in deliveries:
            lease = claimed(ledger, delivery)
            assert ledger.settle(lease, [write(store, lease)])


@pytest.fixture
def done(ledger: Ledger, store: Any) -> Export:
    """Every part is done, and nobody has closed it yet."""
    made = plan_out(ledger, PIECES, formats=("csv", "json"))
    run_parts(ledger, store)
    return made


def test_what_is_proven_is_completed_with_its_manifest_written_last(
    ledger: Ledger, store: Any, done: Export
) -> None:
    reconcile.once(ledger, FakeEngine(), store, allow)
    found = ledger.get(done.id)
    assert found.status is Status.COMPLETED
    assert abs(found.expires_at - found.completed_at - timedelta(days=7)) < timedelta(seconds=1)
    key = ledger.manifest_key(done.id)
    assert key
    assert store.size(key)
    assert [one.rows for one in ledger.artifacts(done.id)] == [10 * PIECES, 10 * PIECES]


def damaged(facts: Facts, **changes: Any) -> Facts:
    return replace(facts, **changes)


def edited(facts: Facts, n: int, **changes: Any) -> tuple[Done, ...]:
    return tuple(replace(part, **changes) if part.n == n else part for part in facts.parts)


def to(low: str | None, high: str | None) -> dict[str, Any]:
    return {"by": "key", "low": low and [low], "high": high and [high], "leaf": None}


DAMAGES: dict[str, tuple[Callable[[Facts], Facts], str]] = {
    "a dropped range": (
        lambda facts: damaged(facts, parts=tuple(part for part in facts.parts if part.n != 2)),
        r"one ends at '1', the next begins at '2'",
    ),
    "the last range dropped": (
        lambda facts: damaged(facts, parts=tuple(part for part in facts.parts if part.n != 4)),
        r"one ends at '3', the next begins at the open end",
    ),
    "overlapping ranges": (
        lambda facts: damaged(facts, parts=edited(facts, 2, range=to("1", "3"))),
        r"one ends at '3', the next begins at '2'",
    ),
    "one range dropped and one doubled": (
        lambda facts: damaged(facts, parts=edited(facts, 3, range=to("1", "2"))),
        r"one ends at '2', the next begins at '1'",
    ),
    "a row too few": (
        lambda facts: damaged(
            facts,
            parts=edited(facts, 1, rows=9),
            fragments=(replace(facts.fragments[0], rows=9), *facts.fragments[1:]),
        ),
        r"orders as csv: rows: 40 matched, but 39 were written",
    ),
    "a child too many": (
        lambda facts: damaged(facts, parts=edited(facts, 5, related={"lines": 31})),
        r"orders as json: lines: 120 matched, but 121 were written",
    ),
    "children that were never counted": (
        lambda facts: damaged(facts, parts=edited(facts, 5, related={"lines": 30, "more": 1})),
        r"orders as json: more: 0 matched, but 1 were written",
    ),
    "a doubled fragment": (
        lambda facts: damaged(facts, fragments=(*facts.fragments, facts.fragments[-1])),
        r"part 8 has 2 fragments, numbered \[0, 0\]",
    ),
    "a lost fragment": (
        lambda facts: damaged(facts, fragments=facts.fragments[1:]),
        r"rows of part 1: 10 matched, but 0 were written",
    ),
    "no part at all": (lambda facts: damaged(facts, parts=()), "nothing was read at all"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damage_is_proven(ledger: Ledger, done: Export, damage: str) -> None:
    change, said = DAMAGES[damage]
    facts = ledger.facts(done.id)
    assert facts
    reconcile.prove(facts, lambda _: 100)
    with pytest.raises(Unproven, match=said):
        reconcile.prove(change(facts), lambda _: 100)


def test_a_leaf_of_a_partitioned_table_chains_for_itself(ledger: Ledger, done: Export) -> None:
    facts = ledger.facts(done.id)
    assert facts
    leaves = [("a", None, "5"), ("a", "5", None), ("b", None, None), ("c", None, None)]
    ranges = [
        {"by": "ctid", "low": low and [low], "high": high and [high], "leaf": leaf}
        for leaf, low, high in leaves
    ]

    def cut(ranges: Sequence[dict[str, Any]]) -> Facts:
        return replace(
            facts, parts=tuple(replace(part, range=ranges[(part.n - 1) % 4]) for part in facts.parts)
        )

    reconcile.prove(cut(ranges), lambda _: 100)
    with pytest.raises(Unproven, match="orders as csv, a"):
        reconcile.prove(cut([ranges[0], ranges[0], *ranges[2:]]), lambda _: 100)


def test_a_file_that_is_gone_or_cut_fails_the_export_and_a_start_begins_anew(
    ledger: Ledger, store: Any, done: Export
) -> None:
    store.delete(ledger.fragments(done.id)[3].key)
    reconcile.once(ledger, FakeEngine(), store, allow)
    found = ledger.get(done.id)
    assert found.status is Status.FAILED
    assert found.errors[0]["error"] == "Unproven"
    assert "should have 100 bytes and has 0" in found.errors[0]["message"]
    assert ledger.artifacts(done.id) == ()
    assert ledger.start(done.id).generation == 2


def test_a_store_without_room_for_the_manifest_fails_in_its_words(
    ledger: Ledger, store: Any, done: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise StoreFull("The disk is full.", hint="Make room.")

    monkeypatch.setattr(store, "put", full)
    reconcile.once(ledger, FakeEngine(), store, allow)
    assert only(ledger.get(done.id).errors) == {
        "error": "StoreFull",
        "message": "The disk is full.",
        "hint": "Make room.",
    }


def test_a_plan_that_is_no_longer_offered_fails_before_anything_is_read(ledger: Ledger, store: Any) -> None:
    made = drafts.create(ledger, checked=False)

    def check(_: str) -> None:
        raise NotAllowed("orders is no longer offered.")

    engine = FakeEngine()
    reconcile.once(ledger, engine, store, check)
    assert ledger.get(made.id).errors[0]["message"] == "orders is no longer offered."
    assert engine.delivered == []


def test_an_export_is_delivered_in_the_same_look_in_which_it_is_found(ledger: Ledger, store: Any) -> None:
    made = drafts.create(ledger, checked=False)
    engine = FakeEngine()
    reconcile.once(ledger, engine, store, allow)
    assert only(engine.delivered)["export"] == made.id
    reconcile.once(ledger, engine, store, allow)
    assert len(engine.delivered) == 1


def test_the_death_of_a_worker_is_acted_upon_at_once(ledger: Ledger, store: Any) -> None:
    made = drafts.create(ledger)
    claimed(ledger, only(ledger.admit(2)), "w9")
    engine = FakeEngine()
    engine.dead = ["w9"]
    reconcile.once(ledger, engine, store, allow)
    assert (only(engine.delivered)["export"], only(engine.delivered)["attempt"]) == (made.id, 2)
    assert engine.forgotten == [(made.id, 0, 1)]


def test_a_nudge_leaves_to_the_next_tick_what_has_run_out(ledger: Ledger, store: Any) -> None:
    silent = drafts.create(ledger)
    claimed(ledger, only(ledger.admit(2)), "w9")
    drafts.passes(ledger, "parts", lease_until=3_600)
    fresh, engine = drafts.create(ledger), FakeEngine()
    reconcile.once(ledger, engine, store, allow, whole=False)
    assert [one["export"] for one in engine.delivered] == [fresh.id]
    reconcile.once(ledger, engine, store, allow)
    assert [one["export"] for one in engine.delivered] == [fresh.id, silent.id]


def test_two_reconcilers_complete_an_export_once(ledger: Ledger, store: Any, done: Export) -> None:
    barrier = threading.Barrier(4)

    def look(_: int) -> None:
        barrier.wait()
        reconcile.once(ledger, FakeEngine(), store, allow)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(4)))
    assert [event.name for event in ledger.events(done.id)].count("completed") == 1
    assert len(ledger.artifacts(done.id)) == 2
    manifests = [key for key, _, _ in store.keys(f"{done.id}/") if "manifest" in key]
    assert manifests == [ledger.manifest_key(done.id)]


def test_the_two_last_parts_at_the_same_moment_leave_none_behind(ledger: Ledger, store: Any) -> None:
    for _ in range(5):
        made = plan_out(ledger, 2)
        leases = [claimed(ledger, one) for one in ledger.admit(2)]
        made_of = {lease.part.n: write(store, lease) for lease in leases}
        barrier = threading.Barrier(2)

        def settle(lease: Lease, barrier: threading.Barrier = barrier, made_of: Any = made_of) -> bool:
            barrier.wait()
            return ledger.settle(lease, [made_of[lease.part.n]])

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(settle, leases)) == [True, True]
        reconcile.once(ledger, FakeEngine(), store, allow)
        assert ledger.get(made.id).status is Status.COMPLETED


def test_a_sweep_takes_what_nobody_names_and_spares_what_is_being_written(
    ledger: Ledger, store: Any, done: Export
) -> None:
    reconcile.once(ledger, FakeEngine(), store, allow)
    running = plan_out(ledger, 1)
    lease = claimed(ledger, only(ledger.admit(2)))
    write(store, lease)
    stale = [
        f"{done.id}/1-1-9-0-deadbeef.csv",
        f"{running.id}/1-1-9-0-deadbeef.csv",
        "nobodyxxxx/1-1-1-0-aa.csv",
    ]
    for key in stale:
        store.put(key, [b"x"])
    assert reconcile.sweep(ledger, store) == len(stale)
    assert {key for key, _, _ in store.keys("")} == {
        *(one.key for one in ledger.fragments(done.id)),
        fragment(lease).key,
        ledger.manifest_key(done.id),
    }
    assert ledger.settle(lease, [fragment(lease)])
    assert reconcile.sweep(ledger, store) == 0


def test_a_young_object_is_left_alone(url: str, store: Any) -> None:
    with drafts.opened(url) as ledger:
        store.put("nobodyxxxx/1-1-1-0-aa.csv", [b"x"])
        assert reconcile.sweep(ledger, store) == 0


@pytest.mark.parametrize("end", ["removed", "expired"])
def test_the_files_of_what_is_over_are_deleted(ledger: Ledger, store: Any, done: Export, end: str) -> None:
    reconcile.once(ledger, FakeEngine(), store, allow)
    if end == "removed":
        ledger.remove(done.id)
    else:
        drafts.passes(ledger, "exports", expires_at=8 * 24 * 3600)
    reconcile.once(ledger, FakeEngine(), store, allow)
    assert list(store.keys("")) == []
    assert ledger.littered() == ()


def test_a_loop_acts_on_a_nudge_and_survives_a_failure(url: str, store: Any) -> None:
    with drafts.opened(url) as ledger:
        broken = threading.Event()

        class Slipping(FakeEngine):
            def alive(self) -> Collection[str]:
                if not broken.is_set():
                    broken.set()
                    raise ValueError("a slip")
                return super().alive()

        engine = Slipping()
        with reconcile.Loop(ledger, engine, store, allow) as loop:
            drafts.create(ledger, checked=False)
            loop.nudge()
            assert broken.wait(20)
            loop.nudge()
            drafts_delivered = threading.Event()
            while not engine.delivered:
                assert not drafts_delivered.wait(0.01)


def test_a_delivery_is_data(ledger: Ledger) -> None:
    delivery = Delivery("abc", 1, 2, "w1", small=True)
    assert delivery.to_data() == {"export": "abc", "part": 1, "attempt": 2, "holder": "w1", "small": True}


def test_what_a_loop_leaves_undelivered_is_new_again_at_once(url: str, store: Any) -> None:
    with drafts.opened(url) as ledger:
        engine = FakeEngine()
        made = drafts.create(ledger, checked=False)
        with reconcile.Loop(ledger, engine, store, allow) as loop:
            while not engine.delivered:
                loop.nudge()
        assert drafts.states(ledger, made.id) == ["new"]


def test_what_a_killed_loop_delivered_is_taken_over_at_the_start_of_the_next(url: str, store: Any) -> None:
    with drafts.opened(url) as ledger:
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        drafts.create(ledger)
        host = socket.gethostname()
        (sent,) = ledger.admit(2, sender=f"{host}:{dead.pid}:aaaa")
        engine = FakeEngine()
        with reconcile.Loop(ledger, engine, store, allow):
            deadline = time.monotonic() + 20
            while not engine.delivered:
                assert time.monotonic() < deadline
        assert (engine.delivered[0]["export"], engine.delivered[0]["attempt"]) == (sent.export, 2)


@pytest.mark.parametrize("sender", ["elsewhere:1:aaaa", f"{socket.gethostname()}:{os.getppid()}:aaaa", "me"])
def test_what_a_living_or_a_distant_loop_delivered_is_left_to_it(url: str, store: Any, sender: str) -> None:
    with drafts.opened(url) as ledger:
        drafts.create(ledger)
        ledger.admit(2, sender=sender)
        loop = reconcile.Loop(ledger, FakeEngine(), store, allow)
        loop._take_over()
        assert ledger.senders() == {sender}
