"""Who goes next: windows, small before large, tenants in turn, and a place in the queue that is told."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from outhaul.ledger import Delivery, Ledger
from outhaul.plan import BINARY
from tests import drafts
from tests.drafts import TERMS, claimed, create, fragment, only, plan_out


def tenants(ledger: Ledger, deliveries: tuple[Delivery, ...]) -> list[str | None]:
    return [ledger.get(one.export).tenant for one in deliveries]


def settle(ledger: Ledger, delivery: Delivery) -> None:
    lease = claimed(ledger, delivery)
    assert ledger.settle(lease, [fragment(lease)])


def test_an_export_that_nobody_has_checked_is_not_admitted(ledger: Ledger) -> None:
    made = create(ledger, checked=False)
    assert ledger.unchecked() == (made.id,)
    assert ledger.admit(2) == ()
    assert ledger.queue(made.id)
    assert not ledger.queue(made.id)
    assert [one.export for one in ledger.admit(2)] == [made.id]


@pytest.mark.parametrize(("slots", "out"), [(1, 1), (2, 3), (4, 3), (8, 7)])
def test_a_single_tenant_leaves_room_for_others(ledger: Ledger, slots: int, out: int) -> None:
    drafts.wait_all(ledger, acme=40)
    assert len(ledger.admit(slots)) == out
    assert ledger.admit(slots) == ()


def test_what_ends_makes_room_for_as_much(ledger: Ledger) -> None:
    drafts.wait_all(ledger, acme=10)
    first, *_ = ledger.admit(2)
    settle(ledger, first)
    assert len(ledger.admit(2)) == 1


def test_tenants_take_turns_whoever_came_first(ledger: Ledger) -> None:
    drafts.wait_all(ledger, acme=30, bolt=3, core=3)
    deliveries = list(ledger.admit(2))
    assert len(deliveries) == 3
    order: list[str | None] = []
    while deliveries:
        first = deliveries.pop(0)
        order += tenants(ledger, (first,))
        settle(ledger, first)
        deliveries += ledger.admit(2)
    assert len(order) == 36
    assert Counter(order[:9]) == {"acme": 3, "bolt": 3, "core": 3}


def test_a_small_export_goes_before_a_large_one(ledger: Ledger) -> None:
    drafts.wait_all(ledger, acme=30)
    made = create(ledger, tenant="acme")
    assert ledger.admit(2)[0].export == made.id
    assert ledger.admit(2) == ()


def test_from_three_slots_on_one_is_left_to_small_exports(ledger: Ledger) -> None:
    drafts.wait_all(ledger, acme=30, bolt=30, core=30)
    assert len(ledger.admit(3)) == 2
    made = create(ledger, tenant="acme")
    assert only(ledger.admit(3)).export == made.id


def test_parts_under_a_workers_own_instant_go_to_it_alone(ledger: Ledger) -> None:
    made = create(ledger)
    lease = claimed(ledger, only(ledger.admit(2)), "w7")
    assert ledger.settle_plan(lease, drafts.planned(9), own=True, claim=False) == ()
    assert ledger.admit(4, ["w1"]) == (), "another engine's worker"
    deliveries = ledger.admit(4, ["w1", "w7"])
    assert [one.holder for one in deliveries] == ["w7", "w7"]
    assert {one.export for one in deliveries} == {made.id}


def test_no_part_goes_out_without_a_living_instant(ledger: Ledger) -> None:
    plan_out(ledger, 5)
    drafts.passes(ledger, "snapshots", lease_until=1000)
    assert ledger.admit(4) == ()


def test_only_so_many_exports_of_a_tenant_are_in_work(url: str) -> None:
    with drafts.opened(url, replace(TERMS, window=2)) as ledger:
        made = [create(ledger).id for _ in range(4)]
        other = create(ledger, tenant="bolt").id
        assert {one.export for one in ledger.admit(50)} == {*made[:2], other}
        ledger.interrupt(made[0])
        assert {one.export for one in ledger.admit(50)} == {made[2]}


def test_two_reconcilers_deliver_every_part_once(ledger: Ledger) -> None:
    drafts.wait_all(ledger, acme=20, bolt=20)
    with ThreadPoolExecutor(4) as pool:
        deliveries = [one for found in pool.map(lambda _: ledger.admit(8), range(12)) for one in found]
    assert len(deliveries) == len(set(deliveries)) == 7
    assert all(one.attempt == 1 for one in deliveries)


def test_the_place_in_the_queue_is_told_until_work_begins(ledger: Ledger) -> None:
    made = [create(ledger, checked=False).id for _ in range(3)]
    assert [ledger.get(one).position for one in made] == [1, 2, 3]
    ledger.queue(made[0])
    claimed(ledger, only(ledger.admit(2)))
    assert [ledger.get(one).position for one in made] == [None, 1, 2]
    ledger.remove(made[1])
    assert ledger.get(made[2]).position == 1
    assert {one.position for one in ledger.list()[0]} == {None}, (
        "to count all that waits for each would take long"
    )


def test_the_place_in_the_queue_does_not_tell_how_many_of_others_wait(ledger: Ledger) -> None:
    tenants = ("acme", "bolt", None, "acme", None, "bolt")
    made = [create(ledger, tenant=tenant, checked=False).id for tenant in tenants]
    assert [ledger.get(one).position for one in made] == [1, 1, 1, 2, 2, 2]


def test_what_is_shown_never_falls_and_ends_at_what_matched(ledger: Ledger) -> None:
    made = plan_out(ledger, 2, formats=("csv", "json"))
    seen = []

    def look() -> None:
        seen.append(ledger.get(made.id).processed)

    assert ledger.get(made.id).matched == 20
    for delivery in (one for _ in range(9) for one in ledger.admit(2)):
        lease = claimed(ledger, delivery)
        for rows in (3, 8, 5):
            ledger.beat(lease, rows)
            look()
        if delivery.part == 1 and delivery.attempt == 1:
            ledger.fail(lease, {"error": "X"}, again=True)
            look()
            continue
        ledger.settle(lease, [fragment(lease)])
        look()
    assert seen == sorted(seen)
    assert seen[-1] == 20
    assert ledger.closable() == (made.id,)
    assert ledger.get(made.id).percentage < 100
    assert ledger.complete(made.id, 1, [], "manifest")
    assert ledger.get(made.id).percentage == 100


def test_a_row_is_shown_when_each_format_has_it_and_a_binary_when_it_is_copied(ledger: Ledger) -> None:
    made = create(ledger, formats=("csv", "json"), resources=("orders", "files"))
    lease = claimed(ledger, only(ledger.admit(2)))
    drafts.hold(ledger, lease)
    found = drafts.planned(1, counts=[{"": 10}, {"": 10}])
    found = replace(found, forms=[("csv", "json"), (BINARY,)])
    assert ledger.settle_plan(lease, found, own=False, claim=False) == ()
    seen = []
    for delivery in (one for _ in range(3) for one in ledger.admit(2)):
        lease = claimed(ledger, delivery)
        ledger.beat(lease, 4)
        seen.append(ledger.get(made.id).processed)
        assert ledger.settle(lease, [fragment(lease)])
        seen.append(ledger.get(made.id).processed)
    assert seen == [2, 5, 7, 10, 14, 20]
    assert ledger.get(made.id).percentage == 99.9, "until it is closed"


def test_the_end_is_estimated_from_the_rate(ledger: Ledger) -> None:
    made = plan_out(ledger, 4)
    assert ledger.get(made.id).estimated_completion_at is None
    settle(ledger, ledger.admit(2)[0])
    drafts.passes(ledger, "exports", resumed_at=10)
    left = ledger.get(made.id).estimated_completion_at - datetime.now(UTC)
    assert 29 < left.total_seconds() < 60, "10 of 40 rows took 10 seconds, and a slow machine a few more"
    ledger.interrupt(made.id)
    assert ledger.get(made.id).estimated_completion_at is None
