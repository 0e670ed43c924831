"""Streams of events: a page is told when what it shows has changed, until nothing more can, or nobody may look."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from outhaul.access import Access
from outhaul.app import Outhaul
from outhaul.console import live
from outhaul.export import Draft, Export, Selection, Status
from outhaul.ledger.tokens import Token
from outhaul.making import Making, Standing
from tests.console.visitors import Visitor, readable, slow
from tests.served import ORDERS, ROWS, US, done, until


@pytest.fixture(scope="module")
def outhaul(place: Path) -> Iterator[Outhaul]:
    with slow(place) as outhaul:
        yield outhaul


@pytest.fixture
def visitor(visitor: Visitor) -> Visitor:
    visitor.sign_in()
    return visitor


class Stream:
    """What a page is sent, gathered in a thread of its own. `shown`: what it shows after each message."""

    def __init__(self, visitor: Visitor, path: str) -> None:
        self.shown: list[str] = []
        self.events: list[str] = []
        self.answered, self.over = threading.Event(), threading.Event()
        self._cookies = dict(visitor.http.cookies)
        self._url = f"{visitor.http.base_url}/console{path}"
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        data: list[str] = []
        with httpx.stream("GET", self._url, cookies=self._cookies, timeout=60, trust_env=False) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            self.answered.set()
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    self.events.append(line.removeprefix("event: "))
                elif line.startswith("data: "):
                    data.append(line.removeprefix("data: "))
                elif not line and data:
                    if not self.events:
                        self.shown.append(readable("\n".join(data)))
                    data = []
        self.over.set()


@contextmanager
def running(outhaul: Outhaul) -> Iterator[str]:
    """The id of an export that runs for seconds."""
    export = outhaul.exports.create(US, replace(ORDERS, formats=("csv",)))
    until(lambda: outhaul.ledger.get(export.id).status is Status.RUNNING, "it runs")
    yield export.id
    if outhaul.ledger.list()[1]:
        until(
            lambda: not [one for one in outhaul.ledger.list(limit=50)[0] if one.status is Status.RUNNING],
            "ends",
        )


def test_a_page_follows_an_export_to_its_end(outhaul: Outhaul, visitor: Visitor) -> None:
    with running(outhaul) as of:
        stream = Stream(visitor, f"/exports/{of}/live")
        done(outhaul, outhaul.ledger.get(of))
        ended = time.monotonic()
        assert stream.over.wait(10)
        assert time.monotonic() - ended < 2, "a page is late"
    assert stream.events == ["done"]
    assert "It is being read and written." in stream.shown[0]
    assert any(f"of {ROWS} rows" in one and "rows/s" in one for one in stream.shown)
    assert "Every row is written and proven." in stream.shown[-1]
    assert "Download orders.csv.gz" in stream.shown[-1]
    assert len(set(stream.shown)) == len(stream.shown), "nothing is sent twice"


def test_what_many_watch_is_made_once(
    outhaul: Outhaul, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    parts = outhaul.exports.making.parts

    def counted(_: object, export: Export, **more: int) -> tuple[Standing, ...]:
        made.append(export.id)
        return parts(export, **more)

    monkeypatch.setattr(Making, "parts", counted)
    with running(outhaul) as of:
        begun = time.monotonic()
        streams = [Stream(visitor, f"/exports/{of}/live") for _ in range(12)]
        done(outhaul, outhaul.ledger.get(of))
        for stream in streams:
            assert stream.over.wait(10)
        spent = time.monotonic() - begun
    assert {stream.shown[-1] for stream in streams} == {streams[0].shown[-1]}
    looks = len(made) - len(streams)  # each looks once itself, before it begins
    assert looks <= spent / live.SHARED + 2, "each stream asks the ledger by itself"


def test_nothing_is_sent_as_long_as_nothing_changes(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    sizes = Making.sizes

    def counted(self: Making, exports: Sequence[Export]) -> Mapping[str, int]:
        looks.append(len(exports))
        return sizes(self, exports)

    monkeypatch.setattr(Making, "sizes", counted)
    monkeypatch.setattr(live, "EVERY", 0.02)
    monkeypatch.setattr(live, "SHARED", 0.0)
    stream = Stream(visitor, "/live?who=nobody")
    until(lambda: len(looks) > 5, "several looks")
    assert len(stream.shown) == 1


def test_a_page_is_told_of_a_deletion_and_of_an_interruption(outhaul: Outhaul, visitor: Visitor) -> None:
    with running(outhaul) as of:
        stream = Stream(visitor, f"/exports/{of}/live")
        until(lambda: stream.shown, "something is shown")
        outhaul.exports.interrupt(US, of)
        until(lambda: "Somebody has stopped it" in stream.shown[-1], "the interruption", 3)
        outhaul.exports.delete(US, of)
        assert stream.over.wait(3)
    assert stream.shown[-1] == "This export has been deleted. All exports"
    assert stream.events == ["done"]


def test_a_list_is_told_of_what_is_new(outhaul: Outhaul, visitor: Visitor) -> None:
    stream = Stream(visitor, "/live?resource=countries")
    until(lambda: stream.shown, "something is shown")
    assert "No export matches" in stream.shown[-1]
    export = outhaul.exports.create(US, Draft((Selection("countries"),), reference="brand new"))
    until(lambda: "brand new" in stream.shown[-1], "the new one", 3)
    outhaul.exports.delete(US, export.id)
    until(lambda: "brand new" not in stream.shown[-1], "its end", 3)


def test_who_is_signed_in_no_longer_is_shown_nothing_more(
    outhaul: Outhaul, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "ASKED", 1)
    stream = Stream(visitor, "/live")
    until(lambda: stream.shown, "something is shown")
    visitor.post("/sign-out")
    assert stream.over.wait(5)
    assert stream.shown[-1] == "You are signed in no longer. Sign in"
    stranger = Visitor(outhaul, str(visitor.http.base_url))
    for path in ("/live", "/exports/XAyRWNUzyN/live"):
        assert stranger.get(path).status_code == 401
    stranger.http.close()


def test_maintenance_ends_a_stream_without_alarm_and_its_browser_asks_again(
    outhaul: Outhaul, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live, "ASKED", 1)
    monkeypatch.setattr(live, "EVERY", 0.02)
    stream = Stream(visitor, "/live")
    until(lambda: stream.shown, "something is shown")
    outhaul.access.maintain(on=True)
    try:
        assert stream.over.wait(5)
        assert visitor.get("/live").status_code == 503
    finally:
        outhaul.access.maintain(on=False)
    assert stream.events == [], "done would keep the page from asking again"
    assert [one for one in caplog.records if one.name == "outhaul.console"] == []


def test_open_streams_are_bounded_for_each_token_and_in_all(
    outhaul: Outhaul, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "EACH", 2)
    other = Visitor(outhaul, str(visitor.http.base_url))
    other.sign_in()

    def status(asker: Visitor) -> int:
        with asker.http.stream("GET", "/console/live?who=nobody") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            return answer.status_code

    with visitor.http.stream("GET", "/console/live"):
        with visitor.http.stream("GET", "/console/live?who=somebody"):
            assert status(visitor) == 429
            assert visitor.get().status_code == 200
            assert status(other) == 200
            with monkeypatch.context() as full:
                full.setattr(live, "ALL", 2)
                assert status(other) == 429
        until(lambda: status(visitor) == 200, "the place of one that is over", 5)
    other.http.close()


def test_however_many_watch_other_pages_are_answered(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, sizes = threading.Event(), Making.sizes

    def late(self: Making, exports: Sequence[Export]) -> Mapping[str, int]:
        assert go.wait(20)
        return sizes(self, exports)

    monkeypatch.setattr(Making, "sizes", late)
    many = [Stream(visitor, f"/live?who={number}") for number in range(45)]  # more than common threads
    until(lambda: all(one.answered.is_set() for one in many), "all have begun")
    try:
        assert visitor.get("/catalog", timeout=5).status_code == 200
    finally:
        go.set()
    until(lambda: all(one.shown for one in many), "all are shown something")


def test_names_are_not_asked_for_at_every_look(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    asked: list[int] = []
    sizes, tokens = Making.sizes, Access.list_tokens

    def counted(self: Making, exports: Sequence[Export]) -> Mapping[str, int]:
        looks.append(len(exports))
        return sizes(self, exports)

    def told(self: Access) -> tuple[Token, ...]:
        asked.append(1)
        return tokens(self)

    monkeypatch.setattr(Making, "sizes", counted)
    monkeypatch.setattr(Access, "list_tokens", told)
    monkeypatch.setattr(live, "EVERY", 0.02)
    monkeypatch.setattr(live, "SHARED", 0.0)
    Stream(visitor, "/live?who=none")
    until(lambda: len(looks) > 10, "several looks")
    assert len(asked) <= 2
