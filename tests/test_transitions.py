"""Transitions under an engine that drops, doubles, delays and reorders, and workers and keepers that vanish."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from outhaul.errors import NotFound, SnapshotLost, WrongState
from outhaul.export import Status
from outhaul.ledger import Delivery, Lease, Ledger, Terms, Verdict
from outhaul.ledger.tables import metadata
from outhaul.reconcile import prove
from tests import drafts

PIECES = 3
ENDLESS = Terms(pause=timedelta(0), attempts=10**6, window=100)
LOST = SnapshotLost("The instant is gone.").as_data()
pick = st.integers(min_value=0, max_value=10**6)


class Transitions(RuleBasedStateMachine):
    """Deliveries lie in `mail`, in any order and number; `leases` are of workers that may long be dead to the ledger.
    `finished` is the execution log: what the ledger accepted as done, kept outside of it."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(self.url, ENDLESS)
        self.ledger.migrate()
        with self.ledger._write() as write:
            for table in reversed(metadata.sorted_tables):
                write.execute(table.delete())
        self.exports: list[str] = []
        self.removed: set[str] = set()
        self.mail: list[Delivery] = []
        self.leases: list[Lease] = []
        self.finished: Counter[tuple[str, int, int]] = Counter()
        self.latest: dict[tuple[str, int], str] = {}
        self.completed: Counter[str] = Counter()
        self.shown: dict[str, int] = {}

    def teardown(self) -> None:
        try:
            self._run_out()
        finally:
            self.ledger.close()

    @precondition(lambda self: len(self.exports) < 4)
    @rule(tenant=st.sampled_from(["acme", "bolt"]), formats=st.sampled_from([("csv",), ("csv", "json")]))
    def create(self, tenant: str, formats: tuple[str, ...]) -> None:
        self.exports.append(drafts.create(self.ledger, tenant=tenant, checked=False, formats=formats).id)

    @rule(twice=st.booleans(), lose=st.booleans())
    def reconcile(self, twice: bool, lose: bool) -> None:
        for _ in range(1 + twice):
            self.ledger.lapse_snapshots()
            self.ledger.lapse()
            self.ledger.renew()
            for export_id in self.ledger.unchecked():
                self.ledger.queue(export_id)
            found = self.ledger.admit(2, ["w0", "w1"])
            self.mail += () if lose else found
            for export_id in self.ledger.closable():
                self._close(export_id)

    def _close(self, export_id: str) -> None:
        facts = self.ledger.facts(export_id)
        assert facts
        prove(facts, lambda _: 100)
        if self.ledger.complete(export_id, facts.export.generation, [], "manifest"):
            self.completed[export_id] += 1
        assert not self.ledger.complete(export_id, facts.export.generation, [], "manifest")

    @precondition(lambda self: self.mail)
    @rule(which=pick, keep=st.booleans(), worker=st.sampled_from(["w0", "w1"]))
    def deliver(self, which: int, keep: bool, worker: str) -> None:
        """In any order; kept, it comes again later."""
        delivery = self.mail[which % len(self.mail)]
        if not keep:
            self.mail.remove(delivery)
        lease = self.ledger.claim(delivery.export, delivery.part, delivery.attempt, delivery.holder or worker)
        if lease:
            assert lease.part.attempt == delivery.attempt
            self.leases.append(lease)
            self.latest[lease.part.export, lease.part.n] = lease.token

    @precondition(lambda self: self.leases)
    @rule(which=pick, own=st.booleans(), keep=st.booleans())
    def work(self, which: int, own: bool, keep: bool) -> None:
        """A worker finishes, be it still entitled or not; kept, it finishes once more."""
        lease = self.leases[which % len(self.leases)]
        if not keep:
            self.leases.remove(lease)
        self._plan(lease, own) if lease.part.n == 0 else self._settle(lease)

    def _plan(self, lease: Lease, own: bool) -> None:
        if not own:
            if not self.ledger.want(lease):
                return
            (wish,) = (one for one in self.ledger.wanted() if one.export == lease.part.export)
            assert self.ledger.hold(wish.ref, "keeper", "snapshot", datetime.now(UTC))
        try:
            formats = self.ledger.plan(lease.part.export).formats
        except NotFound:
            assert lease.part.export in self.removed
            return
        found = self.ledger.settle_plan(lease, drafts.planned(PIECES, formats), own=own, claim=False)
        assert found is None or self._is_latest(lease)

    def _is_latest(self, lease: Lease) -> bool:
        """Else an older attempt was not fenced off."""
        return lease.token == self.latest[lease.part.export, lease.part.n]

    def _settle(self, lease: Lease) -> None:
        if self.ledger.settle(lease, [drafts.fragment(lease)]):
            assert lease.token == self.latest[lease.part.export, lease.part.n], (
                "an older attempt was not fenced off"
            )
            self.finished[lease.part.export, lease.part.generation, lease.part.n] += 1

    @precondition(lambda self: self.exports)
    @rule(times=st.integers(1, 5), own=st.booleans())
    def go_on(self, times: int, own: bool) -> None:
        """A while without faults."""
        for _ in range(times):
            self.reconcile(twice=False, lose=False)
            if self.mail:
                self.deliver(len(self.mail) - 1, keep=False, worker="w0")
            if self.leases:
                self.work(len(self.leases) - 1, own=own, keep=False)

    @precondition(lambda self: self.leases)
    @rule(which=pick)
    def freeze(self, which: int) -> None:
        """A worker falls silent beyond its lease, another takes over, and the first wakes up."""
        lease = self.leases[which % len(self.leases)]
        with self.ledger._write() as write:
            late = sa.text("UPDATE parts SET lease_until = 0 WHERE export = :export AND n = :n")
            write.execute(late, {"export": lease.part.export, "n": lease.part.n})
        self.reconcile(twice=False, lose=False)
        while self.mail:
            self.deliver(0, keep=False, worker="w1")
        if not self._is_latest(lease):
            assert self.ledger.check(lease) is Verdict.STOP
            assert not self.ledger.settle(lease, [drafts.fragment(lease)])

    @precondition(lambda self: self.leases)
    @rule(which=pick, rows=st.integers(0, 10))
    def beat(self, which: int, rows: int) -> None:
        lease = self.leases[which % len(self.leases)]
        if self.ledger.beat(lease, rows) is Verdict.STOP:
            assert self.ledger.check(lease) is Verdict.STOP

    @precondition(lambda self: self.leases)
    @rule(which=pick, how=st.sampled_from(["fail", "release"]))
    def give_up(self, which: int, how: str) -> None:
        lease = self.leases.pop(which % len(self.leases))
        self.ledger.fail(lease, {"error": "X"}, again=True) if how == "fail" else self.ledger.release(lease)

    @rule(table=st.sampled_from(["parts", "snapshots"]), even=st.booleans())
    def time_passes(self, table: str, even: bool) -> None:
        """For the workers of some parts, or the holders of some instants."""
        some = "1 = 1" if table == "snapshots" else f"n % 2 = {int(even)}"
        with self.ledger._write() as write:
            write.execute(sa.text(f"UPDATE {table} SET lease_until = lease_until - 1000 WHERE {some}"))

    @precondition(lambda self: self.exports)
    @rule(which=pick, late=st.integers(0, 3))
    def lose(self, which: int, late: int) -> None:
        """The instant of this generation, or in the words of somebody who comes late, of an older one."""
        export_id = self.exports[which % len(self.exports)]
        if export_id not in self.removed:
            self.ledger.lost(export_id, self.ledger.get(export_id).generation - late // 3, LOST)

    @precondition(lambda self: self.exports)
    @rule(which=pick, move=st.sampled_from(["interrupt", "start", "start", "remove"]))
    def move(self, which: int, move: str) -> None:
        export_id = self.exports[which % len(self.exports)]
        try:
            getattr(self.ledger, move)(export_id)
        except NotFound:
            assert export_id in self.removed
        except WrongState:
            pass
        else:
            self.removed |= {export_id} if move == "remove" else set()

    @invariant()
    def nothing_is_done_twice(self) -> None:
        assert set(self.finished.values()) <= {1}
        assert set(self.completed.values()) <= {1}

    @invariant()
    def what_is_kept_is_what_was_finished(self) -> None:
        for export_id in set(self.exports) - self.removed:
            found = self.ledger.get(export_id)
            parts = [one.part for one in self.ledger.fragments(export_id)]
            assert len(parts) == len(set(parts)) == found.parts_done
            assert all(self.finished[export_id, found.generation, part] == 1 for part in parts)
            assert found.processed >= self.shown.get(export_id, 0)
            self.shown[export_id] = found.processed

    def _run_out(self) -> None:
        """From wherever it stands, a world without faults brings every export to its end."""
        alive = set(self.exports) - self.removed
        for export_id in alive:
            if self.ledger.get(export_id).status is Status.INTERRUPTED:
                self.ledger.start(export_id)
        self.mail.clear()
        self.leases.clear()
        for _ in range(200):
            self.time_passes("parts", even=True)
            self.time_passes("parts", even=False)
            self.reconcile(twice=False, lose=False)
            while self.mail:
                self.deliver(0, keep=False, worker="w0")
                while self.leases:
                    self.work(0, own=False, keep=False)
            if all(self.ledger.get(one).status is Status.COMPLETED for one in alive):
                break
        for export_id in alive:
            found: Any = self.ledger.get(export_id)
            assert (found.status, found.processed) == (Status.COMPLETED, 10 * PIECES)
            assert self.completed[export_id] == 1
            assert [one.name for one in self.ledger.events(export_id)].count("completed") == 1


def run(url: str, examples: int, steps: int) -> None:
    machine = type("Machine", (Transitions,), {"url": url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=[Phase.generate],  # to shrink a failure takes minutes; its steps are printed all the same
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_order_of_faults_loses_or_doubles_a_part(url: str) -> None:
    run(url, examples=6, steps=40)


@pytest.mark.heavy
@pytest.mark.timeout(1200)
def test_no_order_of_many_faults_loses_or_doubles_a_part(url: str) -> None:
    run(url, examples=200, steps=100)
