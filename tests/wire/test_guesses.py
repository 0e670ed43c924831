"""Where nobody says what Commerce Layer does: what we do instead, choice by choice."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from outhaul.ledger.tables import exports
from tests.served import Asker, finished, of_shop, served, shop

LOCKED_OUT = {
    "title": "Invalid token",
    "detail": "The access token you provided is invalid.",
    "code": "INVALID_TOKEN",
    "status": "401",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop(tmp_path_factory.mktemp("guesses"))


@pytest.fixture(scope="module")
def asker(place: Path) -> Iterator[Asker]:
    """Of a service that runs nothing."""
    asleep = of_shop(place)
    with asleep.ledger as ledger:
        ledger.migrate()
        with served(asleep) as client:
            yield Asker(asleep, client)


@pytest.fixture(scope="module")
def busy(place: Path) -> Iterator[Asker]:
    """Of a service that runs what it is asked for."""
    with of_shop(place, "busy") as outhaul, served(outhaul) as client:
        yield Asker(outhaul, client)


def made(asker: Asker, **attributes: Any) -> str:
    answer = asker.ask(resource_type="orders", **attributes)
    assert answer.status_code == 201, answer.text
    export_id: str = answer.json()["data"]["id"]
    return export_id


def shown(asker: Asker, export_id: str) -> dict[str, Any]:
    found: dict[str, Any] = asker.call("GET", f"/exports/{export_id}").json()["data"]["attributes"]
    return found


def becomes(asker: Asker, export_id: str, status: str) -> None:
    with asker.outhaul.ledger._write() as write:
        ours = exports.update().where(exports.c.id == export_id)
        write.execute(ours.values(status=status, resumed_at=exports.c.created_at))


def test_guess_an_expired_token_is_refused_in_the_words_for_a_wrong_one(asker: Asker) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    for other in (Asker(asker.outhaul, asker.client, all_tenants=True, expires_at=past), asker):
        headers = {"Authorization": "Bearer oh_wrong"} if other is asker else {}
        answer = other.call("GET", "/exports", headers=headers)
        assert (answer.status_code, answer.json()) == (401, {"errors": [LOCKED_OUT]})


def test_guess_nothing_given_is_empty_and_never_null(asker: Asker) -> None:
    given = {"fields": None, "includes": None, "filters": None, "metadata": None}
    for attributes in ({}, given):
        found = shown(asker, made(asker, **attributes))
        assert {name: found[name] for name in (*given, "errors_log")} == {
            "fields": [],
            "includes": [],
            "filters": {},
            "metadata": {},
            "errors_log": {},
        }


def test_guess_metadata_is_replaced_and_not_merged(asker: Asker) -> None:
    export_id = made(asker, metadata={"a": 1, "b": 2})
    changed = asker.change(export_id, metadata={"b": 3}).json()["data"]["attributes"]
    assert changed["metadata"] == {"b": 3}
    assert asker.change(export_id, metadata=None).json()["data"]["attributes"]["metadata"] == {}


@pytest.mark.parametrize(
    ("status", "move"),
    [
        ("created", "_start"),
        ("running", "_start"),
        ("interrupted", "_interrupt"),
        ("completed", "_interrupt"),
    ],
)
def test_guess_a_move_that_its_status_does_not_allow_is_a_422_on_the_status(
    asker: Asker, status: str, move: str
) -> None:
    export_id = made(asker)
    becomes(asker, export_id, status)
    answer = asker.change(export_id, **{move: True})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"], error["source"]) == (
        422,
        "VALIDATION_ERROR",
        {"pointer": "/data/attributes/status"},
    )
    assert error["meta"]["error"] == "invalid"
    assert asker.change(export_id, **{move: False}).status_code == 200, "false asks for nothing"


def test_guess_a_failed_export_can_be_started_again(asker: Asker) -> None:
    """The contract's clients offer it on interrupted ones alone, and Commerce Layer's command line sees it as such."""
    export_id = made(asker)
    becomes(asker, export_id, "failed")
    assert asker.change(export_id, _start=True).json()["data"]["attributes"]["status"] == "pending"


def test_guess_start_and_interrupt_in_one_request_are_refused(asker: Asker) -> None:
    export_id = made(asker)
    answer = asker.change(export_id, _start=True, _interrupt=True)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["source"]) == (422, {"pointer": "/data/attributes/_start"})
    assert shown(asker, export_id)["status"] == "pending"


def test_guess_the_time_of_an_interruption_stays_after_a_new_start(asker: Asker) -> None:
    export_id = made(asker)
    interrupted = asker.change(export_id, _interrupt=True).json()["data"]["attributes"]
    started = asker.change(export_id, _start=True).json()["data"]["attributes"]
    assert (interrupted["status"], started["status"]) == ("interrupted", "pending")
    assert started["interrupted_at"] == interrupted["interrupted_at"] is not None


@pytest.mark.parametrize("status", ["created", "queued", "running"])
def test_a_running_export_is_stopped_and_deleted_rather_than_locked(asker: Asker, status: str) -> None:
    """The contract guesses 423 or 422. The dashboard interrupts first, which works; nobody else need know to."""
    export_id = made(asker)
    becomes(asker, export_id, status)
    answer = asker.call("DELETE", f"/exports/{export_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert asker.call("GET", f"/exports/{export_id}").status_code == 404


class Later:
    """A clock that goes so many seconds ahead."""

    def __init__(self, seconds: int) -> None:
        self.ahead = timedelta(seconds=seconds)

    def now(self, zone: tzinfo) -> datetime:
        return datetime.now(zone) + self.ahead


def test_a_link_is_good_for_five_minutes_and_a_new_one_is_made_at_each_retrieve(
    busy: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = finished(busy)
    first = data["attributes"]["attachment_url"]
    monkeypatch.setattr("outhaul.service.datetime", Later(290))
    second = shown(busy, data["id"])["attachment_url"]
    assert second != first
    assert [busy.client.get(link).status_code for link in (first, second)] == [200, 200]
    monkeypatch.setattr("outhaul.service.datetime", Later(301))
    assert [busy.client.get(link).status_code for link in (first, second)] == [410, 200]


def test_the_files_are_as_the_official_command_line_reads_them(busy: Asker) -> None:
    """It cuts `[` and `]` off to merge files, and counts lines by their ends."""
    asked = {"fields": ["id", "note"], "filters": {"id_lteq": 2}}
    rows = [{"id": 1, "note": "note 1"}, {"id": 2, "note": "note 2"}]
    answers = {}
    for form in ("json", "csv"):
        url = finished(busy, format=form, **asked)["attributes"]["attachment_url"]
        answer = busy.client.get(url)
        assert answer.status_code == 200
        assert "content-encoding" not in answer.headers
        assert answer.content[:2] == b"\x1f\x8b"
        answers[form] = gzip.decompress(answer.content)
    assert answers["json"][:1] + answers["json"][-1:] == b"[]"
    assert json.loads(answers["json"]) == rows
    assert answers["csv"] == b"id,note\n1,note 1\n2,note 2\n"


def test_guess_related_rows_are_cells_of_json_in_csv_so_that_each_record_is_one_line(busy: Asker) -> None:
    asked = {"resource_type": "companies", "fields": ["id", "orders.id"], "filters": {"id_eq": 1}}
    data = finished(busy, format="csv", **asked)["attributes"]
    text = gzip.decompress(busy.client.get(data["attachment_url"]).content).decode()
    assert text.count("\n") == 1 + data["records_count"] == 2
    header, line = csv.reader(io.StringIO(text))
    assert header == ["id", "orders"]
    assert line[0] == "1"
    assert {"id": 2} in json.loads(line[1])


def test_guess_columns_of_related_rows_have_dotted_names_where_they_are_asked_for(busy: Asker) -> None:
    asked = {"fields": ["id", "company.name"], "filters": {"id_eq": 2}, "nested": {"company": "columns"}}
    data = finished(busy, format="csv", **asked)["attributes"]
    text = gzip.decompress(busy.client.get(data["attachment_url"]).content).decode()
    assert text == "id,company.name\n2,ALPHA\n"


def test_guess_a_failure_has_a_topic_of_its_own(asker: Asker) -> None:
    body = {
        "data": {
            "type": "webhooks",
            "attributes": {"topic": "exports.fail", "callback_url": "http://1.1.1.1/"},
        }
    }
    answer = asker.call("POST", "/webhooks", json=body)
    assert (answer.status_code, answer.json()["data"]["attributes"]["topic"]) == (201, "exports.fail")


def test_addresses_with_a_slash_at_their_end_are_the_same(asker: Asker) -> None:
    export_id = made(asker)
    for path in ("/exports", f"/exports/{export_id}", f"/exports/{export_id}/events", "/webhooks"):
        plain, slashed = asker.call("GET", path), asker.call("GET", f"{path}/")
        assert plain.status_code == slashed.status_code == 200
        assert plain.json().keys() == slashed.json().keys()


@pytest.mark.parametrize("path", ["/exports/%0Aa", "/events/%0Aa%0D/webhooks", "/%0A"])
def test_addresses_with_a_line_break_are_answered_by_a_document_as_others_are(
    asker: Asker, path: str
) -> None:
    answer = asker.call("GET", path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/vnd.api+json"
    assert answer.json()["errors"][0]["code"] == "RECORD_NOT_FOUND"


def test_guess_the_key_of_a_relation_stays_beside_it_when_it_is_included(busy: Asker) -> None:
    """By default it is all that is told of it; who asks for more loses nothing."""
    asked = {"filters": {"id_eq": 2}}
    (plain,), (whole,) = (
        json.loads(
            gzip.decompress(
                busy.client.get(finished(busy, **asked, **more)["attributes"]["attachment_url"]).content
            )
        )
        for more in ({}, {"includes": ["company"]})
    )
    assert plain == {"id": 2, "company_id": 1, "note": "note 2"}
    assert whole == plain | {"company": {"id": 1, "name": "ALPHA"}}
