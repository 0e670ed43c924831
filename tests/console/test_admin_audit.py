"""The audit log on a page: what was just done stands first, found by who did it and by what it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outhaul.app import Outhaul
from tests.console.visitors import Page, Visitor, readable, resting


@pytest.fixture(scope="module")
def outhaul(place: Path) -> Iterator[Outhaul]:
    with resting(place) as outhaul:
        yield outhaul


@pytest.fixture
def visitor(visitor: Visitor) -> Visitor:
    visitor.sign_in()
    return visitor


def lines(visitor: Visitor, query: str = "") -> list[str]:
    """What stands in each line of the page."""
    page = visitor.get(f"/admin/audit{query}")
    assert page.status_code == 200
    return [readable(f"<tr{part}") for part in page.text.split("<tr")[2:]]


def test_what_was_just_done_stands_first_with_who_did_it(outhaul: Outhaul, visitor: Visitor) -> None:
    token, kept = outhaul.access.make_token("Grace", tenant="1")
    other = Visitor(outhaul, str(visitor.http.base_url))
    other.post("/sign-in", token=token)
    other.get("/catalog")
    other.http.close()
    first, second, *_ = lines(visitor)
    assert "Grace 127.0.0.1 · tenant 1 GET /console/catalog 200" in first
    assert "POST /console/sign-in 303" in second
    assert token not in visitor.get("/admin/audit").text
    for query, number in (
        ("?who=Grace", 2),
        (f"?who={kept.id}", 2),
        ("?who=Grace&changes=yes", 1),
        ("?who=Grace&what=CATALOG", 1),
        ("?who=Grace&what=get+catalog+200", 1),
        ("?who=Grace&tenant=2", 0),
        ("?who=Grace&tenant=1", 2),
        ("?who=nobody+at+all", 0),
        (f"?who=Grace&until={datetime.now(UTC):%Y-%m-%d}", 2),
        (f"?until={datetime.now(UTC) - timedelta(1):%Y-%m-%d}", 0),
        ("?who=Grace&until=tomorrow", 2),
    ):
        assert len(lines(visitor, query)) == number, query
    assert "No line matches" in visitor.text("/admin/audit?who=nobody+at+all")


def test_one_goes_back_page_by_page(outhaul: Outhaul, visitor: Visitor) -> None:
    for number in range(60):
        outhaul.audit.write({"method": "BREW", "path": f"/pot/{number:02}", "status": 418, "export": "a<b>c"})
    page = visitor.get("/admin/audit?what=brew")
    assert "export a<b>c" in readable(page.text)
    (older,) = [str(one["href"]) for one in Page(page.text).of("a") if one.get("rel") == "next"]
    rest = visitor.http.get(older)
    found = [
        line.split("/pot/")[1][:2] for line in (readable(page.text) + readable(rest.text)).split("BREW")[1:]
    ]
    assert found == [f"{number:02}" for number in range(59, -1, -1)]
    assert "Newest" in readable(rest.text)
    assert visitor.get("/admin/audit?before=../../etc/passwd.7").status_code == 200


def test_lines_that_say_other_things_break_no_page(outhaul: Outhaul, visitor: Visitor) -> None:
    path = outhaul.settings.audit_folder / f"{datetime.now(UTC):%Y-%m-%d}.jsonl"
    with path.open("a") as file:
        for odd in ({"at": 7, "caller": ["x"]}, {}, {"at": "never", "path": None, "more": {"deep": [1]}}):
            file.write(json.dumps(odd) + "\n")
    assert len(lines(visitor)) > 3
