"""A whole export as one archive: every file a member, by every reader, and proven from outside and from inside."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pyarrow import parquet

from outhaul import deflate, downloads, manifest, plan, reconcile, unpacked, whole
from outhaul.errors import WrongValue
from outhaul.export import Artifact, Caller, Draft, Export, Selection, Status
from outhaul.ledger import Facts, Ledger
from outhaul.stores.file import FileStore
from tests import drafts
from tests.catalogs import EVERYBODY, SHOP
from tests.exports import ORDERS, orders, recorded, text
from tests.served import US, done, of_shop, shop, until
from tests.test_downloads import whole as read_whole
from tests.test_manifest import RANGES
from tests.test_reconcile import FakeEngine, allow
from tests.trees import Row

FIRST = [orders(50, 1), orders(1, 2), [], orders(200, 3)]
SECOND: list[list[Row]] = [[], [], [], []]  # nothing matches


def facts_of(store: FileStore, formats: tuple[str, ...] = ("json", "csv"), **settings: Any) -> Facts:
    """Two selections with names of their own, the second of them empty."""
    given = {"formats": formats, "compress": "gzip", "archive": "all of it", **settings}
    one, other = (recorded(store, parts, ranges=RANGES, **given) for parts in (FIRST, SECOND))
    shift = len(one.parts)
    names = zip(("customers", "payment-instruments"), (one, other), strict=True)
    nodes = tuple(replace(facts.plan.selections[0], stem=name) for name, facts in names)
    assert not other.fragments
    return replace(
        one,
        plan=replace(one.plan, selections=nodes),
        counts=(*one.counts, *other.counts),
        parts=(*one.parts, *(replace(part, n=part.n + shift, selection=1) for part in other.parts)),
    )


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "objects")


def archive(store: FileStore, **settings: Any) -> tuple[Facts, Artifact, bytes]:
    facts = facts_of(store, **settings)
    (made,) = whole.artifacts(facts, store)
    return facts, made, read_whole(made, store)


@pytest.mark.parametrize("compress", [None, "gzip"])
def test_every_file_is_a_member_of_one_archive(
    store: FileStore, tmp_path: Path, compress: str | None
) -> None:
    _, made, data = archive(store, compress=compress)
    assert (made.name, made.media_type, made.length) == ("all of it.zip", "application/zip", len(data))
    (tmp_path / "all.zip").write_bytes(data)
    subprocess.run(["unzip", "-tq", tmp_path / "all.zip"], check=True, capture_output=True)
    rows = [row for part in FIRST for row in part]
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        members = {name: found.read(name) for name in found.namelist()}
    assert list(members)[-1] == "manifest.json"
    assert {name: data for name, data in members.items() if name != "manifest.json"} == {
        "customers.json": text("json", rows),
        "customers.csv": text("csv", rows),
        "payment-instruments.json": text("json", []),
        "payment-instruments.csv": text("csv", []),
    }
    assert made.crc32 == zlib.crc32(b"".join(members.values()))
    assert made.rows == len(rows)


def test_files_that_cannot_be_joined_are_numbered_members(store: FileStore) -> None:
    _, _, data = archive(store, formats=("parquet", "ndjson"))
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        names = [f"customers-00{number}.parquet" for number in (1, 2, 3)]
        assert found.namelist()[:4] == [*names, "customers.ndjson"]
        assert [parquet.read_table(io.BytesIO(found.read(name))).num_rows for name in names] == [50, 1, 200]


def test_any_range_is_that_stretch_of_the_archive(store: FileStore) -> None:
    _, made, data = archive(store)
    random = Random(3)
    for start, stop in [sorted(random.choices(range(len(data) + 1), k=2)) for _ in range(200)]:
        assert b"".join(downloads.read(made, store, start, stop)) == data[start:stop]


@pytest.mark.parametrize("formats", [("json", "csv"), ("parquet",)])
def test_what_is_taken_out_is_a_folder_that_proves_itself(
    store: FileStore, tmp_path: Path, formats: tuple[str, ...]
) -> None:
    _, _, data = archive(store, formats=formats)
    folder = tmp_path / "out"
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        found.extractall(folder)
    assert manifest.verify_folder(folder, deep=True) == ()
    told = json.loads((folder / "manifest.json").read_bytes())
    assert {file["name"] for file in told["files"]} == {one.name for one in folder.iterdir()} - {
        "manifest.json"
    }
    assert [one["matched"][""] for one in told["selections"]] == [251, 0]
    assert [one["field"] for one in told["selections"][0]["fields"]][:2] == list(ORDERS.columns)
    for path in folder.iterdir():
        if path.name != "manifest.json":
            whole_file = path.read_bytes()
            path.write_bytes(whole_file[:-1] + bytes([whole_file[-1] ^ 1]))
            assert {one.file for one in manifest.verify_folder(folder)} == {path.name}
            path.write_bytes(whole_file)


@pytest.fixture
def folder(store: FileStore, tmp_path: Path) -> Path:
    """The archive beside the manifest that tells of it."""
    facts, made, data = archive(store)
    made = whole.hashed(made, store)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / made.name).write_bytes(data)
    (tmp_path / "out" / "manifest.json").write_bytes(manifest.to_bytes(manifest.build(facts, [made])))
    return tmp_path / "out"


def test_an_archive_of_everything_is_verified_from_outside(folder: Path) -> None:
    assert manifest.verify_folder(folder, deep=True) == ()
    path = folder / "all of it.zip"
    data = path.read_bytes()
    for at in [0, 30, len(data) // 2, len(data) - 30, len(data) - 1]:
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert {one.file for one in manifest.verify_folder(folder)} == {path.name}


LIES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "rows of a member": (lambda file: file["members"][0].update(rows=250), "251"),
    "its selection": (lambda file: file["members"][0].update(selection=1), "selection 0"),
    "its format": (lambda file: file["members"][0].update(format="csv"), "rows in the files of json"),
    "its name": (lambda file: file["members"][1].update(name="x"), "lists other members"),
    "the SHA-1": (lambda file: file.update(sha1="0" * 40), "SHA-1"),
    "a member left out": (lambda file: file["members"].pop(2), ""),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_tells_of_another_archive_is_found_out(folder: Path, lie: str) -> None:
    change, said = LIES[lie]
    data = json.loads((folder / "manifest.json").read_bytes())
    change(data["files"][0])
    data["sha256"] = manifest.own_hash(data)
    (folder / "manifest.json").write_bytes(manifest.to_bytes(data))
    findings = manifest.verify_folder(folder)
    assert said in " ".join(map(str, findings))
    assert findings


def test_the_sha1_is_that_of_all_its_bytes(store: FileStore) -> None:
    _, made, data = archive(store)
    assert whole.hashed(made, store).sha1 == hashlib.sha1(data).hexdigest()


def test_an_archive_deflates_or_stores_and_nothing_else() -> None:
    def planned(compress: str | None) -> plan.Plan:
        draft = Draft((Selection("orders", stem="a"),), ("csv",), compress, archive="all")
        known = {"csv": ("gzip", "zstd")}
        return plan.build(SHOP, draft, EVERYBODY, formats=("csv",), compressions=known)

    assert (planned("gzip").archive, planned(None).selections[0].stem) == ("all", "a")
    assert plan.from_data(json.loads(json.dumps(plan.to_data(planned("gzip"))))) == planned("gzip")
    with pytest.raises(WrongValue) as refused:
        planned("zstd")
    assert (refused.value.where, refused.value.choices) == (("compress",), ("gzip",))


def test_two_resources_in_two_formats_are_served_as_one_archive(tmp_path: Path) -> None:
    wanted = (Selection("orders", stem="orders-of-all"), Selection("countries"))
    draft = Draft(wanted, ("json", "csv"), "gzip", archive="all", sha1=True)
    with of_shop(shop(tmp_path)) as outhaul:
        export = done(outhaul, outhaul.exports.create(US, draft))
        file = outhaul.exports.file(US, export.id, "all.zip")
        data = b"".join(file.read(0, file.length))
        assert (file.name, file.sha1) == ("all.zip", hashlib.sha1(data).hexdigest())
        assert outhaul.exports.counts([export]) == {export.id: (120, 0)}
        (told,) = [one.export for one in outhaul.ledger.events(export.id) if one.name == "downloaded"]
        assert told == export.id
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        names = (
            "orders-of-all.json",
            "orders-of-all.csv",
            "countries.json",
            "countries.csv",
            "manifest.json",
        )
        assert tuple(found.namelist()) == names
        assert len(json.loads(found.read("orders-of-all.json"))) == 120
        found.extractall(tmp_path / "out")
    assert manifest.verify_folder(tmp_path / "out", deep=True) == ()


def hashable(ledger: Ledger, store: FileStore) -> Export:
    """Every part of it is done; its file is to be hashed, which somebody has yet to do."""
    draft = Draft((Selection("orders"),), ("csv",), sha1=True)
    made = ledger.create(
        caller=Caller("key-1", "Ann", "acme"),
        draft=draft,
        plan=replace(drafts.plan(), sha1=True),
        matched=None,
    )
    assert ledger.queue(made.id)
    lease = drafts.claimed(ledger, drafts.only(ledger.admit(2)))
    drafts.hold(ledger, lease)
    ledger.settle_plan(lease, drafts.planned(2), own=False, claim=False)
    while deliveries := ledger.admit(2):
        for delivery in deliveries:
            lease = drafts.claimed(ledger, delivery)
            one = drafts.fragment(lease)
            store.put(one.key, [b"x" * one.length])
            assert ledger.settle(lease, [one])
    return made


def test_a_long_hash_is_made_beside_the_loop(
    ledger: Ledger, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = hashable(ledger, store)
    monkeypatch.setattr(reconcile, "LONG", 0)
    seen: list[str] = []
    hashed = whole.hashed

    def noted(*given: Any) -> Artifact:
        seen.append(threading.current_thread().name)
        return hashed(*given)

    monkeypatch.setattr(reconcile, "hashed", noted)
    with reconcile.Loop(ledger, FakeEngine(), store, allow):
        until(lambda: ledger.get(made.id).status is Status.COMPLETED, "it is completed")
    (artifact,) = ledger.artifacts(made.id)
    assert artifact.sha1 == hashlib.sha1(read_whole(artifact, store)).hexdigest()
    assert {name.rpartition("_")[0] for name in seen} == {"reconcile-beside"}


def test_a_loop_that_ends_leaves_a_long_hash_to_the_next(
    ledger: Ledger, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = hashable(ledger, store)
    monkeypatch.setattr(reconcile, "LONG", 0)
    begun, hashed = threading.Event(), whole.hashed

    def slow(artifact: Artifact, store: Any, stop: Callable[[], None]) -> Artifact:
        begun.set()
        while True:
            stop()

    monkeypatch.setattr(reconcile, "hashed", slow)
    with reconcile.Loop(ledger, FakeEngine(), store, allow):
        assert begun.wait(20)
    assert ledger.get(made.id).status is Status.RUNNING
    monkeypatch.setattr(reconcile, "hashed", hashed)
    reconcile.once(ledger, FakeEngine(), store, allow)
    assert ledger.get(made.id).status is Status.COMPLETED


def test_an_archive_beyond_four_gigabytes_is_read_anywhere_without_being_made(store: FileStore) -> None:
    facts = facts_of(store, compress=None)
    large, piece = 5 << 30, bytes(1 << 20)
    crc, _ = deflate.combine([(zlib.crc32(piece), len(piece))] * (large // len(piece)))
    first = replace(facts.fragments[0], length=large, raw_length=large, crc32=crc)
    with (store.root / first.key).open("r+b") as hole:
        hole.truncate(0)
        hole.truncate(large)
    (made,) = whole.artifacts(replace(facts, fragments=(first, *facts.fragments[1:])), store)
    assert made.length > large

    def read(start: int, stop: int) -> Iterator[bytes]:
        return downloads.read(made, store, start, stop)

    assert b"".join(read(3 << 30, (3 << 30) + 9)) == bytes(9)
    with zipfile.ZipFile(io.BufferedReader(unpacked._Ranges(made.length, read))) as found:
        sizes = {one.filename: one.file_size for one in found.infolist()}
        assert sizes["customers.json"] > large
        assert found.read("customers.csv") == text("csv", [row for part in FIRST for row in part])
        assert json.loads(found.read("manifest.json"))["files"][0]["length"] == sizes["customers.json"]
