"""Somebody at the console, as a browser without JavaScript asks: with cookies, and with where a form comes from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx

from outhaul import app, config
from outhaul.app import Outhaul
from outhaul.export import Export
from outhaul.sessions import Sessions
from tests.served import ORDERS, US, done, of_shop, served

HERE = {"Sec-Fetch-Site": "same-origin"}


class Visitor:
    """A browser with its own cookies."""

    def __init__(self, outhaul: Outhaul, address: str) -> None:
        self.outhaul = outhaul
        self.http = httpx.Client(base_url=address, trust_env=False, timeout=30)

    def sign_in(self, **granted: Any) -> str:
        """Sign in by a fresh token of this reach, which is given back."""
        token, _ = self.outhaul.access.make_token("Ann", **(granted or {"all_tenants": True}))
        answer = self.post("/sign-in", token=token)
        assert answer.status_code == 303, answer.text
        return token

    def get(self, path: str = "/", **more: Any) -> httpx.Response:
        return self.http.get(f"/console{path}", **more)

    def post(self, path: str, headers: dict[str, str] = HERE, **form: str) -> httpx.Response:
        return self.http.post(f"/console{path}", data=form, headers=headers)

    def text(self, path: str = "/") -> str:
        """What can be read on a page that is there."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return readable(answer.text)


@contextmanager
def visited(outhaul: Outhaul) -> Iterator[Visitor]:
    """Somebody who is not signed in yet, while everything is served."""
    with served(outhaul) as client:
        visitor = Visitor(outhaul, str(client.base_url))
        try:
            yield visitor
        finally:
            visitor.http.close()


def invited(outhaul: Outhaul, **reach: Any) -> str:
    """The code of a link."""
    return Sessions(outhaul.access, outhaul.exports._keys).invite(**reach)


class Page(HTMLParser):
    """The texts and elements of a page; `elements`: name and attributes of each."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._unread = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in {"script", "style"}:
            self._unread = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._unread:
            self._unread = ""

    def handle_data(self, data: str) -> None:
        if not self._unread and data.strip():
            self.texts.append(" ".join(data.split()))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def readable(html: str) -> str:
    return " ".join(Page(html).texts)


def rows(html: str) -> list[str]:
    """The ids of the exports that a list shows, in order."""
    return [str(one["id"]).removeprefix("row-") for one in Page(html).of("tr") if "id" in one]


def asked(outhaul: Outhaul, tenant: str | None = None, **more: Any) -> Export:
    """A completed export of orders."""
    caller = replace(US, tenant=tenant, all_tenants=tenant is None)
    return done(outhaul, outhaul.exports.create(caller, replace(ORDERS, **more)))


@contextmanager
def resting(place: Path, **flags: Any) -> Iterator[Outhaul]:
    """The shop in this folder, where nothing runs: for pages that no export is needed for."""
    outhaul = of_shop(place, **flags)
    with outhaul.ledger:
        outhaul.ledger.migrate()
        yield outhaul
        outhaul.audit.close()


@contextmanager
def slow(place: Path, **flags: Any) -> Iterator[Outhaul]:
    """The shop in this folder, where an export of all orders takes three seconds."""
    source, catalog = f"sqlite:///{place}/shop.db", place / "catalog.toml"
    wanted = {"source": source, "catalog": catalog, "state": place / "state", "workers": 1, "min_free": 0}
    settings = config.load(wanted | flags)
    with Outhaul(settings, app.offered(settings, app.reflect(settings)), rows_per_second=40) as outhaul:
        yield outhaul
