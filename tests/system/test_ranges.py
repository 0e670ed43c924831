"""A download can be cut, resumed, checked and repeated, and nobody needs a token for a link or gets in without one."""

from __future__ import annotations

import gzip
import hashlib
import random
import socket
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.system import _oracle, _outhaul
from tests.system._outhaul import MEDIA_TYPE, Asker, Service, until
from tests.system._shop import Shop

SHOP = Shop(customers=300, orders=3000, lines=5, note=60)
PARTS = 40_000  # bytes of a part: the file is glued of many


@pytest.fixture(scope="module")
def service(filled: Callable[[str, Shop], str], room: Path) -> Iterator[Service]:
    with _outhaul.serving(filled("sqlite", SHOP), room / "service", part_bytes=PARTS) as running:
        yield running


@pytest.fixture(scope="module")
def asker(service: Service) -> Asker:
    return service.asker()


@pytest.fixture(scope="module")
def export_id(asker: Asker) -> str:
    found = asker.create("orders", includes=["customer", "line_items.sku"])
    asker.finish(found)
    return found


@pytest.fixture
def link(asker: Asker, export_id: str) -> str:
    return asker.link(export_id)


@pytest.fixture(scope="module")
def whole(asker: Asker, export_id: str) -> bytes:
    return asker.file(export_id)


def ask(service: Service, link: str, asked: str, **headers: str) -> httpx.Response:
    return service.fetch(link, headers={"Range": f"bytes={asked}", "Accept-Encoding": "identity", **headers})


def test_three_hundred_ranges_are_pieces_of_the_whole(service: Service, link: str, whole: bytes) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    size = len(whole)
    ranges = [
        (0, 0),
        (0, size - 1),
        (size - 1, size - 1),
        (0, 9),
        (0, 10),
        (1, 1),
        (size - 9, size - 1),
        (size - 8, size + 99),
    ]
    while len(ranges) < 250:
        start = chance.randrange(size)
        ranges.append((start, min(size - 1, start + chance.choice([0, 1, 7, 500, PARTS, size]))))
    for start, end in ranges:
        answer = ask(service, link, f"{start}-{end}")
        assert answer.status_code == 206
        assert answer.content == whole[start : end + 1], (start, end)
        assert answer.headers["Content-Range"] == f"bytes {start}-{min(end, size - 1)}/{size}"
        assert int(answer.headers["Content-Length"]) == len(answer.content)
    for length in [1, 2, 8, 9, 100, size - 1, size, size + 5] + [
        chance.randrange(1, size) for _ in range(22)
    ]:
        assert ask(service, link, f"-{length}").content == whole[-length:], length
    for start in [0, 1, size - 1] + [chance.randrange(size) for _ in range(17)]:
        assert ask(service, link, f"{start}-").content == whole[start:], start


def test_neighbouring_ranges_join_to_the_whole(service: Service, link: str, whole: bytes) -> None:
    step = len(whole) // 37 + 1
    joined = b"".join(
        ask(service, link, f"{at}-{at + step - 1}").content for at in range(0, len(whole), step)
    )
    assert joined == whole


def test_a_range_outside_is_416_with_the_length(service: Service, link: str, whole: bytes) -> None:
    for asked in (f"{len(whole)}-", f"{len(whole) + 10}-{len(whole) + 20}", "-0"):
        answer = ask(service, link, asked)
        assert answer.status_code == 416, asked
        assert answer.headers["Content-Range"] == f"bytes */{len(whole)}"


@pytest.mark.parametrize("asked", ["5-2", "a-b", "", "-", "1-2-3", "0x10-", "１-２"])
def test_a_range_that_makes_no_sense_is_ignored_or_refused(
    service: Service, link: str, whole: bytes, asked: str
) -> None:
    answer = service.fetch(link, headers={"Range": f"bytes={asked}".encode()})
    assert answer.status_code in {200, 400, 416}
    assert answer.status_code != 200 or answer.content == whole


def test_an_unknown_unit_and_several_ranges_give_the_whole_or_are_right(
    service: Service, link: str, whole: bytes
) -> None:
    answer = service.fetch(link, headers={"Range": "pages=1-2"})
    assert (answer.status_code, answer.content) == (200, whole)
    answer = ask(service, link, "0-9,20-29")
    assert answer.status_code in {200, 206, 416}
    if answer.status_code == 200:
        assert answer.content == whole
    if answer.status_code == 206:
        assert whole[:10] in answer.content
        assert whole[20:30] in answer.content


