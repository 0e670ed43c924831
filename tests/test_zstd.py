"""Zstandard files out of blocks that were compressed apart: every reader takes them, from any number of parts."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from outhaul import downloads, manifest, unpacked, zstd
from outhaul.errors import Unproven
from outhaul.stores.file import FileStore
from tests.exports import orders, recorded, text
from tests.test_manifest import RANGES

PARTS = [orders(50, 1), [], orders(1, 2), orders(200, 3)]
ALL = [row for part in PARTS for row in part]


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "objects")


def frame(lead: bytes, body: list[bytes], trail: bytes) -> bytes:
    length = len(lead) + sum(map(len, body)) + len(trail)
    return zstd.header(length) + zstd.raw(lead) + b"".join(zstd.run(body)) + zstd.raw(trail) + zstd.LAST


def streamed(data: bytes) -> bytes:
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True)
    made: bytes = reader.read()
    return made


bodies = st.lists(
    st.binary(max_size=3000) | st.integers(1, 9).map(lambda n: b"row of text,\n" * 9000 * n), max_size=3
)


@given(st.binary(max_size=200), bodies, st.binary(max_size=5))
def test_a_frame_is_read_at_one_go_with_what_stands_before_and_behind(
    lead: bytes, body: list[bytes], trail: bytes
) -> None:
    data = frame(lead, body, trail)
    assert zstandard.ZstdDecompressor().decompress(data) == lead + b"".join(body) + trail
    assert streamed(data + data) == 2 * (lead + b"".join(body) + trail)


def test_framing_larger_than_a_block_is_several() -> None:
    lead = Random(1).randbytes(300_000)
    assert zstandard.ZstdDecompressor().decompress(frame(lead, [b"x"], b"")) == lead + b"x"


def test_blocks_do_not_depend_on_how_text_was_cut() -> None:
    body = b"".join(b"%d,%d\n" % (n, n * n) for n in range(300_000))
    random = Random(5)
    cuts = [0, *sorted(random.sample(range(len(body)), 40)), len(body)]
    pieces = [body[a:b] for a, b in pairwise(cuts)]
    assert b"".join(zstd.run(pieces)) == b"".join(zstd.run([body]))


def test_a_library_that_begins_its_frames_otherwise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zstd, "WINDOW", b"\x50")
    with pytest.raises(Unproven):
        list(zstd.run([b"text"]))


def test_files_are_what_every_reader_takes(store: FileStore, tmp_path: Path) -> None:
    made = {one.format: one for one in downloads.artifacts(recorded(store, PARTS, compress="zstd"))}
    for name, artifact in made.items():
        data, expected = b"".join(downloads.read(artifact, store)), text(name, ALL)
        assert (artifact.name, artifact.media_type) == (f"_.{name}.zst", "application/zstd")
        assert (artifact.length, artifact.raw_length) == (len(data), len(expected))
        assert streamed(data) == expected
        assert pa.CompressedInputStream(pa.BufferReader(data), "zstd").read() == expected
        assert b"".join(downloads.read(artifact, store, 5, len(data) - 3)) == data[5:-3]
        (tmp_path / artifact.name).write_bytes(data)
    path = str(tmp_path / "_.csv.zst")
    with duckdb.connect() as database:
        counted = database.execute("SELECT count(*) FROM read_csv(?, header = true)", [path])
        assert counted.fetchall() == [(len(ALL),)]
    assert pl.read_csv(path).height == len(ALL)


def test_a_file_of_one_part_is_one_frame(store: FileStore) -> None:
    """Some readers take the first frame for everything."""
    for artifact in downloads.artifacts(recorded(store, [[], orders(90), []], compress="zstd")):
        data = b"".join(downloads.read(artifact, store))
        assert zstandard.ZstdDecompressor().decompress(data) == text(artifact.format, orders(90))
    for artifact in downloads.artifacts(recorded(store, [[]], compress="zstd")):
        data = b"".join(downloads.read(artifact, store))
        assert zstandard.ZstdDecompressor().decompress(data) == text(artifact.format, [])


def test_parquet_is_compressed_inside(store: FileStore) -> None:
    facts = recorded(store, [orders(9)], compress="zstd", formats=("parquet", "csv"))
    assert [one.name for one in downloads.artifacts(facts)] == ["_.parquet", "_.csv.zst"]


def test_files_are_verified_with_their_text(store: FileStore, tmp_path: Path) -> None:
    facts = recorded(store, PARTS, ranges=RANGES, compress="zstd")
    made = downloads.artifacts(facts)
    for artifact in made:
        (tmp_path / artifact.name).write_bytes(b"".join(downloads.read(artifact, store)))
    proof = manifest.to_bytes(manifest.build(facts, made))

    def fetch(name: str, start: int, stop: int) -> list[bytes]:
        return [(tmp_path / name).read_bytes()[start:stop]]

    assert manifest.verify(proof, fetch, deep=True) == ()
    path = tmp_path / "_.csv.zst"
    data = path.read_bytes()
    for at in (0, 5, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert [one.file for one in manifest.verify(proof, fetch)] == ["_.csv.zst"]


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"a,b\n1,2\n"]
)
def test_what_is_no_zstd_is_said_to_be_none(change: Any) -> None:
    data = frame(b"a,b\n", [b"1,2\n" * 999], b"")
    with pytest.raises(unpacked.Broken):
        list(next(unpacked.texts({"media_type": "application/zstd"}, [change(data)])))
