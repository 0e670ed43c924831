"""The manifest tells all, agrees with itself, and every damage to it or the files is found and named."""

from __future__ import annotations

import copy
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from outhaul import downloads, filters, manifest
from outhaul.blocks import Range
from outhaul.catalog import Type
from outhaul.ledger import Facts
from outhaul.manifest import Finding
from outhaul.stores.file import FileStore
from tests import trees
from tests.exports import ORDERS, orders, recorded
from tests.trees import Row, Shape

RANGES = (
    Range("key", None, ("50",)),
    Range("key", ("50",), ("90",)),
    Range("key", ("90",), ("200", "x")),
    Range("key", ("200", "x"), None),
)
PARTS = [orders(50, 1), orders(40, 2), [], orders(200, 3)]


def save(facts: Facts, store: FileStore, folder: Path, *, numbered: bool = False) -> dict[str, Any]:
    """The files and their manifest in a folder; the manifest as data."""
    folder.mkdir()
    made = downloads.artifacts(facts, numbered=numbered)
    for artifact in made:
        (folder / artifact.name).write_bytes(b"".join(downloads.read(artifact, store)))
    data = manifest.build(facts, made)
    (folder / "manifest.json").write_bytes(manifest.to_bytes(data))
    return data


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "objects")


@pytest.fixture(params=[None, "gzip"], ids=["plain", "gzip"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, store: FileStore) -> Path:
    save(
        recorded(store, PARTS, ranges=RANGES, compress=request.param, fragment_rows=60),
        store,
        tmp_path / "out",
    )
    return tmp_path / "out"


def findings(folder: Path, *, deep: bool = False) -> list[str]:
    return [str(one) for one in manifest.verify_folder(folder, deep=deep)]


def test_files_as_they_were_written_hold(folder) -> None:
    assert findings(folder) == []
    assert findings(folder, deep=True) == []
    assert manifest.verify_folder(folder / "manifest.json") == ()


@pytest.mark.parametrize("parts", [[[], [], [], []], [orders(1), [], [], []]], ids=["no rows", "one row"])
@pytest.mark.parametrize("compress", [None, "gzip"])
def test_small_exports_hold(parts, compress, store, tmp_path) -> None:
    save(recorded(store, parts, ranges=RANGES, compress=compress), store, tmp_path / "out")
    assert findings(tmp_path / "out", deep=True) == []


def test_numbered_files_hold(store, tmp_path) -> None:
    save(
        recorded(store, PARTS, ranges=RANGES, compress="gzip", fragment_rows=30),
        store,
        tmp_path / "out",
        numbered=True,
    )
    assert len(list((tmp_path / "out").iterdir())) > 25
    assert findings(tmp_path / "out", deep=True) == []


def test_every_flipped_byte_is_found_with_its_file_and_place(folder) -> None:
    for name in sorted(path.name for path in folder.iterdir() if path.name != "manifest.json"):
        path, data = folder / name, (folder / name).read_bytes()
        for at in {0, 1, len(data) // 3, len(data) // 2, len(data) - 9, len(data) - 1}:
            path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
            (only,) = manifest.verify_folder(folder)
            assert only.file == name
            assert only.what.startswith("SHA-256 of bytes ")
            first, last = (int(word) for word in only.what.split() if word.isdigit())
            assert first <= at <= last
            assert len(only.expected) == len(only.found) == 64
            assert only.expected != only.found
        path.write_bytes(data)
    assert findings(folder) == []


def test_a_missing_file_is_found(folder) -> None:
    victim = next(path for path in sorted(folder.iterdir()) if path.name != "manifest.json")
    victim.unlink()
    assert findings(folder) == [f"{victim.name}: is missing"]


def test_a_file_too_many_is_found(folder) -> None:
    (folder / "orders-old.csv").write_text("id\n1\n")
    (folder / ".DS_Store").write_text("of the system")
    assert findings(folder) == ["orders-old.csv: is not in the manifest"]


def test_swapped_files_are_found(folder) -> None:
    one, two, _ = sorted(path for path in folder.iterdir() if path.name != "manifest.json")
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert {finding.file for finding in manifest.verify_folder(folder)} == {one.name, two.name}


def test_swapped_numbered_files_of_equal_length_are_found(store, tmp_path) -> None:
    shape = Shape({"id": "raw"})
    parts: list[list[Row]] = [[{"id": "11"}], [{"id": "22"}], [{"id": "33"}], []]
    save(recorded(store, parts, shape, RANGES, formats=("ndjson",)), store, tmp_path / "out", numbered=True)
    one, two = tmp_path / "out" / "_-001.ndjson", tmp_path / "out" / "_-002.ndjson"
    first, second = one.read_bytes(), two.read_bytes()
    assert len(first) == len(second)
    one.write_bytes(second)
    two.write_bytes(first)
    assert {finding.file for finding in manifest.verify_folder(tmp_path / "out")} == {one.name, two.name}


@pytest.mark.parametrize("cut", [1, 9, 1000])
def test_a_shortened_file_is_found_with_both_lengths(folder, cut) -> None:
    for path in sorted(folder.iterdir()):
        if path.name != "manifest.json":
            data = path.read_bytes()
            path.write_bytes(data[:-cut])
            said = findings(folder)
            assert f"{path.name}: length: expected {len(data)} bytes, found {len(data) - cut} bytes" in said
            path.write_bytes(data)


def test_an_emptied_file_and_one_with_something_behind_it_are_found(folder) -> None:
    path = next(path for path in sorted(folder.iterdir()) if path.name != "manifest.json")
    data = path.read_bytes()
    path.write_bytes(b"")
    assert f"{path.name}: length: expected {len(data)} bytes, found 0 bytes" in findings(folder)
    path.write_bytes(data + b"\n")
    assert findings(folder) == [f"{path.name}: length: expected {len(data)} bytes, found more"]


def edited(folder: Path, change: Callable[[dict[str, Any]], None], *, rehash: bool) -> list[str]:
    """What is found when the manifest has been changed; with `rehash` by somebody who computes its hash anew."""
    path = folder / "manifest.json"
    before = path.read_bytes()
    data = json.loads(before)
    change(data)
    if rehash:
        data["sha256"] = manifest.own_hash(data)
    path.write_bytes(json.dumps(data).encode())
    said = findings(folder)
    path.write_bytes(before)
    return said


def leaves(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every single value of the manifest stands."""
    inside: Any = ()
    if isinstance(data, dict):
        inside = data.items()
    elif isinstance(data, list):
        inside = enumerate(data)
    else:
        yield path
    for key, value in inside:
        yield from leaves(value, (*path, key))


def test_every_value_of_the_manifest_that_is_edited_is_found(store, tmp_path) -> None:
    data = save(recorded(store, PARTS, ranges=RANGES, formats=("csv",)), store, tmp_path / "out")
    places = list(leaves(data))
    assert len(places) > 100
    for place in places:
        changed = copy.deepcopy(data)
        inner = changed
        for step in place[:-1]:
            inner = inner[step]
        old = inner[place[-1]]
        inner[place[-1]] = old + 1 if isinstance(old, int) and not isinstance(old, bool) else f"{old}x"
        assert changed["sha256"] != manifest.own_hash(changed), place


def test_an_edited_manifest_is_found_but_not_one_that_was_laid_out_anew(folder) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=4))
    assert findings(folder) == []

    def rename(data: dict[str, Any]) -> None:
        data["tenant"] = "somebody else"

    (said,) = edited(folder, rename, rehash=False)
    assert said.startswith("manifest.json: was edited: its SHA-256 does not fit: expected ")


def bump(*path: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: Any) -> None:
        for step in path[:-1]:
            data = data[step]
        data[path[-1]] += 1

    return change


def drop_part(data: dict[str, Any]) -> None:
    del data["parts"][1]


def double_segment(data: dict[str, Any]) -> None:
    segments = data["files"][0]["segments"]
    segments.insert(2, segments[1])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (bump("selections", 0, "matched", ""), "expected 291, found 290"),
        (bump("selections", 0, "matched", "lines"), "selection 0, lines: expected"),
        (bump("parts", 0, "rows"), "rows read as csv, selection 0: expected 290, found 291"),
        (bump("parts", 0, "related", "lines"), "rows read as csv, selection 0, lines"),
        (
            bump("files", 0, "rows"),
            "the segments have another number of rows in all: expected 291, found 290",
        ),
        (bump("files", 0, "length"), "the segments have another length in all"),
        (bump("files", 0, "related", "lines"), "rows in the files of csv, selection 0, lines"),
        (bump("files", 0, "raw_length"), "length of the text: expected"),
        (bump("files", 0, "segments", 1, "rows"), "another number of rows in all: expected 290, found 291"),
        (bump("files", 0, "segments", 1, "start"), "does not begin where the one before ends"),
        (drop_part, "the range of part 3 does not chain: expected ['50'], found ['90']"),
        (double_segment, "does not begin where the one before ends"),
        (lambda data: data["files"].pop(), "rows in the files of ndjson, selection 0: expected 290, found 0"),
        (
            lambda data: data["files"][0].update(crc32="00000000"),
            "CRC-32 of the text: expected 00000000, found",
        ),
        (lambda data: data["files"][0].update(name="../secret"), "one in another folder"),
        (lambda data: data["files"][0].update(name=data["files"][1]["name"]), "names a file twice"),
        (lambda data: data.update(manifest=2), "of another version: expected 1, found 2"),
    ],
)
def test_counts_that_do_not_agree_are_found_even_under_a_fresh_hash(folder, change, said) -> None:
    assert any(said in one for one in edited(folder, change, rehash=True))


def test_counts_equal_in_sum_do_not_hide_a_gap_beside_an_overlap(folder) -> None:
    def shift(data: dict[str, Any]) -> None:
        data["parts"][0]["range"]["high"] = ["60"]

    assert any(
        "part 2 does not chain: expected ['60'], found ['50']" in one
        for one in edited(folder, shift, rehash=True)
    )


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"null", b"\xff", b'{"manifest": 1}', b"<html>"])
def test_what_is_no_manifest_is_said_to_be_none(text, tmp_path) -> None:
    (tmp_path / "manifest.json").write_bytes(text)
    (only,) = manifest.verify_folder(tmp_path)
    assert "is no manifest" in str(only)


def test_a_manifest_that_is_not_there_is_said_to_be_missing(tmp_path) -> None:
    assert "cannot be read" in findings(tmp_path)[0]


def test_rows_are_counted_in_the_text_when_asked_for(store, tmp_path) -> None:
    """Hashes of wrong text, right in themselves: only reading the rows tells."""
    facts = recorded(store, PARTS, ranges=RANGES, formats=("ndjson",), compress="gzip")
    save(facts, store, tmp_path / "out")
    lines = gzip.decompress((tmp_path / "out" / "_.ndjson.gz").read_bytes()).splitlines(keepends=True)
    data = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    text = gzip.compress(b"".join(lines[:-1]))
    (tmp_path / "out" / "_.ndjson.gz").write_bytes(text)
    whole = b"".join(lines[:-1])
    only = {
        "start": 0,
        "length": len(text),
        "sha256": hashlib.sha256(text).hexdigest(),
        "rows": 290,
        "part": 1,
    }
    crc = f"{zlib.crc32(whole):08x}"
    data["files"][0] |= {"length": len(text), "raw_length": len(whole), "crc32": crc, "segments": [only]}
    data["sha256"] = manifest.own_hash(data)
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(data))
    assert findings(tmp_path / "out") == []
    assert findings(tmp_path / "out", deep=True) == [
        "_.ndjson.gz: rows, counted in the text: expected 290, found 289"
    ]


def test_files_far_away_are_verified_by_a_callable(folder) -> None:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    text = files.pop("manifest.json")
    asked: list[tuple[str, int, int]] = []

    def fetch(name: str, start: int, stop: int) -> list[bytes]:
        asked.append((name, start, stop))
        if name not in files:
            raise FileNotFoundError(name)
        data = files[name][start:stop]
        return [data[at : at + 777] for at in range(0, len(data), 777)]

    assert manifest.verify(text, fetch, deep=True) == ()
    assert [name for name, _, _ in asked] == sorted(
        files, key=[one["name"] for one in json.loads(text)["files"]].index
    )
    name, data = next(iter(files.items()))
    files[name] = data[:100] + b"?" + data[101:]
    assert [one.file for one in manifest.verify(text, fetch)] == [name]
    del files[name]
    assert manifest.verify(text, fetch) == (Finding(name, "is missing"),)


def test_the_manifest_tells_what_was_asked_matched_read_and_written(store, tmp_path) -> None:
    data = save(
        recorded(store, PARTS, ranges=RANGES, formats=("csv", "json"), fragment_rows=100),
        store,
        tmp_path / "out",
    )
    assert data["export"] == "AbCdEfGhIj"
    assert data["request"]["metadata"] == {"for": "Zoë"}
    assert data["source"] == "sqlite"
    assert data["instant_at"] == "2026-11-22T12:00:00+00:00"
    assert (data["generation"], data["consistency"]) == (2, "snapshot")
    assert data["catalog"] == "f" * 64
    everything = [row for some in PARTS for row in some]
    assert data["selections"][0]["matched"] == {"": 290, **trees.counts(ORDERS, everything)}
    assert [field["field"] for field in data["selections"][0]["fields"]] == ["id", "note", "lines.n"]
    assert [part["range"] for part in data["parts"][:4]] == [
        json.loads(json.dumps(one.to_data())) for one in RANGES
    ]
    csv_file = data["files"][0]
    content = (tmp_path / "out" / csv_file["name"]).read_bytes()
    assert csv_file["length"] == len(content)
    assert [segment.get("part") for segment in csv_file["segments"]] == [None, 1, 2, 4, 4]
    for segment in csv_file["segments"]:
        stretch = content[segment["start"] : segment["start"] + segment["length"]]
        assert hashlib.sha256(stretch).hexdigest() == segment["sha256"]
    assert (tmp_path / "out" / "manifest.json").read_bytes() == manifest.to_bytes(data)
    assert "objects" not in json.dumps(data)
    assert not any(fragment in json.dumps(data) for fragment in ("AbCdEfGhIj/", ".deflate"))


def test_the_conditions_that_no_caller_can_lift_are_told(store, tmp_path) -> None:
    facts = recorded(store, PARTS, ranges=RANGES, formats=("csv",))
    rule = filters.Test("company_id", Type.INTEGER, "integer", "eq", ("7",))
    (node,) = facts.plan.selections
    facts = replace(facts, plan=replace(facts.plan, tenant="7", selections=(replace(node, rules=rule),)))
    data = manifest.build(facts, downloads.artifacts(facts))
    assert "company_id" in json.dumps(data["conditions"][0])


def test_a_tenant_is_told_its_own_words_and_not_what_a_section_makes_of_them(store, tmp_path) -> None:
    facts = recorded(store, PARTS, ranges=RANGES)
    wire = {"export_type": "EVENTS"}
    draft = {"selections": [{"filters": {"kind_eq": "secret"}}], "formats": ["csv"], "wire": wire}
    facts = replace(facts, export=replace(facts.export, draft=draft))
    for_all = save(facts, store, tmp_path / "all")
    assert for_all["request"] == draft
    facts = replace(facts, export=replace(facts.export, tenant="acme"))
    assert save(facts, store, tmp_path / "acme")["request"] == {"formats": ["csv"], "wire": wire}
    assert findings(tmp_path / "acme", deep=True) == []


def test_a_tenants_manifest_shows_no_key_of_others_and_its_ranges_still_chain(store, tmp_path) -> None:
    facts = recorded(store, PARTS, ranges=RANGES, formats=("csv",))
    canary = Range("key", None, ("canary@other.example",)).to_data()
    after = Range("key", ("canary@other.example",), ("90",)).to_data()
    parts = (replace(facts.parts[0], range=canary), replace(facts.parts[1], range=after), *facts.parts[2:])
    facts = replace(facts, parts=parts, plan=replace(facts.plan, tenant="7"))
    data = save(facts, store, tmp_path / "out")
    assert "canary" not in json.dumps(data)
    assert findings(tmp_path / "out", deep=True) == []
    assert edited(tmp_path / "out", drop_part, rehash=True)
    again = manifest.build(facts, downloads.artifacts(facts))
    assert again["parts"][0]["range"]["high"] != data["parts"][0]["range"]["high"]
