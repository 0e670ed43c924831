"""The client against services that are busy, away, broken or lying: it waits, says so, and keeps nothing half."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from outhaul import errors, manifest
from outhaul.client import Client, patience
from outhaul.client.wire import read, retry_after
from outhaul.errors import (
    Gone,
    Interrupted,
    Misconfigured,
    NotFound,
    NothingMatches,
    NotSignedIn,
    Refused,
    ServiceAway,
    ServiceBusy,
    ServiceError,
    SourceAway,
    TooMuch,
    WrongState,
)
from tests import replies
from tests.replies import DATA, EXPORT, NAME, Asked, Finished, Reply, resource, said

TOKEN = "oh_secret"
PARTIAL = f"{NAME}.{EXPORT}.partial"
HTML = b"<html><body>\x1b[31mIt works!</body></html>"


class Clock:
    """A clock that is moved by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(patience, "time", made)
    return made


Connect = Callable[[Callable[[Asked], Reply]], Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """A client of a service that answers by a function."""
    with ExitStack() as opened:

        def made(answer: Callable[[Asked], Reply]) -> Client:
            address = opened.enter_context(replies.answering(answer))
            return opened.enter_context(Client(address, TOKEN))

        yield made


def in_turn(*answers: Reply) -> Callable[[Asked], Reply]:
    """One answer after the other, the last for ever."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


GOOD = said({"data": resource()})


def refused(status: int, code: str, detail: str = "No.", **entry: Any) -> Reply:
    return said(
        {"errors": [{"title": "T", "detail": detail, "code": code, "status": str(status), **entry}]}, status
    )


def rule(name: str) -> dict[str, Any]:
    return {"source": {"pointer": "/data/attributes/records_count"}, "meta": {"error": name}}


STATUS: dict[str, Any] = {"source": {"pointer": "/data/attributes/status"}, "meta": {"error": "invalid"}}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(401, "INVALID_TOKEN"), NotSignedIn),
        (refused(401, "UNAUTHORIZED"), errors.NotAllowed),
        (refused(404, "RECORD_NOT_FOUND"), NotFound),
        (refused(422, "VALIDATION_ERROR", **rule("less_than_or_equal_to")), TooMuch),
        (refused(422, "VALIDATION_ERROR", **rule("greater_than")), NothingMatches),
        (refused(422, "VALIDATION_ERROR", **STATUS), WrongState),
        (refused(422, "VALIDATION_ERROR", meta={"error": "inclusion"}), Refused),
        (refused(400, "PARAM_NOT_ALLOWED"), Refused),
        (refused(418, "TEAPOT", source=7, meta=[]), Refused),
        (refused(503, "SERVICE_UNAVAILABLE"), ServiceError),
        (refused(500, "INTERNAL_SERVER_ERROR"), ServiceError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_a_refusal_is_the_error_that_it_means_in_the_services_words(
    answer: Reply, kind: type[errors.OuthaulError], connect: Connect
) -> None:
    with pytest.raises(kind, match=r"^No\.") as found:
        connect(lambda _: answer).get(EXPORT)
    assert type(found.value) is kind


def broken(**changed: Any) -> Reply:
    return said({"data": resource(**changed)})


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, HTML),
        Reply(200, b""),
        Reply(200, b"[1, 2]"),
        Reply(200, b"\xff\xfe\x00"),
        Reply(200, json.dumps({"data": resource()}).encode()[:-9]),
        Reply(200, b"[" * 100_000),
        Reply(404, HTML),
        Reply(500, HTML),
        Reply(302, b"", {"Location": "https://elsewhere.example/"}),
        said({"errors": "many"}, 422),
        said({"data": None}),
        said({"data": [resource()]}),
        said({"data": {"id": EXPORT, "type": "exports"}}),
        said({"data": {"id": EXPORT, "attributes": {}}}),
        said({"data": {**resource(), "links": "none"}}),
        broken(status="asleep"),
        broken(progress="much"),
        broken(created_at="yesterday"),
        broken(fields="id"),
        broken(errors_log=[1]),
    ],
)
def test_rubbish_is_told_in_one_sentence_and_never_believed(answer: Reply, connect: Connect) -> None:
    with pytest.raises(ServiceError) as found:
        connect(lambda _: answer).get(EXPORT)
    text = str(found.value)
    assert text.isprintable()
    assert len(text) < 600
    assert not isinstance(found.value, ServiceAway)


def test_a_list_that_is_none_is_rubbish_too(connect: Connect) -> None:
    for data in ({"data": resource()}, {"data": [resource()]}, {"data": [7], "meta": {"page_count": 1}}):
        with pytest.raises(ServiceError):
            list(connect(in_turn(said(data))).list())


def test_a_busy_service_is_left_alone_for_as_long_as_it_asks(connect: Connect, clock: Clock) -> None:
    busy = refused(429, "TOO_MANY_REQUESTS")
    slow = Reply(429, busy.body, {"Retry-After": "17"})
    assert connect(in_turn(slow, slow, GOOD)).get(EXPORT).id == EXPORT
    assert clock.pauses == [17, 17]
    clock.pauses.clear()
    hasty = Reply(429, busy.body, {"Retry-After": "0"})
    assert connect(in_turn(*[hasty] * 4, GOOD)).get(EXPORT).id == EXPORT
    assert clock.pauses == [0.5, 1, 2, 4], "to ask again at once would be no help"
    with pytest.raises(ServiceBusy):
        connect(lambda _: slow).get(EXPORT)
    with pytest.raises(ServiceBusy):
        connect(lambda _: Reply(429, b"", {"Retry-After": "86400"})).get(EXPORT)
    assert clock.now < 1_000


def test_what_was_refused_as_too_much_is_sent_again_whatever_it_is(connect: Connect, clock: Clock) -> None:
    asked: list[Asked] = []

    def answer(one: Asked) -> Reply:
        asked.append(one)
        return Reply(429, b"", {"Retry-After": "1"}) if len(asked) == 1 else GOOD

    assert connect(answer).interrupt(EXPORT).id == EXPORT
    assert [one.method for one in asked] == ["PATCH", "PATCH"]


def test_a_date_to_come_back_at_is_understood_as_well_as_seconds() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=90)
    wait = retry_after(format_datetime(soon, usegmt=True))
    assert wait is not None
    assert 80 < wait <= 90
    assert retry_after("Fri, 31 Dec 1999 23:59:59 GMT") == 0
    assert [retry_after(text) for text in (None, "soon", "-3", "")] == [None] * 4


def test_a_service_that_was_there_is_waited_for_and_one_that_was_not_is_told_at_once(
    connect: Connect, clock: Clock
) -> None:
    client = connect(in_turn(GOOD, Reply(502, HTML), Reply(503, b""), GOOD))
    client.get(EXPORT)
    assert client.get(EXPORT).id == EXPORT
    assert clock.pauses == [0.5, 1]
    with pytest.raises(ServiceAway):
        connect(lambda _: Reply(502, HTML)).get(EXPORT)
    with (
        Client("http://127.0.0.1:1", TOKEN) as nobody,
        pytest.raises(ServiceAway, match=r"127\.0\.0\.1:1 cannot"),
    ):
        nobody.get(EXPORT)
    assert clock.pauses == [0.5, 1]
    gone = connect(in_turn(GOOD, Reply(504, b"")))
    gone.get(EXPORT)
    with pytest.raises(ServiceAway):
        gone.get(EXPORT)
    assert clock.now <= 62, "patience has an end"


def test_a_creation_is_sent_again_under_its_key_and_a_change_is_not(connect: Connect, clock: Clock) -> None:
    asked: list[Asked] = []

    def answer(one: Asked) -> Reply:
        asked.append(one)
        lost = one.method != "GET" and len(asked) == 2
        return Reply(200, GOOD.body, cut=10) if lost else GOOD

    client = connect(answer)
    client.get(EXPORT)
    client.create("orders")
    _, first, second = asked
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body
    client.create("orders")
    assert asked[-1].headers["idempotency-key"] != first.headers["idempotency-key"]
    asked.clear()
    client.get(EXPORT)
    with pytest.raises(ServiceAway, match="not known"):
        client.interrupt(EXPORT)
    assert [one.method for one in asked] == ["GET", "PATCH"]


def test_this_machine_is_asked_without_the_proxy_of_the_environment(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert connect(lambda _: GOOD).get(EXPORT).id == EXPORT


@pytest.mark.parametrize(
    "server",
    ["", "127.0.0.1:8350", "ftp://x", "http://", "http://u:geheim@x", "http://x/?a=b", "http://[", "x"],
)
def test_what_is_no_address_is_refused_without_being_shown(server: str) -> None:
    with pytest.raises(Misconfigured, match="no address") as found:
        Client(server, TOKEN)
    assert "geheim" not in str(found.value)


@pytest.mark.parametrize("token", ["", "two words", "lïne", "a\nb"])
def test_what_is_no_token_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(Misconfigured, match="no token") as found:
        Client("http://127.0.0.1:1", token)
    assert not token or token not in str(found.value)


@pytest.mark.parametrize("export_id", ["", ".", "..", "a/b", "a?b", "é", "x" * 101])
def test_what_is_no_id_is_asked_for_nowhere(export_id: str, connect: Connect) -> None:
    client = connect(lambda _: pytest.fail("asked"))
    for call in (client.get, client.interrupt, client.start, client.delete):
        with pytest.raises(NotFound):
            call(export_id)


def test_why_an_export_ended_is_the_error_that_the_service_names() -> None:
    failed = {"status": "failed", "errors_log": {"SourceAway": "The database\x1b[2J cannot be reached."}}
    why = read(resource(**failed)).why()
    assert isinstance(why, SourceAway)
    assert "\x1b" not in str(why)
    assert type(read(resource(status="failed", errors_log={"Exception": "x"})).why()) is errors.OuthaulError
    assert type(read(resource(status="failed", errors_log=None)).why()) is errors.OuthaulError
    assert isinstance(read(resource(status="interrupted")).why(), Interrupted)
    assert read(resource()).why() is None


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"status": "in_progress"}, WrongState),
        ({"status": "failed", "errors_log": {"SourceAway": "It went."}}, SourceAway),
        ({"status": "interrupted"}, Interrupted),
        ({"status": "completed", "errors_log": {"Gone": "The files were removed."}}, Gone),
        ({"attachment_url": "file:///etc/passwd"}, ServiceError),
        ({"attachment_url": "http://["}, ServiceError),
    ],
)
def test_what_has_no_file_is_not_downloaded(
    attributes: dict[str, Any], kind: type[errors.OuthaulError], connect: Connect, tmp_path: Path
) -> None:
    with pytest.raises(kind):
        connect(lambda _: broken(**attributes)).download(EXPORT, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir()) if folder.exists() else []


def whole(folder: Path) -> None:
    """The folder holds the proven file, and nothing besides."""
    assert names(folder) == ["manifest.json", NAME]
    assert (folder / NAME).read_bytes() == DATA
    assert manifest.verify_folder(folder) == ()


def test_a_download_is_whole_or_not_there_and_shows_no_token_to_links(
    connect: Connect, tmp_path: Path
) -> None:
    service, told = Finished(), list[tuple[int, int]]()
    got = connect(service).download(EXPORT, tmp_path / "a" / "b", told=lambda *both: told.append(both))
    whole(tmp_path / "a" / "b")
    assert got.files == (tmp_path / "a" / "b" / NAME,)
    assert got.length == len(DATA)
    assert told[-1] == (len(DATA), len(DATA))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    (fetched,) = service.fetched()
    assert "authorization" not in fetched.headers
    assert all(TOKEN in one.headers["authorization"] for one in service.asked if one is not fetched)


def test_a_connection_that_breaks_again_and_again_is_gone_on_with_by_range_and_fresh_links(
    connect: Connect, tmp_path: Path, clock: Clock
) -> None:
    service = Finished()
    service.link = lambda asked: service.ranged(asked, cut=len(DATA) // 7)
    connect(service).download(EXPORT, tmp_path)
    whole(tmp_path)
    fetched = service.fetched()
    assert len(fetched) == 8
    assert len({one.path for one in fetched}) == 8, "each has a link of its own"
    starts = [int(re.sub(r"\D", "", one.headers.get("range", "0"))) for one in fetched]
    assert starts == [number * (len(DATA) // 7) for number in range(8)]


@pytest.mark.parametrize("status", [401, 403, 410, 429, 500, 502, 503])
def test_a_link_that_is_refused_for_a_while_is_asked_for_anew(
    status: int, connect: Connect, tmp_path: Path, clock: Clock
) -> None:
    service = Finished()
    service.link = lambda asked: (
        Reply(status, b"later") if len(service.fetched()) < 3 else service.ranged(asked)
    )
    connect(service).download(EXPORT, tmp_path)
    whole(tmp_path)
    assert clock.pauses == [0.5, 1]


def test_a_download_that_gives_up_keeps_what_has_come_and_the_next_goes_on(
    connect: Connect, tmp_path: Path, clock: Clock
) -> None:
    service = Finished()
    half = len(DATA) // 2
    service.link = lambda asked: (
        Reply(503, b"") if "range" in asked.headers else service.ranged(asked, cut=half)
    )
    client = connect(service)
    with pytest.raises(ServiceAway, match="kept"):
        client.download(EXPORT, tmp_path)
    assert names(tmp_path) == [PARTIAL]
    assert (tmp_path / PARTIAL).read_bytes() == DATA[:half]
    service.link, service.asked = None, []
    client.download(EXPORT, tmp_path)
    whole(tmp_path)
    assert [one.headers["range"] for one in service.fetched()] == [f"bytes={half}-"]


@pytest.mark.parametrize(
    "left",
    [DATA[:9999], DATA, b"", DATA + b"more", b"x" * 5000, DATA[:-1] + b"x"],
    ids=["begun", "all", "nothing", "more", "other", "flipped"],
)
def test_what_was_left_is_gone_on_with_or_thrown_away_but_never_believed(
    left: bytes, connect: Connect, tmp_path: Path
) -> None:
    (tmp_path / PARTIAL).write_bytes(left)
    connect(Finished()).download(EXPORT, tmp_path)
    whole(tmp_path)
