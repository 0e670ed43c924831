"""Admin in a browser: a token made, used and revoked, and every page of it looked at and read aloud."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from outhaul.app import Outhaul
from outhaul.export import Caller
from outhaul.ledger.callbacks import record
from tests import drafts
from tests.console.test_browser import SCHEMES, SCREENS, WIDTHS, checked, enter, looking
from tests.console.visitors import asked, slow
from tests.served import ORDERS, US, until

LONG = "a-name-that-goes-on-and-on-without-a-space-" * 4


@pytest.fixture(scope="module")
def outhaul(place: Path) -> Iterator[Outhaul]:
    with slow(place, public_register=True, webhook_networks=["127.0.0.1"]) as outhaul:
        yield outhaul


@pytest.mark.heavy
def test_a_token_is_made_used_and_revoked(browser: Browser, outhaul: Outhaul, address: str) -> None:
    with looking(browser) as page, looking(browser) as other:
        enter(page, outhaul, address)
        page.get_by_role("link", name="Admin", exact=True).click()
        expect(page.get_by_role("heading", name="Health")).to_be_visible()
        page.get_by_role("link", name="Tokens", exact=True).click()
        page.get_by_role("link", name="Make a token").click()
        page.get_by_label("Name").fill("Warehouse")
        page.get_by_label("Ids of tenants, one a line").fill("1\n2")
        page.get_by_role("button", name="Make the token").click()
        token = page.get_by_label("The token").inner_text()
        other.goto(f"{address}/console/")
        other.get_by_label("Token").fill(token)
        other.get_by_role("button", name="Sign in").click()
        expect(other.get_by_text("exporter, tenant 1")).to_be_visible()
        other.get_by_label("Tenant", exact=True).select_option("2")
        other.get_by_role("button", name="Switch").click()
        expect(other.get_by_text("exporter, tenant 2")).to_be_visible()
        page.get_by_role("link", name="It is kept").click()
        page.get_by_role("link", name="Revoke … Warehouse").click()
        page.get_by_role("button", name="Revoke it").click()
        expect(page.get_by_role("heading", name="Tokens")).to_be_visible()
        other.reload()
        expect(other.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.heavy
def test_the_queue_is_watched_from_the_first_export_to_the_last(
    browser: Browser, outhaul: Outhaul, address: str
) -> None:
    with looking(browser) as page:
        enter(page, outhaul, address)
        page.goto(f"{address}/console/admin/queue")
        expect(page.get_by_text("Nothing waits")).to_be_visible()
        export = outhaul.exports.create(US, replace(ORDERS, formats=("csv",)))
        expect(page.get_by_role("heading", name="Parts at work")).to_be_visible(timeout=5_000)
        expect(page.get_by_text("Nothing waits")).to_be_visible(timeout=20_000)
        outhaul.exports.delete(US, export.id)


def fill(outhaul: Outhaul) -> str:
    """Tokens, tries of a webhook and lines of the audit log; gives the webhook's id."""
    for name, reach in {
        LONG: {"tenant": LONG, "others": ("2", "3"), "resources": ("orders", "companies")},
        "Data warehouse": {"tenant": "1", "read_only": True},
    }.items():
        outhaul.access.make_token(name, **reach)  # type: ignore[arg-type]  # each is what one argument takes
    outhaul.access.make_client("Shop integration", tenant="1")
    row = {"event": "completed", "url": f"https://127.0.0.1:9/{LONG}", "name": "Warehouse"}
    made, _ = outhaul.exports.webhooks.create(Caller("one", "one", "1"), "commercelayer", row)
    export = asked(outhaul, "1")
    (event,) = [one for one in outhaul.ledger.events(export.id) if one.name == "completed"]
    with outhaul.ledger._write() as write:
        record(write, made.id, event.id, made.url, None, "no answer within 5 s")
        record(write, made.id, event.id, made.url, 500, "status 500", '{"data": {"type": "exports"}}' * 9)
        record(write, made.id, event.id, made.url, 200, None)
    return made.id


@pytest.mark.heavy
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_of_admin_is_readable_by_everybody(
    browser: Browser, outhaul: Outhaul, address: str, width: int, scheme: Any
) -> None:
    hook = fill(outhaul)
    with outhaul.ledger._write() as write:
        write.exec_driver_sql("DELETE FROM rates")  # of signing in from here
    SCREENS.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    with looking(browser, viewport={"width": width, "height": 900}, color_scheme=scheme) as page:

        def look(name: str, path: str) -> None:
            page.goto(f"{address}{path}")
            found.update(checked(page, f"{name}-{width}-{scheme}", width))

        look("register", "/register")
        enter(page, outhaul, address)
        for name in ("queue", "tokens", "tokens/new", "tenants", "limits", "audit"):
            look(f"admin-{name.replace('/', '-')}", f"/console/admin/{name}")
        look("admin", "/console/admin")
        look("admin-audit-nothing", "/console/admin/audit?who=nobody")
        look("webhooks", "/console/webhooks")
        look("webhook", f"/console/webhooks/{hook}")
        look("webhook-delete", f"/console/webhooks/{hook}/delete")
        page.goto(f"{address}/console/admin/tokens/new")
        page.get_by_label("Ids of tenants, one a line").fill("1")
        page.get_by_role("button", name="Make the token").click()
        found.update(checked(page, f"admin-token-made-{width}-{scheme}", width))
        page.goto(f"{address}/console/admin/tokens")
        page.get_by_role("link", name="Revoke … Data warehouse").first.click()
        found.update(checked(page, f"admin-token-revoke-{width}-{scheme}", width))
        running = outhaul.exports.create(US, ORDERS)
        drafts_of = [drafts.create(outhaul.ledger, tenant=LONG[:80], checked=False) for _ in range(2)]
        until(lambda: outhaul.ledger.busy(1), "it runs")
        look("admin-queue-busy", "/console/admin/queue")
        for one in (running, *drafts_of):
            outhaul.exports.delete(US, one.id)
        look("catalog-register", "/console/catalog")
    with looking(browser, viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        enter(page, outhaul, address, tenant="1", read_only=True)
        look("tenant-webhooks", "/console/webhooks")
        token, _ = outhaul.access.make_token("Somebody with two", tenant="1", others=(LONG, "2"))
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        found.update(checked(page, f"choice-{width}-{scheme}", width))
    found |= refusals(
        browser, outhaul, address, viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    assert found == {}


def refusals(browser: Browser, outhaul: Outhaul, address: str, **how: Any) -> dict[str, Any]:
    """The pages of which a browser itself complains, because they say no."""
    context = browser.new_context(**how)
    page, name, width = (
        context.new_page(),
        f"{how['viewport']['width']}-{how['color_scheme']}",
        how["viewport"]["width"],
    )
    enter(page, outhaul, address)
    page.goto(f"{address}/console/admin/tokens/new")
    page.get_by_role("button", name="Make the token").click()
    found = checked(page, f"admin-token-wrong-{name}", width)
    page.get_by_role("button", name="Sign out").click()
    enter(page, outhaul, address, tenant="1")
    page.goto(f"{address}/console/admin")
    found |= checked(page, f"refused-{name}", width)
    context.close()
    return found
