"""The official @commercelayer/sdk, the newest and 7.10, against a sandbox: every call of exports that it has."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.sandboxes import Sandbox
from tests.terminal import until

HERE = Path(__file__).parent / "commercelayer"
NEWEST, OLDER = "@commercelayer/sdk", "@commercelayer/sdk-7.10"
GOING = {"pending", "in_progress"}


class ApiError(Exception):
    """What the SDK has thrown."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.name, self.status, self.errors = error["name"], error.get("status"), error.get("errors") or []

    @property
    def first(self) -> tuple[int | None, str, str]:
        """Status, code and pointer of its first error."""
        error = self.errors[0]
        return self.status, error["code"], error.get("source", {}).get("pointer", "")


@dataclass
class Sdk:
    """One version of the SDK in a Node of its own. `last`: the whole of its last answer."""

    name: str
    process: subprocess.Popen[str]
    sandbox: Sandbox
    last: dict[str, Any]

    def _said(self, **words: Any) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        self.last = json.loads(self.process.stdout.readline())
        return self.last

    def sign_in(self, token: str = "access_token", **credentials: str) -> None:
        """With one of the sandbox's tokens, and neither organization nor domain: they are in the token. With
        `credentials` it refreshes its token by itself."""
        self._said(config={"accessToken": self.sandbox.credentials[token]}, credentials=credentials or None)

    def call(self, path: str, *args: Any) -> Any:
        """`call("exports.retrieve", id)` is `client.exports.retrieve(id)`; ApiError."""
        found = self._said(path=path, args=args)
        if "error" in found:
            raise ApiError(found["error"])
        return found["value"]

    def create(self, **attributes: Any) -> Any:
        return self.call("exports.create", {"resource_type": "skus", "format": "json", **attributes})

    def ended(self, export_id: str) -> Any:
        """The export as soon as it runs no more."""

        def there() -> Any:
            found = self.call("exports.retrieve", export_id)
            return found if found["status"] not in GOING else None

        return until(there, f"{export_id} has ended")


@pytest.fixture(
    scope="module", params=[NEWEST, pytest.param(OLDER, marks=pytest.mark.heavy)], ids=["newest", "7.10"]
)
def node(request: pytest.FixtureRequest, clients: Path, sandbox: Sandbox) -> Iterator[Sdk]:
    command = [
        clients / "bin" / "node",
        "--require",
        HERE / "hosts.cjs",
        HERE / "sdk.cjs",
        clients,
        request.param,
    ]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"SANDBOX": sandbox.base},
    ) as process:
        yield Sdk(request.param, process, sandbox, {})
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def sdk(node: Sdk) -> Sdk:
    node.sign_in()
    return node


def file(export: dict[str, Any]) -> Any:
    """The rows of a completed export, by its link and without a token."""
    return json.loads(gzip.decompress(httpx.get(export["attachment_url"], trust_env=False).content))


def rows(sandbox: Sandbox, question: str) -> list[Any]:
    """What the shop answers."""
    with closing(sqlite3.connect(sandbox.database)) as connection:
        return [found for (found,) in connection.execute(question)]


def test_an_export_is_created_polled_and_downloaded(sdk: Sdk) -> None:
    made = sdk.create(includes=["prices.price_tiers"], filters={"code_start": "T"}, metadata={"for": "me"})
    assert made["type"] == "exports"
    assert made["status"] in GOING
    assert (made["includes"], made["fields"], made["filters"]) == (
        ["prices.price_tiers"],
        [],
        {"code_start": "T"},
    )
    ended = sdk.ended(made["id"])
    assert ended["status"] == "completed"
    assert ended["progress"] == 100
    got = file(ended)
    wanted = rows(sdk.sandbox, "SELECT id FROM skus WHERE organization_id = 'sandbox' AND code LIKE 'T%'")
    assert {row["id"] for row in got} == set(wanted)
    assert len(got) == ended["records_count"] == ended["processed_count"] == len(wanted)
    assert all(price["price_tiers"] is not None for row in got for price in row["prices"])


def test_lists_have_filters_order_and_pages(sdk: Sdk) -> None:
    origin = f"lists {sdk.name}"
    for name in ("a", "b", "c"):
        sdk.create(
            resource_type="tags", reference=name, reference_origin=origin, metadata={"kind": {"of": name}}
        )

    def listed(**query: Any) -> list[str]:
        query["filters"] = {"reference_origin_eq": origin} | query.get("filters", {})
        return [one["reference"] for one in sdk.call("exports.list", query)]

    assert listed(sort=["-reference"], pageSize=2) == ["c", "b"]
    assert sdk.last["meta"] == {"pageCount": 2, "recordCount": 3, "currentPage": 1, "recordsPerPage": 2}
    assert listed(sort={"reference": "desc"}, pageSize=2, pageNumber=2) == ["a"]
    assert sdk.last["meta"] == {"pageCount": 2, "recordCount": 3, "currentPage": 2, "recordsPerPage": 2}
    assert sorted(listed(sort=["-started_at"], pageSize=25)) == ["a", "b", "c"]
    assert sorted(listed(filters={"reference_in": ["a", "c"]})) == ["a", "c"]
    assert listed(filters={"reference_not_in_or_null": ["a", "c"]}) == ["b"]
    assert listed(filters={"metadata_jcont": {"kind": {"of": "b"}}}) == ["b"]
    assert listed(filters={"reference_or_resource_type_cont": "c"}) == ["c"]
    assert listed(filters={"status_eq": "failed"}) == []
    assert sdk.last["meta"]["recordCount"] == 0


