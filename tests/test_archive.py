"""Archives around members that lie elsewhere: every reader takes them, files of numbered parts and of any size."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from outhaul import archive, downloads, manifest, unpacked
from outhaul.archive import Member
from outhaul.export import Artifact
from outhaul.stores.file import FileStore
from tests.exports import orders, recorded
from tests.test_manifest import RANGES

PARTS = [orders(50, 1), orders(1, 2), [], orders(200, 3)]


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "objects")


def whole(artifact: Artifact, store: FileStore) -> bytes:
    return b"".join(downloads.read(artifact, store))


def test_stored_and_deflated_members_are_read_by_others(tmp_path: Path) -> None:
    texts = {"plain é.csv": b"a,b\n" * 100, "empty": b"", "packed.json": b"[1, 2]" * 1000}
    members, data = [], []
    for name, text in texts.items():
        packer = zlib.compressobj(wbits=-15)
        stored = packer.compress(text) + packer.flush() if "packed" in name else text
        members.append(Member(name, len(stored), len(text), zlib.crc32(text), "packed" in name))
        data.append(stored)
    made = b"".join(header + one for (header, _), one in zip(archive.headers(members), data, strict=True))
    (tmp_path / "made.zip").write_bytes(made + archive.directory(members))
    subprocess.run(["unzip", "-tq", tmp_path / "made.zip"], check=True, capture_output=True)
    with zipfile.ZipFile(tmp_path / "made.zip") as found:
        assert {name: found.read(name) for name in found.namelist()} == texts


def sparse(members: list[Member]) -> Iterator[tuple[int, bytes]]:
    """An archive without its members' bytes: stretches by their place."""
    for header, at in archive.headers(members):
        yield at, header
    end = sum(len(header) for header, _ in archive.headers(members)) + sum(one.length for one in members)
    yield end, archive.directory(members)


@pytest.mark.parametrize("lengths", [[5 << 30, 7], [7, 5 << 30, 7], [3 << 30, 3 << 30, 7], [1] * 70_000])
def test_archives_beyond_plain_zip_are_zip64(lengths: list[int], tmp_path: Path) -> None:
    members = [Member(f"{n}.parquet", length, length, n) for n, length in enumerate(lengths)]
    path = tmp_path / "large.zip"
    with path.open("wb") as file:  # the members are holes
        for at, data in sparse(members):
            file.seek(at)
            file.write(data)
    with zipfile.ZipFile(path) as found:
        assert [(one.filename, one.file_size, one.CRC) for one in found.infolist()] == [
            (one.name, one.length, one.crc32) for one in members
        ]
        for one in found.infolist()[-2:]:
            found.open(one).close()  # its local header agrees


def test_files_that_cannot_be_joined_are_one_archive_of_numbered_files(store: FileStore) -> None:
    facts = recorded(store, PARTS, formats=("parquet",))
    (made,) = downloads.artifacts(facts)
    data = whole(made, store)
    assert (made.name, made.media_type, made.rows) == ("_.parquet.zip", "application/zip", 251)
    assert (len(data), made.etag) == (made.length, downloads.artifacts(facts)[0].etag)
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        assert found.namelist() == ["_-001.parquet", "_-002.parquet", "_-003.parquet"]
        texts = [found.read(name) for name in found.namelist()]
        assert all(one.compress_type == zipfile.ZIP_STORED for one in found.infolist())
    assert [parquet.read_table(io.BytesIO(text)).num_rows for text in texts] == [50, 1, 200]
    assert made.crc32 == zlib.crc32(b"".join(texts))
    assert b"".join(downloads.read(made, store, 100, made.length - 9)) == data[100:-9]


def test_without_an_archive_they_are_files_of_their_own_and_one_is_not_numbered(store: FileStore) -> None:
    facts = recorded(store, PARTS, formats=("parquet",))
    with zipfile.ZipFile(io.BytesIO(whole(downloads.artifacts(facts)[0], store))) as found:
        expected = {name: found.read(name) for name in found.namelist()}
    apart = downloads.artifacts(facts, archived=False)
    assert {one.name: whole(one, store) for one in apart} == expected
    assert downloads.artifacts(facts, numbered=True) == apart
    (one,) = downloads.artifacts(recorded(store, [[], orders(3)], formats=("parquet",)))
    assert (one.name, one.media_type) == ("_.parquet", "application/vnd.apache.parquet")
    (none,) = downloads.artifacts(recorded(store, [[]], formats=("parquet",)))
    assert parquet.read_table(io.BytesIO(whole(none, store))).num_rows == none.rows == 0


@pytest.fixture
def folder(tmp_path: Path, store: FileStore) -> Path:
    facts = recorded(store, PARTS, ranges=RANGES, formats=("parquet", "csv"))
    (tmp_path / "out").mkdir()
    made = downloads.artifacts(facts)
    for artifact in made:
        (tmp_path / "out" / artifact.name).write_bytes(whole(artifact, store))
    (tmp_path / "out" / "manifest.json").write_bytes(manifest.to_bytes(manifest.build(facts, made)))
    return tmp_path / "out"


def test_an_archive_is_verified_with_its_members(folder: Path) -> None:
    assert manifest.verify_folder(folder, deep=True) == ()


def test_every_flipped_byte_of_an_archive_is_found(folder: Path) -> None:
    path = folder / "_.parquet.zip"
    data = path.read_bytes()
    for at in [0, 30, len(data) // 2, len(data) - 30, len(data) - 1]:
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert "_.parquet.zip" in {one.file for one in manifest.verify_folder(folder)}


def damaged(folder: Path, change: Any) -> tuple[manifest.Finding, ...]:
    """What is found when the manifest itself tells of another archive, and agrees with itself."""
    data = json.loads((folder / "manifest.json").read_bytes())
    change(next(one for one in data["files"] if "members" in one))
    data["sha256"] = manifest.own_hash(data)
    (folder / "manifest.json").write_bytes(manifest.to_bytes(data))
    return manifest.verify_folder(folder, deep=True)


def test_an_archive_that_lists_other_members_is_found(folder: Path) -> None:
    assert "lists other members" in str(damaged(folder, lambda file: file["members"][0].update(name="x")))


def test_an_archive_without_its_directory_is_found() -> None:
    with pytest.raises(unpacked.Broken):
        unpacked.listed(40, lambda start, stop: [b"\0" * (stop - start)])


def test_a_fragment_of_another_length_than_its_member_is_noticed(folder: Path) -> None:
    found = damaged(folder, lambda file: file["members"][0].update(length=file["members"][0]["length"] - 1))
    assert {one.file for one in found} == {"_.parquet.zip"}


def test_members_differ_where_their_fragments_do(store: FileStore) -> None:
    facts = recorded(store, PARTS, formats=("parquet",))
    other = replace(facts, fragments=tuple(reversed(facts.fragments)))
    assert downloads.artifacts(other)[0].etag == downloads.artifacts(facts)[0].etag, "parts have their order"
