"""Binaries of rows in an archive: copied whole, one for each row, from a folder or a column and from nowhere else."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import psutil
import psycopg
import pyarrow as pa
import pytest

from outhaul import archive, binaries, manifest, unpacked
from outhaul.app import Outhaul
from outhaul.archive import Member
from outhaul.blocks import Block
from outhaul.catalog import Binary, Type
from outhaul.errors import Misconfigured, UnknownField, UnreadableValue, WrongValue
from outhaul.export import Draft, Export, Selection, Status
from outhaul.plan import Column
from tests import drafts
from tests.served import US, done, of_shop, put_together, until

COUNT = 300
COLUMNS = [Column(name, name, Type.TEXT, "text", nullable=False) for name in ("x", "y", "at")]
PATHS = "CREATE TABLE uploads (id INTEGER PRIMARY KEY, stored_as TEXT, title TEXT)"
BYTES = "CREATE TABLE scans (id INTEGER PRIMARY KEY, content BLOB, title TEXT)"
CATALOG = """
[resources.uploads]
binary = {{ folder = "{folder}", path = "stored_as", name = "title" }}
[resources.scans]
binary = {{ column = "content" }}
"""


def test_a_directory_by_records_is_that_of_the_standard_library() -> None:
    for count in (0, 1, 7):
        members = [Member(f"files/{n}/é {n}.jpg", n * 1000, n * 1000, n) for n in range(count)]
        begins = [at for _, at in archive.headers(members)]
        end = begins[-1] + len(archive.header(members[-1])) + members[-1].length if members else 0
        told = archive.records(members, begins)
        assert told + archive.ending(count, len(told), end) == archive.directory(members)


LARGE = [pytest.param(70_000, 9, marks=pytest.mark.heavy), (2, 5 << 30), (2, 0xFFFFFFFF)]


@pytest.mark.parametrize(("count", "begin"), LARGE)
def test_a_large_directory_is_zip64(count: int, begin: int, tmp_path: Path) -> None:
    members = [Member(str(n), 0, 0, 0) for n in range(count)]
    told = b"".join(
        archive.records(members[at : at + 9_999], [0] * len(members[at : at + 9_999]))
        for at in range(0, count, 9_999)
    )
    with (tmp_path / "large.zip").open("wb") as file:
        file.seek(begin)
        file.write(told + archive.ending(count, len(told), begin))
    with zipfile.ZipFile(tmp_path / "large.zip") as found:
        assert len(found.infolist()) == count


def content(number: int) -> bytes:
    """Some of them are empty, and some are larger than what is read at once."""
    return Random(number).randbytes(0 if number % 50 == 0 else 3_000_000 if number == 7 else number)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("binaries")
    (folder / "uploads" / "below").mkdir(parents=True)
    with closing(sqlite3.connect(folder / "shop.db")) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(PATHS)
        connection.execute(BYTES)
        for number in range(1, COUNT + 1):
            stored = f"below/{number:04}.bin"
            (folder / "uploads" / stored).write_bytes(content(number))
            connection.execute("INSERT INTO uploads VALUES (?, ?, ?)", (number, stored, f"a/b {number}.jpg"))
            if number != 7:  # which is large
                connection.execute("INSERT INTO scans VALUES (?, ?, ?)", (number, content(number), None))
        connection.execute("INSERT INTO uploads VALUES (9999, NULL, 'has none')")
    (folder / "catalog.toml").write_text(CATALOG.format(folder=folder / "uploads"))
    return folder


@pytest.fixture(scope="module")
def outhaul(place: Path) -> Iterator[Outhaul]:
    with of_shop(place, part_bytes=9_000) as made:
        yield made


def exported(outhaul: Outhaul, resource: str, **more: Any) -> Export:
    wanted = (Selection(resource, stem="rows"), Selection(resource, binaries=True, **more))
    draft = Draft(wanted, ("json",), "gzip", archive="all", sha1=True)
    return outhaul.exports.create(US, draft)


def whole(outhaul: Outhaul, export: Export) -> bytes:
    file = outhaul.exports.file(US, export.id, "all.zip")
    data = b"".join(file.read(0, file.length))
    assert len(data) == file.length
    return data


def test_each_binary_of_a_folder_is_in_the_archive_once(
    outhaul: Outhaul, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = done(outhaul, exported(outhaul, "uploads"))
    data = whole(outhaul, export)
    (tmp_path / "all.zip").write_bytes(data)
    subprocess.run(["unzip", "-tq", tmp_path / "all.zip"], check=True, capture_output=True)
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        names = [name for name in found.namelist() if name.startswith("files/")]
        assert len(names) == len(set(names)) == COUNT
        for number in range(1, COUNT + 1):
            assert found.read(f"files/uploads/{number}/a_b {number}.jpg") == content(number)
        found.extractall(tmp_path / "out")
    assert manifest.verify_folder(tmp_path / "out", deep=True) == ()
    assert outhaul.exports.counts([export])[export.id] == (COUNT + 1, COUNT)


def test_an_archive_with_binaries_is_verified_from_outside(outhaul: Outhaul, tmp_path: Path) -> None:
    export = done(outhaul, exported(outhaul, "uploads"))
    data = whole(outhaul, export)
    (tmp_path / "all.zip").write_bytes(data)
    proof = outhaul.exports.manifest(US, export.id)
    (tmp_path / "manifest.json").write_bytes(b"".join(proof.read(0, proof.length)))
    told = json.loads((tmp_path / "manifest.json").read_bytes())["selections"]
    assert ["fields" in one for one in told] == [True, False], "what a binary is found by is not in any file"
    assert manifest.verify_folder(tmp_path, deep=True) == ()
    for at in (len(data) // 2, len(data) - 3, len(data) - 2_000):
        (tmp_path / "all.zip").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert manifest.verify_folder(tmp_path)


@pytest.mark.heavy
def test_each_binary_of_a_column_is_in_the_archive_once(outhaul: Outhaul) -> None:
    with zipfile.ZipFile(io.BytesIO(whole(outhaul, done(outhaul, exported(outhaul, "scans"))))) as found:
        for number in (1, 50, COUNT):
            assert found.read(f"files/scans/{number}/{number}") == content(number)


def test_binaries_are_the_same_from_postgresql(postgres_url: str, place: Path, tmp_path: Path) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute(PATHS)
        connection.execute(BYTES.replace("BLOB", "bytea"))
        for number in (1, 7, 50, COUNT):
            connection.execute("INSERT INTO uploads VALUES (%s, %s, 'ü')", (number, f"below/{number:04}.bin"))
            connection.execute("INSERT INTO scans VALUES (%s, %s, NULL)", (number, content(number)))
    with put_together(postgres_url, tmp_path / "state", catalog=place / "catalog.toml") as outhaul:
        wanted = (Selection("uploads", binaries=True), Selection("scans", binaries=True))
        draft = Draft((*wanted, Selection("uploads")), ("csv",), "gzip", archive="all")
        export = done(outhaul, outhaul.exports.create(US, draft))
        with zipfile.ZipFile(io.BytesIO(whole(outhaul, export))) as found:
            assert found.testzip() is None
            for number in (1, 7, 50, COUNT):
                assert found.read(f"files/uploads/{number}/ü") == found.read(f"files/scans/{number}/{number}")
                assert found.read(f"files/uploads/{number}/ü") == content(number)
            found.extractall(tmp_path / "out")
    assert manifest.verify_folder(tmp_path / "out", deep=True) == ()


@pytest.mark.heavy
def test_only_some_are_copied_where_only_some_are_asked_for(outhaul: Outhaul) -> None:
    export = done(outhaul, exported(outhaul, "uploads", filters={"id_lteq": 3}))
    with zipfile.ZipFile(io.BytesIO(whole(outhaul, export))) as found:
        assert len([name for name in found.namelist() if name.startswith("files/")]) == 3


def taken(folder: Path, at: str, key: str = "5000") -> tuple[Member, bytes]:
    """A binary of a folder, as it would stand in an archive."""
    node = replace(drafts.node("uploads"), binary=str(folder))
    one = binaries.Binary("uploads", key, at.encode(), "x")
    with binaries.opened(node, one, lambda: binaries.origin(str(folder)).take(one.at)) as (member, data):
        return member, b"".join(data)


OUTSIDE = ["../shop.db", "/etc/passwd", "below", "gone.bin", "", "below/link", "a\0b", "loop/a", "loop"]
LINKED = ["aside/0001.bin", "below/link/0001.bin"]


@pytest.mark.parametrize("at", [*OUTSIDE, *LINKED])
def test_a_binary_that_is_no_file_of_the_folder_is_refused_by_its_row(place: Path, at: str) -> None:
    for link, to in (("below/link", place / "shop.db"), ("loop", "loop"), ("aside", "below")):
        with suppress(FileExistsError):
            (place / "uploads" / link).symlink_to(to)
    with pytest.raises(UnreadableValue, match="uploads 5000"):
        taken(place / "uploads", at)


def test_a_binary_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(3_000_000))
    node, one = (
        replace(drafts.node("uploads"), binary=str(tmp_path)),
        binaries.Binary("u", "1", b"large", "x"),
    )

    def read() -> None:
        with binaries.opened(node, one, lambda: binaries.origin(str(tmp_path)).take(b"large")) as (_, data):
            (tmp_path / "large").write_bytes(b"x" * 3_000_000)
            list(data)

    with pytest.raises(UnreadableValue, match="changed"):
        read()


@pytest.mark.parametrize("at", ["/{}/below/0001.bin", "below/../below/0001.bin"])
def test_a_path_goes_down_only_even_if_it_would_come_back(place: Path, at: str) -> None:
    path = at.format(place / "uploads").replace("//", "/")
    with pytest.raises(UnreadableValue, match="outside"):
        taken(place / "uploads", path)


def test_a_folder_that_becomes_a_link_while_a_path_is_walked_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("uploads/below", "secret"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a").write_bytes(folder.encode())
    really = os.open

    def swapping(path: Any, flags: int, **more: Any) -> int:
        below = tmp_path / "uploads" / "below"
        if Path(os.fsdecode(path)).name in {"a", "below"} and not below.is_symlink():
            below.rename(tmp_path / "moved")
            below.symlink_to(tmp_path / "secret")
        return really(path, flags, **more)

    monkeypatch.setattr(os, "open", swapping)
    with pytest.raises(UnreadableValue, match="uploads 1 "):
        taken(tmp_path / "uploads", "below/a", "1")


@pytest.mark.parametrize("size", [5, 3_000_000])
def test_a_binary_that_is_still_being_written_is_refused(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(bytes(size))
    really = os.read

    def growing(file: int, length: int) -> bytes:
        with (tmp_path / "a").open("ab") as more:
            more.write(b"more")
        return really(file, length)

    monkeypatch.setattr(os, "read", growing)
    with pytest.raises(UnreadableValue, match="changed"):
        taken(tmp_path, "a")


def test_each_tenant_has_a_folder_of_its_own_where_the_catalog_says_so(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(PATHS)
    of_tenants = CATALOG.partition("[resources.scans]")[0].format(folder="/srv/{tenant}/uploads")
    of_tenants = of_tenants.replace("[resources.uploads]", '[resources.uploads]\ntenant = "title"')
    (tmp_path / "catalog.toml").write_text(of_tenants)
    outhaul = of_shop(tmp_path)
    draft = Draft((Selection("uploads", binaries=True),), ("json",), archive="all")
    (node,) = outhaul.exports.plan(replace(US, tenant="acme", all_tenants=False), draft).selections
    assert node.binary == "/srv/acme/uploads"
    assert Binary("stored_as", "/srv/{tenant}/uploads").folder("a\0b") is None
    for tenant in (None, "..", ".", "a/b"):
        with pytest.raises(WrongValue, match="folder of its own"):
            outhaul.exports.plan(replace(US, tenant=tenant), draft)
    (tmp_path / "catalog.toml").write_text(of_tenants.replace("/{tenant}", "/.{tenant}"))
    with pytest.raises(Misconfigured, match="whole step"):
        of_shop(tmp_path)
    bucket = Binary("stored_as", "s3://bucket/{tenant}/uploads")
    assert bucket.folder("a b/../c") is None
    assert bucket.folder("a b?#%é") == "s3://bucket/a%20b%3F%23%25%C3%A9/uploads"


WRONG = {
    'folder = "/a", store = "s3://b", path = "stored_as"': "`folder` or `store`",
    'store = "s3://b"': "`folder` or `store`",
    'store = "s3://b", path = "stored_as", column = "stored_as"': "`folder` or `store`",
    'store = "gs://b/a", path = "stored_as"': "no origin 'gs'",
    'store = "/srv", path = "stored_as"': "no origin '/srv'",
    'store = "s3:///a", path = "stored_as"': "names no bucket",
    'store = "file://host/a", path = "stored_as"': "names no folder",
    'store = "s3://b/x-{tenant}", path = "stored_as"': "whole step",
    'store = "s3://{tenant}/a", path = "stored_as"': "behind the first step",
}


@pytest.mark.parametrize("written", WRONG)
def test_a_place_that_is_none_is_refused_with_the_catalog_file(written: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute(PATHS)
    (tmp_path / "catalog.toml").write_text(f"[resources.uploads]\nbinary = {{ {written} }}\n")
    with pytest.raises(Misconfigured) as refused:
        of_shop(tmp_path)
    assert WRONG[written] in str(refused.value)


def test_an_export_with_a_binary_that_is_gone_fails_and_says_which(outhaul: Outhaul, place: Path) -> None:
    with closing(sqlite3.connect(place / "shop.db")) as connection, connection:
        connection.execute("INSERT INTO uploads VALUES (5000, 'gone.bin', 'x')")
    try:
        export = exported(outhaul, "uploads", filters={"id_gteq": 299})
        until(lambda: outhaul.ledger.get(export.id).status is Status.FAILED, "it fails")
        (error,) = outhaul.ledger.get(export.id).errors
        assert (error["error"], "5000" in error["message"]) == ("UnreadableValue", True)
    finally:
        with closing(sqlite3.connect(place / "shop.db")) as connection, connection:
            connection.execute("DELETE FROM uploads WHERE id = 5000")


def test_binaries_are_for_archives_and_of_resources_that_have_some(outhaul: Outhaul) -> None:
    with pytest.raises(WrongValue, match="no archive"):
        outhaul.exports.plan(US, Draft((Selection("uploads", binaries=True),), ("json",)))
    with pytest.raises(UnknownField):
        outhaul.exports.plan(
            US, Draft((Selection("uploads", filters={"x_eq": 1}, binaries=True),), archive="a")
        )


def test_names_are_safe_and_differ() -> None:
    one, other = binaries.Binary("u", "a/b", b"", "x"), binaries.Binary("u", "a:b", b"", "x")
    assert one.member != other.member
    assert one.member.count("/") == 3
    upper, lower = (binaries.Binary("u", key, b"", "x").member for key in ("AB", "ab"))
    assert (lower, upper.casefold() != lower) == ("files/u/ab/x", True)
    steps = binaries.Binary("u", "7", b"", "../../etc/passwd").member.split("/")
    assert (steps[:3], len(steps)) == (["files", "u", "7"], 4)
    assert not {"", ".", ".."} & {*steps}


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_seventy_thousand_binaries_and_five_gigabytes_take_flat_memory(tmp_path: Path) -> None:
    many, large = 70_000, 5 << 30
    folder = tmp_path / "uploads"
    folder.mkdir()
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(PATHS)
        for number in range(1, many + 1):
            (folder / str(number)).write_bytes(b"%d" % number)
        rows = [(number, str(number), None) for number in range(1, many + 1)]
        connection.executemany("INSERT INTO uploads VALUES (?, ?, ?)", rows)
    with (folder / "35000").open("r+b") as hole:
        hole.truncate(large)
    (tmp_path / "catalog.toml").write_text(CATALOG.partition("[resources.scans]")[0].format(folder=folder))
    with of_shop(tmp_path) as outhaul:
        export = exported(outhaul, "uploads")
        most = 0
        while outhaul.ledger.get(export.id).status not in {Status.COMPLETED, Status.FAILED}:
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    most = max(most, child.memory_info().rss)
            time.sleep(0.2)
        assert most < 400_000_000
        file = outhaul.exports.file(US, done(outhaul, export).id, "all.zip")
        with zipfile.ZipFile(io.BufferedReader(unpacked._Ranges(file.length, file.read), 1 << 16)) as found:
            names = {one.filename: one for one in found.infolist()}
            assert len(names) == many + 2
            assert names["files/uploads/35000/35000"].file_size == large
            for number in (1, 34_999, 35_001, many):
                assert found.read(f"files/uploads/{number}/{number}") == b"%d" % number
        middle = names["files/uploads/35000/35000"].header_offset + (3 << 30)
        assert b"".join(file.read(middle, middle + 5)) == bytes(5)


def test_keys_of_several_columns_are_told_apart() -> None:
    node = replace(drafts.node("u"), key=(drafts.ID, drafts.ID), columns=tuple(COLUMNS), binary="/a")
    texts = {("x",): [b"a-b", b"a"], ("y",): [b"c", b"b-c"], ("at",): [b"1", b"2"]}
    block = Block(2, {path: pa.array(values, pa.binary()) for path, values in texts.items()})
    one, other = binaries._of_block(node, block)
    assert (one.name, other.name) == ("1", "2")
    assert one.key != other.key


@pytest.mark.parametrize("row", [(b"a\xff", b"b", b"1", b"n"), (b"a", b"b", b"1", b"\xff")])
def test_a_key_or_a_name_that_is_no_text_is_refused_by_its_row(row: tuple[bytes, ...]) -> None:
    columns = (*COLUMNS, replace(COLUMNS[0], key="name"))
    node = replace(drafts.node("u"), key=(drafts.ID, drafts.ID), columns=columns, binary="/a")
    pairs = zip(columns, row, strict=True)
    block = Block(1, {(column.key,): pa.array([value], pa.binary()) for column, value in pairs})
    with pytest.raises(UnreadableValue, match=r"of u a(\\xff)?-b has"):
        list(binaries._of_block(node, block))
