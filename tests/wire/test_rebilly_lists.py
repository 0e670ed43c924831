"""Lists of Rebilly's organization exports against its contract: pages, filters, search and order over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from outhaul.dialects.rebilly import ids
from outhaul.ledger.tables import exports
from tests.exports import completed
from tests.organizations import Organization, becomes, place_of
from tests.served import Asker, of_shop, served


@pytest.fixture
def listed(tmp_path: Path) -> Iterator[tuple[Organization, list[str]]]:
    """Five exports of one organization, oldest first, one of another and one of another dialect."""
    outhaul = of_shop(place_of(tmp_path))
    with outhaul.ledger as ledger:
        ledger.migrate()
        with served(outhaul) as client:
            organization = Organization(outhaul, client)
            Organization(outhaul, client, tenant="2").create()
            made = []
            for status in ("created", "queued", "running", "failed", "completed"):
                made.append(organization.create()["id"])
                becomes(organization, made[-1], status=status)
            Asker(outhaul, client, tenant="1").ask(resource_type="orders")
            yield organization, made


def test_lists_are_paged_filtered_and_sorted(listed: tuple[Organization, list[str]]) -> None:
    organization, made = listed
    newest = made[::-1]
    assert organization.ids() == newest
    assert organization.ids(sort="createdTime") == made
    assert organization.ids(limit=2, offset=1) == newest[1:3]
    assert organization.ids(filter="status:failed,processing") == [made[3], made[2]]
    assert organization.ids(filter="status:!failed", sort="createdTime") == [*made[:3], made[4]]
    assert organization.ids(q="PEND") == [made[0]]
    assert organization.ids(q=made[1]) == [made[1]]
    assert organization.ids(q="nothing like it") == []
    assert organization.ids(filter=f"id:{made[1]},{made[3]},x", sort="createdTime") == [made[1], made[3]]
    assert organization.ids(filter=f"id:!{made[1]}", sort="createdTime") == [made[0], *made[2:]]
    assert organization.ids(filter=f"id:{made[1]};status:failed") == []
    whole = organization.call("GET", "/organization-exports?").json()
    moment = whole[2]["createdTime"]
    times = {one["id"]: one["createdTime"] for one in whole}
    assert organization.ids(filter=f"createdTime:{moment}") == [one for one in newest if times[one] == moment]
    assert organization.ids(filter=f"createdTime:..{moment}") == [
        one for one in newest if times[one] <= moment
    ]
    assert organization.ids(filter="createdTime:2020-01-01T00:00:00Z..2021-01-01T00:00:00Z") == []


def test_no_export_is_in_the_lists_of_two_dialects(listed: tuple[Organization, list[str]]) -> None:
    organization, made = listed
    asker = Asker(organization.outhaul, organization.client, tenant="1")
    page = asker.call("GET", "/exports").json()
    assert [one["attributes"]["resource_type"] for one in page["data"]] == ["orders"]
    assert page["meta"]["record_count"] == 1
    assert sorted(organization.ids()) == sorted(made)


def test_a_list_asks_as_often_however_many_exports_and_ids_there_are(
    listed: tuple[Organization, list[str]],
) -> None:
    organization, made = listed
    asked: list[str] = []
    ledger = organization.outhaul.ledger
    sa.event.listen(ledger._reader, "before_cursor_execute", lambda *told: asked.append(told[2]))

    def questions(**query: Any) -> int:
        asked.clear()
        assert organization.ids(**query)
        return len(asked)

    with ledger._write() as write:
        write.execute(exports.update().values(status="completed", completed_at=exports.c.created_at))
    assert questions(limit=1) == questions() > 0
    some = ";".join(f"id:!{one}" for one in made[1:])
    assert questions(filter=f"id:!{made[0]}") == questions(filter=some)
    assert questions(filter=f"id:{made[0]}") == questions(filter=f"id:{','.join(made)};fileId:!x")


def test_a_file_of_a_list_has_a_link_of_its_own(listed: tuple[Organization, list[str]]) -> None:
    organization, made = listed
    for one, files in zip(made, (0, 0, 1, 0, 0), strict=True):
        completed(organization.outhaul.ledger, ids.ledger_id(one, ids.EXPORT) or "", files)
    shown = {one["id"]: one for one in organization.call("GET", "/organization-exports").json()}
    linked = [one for one in made if any(at["rel"] == "signedLink" for at in shown[one]["_links"])]
    assert linked == [one for one in made if shown[one]["fileId"]] == [made[2]]
    file = shown[made[2]]["fileId"]
    assert organization.ids(filter=f"fileId:{file},x") == [made[2]]
    assert organization.ids(filter=f"fileId:!{file};id:!{made[0]}") == [made[4], made[3], made[1]]


def test_a_page_tells_where_it_is_and_of_how_many(listed: tuple[Organization, list[str]]) -> None:
    organization, made = listed
    for query, told, length in (
        ("", ("100", "0", "5"), 5),
        ("limit=2&offset=4", ("2", "4", "5"), 1),
        ("limit=2&offset=5", ("2", "5", "5"), 0),
        ("limit=2&offset=1000", ("2", "1000", "5"), 0),
        ("limit=0", ("0", "0", "5"), 0),
        ("filter=status:failed", ("100", "0", "1"), 1),
        (f"filter=id:{made[0]};status:failed", ("100", "0", "0"), 0),
        ("filter=id:x", ("100", "0", "0"), 0),
    ):
        answer = organization.call("GET", f"/organization-exports?{query}")
        names = ("Pagination-Limit", "Pagination-Offset", "Pagination-Total")
        assert tuple(answer.headers[name] for name in names) == told
        assert len(answer.json()) == length


def test_under_maintenance_every_call_is_a_problem(listed: tuple[Organization, list[str]]) -> None:
    organization, made = listed
    assert organization.outhaul.access.maintain(on=True)
    for method, path in (("GET", ""), ("POST", ""), ("GET", f"/{made[0]}")):
        answer = organization.call(method, f"/organization-exports{path}")
        assert (answer.status_code, answer.json()["title"]) == (503, "Service Unavailable")
        assert "maintenance" in answer.json()["detail"]
