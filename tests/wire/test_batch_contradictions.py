"""The contradictions of Batch's documents, by their numbers in the contract: both sides are served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from outhaul.ledger.tables import exports
from tests.batches import SCHEMA, Key, Source, asleep, serving, stamp, valid

AGE = {"export_type": "ATTRIBUTES", "attributes": ["age"]}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = Source(f"sqlite:///{tmp_path_factory.mktemp('source')}/company.db")
    made.fill()
    return made.url


@pytest.fixture(scope="module")
def key(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Key]:
    with serving(url, tmp_path_factory.mktemp("contradictions")) as (_, found):
        yield found


@pytest.fixture(scope="module")
def file(key: Key) -> dict[str, Any]:
    """The file of an export that is done."""
    (found,) = key.ended(**AGE)["files"]
    made: dict[str, Any] = found
    return made


def events(**more: Any) -> dict[str, Any]:
    since = stamp(datetime.now(UTC) - timedelta(days=2))
    return {"export_type": "EVENTS", "from": since, "to": "now", "events": ["email_sent"]} | more


def test_1_the_date_of_the_request_has_both_names(key: Key) -> None:
    shown = key.view(key.create(**AGE))
    assert shown["requested_at"] == shown["request_date"]
    assert datetime.fromisoformat(shown["request_date"]).utcoffset() == timedelta(0)


@pytest.mark.parametrize("given", ["installation_id", "installation_ids"])
def test_2_installation_ids_are_understood_in_singular_and_plural(key: Key, given: str) -> None:
    attributes = key.ended(**AGE, identifiers=["custom_id", given])
    assert attributes["request"]["identifiers"] == ["custom_id", "installation_ids"]
    assert any("installation_ids" in line["identifiers"] for line in key.lines(attributes))
    shown = key.view(key.create(**events(identifiers=[given, "custom_id"])))
    assert shown["request"]["identifiers"] == ["installation_id", "custom_id"]
    valid(shown, "request")


def test_3_attributes_or_identifiers_are_needed(key: Key) -> None:
    valid({"export_type": "ATTRIBUTES"}, "ExportAttributeRequest")
    answer = key.call("POST", "/profiles/export", json={"export_type": "ATTRIBUTES"})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "MISSING_PARAMETER")
    assert key.ended(export_type="ATTRIBUTES", identifiers=["custom_id"])["status"] == "SUCCESS"


@pytest.mark.parametrize("version", ["2.1", "2.4", "2.9", "2.11", "2.13", "2.99"])
def test_4_every_version_2_is_served_and_its_addresses_are_of_the_same(
    key: Key, file: dict[str, Any], version: str
) -> None:
    answer = key.call("POST", "/profiles/export", version, json=AGE)
    assert answer.status_code == 202
    shown = key.call("GET", "/exports/list", version, params={"limit": 100}).json()["exports"]
    urls = [one["url"] for export in shown for one in export["files"]]
    base = str(key.client.base_url).rstrip("/")
    assert all(one.startswith(f"{base}/{version}/exports/download?id=file_") for one in urls)
    assert file["id"] in "".join(urls)


@pytest.mark.parametrize("version", ["1.0", "2", "2.", "3.0", "2.x", "v2.1", "2.1.1", "02.1", "٢.1"])
def test_4_no_other_version_is_there(key: Key, version: str) -> None:
    answer = key.call("GET", "/exports/list", version)
    assert answer.status_code == 404
    if (
        version.replace(".", "").isascii()
        and version.count(".")
        and version[-1].isdigit()
        and version[0] != "v"
    ):
        assert valid(answer.json(), "Error")["error_code"] == "ROUTE_NOT_FOUND"


def test_5_exports_are_listed_for_more_than_four_months(url: str, tmp_path: Path) -> None:
    with asleep(url, tmp_path, "months") as (outhaul, key):
        made = key.create(**AGE)
        with outhaul.ledger._write() as write:
            write.execute(exports.update().values(created_at=exports.c.created_at - 125 * 86_400))
        outhaul.ledger.expire()
        outhaul.ledger.swept(outhaul.ledger.list(limit=1)[0][0].id)
        assert [one["id"] for one in key.call("GET", "/exports/list").json()["exports"]] == [made]


def test_6_count_is_how_many_are_on_the_page(url: str, tmp_path: Path) -> None:
    with asleep(url, tmp_path, "count") as (_, key):
        for _ in range(3):
            key.create(**AGE)
        for limit, count, more in ((2, 2, True), (3, 3, False), (100, 3, False)):
            page = key.call("GET", "/exports/list", params={"limit": limit}).json()
            assert (page["count"], len(page["exports"]), page["has_more"]) == (count, count, more)


def test_7_exports_of_reachability_are_not_offered(key: Key) -> None:
    asked = {
        "export_type": "REACHABILITY",
        "from": "2026-01-01T00:00:00Z",
        "to": "now",
        "channels": ["email"],
    }
    answer = key.call("POST", "/profiles/export", json=asked)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "MALFORMED_PARAMETER")
    assert "REACHABILITY" not in str(SCHEMA)


@pytest.mark.parametrize("path", ["/exports/download", "/exports/view"])
def test_8_an_id_is_needed(key: Key, path: str) -> None:
    for query in ("", "?id=", "?ID=export_1"):
        answer = key.call("GET", f"{path}{query}")
        assert (answer.status_code, valid(answer.json(), "Error")["error_code"]) == (400, "MISSING_PARAMETER")
    answer = key.call("GET", f"{path}?id=nothing")
    assert (answer.status_code, valid(answer.json(), "Error")["error_code"]) == (404, "NOT_FOUND")


def test_9_there_are_no_files_before_success(url: str, tmp_path: Path) -> None:
    with asleep(url, tmp_path, "early") as (outhaul, key):
        made = key.create(**AGE)
        for status in ("created", "queued", "running", "failed", "interrupted"):
            with outhaul.ledger._write() as write:
                began = dict.fromkeys(("failed_at", "resumed_at", "started_at"), exports.c.created_at)
                write.execute(exports.update().values(status=status, **began))
            assert key.view(made)["files"] == []
            assert key.call("GET", "/exports/list").json()["exports"][0]["files"] == []


def test_10_a_download_is_a_307_without_a_body(key: Key, file: dict[str, Any]) -> None:
    answer = key.call("GET", "/exports/download", params={"id": file["id"]})
    assert (answer.status_code, answer.content) == (307, b"")
    assert answer.headers["location"].startswith(f"{str(key.client.base_url).rstrip('/')}/files/")
    assert key.client.get(file["url"]).status_code == 401, "the address of a file is not its link"
    headers = {"Authorization": f"Bearer {key.token}", "X-Batch-Project": key.project}
    followed = key.client.get(file["url"], headers=headers, follow_redirects=True)
    assert (followed.status_code, len(followed.content)) == (200, file["size"])


@pytest.mark.parametrize("asked", [AGE, {"colour": 1}, {}], ids=["attributes", "more", "events"])
def test_11_the_type_is_always_echoed_so_that_one_schema_fits(key: Key, asked: dict[str, Any]) -> None:
    sent = AGE | asked if asked else events()
    shown = key.view(key.create(**sent))
    assert shown["request"] == {name: value for name, value in sent.items() if name != "colour"}
    for name in ("ExportAttributeRequest", "ExportEventRequest"):
        ours = SCHEMA["$defs"][name]["properties"]["export_type"]["enum"]
        assert (shown["request"]["export_type"] in ours) == (name == "ExportAttributeRequest") ^ (not asked)


def test_12_every_export_has_a_scope_of_the_contract(key: Key) -> None:
    assert key.view(key.create(**AGE))["scope"] == "PROFILE_ATTRIBUTES"
    assert key.view(key.create(**events()))["scope"] == "PROFILE_EVENTS"


def test_13_a_project_that_is_not_named_is_a_key_that_is_not_valid(key: Key) -> None:
    answer = key.client.get("/2.11/exports/list", headers={"Authorization": f"Bearer {key.token}"})
    assert answer.status_code == 401
    assert valid(answer.json(), "Error") == {
        "error_code": "AUTHENTICATION_INVALID",
        "error_message": "The Rest API Key is not valid for this project",
        "message": "The Rest API Key is not valid for this project",
    }


def test_creating_lives_under_exports_too(key: Key) -> None:
    answer = key.call("POST", "/exports/create", json=AGE)
    assert answer.status_code == 202
    assert key.view(answer.json()["id"])["request"] == AGE


def test_an_address_that_is_none_and_a_method_that_it_does_not_know_are_told_apart(key: Key) -> None:
    for method, path in (("GET", "/exports"), ("GET", "/exports/view/"), ("POST", "/profiles"), ("GET", "/")):
        answer = key.call(method, path)
        assert (answer.status_code, valid(answer.json(), "Error")["error_code"]) == (404, "ROUTE_NOT_FOUND")
    for method, path, allowed in (("GET", "/profiles/export", "POST"), ("DELETE", "/exports/view", "GET")):
        answer = key.call(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert valid(answer.json(), "Error")["error_code"] == "METHOD_NOT_ALLOWED"


def test_a_path_before_the_version_is_that_of_the_public_address(url: str, tmp_path: Path) -> None:
    headers = {"X-Batch-Project": "project_acme"}
    with asleep(url, tmp_path, "path", public_url="https://example.com/exports") as (_, key):
        headers["Authorization"] = f"Bearer {key.token}"
        with httpx.Client(base_url=key.client.base_url, headers=headers, trust_env=False) as client:
            for prefix in ("", "/exports"):
                assert client.get(f"{prefix}/2.11/exports/list").json()["exports"] == []


def test_a_project_may_be_asked_once_a_second(url: str, tmp_path: Path) -> None:
    with asleep(url, tmp_path, "limits", batch_limits=True) as (outhaul, key):
        answers = (key.call("GET", "/exports/list") for _ in range(50))
        assert next(answers).status_code == 200
        replace(key, project="acme").call("GET", "/exports/list")
        with outhaul.ledger._read() as read:
            assert read.execute(sa.text("SELECT count(*) FROM rates")).scalar_one() == 1, "by any name"
        answer = next(one for one in answers if one.status_code == 429)
        assert answer.headers["retry-after"] == "1"
        assert valid(answer.json(), "Error")["error_code"] == "TOO_MANY_REQUESTS"
        beta, _ = outhaul.access.make_token("beta", tenant="beta")
        other = replace(key, token=beta, project="project_beta")
        assert other.call("GET", "/exports/list").status_code == 200, "each project has its own"
        assert replace(key, token="oh_x").call("GET", "/exports/list").status_code == 401


def test_ten_filtered_exports_may_be_asked_for_at_once_and_then_five_an_hour(
    url: str, tmp_path: Path
) -> None:
    with asleep(url, tmp_path, "filtered", batch_limits=True) as (outhaul, key):

        def asked(**more: Any) -> Any:
            with outhaul.ledger._write() as write:
                write.exec_driver_sql("DELETE FROM rates WHERE key LIKE 'batch calls %'")
            return replace(key, project=next(names)).call("POST", "/profiles/export", json=AGE | more)

        names = cycle(("project_acme", "acme"))  # two names of one project
        assert asked(filter={"segment": "nobody's"}).status_code == 400, "which counts nowhere"
        french = {"filter": {"segment": "FR-2026"}}
        assert [asked(**french).status_code for _ in range(11)] == [202] * 10 + [429]
        answer = asked(**french)
        assert 700 <= int(answer.headers["retry-after"]) <= 720
        assert asked().status_code == 202, "without a segment there is no such limit"
        with outhaul.ledger._write() as write:
            earlier = (
                "UPDATE rates SET hits = json_array(json_array(json_extract(hits, '$[0][0]') - 720000000, 0))"
            )
            write.exec_driver_sql(f"{earlier} WHERE key LIKE 'batch filtered %'")
        assert [asked(**french).status_code for _ in range(2)] == [202, 429]
