"""Batch's dialect against its contract: ids, parse, render and errors, without a service behind them."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outhaul import errors as core
from outhaul.dialects.batch import errors, ids, mapping, parse, render
from outhaul.export import Export, Numbered, Status

WIRE = Path(__file__).parent
SCHEMA = json.loads((WIRE / "batch.schema.json").read_text())
NOW = datetime(2026, 11, 22, 12, 30, 15, tzinfo=UTC)
MADE = datetime(2024, 2, 28, 16, 28, 42, 987_654, tzinfo=UTC)
BEGUN = datetime(2024, 2, 28, 16, 28, 48, 1, tzinfo=UTC)
ENDED = datetime(2024, 2, 28, 16, 28, 48, 999_999, tzinfo=UTC)
BASE = "https://api.batch.com/2.4"
ID = "AbCdEfGhIj"
CROCKFORD = "[0-9a-hjkmnp-tv-z]{32}"


def golden(name: str) -> Any:
    return json.loads((WIRE / "batch" / f"{name}.json").read_text())


def valid(body: Any, name: str) -> Any:
    """The body, which is as the vendor's fragment says."""
    jsonschema_rs.Draft202012Validator(SCHEMA | {"$ref": f"#/$defs/{name}"}).validate(body)
    return body


def export(status: Status = Status.COMPLETED, **more: Any) -> Export:
    lived = {"completed_at": ENDED} if status is Status.COMPLETED else {}
    begun = {} if status in {Status.CREATED, Status.QUEUED} else {"started_at": BEGUN}
    made = Export(
        ID,
        "acme",
        "key",
        "batch",
        status,
        {"wire": golden("view_success")["request"]},
        7,
        7,
        1,
        1,
        MADE,
        MADE,
    )
    return replace(made, **(lived | begun | more))


def body(**members: Any) -> bytes:
    return json.dumps(members).encode()


def attributes(**more: Any) -> bytes:
    return body(**({"export_type": "ATTRIBUTES", "attributes": ["firstname"]} | more))


def events(**more: Any) -> bytes:
    given = {"export_type": "EVENTS", "from": "2026-11-01T00:00:00Z", "to": "now", "events": ["email_sent"]}
    return body(**{name: value for name, value in (given | more).items() if value is not ...})


def test_a_successful_export_looks_as_in_the_contract() -> None:
    shown = render.request(export(), [Numbered(0, "profiles-001.ndjson", 592752)], BASE)
    expected = golden("view_success")
    for one in (shown, expected):
        for file in (one, *one["files"]):
            file["id"] = re.sub(CROCKFORD, "", file["id"])
        one["files"][0]["url"] = re.sub(CROCKFORD, "", one["files"][0]["url"])
    assert shown == expected
    assert list(shown) == list(expected), "in the order of the contract"


def test_every_status_has_a_word_of_the_contract() -> None:
    assert set(render.STATUSES) == set(Status)
    assert set(render.STATUSES.values()) == set(SCHEMA["$defs"]["status"]["enum"])


@pytest.mark.parametrize(
    ("status", "word", "dates"),
    [
        (Status.CREATED, "CREATED", set()),
        (Status.QUEUED, "PENDING", set()),
        (Status.RUNNING, "RUNNING", {"start_date"}),
        (Status.COMPLETED, "SUCCESS", {"start_date", "completion_date"}),
        (Status.FAILED, "ERROR", {"start_date", "completion_date"}),
        (Status.INTERRUPTED, "PENDING", set()),
    ],
)
def test_dates_are_shown_as_far_as_an_export_has_come(status: Status, word: str, dates: set[str]) -> None:
    more = {Status.FAILED: {"failed_at": ENDED}, Status.INTERRUPTED: {"interrupted_at": ENDED}}
    shown = valid(render.request(export(status, **more.get(status, {})), [], BASE), "request")
    assert (shown["status"], shown["files"]) == (word, [])
    assert {name for name in ("start_date", "completion_date") if name in shown} == dates


def test_an_export_that_failed_before_it_began_has_no_start() -> None:
    shown = render.request(export(Status.FAILED, failed_at=ENDED, started_at=None), [], BASE)
    assert "start_date" not in shown
    assert shown["completion_date"] == "2024-02-28T16:28:48Z"


