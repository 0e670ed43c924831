"""A sandbox in a process of its own, for tests that ask it as anybody may."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.served import MEDIA_TYPE
from tests.terminal import PROGRAM, environment

PATIENCE = 60.0  # seconds for its end


@dataclass
class Sandbox:
    """A running sandbox. `told`: what its line says; `temporary`: the folder that its temporary files are in."""

    told: dict[str, Any]
    temporary: Path
    client: httpx.Client

    @property
    def base(self) -> str:
        return str(self.told["base_url"])

    @property
    def credentials(self) -> dict[str, str]:
        found: dict[str, str] = self.told["commercelayer"]
        return found

    @property
    def database(self) -> Path:
        (found,) = self.temporary.glob("outhaul-sandbox-*/shop.db")
        return found

    def call(self, method: str, path: str, token: str = "access_token", **more: Any) -> httpx.Response:
        """One request under /api, with one of the tokens that it has told."""
        headers = {"Authorization": f"Bearer {self.credentials[token]}", "Content-Type": MEDIA_TYPE}
        return self.client.request(method, f"/api{path}", headers=headers, **more)

    def create(self, **attributes: Any) -> dict[str, Any]:
        """A new export's resource object."""
        body = {"data": {"type": "exports", "attributes": attributes}}
        answer = self.call("POST", "/exports", json=body)
        assert answer.status_code == 201, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    def get(self, export_id: str) -> dict[str, Any]:
        """Its attributes."""
        attributes: dict[str, Any] = self.call("GET", f"/exports/{export_id}").json()["data"]["attributes"]
        return attributes

    def interrupt(self, export_id: str) -> httpx.Response:
        body = {"data": {"type": "exports", "id": export_id, "attributes": {"_interrupt": True}}}
        return self.call("PATCH", f"/exports/{export_id}", json=body)


@contextmanager
def started(home: Path, *arguments: object, sign: int = signal.SIGTERM, **settings: str) -> Iterator[Sandbox]:
    """A sandbox that is started in a folder, with its log beside it. After the block it is ended by a signal, and must
    end in order, say nothing more and leave nothing."""
    temporary = home / "tmp"
    temporary.mkdir(exist_ok=True)
    with (home / "sandbox.log").open("ab") as log:
        process = subprocess.Popen(
            [PROGRAM, "sandbox", "--json", "--port", "0", *map(str, arguments)],
            cwd=home,
            env=environment(**settings) | {"TMPDIR": str(temporary)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line, (home / "sandbox.log").read_text()
        told = json.loads(line)
        with httpx.Client(base_url=told["base_url"], trust_env=False, timeout=30) as client:
            yield Sandbox(told, temporary, client)
        below = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.send_signal(sign)
        rest, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, rest) == (0, "")
    assert below
    assert not [one for one in below if one.is_running()]
    assert list(temporary.iterdir()) == []
