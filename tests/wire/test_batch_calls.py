"""Batch's calls over HTTP: each exported file is compared with the database, and nobody sees another's project."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from outhaul import downloads
from outhaul.app import Outhaul
from outhaul.dialects.batch import ids, mapping, routes
from outhaul.errors import Gone
from outhaul.ledger.tables import exports
from tests import drafts
from tests.batches import Key, Source, asleep, dated, events, moment, ordered, profiles, serving, stamp, valid
from tests.exports import completed
from tests.served import Asker, until

EVENTS = {"export_type": "EVENTS", "to": "now", "identifiers": ["custom_id", "installation_id"]}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    url = f"sqlite:///{tmp_path_factory.mktemp('source')}/company.db"
    made = Source(url if request.param == "sqlite" else request.getfixturevalue("postgres_module_url"))
    made.fill()
    return made


@pytest.fixture(scope="module")
def working(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Outhaul, Key]]:
    with serving(source.url, tmp_path_factory.mktemp("batch")) as found:
        yield found


@pytest.fixture(scope="module")
def key(working: tuple[Outhaul, Key]) -> Key:
    return working[1]


@pytest.fixture(scope="module")
def outhaul(working: tuple[Outhaul, Key]) -> Outhaul:
    return working[0]


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[tuple[Outhaul, Key]]:
    """A service whose workers sleep."""
    with asleep(_filled(tmp_path), tmp_path, "state") as found:
        yield found


def _filled(folder: Path) -> str:
    made = Source(f"sqlite:///{folder}/company.db")
    made.fill()
    return made.url


def ago(**time: float) -> str:
    return stamp(datetime.now(UTC) - timedelta(**time))


def test_profiles_are_those_of_the_project_with_what_was_asked_for(key: Key, source: Source) -> None:
    names = ["$email_address", "firstname", "$language", "$creation_date", "age"]
    identifiers = ["custom_id", "installation_ids"]
    shown = key.ended(export_type="ATTRIBUTES", attributes=names, identifiers=identifiers)
    found = dated(key.lines(shown))
    assert found == profiles(source)
    assert len(found) == 32


def test_a_segment_narrows_an_export_by_its_code_or_its_name(key: Key, source: Source) -> None:
    for code in ("FR-2026", "french"):
        shown = key.ended(export_type="ATTRIBUTES", attributes=["$email_address"], filter={"segment": code})
        wanted = [
            {"attributes": {"$email_address": one["attributes"]["$email_address"]}}
            for one in profiles(source, "AND lang = 'fr'")
        ]
        assert ordered(key.lines(shown)) == ordered(wanted)


def test_events_are_those_of_the_time_up_to_the_exports_instant(key: Key, source: Source) -> None:
    since = ago(days=80)
    shown = key.ended(**EVENTS, **{"from": since}, events=["email_sent", "push_open"])
    wanted = events(source, "email", "email_sent", since) + events(source, "push", "push_open", since)
    found = dated(key.lines(shown))
    assert found == ordered(wanted)
    assert 0 < len(found) < 32 * 4
    assert all(one["date"] <= datetime.now(UTC) for one in found), "one is to come"


def test_events_end_before_the_time_that_is_given(key: Key, source: Source) -> None:
    since, before = ago(days=80), ago(days=20)
    asked = EVENTS | {"from": since, "to": before, "events": ["email_sent"]}
    wanted = [one for one in events(source, "email", "email_sent", since) if one["date"] < moment(before)]
    assert dated(key.lines(key.ended(**asked))) == wanted


def test_events_of_some_orchestrations_only(key: Key, source: Source) -> None:
    since = ago(days=80)
    asked = EVENTS | {"from": since, "events": ["email_sent"], "orchestration_ids": ["1", "3"]}
    wanted = events(source, "email", "email_sent", since, "AND m.campaign IN (1, 3)")
    assert dated(key.lines(key.ended(**asked))) == wanted


def test_an_event_of_this_moment_is_there(key: Key, source: Source) -> None:
    shown = key.ended(**EVENTS, **{"from": ago(days=1)}, events=["push_open"])
    before = len(key.lines(shown))
    at = datetime.now(UTC).isoformat()
    source.run("INSERT INTO messages VALUES (9999, 1, 'acme', 'push', ?, 2, NULL)", at)
    try:
        shown = key.ended(**EVENTS, **{"from": ago(days=1)}, events=["push_open"])
        assert len(key.lines(shown)) == before + 1
    finally:
        source.run("DELETE FROM messages WHERE id = 9999")


def test_files_hold_no_more_than_they_may_and_are_numbered(
    key: Key, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "FILE_BYTES", 500)
    shown = key.ended(export_type="ATTRIBUTES", attributes=["$email_address", "age"])
    sizes = [one["size"] for one in shown["files"]]
    assert len(sizes) > 2
    assert max(sizes) <= 500
    assert [one["attributes"]["age"] for one in key.lines(shown)] == sorted(
        one["attributes"]["age"] for one in profiles(source)
    )


def test_a_row_that_no_file_takes_fails_the_export(
    key: Key, outhaul: Outhaul, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "FILE_BYTES", 30)
    shown = key.ended(export_type="ATTRIBUTES", attributes=["$email_address"])
    assert (shown["status"], shown["files"]) == ("ERROR", [])
    newest, _ = outhaul.ledger.list(limit=1)
    (error,) = newest[0].errors
    assert error["error"] == "TooMuch"
    assert error["message"].startswith("Row 1 of part 1 of people")


def test_an_export_that_nothing_matches_succeeds_without_files(key: Key) -> None:
    asked = EVENTS | {"from": ago(days=80), "events": ["push_open"], "orchestration_ids": ["77"]}
    shown = key.ended(**asked)
    assert (shown["status"], shown["files"]) == ("SUCCESS", [])


def test_a_limit_of_a_file_is_100_million_bytes() -> None:
    assert mapping.FILE_BYTES == 100_000_000


def test_a_link_needs_no_key_and_lasts_20_minutes(key: Key, outhaul: Outhaul) -> None:
    (file,) = key.ended(export_type="ATTRIBUTES", identifiers=["custom_id"])["files"]
    answer = key.call("GET", "/exports/download", params={"id": file["id"]})
    token = answer.headers["location"].split("/files/")[1].partition("/")[0]
    now, keys = datetime.now(UTC), outhaul.exports._keys
    downloads.unsign(keys, token, now + timedelta(minutes=19, seconds=50))
    with pytest.raises(Gone):
        downloads.unsign(keys, token, now + timedelta(minutes=20, seconds=1))
    assert key.client.get(answer.headers["location"]).status_code == 200


def test_a_key_reaches_the_projects_that_it_was_made_for(key: Key, outhaul: Outhaul) -> None:
    token, _ = outhaul.access.make_token("company", tenant="acme", others=("beta",))
    both = [replace(key, token=token, project=project) for project in ("project_acme", "project_beta")]
    counts = [len(one.lines(one.ended(export_type="ATTRIBUTES", attributes=["age"]))) for one in both]
    assert counts == [32, 8]
    made = both[1].create(export_type="ATTRIBUTES", attributes=["age"])
    assert both[0].call("GET", "/exports/view", params={"id": made}).status_code == 404
    shown = both[1].call("GET", "/exports/list", params={"limit": 100}).json()["exports"]
    assert made in [one["id"] for one in shown]
    assert not {one["id"] for one in shown} & {
        one["id"] for one in both[0].call("GET", "/exports/list", params={"limit": 100}).json()["exports"]
    }


def test_a_tenants_own_name_is_a_project_key_too(key: Key) -> None:
    assert replace(key, project="acme").call("GET", "/exports/list").status_code == 200


def test_a_key_that_is_not_for_the_project_is_refused(key: Key, outhaul: Outhaul) -> None:
    beta, _ = outhaul.access.make_token("beta", tenant="beta")
    revoked, kept = outhaul.access.make_token("old", tenant="acme")
    outhaul.access.revoke(kept.id)
    strangers = [
        *(replace(key, project=one) for one in ("project_beta", "project_gamma", "nobody", "")),
        *(replace(key, token=one) for one in (beta, revoked, "oh_x")),
    ]
    for stranger in strangers:
        for method, path in (
            ("POST", "/profiles/export"),
            ("GET", "/exports/view"),
            ("GET", "/exports/list"),
        ):
            answer = stranger.call(method, path)
            assert answer.status_code == 401
            assert valid(answer.json(), "Error")["error_code"] == "AUTHENTICATION_INVALID"
            assert answer.json()["error_message"] == "The Rest API Key is not valid for this project"


def test_a_key_that_only_reads_creates_nothing(key: Key, outhaul: Outhaul) -> None:
    token, _ = outhaul.access.make_token("reader", tenant="acme", read_only=True)
    reader = replace(key, token=token)
    answer = reader.call(
        "POST", "/profiles/export", json={"export_type": "ATTRIBUTES", "attributes": ["age"]}
    )
    assert (answer.status_code, answer.json()["error_code"]) == (401, "AUTHENTICATION_INVALID")
    assert reader.call("GET", "/exports/list").status_code == 200


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"attributes": ["$city"]}, "attributes: there is no attribute '$city' here. One of: $email_address"),
        ({"attributes": ["x\0"]}, "attributes"),
        ({"attributes": ["age"], "filter": {"segment": "DE"}}, "filter.segment: there is no segment 'DE'"),
        ({"attributes": ["age"], "identifiers": ["email"]}, "custom_id, installation_ids"),
    ],
)
def test_what_is_not_offered_is_refused_with_what_is(key: Key, members: dict[str, Any], said: str) -> None:
    answer = key.call("POST", "/profiles/export", json={"export_type": "ATTRIBUTES"} | members)
    assert (answer.status_code, valid(answer.json(), "Error")["error_code"]) == (400, "MALFORMED_PARAMETER")
    assert said in answer.json()["error_message"]


def test_events_that_are_not_offered_are_refused(key: Key) -> None:
    asked = EVENTS | {"from": ago(days=1)}
    answer = key.call("POST", "/profiles/export", json=asked | {"events": ["sms_sent"]})
    assert (answer.status_code, "One of: email_sent, push_open." in answer.json()["message"]) == (400, True)
    wrong = asked | {"events": ["email_sent"], "orchestration_ids": ["one"]}
    answer = key.call("POST", "/profiles/export", json=wrong)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("orchestration_ids: ")


def test_a_large_body_is_refused(key: Key) -> None:
    answer = key.call("POST", "/profiles/export", content=b"[" + b" " * 1_000_001)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "MALFORMED_JSON_BODY")


def test_lists_go_on_where_they_ended_newest_first(quiet: tuple[Outhaul, Key]) -> None:
    outhaul, key = quiet
    made = [key.create(export_type="ATTRIBUTES", attributes=["age"]) for _ in range(23)]
    with outhaul.ledger._write() as write:  # as if some had come at the very same time
        write.execute(exports.update().values(created_at=sa.cast(exports.c.created_at, sa.Integer)))
    seen: list[str] = []
    begin: dict[str, Any] = {}
    for count, more in ((10, True), (10, True), (3, False)):
        page = key.call("GET", "/exports/list", params=begin).json()
        valid(page, "page")
        assert (page["count"], page["has_more"], "next_from" in page) == (count, more, more)
        seen += [one["id"] for one in page["exports"]]
        begin = {"from": page.get("next_from")}
    assert sorted(seen) == sorted(made)
    dates = [key.view(one)["request_date"] for one in seen]
    assert dates == sorted(dates, reverse=True)
    assert key.call("GET", "/exports/list", params={"limit": 23}).json()["has_more"] is False


def test_a_page_ends_before_its_files_are_too_many(
    quiet: tuple[Outhaul, Key], monkeypatch: pytest.MonkeyPatch
) -> None:
    outhaul, key = quiet
    monkeypatch.setattr(routes, "FILES", 10)
    made = []
    for files in (0, 4, 4, 12, 0, 9, 1, 0, 2)[::-1]:
        made.append(key.create(export_type="ATTRIBUTES", attributes=["age"]))
        completed(outhaul.ledger, ids.read_export(made[-1]) or "", files)
    seen: list[str] = []
    begin: dict[str, Any] = {"limit": 8}
    for count in (3, 1, 4, 1):
        page = valid(key.call("GET", "/exports/list", params=begin).json(), "page")
        seen += [one["id"] for one in page["exports"]]
        assert (page["count"], page["has_more"]) == (count, len(seen) < len(made))
        begin["from"] = page.get("next_from")
    assert seen == made[::-1]
    assert len(page["exports"][0]["files"]) == 2


def test_exports_of_another_dialect_are_not_there(quiet: tuple[Outhaul, Key]) -> None:
    outhaul, key = quiet
    asker = Asker(outhaul, key.client, tenant="acme")
    other = asker.ask(resource_type="people")
    assert other.status_code == 201, other.text
    assert key.call("GET", "/exports/list").json()["exports"] == []
    from outhaul.dialects.batch import ids

    export_id = ids.export(other.json()["data"]["id"])
    assert key.call("GET", "/exports/view", params={"id": export_id}).status_code == 404


def test_files_leave_after_their_retention_and_exports_stay_listed(tmp_path: Path) -> None:
    with serving(_filled(tmp_path), tmp_path) as (outhaul, key):
        shown = key.ended(export_type="ATTRIBUTES", attributes=["age"])
        months = 150 * 86_400
        drafts.passes(outhaul.ledger, "exports", created_at=months, expires_at=months, completed_at=months)
        gone = until(lambda: not (seen := key.view(shown["id"]))["files"] and seen, "no files")
        assert gone["status"] == "SUCCESS"
        assert [one["id"] for one in key.call("GET", "/exports/list").json()["exports"]] == [shown["id"]]
        answer = key.call("GET", "/exports/download", params={"id": shown["files"][0]["id"]})
        assert (answer.status_code, answer.json()["error_code"]) == (404, "NOT_FOUND")


def test_nothing_is_there_without_a_section(tmp_path: Path) -> None:
    plain = tmp_path / "plain.toml"
    plain.write_text('[resources.people]\ntenant = "company"\n')
    with asleep(_filled(tmp_path), tmp_path, "plain", catalog=plain) as (_, key):
        with httpx.Client(base_url=key.client.base_url, trust_env=False) as client:
            answer = replace(key, client=client).call("GET", "/exports/list")
        assert (answer.status_code, answer.json()["error_code"]) == (404, "ROUTE_NOT_FOUND")