@pytest.mark.parametrize(
    ("times", "word"),
    [
        ({"completed_at": ENDED}, "SUCCESS"),
        ({"failed_at": ENDED}, "ERROR"),
        ({"interrupted_at": ENDED}, "ERROR"),
    ],
)
def test_what_has_expired_keeps_its_end_and_has_no_files(times: dict[str, Any], word: str) -> None:
    shown = valid(render.request(export(Status.EXPIRED, **times), [], BASE), "request")
    assert (shown["status"], shown["files"]) == (word, [])
    assert shown["completion_date"] == "2024-02-28T16:28:48Z"


def test_files_are_numbered_from_one_and_an_empty_one_is_none() -> None:
    files = [Numbered(0, "a", 0), Numbered(1, "b", 100_000_000), Numbered(2, "c", 0), Numbered(3, "d", 5)]
    shown = valid(render.request(export(), files, BASE), "request")["files"]
    assert [(one["part"], one["size"]) for one in shown] == [(1, 100_000_000), (2, 5)]
    assert [ids.read_file(one["id"]) for one in shown] == [(ID, 1), (ID, 3)]
    assert all(one["url"] == f"{BASE}/exports/download?id={one['id']}" for one in shown)


@given(st.text("abcXYZ", min_size=10, max_size=10), st.integers(0, 1 << 31))
def test_ids_are_a_prefix_and_32_characters_and_can_be_read_back(export_id: str, n: int) -> None:
    assert re.fullmatch(f"export_{CROCKFORD}", ids.export(export_id))
    assert re.fullmatch(f"file_{CROCKFORD}", ids.file(export_id, n))
    assert ids.read_export(ids.export(export_id)) == export_id
    assert ids.read_file(ids.file(export_id, n)) == (export_id, n)


@pytest.mark.parametrize("change", ["", "x", "0" * 32, "u" * 32, "É" * 32, "\0" * 32, "z" * 33])
def test_what_is_no_id_of_ours_is_none(change: str) -> None:
    for prefix in ("export_", "file_", ""):
        assert ids.read_export(prefix + change) is None
        assert ids.read_file(prefix + change) is None
    assert ids.read_export(ids.file(ID, 1)) is None
    assert ids.read_file(ids.export(ID)) is None


def test_no_id_of_a_neighbour_can_be_guessed_from_one() -> None:
    first, second = ids.file(ID, 1), ids.file(ID, 2)
    assert sum(a != b for a, b in zip(first, second, strict=True)) > 15
    wrong = [first[:-1] + digit for digit in ids.DIGITS if digit != first[-1]]
    assert [one for one in wrong if ids.read_file(one)] == []


def test_a_cursor_is_an_id_and_a_request_date() -> None:
    shown = ids.cursor(ID, MADE)
    told = base64.urlsafe_b64decode(shown + "=" * (-len(shown) % 4)).decode()
    assert told.startswith(f"{ids.export(ID)}@2024-02-28T16:28:42")
    assert ids.read_cursor(shown) == (MADE, ID)
    plain = base64.b64encode(told.encode()).decode()
    assert ids.read_cursor(plain.rstrip("=")) == (MADE, ID) or "+" in plain or "/" in plain


