"""A service that answers as a test wants it to, and a finished export that it tells of, made by hand."""

from __future__ import annotations

import hashlib
import json
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EXPORT = "AbCdEfGhIj"
NAME = "orders.csv"
ROWS = 20_000
DATA = b"id,note\n" + b"".join(b"%d,note %d\n" % (i, i * i) for i in range(ROWS))


@dataclass(frozen=True)
class Asked:
    """A request; names of headers in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer. An empty header is left out. `cut`: the connection ends after so many bytes of the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


def said(data: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(data).encode(), {"Content-Type": "application/vnd.api+json"} | headers)


@contextmanager
def answering(answer: Callable[[Asked], Reply]) -> Iterator[str]:
    """The address of the service."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = answer(Asked(self.command, self.path, headers, body))
            self.send_response(reply.status)
            length = {"Content-Length": str(len(reply.body))} if reply.status != 204 else {}
            for name, value in (length | dict(reply.headers)).items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body[: reply.cut])

        def log_message(self, *_: object) -> None:
            pass

    for method in ("POST", "PATCH", "DELETE"):
        setattr(Answer, f"do_{method}", Answer.do_GET)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def resource(**attributes: Any) -> dict[str, Any]:
    """An export as the contract shows it; `attributes` over those of one that is completed."""
    whole = {
        "resource_type": "orders",
        "format": "csv",
        "status": "completed",
        "includes": [],
        "fields": [],
        "filters": {},
        "dry_data": False,
        "jwt_filters": False,
        "started_at": "2026-01-31T12:00:00.000Z",
        "completed_at": "2026-01-31T12:00:09.500Z",
        "estimated_completion_at": None,
        "interrupted_at": None,
        "records_count": ROWS,
        "processed_count": ROWS,
        "progress": 100.0,
        "attachment_url": None,
        "errors_log": {},
        "created_at": "2026-01-31T11:59:59.000Z",
        "updated_at": "2026-01-31T12:00:09.500Z",
        "reference": None,
        "reference_origin": None,
        "metadata": {},
    }
    return {
        "id": EXPORT,
        "type": "exports",
        "links": {"self": f"https://x/api/exports/{EXPORT}"},
        "attributes": whole | attributes,
        "relationships": {},
        "meta": {"mode": "live", "organization_id": "", "trace_id": "t"},
    }


def manifest(data: bytes = DATA, **changed: Any) -> bytes:
    """The manifest of a CSV of one part, its own hash included."""
    crc, rows = f"{zlib.crc32(data):08x}", data.count(b"\n") - 1
    span = {"start": 0, "length": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    whole = {"by": "all", "low": None, "high": None, "leaf": None}
    part = {"part": 1, "selection": 0, "format": "csv", "range": whole, "attempt": 1}
    file = {"name": NAME, "selection": 0, "format": "csv", "media_type": "text/csv; charset=utf-8"}
    size = {"length": len(data), "raw_length": len(data), "rows": rows, "crc32": crc, "related": {}}
    told = {
        "manifest": 1,
        "export": EXPORT,
        "consistency": "snapshot",
        "request": {"profile": "machine", "delimiter": ","},
        "selections": [{"resource": "orders", "matched": {"": rows}, "fields": []}],
        "parts": [part | {"rows": rows, "related": {}}],
        "files": [
            file
            | size
            | {"segments": [span | {"part": 1, "rows": rows, "raw_length": len(data), "crc32": crc}]}
        ],
    } | changed
    text = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(
        told | {"sha256": hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()}
    ).encode()


@dataclass
class Finished:
    """The service of one finished export. `link`: answers its signed links, the whole file by ranges if not changed;
    `asked`: all that it was asked."""

    manifest: bytes = field(default_factory=manifest)
    data: bytes = DATA
    link: Callable[[Asked], Reply] | None = None
    asked: list[Asked] = field(default_factory=list)
    links: int = 0

    def __call__(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        if asked.path == f"/api/exports/{EXPORT}":
            self.links += 1
            address = f"http://{asked.headers['host']}/files/link{self.links}/{NAME}"
            return said({"data": resource(attachment_url=address)})
        if asked.path == f"/api/exports/{EXPORT}/manifest":
            return Reply(200, self.manifest)
        return self.link(asked) if self.link else self.ranged(asked)

    def ranged(self, asked: Asked, cut: int | None = None) -> Reply:
        """As RFC 9110 has it, of ranges without an end."""
        if "range" not in asked.headers:
            return Reply(200, self.data, cut=cut)
        start = int(asked.headers["range"].removeprefix("bytes=").removesuffix("-"))
        where = f"bytes {start}-{len(self.data) - 1}/{len(self.data)}"
        return Reply(206, self.data[start:], {"Content-Range": where}, cut)

    def fetched(self) -> list[Asked]:
        return [one for one in self.asked if one.path.startswith("/files/")]
