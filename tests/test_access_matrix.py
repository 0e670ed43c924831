"""Every call by every kind of caller on exports of their own organization and of another's, each cell by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from outhaul.app import Outhaul
from outhaul.dialects._described import ref
from outhaul.dialects.commercelayer import hooks, related
from outhaul.dialects.commercelayer import told as history
from outhaul.dialects.commercelayer.routes import polled, router
from outhaul.export import Caller
from outhaul.ledger.callbacks import record
from outhaul.ledger.tables import callbacks
from outhaul.ledger.tokens import Token
from tests import documented
from tests.issuing import Authority, authority
from tests.served import MEDIA_TYPE, ORDERS, Asker, finished, of_shop, served, shop

OK, MADE, GONE = "200", "201", "204"
INVALID, DENIED, MISSING = "401 INVALID_TOKEN", "401 UNAUTHORIZED", "404 RECORD_NOT_FOUND"
OTHERS = "200 without it"

# What each right means, call by call. `read` stands for every GET of one export that there is, `itself` for what a
# caller is told of itself.
CALLS = (
    *("list", "read", "create", "update", "interrupt", "start", "delete", "events"),
    *("list webhooks", "read webhook", "create webhook", "update webhook", "delete webhook", "itself"),
    *("callbacks", "trigger"),
)
MAY: dict[str, str] = dict.fromkeys(CALLS, OK) | {
    "create": MADE,
    "delete": GONE,
    "create webhook": MADE,
    "delete webhook": GONE,
}
WRITES = ("create", "update", "interrupt", "start", "delete")
READS_ONLY = MAY | dict.fromkeys(
    (*WRITES, "create webhook", "update webhook", "delete webhook", "trigger"), DENIED
)
ELSEWHERE = dict.fromkeys(CALLS, MISSING) | {
    "list": OTHERS,
    "create": MADE,
    "events": OTHERS,
    "list webhooks": OTHERS,
    "create webhook": MADE,
    "itself": OK,
    "callbacks": OTHERS,
}
OF_WEBHOOKS = (*(call for call in CALLS if "webhook" in call), "callbacks")
NOBODY = dict.fromkeys(CALLS, INVALID)
BARRED = dict.fromkeys(CALLS, DENIED)

EXPECTED: dict[str, dict[str, str]] = {
    "nobody": NOBODY,
    "a made-up token": NOBODY,
    "a token of all organizations": MAY,
    "a token of its own organization": MAY,
    "a token of another organization": ELSEWHERE,
    "a token that only reads": READS_ONLY,
    "a token of other resources": ELSEWHERE | dict.fromkeys(("create", *OF_WEBHOOKS), DENIED),
    "an expired token": NOBODY,
    "a revoked token": NOBODY,
    "an integration": MAY,
    "an integration of all organizations": MAY,
    "an integration of another organization": ELSEWHERE,
    "an integration that only reads": READS_ONLY,
    "a revoked integration": NOBODY,
    "an integration's secret": NOBODY,
    "a sales channel": BARRED,
    "a sales channel of another organization": BARRED,
    "a signed token that was revoked": NOBODY,
    "a believed issuer's integration": MAY,
    "a believed issuer's command line": MAY,
    "a believed issuer's integration of another organization": ELSEWHERE,
    "a believed issuer's sales channel": BARRED,
    "a believed issuer's web application": BARRED,
    "a believed issuer's customer": BARRED,
    "a believed issuer's token of no organization": NOBODY,
    "a believed issuer's expired token": NOBODY,
    "a believed issuer's token under our name": NOBODY,
    "another issuer's integration": NOBODY,
}


class House:
    """A service with exports of organization 1, and a token for every kind of caller."""

    def __init__(self, outhaul: Outhaul, http: httpx.Client, other: Authority) -> None:
        self.outhaul, self.http, self.other = outhaul, http, other
        self.owner = Caller("owner", "owner", "1")
        asker = Asker(outhaul, http, tenant="1")
        self.done: str = finished(asker)["id"]
        hook, _ = outhaul.exports.webhooks.create(
            self.owner, "commercelayer", {"event": "failed", "url": "http://127.0.0.1:9/"}
        )
        with outhaul.ledger._write() as write:
            record(write, hook.id, 1, hook.url, None, "away")
            known = sa.select(callbacks.c.public).where(callbacks.c.webhook == hook.id)
            self.tried: str = write.execute(known).scalar_one()

    def opaque(self, **granted: Any) -> str:
        return self.outhaul.access.make_token("x", **granted)[0]

    def client(self, kind: str = "integration", **granted: Any) -> tuple[Token, str | None, str]:
        secret, kept = self.outhaul.access.make_client("x", kind, **granted)
        answer = self.http.post(
            "/oauth/token",
            json={"grant_type": "client_credentials", "client_id": kept.id, "client_secret": secret},
        )
        return kept, secret, answer.json()["access_token"]

    def foreign(self, kind: str = "integration", organization: str | None = "1", **claims: Any) -> str:
        return self.other.token(
            application={"id": "app", "client_id": "c", "kind": kind, "public": False},
            organization={"id": organization, "slug": "x"},
            **claims,
        )

    def token(self, who: str) -> str:
        return TOKENS[who](self)

    def revoked(self) -> str:
        token, kept = self.outhaul.access.make_token("x", tenant="1")
        self.outhaul.access.revoke(kept.id)
        return token

    def revoked_client(self) -> str:
        kept, _, token = self.client(tenant="1")
        self.outhaul.access.revoke_client(kept.id)
        return token

    def ended(self) -> str:
        kept, secret, token = self.client(tenant="1")
        given = {"client_id": kept.id, "client_secret": secret, "token": token}
        assert self.http.post("/oauth/revoke", json=given).json() == {}
        return token

    def fresh(self, move: str | None = None) -> str:
        """An export of organization 1 that waits, or was interrupted."""
        export = self.outhaul.exports.create(self.owner, ORDERS)
        if move == "start":
            self.outhaul.exports.interrupt(self.owner, export.id)
        return export.id

    def call(self, method: str, path: str, token: str, body: Any = None) -> httpx.Response:
        headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self.http.request(method, f"/api{path}", headers=headers, json=body)

    def change(self, token: str, export: str, **attributes: Any) -> httpx.Response:
        body = {"data": {"type": "exports", "id": export, "attributes": attributes}}
        return self.call("PATCH", f"/exports/{export}", token, body)

    def answer(self, call: str, token: str) -> str:
        """Status and code of one cell, and for a list whether it shows the export."""
        if call == "list":
            shown = self.call("GET", "/exports?page[size]=25&sort=created_at", token)
            if shown.status_code == 200 and self.done not in [one["id"] for one in shown.json()["data"]]:
                return OTHERS
            return told(shown)
        if call == "read":
            (one,) = {told(self.call("GET", path.format(export_id=self.done), token)) for path in READS}
            return one
        if call == "create":
            body = {"data": {"type": "exports", "attributes": {"resource_type": "orders"}}}
            return told(self.call("POST", "/exports", token, body))
        if call == "events":
            fresh = self.fresh()
            found = [self.call("GET", f"/{kind}?page[size]=25", token) for kind in LISTS]
            (one,) = {told(shown) for shown in found}
            return OTHERS if one == OK and not any(fresh in shown.text for shown in found) else one
        if call == "itself":
            (one,) = {told(self.call("GET", path, token)) for path in ("/organization", "/application")}
            return one
        if call in {*OF_WEBHOOKS, "trigger"}:
            return self.of_callbacks(call, token) or self.of_webhooks(call, token)
        export = self.fresh(call)
        if call == "delete":
            return told(self.call("DELETE", f"/exports/{export}", token))
        changes: dict[str, dict[str, Any]] = {
            "update": {"reference": "x"},
            "interrupt": {"_interrupt": True},
            "start": {"_start": True},
        }
        return told(self.change(token, export, **changes[call]))

    def of_callbacks(self, call: str, token: str) -> str:
        if call == "callbacks":
            shown = self.call("GET", "/event_callbacks", token)
            there = shown.status_code == 200 and self.tried in [one["id"] for one in shown.json()["data"]]
            return OTHERS if shown.status_code == 200 and not there else told(shown)
        if call != "trigger":
            return ""
        export = self.fresh()
        (event,) = self.call("GET", f"/exports/{export}/events", self.opaque(tenant="1")).json()["data"]
        body = {"data": {"type": "events", "id": event["id"], "attributes": {"_trigger": True}}}
        return told(self.call("PATCH", f"/events/{event['id']}", token, body))

    def of_webhooks(self, call: str, token: str) -> str:
        about = {"topic": "exports.fail", "callback_url": "http://127.0.0.1:9/"}
        if call == "create webhook":
            body = {"data": {"type": "webhooks", "attributes": about}}
            return told(self.call("POST", "/webhooks", token, body))
        owner = self.opaque(tenant="1")
        made = self.call("POST", "/webhooks", owner, {"data": {"type": "webhooks", "attributes": about}})
        webhook = made.json()["data"]["id"]
        path = f"/webhooks/{webhook}"
        body = {"data": {"type": "webhooks", "id": webhook, "attributes": {"name": "x"}}}
        method = {"read": "GET", "update": "PATCH", "delete": "DELETE"}.get(call.split(maxsplit=1)[0])
        if method:
            answer = told(self.call(method, path, token, body if method == "PATCH" else None))
            self.call("DELETE", path, owner)
            return answer
        shown = self.call("GET", "/webhooks?page[size]=25", token)
        self.call("DELETE", path, owner)
        there = shown.status_code == 200 and webhook in shown.text
        return OTHERS if shown.status_code == 200 and not there else told(shown)


TOKENS: dict[str, Callable[[House], str]] = {
    "nobody": lambda _: "",
    "a made-up token": lambda _: "oh_" + "A" * 43,
    "a token of all organizations": lambda house: house.opaque(all_tenants=True),
    "a token of its own organization": lambda house: house.opaque(tenant="1"),
    "a token of another organization": lambda house: house.opaque(tenant="2"),
    "a token that only reads": lambda house: house.opaque(tenant="1", read_only=True),
    "a token of other resources": lambda house: house.opaque(tenant="1", resources=("countries",)),
    "an expired token": lambda house: house.opaque(
        tenant="1", expires_at=datetime.now(UTC) - timedelta(seconds=1)
    ),
    "a revoked token": House.revoked,
    "an integration": lambda house: house.client(tenant="1")[2],
    "an integration of all organizations": lambda house: house.client(all_tenants=True)[2],
    "an integration of another organization": lambda house: house.client(tenant="2")[2],
    "an integration that only reads": lambda house: house.client(tenant="1", read_only=True)[2],
    "a revoked integration": House.revoked_client,
    "an integration's secret": lambda house: house.client(tenant="1")[1] or "",
    "a sales channel": lambda house: house.client("sales_channel", tenant="1")[2],
    "a sales channel of another organization": lambda house: house.client("sales_channel", tenant="2")[2],
    "a signed token that was revoked": House.ended,
    "a believed issuer's integration": lambda house: house.foreign(),
    "a believed issuer's command line": lambda house: house.foreign("cli"),
    "a believed issuer's integration of another organization": lambda house: house.foreign(organization="2"),
    "a believed issuer's sales channel": lambda house: house.foreign("sales_channel"),
    "a believed issuer's web application": lambda house: house.foreign("webapp"),
    "a believed issuer's customer": lambda house: house.foreign(owner={"id": "x", "type": "Customer"}),
    "a believed issuer's token of no organization": lambda house: house.foreign(organization=None),
    "a believed issuer's expired token": lambda house: house.foreign(exp=int(time.time()) - 120),
    "a believed issuer's token under our name": lambda house: house.foreign(
        iss=str(house.http.base_url).rstrip("/")
    ),
    "another issuer's integration": lambda house: house.foreign(iss="https://elsewhere.example.com"),
}

ROUTES = (
    *(*polled.routes, *router.routes),
    *(*history.router.routes, *hooks.router.routes, *related.router.routes),
)
LISTS = ("events", "event_stores", "versions")

# Every GET of one export, whoever adds it: each must answer each caller as the others do.
READS = sorted(
    {
        getattr(route, "path", "")
        for route in ROUTES
        if "GET" in getattr(route, "methods", ()) and "{export_id}" in getattr(route, "path", "")
    }
)


def told(answer: httpx.Response) -> str:
    if answer.status_code < 400:
        return str(answer.status_code)
    return f"{answer.status_code} {answer.json()['errors'][0]['code']}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    place = shop(tmp_path_factory.mktemp("matrix"))
    with (
        authority() as other,
        of_shop(place, trusted_issuers=[other.url], webhook_networks=["127.0.0.1"]) as outhaul,
        served(outhaul) as http,
    ):
        house = House(outhaul, http, other)
        outhaul.engine.close(10)  # from here on exports wait, so that each can still be moved
        yield house


def test_the_matrix_has_a_row_for_every_caller_and_every_way_to_write() -> None:
    assert set(EXPECTED) == set(TOKENS)
    writes = {
        (method, getattr(route, "path", ""))
        for route in ROUTES
        for method in getattr(route, "methods", ())
        if method not in {"GET", "HEAD"}
    }
    assert writes == {
        ("POST", "/exports"),
        ("PATCH", "/exports/{export_id}"),
        ("DELETE", "/exports/{export_id}"),
        ("POST", "/webhooks"),
        ("PATCH", "/webhooks/{webhook_id}"),
        ("DELETE", "/webhooks/{webhook_id}"),
        ("PATCH", "/events/{event_id}"),
    }
    assert "/exports/{export_id}" in READS


@pytest.mark.parametrize("who", EXPECTED)
def test_every_call_answers_every_caller_as_the_matrix_has_it(house: House, who: str) -> None:
    token = house.token(who)
    assert {call: house.answer(call, token) for call in CALLS} == EXPECTED[who]


PLACES = {
    "ExportID": "/exports",
    "EventID": "/events",
    "VersionID": "/versions",
    "EventStoreID": "/event_stores",
    "WebhookID": "/webhooks",
    "EventCallbackID": "/event_callbacks",
}
# Of each kind of row above one caller, and what every documented call says to it: if it reads, if it writes.
EVERYWHERE: dict[str, tuple[str, str]] = {
    "nobody": (INVALID, INVALID),
    "a sales channel": (DENIED, DENIED),
    "a token that only reads": (OK, DENIED),
    "a token of another organization": (MISSING, MISSING),
}


@pytest.mark.parametrize("who", EVERYWHERE)
def test_every_documented_call_about_one_thing_keeps_out_whom_the_matrix_does(house: House, who: str) -> None:
    owner, token = house.opaque(tenant="1"), house.token(who)
    there = {
        name: house.call("GET", f"{at}?page[size]=1", owner).json()["data"][0]["id"]
        for name, at in PLACES.items()
    }
    there["ExportID"] = house.done
    asked = 0
    for (method, path), call in documented.operations().items():
        placed = [one["$ref"].rpartition("/")[2] for one in call.get("parameters", ())]
        known = {
            documented.resolved(ref("parameters", name))["name"]: there[name]
            for name in placed
            if name in PLACES
        }
        if known and path.startswith("/api/"):
            body = call.get("requestBody", {}).get("content", {}).get(MEDIA_TYPE, {}).get("example")
            answer = house.call(method.upper(), path.removeprefix("/api").format(**known), token, body)
            assert told(answer) == EVERYWHERE[who][method != "get"], (method, path)
            asked += 1
    assert asked > 30