def test_head_tells_all_and_sends_nothing(service: Service, link: str, whole: bytes) -> None:
    head = service.fetch(link, "HEAD")
    got = service.fetch(link)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(whole)
    for name in ("ETag", "Accept-Ranges", "Content-Type", "Content-Disposition", "Cache-Control"):
        assert head.headers[name] == got.headers[name]
    assert head.headers["Accept-Ranges"] == "bytes"
    assert head.headers["ETag"].startswith('"')
    cache = {word.strip() for word in head.headers["Cache-Control"].split(",")}
    assert {"private", "no-store", "no-transform"} <= cache
    assert "filename*=" in head.headers["Content-Disposition"]
    assert "Content-Encoding" not in head.headers


def test_an_etag_answers_whether_anything_changed(service: Service, link: str, whole: bytes) -> None:
    etag = service.fetch(link, "HEAD").headers["ETag"]
    for value in (etag, f'"other", {etag}', "*"):
        same = service.fetch(link, headers={"If-None-Match": value})
        assert (same.status_code, same.content) == (304, b""), value
        assert same.headers["ETag"] == etag
    assert service.fetch(link, headers={"If-None-Match": '"other"'}).status_code == 200
    assert ask(service, link, "5-14", **{"If-Range": etag}).content == whole[5:15]
    stale = ask(service, link, "5-14", **{"If-Range": '"other"'})
    assert (stale.status_code, stale.content) == (200, whole)


def test_etag_and_bytes_are_the_same_after_a_restart(
    service: Service, asker: Asker, export_id: str, link: str, whole: bytes
) -> None:
    before = service.fetch(link, "HEAD").headers["ETag"]
    service.restart()
    answer = service.fetch(link)
    assert answer.headers["ETag"] == before, "an old link dies with a restart"
    assert answer.content == whole
    fresh = service.fetch(asker.link(export_id))
    assert (fresh.headers["ETag"], fresh.content) == (before, whole)


DECOMPRESS = """
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const file = Buffer.concat(chunks);
const stream = new Blob([file]).stream().pipeThrough(new DecompressionStream('gzip'));
process.stdout.write(Buffer.from(await new Response(stream).arrayBuffer()));
"""


def test_every_reader_of_gzip_accepts_it_as_one_member(whole: bytes, tmp_path: Path) -> None:
    text = gzip.decompress(whole)
    assert len(_oracle.rows("json", text)) == SHOP.orders
    single = zlib.decompressobj(wbits=31)
    assert single.decompress(whole) == text
    assert single.eof
    assert single.unused_data == b"", "there is more than one member"
    target = tmp_path / "file.gz"
    target.write_bytes(whole)
    subprocess.run(["gzip", "-t", target], check=True)
    assert subprocess.run(["gzip", "-dc", target], check=True, capture_output=True).stdout == text
    one_shot = "process.stdout.write(require('zlib').gunzipSync(require('fs').readFileSync(0)))"
    assert (
        subprocess.run(["node", "-e", one_shot], input=whole, check=True, capture_output=True).stdout == text
    )
    streamed = ["node", "--input-type=module", "-e", DECOMPRESS]
    assert subprocess.run(streamed, input=whole, check=True, capture_output=True).stdout == text


def test_every_format_gunzips_to_the_right_rows(form: str, asker: Asker) -> None:
    data = asker.file(asker.create("orders", form, includes=["line_items"]))
    if form not in _oracle.TYPED:  # those compress inside
        data = subprocess.run(["gzip", "-dc"], input=data, check=True, capture_output=True).stdout
    assert len(_oracle.rows(form, data)) == SHOP.orders


def _read_some(service: Service, link: str, start: int, length: int) -> bytes:
    """Ask for the rest of a file, read slowly and hang up in the middle."""
    address = urlsplit(link)
    with socket.create_connection(("127.0.0.1", service.port), 10) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        target = f"{address.path}?{address.query}" if address.query else address.path
        line.sendall(
            f"GET {target} HTTP/1.1\r\nHost: {address.netloc}\r\nRange: bytes={start}-\r\n\r\n".encode()
        )
        received = b""
        while b"\r\n\r\n" not in received:
            received += line.recv(1024)
        head, body = received.split(b"\r\n\r\n", 1)
        assert b" 206 " in head.split(b"\r\n")[0]
        while len(body) < length:
            more = line.recv(1024)
            if not more:
                break
            body += more
    return body[:length]


