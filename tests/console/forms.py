"""The form of a page as a browser without JavaScript sends it: what is typed, ticked and chosen, and one button."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import httpx

from tests.console.visitors import HERE, Visitor


class Form(HTMLParser):
    """`values`: by name all that would be sent; `buttons`: those that could be pressed, by their words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self.buttons: dict[str, str] = {}
        self.places: list[str] = []
        self._inside = False
        self._select = self._area = self._button = self._option = ""
        self._text = ""
        self._any = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("id") == "making"
        if not self._inside:
            return
        if tag == "input":
            self._typed(given)
        elif tag == "select":
            self._select, self._any = given["name"], False
        elif tag == "option" and self._select:
            self._chosen(given)
        elif tag == "textarea":
            self._area, self._text = given["name"], ""
        elif tag == "button":
            self._button, self._text = given.get("value", ""), ""

    def _typed(self, given: dict[str, str]) -> None:
        box = given.get("type") in {"checkbox", "radio"}
        if "name" in given and (not box or "checked" in given):
            self.values.setdefault(given["name"], []).append(given.get("value", ""))
        self.places.append(given.get("name", ""))

    def _chosen(self, given: dict[str, str]) -> None:
        self._option = given.get("value", "?")
        if "value" in given and (not self._any or "selected" in given):
            self.values[self._select] = [given["value"]]
        self._text, self._any = "", True
        self._taken = "value" not in given and ("selected" in given or self._select not in self.values)

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "option" and self._select and self._taken:
            self.values[self._select] = [self._text.strip()]
        elif tag == "select":
            self._select = ""
        elif tag == "textarea" and self._area:
            self.values[self._area], self._area = [self._text.removeprefix("\n")], ""
        elif tag == "button" and self._button:
            self.buttons[" ".join(self._text.split())] = self._button
            self._button = ""


class Making:
    """Somebody who makes an export of one resource, page by page."""

    def __init__(self, visitor: Visitor, resource: str) -> None:
        self.visitor, self.path = visitor, f"/console/new/{resource}"
        self.answer = visitor.http.get(self.path)
        assert self.answer.status_code == 200, self.answer.text
        self.form = Form(self.answer.text)

    def press(self, button: str, **changed: Any) -> httpx.Response:
        """Press a button, after these were typed, ticked or chosen; None: taken away."""
        values: dict[str, Any] = {**self.form.values, **changed}
        sent = {name: one for name, one in values.items() if one is not None}
        sent["do"] = self.form.buttons[button]
        self.answer = self.visitor.http.post(self.path, data=sent, headers=HERE)
        if self.answer.status_code == 200:
            self.form = Form(self.answer.text)
        return self.answer
