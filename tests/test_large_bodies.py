"""Bodies of requests that are odd or large: refused in words, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.requests import Request

from outhaul.dialects.commercelayer import errors, parse, routes
from outhaul.errors import TooMuch, WrongValue
from outhaul.export import Caller
from tests import drafts


def document(**attributes: Any) -> dict[str, Any]:
    return {"data": {"type": "exports", "attributes": {"resource_type": "skus"} | attributes}}


@pytest.mark.parametrize("odd", [[], {}, ["gzip"], 7, True])
def test_an_odd_compression_is_refused_in_words(odd: Any) -> None:
    with pytest.raises(WrongValue, match="must be a string"):
        parse.creation(document(compress=odd))


def updated(data: Any) -> parse.Change:
    del data["data"]["attributes"]["resource_type"]
    return parse.update(data, "a")


@pytest.mark.parametrize("call", [parse.creation, updated])
def test_metadata_has_a_limit_that_is_told(call: Callable[[Any], Any]) -> None:
    with pytest.raises(TooMuch) as refused:
        call(document(metadata={"notes": "x" * 70_000}))
    status, body = errors.document(refused.value, "trace")
    assert (status, body["errors"][0]["meta"]["count"]) == (422, 65_536)
    assert body["errors"][0]["source"]["pointer"] == "/data/attributes/metadata"
    assert parse.creation(document(metadata={"notes": "x" * 60_000})).metadata


def test_a_body_is_read_beside_the_loop_that_serves_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    where: list[threading.Thread] = []
    monkeypatch.setattr(parse, "body", lambda _: where.append(threading.current_thread()))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    app = SimpleNamespace(state=SimpleNamespace(max_body=100))
    scope = {
        "type": "http",
        "method": "POST",
        "app": app,
        "headers": [(b"content-type", routes.MEDIA_TYPE.encode())],
    }
    asyncio.run(routes.body(Request(scope, receive), Caller("a", "a", "acme")))
    assert where
    assert where[0] is not threading.main_thread()


def test_a_list_reads_no_plan(tmp_path: Path) -> None:
    with drafts.opened(drafts.sqlite_url(tmp_path)) as ledger:
        made, asked = drafts.create(ledger), []
        sa.event.listen(ledger._reader, "before_cursor_execute", lambda *given: asked.append(given[2]))
        assert [one.id for one in ledger.list(limit=25)[0]] == [made.id]
        assert asked
        assert not any("exports.plan" in text or "exports.tables" in text for text in asked)
