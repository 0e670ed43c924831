"""The list of exports: what it shows to whom, filtered, sorted and in pages, however many there are."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from outhaul.app import Outhaul
from outhaul.export import Caller, Draft, Export, Selection, Status
from tests import drafts
from tests.console.visitors import HERE, Page, Visitor, asked, readable, rows
from tests.served import ROWS


def put(outhaul: Outhaul, export: Export, **values: object) -> None:
    """The export is as this says from now on."""
    changes = ", ".join(f"{name} = {value!r}" for name, value in values.items())
    with outhaul.ledger._write() as write:
        write.exec_driver_sql(f"UPDATE exports SET {changes} WHERE id = '{export.id}'")


def test_a_list_without_exports_says_what_to_do(visitor: Visitor) -> None:
    visitor.sign_in(tenant="nobody's")
    assert "There is no export yet" in visitor.text()
    assert (
        f"outhaul exports create RESOURCE --format csv --server {str(visitor.http.base_url).rstrip('/')}"
        in (visitor.text())
    )
    assert "No export matches" in visitor.text("/?status=failed")
    reader = Visitor(visitor.outhaul, str(visitor.http.base_url))
    reader.sign_in(tenant="nobody's", read_only=True)
    assert "Your token only reads" in reader.text()
    assert "outhaul exports create" not in reader.text()
    reader.http.close()


def test_a_list_shows_what_an_export_is_and_how_it_stands(outhaul: Outhaul, visitor: Visitor) -> None:
    export = asked(outhaul, reference="for the audit")
    visitor.sign_in()
    html = visitor.get().text
    assert rows(html)[0] == export.id
    said = readable(html)
    (size,) = [one.length for one in outhaul.ledger.artifacts(export.id)]
    for text in ("orders", "completed", "for the audit", f"{size} byte", str(ROWS), "just now", "in 7 d"):
        assert text in said, text
    assert f'href="/console/exports/{export.id}"' in html


def test_lists_are_filtered_sorted_and_paged(waiting: Visitor) -> None:
    outhaul = waiting.outhaul
    token, kept = outhaul.access.make_token("Grace Hopper", tenant="2")
    caller, nameless = outhaul.access.caller(token), Caller("key-1", "", "2")
    small = Draft((Selection("orders", filters={"id_lteq": 10}),))
    made = [outhaul.exports.create(caller, small) for _ in range(2)]
    companies = outhaul.exports.create(caller, Draft((Selection("companies"),)))
    for one in (*made, companies):
        put(outhaul, one, status="completed", completed_at=1.0)
    stopped = outhaul.exports.interrupt(caller, outhaul.exports.create(nameless, small).id)
    waiting.sign_in(tenant="2")
    ids = [stopped.id, companies.id, made[1].id, made[0].id]
    for query, found in (
        ("", ids),
        ("?status=completed", ids[1:]),
        ("?status=interrupted", ids[:1]),
        ("?status=waiting", []),
        ("?status=nonsense", ids),
        ("?resource=companies", [companies.id]),
        ("?who=Grace+Hopper", ids[1:]),
        (f"?who={kept.id}", ids[1:]),
        ("?who=key-1", ids[:1]),
        ("?who=nobody", []),
        (f"?since={datetime.now(UTC):%Y-%m-%d}", ids),
        (f"?until={datetime.now(UTC) - timedelta(1):%Y-%m-%d}", []),
        ("?since=yesterday&until=2026-13-45", ids),
        ("?since=0001-01-01&until=9999-12-31", ids),
        ("?sort=asked", ids[::-1]),
        ("?page=7", ids),
        ("?page=x", ids),
        ("?status=completed&resource=orders&sort=-asked", ids[2:]),
    ):
        assert rows(waiting.get(f"/{query}").text) == found, query
    assert rows(waiting.get("/?sort=rows").text)[0] == companies.id
    assert rows(waiting.get("/?sort=-rows").text)[-1] == companies.id


def test_many_exports_with_long_names_are_shown_in_pages(waiting: Visitor) -> None:
    long = "n" * 300
    for number in range(60):
        drafts.create(waiting.outhaul.ledger, tenant="many", checked=False, reference=f"{number:03} {long}")
    waiting.sign_in(tenant="many")
    first, last = waiting.get("/"), waiting.get("/?page=3")
    assert (len(rows(first.text)), len(rows(last.text))) == (25, 10)
    assert "60 exports, page 1 of 3" in readable(first.text)
    links = {one.get("rel"): one["href"] for one in Page(first.text).of("a") if one.get("rel")}
    assert links == {"next": "/console/?page=2"}
    second = waiting.http.get(str(links["next"]))
    seen = [*rows(first.text), *rows(second.text), *rows(last.text)]
    assert len(seen) == len(set(seen)) == 60


def test_a_tenant_sees_its_own_exports_only(outhaul: Outhaul, visitor: Visitor) -> None:
    ours, others = asked(outhaul, "1"), asked(outhaul, "2")
    visitor.sign_in(tenant="1")
    assert ours.id in rows(visitor.get().text)
    assert others.id not in visitor.get().text
    name = outhaul.ledger.artifact_names(others.id)[0]
    for method, path in (
        ("GET", ""),
        ("GET", "/live"),
        ("GET", "/delete"),
        ("GET", f"/files/{name}"),
        ("GET", "/files/manifest.json"),
        ("POST", "/delete"),
        ("POST", "/interrupt"),
        ("POST", "/start"),
    ):
        answer = visitor.http.request(method, f"/console/exports/{others.id}{path}", headers=HERE)
        assert answer.status_code == 404, path
        assert "orders" not in answer.text
    assert outhaul.ledger.get(others.id).status is Status.COMPLETED
    whole = Visitor(outhaul, str(visitor.http.base_url))
    whole.sign_in()
    assert {ours.id, others.id} <= set(rows(whole.get().text))
    whole.http.close()


def test_a_tenant_reads_no_names_of_tokens_of_others(outhaul: Outhaul, visitor: Visitor) -> None:
    for name, reach in (
        ("Ours", {"tenant": "1"}),
        ("Theirs", {"tenant": "2"}),
        ("Whole", {"all_tenants": True}),
    ):
        outhaul.access.make_token(name, **reach)
    visitor.sign_in(tenant="1")
    offered = {one["value"] for one in Page(visitor.get().text).of("option") if "value" in one}
    assert {"Ours", "Theirs", "Whole"} & offered == {"Ours"}


def test_a_token_for_some_resources_sees_exports_of_these_only(outhaul: Outhaul, visitor: Visitor) -> None:
    orders = asked(outhaul)
    visitor.sign_in(all_tenants=True, resources=("countries",))
    assert orders.id not in visitor.get().text
    assert visitor.get(f"/exports/{orders.id}").status_code == 404
    options = [one for one in Page(visitor.get().text).texts if one in {"orders", "companies", "countries"}]
    assert options == ["countries"]


@pytest.mark.heavy
def test_ten_thousand_exports_are_listed_at_once(waiting: Visitor) -> None:
    ledger = waiting.outhaul.ledger
    first = drafts.create(ledger, tenant="crowd", checked=False)
    with ledger._write() as write:
        row = dict(write.exec_driver_sql("SELECT * FROM exports WHERE id = ?", (first.id,)).mappings().one())
        copies = [row | {"id": f"copy{n:06}", "created_at": row["created_at"] - n} for n in range(10_000)]
        columns = ", ".join(row)
        insert = f"INSERT INTO exports ({columns}) VALUES ({', '.join('?' * len(row))})"
        write.exec_driver_sql(insert, [tuple(one.values()) for one in copies])
    waiting.sign_in(tenant="crowd")
    for query in (
        "",
        "?page=300",
        "?sort=resource",
        "?status=waiting&since=2020-01-01",
        "?who=key-1",
        "?sort=-rows",
    ):
        begun = time.monotonic()
        assert len(rows(waiting.get(f"/{query}").text)) == 25
        assert time.monotonic() - begun < 1, query
