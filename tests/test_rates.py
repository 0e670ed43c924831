"""Rates: never more in any stretch of time, over threads and processes, on both databases, and as clients read it."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outhaul import config
from outhaul.errors import Misconfigured
from outhaul.ledger import Ledger
from outhaul.rates import SLICES, Bucket, Hits, Rate, hit, parse, room
from tests import drafts
from tests.served import Asker, of_shop, served, shop

FIFTY = Rate(50, 600)  # an interval that no test outlasts


@given(
    st.integers(1, 8),
    st.sampled_from([1.0, 10.0, 60.0]),
    st.lists(st.floats(0.001, 1.5), min_size=1, max_size=80),
    st.floats(0, 1e9),
)
def test_no_stretch_of_time_holds_more_than_the_limit(
    limit: int, interval: float, gaps: list[float], now: float
) -> None:
    rate, let_in = Rate(limit, interval), []
    hits: Hits = ()
    for gap in gaps:
        now += gap * interval / limit
        if not room(rate, hits, now).wait:
            hits = hit(rate, hits, now)
            let_in.append(now)
    for first in let_in:  # a busiest stretch begins with a request
        assert sum(first <= one < first + interval for one in let_in) <= limit
    assert len(hits) <= SLICES + 2


@given(st.integers(1, 50), st.floats(0, 1e9))
def test_whoever_waits_as_told_is_let_in_and_not_much_later_than_needed(limit: int, now: float) -> None:
    rate = Rate(limit, 10.0)
    hits: Hits = ()
    for n in range(limit):
        assert room(rate, hits, now) == room(rate, hits, now)
        assert room(rate, hits, now).remaining == limit - n
        hits = hit(rate, hits, now)
    refused = room(rate, hits, now)
    assert refused.remaining == 0
    assert 10.0 - 1e-3 <= refused.wait <= 10.0 * (1 + 1 / SLICES) + 1e-3
    assert room(rate, hits, now + refused.wait + 1e-3).wait == 0


def test_whoever_stays_below_the_rate_is_never_refused() -> None:
    rate, now, chance = Rate(50, 10.0), 1_000.0, random.Random(7)
    hits: Hits = ()
    for _ in range(2_000):
        now += 10.0 * (1 + 1.1 / SLICES) / 50 * chance.uniform(1, 1.2)
        assert not room(rate, hits, now).wait
        hits = hit(rate, hits, now)


@pytest.mark.parametrize(
    ("text", "limit", "interval"),
    [("200/1m", 200, 60), ("50/10s", 50, 10), ("30 / 1m", 30, 60), ("5/0.5s", 5, 0.5), ("1/1h", 1, 3600)],
)
def test_a_rate_is_written_as_so_many_in_so_long(text: str, limit: int, interval: float) -> None:
    assert parse(text) == Rate(limit, interval)
    assert config.load({"rate_average": text}).rate_average == Rate(limit, interval)


@pytest.mark.parametrize("text", ["", "200", "0/1m", "200/0s", "-1/1m", "200/1d", "many/1m", "1/1m\n1/1s"])
def test_what_is_no_rate_is_refused_in_words(text: str) -> None:
    with pytest.raises(Misconfigured, match="200/1m"):
        config.load({"rate_burst": text})


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    found = (
        drafts.sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    )
    with Ledger(found) as ledger:
        ledger.migrate()
    return str(found)


def _ask(url: str) -> int:
    """How many of 100 requests of one process, four at a time, are let in."""
    with Ledger(url) as ledger, ThreadPoolExecutor(4) as pool:
        rooms = pool.map(lambda _: ledger.let_in({"a reads": FIFTY, "a reads exports": FIFTY}), range(100))
        return sum(all(not one.wait for one in found.values()) for found in rooms)


def test_two_processes_let_in_exactly_as_many_as_one_may(url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert sum(pool.map(_ask, [url, url], chunksize=1)) == 50
    with Ledger(url) as ledger:
        (refused,) = ledger.let_in({"a reads": FIFTY}).values()
        assert (refused.remaining, refused.wait > 500) == (0, True)
        assert next(iter(ledger.let_in({"b reads": FIFTY}).values())).remaining == 49


def test_what_follows_a_count_waits_for_the_disk_again(tmp_path: Path) -> None:
    with Ledger(drafts.sqlite_url(tmp_path)) as ledger:
        ledger.migrate()
        ledger.let_in({"x": FIFTY})
        with ledger._write() as write:
            assert write.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_a_request_that_one_rate_refuses_counts_under_none(url: str) -> None:
    one, two = Rate(1, 600), Rate(2, 600)
    with Ledger(url) as ledger:
        for _ in range(5):
            ledger.let_in({"x": one, "y": two})
        found = ledger.let_in({"y": two})
    assert found["y"].remaining == 0
    assert found["y"].wait == 0


def test_what_counts_no_more_is_forgotten(url: str) -> None:
    from outhaul.ledger.tables import rates

    with Ledger(url) as ledger:
        for n in range(20):
            ledger.let_in({f"client {n}": Rate(5, 600)})
        with ledger._write() as write:
            write.execute(rates.update().values(until=1.0))
        ledger.let_in({"another": Rate(5, 600)})
        with ledger._read() as read:
            assert [row.key for row in read.execute(rates.select())] == ["another"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop(tmp_path_factory.mktemp("rates"))


@pytest.fixture
def limited(place: Path, tmp_path: Path) -> Iterator[tuple[Asker, httpx.Client]]:
    given: dict[str, Any] = {"rate_average": "5/10m", "rate_burst": "3/5m", "rate_tokens": "2/10m"}
    outhaul = of_shop(place, str(tmp_path), proxies=["127.0.0.1"], **given)
    with outhaul.ledger:
        outhaul.ledger.migrate()
        with served(outhaul) as http:
            yield Asker(outhaul, http), http


def named(answer: Any) -> tuple[str | None, ...]:
    return tuple(answer.headers.get(f"X-Ratelimit-{one}") for one in ("Limit", "Interval", "Remaining"))


def test_each_answer_tells_what_is_left_of_the_average(limited: tuple[Asker, httpx.Client]) -> None:
    asker, _ = limited
    for left in (4, 3, 2):
        answer = asker.call("GET", "/exports")
        assert (answer.status_code, *named(answer)) == (200, "5", "600", str(left))
    assert "retry-after" not in answer.headers
    assert "x-ratelimit-reset" not in answer.headers


def test_one_too_many_is_refused_with_an_errors_document_and_when_to_come_back(
    limited: tuple[Asker, httpx.Client],
) -> None:
    asker, _ = limited
    for _ in range(3):
        assert asker.call("GET", "/exports").status_code == 200
    answer = asker.call("GET", "/exports")
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/vnd.api+json"
    (error,) = answer.json()["errors"]
    assert (error["status"], error["code"]) == ("429", "TOO_MANY_REQUESTS")
    assert set(error) == {"title", "detail", "code", "status"}
    assert 290 <= int(answer.headers["retry-after"]) <= 316
    assert named(answer) == ("5", "600", "2")  # refused by the burst: the average has room


def test_writes_other_endpoints_and_other_addresses_are_counted_apart(
    limited: tuple[Asker, httpx.Client],
) -> None:
    asker, _ = limited
    for _ in range(4):
        last = asker.call("GET", "/exports")
    assert last.status_code == 429
    assert asker.ask(resource_type="nothing").status_code == 422
    assert asker.call("GET", "/elsewhere").status_code == 404
    other = asker.call("GET", "/exports", headers={"X-Forwarded-For": "203.0.113.7"})
    assert (other.status_code, named(other)[2]) == (200, "4")
    near = [
        asker.call("GET", "/exports", headers={"X-Forwarded-For": f"2001:db8::{n}"}).headers[
            "x-ratelimit-remaining"
        ]
        for n in (1, 2)
    ]
    assert near == ["4", "3"]  # one network of IPv6 is one caller


def test_nobody_is_told_of_tokens_faster_than_the_limit(limited: tuple[Asker, httpx.Client]) -> None:
    _, http = limited
    answers = [http.post("/oauth/token", json={"grant_type": "client_credentials"}) for _ in range(3)]
    assert [one.status_code for one in answers] == [401, 401, 429]
    assert named(answers[-1]) == ("2", "600", "0")
    assert http.get("/oauth/tokeninfo").status_code == 401
    assert http.get("/.well-known/jwks.json").status_code == 200


def test_what_cannot_be_counted_is_let_in_and_said_in_the_log(
    limited: tuple[Asker, httpx.Client], caplog: pytest.LogCaptureFixture
) -> None:
    from outhaul.ledger.tables import rates

    asker, _ = limited
    with asker.outhaul.ledger._write() as write:
        rates.drop(write)
    assert asker.call("GET", "/exports").status_code == 200
    assert "cannot be counted" in caplog.text


def test_without_rates_nothing_is_counted_and_nothing_is_told(place: Path, tmp_path: Path) -> None:
    outhaul = of_shop(place, str(tmp_path))
    with outhaul.ledger:
        outhaul.ledger.migrate()
        with served(outhaul) as http:
            answer = Asker(outhaul, http).call("GET", "/exports")
    assert named(answer) == (None, None, None)


@given(
    st.integers(1, 12),
    st.sampled_from([1.0, 720.0]),
    st.lists(st.floats(0.0, 1.5), min_size=1, max_size=80),
    st.floats(0, 1e9),
)
def test_a_bucket_lets_in_what_is_in_it_and_one_for_each_step(
    limit: int, step: float, gaps: list[float], now: float
) -> None:
    bucket, let_in = Bucket(limit, step), []
    hits: Hits = ()
    for gap in gaps:
        now += gap * step
        if not room(bucket, hits, now).wait:
            hits = hit(bucket, hits, now)
            let_in.append(now)
    for n, first in enumerate(let_in):
        for m, last in enumerate(let_in[n:]):
            assert m + 1 <= limit + (last - first) / step + 1e-3
    assert len(hits) == 1


@pytest.mark.parametrize("bucket", [Bucket(10, 720.0), Bucket(1, 1.0)], ids=str)
def test_a_full_bucket_takes_its_burst_at_once_and_then_one_a_step(bucket: Bucket) -> None:
    now = 1_700_000_000.0
    hits: Hits = ()
    for n in range(bucket.limit):
        assert room(bucket, hits, now).remaining == bucket.limit - n
        hits = hit(bucket, hits, now)
    for _ in range(3):
        refused = room(bucket, hits, now)
        assert refused.wait == pytest.approx(bucket.step)
        assert room(bucket, hits, now + bucket.step - 0.01).wait > 0
        now += bucket.step
        assert room(bucket, hits, now).remaining == 1
        hits = hit(bucket, hits, now)
    assert room(bucket, hits, now + bucket.interval).remaining == bucket.limit


def _drain(url: str) -> int:
    with Ledger(url) as ledger, ThreadPoolExecutor(4) as pool:
        rooms = pool.map(lambda _: ledger.let_in({"batch": Bucket(10, 720.0)}), range(40))
        return sum(not found["batch"].wait for found in rooms)


def test_two_processes_share_one_bucket(url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert sum(pool.map(_drain, [url, url], chunksize=1)) == 10
