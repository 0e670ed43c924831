"""Rebilly's organization exports over HTTP: every form of every address, who may, lists, files and their end."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from outhaul import manifest
from outhaul.ledger.tables import exports
from outhaul.rates import Rate
from tests.organizations import ABSENT, Organization, place_of
from tests.served import ROWS, of_shop, served, shop, until

MEMBERS = {
    *(
        "id",
        "userId",
        "fileId",
        "status",
        "resources",
        "createdTime",
        "updatedTime",
        "retentionTime",
        "_links",
    )
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return place_of(tmp_path_factory.mktemp("rebilly"))


@pytest.fixture(scope="module")
def busy(place: Path) -> Iterator[Organization]:
    """Of a service that runs what it is asked for."""
    with of_shop(place, "busy") as outhaul, served(outhaul) as client:
        yield Organization(outhaul, client)


@pytest.fixture(scope="module")
def asleep(place: Path) -> Iterator[Organization]:
    """Of a service that runs nothing."""
    outhaul = of_shop(place)
    with outhaul.ledger as ledger:
        ledger.migrate()
        with served(outhaul) as client:
            yield Organization(outhaul, client)


@pytest.fixture(scope="module")
def done(busy: Organization) -> dict[str, Any]:
    return busy.finished()


def archive(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        return {name: found.read(name) for name in found.namelist()}


def test_an_export_is_asked_for_and_pending(asleep: Organization) -> None:
    answer = asleep.call("POST", "/organization-exports", json={"includeFiles": False})
    made = answer.json()
    assert answer.status_code == 201
    assert made.keys() == MEMBERS
    assert (made["status"], made["resources"], made["fileId"], made["retentionTime"]) == (
        "pending",
        [],
        None,
        None,
    )
    assert answer.headers["Location"] == made["_links"][0]["href"]
    assert (answer.headers["X-RateLimit-Limit"], int(answer.headers["X-RateLimit-Remaining"]) < 3000) == (
        "3000",
        True,
    )
    base = str(asleep.client.base_url)
    assert made["_links"] == [
        {"rel": "self", "href": f"{base}/organizations/1/organization-exports/{made['id']}"},
        {"rel": "user", "href": f"{base}/organizations/1/users/{made['userId']}"},
    ]
    assert asleep.call("GET", answer.headers["Location"]).json() == made


@pytest.mark.parametrize("body", [b"", b"{}", b"[]"])
@pytest.mark.parametrize("before", ["", "/organizations/1"])
@pytest.mark.parametrize("after", ["", "/"])
def test_every_form_of_the_address_is_the_same_without_a_redirect(
    asleep: Organization, body: bytes, before: str, after: str
) -> None:
    path = f"{before}/organization-exports{after}"
    made = asleep.call("POST", path, content=body)  # without a Content-Type, as PHP sends it
    assert made.status_code == 201
    own = f"{before}/organization-exports/{made.json()['id']}{after}"
    assert asleep.call("GET", own).json() == made.json()
    assert made.json() in asleep.call("GET", path).json()


def test_a_bearer_token_is_as_good_as_a_key(asleep: Organization) -> None:
    headers = {"Authorization": f"Bearer {asleep.key}"}
    assert asleep.client.get("/organization-exports", headers=headers).status_code == 200


PATHS = [
    ("POST", "/organization-exports"),
    ("GET", "/organization-exports"),
    ("GET", "/organization-exports/{id}"),
    ("GET", "/files/{file}"),
    ("GET", "/files/{file}/download"),
]
BOTH = [(method, before + path) for method, path in PATHS for before in ("", "/organizations/1")]


@pytest.mark.parametrize(("method", "path"), BOTH)
def test_who_may_do_what(busy: Organization, done: dict[str, Any], method: str, path: str) -> None:
    address = path.format(id=done["id"], file=done["fileId"])

    def asked(**headers: str) -> int:
        return busy.client.request(method, address, headers=headers).status_code

    def of(**granted: Any) -> int:
        return asked(**{"REB-APIKEY": Organization(busy.outhaul, busy.client, **granted).key})

    past = datetime.now(UTC) - timedelta(seconds=1)
    named = path.startswith("/organizations")
    own = {"POST": 201}.get(method, 200)
    assert asked() == asked(**{"REB-APIKEY": "x"}) == asked(Authorization="Basic eDp5") == 401
    assert of(tenant="1", expires_at=past) == 401
    assert of(tenant="1") == own
    assert of(tenant="1", read_only=True) == (403 if method == "POST" else 200)
    assert of(all_tenants=True) == (own if named else 403), "whose it is has to be said"
    strangers = own if path.endswith("/organization-exports") else 404
    assert of(tenant="2") == (403 if named else strangers)
    limited = 403 if method == "POST" else strangers
    assert of(tenant="1", resources=("orders",)) == limited


def test_a_key_of_several_organizations_is_of_the_one_in_the_address(busy: Organization) -> None:
    both = Organization(busy.outhaul, busy.client, tenant="2", others=("1",))
    for path, tenant in {"": "2", "/organizations/1": "1", "/organizations/2": "2"}.items():
        answer = both.call("POST", f"{path}/organization-exports")
        assert f"/organizations/{tenant}/" in answer.headers["Location"]
    assert both.call("GET", "/organizations/3/organization-exports").status_code == 403
    assert both.call("GET", "/organizations/%00/organization-exports").status_code in {403, 404}


def test_refusals_are_problems(asleep: Organization) -> None:
    for method, path, status in (
        ("GET", "/organization-exports/nothing", 404),
        ("GET", "/organization-exports/a/b", 404),
        ("GET", "/organizations/1/files/nothing", 404),
        ("GET", "/organizations/1", 404),
        ("GET", "/organizations/1/customers", 404),
        ("GET", "/files/nothing", 404),
        ("GET", "/files/nothing/", 404),
        ("GET", "/files/nothing/download", 404),
        ("GET", "/files/org_exp_01HXC7MKK41KWGPGHZSQ0T2C3P/download", 404),
        ("GET", "/files", 404),
        ("GET", "/files/a/b/c", 404),
        ("DELETE", "/organization-exports", 405),
        ("PUT", "/organizations/1/organization-exports/x", 405),
        ("GET", "/organization-exports?limit=1001", 422),
        ("GET", "/organization-exports?filter=createdTime:soon", 422),
    ):
        answer = asleep.call(method, path)
        body = answer.json()
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        assert (body["status"], body["type"]) == (status, "about:blank")
        assert ("invalidFields" in body) == (status == 422)
    assert asleep.call("DELETE", "/organization-exports").headers["allow"] == "GET, POST"
    for path in ("/files/nothing", "/files/nothing/download"):
        assert asleep.client.get(path).json()["status"] == 401
    assert asleep.call("POST", "/organization-exports", content=b"{").status_code == 400
    assert asleep.call("POST", "/organization-exports", content=b" " * 2_000_000).status_code == 413


def test_files_that_are_not_kept_here_are_refused_and_never_left_out(asleep: Organization) -> None:
    before = len(asleep.outhaul.ledger.list()[0])
    answer = asleep.call("POST", "/organization-exports", json={"includeFiles": True})
    assert (answer.status_code, answer.json()["invalidFields"][0]["field"]) == (422, "includeFiles")
    assert len(asleep.outhaul.ledger.list()[0]) == before


def test_all_of_an_organization_and_nothing_else_is_in_its_archive(
    busy: Organization, done: dict[str, Any], place: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(place / "shop.db")) as connection:
        orders = connection.execute("SELECT * FROM orders WHERE company_id = 1 ORDER BY id").fetchall()
    assert done["resources"] == [
        {"type": "customers", "recordCount": 1},
        {"type": "orders", "recordCount": ROWS // 2},
    ]
    (link,) = [one["href"] for one in done["_links"] if one["rel"] == "signedLink"]
    answer = busy.client.get(link)  # without a key
    assert answer.headers["content-type"] == "application/zip"
    members = archive(answer.content)
    assert list(members) == ["customers.json", "customers.csv", "orders.json", "orders.csv", "manifest.json"]
    assert b"OMEGA" not in b"".join(members.values())
    assert json.loads(members["customers.json"]) == [{"id": 1, "name": "ALPHA"}]
    told = [dict(zip(("id", "company_id", "note"), row, strict=True)) for row in orders]
    assert sorted(json.loads(members["orders.json"]), key=lambda row: row["id"]) == told
    read = csv.DictReader(io.StringIO(members["orders.csv"].decode()))
    assert sorted(tuple(row.values()) for row in read) == sorted(tuple(map(str, row)) for row in orders)
    for name, data in members.items():
        (tmp_path / name).write_bytes(data)
    assert manifest.verify_folder(tmp_path, deep=True) == ()
    assert json.loads(members["manifest.json"])["request"]["wire"]["absent"] == ABSENT


def test_its_file_is_known_and_downloaded_with_the_key(busy: Organization, done: dict[str, Any]) -> None:
    file = busy.call("GET", f"/files/{done['fileId']}").json()
    links = {one["rel"]: one["href"] for one in file["_links"]}
    whole = busy.call("GET", f"/organizations/1/files/{done['fileId']}/download")
    assert (file["mime"], file["size"], file["name"]) == (
        "application/zip",
        len(whole.content),
        "organization-export-1",
    )
    assert file["sha1"] == hashlib.sha1(whole.content).hexdigest()
    assert file["sourceType"] == "organization-export"
    assert busy.call("GET", links["self"]).json() | {"_links": []} == file | {"_links": []}
    assert (
        busy.call("GET", links["download"]).content
        == busy.client.get(links["signedLink"]).content
        == whole.content
    )
    part = busy.call("GET", links["download"], headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, whole.content[5:10])
    none = busy.call("GET", links["download"], headers={"If-None-Match": whole.headers["etag"]})
    assert none.status_code == 304
    beyond = busy.call("GET", links["download"], headers={"Range": f"bytes={file['size']}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{file['size']}")
    assert beyond.json()["title"] == "Range Not Satisfiable"


def test_after_its_retention_an_export_has_no_file(busy: Organization) -> None:
    gone = busy.finished()
    (link,) = [one["href"] for one in gone["_links"] if one["rel"] == "signedLink"]
    newest = busy.outhaul.ledger.list()[0][0].id
    with busy.outhaul.ledger._write() as write:
        write.execute(exports.update().where(exports.c.id == newest).values(expires_at=0.0))
    until(lambda: busy.get(gone["id"])["status"] == "expired", "it expires")
    found = busy.get(gone["id"])
    assert (found["fileId"], found["resources"]) == (None, gone["resources"])
    assert [one["rel"] for one in found["_links"]] == ["self", "user"]
    for path in (f"/files/{gone['fileId']}", f"/files/{gone['fileId']}/download"):
        assert busy.call("GET", path).status_code == 404
    assert busy.client.get(link).status_code == 410
    assert busy.ids(filter="status:expired") == [gone["id"]]
    assert gone["id"] not in busy.ids(filter="status:completed")


def test_an_id_with_another_time_in_it_is_no_id(busy: Organization, done: dict[str, Any]) -> None:
    digit = "0" if done["id"][-17] != "0" else "1"
    other = done["id"][:-17] + digit + done["id"][-16:]
    assert busy.call("GET", f"/organization-exports/{other}").status_code == 404
    assert busy.ids(filter=f"id:{other}") == []


def test_too_many_requests_are_refused_until_there_is_room(place: Path, tmp_path: Path) -> None:
    outhaul = of_shop(place, str(tmp_path / "state"), rate_organization=Rate(2, 600.0))
    with outhaul.ledger as ledger:
        ledger.migrate()
        with served(outhaul) as client:
            mine, other = Organization(outhaul, client), Organization(outhaul, client, tenant="2")
            answers = [mine.call("POST", "/organization-exports") for _ in range(3)]
            assert [one.status_code for one in answers] == [201, 201, 429]
            assert [one.headers["X-RateLimit-Remaining"] for one in answers] == ["1", "0", "0"]
            wait, at = (int(answers[2].headers[name]) for name in ("Retry-After", "X-RateLimit-Retry-After"))
            assert 0 < wait <= 660
            assert abs(at - datetime.now(UTC).timestamp() - wait) < 60
            assert answers[2].json()["title"] == "Rate Limit Exceeded"
            assert Organization(outhaul, client).call("POST", "/organization-exports").status_code == 429
            assert other.call("POST", "/organization-exports").status_code == 201
            assert mine.call("GET", "/organization-exports").status_code == 200


def test_a_service_without_a_section_offers_no_organization_exports(tmp_path: Path) -> None:
    outhaul = of_shop(shop(tmp_path))
    with outhaul.ledger as ledger:
        ledger.migrate()
        with served(outhaul) as client:
            organization = Organization(outhaul, client)
            answer = organization.call("POST", "/organization-exports")
            assert (answer.status_code, answer.json()["status"]) == (403, 403)
            assert "[rebilly]" in answer.json()["detail"]
            assert organization.ids() == []
