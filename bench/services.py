"""Running services, one for each source and number of workers, and one export asked of them from outside."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from bench.measure import ROOT, Cost, Failed, Meter
from outhaul.demo import serving
from outhaul.demo.asking import MEDIA_TYPE
from outhaul.demo.memory import family
from outhaul.errors import OuthaulError

POLL = 0.05  # seconds; `completed_at` tells when it was done, however seldom one asks
PATIENCE = 30  # seconds for a small export, and until what was deleted is gone
WARM = 2  # small exports before anything counts
SMALL = json.dumps(
    {"data": {"type": "exports", "attributes": {"resource_type": "customer", "format": "csv"}}}
)
TIMEOUT = httpx.Timeout(60)
UNCOUNTED = "1ms"  # a count that has less than 10 ms is not begun


@dataclass(frozen=True, slots=True)
class Kind:
    """Which service: its source, its workers, whether it counts rows before it answers."""

    source: str
    workers: int
    counted: bool


@dataclass(frozen=True, slots=True)
class Running:
    """One that was started. `objects`: where it keeps files."""

    service: serving.Service
    headers: Mapping[str, str]
    objects: Path
    open: ExitStack

    def signal(self, number: signal.Signals) -> None:
        for pid in family(self.service.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    @contextmanager
    def awake(self) -> Iterator[httpx.Client]:
        """It runs while the block does, and has done a little before: idle services would take CPU from all others."""
        self.signal(signal.SIGCONT)
        # A proxy has no business on this machine.
        with httpx.Client(
            base_url=self.service.address, headers=self.headers, timeout=TIMEOUT, trust_env=False
        ) as client:
            for _ in range(WARM):
                small = _ended(client, _said(client.post("/api/exports", content=SMALL)), PATIENCE)
                _gone(client, small, self.objects)
            yield client
        self.signal(signal.SIGSTOP)

    def end(self) -> None:
        self.signal(signal.SIGCONT)
        self.open.close()


class Services:
    """Each is started when it is first needed, and kept to the end: its start is nobody's cost."""

    def __init__(self, folder: Path, part_bytes: int) -> None:
        self._folder, self._part_bytes = folder, part_bytes
        self._running: dict[Kind, Running] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all that run."""
        for kind in tuple(self._running):
            self._running.pop(kind).end()

    def export(self, kind: Kind, url: str, body: str, out: Path, postmaster: int, limit: float) -> Cost:
        """One request, from when it is sent to `completed`; then the file is fetched into `out`, and the export goes.

        A service that has failed is ended: the next request begins another.
        """
        try:
            running = self._service(kind, url)
            with running.awake() as client:
                return _export(running, client, body, out, postmaster, limit)
        except (httpx.HTTPError, OuthaulError, Failed) as error:
            if kind in self._running:
                self._running.pop(kind).end()
            raise Failed(str(error) or repr(error)) from error

    def _service(self, kind: Kind, url: str) -> Running:
        if kind not in self._running:
            counts = "" if kind.counted else "-uncounted"
            folder = self._folder / f"service-{kind.source}-{kind.workers}{counts}"
            folder.mkdir(exist_ok=True)
            settings: dict[str, int | str] = {"workers": kind.workers, "part_bytes": self._part_bytes}
            settings |= {"catalog": str(ROOT / "bench" / "catalog.toml"), "retention": "1d"}
            if not kind.counted:
                settings["count_timeout"] = UNCOUNTED
            lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
            (folder / "outhaul.toml").write_text("".join(lines))
            self._running[kind] = _started(folder, url)
        return self._running[kind]


def _started(folder: Path, url: str) -> Running:
    with ExitStack() as opened:
        service = opened.enter_context(serving.service(folder, url))
        token = serving.outhaul(folder, "token", "create", "--all-tenants", "--state", f"{folder}/state")
        headers = {"Authorization": f"Bearer {token}", "Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        return Running(service, headers, folder / "state" / "objects", opened.pop_all())


def _export(
    running: Running, client: httpx.Client, body: str, out: Path, postmaster: int, limit: float
) -> Cost:
    began = time.time()
    with Meter(running.service.pid, postmaster) as meter:
        export = _ended(client, _said(client.post("/api/exports", content=body)), limit)
    wall = datetime.fromisoformat(export["attributes"]["completed_at"]).timestamp() - began
    fetched = _fetch(client, export["attributes"]["attachment_url"], out)
    _gone(client, export, running.objects)
    return replace(meter.cost(wall=wall), fetched=fetched)


def _said(answer: httpx.Response) -> Any:
    document = answer.json()
    if "data" not in document:
        raise Failed(f"was answered with {answer.status_code}: {document}")
    return document["data"]


def _ended(client: httpx.Client, export: Any, limit: float) -> Any:
    deadline = time.monotonic() + limit
    while export["attributes"]["status"] in {"pending", "in_progress"}:
        if time.monotonic() > deadline:
            raise Failed(f"was not completed in {limit} s")
        time.sleep(POLL)
        export = _said(client.get(f"/api/exports/{export['id']}"))
    if export["attributes"]["status"] != "completed":
        raise Failed(f"was not completed: {export['attributes']}")
    return export


def _fetch(client: httpx.Client, link: str, out: Path) -> float:
    """Seconds; the file has its own name."""
    began = time.perf_counter()
    with client.stream("GET", link) as answer:
        answer.raise_for_status()
        with (out / Path(link).name).open("wb") as file:
            for piece in answer.iter_raw():
                file.write(piece)
    return time.perf_counter() - began


def _gone(client: httpx.Client, export: Any, objects: Path) -> None:
    """Deletes an export, and waits until its files are away: whoever comes next is not to pay for it."""
    client.delete(f"/api/exports/{export['id']}").raise_for_status()
    deadline = time.monotonic() + PATIENCE
    while any(path.is_file() for path in objects.rglob("*")):
        if time.monotonic() > deadline:
            raise Failed("has not removed a deleted export")
        time.sleep(0.02)
