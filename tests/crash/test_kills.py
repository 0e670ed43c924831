"""Processes are killed and frozen at named places: every row is in the files once, and nothing is left lying about."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from outhaul.export import Status
from tests import drafts
from tests.crash.conftest import Undisturbed
from tests.crash.house import WANTED, House, freeze, until

Build = Callable[..., House]
Expected = Callable[..., Undisturbed]

HOUSES = [("postgresql", "postgresql"), ("sqlite", "sqlite")]  # source, ledger
ONE_HOUSE_OFTEN = [HOUSES[0], pytest.param(*HOUSES[1], marks=pytest.mark.heavy)]
POINTS = [
    "before_claim",
    "after_claim",
    "in_plan",
    "after_plan",
    "in_part:3",
    "before_settle:2",
    "after_settle:2",
]
COPYING = "in_part:1000"  # binaries are told of one by one, and rows not so often
# Where the quick tests kill and what is asked for there; the others are for `make test-all`.
KILLS = {
    "postgresql": {"in_plan": "text", "before_settle:2": "files"},
    "sqlite": {COPYING: "binaries"},
}
OFTEN = {"postgresql": {"~before_settle:2", "kill", "cut"}, "sqlite": set()}


def on_both(*ways: str) -> list[Any]:
    """(source, ledger, way) for both houses."""
    return [
        pytest.param(*house, way, marks=() if way in OFTEN[house[1]] else pytest.mark.heavy)
        for house in HOUSES
        for way in ways
    ]


def kills() -> list[Any]:
    """(source, ledger, point, wanted): every point in text, and those of a part in all that can be asked for."""
    return [
        pytest.param(
            *house, point, wanted, marks=() if KILLS[house[1]].get(point) == wanted else pytest.mark.heavy
        )
        for house in HOUSES
        for point in (*POINTS, COPYING)
        for wanted in WANTED
        if wanted == ("binaries" if point == COPYING else "text") or point in {"in_part:3", "before_settle:2"}
    ]


@pytest.mark.parametrize(("source", "ledger", "point", "wanted"), kills())
def test_a_worker_killed_at_a_named_point(
    build: Build, undisturbed: Expected, source: str, ledger: str, point: str, wanted: str
) -> None:
    expected = undisturbed(source, wanted)
    house = build(source, ledger, wanted)
    house.failpoint(point)
    house.start()
    export_id = house.create()
    found = house.complete(export_id, expected)
    assert house.reached()
    if source == "postgresql" and point.startswith(("in_part", "before_settle", "after_settle")):
        assert found.generation == 1, "the keeper still held the instant: a dead worker costs only its part"


@pytest.mark.parametrize(("source", "ledger", "point"), on_both("~in_part:3", "~before_settle:2", "~in_plan"))
def test_a_worker_frozen_beyond_its_lease_is_fenced_off_when_it_wakes(
    build: Build, undisturbed: Expected, source: str, ledger: str, point: str
) -> None:
    expected = undisturbed(source)
    house = build(source, ledger)
    house.failpoint(point)
    house.start()
    export_id = house.create()
    until(house.reached, "the point is reached")
    workers = house.children("outhaul.worker")
    frozen = until(lambda: [one for one in workers if one.status() == psutil.STATUS_STOPPED], "it stops")[0]
    house.finished(export_id)
    frozen.send_signal(signal.SIGCONT)
    house.complete(export_id, expected)
    again = house.create()
    house.complete(again, expected)
    assert frozen.is_running(), "it had nothing to say, and goes on with other work"


def all_stopped(house: House) -> list[psutil.Process]:
    """The workers once each of them is frozen."""
    workers = house.children("outhaul.worker")
    stopped = [one for one in workers if one.status() == psutil.STATUS_STOPPED]
    return stopped if len(stopped) == 2 else []


@pytest.fixture
def watcher(shops: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """Connected before it is needed: the leases of those that are frozen run."""
    with psycopg.connect(shops["postgresql"], autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(("_", "ledger", "way"), on_both("kill", "freeze", "cut"))
def test_a_keeper_that_is_lost_costs_a_generation(
    build: Build, undisturbed: Expected, watcher: psycopg.Connection[Any], _: str, ledger: str, way: str
) -> None:
    expected = undisturbed("postgresql")
    house = build("postgresql", ledger)
    house.environment["OUTHAUL_FAILPOINT"] = "~in_part:3"
    house.start()
    export_id = house.create()
    # Both of them: one that goes on could end the export before the keeper's lease is over.
    workers = until(lambda: all_stopped(house), "parts are being read")
    keeper = house.children("outhaul.snapshots")[0]
    if way == "kill":
        keeper.kill()
    elif way == "freeze":
        freeze(keeper)
        until(lambda: house.ledger.get(export_id).generation > 1, "its lease is over")
        keeper.send_signal(signal.SIGCONT)
    else:
        watcher.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'outhaul keeper%' AND datname = current_database()"
        )
    until(lambda: house.ledger.get(export_id).generation > 1, "all begins anew")
    for one in workers:
        one.send_signal(signal.SIGCONT)
    house.complete(export_id, expected)
    asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s"
    until(lambda: watcher.execute(asked, (f"%{export_id}%",)).fetchone() == (0,), "no session is left")


@pytest.mark.parametrize(("source", "ledger"), ONE_HOUSE_OFTEN)
def test_a_service_that_is_killed_goes_on_where_it_was(
    build: Build, undisturbed: Expected, source: str, ledger: str
) -> None:
    expected = undisturbed(source)
    house = build(source, ledger)
    service = house.start()
    export_id = house.caught()
    children = house.children("outhaul.worker") + house.children("outhaul.snapshots")
    house.kill(service)
    until(lambda: not any(one.is_running() for one in children), "children end with their service", 20)
    assert not house.ledger.artifacts(export_id)
    house.start()
    house.complete(export_id, expected)


@pytest.mark.parametrize(("source", "ledger"), ONE_HOUSE_OFTEN)
def test_when_all_are_killed_others_take_over(
    build: Build, undisturbed: Expected, source: str, ledger: str
) -> None:
    expected = undisturbed(source)
    house = build(source, ledger)
    house.start()
    export_id = house.caught()
    house.kill_all()
    house.start()
    house.complete(export_id, expected)


@pytest.mark.heavy
@pytest.mark.parametrize(("source", "ledger"), HOUSES)
def test_an_archive_that_was_being_closed_when_all_were_killed_is_closed_by_others(
    build: Build, undisturbed: Expected, source: str, ledger: str
) -> None:
    expected = undisturbed(source, "binaries")
    house = build(source, ledger, "binaries")

    def killed() -> str:
        """An export that was not quicker than the kill."""
        while True:
            house.start()
            export_id = house.closing()
            house.kill_all()
            if house.ledger.get(export_id).status is Status.RUNNING:
                return export_id

    export_id = killed()
    house.start()
    house.complete(export_id, expected)


@pytest.mark.parametrize(("source", "ledger"), ONE_HOUSE_OFTEN)
def test_a_worker_that_is_told_to_end_gives_its_part_back(
    build: Build, undisturbed: Expected, source: str, ledger: str
) -> None:
    expected = undisturbed(source)
    house = build(source, ledger)
    house.start()
    export_id = house.caught()
    for one in house.children("outhaul.worker"):
        one.terminate()
        one.wait(20)
    found = house.complete(export_id, expected)
    assert found.generation <= 2


@pytest.mark.parametrize(("source", "ledger"), ONE_HOUSE_OFTEN)
def test_two_services_on_one_ledger_do_each_part_once(
    build: Build, undisturbed: Expected, source: str, ledger: str
) -> None:
    expected = undisturbed(source)
    house = build(source, ledger)
    house.start()
    house.start()
    exports = [house.create() for _ in range(2)]
    for export_id in exports:
        house.complete(export_id, expected)


@pytest.mark.parametrize(("source", "ledger"), ONE_HOUSE_OFTEN)
def test_interrupt_and_start_twice_lose_nothing(
    build: Build, undisturbed: Expected, source: str, ledger: str
) -> None:
    expected = undisturbed(source)
    house = build(source, ledger)
    house.start()
    export_id = house.caught()
    for _ in range(2):
        until(lambda: house.running(export_id) or house.ended(export_id), "it runs")
        if house.ended(export_id):
            break  # quicker than we look
        done = house.ledger.interrupt(export_id).parts_done
        until(lambda: "running" not in drafts.states(house.ledger, export_id), "running parts see it")
        assert house.ledger.get(export_id).parts_done <= done + 2
        house.ledger.start(export_id)
    found = house.complete(export_id, expected)
    assert found.generation == 1, "the instant was held all the while"


@pytest.mark.parametrize("way", ["interrupt", "remove"])
def test_the_statement_of_an_export_that_is_stopped_is_gone(
    build: Build, shops: dict[str, str], way: str, tmp_path: Path
) -> None:
    house = build("postgresql", "sqlite")
    house.start()
    export_id = house.caught()
    getattr(house.ledger, way)(export_id)
    asked = """SELECT count(*) FROM pg_stat_activity
               WHERE application_name LIKE %s AND application_name NOT LIKE '%%keeper%%'"""
    with psycopg.connect(shops["postgresql"], autocommit=True) as connection:
        until(lambda: connection.execute(asked, (f"%{export_id}%",)).fetchone() == (0,), "no session", 5)
    if way == "remove":
        until(lambda: not list(house.store.keys(f"{export_id}/")), "its files are gone")
        until(lambda: not house.ledger.littered(), "it is forgotten")


def shake(house: House, expected: Undisturbed, kills: int, seed: int) -> None:
    """Kills, freezes and ends processes at random moments, and asks for exports all the while."""
    chance = random.Random(seed)
    done = 0
    house.start()
    while done < kills:
        exports = [house.create(), house.create()]
        while done < kills and not all(house.ledger.get(one).status is Status.COMPLETED for one in exports):
            time.sleep(chance.uniform(0.02, 0.5))  # the moment is what is tried
            done += _shaken(house, chance)
        for export_id in exports:
            house.complete(export_id, expected, patience=90)


def _shaken(house: House, chance: random.Random) -> int:
    kind = chance.choice(["worker", "worker", "worker", "keeper", "service", "all"])
    if kind in {"service", "all"}:
        house.kill_all() if kind == "all" else house.kill(house.services[0])
        house.start()
        return 1
    victims = house.children("outhaul.worker" if kind == "worker" else "outhaul.snapshots")
    if victims:
        sign = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        chance.choice(victims).send_signal(sign)
    return len(victims[:1])


@pytest.mark.parametrize(("source", "ledger"), ONE_HOUSE_OFTEN)
def test_a_few_kills_at_random_moments(build: Build, undisturbed: Expected, source: str, ledger: str) -> None:
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    shake(build(source, ledger), undisturbed(source), 8, seed)


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize(("source", "ledger"), HOUSES)
def test_many_kills_at_random_moments(
    build: Build, undisturbed: Expected, source: str, ledger: str, wanted: str
) -> None:
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    kills = 50 if wanted == "text" else 20
    shake(build(source, ledger, wanted), undisturbed(source, wanted), kills, seed)
