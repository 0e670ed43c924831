"""The service as a whole: exports of a real source by a real worker, tenants, changes, withdrawals."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import zstandard
from pyarrow import parquet

from outhaul import app, config, manifest
from outhaul.app import Outhaul
from outhaul.errors import NotAllowed, NotFound, WrongState
from outhaul.export import Caller, Draft, Selection
from tests.served import CATALOG, ORDERS, ROWS, US, Asker, done, finished, of_shop, served, shop, until


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop(tmp_path_factory.mktemp("service"))


@pytest.fixture(scope="module")
def outhaul(place: Path) -> Iterator[Outhaul]:
    with of_shop(place) as outhaul:
        yield outhaul


@pytest.fixture(scope="module")
def client(outhaul: Outhaul) -> Iterator[httpx.Client]:
    with served(outhaul) as client:
        yield client


@pytest.fixture(scope="module")
def asker(outhaul: Outhaul, client: httpx.Client) -> Asker:
    return Asker(outhaul, client)


def test_an_export_is_asked_for_followed_and_downloaded(asker: Asker) -> None:
    created = asker.ask(resource_type="orders", format="csv", reference="r", metadata={"a": [1, "é"]})
    assert created.status_code == 201
    data = created.json()["data"]
    assert re.fullmatch(r"[A-Za-z]{10}", data["id"])
    assert data["attributes"]["status"] in {"pending", "in_progress"}
    assert data["attributes"]["records_count"] == ROWS
    assert data["attributes"]["attachment_url"] is None
    assert "manifest" not in data["links"]
    data = finished(asker, format="csv", reference="r", metadata={"a": [1, "é"]})
    assert (data["attributes"]["reference"], data["attributes"]["metadata"]) == ("r", {"a": [1, "é"]})
    assert (data["attributes"]["processed_count"], data["attributes"]["progress"]) == (ROWS, 100.0)
    answer = asker.client.get(data["attributes"]["attachment_url"])
    assert answer.status_code == 200
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-type"] == "application/gzip"
    assert answer.headers["cache-control"] == "private, no-store, no-transform"
    assert "filename*=UTF-8''orders.csv.gz" in answer.headers["content-disposition"]
    rows = list(csv.reader(io.StringIO(gzip.decompress(answer.content).decode())))
    assert rows == [
        ["id", "company_id", "note"],
        *([str(i), str(1 + i % 2), f"note {i}"] for i in range(1, ROWS + 1)),
    ]


def test_a_plain_file_and_ndjson_can_be_asked_for(asker: Asker) -> None:
    data = finished(
        asker, format="ndjson", compress=None, fields=["id", "company.name"], filters={"id_lteq": 2}
    )
    answer = asker.client.get(data["attributes"]["attachment_url"])
    assert "filename*=UTF-8''orders.ndjson" in answer.headers["content-disposition"]
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        {"id": 1, "company": {"name": "OMEGA"}},
        {"id": 2, "company": {"name": "ALPHA"}},
    ]


def test_zstd_can_be_asked_for(asker: Asker) -> None:
    data = finished(asker, format="ndjson", compress="zstd", fields=["id"], filters={"id_lteq": 2})
    answer = asker.client.get(data["attributes"]["attachment_url"])
    assert answer.headers["content-type"] == "application/zstd"
    assert "content-encoding" not in answer.headers
    assert "filename*=UTF-8''orders.ndjson.zst" in answer.headers["content-disposition"]
    text = zstandard.ZstdDecompressor().decompress(answer.content)
    assert [json.loads(line) for line in text.splitlines()] == [{"id": 1}, {"id": 2}]


def test_parts_of_parquet_are_one_archive_with_ranges(outhaul: Outhaul, client: httpx.Client) -> None:
    draft = Draft((Selection("orders"),), formats=("parquet",), part_bytes=500)
    export = done(outhaul, outhaul.exports.create(US, draft))
    (path,) = outhaul.exports.links(US, export).artifacts
    whole = client.get(path)
    assert whole.headers["content-type"] == "application/zip"
    assert "filename*=UTF-8''orders.parquet.zip" in whole.headers["content-disposition"]
    assert int(client.head(path).headers["content-length"]) == len(whole.content)
    some = client.get(path, headers={"Range": "bytes=7-5000", "If-Range": whole.headers["etag"]})
    assert (some.status_code, some.content) == (206, whole.content[7:5001])
    with zipfile.ZipFile(io.BytesIO(whole.content)) as found:
        assert found.testzip() is None
        assert len(found.namelist()) > 1
        read = [parquet.read_table(io.BytesIO(found.read(name))) for name in found.namelist()]
    assert sorted(row["id"] for table in read for row in table.to_pylist()) == list(range(1, ROWS + 1))


def test_an_export_of_no_rows_is_an_explicit_empty_file(outhaul: Outhaul, client: httpx.Client) -> None:
    draft = Draft((Selection("orders", filters={"id_eq": 0}),), compress="gzip")
    export = done(outhaul, outhaul.exports.create(US, draft))
    assert export.matched == 0
    (path,) = outhaul.exports.links(US, export).artifacts
    assert gzip.decompress(client.get(path).content) == b"[]"


def test_the_manifest_proves_the_file_over_http(asker: Asker) -> None:
    data = finished(asker)
    link = data["links"]["manifest"]
    client = asker.client
    answer = client.get(link)
    assert answer.headers["content-type"] == "application/json"

    def fetch(name: str, start: int, stop: int) -> Iterator[bytes]:
        asked = {"Range": f"bytes={start}-{stop - 1}"}
        found = client.get(link.rpartition("/")[0] + f"/{name}", headers=asked)
        yield b"" if found.status_code == 416 else found.content

    assert manifest.verify(answer.content, fetch, deep=True) == ()
    same = asker.call("GET", f"/exports/{data['id']}/manifest", headers={"Accept": "application/json"})
    assert same.content == answer.content


def test_several_resources_in_two_formats_are_one_export(outhaul: Outhaul) -> None:
    draft = Draft((Selection("orders"), Selection("companies")), formats=("csv", "ndjson"))
    export = done(outhaul, outhaul.exports.create(US, draft))
    assert export.matched == ROWS + 2
    assert {
        (one.selection, one.format, one.name, one.rows) for one in outhaul.ledger.artifacts(export.id)
    } == {
        (0, "csv", "orders.csv", ROWS),
        (0, "ndjson", "orders.ndjson", ROWS),
        (1, "csv", "companies.csv", 2),
        (1, "ndjson", "companies.ndjson", 2),
    }
    assert len(outhaul.exports.links(US, export).artifacts) == 4


def test_lists_come_in_pages_newest_first(asker: Asker) -> None:
    made = [asker.ask(resource_type="companies").json()["data"]["id"] for _ in range(3)]
    first = asker.call("GET", "/exports/?page[number]=1&page[size]=2").json()
    second = asker.call("GET", "/exports?page[number]=2&page[size]=2").json()
    assert [each["id"] for each in first["data"]] == made[:0:-1]
    assert second["data"][0]["id"] == made[0]
    assert first["meta"]["record_count"] >= 3
    assert first["meta"]["page_count"] == -(-first["meta"]["record_count"] // 2)
    assert first["links"]["next"].endswith("/api/exports?page[number]=2&page[size]=2")
    assert "prev" not in first["links"]


def test_a_tenant_gets_its_own_rows_and_sees_its_own_exports(
    outhaul: Outhaul, client: httpx.Client, asker: Asker
) -> None:
    alpha, omega = (Asker(outhaul, client, tenant=company) for company in ("1", "2"))
    data = finished(alpha, fields=["id", "company.name"])
    assert data["attributes"]["records_count"] == ROWS // 2
    assert data["meta"]["organization_id"] == "1"
    text = gzip.decompress(client.get(data["attributes"]["attachment_url"]).content)
    assert text.count(b"ALPHA") == ROWS // 2
    assert b"OMEGA" not in text
    path = f"/exports/{data['id']}"
    calls: list[tuple[str, str]] = [
        ("GET", path),
        ("PATCH", path),
        ("DELETE", path),
        ("GET", f"{path}/manifest"),
    ]
    body = {"data": {"type": "exports", "attributes": {"reference": "mine"}}}
    missing = omega.call("GET", "/exports/XAyRWNUzyN")
    for method, where in calls:
        answer = omega.call(method, where, **({"json": body} if method == "PATCH" else {}))
        assert (answer.status_code, answer.json()) == (404, missing.json()), (method, where)
    assert omega.call("GET", "/exports").json()["meta"]["record_count"] == 0
    assert asker.call("GET", path).status_code == 200
    assert alpha.call("GET", path).json()["data"]["attributes"]["reference"] is None


def test_a_resource_without_a_tenant_rule_is_refused_to_a_tenant(
    outhaul: Outhaul, client: httpx.Client
) -> None:
    answer = Asker(outhaul, client, tenant="1").ask(resource_type="countries")
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (401, "UNAUTHORIZED")
    assert "countries" in error["detail"]


def test_a_token_for_some_resources_exports_no_others(outhaul: Outhaul, client: httpx.Client) -> None:
    asker = Asker(outhaul, client, all_tenants=True, resources=("companies",))
    assert finished(asker, resource_type="companies")["attributes"]["records_count"] == 2
    for asked in ({"resource_type": "orders"}, {"resource_type": "companies", "includes": ["orders"]}):
        answer = asker.ask(**asked)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, "UNAUTHORIZED"), asked


def test_a_reading_token_changes_nothing(outhaul: Outhaul, client: httpx.Client, asker: Asker) -> None:
    export_id = finished(asker)["id"]
    reader = Asker(outhaul, client, all_tenants=True, read_only=True)
    before = asker.call("GET", "/exports").json()["meta"]["record_count"]
    answers = [
        reader.ask(resource_type="orders"),
        reader.change(export_id, reference="x"),
        reader.change(export_id, _interrupt=True),
        reader.change(export_id, _start=True),
        reader.call("DELETE", f"/exports/{export_id}"),
    ]
    assert {(one.status_code, one.json()["errors"][0]["code"]) for one in answers} == {(401, "UNAUTHORIZED")}
    assert reader.call("GET", f"/exports/{export_id}").json()["data"]["attributes"]["reference"] is None
    assert asker.call("GET", "/exports").json()["meta"]["record_count"] == before


def test_what_may_be_changed_is_changed_and_nothing_else(asker: Asker) -> None:
    export_id = finished(asker)["id"]
    changed = asker.change(export_id, reference="r", reference_origin="o", metadata={"a": 1})
    assert changed.status_code == 200
    attributes = changed.json()["data"]["attributes"]
    assert (attributes["reference"], attributes["reference_origin"], attributes["metadata"]) == (
        "r",
        "o",
        {"a": 1},
    )
    for move in ("_interrupt", "_start"):
        answer = asker.change(export_id, **{move: True})
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["source"]["pointer"]) == (422, "/data/attributes/status")
        assert "completed" in error["detail"]


def test_a_waiting_export_is_interrupted_and_started_again(place: Path) -> None:
    asleep = of_shop(place, "asleep")
    with asleep.ledger, served(asleep) as client:
        asleep.ledger.migrate()
        asker = Asker(asleep, client)
        export_id = asker.ask(resource_type="orders").json()["data"]["id"]
        answer = asker.change(export_id, _interrupt=True)
        assert answer.json()["data"]["attributes"]["status"] == "interrupted"
        assert answer.json()["data"]["attributes"]["interrupted_at"]
        assert asker.change(export_id, _interrupt=True).status_code == 422
        answer = asker.change(export_id, _start=True)
        assert (answer.status_code, answer.json()["data"]["attributes"]["status"]) == (200, "pending")


def test_a_deleted_export_takes_its_links_and_files_along(outhaul: Outhaul, asker: Asker) -> None:
    data = finished(asker)
    link = data["attributes"]["attachment_url"]
    objects = Path(outhaul.store.root) / data["id"]
    assert list(objects.iterdir())
    assert asker.call("DELETE", f"/exports/{data['id']}").status_code == 204
    answer = asker.client.get(link)
    assert answer.status_code == 410
    assert "Create it again" in answer.text
    assert asker.call("GET", f"/exports/{data['id']}").status_code == 404
    assert asker.call("DELETE", f"/exports/{data['id']}").status_code == 404
    until(lambda: not objects.exists() or not list(objects.iterdir()), "its files are swept", 2)


def test_a_full_disk_refuses_new_exports_in_words(place: Path) -> None:
    full = of_shop(place, "full", min_free=10**18)
    with full.ledger, served(full) as client:
        full.ledger.migrate()
        asker = Asker(full, client)
        answer = asker.ask(resource_type="orders")
        assert answer.status_code == 503
        assert "1,000,000,000,000,000,000" in answer.json()["errors"][0]["detail"]
        assert asker.call("GET", "/exports").json()["meta"]["record_count"] == 0


def changed(place: Path, catalog: str) -> Outhaul:
    """The same ledger under another catalog file, as after a restart."""
    file = place / "changed.toml"
    file.write_text(catalog)
    return of_shop(place, catalog=file)


@pytest.mark.parametrize(
    ("catalog", "error"),
    [
        ('[resources.companies]\ntenant = "id"\n', "UnknownResource"),
        ("[resources.orders]\n", "NotAllowed"),
        ('[resources.orders]\ntenant = "id"\n', "SchemaChanged"),
        ('[resources.orders]\ntenant = "company_id"\nhide = ["note"]\n', "UnknownField"),
        ('[resources.orders]\ntenant = "company_id"\n[resources.orders.fixed]\nid_gt = 5\n', "SchemaChanged"),
    ],
    ids=["resource", "tenant", "rule", "field", "condition"],
)
def test_what_was_withdrawn_before_the_start_fails_at_the_start(
    catalog: str, error: str, outhaul: Outhaul, place: Path
) -> None:
    alpha = Caller("alpha", "alpha", "1")
    export = outhaul.exports.create(alpha, Draft((Selection("orders", fields=("id", "note")),)))
    with pytest.raises(Exception, match=r"\S") as refused:
        changed(place, catalog).exports.check(export.id)
    assert type(refused.value).__name__ == error
    changed(place, CATALOG + "[resources.companies.segments]\n").exports.check(export.id)


def test_an_export_whose_token_was_revoked_does_not_start(outhaul: Outhaul) -> None:
    _, kept = outhaul.access.make_token("x", all_tenants=True)
    export = outhaul.exports.create(Caller(kept.id, "x", None, all_tenants=True), ORDERS)
    outhaul.exports.check(export.id)
    outhaul.access.revoke(kept.id)
    with pytest.raises(NotAllowed, match="revoked"):
        outhaul.exports.check(export.id)


def test_a_caller_of_no_tenant_sees_nothing(outhaul: Outhaul) -> None:
    nobody = Caller("nobody", "nobody", None)
    export = outhaul.exports.create(US, ORDERS)
    with pytest.raises(NotAllowed):
        outhaul.exports.get(nobody, export.id)
    with pytest.raises(NotAllowed):
        outhaul.exports.list(nobody, limit=1)
    with pytest.raises(NotAllowed):
        outhaul.exports.create(nobody, ORDERS)
    done(outhaul, export)
    with pytest.raises(WrongState):
        outhaul.exports.interrupt(US, export.id)
    with pytest.raises(NotFound):
        outhaul.exports.get(US, "' OR 1=1 --")


def test_the_body_of_an_answer_does_not_wait_for_the_receipt_of_its_headers() -> None:
    with app._listen(config.load({"port": 0})) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