def test_only_the_fields_that_are_asked_for_come(sdk: Sdk) -> None:
    made = sdk.create(reference="sparse")
    got = sdk.call("exports.retrieve", made["id"], {"fields": ["reference", "status"]})
    assert got.keys() == {"id", "type", "reference", "status"}


def test_relations_come_whole_when_they_are_included(sdk: Sdk) -> None:
    made = sdk.create()
    assert "events" not in made
    events = sdk.call("exports.retrieve", made["id"], {"include": ["events"]})["events"]
    assert "exports.create" in {event["name"] for event in events}, "it may have begun since"


def test_it_is_updated(sdk: Sdk) -> None:
    made = sdk.create(reference="before", reference_origin="shop")
    changes = {"reference": "after", "reference_origin": None, "metadata": {"a": [1, None]}}
    got = sdk.call("exports.update", {"id": made["id"], **changes})
    assert {name: got[name] for name in changes} == changes
    got = sdk.call("exports.retrieve", made["id"])
    assert {name: got[name] for name in changes} == changes


def test_it_is_interrupted_and_started_again(sdk: Sdk) -> None:
    made = sdk.create(resource_type="line_items")
    until(lambda: sdk.call("exports.retrieve", made["id"])["progress"], "progress")
    stopped = sdk.call("exports._interrupt", made["id"])
    assert stopped["status"] == "interrupted"
    assert 0 < stopped["progress"] < 100
    if sdk.name == NEWEST:
        again = sdk.call("exports._start", made["id"])
    else:
        again = sdk.call("exports.update", {"id": made["id"], "_start": True})
    assert again["status"] in GOING
    wanted = rows(sdk.sandbox, "SELECT id FROM line_items WHERE organization_id = 'sandbox'")
    assert sorted(row["id"] for row in file(sdk.ended(made["id"]))) == sorted(wanted)


def test_what_happened_is_told(sdk: Sdk) -> None:
    made = sdk.create(resource_type="tags")
    sdk.ended(made["id"])
    sdk.call("exports.update", {"id": made["id"], "reference": "new"})
    names = [one["name"] for one in sdk.call("exports.events", made["id"])]
    assert names == ["exports.complete", "exports.start", "exports.create"]
    stores = sdk.call("exports.event_stores", made["id"])
    assert (stores[0]["event"], stores[0]["payload"]) == (
        "update",
        {"reference": {"from": None, "to": "new"}},
    )
    assert stores[0]["who"]["application"]["client_id"] == sdk.sandbox.credentials["client_id"]
    assert stores[-1]["event"] == "create"
    assert {one["resource_id"] for one in stores} == {made["id"]}


def test_versions_are_told_to_the_sdk_that_asks_for_them(sdk: Sdk) -> None:
    made = sdk.create(resource_type="tags")
    if sdk.name == NEWEST:
        with pytest.raises(ApiError, match="is not a function"):
            sdk.call("exports.versions", made["id"])
        return
    sdk.call("exports.update", {"id": made["id"], "reference": "new"})
    versions = sdk.call("exports.versions", made["id"])
    assert {"reference": [None, "new"]} in [one["changes"] for one in versions]


def test_it_is_deleted(sdk: Sdk) -> None:
    made = sdk.create(resource_type="tags")
    sdk.ended(made["id"])
    assert sdk.call("exports.delete", made["id"]) is None
    with pytest.raises(ApiError) as error:
        sdk.call("exports.retrieve", made["id"])
    assert error.value.first == (404, "RECORD_NOT_FOUND", "")


@pytest.mark.parametrize(
    ("wish", "pointer", "meta"),
    [
        (
            {"filters": {"code_eq": "none"}},
            "records_count",
            {"error": "greater_than", "count": 0, "value": 0},
        ),
        ({"resource_type": "nothing"}, "resource_type", {"error": "inclusion"}),
        ({"resource_type": None}, "resource_type", {"error": "blank"}),
        ({"format": "doc"}, "format", {"error": "inclusion"}),
    ],
)
def test_what_cannot_be_exported_is_an_api_error(
    wish: dict[str, Any], pointer: str, meta: dict[str, Any], sdk: Sdk
) -> None:
    with pytest.raises(ApiError) as error:
        sdk.create(**wish)
    assert error.value.first == (422, "VALIDATION_ERROR", f"/data/attributes/{pointer}")
    assert error.value.errors[0]["meta"]["error"] == meta["error"]


