"""Where a dialect is at home: below a prefix, or at the addresses that a pattern matches."""

from __future__ import annotations

import re
from types import ModuleType

from starlette.routing import BaseRoute, Match, Mount
from starlette.types import ASGIApp, Receive, Scope, Send


class Places(BaseRoute):
    """All addresses that a pattern matches from end to end, as they are."""

    def __init__(self, pattern: re.Pattern[str], app: ASGIApp) -> None:
        self.pattern, self.app = pattern, app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        ours = scope["type"] == "http" and self.pattern.fullmatch(scope["path"])
        return (Match.FULL if ours else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def placed(dialect: ModuleType, app: ASGIApp) -> BaseRoute:
    """The route to a dialect."""
    if hasattr(dialect, "PLACES"):
        return Places(dialect.PLACES, app)
    place = Mount(dialect.PREFIX, app)
    place.path_regex = re.compile(place.path_regex.pattern, re.DOTALL)  # a line break is no end of a path
    return place
