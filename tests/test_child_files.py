"""Related rows in files of their own: over HTTP one ZIP, in a folder a file each, joined by keys and proven."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
import subprocess
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from outhaul import cli, downloads, manifest
from outhaul.app import Outhaul
from outhaul.errors import Unproven
from outhaul.export import Draft, Selection
from outhaul.formats import sheets
from outhaul.formats.csv import opening
from outhaul.ledger import Facts
from outhaul.plan import build
from outhaul.reconcile import prove
from tests.catalogs import EVERYBODY, FORMATS
from tests.catalogs import SHOP as CATALOG
from tests.served import CATALOG as RULES
from tests.served import ROWS, US, Asker, done, finished, of_shop, served, shop

LINES = """
INSERT INTO companies VALUES (3, 'EMPTY');
CREATE TABLE lines (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id), word TEXT);
CREATE TABLE parcels (id INTEGER PRIMARY KEY, line_id INTEGER NOT NULL REFERENCES lines (id), weight TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
INSERT INTO lines SELECT i, 1 + i % 40, CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'a "b",' || char(10) END FROM n;
INSERT INTO parcels SELECT id * 2, id, id || ' kg' FROM lines WHERE id % 5 = 0;
INSERT INTO parcels SELECT id * 2 + 1, id, NULL FROM lines WHERE id % 10 = 0;
"""
RULED = (
    '[resources.lines]\ntenant = "order.company_id"\n[resources.parcels]\ntenant = "line.order.company_id"\n'
)
WAYS = {"orders": "files", "orders.lines": "files", "orders.lines.parcels": "files"}
INCLUDES = ("orders.lines.parcels",)
DEEP = Selection("companies", includes=INCLUDES, nested=WAYS)
NAMES = [
    "companies.csv",
    "companies.orders.csv",
    "companies.orders.lines.csv",
    "companies.orders.lines.parcels.csv",
]
ORDERS = "companies c JOIN orders o ON o.company_id = c.id"
LINES_OF = f"{ORDERS} JOIN lines l ON l.order_id = o.id"
PARCELS = f"{LINES_OF} JOIN parcels p ON p.line_id = l.id"
QUERIES = {  # what each file is to hold, by SQLite's own driver
    NAMES[0]: "SELECT c.* FROM companies c",
    NAMES[1]: f"SELECT c.id, o.* FROM {ORDERS}",
    NAMES[2]: f"SELECT c.id, o.id, l.* FROM {LINES_OF}",
    NAMES[3]: f"SELECT c.id, o.id, l.id, p.* FROM {PARCELS}",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shop(tmp_path_factory.mktemp("shop"))
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        connection.executescript(LINES)
    (folder / "catalog.toml").write_text(RULES + RULED)
    return folder


@pytest.fixture(scope="module")
def outhaul(place: Path) -> Iterator[Outhaul]:
    with of_shop(place) as made:
        yield made


@pytest.fixture(scope="module")
def client(outhaul: Outhaul) -> Iterator[httpx.Client]:
    with served(outhaul) as made:
        yield made


@pytest.fixture(scope="module")
def stored(place: Path) -> dict[str, list[list[str]]]:
    found = subprocess.run(
        ["python3", "-S", "-c", READ, place / "shop.db", json.dumps(QUERIES)], check=True, capture_output=True
    )
    rows: dict[str, list[list[str]]] = json.loads(found.stdout)
    return rows


# Another process: one process opens a file of SQLite with one library.
READ = """
import json, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
said = lambda row: ["" if one is None else str(one) for one in row]
queries = json.loads(sys.argv[2])
print(json.dumps({name: [said(row) for row in connection.execute(queries[name])] for name in queries}))
"""


def table(text: bytes) -> list[list[str]]:
    """The lines of a file without its header."""
    return list(csv.reader(io.StringIO(text.decode(), newline=""), strict=True))[1:]


def facts_of(outhaul: Outhaul, draft: Draft) -> Facts:
    found = outhaul.ledger.facts(done(outhaul, outhaul.exports.create(US, draft)).id)
    assert found is not None
    return found


def folder_of(outhaul: Outhaul, facts: Facts, folder: Path, **how: Any) -> Path:
    """As the command line leaves it."""
    made = downloads.artifacts(facts, archived=False, **how)
    for one in made:
        (folder / one.name).write_bytes(b"".join(downloads.read(one, outhaul.store)))
    (folder / "manifest.json").write_bytes(manifest.to_bytes(manifest.build(facts, made)))
    return folder


def test_each_file_begins_with_the_keys_of_all_that_stand_above_its_rows() -> None:
    nested = {"line_items": "files", "line_items.options": "files", "logs": "rows"}
    selection = Selection("orders", includes=("customer", "line_items.options", "logs"), nested=nested)
    (root,) = build(CATALOG, Draft((selection,), formats=FORMATS), EVERYBODY, formats=FORMATS).selections
    found = {one.name: opening(one.node).decode().rstrip().split(",") for one in sheets(root, "csv")}
    assert list(found) == ["orders", "orders.line_items", "orders.line_items.options"]
    assert [name for name in found["orders"] if name.startswith("line_items")] == []
    assert found["orders"][-2:] == ["logs.line", "logs.order_id"]
    assert found["orders.line_items"][:3] == ["id", "line_items.id", "line_items.order_id"]
    assert found["orders.line_items.options"][:3] == ["id", "line_items.id", "line_items.options.id"]
    assert [one.node for one in sheets(root, "json")] == [root]


def test_each_file_is_like_a_spreadsheet_where_one_is_asked_for() -> None:
    nested = {"line_items": "files", "line_items.options": "files"}
    selection = Selection("orders", includes=("line_items.options",), nested=nested)
    draft = Draft((selection,), formats=("csv",), profile="spreadsheet", delimiter="tab")
    (root,) = build(CATALOG, draft, EVERYBODY, formats=FORMATS).selections
    begins = [opening(one.node).decode("utf-8").split("\t")[0] for one in sheets(root, "csv")]
    assert begins == ["\ufeffid"] * 3


@pytest.mark.parametrize("compress", [None, "gzip"])
@pytest.mark.parametrize("part_bytes", [None, 2000])
def test_over_http_they_are_one_archive_with_ranges(
    outhaul: Outhaul, client: httpx.Client, stored, compress: str | None, part_bytes: int | None
) -> None:
    draft = Draft((DEEP,), formats=("csv", "json"), compress=compress, part_bytes=part_bytes)
    export = done(outhaul, outhaul.exports.create(US, draft))
    path, _ = outhaul.exports.links(US, export).artifacts
    whole = client.get(path)
    assert whole.headers["content-type"] == "application/zip"
    assert "filename*=UTF-8''companies.csv.zip" in whole.headers["content-disposition"]
    assert int(client.head(path).headers["content-length"]) == len(whole.content)
    some = client.get(path, headers={"Range": "bytes=70-900", "If-Range": whole.headers["etag"]})
    assert (some.status_code, some.content) == (206, whole.content[70:901])
    with zipfile.ZipFile(io.BytesIO(whole.content)) as found:
        assert found.testzip() is None
        assert found.namelist() == NAMES
        kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
        assert {one.compress_type for one in found.infolist()} == {kind}
        assert {name: sorted(table(found.read(name))) for name in NAMES} == {
            name: sorted(rows) for name, rows in stored.items()
        }
    facts = outhaul.ledger.facts(export.id)
    assert facts
    assert (len({one.part for one in facts.fragments if one.format == "csv"}) > 1) is bool(part_bytes)
    told = manifest.build(facts, outhaul.ledger.artifacts(export.id))
    assert told["selections"][0]["matched"] == {
        path: len(stored[name]) for path, name in zip(["", *WAYS], NAMES, strict=True)
    }
    assert {one["name"]: one["rows"] for one in told["files"][0]["members"]} == {
        name: len(rows) for name, rows in stored.items()
    }


def test_other_readers_take_the_archive(outhaul: Outhaul, tmp_path: Path) -> None:
    facts = facts_of(outhaul, Draft((DEEP,), formats=("csv",), compress="gzip", part_bytes=2000))
    (made,) = downloads.artifacts(facts)
    (tmp_path / "all.zip").write_bytes(b"".join(downloads.read(made, outhaul.store)))
    subprocess.run(["unzip", "-tq", tmp_path / "all.zip"], check=True, capture_output=True)


@pytest.mark.parametrize("compress", [None, "gzip"])
def test_the_command_verifies_and_finds_damage_in_a_child_file_over_http(
    outhaul: Outhaul,
    client: httpx.Client,
    compress: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    asker = Asker(outhaul, client)
    wanted = {"format": "csv", "compress": compress, "includes": INCLUDES, "nested": WAYS}
    data = finished(asker, resource_type="companies", **wanted)
    link = data["links"]["manifest"]
    assert cli.run(["verify", link, "--deep"]) == 0
    child = next(one for one in outhaul.ledger.fragments(data["id"]) if one.path == "orders.lines")
    damaged = Path(outhaul.store.root) / child.key
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert cli.run(["verify", link]) == 1
    assert "companies.csv.zip: SHA-256 of bytes" in capsys.readouterr().out


def test_in_a_folder_they_are_files_and_damage_is_found_in_each(
    outhaul: Outhaul, stored, tmp_path: Path
) -> None:
    facts = facts_of(outhaul, Draft((DEEP,), formats=("csv",), compress="gzip", part_bytes=2000))
    folder = folder_of(outhaul, facts, tmp_path)
    assert manifest.verify_folder(folder, deep=True) == ()
    for name, rows in stored.items():
        path = folder / f"{name}.gz"
        whole = path.read_bytes()
        assert sorted(table(gzip.decompress(whole))) == sorted(rows)
        path.write_bytes(whole[:40] + bytes([whole[40] ^ 4]) + whole[41:])
        assert {one.file for one in manifest.verify_folder(folder)} == {path.name}
        path.unlink()
        assert [str(one) for one in manifest.verify_folder(folder)] == [f"{path.name}: is missing"]
        path.write_bytes(whole)


def edited(told: dict[str, Any], *path: Any) -> bytes:
    """The manifest with one more at the place, and a hash that fits."""
    copy = one = json.loads(json.dumps(told))
    for step in path[:-1]:
        one = one[step]
    one[path[-1]] += 1
    return manifest.to_bytes(copy | {"sha256": manifest.own_hash(copy)})


def test_another_number_of_lines_in_the_manifest_is_found(outhaul: Outhaul, tmp_path: Path) -> None:
    facts = facts_of(outhaul, Draft((DEEP,), formats=("csv",)))
    for archived in (False, True):
        made = downloads.artifacts(facts, archived=archived)
        files = {one.name: b"".join(downloads.read(one, outhaul.store)) for one in made}
        told = manifest.build(facts, made)

        def fetch(name: str, start: int, stop: int, files: dict[str, bytes] = files) -> Iterable[bytes]:
            return [files[name][start:stop]]

        assert manifest.verify(manifest.to_bytes(told), fetch, names=files, deep=True) == ()
        child = ("files", 0 if archived else 2)
        places: list[tuple[Any, ...]] = [
            ("selections", 0, "matched", "orders.lines"),
            ("parts", 0, "related", "orders.lines"),
            (*child, "related", "orders.lines"),
            (*child, "members", 2, "rows") if archived else (*child, "rows"),
        ]
        for place in places:
            assert manifest.verify(edited(told, *place), fetch, names=files), place


def test_files_of_a_limited_size_are_complete_and_numbered(outhaul: Outhaul, stored, tmp_path: Path) -> None:
    selection = Selection("orders", includes=("lines",), nested={"lines": "files"})
    draft = Draft((selection,), formats=("csv",), part_bytes=2000, fragment_bytes=300, fragment_rows=9)
    folder = folder_of(outhaul, facts_of(outhaul, draft), tmp_path, numbered=True)
    assert manifest.verify_folder(folder, deep=True) == ()
    for name, rows in (("orders", stored[NAMES[1]]), ("orders.lines", stored[NAMES[2]])):
        files = sorted(folder.glob(f"{name}-*.csv"))
        assert len(files) > 9
        assert len({path.read_bytes().splitlines()[0] for path in files}) == 1
        assert all(path.stat().st_size <= 300 for path in files)
        found = [line for path in files for line in table(path.read_bytes())]
        assert sorted(found) == sorted(row[1:] for row in rows)


def test_another_number_of_lines_than_was_counted_fails_with_both_numbers(outhaul: Outhaul) -> None:
    facts = facts_of(outhaul, Draft((DEEP,), formats=("csv",)))
    prove(facts, outhaul.store.size)
    (part,) = facts.parts
    less = replace(part, related={**part.related, "orders.lines": 299})
    with pytest.raises(Unproven, match=r"orders\.lines: 300 matched, but 299 were written"):
        prove(replace(facts, parts=(less,)), outhaul.store.size)
    lost = tuple(
        replace(one, rows=one.rows - 1) if one.path == "orders.lines" else one for one in facts.fragments
    )
    with pytest.raises(Unproven, match=r"lines of orders\.lines in part 1: 300 matched, but 299 were"):
        prove(replace(facts, fragments=lost), outhaul.store.size)


def test_no_rows_are_files_with_a_header_alone(outhaul: Outhaul, tmp_path: Path) -> None:
    selection = replace(DEEP, filters={"id_eq": 3})
    folder = folder_of(outhaul, facts_of(outhaul, Draft((selection,), formats=("csv",))), tmp_path)
    assert manifest.verify_folder(folder, deep=True) == ()
    assert [len((folder / name).read_bytes().splitlines()) for name in NAMES] == [2, 1, 1, 1]


def test_a_tenant_finds_only_its_own_rows_in_each_file(
    outhaul: Outhaul, client: httpx.Client, stored
) -> None:
    asker = Asker(outhaul, client, tenant="2")
    wanted = {"format": "csv", "compress": None, "includes": INCLUDES, "nested": WAYS}
    data = finished(asker, resource_type="companies", **wanted)
    whole = client.get(data["attributes"]["attachment_url"]).content
    with zipfile.ZipFile(io.BytesIO(whole)) as found:
        for name in NAMES:
            mine = [row for row in stored[name] if row[0] == "2"]
            assert 0 < len(mine) < len(stored[name])
            assert sorted(table(found.read(name))) == sorted(mine)


def test_parts_of_their_own_instants_prove_each_file(outhaul: Outhaul, stored, tmp_path: Path) -> None:
    selection = Selection("orders", includes=("lines",), nested={"lines": "files"})
    draft = Draft((selection,), formats=("csv",), part_bytes=2000, consistency="part")
    facts = facts_of(outhaul, draft)
    assert len(facts.parts) > 1
    assert sum(one.instant.matched["lines"] for one in facts.parts if one.instant) == 300
    folder = folder_of(outhaul, facts, tmp_path)
    assert manifest.verify_folder(folder, deep=True) == ()
    assert sorted(table((folder / "orders.lines.csv").read_bytes())) == sorted(
        row[1:] for row in stored[NAMES[2]]
    )


def test_files_follow_the_order_of_the_export(outhaul: Outhaul, tmp_path: Path) -> None:
    selection = Selection("orders", includes=("lines",), nested={"lines": "files"}, sort=("-note",))
    facts = facts_of(outhaul, Draft((selection,), formats=("csv",), part_bytes=2000))
    assert len(facts.parts) > 1
    folder = folder_of(outhaul, facts, tmp_path)
    orders = [row[0] for row in table((folder / "orders.csv").read_bytes())]
    assert orders == sorted(map(str, range(1, ROWS + 1)), key=lambda n: f"note {n}".encode(), reverse=True)
    found = [row[0] for row in table((folder / "orders.lines.csv").read_bytes())]
    assert list(dict.fromkeys(found)) == [one for one in orders if one in set(found)]
