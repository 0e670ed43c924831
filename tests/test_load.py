"""The load bench: what it reckons from what callers saw, and a small run of all of it."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from bench import ledgers, load, load_page
from bench.crowd import NO_ANSWER, Seen, quantile
from bench.load_page import Pages, Sizes
from bench.sizes import CALLS, Pair
from bench.watchers import Watched


@pytest.mark.parametrize(
    ("share", "found"), [(0.5, 50), (0.99, 99), (0.991, 100), (0.999, 100), (1, 100), (0.001, 1)]
)
def test_a_quantile_is_the_smallest_value_that_so_many_do_not_exceed(share: float, found: int) -> None:
    values = list(range(1, 101))
    random.Random(7).shuffle(values)
    assert quantile(values, share) == found


def test_one_value_is_every_quantile_and_none_has_none() -> None:
    assert quantile([3.5], 0.99) == 3.5
    assert quantile([], 0.99) == 0


def test_the_slowest_hundredth_is_told_in_medians_of_one_alone() -> None:
    seen = Seen(idle=[0.004, 0.002, 0.003], retrieves=[0.01] * 98 + [0.03] + [9.0], statuses={"200": 103})
    assert seen.share == pytest.approx(10)
    assert "is 10.0 medians of one alone (aim: under 20: met)" in load_page.summary(seen)
    seen.retrieves[-2] = 0.06
    assert "is 20.0 medians of one alone (aim: under 20: not met)" in load_page.summary(seen)


def test_an_answer_of_5xx_and_one_that_never_came_are_broken() -> None:
    statuses = {"200": 7, "201": 5, "429": 3, "500": 1, "503": 2, NO_ANSWER: 4}
    assert Seen(statuses=statuses).broken == 7


def test_a_ledger_of_one_organization_has_no_aim_and_one_of_many_has_one_for_each_call_that_is_aimed() -> (
    None
):
    pairs = tuple(Pair(call, [0.01, 0.02, 0.03], [0.03, 0.04, 0.02]) for call in CALLS)
    told = {many: "\n".join(load_page._sizes(Sizes(many, 10, 1_000, pairs))) for many in (1, 100)}
    assert told[100].count("| 20.0 | 30.0 | 1.50 | 1.5: met |") == sum(call.aimed for call in CALLS) > 5
    assert told[1].count("| 20.0 | 30.0 | 1.50 | none |") == len(CALLS)
    pairs[0].large[1] = 0.0301
    pairs[0].large[0] = 0.0301
    assert "| 1.50 | 1.5: not met |" in "\n".join(load_page._sizes(Sizes(100, 10, 1_000, pairs)))


def test_pages_are_told_by_medians_and_by_the_latest_of_all() -> None:
    seen = Watched([2.0, 4.0, 3.0], [9.0, 3.1, 3.0], late=[0.1, 2.0, 0.3], still=[1.1, 1.9, 1.2])
    assert seen.slowed == pytest.approx(0.1 / 3)
    told = load_page.watched(Pages(50, 10, seen))
    assert "50 pages change the time of an export by +3.3 % (aim: less than +5 %: met)." in told
    assert "after 2.00 s (aim: 2 s: met); the longest time without a change on a page was 1.90 s." in told
    seen.among[1], seen.late[1] = 3.15, 2.01
    told = load_page.watched(Pages(50, 10, seen))
    assert "by +5.0 % (aim: less than +5 %: not met)" in told
    assert "after 2.01 s (aim: 2 s: not met)" in told


def test_copies_are_spread_evenly_over_organizations_and_over_a_year() -> None:
    drawn = list(ledgers._drawn(random.Random(1), 1_000, ["a", "b", "c", "d"]))
    assert {tenant: sum(row["tenant"] == tenant for row in drawn) for tenant in "abcd"} == dict.fromkeys(
        "abcd", 250
    )
    ages = [row["age"] for row in drawn]
    assert ages == sorted(ages, reverse=True)
    assert ages[0] == ledgers.YEAR
    assert ages[499] == pytest.approx(ledgers.YEAR / 2, rel=0.01)
    assert len({row["id"] for row in drawn} | {row["reference"] for row in drawn}) == 2_000
    young = [row["status"] for row in drawn if row["age"] < ledgers.KEPT]
    assert young == [row["ended"] for row in drawn][-len(young) :]
    assert {row["status"] for row in drawn[: -len(young)]} == {"expired"}


@pytest.mark.heavy  # it starts five services, on each kind of ledger
@pytest.mark.timeout(300)
@pytest.mark.parametrize("ledger", ["sqlite", "postgresql"])
def test_a_small_run_makes_the_whole_page(tmp_path: Path, ledger: str) -> None:
    page = tmp_path / "LOAD.md"
    small = ["--clients", "5", "--seconds", "1", "--poll", "0.1", "--small", "100", "--large", "200"]
    small += ["--pages", "3", "--rows", "2000", "--exports", "1"]
    where = ["--rounds", "1", "--ledger", ledger, "--folder", str(tmp_path / "work"), "--page", str(page)]
    assert load.main([*small, *where]) == 0
    told = page.read_text()
    assert re.search(r"exports seen to end: \d+ completed\.", told)
    assert re.search(r"Answers: \d+ of 200, \d+ of 201; 0 were 5xx or missing", told)
    for organizations in ("100 organizations", "one organization"):
        assert f"## A ledger of 200 exports of {organizations}" in told
    assert all(told.count(f"| {call.name} |") == 2 for call in CALLS)
    assert re.search(r"\| with 3 pages \| [\d.]+ \| [\d.]+ \| [\d.]+ \| 1 \|", told)
    assert re.search(r"The latest page was told after -?\d+\.\d\d s", told)
    assert not re.search(r"/(root|home|tmp|work|usr)/", told)
    assert not (tmp_path / "work").exists()
