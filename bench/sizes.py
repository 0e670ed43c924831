"""The same calls against a small ledger and a large one, in turns, by one caller over HTTP."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import httpx

from bench.measure import Failed
from bench.places import RESOURCE, Place
from outhaul.demo.asking import MEDIA_TYPE

PATIENCE = 60.0  # seconds for an answer, and for an export
POLL = 0.02  # seconds
SIZE = 20  # exports on a page
WARM = 2  # of each call before the clock counts
COMPLETED = "filter[q][status_eq]=completed"
NEWEST = "sort=-created_at&page[size]=25"


@dataclass(frozen=True, slots=True)
class Call:
    """One of the calls that are timed. `path`: made anew each time of one of the ids and one of the references that the
    caller knows; None: it creates. `aimed`: on the large ledger it may not take much longer."""

    name: str
    path: Callable[[str, str], str] | None
    aimed: bool = True


CALLS = (
    Call("list, newest first", lambda *_: f"?{NEWEST}"),
    Call("list, by status, newest first", lambda *_: f"?{COMPLETED}&{NEWEST}"),
    Call(
        "list, by type and status, last started first",
        lambda *_: f"?filter[q][resource_type_eq]={RESOURCE}&{COMPLETED}&sort=-started_at&page[size]=25",
    ),
    Call("list, by reference", lambda _, reference: f"?filter[q][reference_eq]={reference}&{NEWEST}"),
    Call(f"list, page 500 of {SIZE}", lambda *_: f"?page[number]=500&page[size]={SIZE}", aimed=False),
    Call("retrieve", lambda export_id, _: f"/{export_id}"),
    Call("create", None),
)


@dataclass(slots=True)
class Pair:
    """A call's seconds against both ledgers."""

    call: Call
    small: list[float] = field(default_factory=list)
    large: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return median(self.large) / median(self.small)


class Asker:
    """One caller of the first organization of a place."""

    def __init__(self, place: Place) -> None:
        headers = {
            "Authorization": f"Bearer {place.tokens[0]}",
            "Accept": MEDIA_TYPE,
            "Content-Type": MEDIA_TYPE,
        }
        # A proxy has no business on this machine.
        self._client = httpx.Client(
            base_url=place.service.address, headers=headers, timeout=PATIENCE, trust_env=False
        )
        self._ids: list[str] = []
        self._references: list[str] = []

    def look(self) -> None:
        """Learn some ids and references."""
        pages = [f"?page[number]={number}&page[size]=25" for number in (1, 2, 3)]
        found = [one for page in pages for one in self._asked("GET", page)["data"]]
        self._ids = [one["id"] for one in found]
        self._references = [one["attributes"]["reference"] for one in found if one["attributes"]["reference"]]

    def close(self) -> None:
        self._client.close()

    def export(self) -> tuple[str, float]:
        """The id of a new one, which is completed now, and the seconds that it took to create it."""
        attributes = {"resource_type": RESOURCE, "format": "json"}
        began = time.perf_counter()
        made = self._asked("POST", "", {"data": {"type": "exports", "attributes": attributes}})["data"]
        seconds = time.perf_counter() - began
        self._wait(made["id"])
        return made["id"], seconds

    def seconds(self, call: Call) -> float:
        """One call; what it begins has ended before the next."""
        if not call.path:
            return self.export()[1]
        path = call.path(random.choice(self._ids), random.choice(self._references))
        began = time.perf_counter()
        self._asked("GET", path)
        return time.perf_counter() - began

    def _wait(self, export_id: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._asked("GET", f"/{export_id}")["data"]["attributes"]["status"] != "completed":
            if time.monotonic() > deadline:
                raise Failed(f"An export was not completed in {PATIENCE} s.")
            time.sleep(POLL)

    def _asked(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> Any:
        content = json.dumps(document) if document else None
        answer = self._client.request(method, f"/api/exports{path}", content=content)
        if not answer.is_success:
            raise Failed(f"{method} {path} was answered with {answer.status_code}: {answer.text[:500]}")
        return answer.json()


def compare(small: Asker, large: Asker, rounds: int) -> list[Pair]:
    """Every call as often as there are rounds, against both in turns; who is first changes from round to round."""
    pairs = [Pair(call) for call in CALLS]
    for number in range(-WARM, rounds):
        for pair in pairs:
            both = [(small, pair.small), (large, pair.large)]
            for asker, into in both if number % 2 else reversed(both):
                seconds = asker.seconds(pair.call)
                if number >= 0:
                    into.append(seconds)
    return pairs
