"""The line to one service: requests with its token, sent again where nothing can have come of them."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import httpx

from outhaul.client import wire
from outhaul.client.patience import Patience
from outhaul.errors import Misconfigured, ServiceAway, ServiceBusy

MEDIA_TYPE = "application/vnd.api+json"
LARGEST = 256 << 20  # bytes of one document: a manifest of a hundred thousand parts
CONNECTING = 10.0  # seconds
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# What is on this machine is not asked through a proxy, whatever the environment says.
HERE = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}


class Line:
    """One service, at its address, for one token. `patience`: seconds in which a service that has answered before may
    be away; `timeout`: seconds for which nothing may come from it."""

    def __init__(self, server: str, token: str, *, patience: float, timeout: float) -> None:
        self.address = _address(server)
        self.patience = patience
        self._token = _sendable(token)
        self._met = False
        self._http = httpx.Client(
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECTING)),
            verify=_trusted(),
            mounts=HERE,
            headers={"User-Agent": f"outhaul/{version('outhaul')}"},
        )

    def close(self) -> None:
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str = "",
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of a good answer from below /api. `key`: by which the service knows a request that comes again."""
        patience, repeatable = Patience(self.patience), method == "GET" or bool(key)
        headers = {"Authorization": f"Bearer {self._token}", "Accept": MEDIA_TYPE}
        headers |= {"Idempotency-Key": key} if key else {}
        headers |= {"Content-Type": MEDIA_TYPE} if body is not None else {}
        content = json.dumps(body) if body is not None else None
        request = self._http.build_request(
            method, f"{self.address}/api{path}", params=query, headers=headers, content=content
        )
        while True:
            try:
                found = self._answer(request, repeatable=repeatable)
            except ServiceAway as away:
                busy = isinstance(away, ServiceBusy)
                sure = repeatable or busy or away.facts.get("unsent", False)
                if not sure or not (busy or self._met):
                    raise
                patience.wait(away)
            else:
                self._met = True
                return found

    def _answer(self, request: httpx.Request, *, repeatable: bool) -> bytes:
        try:
            with closing(self._http.send(request, stream=True)) as answer:
                raw = _body(answer)
        except httpx.RequestError as error:
            raise _away(error, self.address, known=repeatable) from None
        if not answer.is_success:
            raise wire.refusal(answer.status_code, raw, answer.headers)
        return raw

    @contextmanager
    def open(self, link: str, start: int) -> Iterator[httpx.Response]:
        """The answer to a signed link, whose body is still to come, from byte `start` on. It is opened without the
        token, which is nobody's but the service's. ServiceAway: the connection broke, now or while the body came."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        try:
            with self._http.stream("GET", link, headers=headers, follow_redirects=True) as answer:
                yield answer
        except httpx.RequestError as error:
            raise _away(error, "{0.scheme}://{0.netloc}".format(urlsplit(link))) from None
        except httpx.InvalidURL:
            raise wire.nonsense("has a link that leads nowhere", link) from None


@cache
def _trusted() -> ssl.SSLContext:
    """Whom TLS believes; to read that takes longer than anything else here."""
    return httpx.create_ssl_context()


def _away(error: httpx.RequestError, address: str, *, known: bool = True) -> ServiceAway:
    """`known`: nothing is lost by asking again."""
    reason = wire.printable(str(error)) or type(error).__name__
    if isinstance(error, UNSENT):
        hint = "Is the service running, and is this its address?"
        return ServiceAway(f"{address} cannot be reached: {reason}.", hint=hint, facts={"unsent": True})
    hint = "" if known else "Whether it was done is not known: look at the export."
    return ServiceAway(f"{address} broke off its answer: {reason}.", hint=hint)


def _body(answer: httpx.Response) -> bytes:
    found = bytearray()
    for piece in answer.iter_bytes():
        found += piece
        if len(found) > LARGEST:
            raise wire.nonsense(f"is larger than {LARGEST:,} bytes", b"")
    return bytes(found)


def _address(server: str) -> str:
    """The address without a slash at its end; Misconfigured when it is none."""
    try:
        parts, _ = urlsplit(server), httpx.URL(server)
        more = parts.query or parts.fragment or parts.username or parts.password
        good = parts.scheme in {"http", "https"} and parts.hostname and not more
    except (ValueError, httpx.InvalidURL):
        good = False
    if not good:
        raise Misconfigured(
            "This is no address of a service.",
            hint="Write it as https://exports.example.com, without a password: the token says who asks.",
        )
    return server.rstrip("/")


def _sendable(token: str) -> str:
    if not re.fullmatch(r"[!-~]+", token):
        raise Misconfigured(
            "This is no token: it is empty, or has characters that no token has.",
            hint="`outhaul token create` makes one.",
        )
    return token
