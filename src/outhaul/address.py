"""The outermost layer of the web app: under which address its caller reached us, and from which one it asks."""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from outhaul.callbacks import Network

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

# An address as proxies tell it: with a port or without.
FORWARDED = re.compile(
    r"\s*(?:(?P<plain>[0-9.]+):[0-9]+|\[(?P<inner>[0-9A-Fa-f:.]+)\](?::[0-9]+)?|(?P<bare>[0-9A-Fa-f:.]+))\s*"
)
HOST = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


class Address:
    """The outermost layer: tells each request under which address its caller reached us, and gives it a name.

    `own` is the address we listen on. Host and X-Forwarded-* count only when they come from one of `proxies`.
    `places`: what addresses of ours begin with, `patterns`: what matches others whole; a path of `public_url` before
    them is not ours.
    """

    def __init__(
        self,
        app: ASGIApp,
        own: str,
        public_url: str | None,
        proxies: Sequence[Network],
        places: Sequence[str],
        patterns: Sequence[re.Pattern[str]] = (),
    ) -> None:
        self.app = app
        self.places = tuple(f"{place}/" for place in places)
        self.patterns = patterns
        self.own = own
        self.public_url = public_url
        self.proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            base = self.base(scope)
            prefix = "/" + base.partition("://")[2].partition("/")[2]
            rest = scope["path"].removeprefix(prefix)
            path = rest if self._ours(rest) else scope["path"]
            # Whoever is at home there answers for what the places begin with, too.
            scope["path"] = f"{path}/" if f"{path}/" in self.places else path
            scope["outhaul.base"] = base
            scope["outhaul.trace"] = secrets.token_hex(32)
            scope["outhaul.client"] = self.client(scope)
        await self.app(scope, receive, send)

    def _ours(self, path: str) -> bool:
        return f"{path}/".startswith(self.places) or any(one.fullmatch(path) for one in self.patterns)

    def base(self, scope: Scope) -> str:
        """The address for every link in the answer, without a slash at its end."""
        if self.public_url:
            return self.public_url
        if not self._believed(scope.get("client")):
            return self.own
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = _first(headers.get(b"x-forwarded-host")) or headers.get(b"host", "")
        scheme = _first(headers.get(b"x-forwarded-proto")) or scope["scheme"]
        if scheme not in {"http", "https"} or not HOST.fullmatch(host):
            return self.own
        return f"{scheme}://{host}"

    def client(self, scope: Scope) -> str:
        """The address that a caller asks from: behind proxies of ours, what the first of them was asked from."""
        peer = scope.get("client")
        if peer is None or not self._believed(peer):
            return peer[0] if peer else ""
        told = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode(
            "latin-1"
        )
        asker: str = peer[0]
        for one in reversed(told.split(",")):
            found = FORWARDED.fullmatch(one)
            address = found and (found["bare"] or found["inner"] or found["plain"])
            if not address or not _address(address):
                return asker  # what stands before it is anybody's word
            asker = address
            if not self._believed((asker, 0)):
                return asker
        return asker

    def _believed(self, client: tuple[str, int] | None) -> bool:
        if client is None or not self.proxies:
            return False
        peer = ipaddress.ip_address(client[0])
        return any(peer in network for network in self.proxies)


def _address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _first(header: str | None) -> str:
    return (header or "").partition(",")[0].strip()
