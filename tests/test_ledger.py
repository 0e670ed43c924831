"""Transitions of exports and parts, on every database that a ledger can live in."""

from __future__ import annotations

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from outhaul.errors import Misconfigured, NotFound, WrongState, WrongValue
from outhaul.export import MOVES, Artifact, Caller, Draft, Selection, Sight, Status
from outhaul.ledger import Ledger, NewToken, Terms, Verdict
from tests import drafts
from tests.drafts import claimed, create, fragment, only, plan_out, states

BOTH = ["sqlite", "postgresql"]


def test_a_ledger_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    with drafts.opened(drafts.sqlite_url(tmp_path)) as ledger:
        create(ledger)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert set(modes) >= {"ledger.db", "ledger.db-wal"}
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("wrong", ["sqlite://", "sqlite:///:memory:", "mysql+pymysql://host/name"])
def test_a_ledger_that_could_not_last_is_refused(wrong: str) -> None:
    with pytest.raises((Misconfigured, ModuleNotFoundError)):
        Ledger(wrong)


def test_a_new_export_has_its_planning_part_and_one_event(ledger: Ledger) -> None:
    made = create(ledger, checked=False, reference="r-1", metadata={"a": [1]}, wire={"x": None})
    assert len(made.id) == 10
    assert made.id.isalpha()
    assert made.status is Status.CREATED
    assert (made.tenant, made.caller, made.reference, made.metadata) == ("acme", "key-1", "r-1", {"a": [1]})
    assert abs(made.created_at - datetime.now(UTC)) < timedelta(seconds=5)
    assert ledger.plan(made.id) == drafts.plan()
    assert [part.n for part in ledger.parts(made.id)] == [0]
    assert [(event.name, event.who) for event in ledger.events(made.id)] == [("created", "key-1")]


