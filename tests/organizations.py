"""Organizations for tests: a shop with a section for Rebilly's types, and somebody with a key of one of its tenants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from outhaul.app import Outhaul
from outhaul.dialects.rebilly.mapping import TYPES
from outhaul.ledger.tables import exports
from tests.served import CATALOG, shop, until

ABSENT = [name for name in TYPES if name not in {"orders", "customers"}]
SECTION = f"""
[rebilly]
absent = {json.dumps(ABSENT)}
[rebilly.types]
orders = "orders"
customers = {{ resource = "companies", fields = ["id", "name"] }}
"""


def place_of(folder: Path, more: str = "") -> Path:
    """The folder, now with a shop and a catalog file, in which `more` stands too."""
    shop(folder)
    (folder / "catalog.toml").write_text(CATALOG + more + SECTION)
    return folder


class Organization:
    """Somebody with a key of one organization, or with what else was granted."""

    def __init__(self, outhaul: Outhaul, client: httpx.Client, **granted: Any) -> None:
        self.key, self.kept = outhaul.access.make_token("test", **(granted or {"tenant": "1"}))
        self.client, self.outhaul = client, outhaul

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"REB-APIKEY": self.key} | more.pop("headers", {})
        return self.client.request(method, path, headers=headers, **more)

    def create(self, **more: Any) -> dict[str, Any]:
        answer = self.call("POST", "/organization-exports", **more)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def get(self, export_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/organization-exports/{export_id}").json()
        return found

    def finished(self) -> dict[str, Any]:
        made = self.create()
        ended = {"completed", "failed"}
        until(lambda: self.get(made["id"])["status"] in ended, "it ends")
        found = self.get(made["id"])
        assert found["status"] == "completed", self.outhaul.ledger.list()[0][0].errors
        return found

    def ids(self, **query: Any) -> list[str]:
        answer = self.call("GET", "/organization-exports", params=query)
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()]


def becomes(of: Organization, wire_id: str, **values: Any) -> None:
    """The ledger's newest export is in another state, or of another time."""
    newest = of.outhaul.ledger.list()[0][0].id
    assert of.get(wire_id)["id"] == wire_id
    with of.outhaul.ledger._write() as write:
        ours = exports.update().where(exports.c.id == newest)
        write.execute(ours.values(values | {"resumed_at": exports.c.created_at}))
