"""The sandbox for clients of Batch: every attribute and event of a project, and keys that are worth what they say."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from outhaul.access import Access
from outhaul.commands import sandbox as command
from outhaul.dialects.batch import mapping, parse
from outhaul.sandbox import batch
from outhaul.sandbox.credentials import HOME, OTHER
from tests import drafts, sandboxes
from tests.batches import Key, stamp
from tests.sandboxes import Sandbox

MEMBERS = {"rest_key", "project", "profiles", "segment", "other_rest_key", "other_project"}
JSON = ("push_subscriptions", "topic_preferences")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    home = tmp_path_factory.mktemp("sandbox")
    with sandboxes.started(home, "--scale", "0.1", "--rows-per-second", "100000") as found:
        yield found


@pytest.fixture(scope="module")
def key(sandbox: Sandbox) -> Key:
    told = sandbox.told["batch"]
    return Key(sandbox.client, told["rest_key"], told["project"])


def asked(sandbox: Sandbox, question: str, *values: Any) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(sandbox.database)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(question, values)]


def ordered(rows: list[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def test_its_line_tells_all_that_clients_of_batch_need(sandbox: Sandbox) -> None:
    told = sandbox.told["batch"]
    assert told.keys() == MEMBERS
    assert told["project"].startswith("project_")
    assert len(told["project"]) == len("project_0664hxvwffvbpn278gxdyhsadddqgna6")
    (found,) = asked(sandbox, "SELECT count(*) AS n FROM profiles WHERE organization_id = 'sandbox'")
    assert told["profiles"] == found["n"] == 40
    assert set(batch.KINDS) == set(parse.EVENTS)


def test_every_native_attribute_and_a_custom_one_are_as_in_the_database(sandbox: Sandbox, key: Key) -> None:
    shown = key.ended(
        export_type="ATTRIBUTES",
        attributes=[*mapping.NATIVE, "firstname"],
        identifiers=["custom_id", "installation_ids"],
    )
    wanted = []
    for row in asked(sandbox, "SELECT * FROM profiles WHERE organization_id = 'sandbox'"):
        devices = asked(sandbox, "SELECT * FROM installations WHERE profile_id = ? ORDER BY id", row["id"])
        told = {
            "custom_id": row["custom_id"],
            "installation_ids": [one["installation_id"] for one in devices],
        }
        values = {"firstname": row["firstname"]} | {one: row[one[1:]] for one in mapping.NATIVE}
        for name in JSON:
            values[f"${name}"] = json.loads(row[name])
        values["$email_open_tracking_consent"] = bool(row["email_open_tracking_consent"])
        attributes = {name: value for name, value in values.items() if value is not None}
        identifiers = {name: value for name, value in told.items() if value}
        wanted.append({"identifiers": identifiers, "attributes": attributes})
    assert ordered(key.lines(shown)) == ordered(wanted)


def test_every_event_is_as_in_the_database(sandbox: Sandbox, key: Key) -> None:
    since = stamp(datetime.now(UTC) - timedelta(days=89))
    shown = key.ended(
        export_type="EVENTS",
        **{"from": since},
        to="now",
        events=list(parse.EVENTS),
        identifiers=["custom_id", "installation_id"],
    )
    question = (
        "SELECT e.*, p.custom_id FROM profile_events e JOIN profiles p ON p.id = e.profile_id "
        "WHERE e.organization_id = 'sandbox' AND e.happened_at >= ?"
    )
    wanted = []
    for row in asked(sandbox, question, since):
        identifiers = {name: row[name] for name in ("custom_id", "installation_id") if row[name]}
        event = {"event": row["kind"], "date": row["happened_at"], "identifiers": identifiers}
        wanted.append(event | {"orchestration_id": row["orchestration_id"]})
    found = key.lines(shown)
    assert ordered(found) == ordered(wanted)
    assert {one["event"] for one in found} == set(parse.EVENTS)
    (total,) = asked(sandbox, "SELECT count(*) AS n FROM profile_events WHERE organization_id = 'sandbox'")
    assert len(found) < total["n"], "some are too old to be asked for"


def test_its_segment_holds_some_of_the_profiles(sandbox: Sandbox, key: Key) -> None:
    segment = {"segment": sandbox.told["batch"]["segment"]}
    shown = key.ended(export_type="ATTRIBUTES", attributes=["$email_marketing"], filter=segment)
    rows = asked(
        sandbox, "SELECT 1 FROM profiles WHERE organization_id = 'sandbox' AND email_marketing = 'subscribed'"
    )
    assert key.lines(shown) == [{"attributes": {"$email_marketing": "subscribed"}}] * len(rows)
    assert 0 < len(rows) < sandbox.told["batch"]["profiles"]


def test_each_key_reaches_its_own_project(sandbox: Sandbox, key: Key) -> None:
    told = sandbox.told["batch"]
    other = Key(sandbox.client, told["other_rest_key"], told["other_project"])
    made = key.create(export_type="ATTRIBUTES", identifiers=["custom_id"])
    assert other.call("GET", "/exports/view", params={"id": made}).status_code == 404
    assert other.call("GET", "/exports/list").json()["exports"] == []
    for stranger in (replace(key, project=other.project), replace(other, project=key.project)):
        assert stranger.call("GET", "/exports/list").status_code == 401


def test_the_same_seed_has_the_same_keys(sandbox: Sandbox, tmp_path: Path) -> None:
    made = []
    for seed in ("1", "2"):
        with drafts.opened(f"sqlite:///{tmp_path}/{seed}.db") as ledger:
            made.append(batch.credentials(Access(ledger), seed, (HOME, OTHER), sandbox.database))
    assert made[0] == sandbox.told["batch"]
    same = {name for name in MEMBERS if made[0][name] == made[1][name]}
    assert same == {"profiles", "segment"}


def test_documented_limits_are_those_of_batch_too() -> None:
    assert command.DOCUMENTED["batch_limits"] is True
