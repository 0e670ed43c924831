"""Deflate runs that stand alone, and the bytes that make one gzip member of any number of them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from isal import isal_zlib

# Fed by fixed windows, so that the run is the same however its text was cut into chunks.
WINDOW = 1 << 20
LEVEL = 1

GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"  # no name, no time, fastest, no system
FINAL = b"\x03\x00"  # an empty block with the final bit


def run(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """The chunks as whole deflate blocks without a final one, which refer to nothing before them."""
    deflate = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -15)
    for window in windows(chunks):
        if made := deflate.compress(window):
            yield made
    yield deflate.flush(isal_zlib.Z_SYNC_FLUSH)


def windows(chunks: Iterable[bytes | memoryview]) -> Iterator[bytearray]:
    """The chunks' bytes by WINDOW, the last of them shorter."""
    held = bytearray()
    for chunk in chunks:
        rest = memoryview(chunk)
        while len(held) + len(rest) >= WINDOW:
            missing = WINDOW - len(held)
            held += rest[:missing]
            rest = rest[missing:]
            yield held
            held = bytearray()
        held += rest
    yield held


def crc32(data: bytes | memoryview, before: int = 0) -> int:
    crc: int = isal_zlib.crc32(data, before)
    return crc


def combine(parts: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """CRC-32 and length of texts put one after the other, from the (CRC-32, length in bytes) of each."""
    crc, length = 0, 0
    for its_crc, its_length in parts:
        crc = isal_zlib.crc32_combine(crc, its_crc, its_length)
        length += its_length
    return crc, length


def gzip_ending(crc: int, length: int) -> bytes:
    """What follows the last run: the final block, then CRC-32 and length of the whole text."""
    return FINAL + struct.pack("<II", crc, length & 0xFFFFFFFF)
