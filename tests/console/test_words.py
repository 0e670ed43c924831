"""What the pages say: nothing that can happen or fail is without words, and numbers can be read."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from outhaul import errors
from outhaul.console import listing, words
from outhaul.export import Caller, Status
from outhaul.service import Event

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LEDGER = Path(words.__file__).parent.parent / "ledger"
KINDS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.OuthaulError)
]


def event(name: str, **data: object) -> Event:
    return Event(1, "x", "x", name, NOW, "k1", dict(data))


def test_every_status_has_words_and_can_be_filtered_by() -> None:
    assert set(words.ABOUT) == set(Status)
    assert {one for statuses in listing.STATUSES.values() for one in statuses} == set(Status)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_names_who_can_mend_it(kind: type[errors.OuthaulError]) -> None:
    error = kind("In db7 the row 3 of others is bad.", hint="Look there.").as_data()
    tenant, operator = (words.failure(error, openly=openly) for openly in (False, True))
    assert operator.sentence == "In db7 the row 3 of others is bad. Look there."
    assert ("db7" in tenant.sentence) is not bool(kind.outside)
    assert re.search(r"can mend it|start it again", tenant.mended)


def test_whatever_the_ledger_writes_down_has_words() -> None:
    calls = re.compile(r'\btell\(\s*\w+,[^"()]*"(\w+)"')
    told = {name for path in LEDGER.glob("*.py") for name in calls.findall(path.read_text())}
    assert {"created", "failed", "expired"} <= told
    assert told | {"downloaded"} == set(words.EVENTS) | {"removed"}  # of which no page is left to tell


def test_what_happened_is_a_sentence_after_a_name() -> None:
    changed = event("amended", changed={"reference": ["a", "b"], "reference_origin": [None, "c"]})
    assert words.happened(changed) == "changed its reference and reference origin"
    assert words.happened(event("planned", parts=1200, matched=5)) == (
        "counted 5 rows, and cut them into parts: 1,200"
    )
    assert words.happened(event("something new")) == "something new"


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (20_000_000_000, "20.0 GB"),
        (3_400_000_000_000_000, "3,400.0 TB"),
    ],
)
def test_sizes_are_short(count: int, said: str) -> None:
    assert words.size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "less than 1 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7505, "2 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_spans_have_two_units_at_most(seconds: float, said: str) -> None:
    assert words.span(timedelta(seconds=seconds)) == said


@pytest.mark.parametrize(
    ("away", "said"),
    [
        (-10, "just now"),
        (-300, "5 min ago"),
        (-90_000, "1 d ago"),
        (30, "in a moment"),
        (7 * 86400 - 9, "in 7 d"),
    ],
)
def test_ages_have_one_unit(away: int, said: str) -> None:
    assert words.age(NOW + timedelta(seconds=away), NOW) == said


def test_ordinals_end_as_they_are_spoken() -> None:
    said = [words.ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111, 1003)]
    assert said == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th", "1,003rd"]


def test_a_clock_knows_summer_time() -> None:
    clock = words.Clock(ZoneInfo("Europe/Berlin"))
    assert clock.local(datetime(2026, 7, 1, 22, 30, tzinfo=UTC)) == "2 Jul 2026, 00:30:00"
    assert clock.local(datetime(2026, 1, 1, 22, 30, tzinfo=UTC)) == "1 Jan 2026, 23:30:00"


def test_the_days_of_a_filter_begin_at_the_viewers_midnight() -> None:
    berlin = words.Clock(ZoneInfo("Europe/Berlin"))
    asked = listing.wanted({"since": "2026-03-29", "until": "2026-03-29"})  # a day of 23 hours
    assert listing._where(asked.filters, {}, berlin, several=False) == {
        "created_at_gteq": "2026-03-28T23:00:00+00:00",
        "created_at_lt": "2026-03-29T22:00:00+00:00",
    }


@pytest.mark.parametrize(
    ("caller", "role"),
    [
        (Caller("k", "", None, all_tenants=True), "admin"),
        (Caller("k", "", "1"), "exporter"),
        (Caller("k", "", "1", read_only=True), "viewer"),
        (Caller("k", "", None, all_tenants=True, read_only=True), "viewer"),
    ],
)
def test_roles_follow_from_what_a_token_may_do(caller: Caller, role: str) -> None:
    assert words.role(caller) == role
