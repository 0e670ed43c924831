"""A new export in a browser: the whole way to a proven file, by keys alone, without JavaScript, at any width."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from outhaul.app import Outhaul
from tests.console.test_browser import SCHEMES, SCREENS, WIDTHS, checked, enter, looking
from tests.served import done, put_together, served

SHOP = """
PRAGMA journal_mode = WAL;
CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT NOT NULL, born date, active boolean);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id),
    placed_at timestamp, total decimal(10,2), note TEXT);
CREATE TABLE line_items (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id), code TEXT,
    quantity INTEGER);
CREATE TABLE a_table_with_a_very_long_name_that_goes_on_and_on_and_on (id INTEGER PRIMARY KEY,
    a_column_with_a_very_long_name_that_goes_on_and_on_and_on_too TEXT,
    order_id INTEGER REFERENCES orders (id));
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
INSERT INTO customers SELECT i, 'customer' || i || '@example.com', date('1970-01-01', i || ' months'), i % 2 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
INSERT INTO orders SELECT i, 1 + i % 40, datetime('2026-01-01', i || ' hours'), i * 1.25, 'note ' || i FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
INSERT INTO line_items SELECT i, 1 + i * 7 % 400, 'sku-' || (i % 13), 1 + i % 3 FROM n;
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("making")
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        connection.executescript(SHOP)
    return folder


@pytest.fixture(scope="module")
def outhaul(place: Path) -> Iterator[Outhaul]:
    with put_together(f"sqlite:///{place}/shop.db", place / "state") as outhaul:
        yield outhaul


@pytest.fixture(scope="module")
def address(outhaul: Outhaul) -> Iterator[str]:
    with served(outhaul) as client:
        yield str(client.base_url).rstrip("/")


def known(place: Path) -> list[tuple[Any, ...]]:
    """Orders above 300 with the customer's email and the codes of their lines, by the database."""
    with closing(sqlite3.connect(place / "shop.db")) as connection:
        found = connection.execute(
            """SELECT orders.id, email, (SELECT group_concat(code, ' ') FROM
            (SELECT code FROM line_items WHERE order_id = orders.id ORDER BY line_items.id))
            FROM orders JOIN customers ON customers.id = customer_id WHERE total > 375 ORDER BY orders.id"""
        )
        return [(n, email, (codes or "").split()) for n, email, codes in found]


@contextmanager
def renewed(page: Page) -> Iterator[None]:
    """What is done makes the page anew; what follows is done to the new one."""
    with page.expect_response("**/console/new/**"):
        yield
    expect(page.locator(".htmx-request")).to_have_count(0)


def press(page: Page, name: str) -> None:
    with renewed(page):
        page.get_by_role("button", name=name, exact=True).click()


def add(page: Page, field: str, op: str = "") -> None:
    """Add a filter on a field."""
    page.get_by_label("Add a filter on").fill(field)
    press(page, "Add")
    if op:
        with renewed(page):
            page.get_by_label(f"How {field} is compared").select_option(op)


def built(page: Page) -> None:
    """From the list to a form that says which orders, with what of their customers and lines."""
    page.get_by_role("link", name="New export", exact=True).first.click()
    page.get_by_role("link", name="orders", exact=True).click()
    page.get_by_label("All 5 fields of orders").uncheck()
    page.get_by_role("checkbox", name="id integer").first.check()
    press(page, "Open customer")
    page.get_by_role("checkbox", name="email text").check()
    press(page, "Open line_items")
    expect(page.get_by_role("checkbox", name="email text")).to_be_checked()
    page.get_by_role("checkbox", name="code text").check()
    add(page, "total", "is more than")
    page.get_by_label("Value for total").fill("375")
    page.locator("#format").select_option("json")


def told(page: Page) -> list[tuple[Any, ...]]:
    """What the file of the export that is shown holds, once it is there."""
    expect(page.get_by_role("status").first).to_contain_text("completed", timeout=20_000)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download orders.json.gz").click()
    rows = json.loads(gzip.decompress(Path(download.value.path()).read_bytes()))
    return sorted(
        (row["id"], row["customer"]["email"], [line["code"] for line in row["line_items"]]) for row in rows
    )


