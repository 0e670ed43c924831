"""What somebody adds to an event: a reference and metadata, by which it is found, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wire.test_callbacks import House, created, hook, housed, listed, trigger


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with housed(tmp_path) as found:
        yield found


def test_an_event_takes_a_reference_and_is_found_by_it(house: House) -> None:
    asker = house.asker(tenant="1")
    event, other = created(asker), created(asker)
    (before,) = listed(asker, f"/events/{event}")
    noted = {"reference": "r", "reference_origin": "mine", "metadata": {"a": [1, None]}}
    answer = trigger(asker, event, **noted)
    assert answer.status_code == 200, answer.text
    attributes = answer.json()["data"]["attributes"]
    updated = attributes["updated_at"]
    assert attributes == before["attributes"] | noted | {"updated_at": updated}
    assert updated >= before["attributes"]["updated_at"] == before["attributes"]["created_at"]
    (after,) = listed(asker, f"/events/{event}")
    assert after["attributes"] == attributes
    for asked in (
        "reference_eq]=r",
        "reference_origin_cont]=min",
        'metadata_jcont]={"a":[1]}',
        "id_eq]=" + event,
    ):
        assert [one["id"] for one in listed(asker, f"/events?filter[q][{asked}")] == [event]
    assert [one["id"] for one in listed(asker, "/events?sort=reference")] == [event, other]
    (export,) = listed(asker, "/exports?filter[q][events_reference_eq]=r")
    assert {"type": "events", "id": event} in listed(asker, f"/exports/{export['id']}/relationships/events")
    assert len(listed(asker, "/exports?filter[q][events_metadata_jcont]={}")) == 2
    cleared = trigger(asker, event, reference=None, metadata=None).json()["data"]["attributes"]
    assert (cleared["reference"], cleared["reference_origin"], cleared["metadata"]) == (None, "mine", {})
    (version,) = listed(asker, f"/versions/{event}")
    assert version["attributes"]["updated_at"] == before["attributes"]["created_at"]


def test_an_event_is_noted_and_told_once_more_by_one_request(house: House) -> None:
    asker = house.asker(tenant="1")
    event = created(asker)
    hook(asker, house.receiver.url)
    assert (
        trigger(asker, event, _trigger=True, reference="r").json()["data"]["attributes"]["reference"] == "r"
    )
    assert len(house.sent()) == 1


def test_whoever_may_change_exports_notes_their_events_and_nobody_else(house: House) -> None:
    asker = house.asker(tenant="1")
    event = created(asker)

    def noted(*, include: str = "", **granted: Any) -> int:
        body = {"data": {"type": "events", "attributes": {"reference": str(granted)}}}
        path = f"/events/{event}" + (f"?include={include}" if include else "")
        answer = house.asker(**granted).call("PATCH", path, json=body)
        (now,) = listed(asker, f"/events/{event}")
        assert (now["attributes"]["reference"] == str(granted)) is (answer.status_code == 200)
        return int(answer.status_code)

    assert noted(tenant="1") == 200
    assert noted(tenant="1", read_only=True) == 401
    assert noted(tenant="2") == 404
    assert noted(tenant="1", resources=("companies",)) == 404
    reaching: dict[str, Any] = {"tenant": "1", "resources": ("orders",)}
    assert noted(include="webhooks", **reaching) == 401, "and nothing was changed before"
    assert noted(**reaching) == 200
