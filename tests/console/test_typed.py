"""The same request once more, as curl of the dialect it came by: run as it stands, it asks for the same."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

from outhaul.app import Outhaul
from tests.batches import Source, asleep, stamp
from tests.console.test_pages import _codes
from tests.console.visitors import Visitor, rows
from tests.organizations import Organization, place_of
from tests.served import of_shop, served


def typed(outhaul: Outhaul, visitor: Visitor, token: str) -> tuple[str, list[str]]:
    """The heading and the words of the first line that the page of the newest export gives."""
    (newest, *_), _ = outhaul.ledger.list()
    assert visitor.post("/sign-in", token=token).status_code == 303
    html = visitor.get(f"/exports/{newest.id}").text
    line = _codes(html)[0]
    heading = unescape(html.rpartition(line[:4])[0].rpartition("<h3>")[2].partition("</h3>")[0])
    return heading, shlex.split(line)


def run(visitor: Visitor, words: list[str], token: str) -> int:
    """What curl would be answered."""
    program, address, *rest = words
    assert program == "curl"
    headers = [rest[n + 1] for n, word in enumerate(rest) if word == "-H"]
    told = dict(one.replace("$TOKEN", token).split(": ", 1) for one in headers)
    return visitor.http.post(address, content=rest[rest.index("-d") + 1], headers=told).status_code


def same(outhaul: Outhaul) -> bool:
    (again, first), _ = outhaul.ledger.list()
    return again.draft == first.draft and again.tenant == first.tenant


def test_an_export_of_batch_is_asked_for_once_more(tmp_path: Path) -> None:
    source = Source(f"sqlite:///{tmp_path}/company.db")
    source.fill()
    with asleep(source.url, tmp_path, "state") as (outhaul, key):
        wanted = {"from": stamp(datetime.now(UTC) - timedelta(days=9)), "to": "now", "events": ["email_sent"]}
        key.create(export_type="EVENTS", **wanted)
        visitor = Visitor(outhaul, str(key.client.base_url))
        heading, words = typed(outhaul, visitor, key.token)
        assert heading == "With curl, as it was asked for"
        assert words[1].endswith("/2.11/exports/create")
        assert run(visitor, words, key.token) == 202
        assert same(outhaul)
        visitor.http.close()


def test_an_export_of_rebilly_is_asked_for_once_more(tmp_path: Path) -> None:
    with of_shop(place_of(tmp_path)) as outhaul, served(outhaul) as client:
        organization = Organization(outhaul, client)
        organization.create(json={"includeFiles": False})
        visitor = Visitor(outhaul, str(client.base_url))
        heading, words = typed(outhaul, visitor, organization.key)
        assert heading == "With curl, as it was asked for"
        assert words[1].endswith("/organizations/1/organization-exports")
        for resource, there in (
            ("orders", 1),
            ("companies", 1),
            ("countries", 0),
            ("rders", 0),
            ("order_", 0),
        ):
            assert len(rows(visitor.get(f"/?resource={resource}").text)) == there, resource
        assert run(visitor, words, organization.key) == 201
        assert same(outhaul)
        visitor.http.close()
