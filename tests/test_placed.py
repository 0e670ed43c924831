"""Where dialects are at home: below a prefix, or at the addresses of a pattern, from end to end."""

from __future__ import annotations

import asyncio
import re
from types import ModuleType
from typing import Any

import pytest
from starlette.routing import Match

from outhaul.address import Address
from outhaul.dialects import placed


def dialect(**said: Any) -> ModuleType:
    made = ModuleType("dialect")
    vars(made).update(said)
    return made


async def nothing(*_: Any) -> Any:
    """An app that answers nothing."""


VERSIONS = re.compile(r"/2\.\d+(/.*)?", re.DOTALL)


@pytest.mark.parametrize(
    ("path", "ours"),
    [("/2.1", True), ("/2.11/exports/view", True), ("/2.1/a\nb", True), ("/2.x", False), ("/api/2.1", False)],
)
def test_a_pattern_matches_whole_addresses(path: str, ours: bool) -> None:
    scope = {"type": "http", "path": path, "method": "GET"}
    found, more = placed(dialect(PLACES=VERSIONS), nothing).matches(scope)
    assert (found, more) == (Match.FULL if ours else Match.NONE, {})


@pytest.mark.parametrize(("path", "ours"), [("/api/exports", True), ("/api/a\nb", True), ("/apis", False)])
def test_a_prefix_matches_all_below_it(path: str, ours: bool) -> None:
    scope = {"type": "http", "path": path, "method": "GET", "root_path": ""}
    found, _ = placed(dialect(PREFIX="/api"), nothing).matches(scope)
    assert found is (Match.FULL if ours else Match.NONE)


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("/exports/2.1/exports/view", "/2.1/exports/view"),
        ("/2.1/exports/view", "/2.1/exports/view"),
        ("/exports/api/x", "/api/x"),
        ("/exports/3/x", "/exports/3/x"),
    ],
)
def test_a_path_of_the_public_address_is_taken_off_before_either(asked: str, path: str) -> None:
    seen: list[str] = []

    async def app(scope: Any, *_: Any) -> None:
        seen.append(scope["path"])

    public = "https://example.com/exports"
    address = Address(app, "http://own:1", public, (), ("/api",), (VERSIONS,))
    scope: dict[str, Any] = {"type": "http", "path": asked, "headers": [], "client": None, "scheme": "http"}
    asyncio.run(address(scope, nothing, nothing))
    assert seen == [path]
