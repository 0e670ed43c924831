"""Every request as a line of the audit log, written before its answer begins."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from outhaul.audit import Audit
from outhaul.service import LINKS

LONGEST = 500  # characters of anything that a caller can choose


class Audited:
    """The layer below the address: what is asked by whom, and what it is answered. Whoever knows more puts it into
    `"outhaul.audit"` of the request's scope: caller, tenant, export, file. Never a token, a query or a body."""

    def __init__(self, app: ASGIApp, audit: Audit) -> None:
        self.app, self.audit = app, audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        known: dict[str, Any] = {"caller": None, "tenant": None}
        scope["outhaul.audit"] = known
        asked = {
            "trace": scope["outhaul.trace"],
            "client": scope["outhaul.client"],
            "method": scope["method"],
            "path": _shown(scope["path"]),
            "agent": _header(scope, b"user-agent"),
        }

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.audit.write(asked | {"status": message["status"]} | known)
            await send(message)

        await self.app(scope, receive, noted)


def _shown(path: str) -> str:
    """The path without what is good for as long as a link is."""
    before, mark, name = path.rpartition("/")
    if mark and before.startswith(f"{LINKS}/"):
        path = f"{LINKS}/***/{name}"
    return path[:LONGEST]


def _header(scope: Scope, name: bytes) -> str:
    found = next((value for key, value in scope["headers"] if key == name), b"")
    return str(found.decode("latin-1"))[:LONGEST]
