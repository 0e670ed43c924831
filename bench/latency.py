"""How long a small export takes over HTTP, from the request to `completed`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psycopg

from outhaul.demo import serving
from outhaul.demo.asking import MEDIA_TYPE
from outhaul.errors import OuthaulError

ROWS = 100
POLL = 0.005  # seconds
WARM = 3  # exports before the clock counts
PATIENCE = 30.0  # seconds


@dataclass(slots=True)
class Small:
    """Seconds of each export; `wrong` when one did not end as it should."""

    seconds: list[float] = field(default_factory=list)
    wrong: str = ""

    def sentence(self) -> str:
        if self.wrong or not self.seconds:
            return f"Failed: {self.wrong}" if self.wrong else "Not timed in this run."
        middle, slow = (f"{1000 * seconds:.0f} ms" for seconds in (median(self.seconds), max(self.seconds)))
        return (
            f"{ROWS} orders as gzipped JSON, from the request to `completed`, asked every {POLL * 1000:.0f} ms, one"
            f" export after another: median {middle}, slowest {slow} of {len(self.seconds)}, after {WARM} to warm up."
        )


def measure(environment: Mapping[str, str], exports: int) -> Small:
    """Times `exports` of them against a service of its own on the bench's database."""
    folder = Path(environment["OUT"]).with_name("service")
    small = Small()
    if not exports:
        return small
    folder.mkdir()
    try:
        with serving.service(folder, environment["URL"]) as service:
            token = serving.outhaul(folder, "token", "create", "--all-tenants", "--state", f"{folder}/state")
            # One connection kept open, as a customer's program has it; a proxy has no business on this machine.
            with httpx.Client(base_url=service.address, headers=_headers(token), trust_env=False) as client:
                document = _document(environment["URL"])
                found = [_once(client, document) for _ in range(WARM + exports)]
        small.seconds = found[WARM:]
    except (OuthaulError, httpx.HTTPError, Wrong) as error:
        small.wrong = str(error)
    return small


class Wrong(Exception):
    """An export that did not end as it should."""


def _headers(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}", "Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}


def _document(url: str) -> Mapping[str, Any]:
    with psycopg.connect(url) as connection:
        query = f"SELECT o_orderkey FROM orders ORDER BY o_orderkey OFFSET {ROWS - 1} LIMIT 1"
        row = connection.execute(query.encode()).fetchone()
    assert row
    attributes = {"resource_type": "orders", "format": "json", "filters": {"o_orderkey_lteq": row[0]}}
    return {"data": {"type": "exports", "attributes": attributes}}


def _once(client: httpx.Client, document: Mapping[str, Any]) -> float:
    began = time.perf_counter()
    export = client.post("/api/exports", json=document).json()
    while "data" in export and export["data"]["attributes"]["status"] in {"pending", "in_progress"}:
        if time.perf_counter() - began > PATIENCE:
            raise Wrong(f"An export was not completed in {PATIENCE} s.")
        time.sleep(POLL)
        export = client.get(f"/api/exports/{export['data']['id']}").json()
    seconds = time.perf_counter() - began
    if "data" not in export or export["data"]["attributes"]["status"] != "completed":
        raise Wrong(f"An export was not completed: {export}")
    if export["data"]["attributes"]["processed_count"] != ROWS:
        raise Wrong(f"An export of {ROWS} rows has {export['data']['attributes']['processed_count']}.")
    return seconds
