"""What strangers send: odd addresses, headers and bodies over a bare socket, each answered in the dialect's words."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from random import Random
from typing import Any

import httpx
import pytest

from outhaul.errors import NotFound
from tests.served import MEDIA_TYPE, US, Asker, of_shop, served, shop
from tests.served import ORDERS as DRAFT

JSON_API = f"Content-Type: {MEDIA_TYPE}\r\n"
ORDERS = json.dumps({"data": {"type": "exports", "attributes": {"resource_type": "orders"}}}).encode()
CLIENT = '{"grant_type": "client_credentials", "client_id": "%s", "client_secret": "%s"}'


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def asker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    """Somebody who asks a service that never runs anything, over each kind of ledger."""
    flags = {}
    if request.param == "postgresql":
        flags["ledger"] = request.getfixturevalue("postgres_module_url")
    outhaul = of_shop(shop(tmp_path_factory.mktemp("strangers")), **flags)
    with outhaul.ledger, served(outhaul) as client:
        outhaul.ledger.migrate()
        yield Asker(outhaul, client)


class Answer:
    """What came back over a socket."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = httpx.Headers(
            [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        )

    @property
    def codes(self) -> list[str]:
        return [error["code"] for error in json.loads(self.body)["errors"]]


def send(asker: Asker, *pieces: bytes) -> Answer:
    """Bytes as they are, and the first answer to them."""
    url = asker.client.base_url
    got = b""
    with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
        for piece in pieces:
            connection.sendall(piece)
        while not _whole(got):
            more = connection.recv(65_536)
            if not more:
                break
            got += more
    return Answer(got)


def _whole(got: bytes) -> bool:
    head, end, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(end) and (not length or len(body) >= int(length[1]))


def head(asker: Asker, method: str, target: str, headers: str = "") -> bytes:
    """The beginning of a request by somebody with a token."""
    lines = f"{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {asker.token}\r\n{headers}\r\n"
    return lines.encode("latin-1")


def post(asker: Asker, body: bytes, target: str = "/api/exports", headers: str = JSON_API) -> Answer:
    return send(asker, head(asker, "POST", target, f"{headers}Content-Length: {len(body)}\r\n"), body)


ADDRESSES = {
    "nul in an export's": "/api/exports/a%00b",
    "nul in a webhook's": "/api/webhooks/a%00b",
    "nul in an event's": "/api/events/1%00",
    "nul at the end": "/api/exports%00",
    "no utf-8": "/api/webhooks/%ff%fe",
    "half a character": "/api/webhooks/%ED%A0%80",
    "a slash inside": "/api/exports/a%2Fb",
    "up and down": "/api/exports/..%2F..%2Fetc",
    "two slashes": "/api//exports",
    "other case": "/api/Exports",
    "very long": "/api/webhooks/" + "a" * 30_000,
    "very large number": "/api/events/" + "9" * 30,
    "foreign digits": "/api/events/%D9%A1",
    "a fragment": "/api/exports#x",
    "nothing below": "/api",
    "nothing below a slash": "/api/",
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_odd_address_leads_nowhere(asker: Asker, name: str) -> None:
    answer = send(asker, head(asker, "GET", ADDRESSES[name]))
    assert (answer.status, answer.codes) == (404, ["RECORD_NOT_FOUND"])
    assert answer.headers["content-type"] == MEDIA_TYPE


@pytest.mark.parametrize("target", ["/oauth", "/oauth/", "/oauth/token/", "/oauth/token%00", "/oauth//token"])
def test_an_odd_address_of_the_token_endpoint_leads_nowhere(asker: Asker, target: str) -> None:
    answer = send(asker, head(asker, "POST", target, "Content-Length: 0\r\n"))
    assert (answer.status, answer.codes) == (404, ["NOT_FOUND"])
    assert answer.headers["content-type"] == "application/json"


BODIES: dict[str, tuple[bytes, int, str]] = {
    "a name twice": (ORDERS[:-1] + b', "data": {}}', 400, "BAD_REQUEST"),
    "a name twice, deep": (
        ORDERS.replace(b'"orders"', b'"a", "resource_type": "orders"'),
        400,
        "BAD_REQUEST",
    ),
    "very many names, one twice": (
        b"{" + b",".join(b'"%d":1' % n for n in range(80_000)) + b',"79999":1}',
        400,
        "BAD_REQUEST",
    ),
    "relationships as list": (ORDERS[:-2] + b', "relationships": []}}', 400, "BAD_REQUEST"),
    "relationships as null": (ORDERS[:-2] + b', "relationships": null}}', 400, "BAD_REQUEST"),
    "nothing but depth": (b"[" * 400_000, 400, "BAD_REQUEST"),
    "a number without end": (ORDERS.replace(b'"orders"', b"9" * 5_000), 400, "BAD_REQUEST"),
    "not utf-8": ('{"data": "é"}'.encode("latin-1"), 400, "BAD_REQUEST"),
    "squeezed": (b"\x1f\x8b\x08\x00", 400, "BAD_REQUEST"),
    "too large": (b'"' + b"x" * 1_500_000 + b'"', 413, "PAYLOAD_TOO_LARGE"),
}


@pytest.mark.parametrize("name", BODIES)
def test_an_odd_body_is_refused_in_words(asker: Asker, name: str) -> None:
    body, status, code = BODIES[name]
    answer = post(asker, body)
    assert (answer.status, answer.codes) == (status, [code])


def test_a_body_that_would_be_too_large_is_refused_before_it_comes(asker: Asker) -> None:
    answer = send(asker, head(asker, "POST", "/api/exports", f"{JSON_API}Content-Length: 99999999999\r\n"))
    assert (answer.status, answer.codes) == (413, ["PAYLOAD_TOO_LARGE"])


def test_a_body_in_chunks_is_read_and_no_further_than_the_limit(asker: Asker) -> None:
    begin = head(asker, "POST", "/api/exports", f"{JSON_API}Transfer-Encoding: chunked\r\n")
    chunks = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in ORDERS)
    assert send(asker, begin, chunks, b"0\r\n\r\n").status == 201
    large = [b"10000\r\n" + b"x" * 65_536 + b"\r\n"] * 17
    assert send(asker, begin, *large).codes == ["PAYLOAD_TOO_LARGE"]


