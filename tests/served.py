"""Outhaul put together in this process and served on loopback, for tests that ask it over HTTP."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from outhaul import app, config
from outhaul.app import Outhaul

MEDIA_TYPE = "application/vnd.api+json"


def put_together(source: str, state: Path, **flags: Any) -> Outhaul:
    """Everything on one source, not begun yet."""
    settings = config.load({"source": source, "state": state, "workers": 1, "min_free": 0, **flags})
    return Outhaul(settings, app.offered(settings, app.reflect(settings)))


@contextmanager
def served(outhaul: Outhaul) -> Iterator[httpx.Client]:
    """A client of the web app, which answers while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        own = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(app.web(outhaul, own), log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, args=[[listener]])
        thread.start()
        try:
            while not server.started:
                time.sleep(0.005)
            with httpx.Client(base_url=own, trust_env=False, timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


class Asker:
    """Somebody with a token. `client` sends no token by itself."""

    def __init__(self, outhaul: Outhaul, client: httpx.Client, **granted: Any) -> None:
        granted = granted or {"all_tenants": True}
        self.token, self.kept = outhaul.access.make_token("test", **granted)
        self.client = client

    def call(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        return self.client.request(method, f"/api{path}", headers=headers | more.pop("headers", {}), **more)

    def ask(self, **attributes: Any) -> Any:
        """An answer to POST, whatever it is."""
        body = json.dumps({"data": {"type": "exports", "attributes": attributes}})
        return self.call("POST", "/exports", content=body)

    def change(self, export_id: str, **attributes: Any) -> Any:
        body = {"data": {"type": "exports", "id": export_id, "attributes": attributes}}
        return self.call("PATCH", f"/exports/{export_id}", json=body)
