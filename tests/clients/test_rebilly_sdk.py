"""The official rebilly-js-sdk, unchanged, against a sandbox: organization exports and files, and what is in them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import sqlite3
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from outhaul import manifest
from outhaul.dialects.rebilly.mapping import TYPES
from tests.sandboxes import Sandbox
from tests.terminal import until

HERE = Path(__file__).parent / "rebilly"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
GOING = {"pending", "queued", "processing"}
# The tables of the sandbox's shop that are each of the types.
TABLES = {name: name.replace("-", "_") for name in TYPES} | {
    "payment-instruments": "customer_payment_sources",
    "products": "skus",
}


class RebillyError(Exception):
    """What the SDK has thrown."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.name, self.status, self.body = error["name"], error.get("status"), error.get("body") or {}


@dataclass
class Sdk:
    """The SDK in a Node of its own."""

    process: subprocess.Popen[str]
    sandbox: Sandbox

    def said(self, **words: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        found = json.loads(self.process.stdout.readline())
        if "error" in found:
            raise RebillyError(found["error"])
        return found.get("value")

    @property
    def credentials(self) -> dict[str, str]:
        told: dict[str, str] = self.sandbox.told["rebilly"]
        return told

    def sign_in(self, key: str | None = "api_key", organization: str | None = None, **more: Any) -> None:
        """With one of the sandbox's keys, and the organization in the address if one is given."""
        base = self.sandbox.base
        config = {"urls": {"live": base, "sandbox": base}, "timeout": 20_000}
        config |= {"apiKey": self.credentials[key]} if key else {}
        config |= {"organizationId": organization} if organization else {}
        self.said(config=config, **more)

    def call(self, path: str, *args: Any, **more: Any) -> Any:
        """`call("files.get", {"id": ...})` is `client.files.get({id: ...})`; RebillyError."""
        return self.said(path=path, args=args, **more)

    def ended(self, export_id: str) -> dict[str, Any]:
        """The export as soon as it is completed."""

        def there() -> Any:
            found = self.call("organizationExports.get", {"id": export_id})["fields"]
            return found if found["status"] not in GOING else None

        found: dict[str, Any] = until(there, "it has ended")
        assert found["status"] == "completed"
        return found


@pytest.fixture(scope="module")
def node(clients: Path, sandbox: Sandbox) -> Iterator[Sdk]:
    environment = {name: value for name, value in os.environ.items() if name.lower() not in PROXIES}
    with subprocess.Popen(
        [clients / "bin" / "node", HERE / "sdk.cjs", clients],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        yield Sdk(process, sandbox)
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def sdk(node: Sdk) -> Sdk:
    node.sign_in()
    return node


@pytest.fixture(scope="module")
def done(node: Sdk) -> dict[str, Any]:
    """An export of everything that the organization has."""
    node.sign_in()
    made = node.call("organizationExports.create", {})
    assert (made["status"], made["fields"]["status"]) == (201, "pending")
    return node.ended(made["fields"]["id"])


def counted(sdk: Sdk) -> dict[str, int]:
    """The rows of each type, asked of the database."""
    organization = sdk.credentials["organization_id"]
    with closing(sqlite3.connect(sdk.sandbox.database)) as connection:
        return {
            name: connection.execute(
                f"SELECT count(*) FROM {table} WHERE organization_id = ?", (organization,)
            ).fetchone()[0]
            for name, table in TABLES.items()
        }


def test_an_export_counts_all_types_as_the_database_does(sdk: Sdk, done: dict[str, Any]) -> None:
    found = {one["type"]: one["recordCount"] for one in done["resources"]}
    assert found == counted(sdk)
    assert list(found) == list(TYPES)
    assert min(found.values()) > 0


def test_it_is_listed_and_found_by_what_it_is(sdk: Sdk, done: dict[str, Any]) -> None:
    def listed(**query: Any) -> list[str]:
        found = sdk.call("organizationExports.getAll", query)
        assert found["page"]["total"] >= len(found["items"])
        return [one["id"] for one in found["items"]]

    assert done["id"] in listed()
    assert listed(filter=f"id:{done['id']}") == [done["id"]]
    assert done["id"] not in listed(filter="status:failed")
    page = sdk.call("organizationExports.getAll", {"limit": 1, "offset": 1000})["page"]
    assert (page["limit"], page["offset"]) == (1, 1000)


def test_its_file_holds_every_row_in_both_formats(sdk: Sdk, done: dict[str, Any], tmp_path: Path) -> None:
    file = sdk.call("files.get", {"id": done["fileId"]})["fields"]
    place = tmp_path / "whole.zip"
    kept = sdk.call("files.download", {"id": done["fileId"]}, place=str(place))
    assert (kept["length"], kept["sha1"]) == (file["size"], file["sha1"])
    with zipfile.ZipFile(place) as found:
        assert found.testzip() is None
        found.extractall(tmp_path / "out")
    subprocess.run(["unzip", "-tq", place], check=True, capture_output=True)
    assert manifest.verify_folder(tmp_path / "out", deep=True) == ()
    names = [f"{name}.{form}" for name in TYPES for form in ("json", "csv")]
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == sorted([*names, "manifest.json"])
    with closing(sqlite3.connect(sdk.sandbox.database)) as connection:
        connection.row_factory = sqlite3.Row
        for name, table in TABLES.items():
            organization = sdk.credentials["organization_id"]
            wanted = connection.execute(
                f"SELECT * FROM {table} WHERE organization_id = ? ORDER BY id", (organization,)
            ).fetchall()
            rows = json.loads((tmp_path / "out" / f"{name}.json").read_text())
            lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / f"{name}.csv").read_text())))
            for read in (rows, lines):
                by_id = {one["id"]: one for one in read}
                assert len(read) == len(by_id) == len(wanted)
                for row in wanted:
                    same(by_id[row["id"]], dict(row))


