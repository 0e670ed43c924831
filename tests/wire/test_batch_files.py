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
from tests.batches import Key, Source, dated, events, ordered, profiles, serving, stamp

EVENTS = {
    "export_type": "EVENTS",
    "to": "now",
    "events": ["email_sent", "push_open"],
    "identifiers": ["custom_id", "installation_id"],
}
ATTRIBUTES = {
    "export_type": "ATTRIBUTES",
    "attributes": ["$email_address", "firstname", "$language", "$creation_date", "age"],
    "identifiers": ["custom_id", "installation_ids"],
}


@pytest.fixture(scope="module", params=[pytest.param("sqlite", marks=pytest.mark.heavy), "postgresql"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    url = f"sqlite:///{tmp_path_factory.mktemp('source')}/company.db"
    made = Source(url if request.param == "sqlite" else request.getfixturevalue("postgres_module_url"))
    made.fill()
    later = stamp(datetime.now(UTC) + timedelta(days=1))
    rows = []
    for number in range(10_000, 10_200):
        at = later if number % 10 == 0 else stamp(datetime.now(UTC) - timedelta(hours=number % 600 + 1))
        rows.append((number, 1, "acme", ("email", "push")[number % 2], at, 2, None))
    made.add("messages", rows)
    return made


@pytest.fixture
def working(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Outhaul, Key]]:
    """Parts of a few hundred rows, and files of a few dozen."""
    monkeypatch.setattr(mapping, "FILE_BYTES", 2_000)
    with serving(source.url, tmp_path, part_bytes=4_000, workers=2) as found:
        yield found


def test_many_parts_are_of_one_instant_and_their_files_are_proven(
    working: tuple[Outhaul, Key], source: Source
) -> None:
    outhaul, key = working
    since = stamp(datetime.now(UTC) - timedelta(days=89))
    shown = key.ended(**EVENTS, **{"from": since})
    wanted = events(source, "email", "email_sent", since) + events(source, "push", "push_open", since)
    assert dated(key.lines(shown)) == ordered(wanted)
    assert len(shown["files"]) > 10
    assert max(one["size"] for one in shown["files"]) <= 2_000
    export_id = ids.read_export(shown["id"])
    assert export_id
    assert len(outhaul.ledger.parts(export_id)) > 3
    _proven(outhaul, key, export_id)


@pytest.mark.heavy
def test_profiles_with_lists_are_those_of_the_database_over_many_parts(
    working: tuple[Outhaul, Key], source: Source
) -> None:
    _, key = working
    assert dated(key.lines(key.ended(**ATTRIBUTES))) == profiles(source)


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
    assert b"kind_eq" not in text, "a filter of the catalog file is its operator's own"


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