def test_dry_data_leaves_out_what_an_import_makes_anew(sdk: Sdk) -> None:
    made = sdk.create(resource_type="prices", dry_data=True)
    assert made["dry_data"] is True
    got = file(sdk.ended(made["id"]))
    told = "SELECT sku_code || amount_cents || price_list_id FROM prices WHERE organization_id = 'sandbox'"
    found = [f"{row['sku_code']}{row['amount_cents']}{row['price_list_id']}" for row in got]
    assert sorted(found) == sorted(rows(sdk.sandbox, told))
    for row in got:
        assert not {"id", "created_at", "updated_at"} & row.keys()
        assert all(value not in (None, "", {}, []) for value in row.values())


def test_jwt_filters_narrow_an_export_to_the_market_of_the_token(sdk: Sdk) -> None:
    given, orders = sdk.sandbox.credentials, "SELECT id FROM orders WHERE organization_id = 'sandbox'"
    own = {"clientId": given["client_id"], "clientSecret": given["client_secret"]}
    sdk.sign_in("expired_token", **own, scope="market:code:europe")
    europe = f"{orders} AND market_id IN (SELECT id FROM markets WHERE code = 'europe')"
    for narrow, question in ((True, europe), (False, orders)):
        made = sdk.create(resource_type="orders", fields=["id"], jwt_filters=narrow)
        assert made["jwt_filters"] is narrow
        ended = sdk.ended(made["id"])
        wanted = rows(sdk.sandbox, question)
        assert sorted(row["id"] for row in file(ended)) == sorted(wanted)
        assert ended["records_count"] == len(wanted)
    assert len(rows(sdk.sandbox, europe)) < len(rows(sdk.sandbox, orders))
    sdk.sign_in("expired_token", **own, scope="stock_location:id:none")
    with pytest.raises(ApiError) as error:
        sdk.create(resource_type="orders", jwt_filters=True)
    assert error.value.first == (422, "VALIDATION_ERROR", "/data/attributes/jwt_filters")


def test_webhooks_are_made_changed_and_told_of(sdk: Sdk) -> None:
    wanted = {"topic": "exports.fail", "callback_url": "http://127.0.0.1:9/", "name": "mine"}
    made = sdk.call("webhooks.create", wanted)
    assert len(made["shared_secret"]) == 64
    assert sdk.call("webhooks._disable", made["id"])["disabled_at"]
    assert sdk.call("webhooks._enable", made["id"])["disabled_at"] is None
    assert sdk.call("webhooks._reset_circuit", made["id"])["circuit_state"] == "closed"
    assert [one["id"] for one in sdk.call("webhooks.list", {"filters": {"name_eq": "mine"}})] == [made["id"]]
    stores = sdk.call("webhooks.event_stores", made["id"])
    assert [(one["event"], one["resource_type"]) for one in stores] == [
        ("update", "webhooks"),
        ("update", "webhooks"),
        ("create", "webhooks"),
    ]
    if sdk.name == OLDER:
        assert len(sdk.call("webhooks.versions", made["id"])) == 3
    assert sdk.call("webhooks.last_event_callbacks", made["id"]) == []
    event = sdk.call("exports.events", sdk.create(resource_type="tags")["id"])[-1]
    noted = sdk.call("events.update", {"id": event["id"], "reference": "mine", "metadata": {"a": 1}})
    assert (noted["name"], noted["reference"], noted["metadata"]) == ("exports.create", "mine", {"a": 1})
    assert sdk.call("events._trigger", event["id"])["id"] == event["id"]
    assert sdk.call("webhooks.delete", made["id"]) is None
    with pytest.raises(ApiError) as error:
        sdk.call("webhooks.retrieve", made["id"])
    assert error.value.first == (404, "RECORD_NOT_FOUND", "")


def test_who_may_not_ask_gets_an_api_error(sdk: Sdk) -> None:
    made = sdk.create(resource_type="tags")
    for token, code in (
        ("expired_token", "INVALID_TOKEN"),
        ("sales_channel_token", "UNAUTHORIZED"),
        ("other_organization_token", "RECORD_NOT_FOUND"),
    ):
        sdk.sign_in(token)
        with pytest.raises(ApiError) as error:
            sdk.call("exports.retrieve", made["id"])
        assert error.value.name == "ApiError"
        assert error.value.errors[0]["code"] == code


def test_an_expired_token_is_refreshed_by_the_clients_themselves(sdk: Sdk) -> None:
    given = sdk.sandbox.credentials
    sdk.sign_in("expired_token", clientId=given["client_id"], clientSecret=given["client_secret"])
    assert sdk.create(resource_type="tags")["status"] in GOING
    refreshed = sdk.last["refreshed"]
    assert refreshed
    assert sdk.call("exports.list")
    assert sdk.last["refreshed"] == refreshed
