"""What the tests of the console share: a shop that is served, and people who look at it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from outhaul.app import Outhaul
from tests.console.visitors import Visitor
from tests.served import of_shop, served, shop


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop(tmp_path_factory.mktemp("console"))


@pytest.fixture(scope="module")
def outhaul(place: Path) -> Iterator[Outhaul]:
    with of_shop(place) as outhaul:
        yield outhaul


@pytest.fixture(scope="module")
def address(outhaul: Outhaul) -> Iterator[str]:
    with served(outhaul) as client:
        yield str(client.base_url).rstrip("/")


@pytest.fixture
def visitor(outhaul: Outhaul, address: str) -> Iterator[Visitor]:
    """Somebody who is not signed in yet, and has not tried to."""
    with outhaul.ledger._write() as write:
        write.exec_driver_sql("DELETE FROM rates")
    visitor = Visitor(outhaul, address)
    yield visitor
    visitor.http.close()


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    outhaul = of_shop(shop(tmp_path_factory.mktemp("still")))
    with outhaul.ledger:
        outhaul.ledger.migrate()
        with served(outhaul) as client:
            yield Visitor(outhaul, str(client.base_url).rstrip("/"))


@pytest.fixture
def waiting(still: Visitor) -> Iterator[Visitor]:
    """Somebody at a service in which nothing runs: an export stays what it is."""
    visitor = Visitor(still.outhaul, str(still.http.base_url))
    yield visitor
    visitor.http.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "Debian's package is chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
