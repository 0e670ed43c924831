"""Batch's files when there are many: parts of one instant, the proof over all of them, and the limit to the byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outhaul import manifest
from outhaul.app import Outhaul
from outhaul.dialects.batch import ids, mapping
from tests.batches import Key, Source, serving, stamp

EVENTS = {"export_type": "EVENTS", "to": "now", "events": ["email_sent", "push_open"]}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    url = f"sqlite:///{tmp_path_factory.mktemp('source')}/company.db"
    made = Source(url if request.param == "sqlite" else request.getfixturevalue("postgres_module_url"))
    made.fill()
    later = stamp(datetime.now(UTC) + timedelta(days=1))
    for number in range(10_000, 10_400):
        at = later if number % 10 == 0 else stamp(datetime.now(UTC) - timedelta(hours=number % 600 + 1))
        made.run(
            "INSERT INTO messages VALUES (?, 1, 'acme', ?, ?, 2, NULL)",
            number,
            ("email", "push")[number % 2],
            at,
        )
    return made


@pytest.fixture
def working(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Outhaul, Key]]:
    """Parts of a few hundred rows, and files of a few dozen."""
    monkeypatch.setattr(mapping, "FILE_BYTES", 3_000)
    with serving(source.url, tmp_path, part_bytes=4_000, workers=2) as found:
        yield found


def test_many_parts_are_of_one_instant_and_their_files_are_proven(
    working: tuple[Outhaul, Key], source: Source
) -> None:
    outhaul, key = working
    since = stamp(datetime.now(UTC) - timedelta(days=89))
    shown = key.ended(**EVENTS, **{"from": since})
    lines = key.lines(shown)
    names = {"email": "email_sent", "push": "push_open"}
    question = "SELECT kind, sent_at FROM messages WHERE company = 'acme' AND kind IN ('email', 'push')"
    wanted = []
    for kind, at in source.run(question):
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
        if datetime.fromisoformat(since) <= moment <= datetime.now(UTC):
            wanted.append((names[kind], moment))
    found = [(one["event"], datetime.fromisoformat(one["date"])) for one in lines]
    assert sorted(found) == sorted(wanted)
    assert len(shown["files"]) > 10
    assert max(one["size"] for one in shown["files"]) <= 3_000
    export_id = ids.read_export(shown["id"])
    assert export_id
    assert len(outhaul.ledger.parts(export_id)) > 3
    _proven(outhaul, key, export_id)


def _proven(outhaul: Outhaul, key: Key, export_id: str) -> None:
    """By the manifest, which tells of every file."""
    exports, who = outhaul.exports, outhaul.access.caller(key.token)
    proof = exports.manifest(who, export_id)
    text = b"".join(proof.read(0, proof.length))
    files = {}
    for one in exports.files([exports.get(who, export_id)])[export_id]:
        link = exports.link(who, exports.get(who, export_id), one.name, timedelta(minutes=1))
        files[one.name] = key.client.get(link).content
    found = manifest.verify(text, lambda name, start, stop: [files[name][start:stop]], names=files, deep=True)
    assert found == ()
    assert len(json.loads(text)["files"]) == len(files)


@pytest.mark.heavy
def test_a_file_is_filled_to_its_last_byte_and_not_beyond(tmp_path: Path) -> None:
    source = Source(f"sqlite:///{tmp_path}/company.db")
    source.fill()
    frame = len('{"attributes":{"firstname":""}}\n')
    source.run("DELETE FROM messages")
    source.run("DELETE FROM devices")
    source.run("DELETE FROM people")
    source.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000) "
        "INSERT INTO people SELECT i, 'acme', NULL, NULL, printf('%.*c', ?, 'x'), NULL, NULL, NULL FROM n",
        1_000 - frame,
    )
    with serving(source.url, tmp_path, part_bytes=1_000_000_000) as (_, key):
        shown = key.ended(export_type="ATTRIBUTES", attributes=["firstname"])
        assert [one["size"] for one in shown["files"]] == [100_000_000, 50_000_000]
        assert len(key.download(shown["files"][0]).splitlines()) == 100_000
