"""Snapshots and generations: who holds an instant, how it is lost, and that nothing of an old one is ever counted."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from outhaul.errors import SchemaChanged, SnapshotLost
from outhaul.export import Status
from outhaul.ledger import Ledger, Verdict
from tests import drafts
from tests.drafts import claimed, create, fragment, hold, only, plan_out, states

LOST = SnapshotLost("The instant is gone.").as_data()
CHANGED = SchemaChanged("orders was rewritten.").as_data()


def test_a_wish_is_met_by_one_keeper(ledger: Ledger) -> None:
    made = create(ledger)
    assert ledger.want(claimed(ledger, only(ledger.admit(2))))
    wish = only(ledger.wanted())
    assert (wish.export, wish.generation, wish.state) == (made.id, 1, "wanted")
    assert ledger.hold(wish.ref, "k1", "one", datetime.now(UTC))
    assert not ledger.hold(wish.ref, "k2", "two", datetime.now(UTC))
    assert ledger.wanted() == ()
    found = ledger.snapshot(made.id)
    assert found
    assert (found.state, found.holder, found.snapshot, found.own) == ("held", "k1", "one", False)


def test_a_wish_of_a_lapsed_attempt_is_not_made_and_an_older_one_is_void(ledger: Ledger) -> None:
    made = create(ledger)
    old = claimed(ledger, only(ledger.admit(2)))
    assert ledger.want(old)
    stale = only(ledger.wanted())
    drafts.passes(ledger, "parts", lease_until=1000)
    ledger.lapse()
    assert not ledger.want(old)
    hold(ledger, claimed(ledger, only(ledger.admit(2))))
    assert not ledger.hold(stale.ref, "k1", "one", datetime.now(UTC))
    assert ledger.snapshot(made.id) != stale


def test_a_keeper_that_was_frozen_beyond_its_lease_keeps_nothing(ledger: Ledger) -> None:
    made = plan_out(ledger)
    assert ledger.holds("keeper") == {made.id}
    assert ledger.beat_holds("keeper", [made.id]) == {made.id}
    assert ledger.beat_holds("another", [made.id]) == frozenset()
    drafts.passes(ledger, "snapshots", lease_until=1000)
    assert ledger.beat_holds("keeper", [made.id]) == frozenset(), "before anybody has noticed"
    assert ledger.holds("keeper") == frozenset()
    assert ledger.lapse_snapshots() == 1
    assert ledger.renew() == 1


def test_a_lost_instant_makes_every_part_run_again(ledger: Ledger) -> None:
    made = plan_out(ledger, 3)
    done, running = (claimed(ledger, one) for one in ledger.admit(2)[:2])
    assert ledger.settle(done, [fragment(done)])
    assert ledger.lost(made.id, 1, LOST)
    assert ledger.renew() == 1
    assert ledger.get(made.id).generation == 2
    assert states(ledger, made.id) == ["new"]
    assert ledger.fragments(made.id) == ()
    assert ledger.check(running) is Verdict.STOP
    assert not ledger.settle(running, [fragment(running)]), "read under the old instant"
    lease = claimed(ledger, only(ledger.admit(2)))
    assert lease.part.generation == 2
    hold(ledger, lease)
    ledger.settle_plan(lease, drafts.planned(3), own=False, claim=False)
    assert not ledger.settle(running, [fragment(running)])
    drafts.finish(ledger)
    facts = ledger.facts(made.id)
    assert facts
    assert {one.key.split("/")[1].split("-")[0] for one in facts.fragments} == {"2"}


def test_what_shows_does_not_fall_when_all_begins_anew(ledger: Ledger) -> None:
    made = plan_out(ledger, 3)
    lease = claimed(ledger, ledger.admit(2)[0])
    assert ledger.settle(lease, [fragment(lease)])
    ledger.lost(made.id, 1, LOST)
    ledger.renew()
    assert ledger.get(made.id).processed == 10


def test_a_report_of_an_older_generation_loses_nothing(ledger: Ledger) -> None:
    made = plan_out(ledger)
    ledger.lost(made.id, 1, LOST)
    ledger.renew()
    hold(ledger, claimed(ledger, only(ledger.admit(2))))
    assert not ledger.lost(made.id, 1, LOST)
    assert ledger.renew() == 0


def test_no_crash_of_a_ledgers_server_undoes_what_its_living_holder_goes_on_from(postgres_url: str) -> None:
    watch = """
        CREATE TABLE seen (lasting text);
        CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
        CREATE TRIGGER see AFTER INSERT OR UPDATE ON snapshots FOR EACH ROW
            WHEN (NEW.state = 'held') EXECUTE FUNCTION see();
        CREATE TRIGGER see_parts AFTER INSERT ON parts FOR EACH ROW WHEN (NEW.n > 0) EXECUTE FUNCTION see();
    """
    with drafts.opened(postgres_url) as ledger, psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(watch)
        create(ledger)
        lease = claimed(ledger, only(ledger.admit(2)))
        hold(ledger, lease)
        assert connection.execute("SELECT lasting FROM seen").fetchall() == [("on",)], "a keeper's"
        assert ledger.settle_plan(lease, drafts.planned(1), own=True, claim=True)
        assert connection.execute("SELECT lasting FROM seen").fetchall() == [("on",)] * 3, "a worker's"


def test_an_instant_that_is_lost_five_times_fails_the_export(ledger: Ledger) -> None:
    made = create(ledger)
    for generation in range(1, 6):
        lease = claimed(ledger, only([one for one in ledger.admit(2) if one.part == 0]))
        hold(ledger, lease)
        ledger.settle_plan(lease, drafts.planned(), own=False, claim=False)
        assert ledger.lost(made.id, generation, LOST)
        ledger.renew()
    found = ledger.get(made.id)
    assert (found.status, found.errors) == (Status.FAILED, (LOST,))


def test_a_holder_that_leaves_in_order_does_not_count(ledger: Ledger) -> None:
    made = create(ledger)
    for generation in range(1, 9):
        lease = claimed(ledger, only([one for one in ledger.admit(2) if one.part == 0]))
        hold(ledger, lease)
        ledger.settle_plan(lease, drafts.planned(), own=False, claim=False)
        assert ledger.lost(made.id, generation)
        ledger.renew()
    assert ledger.get(made.id).status is Status.RUNNING


def test_a_schema_that_changes_twice_fails_the_export(ledger: Ledger) -> None:
    made = plan_out(ledger)
    ledger.lost(made.id, 1, CHANGED)
    ledger.renew()
    assert ledger.get(made.id).status is Status.RUNNING
    lease = claimed(ledger, only(ledger.admit(2)))
    hold(ledger, lease)
    ledger.settle_plan(lease, drafts.planned(), own=False, claim=False)
    ledger.lost(made.id, 2, CHANGED)
    ledger.renew()
    assert ledger.get(made.id).status is Status.FAILED
    assert ledger.get(made.id).errors[0]["error"] == "SchemaChanged"


def test_an_interrupted_export_goes_on_under_its_instant_while_it_is_kept(ledger: Ledger) -> None:
    made = plan_out(ledger)
    lease = claimed(ledger, ledger.admit(2)[0])
    assert ledger.settle(lease, [fragment(lease)])
    ledger.interrupt(made.id)
    assert ledger.let_go() == 0
    assert ledger.start(made.id).generation == 1
    assert states(ledger, made.id).count("done") == 2


def test_after_ten_minutes_an_interrupted_export_begins_anew(ledger: Ledger) -> None:
    made = plan_out(ledger)
    lease = claimed(ledger, ledger.admit(2)[0])
    assert ledger.settle(lease, [fragment(lease)])
    ledger.interrupt(made.id)
    drafts.passes(ledger, "exports", interrupted_at=599)
    assert ledger.let_go() == 0
    drafts.passes(ledger, "exports", interrupted_at=2)
    assert ledger.let_go() == 1
    assert ledger.holds("keeper") == frozenset()
    assert ledger.start(made.id).generation == 2
    assert states(ledger, made.id) == ["new"]


def test_an_instant_that_is_too_old_ends_the_export(ledger: Ledger) -> None:
    made = plan_out(ledger)
    drafts.passes(ledger, "snapshots", held_at=7199)
    assert ledger.outdate() == 0
    drafts.passes(ledger, "snapshots", held_at=2)
    assert ledger.outdate() == 1
    found = ledger.get(made.id)
    assert (found.status, found.errors[0]["error"]) == (Status.FAILED, "SourceTimeout")
    assert ledger.holds("keeper") == frozenset()
    assert ledger.start(made.id).generation == 2


def test_an_export_that_has_read_everything_is_closed_without_its_instant_however_long_that_takes(
    ledger: Ledger,
) -> None:
    made = plan_out(ledger, 1)
    drafts.passes(ledger, "snapshots", held_at=7201)
    drafts.finish(ledger)
    assert ledger.outdate() == 0
    assert ledger.let_go() == 1
    assert ledger.holds("keeper") == frozenset()
    assert ledger.renew() == 0
    assert ledger.complete(made.id, 1, [], "manifest")


def test_an_export_that_is_interrupted_while_it_is_closed_has_only_that_left_to_do(ledger: Ledger) -> None:
    made = plan_out(ledger, 1)
    drafts.finish(ledger)
    ledger.interrupt(made.id)
    assert ledger.let_go() == 1
    assert ledger.start(made.id).generation == 1
    assert ledger.closable() == (made.id,)
    assert ledger.complete(made.id, 1, [], "manifest")


@pytest.mark.parametrize("end", ["completed", "removed", "disproved"])
def test_an_export_that_has_ended_lets_its_instant_go(ledger: Ledger, end: str) -> None:
    made = plan_out(ledger, 1)
    drafts.finish(ledger)
    if end == "completed":
        assert ledger.complete(made.id, 1, [], "manifest")
    elif end == "removed":
        ledger.remove(made.id)
    else:
        assert ledger.disprove(made.id, 1, {"error": "Unproven"})
        assert ledger.start(made.id).generation == 2, "what is not proven begins anew"
    assert ledger.holds("keeper") == frozenset()


def test_a_worker_that_has_certainly_ended_is_buried_at_once(ledger: Ledger) -> None:
    create(ledger)
    lease = claimed(ledger, only(ledger.admit(2)), "w1")
    leases = ledger.settle_plan(lease, drafts.planned(1), own=True, claim=True)
    assert leases
    assert ledger.lapse() + ledger.lapse_snapshots() == 0
    ledger.bury("w1")
    assert ledger.lapse_snapshots() == 1
    assert ledger.renew() == 1
    assert not ledger.settle(leases[0], [fragment(leases[0])])


def test_a_small_export_is_claimed_with_its_plan(ledger: Ledger) -> None:
    made = create(ledger, formats=("csv", "json"))
    lease = claimed(ledger, only(ledger.admit(2)))
    leases = ledger.settle_plan(lease, drafts.planned(1, ("csv", "json")), own=True, claim=True)
    assert leases
    assert [(one.part.n, one.part.format, one.part.attempt) for one in leases] == [
        (1, "csv", 1),
        (2, "json", 1),
    ]
    assert ledger.admit(2, ["w1"]) == ()
    for one in leases:
        assert ledger.check(one) is Verdict.GO
        assert ledger.settle(one, [fragment(one)])
    assert ledger.closable() == (made.id,)


def test_an_instant_lost_after_the_last_part_was_done_costs_nothing(ledger: Ledger) -> None:
    made = plan_out(ledger, 2)
    drafts.finish(ledger)
    assert ledger.lost(made.id, 1, LOST)
    assert ledger.renew() == 0
    assert ledger.closable() == (made.id,)


def test_a_changed_schema_is_looked_at_anew_after_a_start(ledger: Ledger) -> None:
    made = plan_out(ledger)
    assert ledger.fail(claimed(ledger, ledger.admit(2)[0]), CHANGED, again=False)
    assert ledger.holds("keeper") == frozenset()
    assert ledger.start(made.id).generation == 2
