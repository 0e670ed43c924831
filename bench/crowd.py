"""`python -m bench.crowd`: one caller alone, then many at once; asked on standard input, told on standard output."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from statistics import median
from urllib.parse import urlsplit

from outhaul.demo.asking import MEDIA_TYPE

NO_ANSWER = "no answer"
GOING = {"pending", "in_progress"}
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
WARM = 20  # retrieves before the clock counts
PATIENCE = 60.0  # seconds for an answer


@dataclass(frozen=True, slots=True)
class Asked:
    """What callers do: `clients` at once, each with one of `tokens`, ask for exports of `resource` at `address` for
    `seconds`, one after another, and every `poll` seconds whether it is done. Before that one alone asks `idle`
    times."""

    address: str
    tokens: Sequence[str]
    resource: str
    clients: int = 100
    seconds: float = 60.0
    poll: float = 1.0
    idle: int = 500


@dataclass(slots=True)
class Seen:
    """What they saw. Seconds of each retrieve of one caller alone, of each retrieve and each creation among many, and
    of each export from its creation to the retrieve that showed it done; answers by status, exports by how they
    ended."""

    idle: list[float] = field(default_factory=list)
    retrieves: list[float] = field(default_factory=list)
    creations: list[float] = field(default_factory=list)
    exports: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    lasted: float = 0.0

    @property
    def broken(self) -> int:
        """Answers of 5xx, and those that did not come."""
        return sum(many for status, many in self.statuses.items() if not "100" <= status < "500")

    @property
    def share(self) -> float:
        """The slowest hundredth of retrieves among many, in medians of one alone."""
        return quantile(self.retrieves, 0.99) / median(self.idle)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed; 0 of none."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)] if values else 0.0


class Line:
    """A connection that stays open, and no more of HTTP than it takes to ask on it and to time the answer. With a
    client that does more, a hundred callers wait for each other, and not for the service."""

    def __init__(self, address: str, token: str) -> None:
        url = urlsplit(address)
        self._host, self._port = url.hostname or "", url.port or 80
        self._headers = (
            f" HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {token}\r\n"
            f"Accept: {MEDIA_TYPE}\r\nContent-Type: {MEDIA_TYPE}\r\n"
        )
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: str = "") -> tuple[int, bytes]:
        """Status and body. OSError, EOFError or TimeoutError when no answer came."""
        try:
            return await asyncio.wait_for(self._asked(method, path, body.encode()), PATIENCE)
        except (OSError, EOFError, TimeoutError):
            await self.close()
            raise

    async def _asked(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        head = f"{method} {path}{self._headers}Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        told = await reader.readuntil(b"\r\n\r\n")
        found = LENGTH.search(told)
        return int(told[9:12]), await reader.readexactly(int(found[1]) if found else 0)

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Caller:
    """One of them, with a connection of its own that stays open, as a customer's program has it."""

    def __init__(self, asked: Asked, number: int, seen: Seen) -> None:
        self._asked, self._seen = asked, seen
        token = asked.tokens[number % len(asked.tokens)]
        self._line = Line(asked.address, token)
        attributes = {"resource_type": asked.resource, "format": "json", "reference": f"caller-{number}"}
        self._body = json.dumps({"data": {"type": "exports", "attributes": attributes}})

    async def close(self) -> None:
        await self._line.close()

    async def alone(self) -> None:
        """Retrieves of one completed export, one after another, on a service that has nothing else to do."""
        export = await self.export([], [])
        for _ in range(WARM):
            await self._retrieve(export, [])
        for _ in range(self._asked.idle):
            await self._retrieve(export, self._seen.idle)

    async def among_many(self, until: float) -> None:
        """Exports one after another; the last begins before `until`, and is not waited for after that."""
        while time.perf_counter() < until:
            began = time.perf_counter()
            if await self.export(self._seen.creations, self._seen.retrieves, until):
                self._seen.exports.append(time.perf_counter() - began)

    async def export(
        self, creations: list[float], retrieves: list[float], until: float = float("inf")
    ) -> str | None:
        """The id of one that was asked for and is done."""
        answer = await self._ask(creations, "POST", "/api/exports", self._body)
        if answer is None:
            await asyncio.sleep(self._asked.poll)  # as a program would, and not try again at once
            return None
        export, status = _told(answer)
        while status in GOING and time.perf_counter() < until:
            await asyncio.sleep(self._asked.poll)
            found = await self._retrieve(export, retrieves)
            status = _told(found)[1] if found else status
        if status in GOING:
            return None
        self._seen.ends[status] = self._seen.ends.get(status, 0) + 1
        return export

    async def _retrieve(self, export: str | None, into: list[float]) -> bytes | None:
        return await self._ask(into, "GET", f"/api/exports/{export}")

    async def _ask(self, into: list[float], method: str, path: str, body: str = "") -> bytes | None:
        """The answer, if it is a good one; its time counts whatever it is."""
        began = time.perf_counter()
        try:
            status, found = await self._line.ask(method, path, body)
            told = str(status)
        except (OSError, EOFError, TimeoutError):
            status, found, told = 0, b"", NO_ANSWER
        into.append(time.perf_counter() - began)
        self._seen.statuses[told] = self._seen.statuses.get(told, 0) + 1
        return found if 200 <= status < 300 else None


def _told(answer: bytes) -> tuple[str, str]:
    data = json.loads(answer)["data"]
    return data["id"], data["attributes"]["status"]


async def run(asked: Asked) -> Seen:
    """All of it."""
    seen = Seen()
    alone = Caller(asked, 0, seen)
    await alone.alone()
    await alone.close()
    many = [Caller(asked, number, seen) for number in range(asked.clients)]
    began = time.perf_counter()
    await asyncio.gather(*(one.among_many(began + asked.seconds) for one in many))
    seen.lasted = time.perf_counter() - began
    await asyncio.gather(*(one.close() for one in many))
    return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(asyncio.run(run(Asked(**json.load(sys.stdin)))))))