@pytest.mark.heavy
def test_the_whole_way_from_a_link_to_a_file_of_what_was_chosen(
    browser: Browser, outhaul: Outhaul, address: str, place: Path
) -> None:
    with looking(browser) as page:
        enter(page, outhaul, address)
        built(page)
        press(page, "Count and preview")
        expect(page.get_by_role("heading", name="What it comes to")).to_be_focused(timeout=15_000)
        expect(page.get_by_text("Rows that match")).to_be_visible()
        expect(page.locator("dd", has_text="100").first).to_be_visible()
        expect(page.get_by_label("The first rows of orders.json")).to_contain_text(
            '{"id":301,"customer":{"email":'
        )
        page.get_by_role("button", name="Create export").dblclick()
        assert told(page) == known(place)
        assert "/console/exports/" in page.url
        for said in ("--filter total_gt=375", '"total_gt": "375"', "outhaul exports create orders"):
            expect(page.get_by_text(said).first).to_be_visible()
        page.get_by_role("link", name="Exports", exact=True).first.click()
        expect(page.get_by_text("1 export", exact=True)).to_be_visible()


@pytest.mark.heavy
def test_the_same_way_without_javascript(
    browser: Browser, outhaul: Outhaul, address: str, place: Path
) -> None:
    with looking(browser, java_script_enabled=False) as page:
        enter(page, outhaul, address)
        page.goto(f"{address}/console/new/orders")
        page.get_by_label("Add a filter on").fill("total")
        page.get_by_role("button", name="Add", exact=True).click()
        page.get_by_label("How total is compared").select_option("is more than")
        page.get_by_label("Value for total").fill("375")
        page.get_by_role("button", name="Open customer").click()
        page.get_by_label("Search fields").fill("line_items.code")
        page.keyboard.press("Enter")
        page.get_by_role("checkbox", name="line_items.code").check()
        page.get_by_role("button", name="Show all").click()
        page.get_by_role("checkbox", name="email text").check()
        page.locator("#format").select_option("json")
        page.get_by_role("button", name="Count and preview").click()
        expect(page.get_by_role("heading", name="What it comes to")).to_be_visible()
        page.get_by_role("button", name="Create export").click()
        export = outhaul.ledger.get(page.url.rpartition("/")[2])
        done(outhaul, export)
        page.reload()
        assert told(page) == known(place)


@pytest.mark.heavy
def test_the_same_way_by_keyboard(browser: Browser, outhaul: Outhaul, address: str) -> None:
    with looking(browser) as page:
        enter(page, outhaul, address)
        page.goto(f"{address}/console/new/orders")
        page.get_by_label("Add a filter on").focus()
        page.keyboard.type("customer.active")
        page.keyboard.press("Enter")
        expect(page.get_by_label("How customer.active is compared")).to_be_focused()
        for _ in range(2):  # the second before there is an answer to the first
            page.keyboard.press("ArrowDown")
        expect(page.get_by_role("group", name="Values for customer.active")).to_be_visible()
        expect(page.get_by_label("How customer.active is compared")).to_have_value("in")
        page.get_by_role("checkbox", name="true").check()
        page.get_by_role("button", name="Open customer").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Close customer")).to_be_focused()
        page.get_by_role("button", name="Create export").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").first).to_contain_text("completed", timeout=20_000)


@pytest.mark.heavy
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_of_it_is_readable_by_everybody(
    browser: Browser, outhaul: Outhaul, address: str, width: int, scheme: Any
) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}

    def look(name: str) -> None:
        found.update(checked(page, f"new-{name}-{width}-{scheme}", width))

    with looking(browser, viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        enter(page, outhaul, address)
        page.goto(f"{address}/console/new")
        look("choose")
        page.goto(f"{address}/console/new?q=nonsense")
        look("nothing")
        page.goto(f"{address}/console/new/orders")
        look("blank")
        built(page)
        add(page, "placed_at")
        add(page, "customer.active", "is one of")
        page.locator("#format").select_option("csv")
        page.get_by_label("All of a_table_with").check()
        page.get_by_role("button", name="Create export").click()
        expect(page.get_by_text("A value is missing.").first).to_be_visible()
        look("wrong")
        for name in ("placed_at", "customer.active"):
            press(page, f"Take out the filter on {name}")
        press(page, "Count and preview")
        expect(page.get_by_role("heading", name="What it comes to")).to_be_visible(timeout=15_000)
        look("found")
        page.locator("#format").select_option("parquet")
        press(page, "Count and preview")
        expect(page.get_by_role("columnheader", name="id int64")).to_be_visible(timeout=15_000)
        look("parquet")
        page.get_by_label("Search fields").fill("o")
        press(page, "Search")
        expect(page.get_by_text("found", exact=False).first).to_be_visible()
        look("search")
    assert found == {}