def same(read: dict[str, Any], row: dict[str, Any]) -> None:
    """A row as it was read back is the one of the database; a table of text knows no types."""
    for name, value in row.items():
        if name in {"organization_id", "content"}:
            assert name not in read
        elif value is None:
            assert read[name] in {None, ""}
        elif isinstance(value, int | float):
            told = {"t": 1, "f": 0, True: 1, False: 0}.get(read[name], read[name])
            assert Decimal(str(told)) == Decimal(str(value))
        elif isinstance(read[name], str):
            assert read[name] == value
        else:
            assert read[name] == json.loads(value)


@pytest.mark.heavy
def test_the_files_of_the_organization_are_included_where_they_are_wished(sdk: Sdk, tmp_path: Path) -> None:
    made = sdk.call("organizationExports.create", {"data": {"includeFiles": True}})["fields"]
    found = sdk.ended(made["id"])
    sdk.call("files.download", {"id": found["fileId"]}, place=str(tmp_path / "whole.zip"))
    with closing(sqlite3.connect(sdk.sandbox.database)) as connection:
        wanted = connection.execute(
            "SELECT id, name, content FROM files WHERE organization_id = ?",
            (sdk.credentials["organization_id"],),
        ).fetchall()
    with zipfile.ZipFile(tmp_path / "whole.zip") as archive:
        assert len([one for one in archive.namelist() if one.startswith("files/")]) == len(wanted) > 0
        for key, name, content in wanted:
            told = hashlib.sha256(key.encode()).hexdigest()[:12]  # for the key is in upper case
            assert archive.read(f"files/files/{key}-{told}/{name}") == content


def test_a_session_token_and_an_organization_in_the_address_do_the_same(
    sdk: Sdk, done: dict[str, Any]
) -> None:
    sdk.sign_in(None, token=sdk.credentials["jwt"])
    assert sdk.call("organizationExports.get", {"id": done["id"]})["fields"]["id"] == done["id"]
    sdk.sign_in("api_key", sdk.credentials["organization_id"])
    assert sdk.call("organizationExports.get", {"id": done["id"]})["fields"]["id"] == done["id"]
    assert sdk.call("organizationExports.create", {"data": {"includeFiles": False}})["status"] == 201


def refused(sdk: Sdk, path: str, *args: Any) -> tuple[str, int]:
    with pytest.raises(RebillyError) as thrown:
        sdk.call(path, *args)
    error = thrown.value
    assert error.body["status"] == error.status
    return error.name, error.status or 0


def test_refusals_are_the_errors_that_the_sdk_knows(sdk: Sdk, done: dict[str, Any]) -> None:
    missing = {"id": "org_exp_01HXC7MKK4GCS6WRRXY4X9CRMK"}
    assert refused(sdk, "organizationExports.get", missing) == ("RebillyNotFoundError", 404)
    assert refused(sdk, "organizationExports.getAll", {"limit": 1001}) == ("RebillyValidationError", 422)
    assert refused(sdk, "files.get", {"id": "file_01HXC7MKK4GCS6WRRXY4X9CRMK"}) == (
        "RebillyNotFoundError",
        404,
    )
    sdk.sign_in("other_api_key")
    for path, given in (("organizationExports.get", done["id"]), ("files.get", done["fileId"])):
        assert refused(sdk, path, {"id": given}) == ("RebillyNotFoundError", 404)
    sdk.sign_in("other_api_key", sdk.credentials["organization_id"])
    assert refused(sdk, "organizationExports.getAll") == ("RebillyRequestError", 403)
    sdk.sign_in("limited_key")
    assert refused(sdk, "organizationExports.create", {}) == ("RebillyRequestError", 403)
    assert sdk.call("organizationExports.get", {"id": done["id"]})["fields"]["id"] == done["id"]
    sdk.sign_in(None, token="x.y.z")
    assert refused(sdk, "organizationExports.getAll") == ("RebillyForbiddenError", 401)
