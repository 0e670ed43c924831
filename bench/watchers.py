"""`python -m bench.watchers`: exports with pages of the console open on them, by turns with none; asked as a crowd."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import httpx

from outhaul.demo.asking import MEDIA_TYPE

POLL = 0.1  # seconds
PATIENCE = 300.0  # seconds for an export, and for its pages to hear of its end
DATA, DONE = b"data: ", b"event: done"
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True, slots=True)
class Asked:
    """Exports of `resource` at `address` by one with `token`: `rounds` without pages, as many with `pages` of them."""

    address: str
    token: str
    resource: str
    pages: int = 50
    rounds: int = 5


@dataclass(slots=True)
class Watched:
    """Seconds from start to completion of each export without and with pages; of each page, how long after the
    completion it was told so, and the longest time between two of its changes."""

    alone: list[float] = field(default_factory=list)
    among: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    still: list[float] = field(default_factory=list)

    @property
    def slowed(self) -> float:
        """How much longer an export takes with pages, as a share: 0.05 is 5 %."""
        return median(self.among) / median(self.alone) - 1


class Watcher:
    """One who asks for exports and looks at them."""

    def __init__(self, asked: Asked, client: httpx.AsyncClient) -> None:
        self._asked, self._client = asked, client
        self._headers = {
            "Authorization": f"Bearer {asked.token}",
            "Accept": MEDIA_TYPE,
            "Content-Type": MEDIA_TYPE,
        }

    async def sign_in(self) -> None:
        """From now on the client has the cookie of a session."""
        answer = await self._client.post(
            "/console/sign-in", data={"token": self._asked.token}, headers=SAME_SITE
        )
        assert answer.status_code == 303, answer.text

    async def export(self, pages: int, seen: Watched) -> float:
        """Seconds from its start to its completion; what the pages saw is noted."""
        attributes = {"resource_type": self._asked.resource, "format": "json"}
        body = json.dumps({"data": {"type": "exports", "attributes": attributes}})
        answer = await self._client.post("/api/exports", content=body, headers=self._headers)
        export = answer.json()["data"]["id"]
        watching = [asyncio.create_task(self._page(export)) for _ in range(pages)]
        told = await self._done(export)
        began, ended = (
            datetime.fromisoformat(told[name]).timestamp() for name in ("started_at", "completed_at")
        )
        for times in await asyncio.wait_for(asyncio.gather(*watching), PATIENCE):
            seen.late.append(times[-1] - ended)
            seen.still.append(max(later - before for before, later in pairwise(times)))
        await self._client.delete(f"/api/exports/{export}", headers=self._headers)
        return ended - began

    async def _done(self, export: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            answer = await self._client.get(f"/api/exports/{export}", headers=self._headers)
            told: dict[str, Any] = answer.json()["data"]["attributes"]
            if told["status"] not in {"pending", "in_progress"}:
                assert told["status"] == "completed", told
                return told
            await asyncio.sleep(POLL)
        raise TimeoutError(f"{export} was not completed in {PATIENCE:g} s")

    async def _page(self, export: str) -> list[float]:
        """When each change came, the end last; seconds since 1970."""
        url = urlsplit(self._asked.address)
        cookies = "; ".join(f"{one.name}={one.value}" for one in self._client.cookies.jar)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(
            f"GET /console/exports/{export}/live HTTP/1.1\r\nHost: {url.netloc}\r\nCookie: {cookies}\r\n\r\n".encode()
        )
        times = [time.time()]
        async for line in reader:
            if line.startswith((DATA, DONE)) and time.time() > times[-1] + 0.1:
                times.append(time.time())
            if line.startswith(DONE):
                times[-1] = time.time()
                break
        writer.close()
        assert len(times) > 1, "a page was told nothing"
        return times


async def run(asked: Asked) -> Watched:
    """All of it. The first of each kind does not count."""
    seen = Watched()
    async with httpx.AsyncClient(base_url=asked.address, trust_env=False, timeout=PATIENCE) as client:
        watcher = Watcher(asked, client)
        await watcher.sign_in()
        for pages in (0, asked.pages):
            await watcher.export(pages, Watched())
        for _ in range(asked.rounds):
            seen.alone.append(await watcher.export(0, seen))
            seen.among.append(await watcher.export(asked.pages, seen))
    return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(asyncio.run(run(Asked(**json.load(sys.stdin)))))))
