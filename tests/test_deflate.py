"""Deflate runs stand alone, and any number of them make one gzip member that every reader accepts."""

from __future__ import annotations

import gzip
import subprocess
import zlib
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outhaul import deflate

TEXTS = st.lists(st.binary(max_size=200), max_size=6)

NODE = """
const fs = require('fs'), zlib = require('zlib');
const given = fs.readFileSync(0);
const one = zlib.gunzipSync(given);
const stream = new Blob([given]).stream().pipeThrough(new DecompressionStream('gzip'));
new Response(stream).arrayBuffer().then(two => {
  if (!one.equals(Buffer.from(two))) process.exit(3);
  fs.writeSync(1, one);
});
"""


def run(text: bytes) -> bytes:
    return b"".join(deflate.run([text]))


def member(texts: list[bytes]) -> bytes:
    crc, length = deflate.combine((zlib.crc32(text), len(text)) for text in texts)
    return deflate.GZIP_HEADER + b"".join(map(run, texts)) + deflate.gzip_ending(crc, length)


def rows(count: int, seed: int = 1) -> bytes:
    random = Random(seed)
    return b"".join(b'{"id":%d,"name":"n%d"},' % (number, random.randrange(999)) for number in range(count))


@given(texts=TEXTS)
def test_runs_joined_are_one_gzip_member_with_the_right_checksum(texts) -> None:
    reader = zlib.decompressobj(31)
    assert reader.decompress(member(texts)) == b"".join(texts)
    assert reader.eof
    assert reader.unused_data == b""


def test_a_run_cut_out_of_the_middle_reads_alone() -> None:
    texts = [rows(5000, 1), rows(5000, 1), rows(5000, 1)]
    assert zlib.decompressobj(-15).decompress(run(texts[1])) == texts[1]
    whole = b"".join(map(run, texts))
    start = len(run(texts[0]))
    assert zlib.decompressobj(-15).decompress(whole[start : start + len(run(texts[1]))]) == texts[1]


def test_a_run_ends_no_stream() -> None:
    reader = zlib.decompressobj(-15)
    reader.decompress(run(rows(100)))
    assert not reader.eof


def test_a_run_is_the_same_however_its_text_was_cut() -> None:
    text = rows(200_000)
    assert len(text) > 3 * deflate.WINDOW
    random = Random(4)
    for _ in range(4):
        cuts = sorted(random.randrange(len(text)) for _ in range(random.choice((0, 3, 40))))
        edges = [0, *cuts, len(text)]
        chunks = [memoryview(text)[a:b] for a, b in pairwise(edges)]
        assert b"".join(deflate.run(chunks)) == run(text)


@given(texts=TEXTS)
def test_checksums_of_texts_combine(texts) -> None:
    whole = b"".join(texts)
    assert deflate.combine((zlib.crc32(text), len(text)) for text in texts) == (zlib.crc32(whole), len(whole))
    crc = 0
    for text in texts:
        crc = deflate.crc32(text, crc)
    assert crc == zlib.crc32(whole)


def test_checksums_combine_beyond_four_gigabytes() -> None:
    zeros = bytes(1 << 20)
    crc = 0
    for _ in range(4100):
        crc = deflate.crc32(zeros, crc)
    assert deflate.combine([(zlib.crc32(b"x"), 1), (crc, 4100 << 20)])[1] == 1 + (4100 << 20)
    ending = deflate.combine([(crc, 4100 << 20), (zlib.crc32(b"end"), 3)])
    assert ending == (zlib.crc32(b"end", crc), (4100 << 20) + 3)
    assert len(deflate.gzip_ending(*ending)) == 10


CASES = {
    "nothing": [],
    "empty runs": [b"", b""],
    "an array": [b"[", rows(20_000, 1), b",", rows(30_000, 2), b"]"],
    "noise": [Random(9).randbytes(3 << 20)],
}


@pytest.mark.parametrize("texts", CASES.values(), ids=CASES)
def test_gzip_python_node_and_a_decompression_stream_accept_the_member(texts) -> None:
    data, text = member(texts), b"".join(texts)
    assert gzip.decompress(data) == text
    assert subprocess.run(["gzip", "-t"], input=data, capture_output=True, check=True).stderr == b""
    assert subprocess.run(["gzip", "-dc"], input=data, capture_output=True, check=True).stdout == text
    node = subprocess.run(["node", "-e", NODE], input=data, capture_output=True, check=True)
    assert node.stdout == text
