"""The console in a browser: the whole way from a link to a proven file, and every page, looked at and read aloud."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from outhaul import app, config
from outhaul.app import Outhaul
from outhaul.export import Draft, Selection
from outhaul.ledger import states
from tests import drafts
from tests.console.visitors import invited, slow
from tests.served import ORDERS, US, done, served

SCREENS = Path(__file__).parent.parent.parent / "tmp" / "screens"  # to be looked at; git leaves them alone
WIDTHS = (360, 1440)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def outhaul(place: Path) -> Iterator[Outhaul]:
    with slow(place) as outhaul:
        yield outhaul


@contextmanager
def looking(browser: Browser, **how: Any) -> Iterator[Page]:
    """A page of a fresh browser; nothing on it may be refused, fail or be complained of."""
    context: BrowserContext = browser.new_context(accept_downloads=True, timezone_id="Europe/Berlin", **how)
    page = context.new_page()
    said: list[str] = []
    page.on(
        "console", lambda message: said.append(message.text) if message.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    context.close()
    assert not said


def enter(page: Page, outhaul: Outhaul, address: str, **reach: Any) -> None:
    page.goto(f"{address}/console/enter?code={invited(outhaul, **(reach or {'all_tenants': True}))}")
    page.get_by_role("button", name="Sign in to Outhaul").click()
    expect(page.get_by_role("heading", name="Exports", exact=True)).to_be_visible()


def test_the_whole_way_from_a_link_to_a_file_that_agrees_with_the_database(
    browser: Browser, outhaul: Outhaul, address: str, place: Path
) -> None:
    with looking(browser) as page:
        enter(page, outhaul, address)
        expect(page.get_by_text("There is no export yet")).to_be_visible()
        expect(page.get_by_text("Times are those of Europe/Berlin")).to_be_visible()
        wanted = Draft(
            (Selection("orders", filters={"company_id_eq": 1}),), compress="gzip", reference="first"
        )
        export = outhaul.exports.create(US, wanted)
        page.get_by_role("link", name="orders").click()
        expect(page.get_by_text("It is being read and written.")).to_be_visible()
        expect(page.get_by_text("rows/s")).to_be_visible(timeout=5000)
        page.get_by_text("What happened").click()
        expect(page.get_by_role("status")).to_contain_text("completed", timeout=20_000)
        with page.expect_download() as download:
            page.get_by_role("link", name="Download orders.json.gz").click()
        rows = json.loads(gzip.decompress(Path(download.value.path()).read_bytes()))
        with closing(sqlite3.connect(place / "shop.db")) as shop_:
            known = shop_.execute(
                "SELECT id, company_id, note FROM orders WHERE company_id = 1 ORDER BY id"
            ).fetchall()
        assert sorted((row["id"], row["company_id"], row["note"]) for row in rows) == known
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        page.goto(f"{address}/console/exports/{export.id}")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    outhaul.exports.delete(US, export.id)


@pytest.mark.heavy
def test_one_tab_sees_what_another_does_and_what_is_open_stays_open(
    browser: Browser, outhaul: Outhaul, address: str
) -> None:
    with looking(browser) as page:
        enter(page, outhaul, address)
        export = outhaul.exports.create(US, replace(ORDERS, formats=("csv",)))
        page.goto(f"{address}/console/exports/{export.id}")
        other = page.context.new_page()
        other.goto(f"{address}/console/exports/{export.id}")
        expect(page.get_by_text("rows/s")).to_be_visible(timeout=5000)
        page.get_by_text("1 part,").click()
        expect(page.get_by_role("columnheader", name="SHA-256")).to_be_visible()
        other.get_by_role("button", name="Interrupt").click()
        expect(other.get_by_role("status")).to_contain_text("interrupted")
        expect(page.get_by_role("status")).to_contain_text("interrupted", timeout=3000)
        page.get_by_role("button", name="Start").focus()
        page.keyboard.press("Enter")
        expect(other.get_by_role("status")).to_contain_text("completed", timeout=20_000)
        expect(page.get_by_role("status")).to_contain_text("completed", timeout=3000)
        page.reload()
        page.get_by_text("1 part,").click()
        other.get_by_role("link", name="Delete").click()
        other.get_by_role("button", name="Delete it").click()
        expect(other.get_by_text("There is no export yet")).to_be_visible()


@pytest.mark.heavy
def test_everything_is_done_by_keyboard_alone(browser: Browser, outhaul: Outhaul, address: str) -> None:
    token, _ = outhaul.access.make_token("Ann", tenant="1")
    with looking(browser) as page:
        page.goto(f"{address}/console/")
        page.keyboard.type(token)
        page.keyboard.press("Enter")
        expect(page.get_by_text("Ann")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="New export").last).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.get_by_label("Status")).to_be_focused()


@pytest.mark.heavy
def test_pages_read_and_download_without_javascript(browser: Browser, outhaul: Outhaul, address: str) -> None:
    export = done(outhaul, outhaul.exports.create(US, Draft((Selection("countries"),), compress=None)))
    with looking(browser, java_script_enabled=False) as page:
        enter(page, outhaul, address)
        page.get_by_role("link", name="countries").click()
        expect(page.get_by_role("status")).to_contain_text("completed")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download countries.json").click()
        assert json.loads(Path(download.value.path()).read_text()) == []
        page.get_by_role("link", name="Delete").click()
        page.get_by_role("button", name="Delete it").click()
        expect(page.get_by_role("heading", name="Exports", exact=True)).to_be_visible()
    assert export.id not in {one.id for one in outhaul.ledger.list()[0]}


@pytest.mark.heavy
def test_a_restart_of_the_server_is_survived_by_a_page_that_watches(
    browser: Browser, outhaul: Outhaul
) -> None:
    context = browser.new_context()
    page = context.new_page()
    with app._listen(config.load({"port": 0})) as listener:
        port = listener.getsockname()[1]
    with served(outhaul, port) as client:
        address = str(client.base_url).rstrip("/")
        enter(page, outhaul, address)
        export = outhaul.exports.create(US, replace(ORDERS, formats=("csv",)))
        page.goto(f"{address}/console/exports/{export.id}")
        expect(page.get_by_text("rows/s")).to_be_visible(timeout=5000)
    with served(outhaul, port):
        expect(page.get_by_role("status")).to_contain_text("completed", timeout=30_000)
        outhaul.exports.delete(US, export.id)
        context.close()


def fill(outhaul: Outhaul) -> dict[str, str]:
    """Exports in every state, by the name of the page that shows each."""
    long = "a reference that goes on and on without a space-" * 4
    made = {
        "completed": done(outhaul, outhaul.exports.create(US, replace(ORDERS, formats=("csv",)))),
        "long": done(
            outhaul,
            outhaul.exports.create(
                US, Draft((Selection("orders", filters={"note_not_eq": "x" * 300}),), reference=long * 3)
            ),
        ),
    }
    failed = drafts.create(outhaul.ledger, tenant="1")
    with outhaul.ledger._write() as write:
        error = {
            "error": "SourceAway",
            "message": "The database cannot be reached.",
            "hint": "Look at its log.",
        }
        states.end(write, failed.id, [error])
    stopped = outhaul.exports.create(replace(US, tenant="1", all_tenants=False), ORDERS)
    made |= {
        "failed": outhaul.ledger.get(failed.id),
        "interrupted": outhaul.exports.interrupt(US, stopped.id),
    }
    return {name: export.id for name, export in made.items()}


@pytest.mark.heavy
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_readable_by_everybody(
    browser: Browser, outhaul: Outhaul, address: str, width: int, scheme: Any
) -> None:
    made = fill(outhaul)
    SCREENS.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    with looking(browser, viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        pages = {"sign-in": "sign-in", "enter": f"enter?code={invited(outhaul, all_tenants=True)}"}
        for name, path in pages.items():
            page.goto(f"{address}/console/{path}")
            found |= checked(page, f"{name}-{width}-{scheme}", width)
        enter(page, outhaul, address)
        running = outhaul.exports.create(US, ORDERS)
        made["running"] = running.id
        page.goto(f"{address}/console/exports/{running.id}")
        expect(page.get_by_text("rows/s")).to_be_visible(timeout=10_000)
        found |= checked(page, f"running-{width}-{scheme}", width)
        pages = {"list": "", "empty": "?status=expired", "delete": f"exports/{made['completed']}/delete"}
        pages |= {"catalog": "catalog", "nothing": "catalog?q=nonsense", "resource": "catalog/orders"}
        pages |= {name: f"exports/{of}" for name, of in made.items() if name != "running"}
        for name, path in pages.items():
            page.goto(f"{address}/console/{path}")
            if name == "completed":
                page.get_by_text("1 part,").click()
            found |= checked(page, f"{name}-{width}-{scheme}", width)
    for of in made.values():
        outhaul.exports.delete(US, of)
    assert found == {}


def checked(page: Page, name: str, width: int) -> dict[str, Any]:
    """What axe finds on the page, and whether it must be scrolled sideways; nothing when all is well."""
    page.screenshot(path=str(SCREENS / f"{name}.png"), full_page=True)
    wrong: list[Any] = [
        (one["id"], one["help"], [node["html"][:200] for node in one["nodes"]])
        for one in Axe().run(page).response["violations"]
    ]
    if page.evaluate("document.documentElement.scrollWidth") > width:
        wrong.append("it must be scrolled sideways")
    return {name: wrong} if wrong else {}
