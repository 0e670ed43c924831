"""Who may do what over Batch's calls: every kind of key, every call, its own project and another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outhaul.access import Access
from outhaul.app import Outhaul
from outhaul.dialects.batch import ids
from tests.batches import Key, Source, asleep, valid
from tests.served import Asker

AGE = {"export_type": "ATTRIBUTES", "attributes": ["age"]}
SOON = timedelta(hours=1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("access")
    Source(f"sqlite:///{folder}/company.db").fill()
    return folder


@pytest.fixture(scope="module")
def quiet(place: Path) -> Iterator[tuple[Outhaul, Key]]:
    with asleep(f"sqlite:///{place}/company.db", place, "state") as found:
        yield found


def revoked(access: Access) -> str:
    token, kept = access.make_token("x", tenant="acme")
    access.revoke(kept.id)
    return token


# What creating, listing, viewing an export of `acme` and downloading of it is answered, in the projects of `acme` and
# of `beta`. Nobody works, so that what can be viewed has no file yet.
ALL, NONE, READS = (202, 200, 200, 404), (401, 401, 401, 401), (401, 200, 200, 404)
OTHERS = (202, 200, 404, 404)
KEYS: dict[str, tuple[Callable[[Access], str], tuple[int, ...], tuple[int, ...]]] = {
    "of the project": (lambda access: access.make_token("x", tenant="acme")[0], ALL, NONE),
    "of both": (lambda access: access.make_token("x", tenant="beta", others=("acme",))[0], ALL, OTHERS),
    "of everything": (lambda access: access.make_token("x", all_tenants=True)[0], ALL, OTHERS),
    "of another": (lambda access: access.make_token("x", tenant="beta")[0], NONE, OTHERS),
    "that reads": (lambda access: access.make_token("x", tenant="acme", read_only=True)[0], READS, NONE),
    "of other resources": (
        lambda access: access.make_token("x", tenant="acme", resources=("messages",))[0],
        (401, 200, 404, 404),
        NONE,
    ),
    "that has expired": (
        lambda access: access.make_token("x", tenant="acme", expires_at=datetime.now(UTC) - SOON)[0],
        NONE,
        NONE,
    ),
    "that is revoked": (revoked, NONE, NONE),
    "of nobody": (lambda _: "oh_" + "x" * 43, NONE, NONE),
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_may_what_it_was_made_for(kind: str, quiet: tuple[Outhaul, Key]) -> None:
    outhaul, key = quiet
    make, own, other = KEYS[kind]
    export_id = key.create(**AGE)
    token = make(outhaul.access)
    for project, expected in (("project_acme", own), ("project_beta", other)):
        one = replace(key, token=token, project=project)
        answers = [
            one.call("POST", "/profiles/export", json=AGE),
            one.call("GET", "/exports/list"),
            one.call("GET", "/exports/view", params={"id": export_id}),
            one.call("GET", "/exports/download", params={"id": export_id}),
        ]
        assert tuple(answer.status_code for answer in answers) == expected, project
        for answer in answers:
            if answer.status_code >= 400:
                valid(answer.json(), "Error")


def test_a_list_shows_the_exports_of_its_project_alone(quiet: tuple[Outhaul, Key]) -> None:
    outhaul, key = quiet
    token, _ = outhaul.access.make_token("x", all_tenants=True)
    mine, theirs = (replace(key, token=token, project=project) for project in ("acme", "beta"))
    first, second = mine.create(**AGE), theirs.create(**AGE)
    for one, own, other in ((mine, first, second), (theirs, second, first)):
        seen = [
            each["id"] for each in one.call("GET", "/exports/list", params={"limit": 100}).json()["exports"]
        ]
        assert own in seen
        assert other not in seen


def test_a_list_of_another_dialect_does_not_hold_these_exports(quiet: tuple[Outhaul, Key]) -> None:
    outhaul, key = quiet
    asker = Asker(outhaul, key.client, tenant="acme")
    made, own = key.create(**AGE), asker.ask(resource_type="people").json()["data"]["id"]
    for query in ("", "?filter[q][status_eq]=pending", "?filter[q][resource_type_eq]=people&sort=created_at"):
        page = asker.call("GET", f"/exports{query}").json()
        assert (page["meta"]["record_count"], [one["id"] for one in page["data"]]) == (1, [own])
    answer = asker.call("GET", f"/exports/{ids.read_export(made)}")
    assert answer.json()["data"]["attributes"]["resource_type"] == "people", "whoever knows its id finds it"


def test_an_export_too_many_is_refused_where_none_is_to_wait(place: Path) -> None:
    url = f"sqlite:///{place}/company.db"
    with asleep(url, place, "strict", window=1, window_refuses=True) as (_, key):
        key.create(**AGE)
        answer = key.call("POST", "/profiles/export", json=AGE)
        assert (answer.status_code, valid(answer.json(), "Error")["error_code"]) == (429, "TOO_MANY_REQUESTS")
        assert int(answer.headers["retry-after"]) > 0


def test_an_export_of_too_many_rows_is_refused_with_both_numbers(place: Path) -> None:
    with asleep(f"sqlite:///{place}/company.db", place, "limited", max_records=10) as (_, key):
        answer = key.call("POST", "/profiles/export", json=AGE)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "MALFORMED_PARAMETER")
        assert "32" in answer.json()["message"]
        assert "10" in answer.json()["message"]