def test_an_id_that_is_taken_is_drawn_again(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    first = create(ledger)
    ids = iter((first.id, "abcdefghij"))
    monkeypatch.setattr("outhaul.ledger.exports.fresh", lambda: next(ids))
    assert create(ledger).id == "abcdefghij"


def test_another_tenants_export_is_not_there(ledger: Ledger) -> None:
    made = create(ledger, tenant="acme")
    calls: list[Any] = [ledger.get, ledger.amend, ledger.interrupt, ledger.start, ledger.remove]
    for call in calls:
        with pytest.raises(NotFound):
            call(made.id, Sight("other"))
    assert ledger.get(made.id, Sight("acme")).status is Status.QUEUED
    assert ledger.list(Sight("other")) == ((), 0)


def test_an_export_is_there_only_for_whom_every_resource_of_it_is(ledger: Ledger) -> None:
    orders = create(ledger)
    both = create(ledger, resources=("orders", "skus"))
    assert {one.id for one in ledger.list(Sight("acme", ("orders", "skus")))[0]} == {orders.id, both.id}
    assert [one.id for one in ledger.list(Sight("acme", ("orders",)))[0]] == [orders.id]
    assert ledger.list(Sight(None, ("skus",))) == ((), 0)
    calls: list[Any] = [ledger.get, ledger.amend, ledger.interrupt, ledger.start, ledger.remove]
    for call in calls:
        with pytest.raises(NotFound):
            call(both.id, Sight("acme", ("skus",)))


def test_only_the_first_of_two_claims_gets_the_lease(ledger: Ledger) -> None:
    create(ledger)
    delivery = only(ledger.admit(2))
    barrier = threading.Barrier(8)

    def claim(number: int) -> Any:
        barrier.wait()
        return ledger.claim(delivery.export, delivery.part, delivery.attempt, f"w{number}")

    with ThreadPoolExecutor(8) as pool:
        leases = [lease for lease in pool.map(claim, range(8)) if lease]
    assert len(leases) == 1
    assert ledger.get(delivery.export).status is Status.RUNNING


def test_a_delivery_of_another_attempt_finds_nothing(ledger: Ledger) -> None:
    made = create(ledger)
    delivery = only(ledger.admit(2))
    assert ledger.claim(made.id, 0, delivery.attempt - 1, "w1") is None
    assert ledger.claim(made.id, 0, delivery.attempt + 1, "w1") is None
    assert ledger.claim(made.id, 1, delivery.attempt, "w1") is None
    assert ledger.claim("nosuchxport", 0, 1, "w1") is None


def test_a_lapsed_worker_is_fenced_off_from_everything(ledger: Ledger) -> None:
    made = plan_out(ledger)
    old = claimed(ledger, ledger.admit(2)[0])
    drafts.passes(ledger, "parts", lease_until=1000)
    assert ledger.lapse() >= 1
    new = claimed(ledger, next(one for one in ledger.admit(2) if one.part == old.part.n), "w2")
    assert ledger.beat(old, 5) is Verdict.STOP
    assert ledger.check(old) is Verdict.STOP
    assert not ledger.settle(old, [fragment(old)])
    assert not ledger.fail(old, {"error": "X", "message": "", "hint": ""}, again=False)
    ledger.release(old)
    assert ledger.check(new) is Verdict.GO
    assert ledger.fragments(made.id) == ()
    assert ledger.settle(new, [fragment(new)])
    assert [one.key for one in ledger.fragments(made.id)] == [fragment(new).key]


def test_a_lease_that_is_beaten_does_not_lapse(ledger: Ledger) -> None:
    plan_out(ledger, pieces=1)
    lease = claimed(ledger, only(ledger.admit(2)))
    drafts.passes(ledger, "parts", lease_until=40)
    assert ledger.beat(lease, 1) is Verdict.GO
    drafts.passes(ledger, "parts", lease_until=40)
    assert ledger.lapse() == 0
    assert ledger.check(lease) is Verdict.GO


def test_a_delivery_that_is_never_claimed_goes_out_again_and_costs_no_try(ledger: Ledger) -> None:
    create(ledger)
    for attempt in range(1, 12):
        delivery = only(ledger.admit(2))
        assert delivery.attempt == attempt
        drafts.passes(ledger, "parts", lease_until=1000)
        assert ledger.lapse() == 1
    claimed(ledger, only(ledger.admit(2)))


def test_a_part_that_loses_five_workers_fails_its_export(ledger: Ledger) -> None:
    made = plan_out(ledger, pieces=1)
    for _ in range(5):
        claimed(ledger, only(ledger.admit(2)))
        drafts.passes(ledger, "parts", lease_until=1000)
        ledger.lapse()
    failed = ledger.get(made.id)
    assert failed.status is Status.FAILED
    assert failed.errors[0]["error"] == "WorkerLost"
    assert failed.errors[0]["part"] == 1
    assert ledger.admit(2) == ()


def test_a_part_that_fails_is_tried_five_times(ledger: Ledger) -> None:
    made = plan_out(ledger, pieces=1)
    error = {"error": "SourceAway", "message": "The source cannot be reached.", "hint": "Wait."}
    for attempt in range(1, 6):
        lease = claimed(ledger, only(ledger.admit(2)))
        assert lease.part.attempt == attempt
        assert ledger.fail(lease, error, again=True)
    assert ledger.get(made.id).errors == (error | {"part": 1},)
    assert [event.name for event in ledger.events(made.id)][-1] == "failed"


def test_between_two_tries_lies_a_growing_pause(url: str) -> None:
    with drafts.opened(url, Terms(pause=timedelta(seconds=10))) as ledger:
        plan_out(ledger, pieces=1)
        for pause in (10, 20, 40, 60):
            ledger.fail(claimed(ledger, only(ledger.admit(2))), {"error": "X"}, again=True)
            drafts.passes(ledger, "parts", ready_at=pause - 3)
            assert ledger.admit(2) == ()
            drafts.passes(ledger, "parts", ready_at=4)


def test_an_error_that_cannot_heal_fails_at_once_and_can_be_started_again(ledger: Ledger) -> None:
    made = plan_out(ledger, pieces=3)
    first, second = (claimed(ledger, one) for one in ledger.admit(2)[:2])
    assert ledger.settle(first, [fragment(first)])
    assert ledger.fail(second, {"error": "StoreFull", "message": "Full.", "hint": ""}, again=False)
    assert ledger.get(made.id).status is Status.FAILED
    assert states(ledger, made.id) == ["done", "done", "failed", "new"]
    assert ledger.start(made.id).errors == ()
    assert states(ledger, made.id) == ["done", "done", "new", "new"]
    assert ledger.queue(made.id)
    drafts.finish(ledger)
    assert ledger.closable() == (made.id,)
    assert ledger.get(made.id).generation == 1


def test_interrupt_stops_the_running_and_start_goes_on(ledger: Ledger) -> None:
    made = plan_out(ledger, pieces=3)
    done, running = (claimed(ledger, one) for one in ledger.admit(2)[:2])
    assert ledger.settle(done, [fragment(done)])
    assert ledger.interrupt(made.id, who="ann").status is Status.INTERRUPTED
    assert ledger.check(running) is Verdict.STOP
    assert ledger.beat(running, 3) is Verdict.STOP
    assert ledger.admit(2) == ()
    ledger.release(running)
    assert ledger.start(made.id, who="bob").status is Status.QUEUED
    assert ledger.queue(made.id)
    assert {one.part for one in ledger.admit(2)} == {2, 3}
    told = [(event.name, event.who) for event in ledger.events(made.id)]
    assert ("interrupted", "ann") in told
    assert ("resumed", "bob") in told


def test_interrupt_and_start_during_a_run_leave_the_lease_alone(ledger: Ledger) -> None:
    made = plan_out(ledger, pieces=1)
    running = claimed(ledger, only(ledger.admit(2)))
    for _ in range(2):
        ledger.interrupt(made.id)
        ledger.start(made.id)
        ledger.queue(made.id)
    assert ledger.admit(2) == ()
    assert ledger.beat(running, 3) is Verdict.GO
    assert ledger.settle(running, [fragment(running)])
    assert ledger.closable() == (made.id,)


def test_a_move_that_the_table_does_not_allow_is_a_wrong_state(ledger: Ledger) -> None:
    made = create(ledger, checked=False)
    for status in Status:
        with ledger._write() as write:
            write.execute(sa.text("UPDATE exports SET status = :status"), {"status": status})
        for move, target in ((ledger.interrupt, Status.INTERRUPTED), (ledger.start, Status.QUEUED)):
            allowed = target in MOVES[status] and not (move == ledger.start and status is Status.CREATED)
            if not allowed:
                with pytest.raises(WrongState, match=status):
                    move(made.id)


def test_a_removed_export_is_gone_and_its_worker_is_told(ledger: Ledger) -> None:
    made = plan_out(ledger, pieces=1)
    running = claimed(ledger, only(ledger.admit(2)))
    ledger.remove(made.id, who="ann")
    with pytest.raises(NotFound):
        ledger.get(made.id)
    assert ledger.check(running) is Verdict.STOP
    assert not ledger.settle(running, [fragment(running)])
    assert ledger.littered() == (made.id,)
    assert not ledger.swept(made.id), "a worker may still write"
    ledger.release(running)
    assert ledger.swept(made.id)
    assert ledger.littered() == ()
    assert [event.name for event in ledger.events(made.id)][-1] == "removed"


def test_what_is_done_expires_and_its_files_are_due(ledger: Ledger) -> None:
    made = plan_out(ledger, pieces=1)
    drafts.finish(ledger)
    artifact = Artifact(made.id, 0, "csv", "orders.csv", "text/csv", 9, 9, 1, 10, "tag", ({"data": "aWQK"},))
    assert ledger.complete(made.id, 1, [artifact], f"{made.id}/manifest.json")
    assert ledger.artifacts(made.id) == (artifact,)
    assert ledger.expire() == 0
    drafts.passes(ledger, "exports", expires_at=7 * 24 * 3600 + 1)
    assert ledger.expire() == 1
    assert ledger.get(made.id).status is Status.EXPIRED
    assert ledger.littered() == (made.id,)
    assert ledger.swept(made.id)
    assert ledger.fragments(made.id) == ()


def test_tokens_are_found_by_hash_and_revoked_once(ledger: Ledger) -> None:
    made = NewToken("id-1", "hash-1", "ci", "acme", all_tenants=False, resources=("orders",), read_only=True)
    kept = ledger.insert_token(made, datetime.now(UTC) + timedelta(hours=1))
    assert (kept.name, kept.tenant, kept.resources, kept.read_only, kept.expired) == (
        *("ci", "acme", ("orders",), True, False),
    )
    assert ledger.find_token("hash-2") is None
    ledger.touch_token("id-1")
    found = ledger.find_token("hash-1")
    assert found
    assert found.used_at
    assert (kept.stale, found.stale) == (True, False)
    drafts.passes(ledger, "tokens", used_at=61)
    assert [token.stale for token in ledger.list_tokens()] == [True]
    drafts.passes(ledger, "tokens", expires_at=3601)
    assert [token.expired for token in ledger.list_tokens()] == [True]
    assert ledger.revoke_token("id-1")
    assert not ledger.revoke_token("id-1")


@dataclass(frozen=True, slots=True)
class LaterSelection(Selection):
    """As a later version may have it."""

    depth: int | None = None


@dataclass(frozen=True, slots=True)
class LaterDraft(Draft):
    """As a later version may have it."""

    colour: str = "none"


def test_a_key_names_one_export_of_a_caller_in_a_tenant_and_of_one_in_none(ledger: Ledger) -> None:
    draft = Draft((Selection("orders"),))
    found = {}
    for tenant in ("acme", "bolt", None):
        caller = Caller("issuer/name", "Ann", tenant, all_tenants=tenant is None)
        made = [
            ledger.create(caller=caller, draft=draft, plan=drafts.plan(), matched=None, key="k").id
            for _ in range(2)
        ]
        assert made[0] == made[1]
        found[made[0]] = ledger.get(made[0]).tenant
    assert sorted(map(str, found.values())) == ["None", "acme", "bolt"]


def test_a_key_knows_its_request_again_in_a_later_version(ledger: Ledger) -> None:
    caller = Caller("key-1", "Ann", "acme")
    draft = Draft((Selection("orders", filters={"id_gt": 1}),), reference="r")
    made = ledger.create(caller=caller, draft=draft, plan=drafts.plan(), matched=None, key="k")
    selection = LaterSelection("orders", filters={"id_gt": 1})
    same = ledger.keyed(caller, "k", LaterDraft((selection,), reference="r"))
    assert same
    assert same.id == made.id
    with pytest.raises(WrongValue):
        ledger.keyed(caller, "k", LaterDraft((selection,), reference="r", colour="red"))
    with pytest.raises(WrongValue):
        ledger.keyed(caller, "k", LaterDraft((LaterSelection("orders", depth=2),), reference="r"))
