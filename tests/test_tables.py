"""One export of several selections in every format, tables with lines of related rows among them, is proven whole."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from outhaul import downloads, formats, manifest, siblings
from outhaul.export import Draft, Selection
from outhaul.tabular import LINES
from tests.served import ROWS, US, done, of_shop, shop

DRAFT = Draft(
    (
        Selection("companies", includes=("orders",), nested={"orders": "rows"}),
        Selection("orders", includes=("company",), nested={"company": "columns"}),
    ),
    formats=tuple(siblings.names(formats)),
    compress="gzip",
    part_bytes=500,
    profile="spreadsheet",
    delimiter="semicolon",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest, and the files by their names."""
    place = shop(tmp_path_factory.mktemp("shop"))
    with of_shop(place) as outhaul:
        export = done(outhaul, outhaul.exports.create(US, DRAFT))
        files = outhaul.ledger.artifacts(export.id)
        key = outhaul.ledger.manifest_key(export.id)
        assert key
        told = json.loads(b"".join(outhaul.store.read(key)))
        return told, {file.name: b"".join(downloads.read(file, outhaul.store)) for file in files}


def verify(told: dict[str, Any], files: dict[str, bytes]) -> tuple[manifest.Finding, ...]:
    def fetch(name: str, start: int, stop: int) -> Iterable[bytes]:
        return [files[name][start:stop]]

    return manifest.verify(json.dumps(told).encode(), fetch, names=files, deep=True)


def table(data: bytes) -> list[list[str]]:
    text = gzip.decompress(data).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True))


def test_every_format_is_proven_by_the_same_counts(made) -> None:
    told, files = made
    assert verify(told, files) == ()
    assert told["selections"][0]["matched"] == {"": 2, "orders": ROWS, LINES: ROWS}
    assert told["selections"][1]["matched"] == {"": ROWS}
    assert {(file["selection"], file["format"]) for file in told["files"]} == {
        (selection, name) for selection in (0, 1) for name in DRAFT.formats
    }
    lines = {(file["selection"], file["format"]): file["related"].get(LINES) for file in told["files"]}
    assert {key for key, number in lines.items() if number is not None} == {(0, "csv")}
    assert len(told["parts"]) > 2 * len(DRAFT.formats)


def test_tables_hold_each_line_once(made) -> None:
    _, files = made
    header, *lines = table(files["companies.csv.gz"])
    assert header == ["id", "name", "orders.id", "orders.company_id", "orders.note"]
    expected = [
        [str(1 + n % 2), "ALPHA" if n % 2 == 0 else "OMEGA", str(n), str(1 + n % 2), f"note {n}"]
        for n in range(1, ROWS + 1)
    ]
    assert sorted(lines) == sorted(expected)
    header, *lines = table(files["orders.csv.gz"])
    assert header == ["id", "company_id", "note", "company.id", "company.name"]
    assert Counter(line[4] for line in lines) == {"ALPHA": ROWS // 2, "OMEGA": ROWS // 2}


@pytest.mark.parametrize("where", ["matched", "parts", "files"])
def test_another_number_of_lines_in_the_manifest_is_found(made, where: str) -> None:
    told, files = made
    edited = json.loads(json.dumps(told))
    if where == "matched":
        edited["selections"][0]["matched"][LINES] += 1
    else:
        one = next(one for one in edited[where] if LINES in one["related"])
        one["related"][LINES] += 1
    edited["sha256"] = manifest.own_hash(edited)
    found = verify(edited, files)
    assert found
    assert any(LINES in finding.what or "counted in the text" in finding.what for finding in found)
