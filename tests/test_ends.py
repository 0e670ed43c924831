"""Ends that are easily forgotten: expired tokens, lost objects, odd manifests, prefixes of proxies, Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from outhaul import downloads, manifest, reconcile, siblings, stores
from outhaul.access import Access
from outhaul.address import Address
from outhaul.catalog import Catalog
from outhaul.commands import _folder
from outhaul.errors import Gone, NotAllowed, StoreError
from outhaul.export import Caller, Export
from outhaul.ledger import Ledger
from outhaul.service import Exports, Terms
from tests import drafts
from tests.drafts import claimed, fragment, only, plan_out
from tests.test_reconcile import FakeEngine, allow, run_parts

CALLER = Caller("key-1", "Ann", "acme")
KEYS = ["k" * 32]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with drafts.opened(drafts.sqlite_url(tmp_path)) as ledger:
        yield ledger


@pytest.fixture
def store(tmp_path: Path) -> Any:
    return siblings.load(stores, "file").open_store(f"file://{tmp_path / 'objects'}")


@pytest.fixture
def exports(ledger: Ledger, store: Any) -> Exports:
    return Exports(
        ledger=ledger,
        source_url="sqlite:///none.db",
        catalog=Catalog("sqlite", {}),
        store=store,
        keys=KEYS,
        terms=Terms(),
        nudge=lambda: None,
    )


@pytest.fixture
def done(ledger: Ledger, store: Any) -> Export:
    made = plan_out(ledger, 2, formats=("csv", "json"))
    run_parts(ledger, store)
    reconcile.once(ledger, FakeEngine(), store, allow)
    return ledger.get(made.id)


def opened(exports: Exports, export: Export, name: str, caller: str = "key-1") -> Any:
    link = downloads.Link(export.id, caller)
    return exports.open(downloads.sign(KEYS, link, datetime.now(UTC) + timedelta(minutes=1)), name)


def test_what_a_token_asked_for_and_its_links_end_when_it_expires(
    ledger: Ledger, exports: Exports, done: Export
) -> None:
    _, token = Access(ledger).make_token(
        "short", tenant="acme", expires_at=datetime.now(UTC) - timedelta(seconds=1)
    )
    with pytest.raises(Gone, match="expired"):
        opened(exports, done, "orders.csv", token.id)
    with ledger._write() as write:
        write.execute(sa.text("UPDATE exports SET caller = :token"), {"token": token.id})
    with pytest.raises(NotAllowed, match="expired"):
        exports.check(done.id)


def test_each_read_by_a_link_is_an_event_and_a_look_is_none(
    ledger: Ledger, exports: Exports, done: Export
) -> None:
    file = opened(exports, done, "orders.csv")
    assert [one for one in ledger.events(done.id) if one.name == "downloaded"] == []
    assert len(b"".join(file.read(0, 10))) == 10
    b"".join(file.read(10, file.length))
    b"".join(exports.manifest(CALLER, done.id).read(0, 5))
    noted = [one for one in ledger.events(done.id) if one.name == "downloaded"]
    assert [(one.who, one.data["file"], one.data["start"]) for one in noted] == [
        ("key-1", "orders.csv", 0),
        ("key-1", "orders.csv", 10),
        ("key-1", "manifest.json", 0),
    ]


def test_an_object_that_is_gone_is_noticed_before_the_first_piece_is_given(
    store: Any, exports: Exports, done: Export
) -> None:
    file = opened(exports, done, "orders.json")
    store.delete(f"{done.id}/")
    with pytest.raises(StoreError):
        next(file.read(0, file.length))


def test_links_are_made_without_reading_layouts(ledger: Ledger, exports: Exports, done: Export) -> None:
    asked: list[str] = []
    sa.event.listen(ledger._reader, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert len(exports.links(CALLER, done).artifacts) == 2
    assert asked
    assert not any("layout" in text for text in asked)


def test_a_part_that_settles_while_names_are_collected_is_among_them(postgres_url: str) -> None:
    with drafts.opened(postgres_url) as ledger:
        made = plan_out(ledger, 1)
        lease = claimed(ledger, only(ledger.admit(2)))
        settled: list[bool] = []

        def between(*given: Any) -> None:
            text = given[2]
            if (
                not settled
                and text.startswith("SELECT")
                and ("FROM parts" in text or "FROM fragments" in text)
            ):
                settled.append(True)
                settled.append(ledger.settle(lease, [fragment(lease)]))

        sa.event.listen(ledger._reader, "after_cursor_execute", between)
        named = ledger.named(made.id)
        assert settled == [True, True]
        assert named
        assert any(fragment(lease).key.startswith(name) for name in named)


@pytest.mark.parametrize("name", ["..", ".", "", "a folder", "closed"])
def test_a_manifest_that_names_what_is_no_file_is_a_finding(name: str, tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()
    file = {
        "name": name,
        "selection": 0,
        "format": "csv",
        "length": 1,
        "rows": 0,
        "related": {},
        "segments": [],
    }
    data = {"manifest": 1, "selections": [], "parts": [], "files": [file], "compress": None}
    (tmp_path / "manifest.json").write_text(json.dumps(data | {"sha256": manifest.own_hash(data)}))
    assert manifest.verify_folder(tmp_path)


def reached(public_url: str, path: str) -> str:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])

    address = Address(app, "http://127.0.0.1:1", public_url, (), ("/api", "/files"))
    asyncio.run(address({"type": "http", "path": path, "headers": []}, None, None))  # type: ignore[arg-type]  # neither is used
    return seen[0]


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/api/exports", "/api/exports"),  # by a proxy that takes its prefix away
        ("/api/api/exports", "/api/exports"),  # by one that does not
        ("/api/files/token/name", "/files/token/name"),
        ("/files/token/name", "/files/token/name"),
    ],
)
def test_a_prefix_of_the_proxy_that_is_named_like_ours_is_told_from_it(path: str, ours: str) -> None:
    assert reached("https://a.example/api", path) == ours


def test_a_prefix_of_the_proxy_is_taken_away_once() -> None:
    assert reached("https://a.example/shop", "/shop/api/exports") == "/api/exports"
    assert reached("https://a.example", "/api/exports") == "/api/exports"


class Interrupting(type(Path())):  # type: ignore[misc]  # the class of this system's paths
    """A file during whose move Ctrl-C is pressed."""

    def replace(self, target: Any) -> Any:
        moved = super().replace(target)
        os.kill(os.getpid(), signal.SIGINT)
        return moved


def test_ctrl_c_between_two_files_waits_until_all_stand_together(tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    out.mkdir()
    for folder, text in ((work, "new"), (out, "old")):
        for name in ("a.csv", "b.csv", "manifest.json"):
            (folder / name).write_text(text)
    files: list[Path] = [Interrupting(work / "a.csv"), work / "b.csv", work / "manifest.json"]
    with pytest.raises(KeyboardInterrupt):
        _folder.publish(files, out)
    assert {path.name: path.read_text() for path in out.iterdir()} == dict.fromkeys(
        ("a.csv", "b.csv", "manifest.json"), "new"
    )


def test_a_manifest_never_stands_beside_files_of_another_export(tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    out.mkdir()
    (out / "manifest.json").write_text("old")
    (work / "a.csv").write_text("new")
    with pytest.raises(StoreError):
        _folder.publish([work / "a.csv", work / "lost.csv", work / "manifest.json"], out)
    assert [path.name for path in out.iterdir()] == ["a.csv"]