def test_a_slow_reader_cut_twenty_times_ends_with_the_right_hash(
    service: Service, link: str, whole: bytes
) -> None:
    step = len(whole) // 21 + 1
    received = b""
    cuts = 0
    while len(received) < len(whole):
        received += _read_some(service, link, len(received), step)
        cuts += 1
    assert cuts >= 20
    assert hashlib.sha256(received).digest() == hashlib.sha256(whole).digest()


def test_links_need_no_token_and_everything_else_does(
    service: Service, asker: Asker, export_id: str, link: str
) -> None:
    assert service.fetch(link).status_code == 200
    for method, path in (
        ("GET", "/api/exports"),
        ("GET", f"/api/exports/{export_id}"),
        ("POST", "/api/exports"),
        ("PATCH", f"/api/exports/{export_id}"),
        ("DELETE", f"/api/exports/{export_id}"),
        ("GET", "/api/exports/XAyRWNUzyN"),
    ):
        for header in (
            None,
            "Bearer wrong",
            f"Basic {asker.token}",
            asker.token,
            "Bearer",
            f"Bearer {asker.token}x",
        ):
            headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE} | (
                {"Authorization": header} if header else {}
            )
            answer = service.http(method, path, headers=headers, content=b"{}")
            assert answer.status_code == 401, (method, path, header)
            assert answer.json()["errors"][0]["code"] == "INVALID_TOKEN"
            assert answer.json()["errors"][0]["status"] == "401"
    assert asker.get(export_id)["status"] == "completed"


def test_a_link_with_a_changed_letter_opens_nothing(service: Service, link: str, whole: bytes) -> None:
    chance = random.Random(3)
    head = len(service.url) + 1
    for _ in range(40):
        at = chance.randrange(head, len(link))
        letter = "a" if link[at] != "a" else "b"
        answer = service.fetch(link[:at] + letter + link[at + 1 :])
        assert answer.status_code in {400, 401, 403, 404, 410} or (
            at > link.rfind("/") and answer.content == whole
        )
        assert answer.status_code != 500


def test_links_do_not_leave_the_store(service: Service, link: str) -> None:
    base = link.rsplit("/", 1)[0]
    for hostile in (
        "../../state/ledger.db",
        "..%2f..%2fledger.db",
        "%00",
        "....//",
        "/etc/passwd",
        "%2e%2e/%2e%2e/ledger.db",
    ):
        answer = service.fetch(f"{base}/{hostile}")
        assert answer.status_code in {400, 401, 403, 404, 410}, hostile
        assert b"SQLite" not in answer.content


def test_a_deleted_export_takes_its_link_along_within_a_second(service: Service, asker: Asker) -> None:
    export_id = asker.create("skus")
    link = asker.link(export_id)
    assert service.fetch(link).status_code == 200
    assert asker.call("DELETE", f"/exports/{export_id}").status_code == 204
    until(lambda: service.fetch(link).status_code in {404, 410}, "the link is dead", 1)
    assert asker.call("GET", f"/exports/{export_id}").status_code == 404
    assert "xport" in service.fetch(link).text


def test_each_look_gives_a_working_link_of_its_own(
    asker: Asker, service: Service, export_id: str, whole: bytes
) -> None:
    links = {asker.link(export_id) for _ in range(3)}
    assert all(service.fetch(link).content == whole for link in links)


def test_an_expired_link_says_so_and_a_transfer_in_progress_ends_well(
    filled: Callable[[str, Shop], str], room: Path
) -> None:
    with _outhaul.serving(
        filled("sqlite", Shop(note=100_000)), room / "short", link_lifetime="3s"
    ) as service:
        asker = service.asker()
        export_id = asker.create("orders", fields=["id", "note"])
        asker.finish(export_id)
        link = asker.link(export_id)
        address = urlsplit(link)
        with socket.create_connection(("127.0.0.1", service.port), 30) as line:
            target = f"{address.path}?{address.query}" if address.query else address.path
            line.sendall(
                f"GET {target} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n".encode()
            )
            first = line.recv(1000)
            assert b" 200 " in first[:20]
            until(lambda: service.fetch(link, "HEAD").status_code in {404, 410}, "the link expires", 20)
            dead = service.fetch(link)
            assert dead.status_code in {404, 410}
            assert len(dead.text) > 40, "it does not say what to do"
            rest = [first]
            while more := line.recv(65536):
                rest.append(more)
        head, body = b"".join(rest).split(b"\r\n\r\n", 1)
        assert f"content-length: {len(body)}".encode() in head.lower()
        assert body == asker.file(export_id)
