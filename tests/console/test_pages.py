"""The pages of exports: what they show to whom, what can be done and fetched there, all of it without JavaScript."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import shlex
from dataclasses import replace
from html import unescape
from typing import Any

from outhaul.app import Outhaul
from outhaul.export import Caller, Draft, Export, Selection, Status
from outhaul.ledger import states
from tests import drafts
from tests.console.visitors import Page, Visitor, asked, readable, rows
from tests.served import ROWS, US, Asker, done

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def test_a_viewer_is_offered_no_change_and_refused_each(outhaul: Outhaul, visitor: Visitor) -> None:
    export = asked(outhaul, "1")
    visitor.sign_in(tenant="1", read_only=True)
    page = visitor.get(f"/exports/{export.id}").text
    assert [form["action"] for form in Page(page).of("form")] == ["/console/sign-out", "/console/times"]
    assert f"/exports/{export.id}/delete" not in page
    for move in ("interrupt", "start", "delete"):
        assert visitor.post(f"/exports/{export.id}/{move}").status_code == 403
    assert outhaul.ledger.get(export.id).status is Status.COMPLETED
    assert visitor.get(f"/exports/{export.id}/files/manifest.json").status_code == 200


def test_an_export_is_interrupted_started_and_deleted_by_forms(waiting: Visitor) -> None:
    outhaul, visitor = waiting.outhaul, waiting
    export = drafts.create(outhaul.ledger, tenant="1", checked=False)
    visitor.sign_in(tenant="1")
    where = f"/exports/{export.id}"

    def offered() -> set[str]:
        actions = [str(form["action"]) for form in Page(visitor.get(where).text).of("form")]
        return {one.rpartition("/")[2] for one in actions} - {"sign-out", "times"}

    assert offered() == {"interrupt"}
    answer = visitor.post(f"{where}/interrupt")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/console{where}")
    assert outhaul.ledger.get(export.id).status is Status.INTERRUPTED
    assert offered() == {"start"}
    assert visitor.post(f"{where}/interrupt").status_code == 409
    sure = visitor.text(f"{where}/delete")
    assert "Delete this export?" in sure
    assert outhaul.ledger.get(export.id).id == export.id
    assert visitor.post(f"{where}/delete").headers["location"] == "/console/"
    assert visitor.get(where).status_code == 404
    assert visitor.post(f"{where}/explode").status_code == 404


def test_files_are_fetched_by_an_address_that_stays_and_by_ranges(outhaul: Outhaul, visitor: Visitor) -> None:
    export = asked(outhaul, formats=("csv",))
    visitor.sign_in()
    page = visitor.get(f"/exports/{export.id}")
    links = [str(one["href"]) for one in Page(page.text).of("a") if "download" in one]
    assert links == [
        f"/console/exports/{export.id}/files/{name}" for name in ("orders.csv.gz", "manifest.json")
    ]
    whole = visitor.http.get(links[0])
    assert whole.headers["content-disposition"].startswith('attachment; filename="orders.csv.gz"')
    lines = list(csv.DictReader(io.StringIO(gzip.decompress(whole.content).decode())))
    assert [int(line["id"]) for line in lines] == list(range(1, ROWS + 1))
    half = len(whole.content) // 2
    range_ = {"Range": f"bytes={half}-", "If-Range": whole.headers["etag"]}
    rest = visitor.http.get(links[0], headers=range_)
    assert (rest.status_code, rest.content) == (206, whole.content[half:])
    head = visitor.http.head(links[0])
    assert (head.headers["etag"], int(head.headers["content-length"])) == (
        whole.headers["etag"],
        len(whole.content),
    )
    assert visitor.http.get(links[0], headers={"Range": f"bytes={10**6}-"}).status_code == 416
    manifest = visitor.http.get(links[1]).json()
    (file,) = manifest["files"]
    assert file["length"] == len(whole.content)
    hashes = {one["sha256"] for one in file["segments"] if "part" in one}
    assert hashes
    assert all(one in page.text for one in hashes), "the page shows the hash of each part"
    stranger = Visitor(outhaul, str(visitor.http.base_url))
    answer = stranger.http.get(links[0])
    assert (answer.status_code, "orders" in answer.text) == (401, False)
    stranger.http.close()


def test_the_page_of_an_export_tells_what_was_asked_and_what_happened(
    outhaul: Outhaul, visitor: Visitor
) -> None:
    token, _ = outhaul.access.make_token("Grace", all_tenants=True)
    draft = Draft(
        (Selection("orders", ("id", "company.name"), ("company",), {"id_in": [1, 2, 3], "note_cont": "o"}),),
        formats=("ndjson",),
        compress=None,
        reference="Q3",
    )
    export = done(outhaul, outhaul.exports.create(outhaul.access.caller(token), draft))
    visitor.sign_in()
    said = visitor.text(f"/exports/{export.id}")
    for text in (
        "id, company.name",
        "id_in = 1, 2, 3",
        "note_cont = o",
        "Q3",
        "ndjson",
        "Grace asked for it",
        "outhaul began to read",
        "outhaul counted 3 rows, and cut them into parts: 1",
        "outhaul completed it, with files: 1",
        "Every row is written and proven",
    ):
        assert text in said, text
    visitor.get(f"/exports/{export.id}/files/orders.ndjson")
    assert "Ann downloaded orders.ndjson" in visitor.text(f"/exports/{export.id}")


def test_the_same_request_can_be_typed_again(outhaul: Outhaul, visitor: Visitor) -> None:
    asker = Asker(outhaul, visitor.http)
    wishes: list[dict[str, Any]] = [
        {"resource_type": "orders"},
        {
            "resource_type": "orders",
            "format": "csv",
            "compress": None,
            "fields": ["id", "company.*"],
            "includes": ["company"],
            "filters": {"id_in": [1, 2], "note_cont": "o'x \"$HOME", "id_null": False},
            "nested": {"company": "columns"},
            "profile": "spreadsheet",
            "delimiter": "semicolon",
            "reference": "it's",
            "dry_data": True,
        },
    ]
    visitor.sign_in()
    for wish in wishes:
        kept = replace(US, id=asker.kept.id)
        first = _posted(asker, wish) if "filters" not in wish else drafts_of(outhaul, kept, wish)
        html = visitor.get(f"/exports/{first.id}").text
        typed = [text for text in _codes(html) if text.startswith("curl ")]
        words = shlex.split(typed[0])
        assert words[1] == f"{str(visitor.http.base_url).rstrip('/')}/api/exports"
        body = json.loads(words[words.index("-d") + 1])
        again = drafts_of(outhaul, kept, body["data"]["attributes"])
        assert again.draft == first.draft


def drafts_of(outhaul: Outhaul, caller: Caller, attributes: dict[str, Any]) -> Export:
    """What an export of these attributes over HTTP asks for; none need match."""
    from outhaul.dialects.commercelayer import parse

    draft = parse.creation({"data": {"type": "exports", "attributes": attributes}})
    plan = outhaul.exports.plan(caller, draft)
    return outhaul.ledger.create(caller=caller, draft=draft, plan=plan, matched=None)


def _posted(asker: Asker, wish: dict[str, Any]) -> Export:
    answer = asker.ask(**wish)
    assert answer.status_code == 201, answer.text
    return asker.outhaul.ledger.get(answer.json()["data"]["id"])


def _codes(html: str) -> list[str]:
    """What stands to be typed, as it is read."""

    return [
        unescape(text) for text in re.findall(r'<pre[^>]*class="typed"><code>(.*?)</code>', html, re.DOTALL)
    ]


def test_a_failure_is_one_sentence_with_who_can_mend_it(waiting: Visitor) -> None:
    outhaul, visitor = waiting.outhaul, waiting
    export = drafts.create(outhaul.ledger, tenant="1")
    secret = "role outhaul_reader may not read public.orders at db7.internal"
    error = {"error": "SourceForbids", "message": secret, "hint": "GRANT SELECT ON orders."}

    with outhaul.ledger._write() as write:
        assert states.end(write, export.id, [error])
    visitor.sign_in(tenant="1")
    said = visitor.text(f"/exports/{export.id}")
    assert "The database does not let the service read this." in said
    assert "Whoever runs the database can mend it" in said
    assert f"Reference: {export.id}" in said
    assert "db7.internal" not in visitor.get(f"/exports/{export.id}").text
    whole = Visitor(outhaul, str(visitor.http.base_url))
    whole.sign_in()
    assert f"{secret} GRANT SELECT ON orders." in whole.text(f"/exports/{export.id}")
    whole.http.close()


def test_nothing_that_a_user_writes_is_taken_for_a_page(outhaul: Outhaul, visitor: Visitor) -> None:
    token, _ = outhaul.access.make_token(HOSTILE, all_tenants=True)
    hostile = Draft((Selection("orders", filters={"note_not_eq": HOSTILE}),), reference=HOSTILE)
    export = done(outhaul, outhaul.exports.create(outhaul.access.caller(token), hostile))
    assert visitor.post("/sign-in", token=token).status_code == 303
    query = f"/?who={HOSTILE}&resource={HOSTILE}"
    for path in ("/", f"/exports/{export.id}", f"/exports/{export.id}/delete", query, f"/exports/{HOSTILE}"):
        html = visitor.get(path).text
        assert "<script>" not in html
        assert "<img src=x" not in html
        assert [one.get("onerror") for one in Page(html).of("img")] in ([None], [])


def test_pages_run_nothing_but_our_own_files(outhaul: Outhaul, visitor: Visitor) -> None:
    export = asked(outhaul)
    pages = [visitor.get("/sign-in"), visitor.get("/enter?code=x"), visitor.get("/nowhere")]
    visitor.sign_in()
    pages += [
        visitor.get(path) for path in ("/", f"/exports/{export.id}", f"/exports/{export.id}/delete", "/x")
    ]
    for page in pages:
        rules = dict(
            rule.strip().partition(" ")[::2] for rule in page.headers["content-security-policy"].split(";")
        )
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == "'self'"
        assert (rules["frame-ancestors"], rules["base-uri"]) == ("'none'", "'none'")
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
        for name, attributes in Page(page.text).elements:
            assert not {one for one in attributes if one.startswith("on") or one == "style"}, (
                name,
                attributes,
            )
            if name in {"script", "link", "img"}:
                address = str(attributes.get("src") or attributes.get("href"))
                assert address.startswith("/console/static/")
                file = visitor.http.get(address)
                assert (file.status_code, "immutable" in file.headers["cache-control"]) == (200, True)
                digest = hashlib.sha256(file.content).hexdigest()
                assert address.endswith(f"?{digest[:12]}")
    assert visitor.get("/static/../pages.py").status_code == 404
    assert visitor.get("/static/NOTICE").status_code == 404


def test_times_are_those_of_the_viewer_with_utc_at_hand(outhaul: Outhaul, visitor: Visitor) -> None:
    export = asked(outhaul)
    with outhaul.ledger._write() as write:
        write.exec_driver_sql(f"UPDATE exports SET created_at = 1767225599 WHERE id = '{export.id}'")
    visitor.sign_in()
    for zone, local, shown in (
        ("", "31 Dec 2025, 23:59:59", "UTC"),
        ("Asia/Kathmandu", "1 Jan 2026, 05:44:59", "Asia/Kathmandu"),
        ("../../etc/passwd", "31 Dec 2025, 23:59:59", "UTC"),
        ("Europe", "31 Dec 2025, 23:59:59", "UTC"),
        ("No/Where", "31 Dec 2025, 23:59:59", "UTC"),
    ):
        visitor.http.cookies.set("outhaul_zone", zone)
        html = visitor.get(f"/exports/{export.id}").text
        time = '<time datetime="2025-12-31T23:59:59Z" title="2025-12-31 23:59:59 UTC">'
        assert f"{time}{local}</time>" in html, zone
        assert f"Times are those of {shown}" in html
    visitor.http.cookies.set("outhaul_zone", "Asia/Kathmandu")
    for since, there in (("2026-01-01", True), ("2026-01-02", False)):
        assert (export.id in rows(visitor.get(f"/?since={since}&sort=asked").text)) is there


def test_what_is_not_there_is_said_on_a_page(visitor: Visitor) -> None:
    assert visitor.get("/nowhere").status_code == 404
    assert "Sign in" in readable(visitor.get("/nowhere").text)
    visitor.sign_in()
    for path in ("/nowhere", "/exports/XAyRWNUzyN", "/exports/x'y", "/exports/a%00b", "/exports/"):
        answer = visitor.get(path)
        assert (answer.status_code, "All exports" in answer.text) == (404, True), path
    assert visitor.http.post("/console/").status_code == 405
    assert visitor.http.get("/console").status_code == 200, "with and without a slash at its end"


def test_utc_is_at_hand_without_pointing_at_anything(outhaul: Outhaul, visitor: Visitor) -> None:
    export = asked(outhaul)
    with outhaul.ledger._write() as write:
        write.exec_driver_sql(f"UPDATE exports SET created_at = 1767225599 WHERE id = '{export.id}'")
    visitor.sign_in()
    visitor.http.cookies.set("outhaul_zone", "Asia/Kathmandu")
    path = f"/exports/{export.id}?parts=1"
    html = visitor.get(path).text
    assert "1 Jan 2026, 05:44:59" in readable(html)
    hidden = [one["value"] for one in Page(html).of("input") if one.get("name") == "next"]
    assert hidden == [f"exports/{export.id}?parts=1"]
    answer = visitor.post("/times", utc="yes", next=str(hidden[0]))
    assert answer.headers["location"] == f"/console{path}"
    for page in ("/?sort=asked", path):
        said = visitor.text(page)
        assert "05:44:59" not in said
        assert "2025-12-31 23:59:59 UTC" in said or "31 Dec 2025, 23:59:59" in said
        assert "see those of your zone" in said
    long = visitor.post("/times", utc="yes", next=f"catalog?q={'x' * 1_000}")
    assert long.headers["location"] == "/console/catalog"
    assert visitor.post("/times", next="//elsewhere.example").headers["location"] == "/console/"
    assert "1 Jan 2026, 05:44:59" in visitor.text(path)


def test_thousands_of_files_are_offered_in_pages(outhaul: Outhaul, visitor: Visitor) -> None:
    export = asked(outhaul, formats=("csv",), compress=None)
    with outhaul.ledger._write() as write:
        row = dict(
            write.exec_driver_sql(f"SELECT * FROM artifacts WHERE export = '{export.id}'").mappings().one()
        )
        insert = f"INSERT INTO artifacts ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
        copies = [row | {"n": n, "name": f"orders-{n:04}.csv", "length": 10} for n in range(1, 2_501)]
        write.exec_driver_sql(insert, [tuple(one.values()) for one in copies])
    visitor.sign_in()
    seen: dict[int, list[str]] = {}
    for number in (1, 2, 26, 27):
        page = Page(visitor.get(f"/exports/{export.id}?files={number}").text)
        *seen[number], proof = (
            str(one["href"]).rpartition("/")[2] for one in page.of("a") if "download" in one
        )
        assert proof == "manifest.json"
    assert seen[1] + seen[2] == ["orders.csv", *(f"orders-{n:04}.csv" for n in range(1, 200))]
    assert seen[26] == seen[27] == ["orders-2500.csv"]
    said = " ".join(page.texts)
    assert "26 of 26" in said, "beyond the last page is the last"
    assert "2,501 files" in said
    assert f"outhaul exports download {export.id}" in said


def test_a_refusal_leads_back_to_the_export(waiting: Visitor) -> None:
    export = drafts.create(waiting.outhaul.ledger, tenant="1", checked=False)
    waiting.sign_in(tenant="1")
    waiting.post(f"/exports/{export.id}/interrupt")
    answer = waiting.post(f"/exports/{export.id}/interrupt")
    links = [one["href"] for one in Page(answer.text).of("a")]
    assert (answer.status_code, f"/console/exports/{export.id}" in links) == (409, True)
    assert "Back to the export" not in waiting.get("/exports/XAyRWNUzyN").text
