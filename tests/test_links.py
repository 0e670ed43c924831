"""Links to the files of a service: what they give, when they end, and the addresses they begin with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest

from outhaul import cli, config
from outhaul.address import Address
from outhaul.app import Outhaul
from outhaul.errors import Gone
from tests.served import ORDERS, US, Asker, done, finished, of_shop, served, shop, until


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


def test_a_link_ends_with_its_time_its_token_and_its_export(outhaul: Outhaul, client: httpx.Client) -> None:
    asker = Asker(outhaul, client)
    data = finished(asker)
    link = data["attributes"]["attachment_url"]
    assert client.head(link).status_code == 200
    token, name = link.split("/")[-2:]
    for wrong in (
        f"{token}x/{name}",
        f"x{token}/{name}",
        f"{token}/other.json.gz",
        f"{token}/..%2fledger.db",
    ):
        answer = client.get(f"/files/{wrong}")
        assert answer.status_code == 404, wrong
    assert client.get(f"/files/{name}").status_code == 401, (
        "without a token it is the id of a file of Rebilly's"
    )
    outhaul.access.revoke(asker.kept.id)
    answer = client.get(link)
    assert (answer.status_code, "revoked" in answer.text) == (410, True)


def test_an_expired_link_says_what_to_do(outhaul: Outhaul, monkeypatch: pytest.MonkeyPatch) -> None:
    export = done(outhaul, outhaul.exports.create(US, ORDERS))
    token, name = outhaul.exports.links(US, export).artifacts[0].split("/")[-2:]
    later = time.time() + 301
    monkeypatch.setattr("outhaul.service.datetime", _Later(later))
    with pytest.raises(Gone, match="Ask the export for a new one"):
        outhaul.exports.open(token, name)


class _Later:
    """A clock that shows another time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now(self, zone: tzinfo) -> datetime:
        return datetime.fromtimestamp(self.seconds, zone)


def test_expired_files_are_said_to_be_gone(place: Path) -> None:
    with of_shop(place, "short", retention="1s") as short, served(short) as client:
        asker = Asker(short, client)
        data = finished(asker)
        path = f"/exports/{data['id']}"
        until(
            lambda: asker.call("GET", path).json()["data"]["attributes"]["attachment_url"] is None,
            "it expires",
        )
        attributes = asker.call("GET", path).json()["data"]["attributes"]
        assert (attributes["status"], list(attributes["errors_log"])) == ("completed", ["Gone"])
        assert client.get(data["attributes"]["attachment_url"]).status_code == 410
        assert asker.call("GET", f"{path}/manifest").status_code == 404


def test_ranges_are_pieces_of_the_whole(asker: Asker) -> None:
    link = finished(asker)["attributes"]["attachment_url"]
    client = asker.client
    whole = client.get(link)
    etag, size = whole.headers["etag"], len(whole.content)
    for asked, expected in (
        ("0-0", whole.content[:1]),
        ("5-", whole.content[5:]),
        ("-7", whole.content[-7:]),
    ):
        answer = client.get(link, headers={"Range": f"bytes={asked}"})
        assert (answer.status_code, answer.content) == (206, expected)
    assert client.get(link, headers={"If-None-Match": etag}).status_code == 304
    assert client.get(link, headers={"Range": "bytes=0-0", "If-Range": '"x"'}).status_code == 200
    beyond = client.get(link, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    head = client.head(link)
    assert (head.headers["content-length"], head.content) == (str(size), b"")


def test_a_file_that_vanished_from_the_store_is_no_empty_success(outhaul: Outhaul, asker: Asker) -> None:
    data = finished(asker)
    for path in (Path(outhaul.store.root) / data["id"]).iterdir():
        if not path.name.startswith("manifest"):
            path.unlink()
    answer = asker.client.get(data["attributes"]["attachment_url"])
    assert (answer.status_code, str(outhaul.store.root) in answer.text) == (503, False)


PROXY, STRANGER = ("10.0.0.1", 1), ("192.0.2.1", 1)


@pytest.mark.parametrize(
    ("client", "headers", "public_url", "base"),
    [
        (PROXY, {"host": "evil"}, None, "http://evil"),
        (STRANGER, {"host": "evil"}, None, "http://own:1"),
        (
            STRANGER,
            {"host": "evil", "x-forwarded-host": "evil", "x-forwarded-proto": "https"},
            None,
            "http://own:1",
        ),
        (PROXY, {"host": "a", "x-forwarded-host": "b", "x-forwarded-proto": "https"}, None, "https://b"),
        (PROXY, {"host": "a", "x-forwarded-host": "b:8443, c"}, None, "http://b:8443"),
        (PROXY, {"host": "a", "x-forwarded-host": "b/c?d"}, None, "http://own:1"),
        (PROXY, {"host": "a", "x-forwarded-proto": "javascript"}, None, "http://own:1"),
        (PROXY, {"host": "a", "x-forwarded-host": "b"}, "https://x.example/y", "https://x.example/y"),
        (STRANGER, {"host": "evil"}, "https://x.example/y", "https://x.example/y"),
        (None, {"host": "evil"}, None, "http://own:1"),
    ],
)
def test_only_configured_proxies_say_where_we_are(
    client: Any, headers: dict[str, str], public_url: str | None, base: str
) -> None:
    address = Address(_nothing, "http://own:1", public_url, (ip_network("10.0.0.0/8"),), ("/api",))
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert address.base({"type": "http", "scheme": "http", "headers": pairs, "client": client}) == base


async def _nothing(*_: Any) -> None:
    pass


def test_a_public_url_with_a_path_builds_every_link_and_is_taken_off_requests(place: Path) -> None:
    settings = config.load({"public_url": "https://x.example/exports/"})
    assert settings.public_url == "https://x.example/exports"
    public = {"public_url": "https://x.example/exports/", "link_lifetime": timedelta(minutes=1)}
    there = of_shop(place, "public", **public)
    with there, served(there) as client:
        asker = Asker(there, client)
        data = finished(asker)
        assert data["links"]["self"] == f"https://x.example/exports/api/exports/{data['id']}"
        link = data["attributes"]["attachment_url"]
        assert link.startswith("https://x.example/exports/files/")
        path = link.removeprefix("https://x.example")
        assert client.get(path).status_code == 200
        assert client.get(path.removeprefix("/exports")).status_code == 200
        prefixed = asker.client.get(
            "/exports/api/exports", headers={"Authorization": f"Bearer {asker.token}"}
        )
        assert prefixed.json()["links"]["first"].startswith("https://x.example/exports/api/exports?")


def test_the_command_verifies_an_export_by_its_signed_link(
    outhaul: Outhaul, asker: Asker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    data = finished(asker, format="csv")
    link = data["links"]["manifest"]
    assert cli.run(["verify", link, "--deep"]) == 0
    objects = (Path(outhaul.store.root) / data["id"]).iterdir()
    (damaged,) = [path for path in objects if not path.name.startswith("manifest")]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert cli.run(["verify", link]) == 1
    assert "orders.csv.gz" in capsys.readouterr().out
    asker.call("DELETE", f"/exports/{data['id']}")
    assert cli.run(["verify", link]) == 4
    assert "410" in capsys.readouterr().err
