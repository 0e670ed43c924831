"""The audit log: every request and every download is a line, and what is written is never changed."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from outhaul.app import Outhaul
from outhaul.audit import Audit
from tests.served import Asker, finished, of_shop, served, shop


def lines(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()
    ]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Outhaul, httpx.Client]]:
    with (
        of_shop(shop(tmp_path_factory.mktemp("audit")), proxies=["127.0.0.1"]) as outhaul,
        served(outhaul) as http,
    ):
        yield outhaul, http


def told(outhaul: Outhaul) -> dict[str, Any]:
    """The last line."""
    return lines(outhaul.settings.audit_folder)[-1]


def test_every_request_is_a_line_with_who_what_and_the_answer(house: tuple[Outhaul, httpx.Client]) -> None:
    outhaul, http = house
    asker = Asker(outhaul, http, tenant="1")
    asker.call("GET", "/exports?filter[q][reference_eq]=private", headers={"User-Agent": "test/1"})
    line = told(outhaul)
    assert set(line) == {
        *("at", "trace", "client", "method", "path", "agent", "status", "caller", "tenant"),
    }
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/exports", 200)
    assert (line["caller"], line["tenant"]) == (asker.kept.id, "1")
    assert (line["agent"], line["client"]) == ("test/1", "127.0.0.1")
    assert len(line["trace"]) == 64


def test_refused_requests_are_lines_too(house: tuple[Outhaul, httpx.Client]) -> None:
    outhaul, http = house
    for method, path, status in (
        ("GET", "/api/exports", 401),
        ("GET", "/nowhere", 404),
        ("POST", "/oauth/token", 400),
        ("GET", "/files/forged/orders.json", 404),
        ("BREW", "/api/exports", 401),
    ):
        answer = http.request(method, path)
        line = told(outhaul)
        assert line["status"] == answer.status_code
        assert line["method"] == method
        assert (line["caller"], line["tenant"]) == (None, None)
        if method != "BREW":
            assert answer.status_code == status


def test_a_download_is_a_line_with_the_export_and_whose_link_it_is(
    house: tuple[Outhaul, httpx.Client],
) -> None:
    outhaul, http = house
    asker = Asker(outhaul, http, tenant="1")
    export = finished(asker)
    link = export["attributes"]["attachment_url"]
    assert http.get(link, headers={"Range": "bytes=0-9"}).status_code == 206
    line = told(outhaul)
    assert (line["export"], line["caller"], line["tenant"]) == (export["id"], asker.kept.id, "1")
    assert (line["status"], line["range"]) == (206, "bytes=0-9")
    assert line["path"].startswith("/files/***/orders")
    created = [one for one in lines(outhaul.settings.audit_folder) if one["method"] == "POST"][-1]
    assert (created["status"], created["export"]) == (201, export["id"])


def test_no_token_link_or_query_stands_in_the_log(house: tuple[Outhaul, httpx.Client]) -> None:
    outhaul, http = house
    asker = Asker(outhaul, http, tenant="1")
    link = finished(asker, reference="of a customer")["attributes"]["attachment_url"]
    http.get(link)
    asker.call("GET", "/exports?filter[q][reference_eq]=customer")
    text = "".join(path.read_text() for path in outhaul.settings.audit_folder.iterdir())
    assert asker.token not in text
    assert link.split("/")[-2] not in text
    assert "customer" not in text


def test_what_was_written_is_never_changed(house: tuple[Outhaul, httpx.Client]) -> None:
    outhaul, http = house
    (path,) = outhaul.settings.audit_folder.iterdir()
    http.get("/api/exports")
    before = path.read_bytes()
    for _ in range(5):
        http.get("/api/exports")
    after = path.read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == before.count(b"\n") + 5
    assert path.stat().st_mode & 0o777 == 0o600
    flags = os.O_APPEND | os.O_WRONLY
    own = Path(f"/proc/self/fdinfo/{outhaul.audit._file}")
    if own.exists():
        said = int(own.read_text().split("flags:")[1].split()[0], 8)
        assert said & flags == flags  # the kernel itself puts every write at the end


def test_behind_a_proxy_the_client_is_whom_the_proxy_names(house: tuple[Outhaul, httpx.Client]) -> None:
    outhaul, http = house
    for header, client in (
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7, 127.0.0.1", "203.0.113.7"),  # the first is the caller's own word
        ("2001:db8::1", "2001:db8::1"),
        ("nonsense", "127.0.0.1"),
        ("9.9.9.9, 203.0.113.7:5678", "203.0.113.7"),  # some proxies tell the port, too
        ("9.9.9.9, [2001:db8::1]:44", "2001:db8::1"),
        ("9.9.9.9, [2001:db8::1]", "2001:db8::1"),
        ("9.9.9.9, unknown", "127.0.0.1"),
        ("9.9.9.9, unknown, 203.0.113.7", "203.0.113.7"),
        ("", "127.0.0.1"),
    ):
        http.get("/api/exports", headers={"X-Forwarded-For": header})
        assert told(outhaul)["client"] == client


def _write(folder: str) -> None:
    audit = Audit(Path(folder))
    for n in range(500):
        audit.write({"who": os.getpid(), "n": n, "text": "x\n" * 300})


def test_two_processes_write_whole_lines_each_in_its_order(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_write, [str(tmp_path)] * 2, chunksize=1)
    found = lines(tmp_path)
    assert len(found) == 1_000
    for who in {one["who"] for one in found}:
        written = [one["n"] for one in found if one["who"] == who]
        assert written == sorted(written)


def test_after_its_file_was_moved_away_a_new_one_is_begun(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit")
    audit.write({"n": 1})
    (path,) = (tmp_path / "audit").iterdir()
    path.rename(tmp_path / "old")
    audit.write({"n": 2})
    audit.close()
    assert [one["n"] for one in lines(tmp_path / "audit")] == [2]


def test_a_line_that_cannot_be_written_goes_to_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "audit").write_text("no folder")
    Audit(tmp_path / "audit").write({"who": "somebody"})
    assert '"who": "somebody"' in caplog.text
