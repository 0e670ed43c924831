"""Outhaul put together in this process and served on loopback, for tests that ask it over HTTP."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from outhaul import app, config
from outhaul.app import Outhaul
from outhaul.connections import Connection
from outhaul.export import Caller, Draft, Export, Selection, Status
from tests import documented

MEDIA_TYPE = "application/vnd.api+json"
ROWS = 120
SHOP = f"""
PRAGMA journal_mode = WAL;
CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, company_id INTEGER NOT NULL REFERENCES companies (id), note TEXT);
CREATE TABLE countries (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO companies VALUES (1, 'ALPHA'), (2, 'OMEGA');
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
INSERT INTO orders SELECT i, 1 + i % 2, 'note ' || i FROM n;
"""
CATALOG = """
[resources.companies]
tenant = "id"
[resources.orders]
tenant = "company_id"
[resources.countries]
"""
US = Caller("us", "us", None, all_tenants=True)
ORDERS = Draft((Selection("orders"),), compress="gzip")


def until(true: Callable[[], Any], what: str, patience: float = 30) -> Any:
    deadline = time.monotonic() + patience
    while not (value := true()):
        assert time.monotonic() < deadline, f"not in {patience} s: {what}"
        time.sleep(0.01)
    return value


def shop(folder: Path) -> Path:
    """The folder, now with a database of orders of two companies, and a catalog file with rules for its tenants."""
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        connection.executescript(SHOP)
    (folder / "catalog.toml").write_text(CATALOG)
    return folder


def put_together(source: str, state: Path, **flags: Any) -> Outhaul:
    """Everything on one source, not begun yet."""
    settings = config.load({"source": source, "state": state, "workers": 1, "min_free": 0, **flags})
    return Outhaul(settings, app.offered(settings, app.reflect(settings)))


def of_shop(place: Path, state: str = "state", **flags: Any) -> Outhaul:
    """Everything on the shop in this folder."""
    wanted = {"catalog": place / "catalog.toml"} | flags
    return put_together(f"sqlite:///{place}/shop.db", place / state, **wanted)


@contextmanager
def served(outhaul: Outhaul, port: int = 0) -> Iterator[httpx.Client]:
    """A client of the web app, which answers while the block runs; no answer may be an undocumented one."""
    with app._listen(config.load({"port": port})) as listener:
        own = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(
            uvicorn.Config(
                app.web(outhaul, own),
                http=Connection,
                log_config=None,
                lifespan="off",
                proxy_headers=False,
                timeout_graceful_shutdown=1,  # what follows an export would go on
            )
        )
        thread = threading.Thread(target=server.run, args=[[listener]])
        thread.start()
        try:
            while not server.started:
                time.sleep(0.005)
            hooks = {"response": [documented.check]}
            with httpx.Client(base_url=own, trust_env=False, timeout=30, event_hooks=hooks) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


class Asker:
    """Somebody with a token. `client` sends no token by itself."""

    def __init__(self, outhaul: Outhaul, client: httpx.Client, **granted: Any) -> None:
        granted = granted or {"all_tenants": True}
        self.token, self.kept = outhaul.access.make_token("test", **granted)
        self.client, self.outhaul = client, outhaul

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


def done(outhaul: Outhaul, export: Export) -> Export:
    going = {Status.CREATED, Status.QUEUED, Status.RUNNING}
    until(lambda: outhaul.ledger.get(export.id).status not in going, "an end")
    found = outhaul.ledger.get(export.id)
    assert found.status is Status.COMPLETED, found.errors
    return found


def finished(asker: Asker, **attributes: Any) -> dict[str, Any]:
    """The resource object of an export that was asked for and is completed."""
    answer = asker.ask(**{"resource_type": "orders"} | attributes)
    assert answer.status_code == 201, answer.text
    export_id = answer.json()["data"]["id"]

    def there() -> dict[str, Any] | None:
        data: dict[str, Any] = asker.call("GET", f"/exports/{export_id}").json()["data"]
        return data if data["attributes"]["status"] not in {"pending", "in_progress"} else None

    data: dict[str, Any] = until(there, "an end")
    assert data["attributes"]["status"] == "completed", data["attributes"]["errors_log"]
    return data
