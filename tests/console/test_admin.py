"""Pages for whoever runs the service: to whom they are shown, and health, queue, tenants and limits on them."""

from __future__ import annotations

from typing import Any

import pytest

from outhaul.app import Outhaul
from outhaul.ceilings import Ceiling
from outhaul.export import Caller
from tests import drafts
from tests.console.visitors import HERE, Page, Visitor, asked, readable
from tests.served import until

PAGES = (
    *("/admin", "/admin/queue", "/admin/queue/live", "/admin/tokens", "/admin/tokens/new", "/admin/tenants"),
    *("/admin/limits", "/admin/audit"),
)
LESSER: dict[str, dict[str, Any]] = {
    "of a tenant": {"tenant": "1"},
    "of two tenants": {"tenant": "1", "others": ("2",)},
    "that only reads": {"all_tenants": True, "read_only": True},
    "of some resources": {"all_tenants": True, "resources": ("orders",)},
    "of few rows": {"all_tenants": True, "ceiling": Ceiling(records=10)},
    "of few bytes": {"all_tenants": True, "ceiling": Ceiling(bytes=10)},
}


@pytest.mark.parametrize("who", LESSER)
def test_what_is_for_admins_is_refused_to_every_lesser_token(
    outhaul: Outhaul, visitor: Visitor, who: str
) -> None:
    kept = outhaul.access.make_token("Operator's own", all_tenants=True)[1]
    visitor.sign_in(**LESSER[who])
    assert "/console/admin" not in visitor.get().text
    assert "admin" not in readable(visitor.get().text)
    before = {one.id for one in outhaul.access.list_tokens()}
    for path in (*PAGES, f"/admin/tokens/{kept.id}"):
        answer = visitor.get(path)
        assert (answer.status_code, "whoever runs the service" in answer.text) == (403, True), path
        assert "Operator's own" not in answer.text
    made = {"form": "0123abcd", "reach": "all", "may": "export", "expires": "never"}
    for path, form in (("/admin/tokens", made), (f"/admin/tokens/{kept.id}/revoke", {})):
        answer = visitor.post(path, HERE, **form)
        assert (answer.status_code, "oh_" in answer.text) == (403, False), path
    assert {one.id for one in outhaul.access.list_tokens()} == before
    assert outhaul.ledger.token(kept.id).revoked_at is None  # type: ignore[union-attr]  # it was made above


def test_a_caller_runs_the_service_only_if_nothing_limits_it() -> None:
    assert Caller("x", "x", None, all_tenants=True).admin
    assert not Caller("x", "x", None, all_tenants=True, exports=False).admin
    assert not Caller("x", "x", "1").admin


def test_nobody_who_is_not_signed_in_sees_any_of_it(visitor: Visitor) -> None:
    for path in PAGES:
        answer = visitor.get(path)
        assert (answer.status_code, "/sign-in" in answer.headers.get("location", "")) in {
            (303, True),
            (401, False),
        }
    assert visitor.post("/admin/tokens", form="0123abcd").status_code == 401


def test_an_admin_finds_every_page_from_the_header(visitor: Visitor) -> None:
    visitor.sign_in()
    assert '<a href="/console/admin">Admin</a>' in visitor.get().text
    links = {str(one["href"]) for one in Page(visitor.get("/admin").text).of("a")}
    wanted = {"", "/queue", "/tokens", "/tenants", "/limits", "/audit"}
    assert {f"/console/admin{path}" for path in wanted} | {"/console/webhooks"} <= links
    for path in sorted(links - {"#main"}):
        page = visitor.http.get(path)
        assert page.status_code == 200, path
        assert page.headers["cache-control"] == "no-store"
        shown = Page(page.text)
        assert len(shown.of("h1")) == 1
        assert not [
            one for _, known in shown.elements for one in known if one.startswith("on") or one == "style"
        ]
        loaded = [one.get("src") or one.get("href") for one in (*shown.of("script"), *shown.of("link"))]
        assert all(str(one).startswith("/console/static/") for one in loaded)


def test_health_says_what_the_doctor_does(outhaul: Outhaul, visitor: Visitor) -> None:
    visitor.sign_in()
    said = visitor.text("/admin")
    for text in (
        "journal mode",
        "wal",
        "all is well",
        "bytes free",
        "3 offered",
        "state folder",
        "private",
        "outhaul 0",
    ):
        assert text in said, text
    assert "not well" not in said


def test_the_queue_tells_who_waits_who_works_and_how_long_leases_are(waiting: Visitor) -> None:
    waiting.sign_in()
    assert "Nothing waits" in waiting.text("/admin/queue")
    ledger = waiting.outhaul.ledger
    queued = drafts.create(ledger, tenant="patient", checked=False)
    made = drafts.create(ledger, tenant="busy")
    lease = drafts.claimed(
        ledger, drafts.only([one for one in ledger.admit(2) if one.export == made.id]), "w7"
    )
    drafts.hold(ledger, lease, "keeper-9")
    said = waiting.text("/admin/queue")
    for text in ("patient created 1", "busy running 1", "planning running w7", "keeper keeper-9", made.id):
        assert text in said, text
    assert queued.id not in said
    assert "over" not in said
    drafts.passes(ledger, "parts", lease_until=100)
    assert "w7 over" in waiting.text("/admin/queue")


def test_the_queue_keeps_up_by_itself(outhaul: Outhaul, visitor: Visitor) -> None:
    visitor.sign_in()
    with visitor.http.stream("GET", "/console/admin/queue/live") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert until(lambda: "worker" in next(lines), "the queue")


def test_tenants_are_told_with_their_exports(outhaul: Outhaul, visitor: Visitor) -> None:
    for _ in range(2):
        asked(outhaul, "1")
    outhaul.access.make_token("x", tenant="only a token & <b>")
    visitor.sign_in()
    rows = {
        row[0]: row[1:]
        for row in (texts(part) for part in visitor.get("/admin/tenants").text.split("<tr")[2:])
    }
    done = sum(one.tenant == "1" for one in outhaul.ledger.list(limit=100)[0])
    assert rows["1"][:4] == ["0", str(done), "0", "0"]
    assert rows["only a token & <b>"][:4] == ["0", "0", "0", "0"]
    assert "" not in rows


def texts(html: str) -> list[str]:
    return Page("<tr" + html).texts


def test_limits_are_those_of_the_settings(outhaul: Outhaul, visitor: Visitor) -> None:
    visitor.sign_in()
    said = visitor.text("/admin/limits")
    for text in (
        "window 10",
        "retention 7d",
        "max_records no limit",
        "rate_organization 3000/10m",
        "min_free 0",
    ):
        assert text in said, text
    assert "secret" not in said