def test_a_header_without_end_is_not_kept_in_memory(asker: Asker) -> None:
    endless = head(asker, "GET", "/api/exports")[:-2] + b"X-Long: " + b"a" * 1_000_000
    assert send(asker, endless).status == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (f"Accept: text/html\r\nAccept: {MEDIA_TYPE}\r\n", 200),
        ("Accept: \r\n", 200),
        ("Accept: ,\r\n", 200),
        ("Accept: text/html\r\nAccept: image/png\r\n", 406),
        ("Accept: \xff\r\n", 406),
        ("".join(f"X-{n}: y\r\n" for n in range(1_000)), 200),
        ("User-Agent: " + "\xff" * 20_000 + "\r\n", 200),
    ],
)
def test_headers_are_read_as_http_means_them(asker: Asker, headers: str, status: int) -> None:
    assert send(asker, head(asker, "GET", "/api/exports", headers)).status == status


def test_no_file_is_looked_for_under_what_no_name_can_be(asker: Asker) -> None:
    exports = asker.outhaul.exports
    with pytest.raises(NotFound):
        exports._file(exports.create(US, DRAFT), "a\0b")


@pytest.mark.parametrize("name", ["reference", "reference_origin"])
def test_a_long_reference_is_refused_before_an_index_has_to(asker: Asker, name: str) -> None:
    both = ("reference", "reference_origin")
    for characters in ("abcdefghijklmnopqrstuvwxyz0123456789", [chr(code) for code in range(0x4E00, 0x9000)]):
        # Drawn by lot, for an index packs what repeats itself.
        size = len(characters[0].encode())
        text = {one: "".join(Random(one).choices(characters, k=1_000 // size)) for one in both}
        assert asker.ask(resource_type="orders", **text).status_code == 201
        answer = asker.ask(resource_type="orders", **text | {name: text[name] + characters[0]})
        (error,) = answer.json()["errors"]
        detail = f"{name} - is too long (maximum is 1,000 bytes)"
        assert (answer.status_code, error["detail"]) == (422, detail)
        value = 1_000 // size * size + size
        assert error["meta"] == {"error": "too_long", "value": value, "count": 1_000}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", "grant_type=client_credentials&client_id=a&client_id=b"),
        ("application/json", '{"grant_type": "client_credentials", "client_id": "a", "client_id": "b"}'),
        (
            "application/json",
            '{"grant_type": "client_credentials", "scope": "store:id:a", "scope": "market:all"}',
        ),
    ],
)
def test_nothing_stands_twice_where_a_token_is_asked_for(asker: Asker, kind: str, body: str) -> None:
    answer = asker.client.post("/oauth/token", content=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["errors"][0]["title"]) == (400, "invalid_request")


@pytest.mark.parametrize("wrong", ["a\\u0000b", "\\ud800"])
@pytest.mark.parametrize("call", ["token", "revoke"])
def test_what_is_no_text_is_no_secret(asker: Asker, call: str, wrong: str) -> None:
    known: Any = asker.outhaul.access.make_client("x", all_tenants=True)[1].id
    for body in (CLIENT % (wrong, "a"), CLIENT % (known, wrong)):
        given = json.loads(body) | ({"token": wrong} if call == "revoke" else {})
        answer = post(
            asker, json.dumps(given).encode(), f"/oauth/{call}", "Content-Type: application/json\r\n"
        )
        assert answer.status in {400, 401, 403}, answer.body