@pytest.mark.parametrize("text", ["", "x", "====", "é", base64.b64encode(b"export_@2024").decode(), "\0"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(core.WrongValue, match="next_from"):
        parse.listing(None, text)


def test_a_page_has_ten_exports_unless_another_number_is_asked_for() -> None:
    assert parse.listing(None, None) == parse.Page(10, None)
    assert [parse.listing(one, None).limit for one in ("1", "100")] == [1, 100]


@pytest.mark.parametrize("text", ["0", "101", "-1", "", "ten", "1.5", "٣", "1e1"])
def test_a_page_of_another_size_is_refused(text: str) -> None:
    with pytest.raises(core.WrongValue, match="from 1 to 100"):
        parse.listing(text, None)


def test_attributes_are_wanted_as_they_were_sent() -> None:
    sent = {
        "export_type": "ATTRIBUTES",
        "attributes": ["$email_address", "$language", "firstname"],
        "identifiers": ["custom_id", "installation_ids"],
        "filter": {"segment": "MY-SEGMENT-CODE"},
    }
    found = parse.creation(body(**sent), NOW)
    assert found == parse.Attributes(
        ("$email_address", "$language", "firstname"),
        ("custom_id", "installation_ids"),
        "MY-SEGMENT-CODE",
        sent,
    )


def test_events_are_wanted_as_they_were_sent() -> None:
    sent = {
        "export_type": "EVENTS",
        "from": "2026-11-01T02:00:00.5+02:00",
        "to": "2026-11-02T00:00:00z",
        "identifiers": ["custom_id", "installation_id"],
        "events": ["email_sent", "push_open"],
        "orchestration_ids": ["a", "b"],
    }
    found = parse.creation(body(**sent), NOW)
    since = datetime(2026, 11, 1, 0, 0, 0, 500_000, tzinfo=UTC)
    before = datetime(2026, 11, 2, tzinfo=UTC)
    assert isinstance(found, parse.Events)
    assert (found.since, found.before, found.echo) == (since, before, sent)
    assert (found.events, found.orchestrations) == (("email_sent", "push_open"), ("a", "b"))


def test_now_is_echoed_and_is_the_instant_of_the_export() -> None:
    found = parse.creation(events(), NOW)
    assert isinstance(found, parse.Events)
    assert (found.before, found.echo["to"]) == (None, "now")


def test_members_that_nobody_knows_are_not_looked_at() -> None:
    assert parse.creation(attributes(colour="red", channels=[1]), NOW).echo == json.loads(attributes())


@pytest.mark.parametrize("days", [0, 1, 89, 90, 91])
def test_the_lookback_is_90_days_by_the_clock_or_the_calendar(days: int) -> None:
    begin = NOW - timedelta(days=days, seconds=0 if days else 1)
    parse.creation(events(**{"from": render.time(begin)}), NOW)


def test_90_days_before_the_request_was_sent_are_not_too_many() -> None:
    parse.creation(events(**{"from": render.time(NOW - timedelta(days=90))}), NOW + timedelta(seconds=3))
    with pytest.raises(core.WrongValue, match="older than 90 days"):
        parse.creation(events(**{"from": render.time(NOW - timedelta(days=91, seconds=1))}), NOW)


REFUSED: dict[str, tuple[bytes, type[core.OuthaulError], str]] = {
    "no JSON": (b"{", errors.MalformedBody, "not valid JSON"),
    "nothing": (b"", errors.MalformedBody, "not valid JSON"),
    "no object": (b"[]", errors.MalformedBody, "object"),
    "a member twice": (b'{"export_type":"EVENTS","export_type":"EVENTS"}', errors.MalformedBody, "twice"),
    "too deep": (b"[" * 100_000, errors.MalformedBody, "deep"),
    "no UTF-8": (b'{"export_type":"\xff"}', errors.MalformedBody, "not valid JSON"),
    "no type": (body(attributes=["a"]), errors.MissingParameter, "export_type"),
    "another type": (body(export_type="PROFILES"), core.WrongValue, "ATTRIBUTES, EVENTS"),
    "a number as type": (body(export_type=1), core.WrongValue, "string"),
    "reachability": (body(export_type="REACHABILITY"), core.WrongValue, "not offered"),
    "neither attributes nor identifiers": (
        body(export_type="ATTRIBUTES"),
        errors.MissingParameter,
        "attributes, identifiers",
    ),
    "no attribute": (attributes(attributes=[]), core.WrongValue, "array of 1 or more"),
    "attributes as text": (attributes(attributes="a"), core.WrongValue, "array"),
    "null as attributes": (attributes(attributes=None), core.WrongValue, "array"),
    "an attribute that is no text": (attributes(attributes=[1]), core.WrongValue, "string"),
    "no identifier": (attributes(identifiers=[]), core.WrongValue, "array of 1 or more"),
    "another identifier": (attributes(identifiers=["email"]), core.WrongValue, "custom_id, installation_ids"),
    "a filter that is no object": (attributes(filter="a"), core.WrongValue, "object"),
    "a segment that is no text": (attributes(filter={"segment": 1}), core.WrongValue, "string"),
    "a NUL in a segment": (attributes(filter={"segment": "a\0"}), core.WrongValue, "text"),
    "half a character": (b'{"export_type":"ATTRIBUTES","attributes":["\\ud800"]}', core.WrongValue, "text"),
    "no from": (events(**{"from": ...}), errors.MissingParameter, "from"),
    "no to": (events(to=...), errors.MissingParameter, "to"),
    "no events": (events(events=...), errors.MissingParameter, "events"),
    "events without any": (events(events=[]), core.WrongValue, "array of 1 or more"),
    "another event": (events(events=["email_lost"]), core.WrongValue, "email_bounced"),
    "a filter of events": (events(filter={"segment": "a"}), core.WrongValue, "attributes"),
    "no orchestration": (events(orchestration_ids=[]), core.WrongValue, "array of 1 or more"),
    "a date alone": (events(**{"from": "2026-11-01"}), core.WrongValue, "RFC 3339"),
    "a time without a zone": (events(**{"from": "2026-11-01T00:00:00"}), core.WrongValue, "RFC 3339"),
    "a day that is none": (events(**{"from": "2026-11-31T00:00:00Z"}), core.WrongValue, "RFC 3339"),
    "now as from": (events(**{"from": "now"}), core.WrongValue, "RFC 3339"),
    "a number as to": (events(to=1), core.WrongValue, "string"),
    "from after to": (events(to="2026-10-31T00:00:00Z"), core.WrongValue, "before"),
    "from at to": (events(to="2026-11-01T00:00:00Z"), core.WrongValue, "before"),
    "from after now": (events(**{"from": "2026-11-23T00:00:00Z"}), core.WrongValue, "before"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_wrong_creation_is_refused_in_words(what: str) -> None:
    raw, kind, said = REFUSED[what]
    with pytest.raises(kind, match=said) as raised:
        parse.creation(raw, NOW)
    status, told = errors.answer(raised.value, "trace")
    assert status == 400
    assert valid(told, "Error")["error_code"] in {
        *("MALFORMED_JSON_BODY", "MISSING_PARAMETER", "MALFORMED_PARAMETER")
    }


ERRORS: dict[str, core.OuthaulError] = {
    "no_key": core.NotSignedIn("anything"),
    "no_json": errors.MalformedBody("The body must be an object."),
    "missing": errors.MissingParameter("id: is needed."),
    "malformed": core.WrongValue("must be a string.", where=("from",)),
    "not_found": core.NotFound("There is no such export."),
    "no_route": errors.NoRoute("There is nothing at this address."),
    "no_method": errors.NoSuchMethod("This address does not know that method."),
    "too_many": errors.TooMany("Too many requests.", facts={"wait": 1}),
    "maintenance": core.UnderMaintenance("The service is under maintenance."),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_have_the_statuses_and_codes_of_the_contract(name: str) -> None:
    expected = golden("errors")[name]
    status, told = errors.answer(ERRORS[name], "trace")
    assert (status, told["error_code"]) == (expected["status"], expected["code"])
    assert told["error_message"] == expected.get("message", told["error_message"])
    assert valid(told, "Error")["message"] == told["error_message"], "which other clients read"


def test_what_only_an_operator_can_mend_is_told_by_a_trace() -> None:
    status, told = errors.answer(core.SourceAway("host db.internal is away"), "t1")
    assert (status, "db.internal" in told["error_message"], "t1" in told["error_message"]) == (
        503,
        False,
        True,
    )
    status, told = errors.answer(core.OuthaulError("KeyError at /srv/app"), "t2")
    assert (status, told["error_code"]) == (500, "SERVER_ERROR")
    assert "KeyError" not in told["error_message"]
    assert "t2" in told["error_message"]


def test_every_error_has_words() -> None:
    kinds = [
        kind for kind in vars(core).values() if isinstance(kind, type) and issubclass(kind, core.OuthaulError)
    ]
    assert {errors.words(kind("what")).status for kind in kinds} <= {400, 401, 404, 405, 429, 500, 503}


def test_the_words_of_the_contract_are_all_known() -> None:
    definitions = SCHEMA["$defs"]
    assert set(parse.EVENTS) == set(
        definitions["ExportEventRequest"]["properties"]["events"]["items"]["enum"]
    )
    assert len(mapping.NATIVE) == len(set(mapping.NATIVE)) == 19
    assert set(render.SCOPES.values()) == set(definitions["scope"]["enum"])
