"""One POST to an address that somebody gave us: to networks that it may reach, within a time, without redirects."""

from __future__ import annotations

import http.client
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from outhaul.errors import WrongValue

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]  # a host's addresses; OSError when there are none

TIMEOUT = 5.0  # seconds in which an answer counts: Commerce Layer's; the look-up of its host takes of them
LONGEST = 2_000  # characters of an address
LOOKUPS = threading.BoundedSemaphore(64)  # under way at once, with those that nobody waits for any more
NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits
PORTS = {"http": 80, "https": 443}


class Unreachable(Exception):
    """No answer came: why, in a few words."""


def lookup(host: str, port: int) -> Sequence[str]:
    """The addresses of a host as the system resolves it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def check(url: str, networks: Sequence[Network], resolve: Resolve = lookup) -> None:
    """Raise WrongValue unless it is an address of http or https all of whose hosts may be called now."""
    place = ("callback_url",)
    try:
        parts = _parts(url)
    except ValueError as error:
        raise WrongValue(str(error), hint="Write it as https://example.com/hooks.", where=place) from None
    try:
        _reachable(parts, networks, resolve, time.monotonic() + TIMEOUT)
    except Unreachable as error:
        raise WrongValue(
            f"cannot be called: {error}",
            hint="Give one that the public can reach, or ask whoever runs the service to allow its network.",
            where=place,
        ) from None


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    networks: Sequence[Network],
    resolve: Resolve = lookup,
    timeout: float = TIMEOUT,
) -> int:
    """The status of the answer, whose body is not read. The host is resolved once, and what is called is one of the
    addresses that were looked at. Raises Unreachable."""
    deadline = time.monotonic() + timeout
    try:
        parts = _parts(url)
        with _connected(parts, _reachable(parts, networks, resolve, deadline), deadline) as wire:
            # Timeouts of sockets are for one read: an answer in single bytes would never come to its end.
            ended = threading.Timer(max(0.0, deadline - time.monotonic()), _cut, [wire])
            ended.daemon = True
            ended.start()
            try:
                if isinstance(wire, ssl.SSLSocket):
                    wire.do_handshake()
                return _asked(parts, wire, body, headers)
            finally:
                ended.cancel()
    except (OSError, http.client.HTTPException, ValueError) as error:
        late = time.monotonic() >= deadline
        raise Unreachable(f"no answer within {timeout:g} s" if late else type(error).__name__) from error


def _parts(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("must be an address of http or https")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a password")
    if len(url) > LONGEST or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"must be at most {LONGEST} printable characters of ASCII")
    if parts.port == 0:
        raise ValueError("must not have the port 0")
    return parts


def _reachable(
    parts: SplitResult, networks: Sequence[Network], resolve: Resolve, deadline: float
) -> Sequence[str]:
    """All addresses of the host; Unreachable when there is none, or one of them may not be called."""
    host = parts.hostname or ""
    found = _looked_up(resolve, host, _port(parts), deadline)
    # One sentence for both: whoever guesses names must not learn which of them a private network knows.
    if not found or not all(_allowed(ip_address(one), networks) for one in found):
        raise Unreachable(f"{host} has no address, or one in a private network.")
    return found


def _looked_up(resolve: Resolve, host: str, port: int, deadline: float) -> Sequence[str]:
    """What the resolver finds; Unreachable when it takes too long. Nothing can stop it: one that is late ends by
    itself, and nobody hears of it."""
    answer: queue.SimpleQueue[Sequence[str]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(resolve(host, port))
        except (OSError, UnicodeError):
            answer.put(())
        finally:
            LOOKUPS.release()

    late = Unreachable(f"{host} was not found in time.")
    if not LOOKUPS.acquire(timeout=max(0.0, deadline - time.monotonic())):
        raise late
    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        return answer.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise late from None


def _allowed(address: Address, networks: Sequence[Network]) -> bool:
    inner = _inner(address)
    if any(inner in network for network in networks):
        return True
    return inner.is_global and not inner.is_multicast and not inner.is_reserved


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _port(parts: SplitResult) -> int:
    return parts.port or PORTS[parts.scheme]


def _connected(parts: SplitResult, addresses: Sequence[str], deadline: float) -> socket.socket:
    """A connection to the first address that takes one; for https its handshake, which checks the name, is to come."""
    failed: OSError = TimeoutError()
    for address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            raise failed
        try:
            wire = socket.create_connection((address, _port(parts)), timeout=left)
        except OSError as error:
            failed = error
            continue
        if parts.scheme == "http":
            return wire
        try:
            return ssl.create_default_context().wrap_socket(
                wire, server_hostname=parts.hostname, do_handshake_on_connect=False
            )
        except BaseException:
            wire.close()
            raise
    raise failed


def _asked(parts: SplitResult, wire: socket.socket, body: bytes, headers: Mapping[str, str]) -> int:
    connection = http.client.HTTPConnection(parts.hostname or "", _port(parts))
    connection.sock = wire
    path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    own = {"Host": parts.netloc, "User-Agent": "outhaul", "Connection": "close"}
    connection.request("POST", path, body, {**own, **headers})
    return connection.getresponse().status


def _cut(wire: socket.socket) -> None:
    try:
        socket.socket.shutdown(
            wire, socket.SHUT_RDWR
        )  # that of TLS would take away what the other thread reads by
    except OSError:
        return
