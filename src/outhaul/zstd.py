"""Zstandard blocks that stand alone, and the bytes that make frames of them (RFC 8878, 3.1.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import zstandard

from outhaul.deflate import windows
from outhaul.errors import Unproven

LEVEL = 1
WINDOW_LOG = 19  # bytes, as a power of two, that a reader has to remember
LARGEST = 128 << 10  # bytes of a block

MAGIC = b"\x28\xb5\x2f\xfd"
WINDOW = bytes([(WINDOW_LOG - 10) << 3])
SIZED = b"\xc0"  # the frame says how long its text is, in 8 bytes; no checksum
LAST = b"\x01\x00\x00"  # an empty block, the last of its frame


def header(length: int) -> bytes:
    """What stands before the blocks of a frame; `length` of its whole text in bytes.

    At most one run may follow, after raw blocks or none: a second one would not know what the first has left behind.
    """
    return MAGIC + SIZED + WINDOW + struct.pack("<Q", length)


def raw(text: bytes) -> bytes:
    """Text as blocks that are not compressed, none of them the last."""
    pieces = (text[at : at + LARGEST] for at in range(0, len(text), LARGEST))
    return b"".join((len(piece) << 3).to_bytes(3, "little") + piece for piece in pieces)


def run(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """The chunks as whole blocks without a last one."""
    params = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, window_log=WINDOW_LOG, write_content_size=0, write_checksum=0
    )
    packer = zstandard.ZstdCompressor(compression_params=params).compressobj()
    own = MAGIC + b"\0" + WINDOW  # the frame header that it writes, which we write otherwise
    held = b""
    for window in windows(chunks):
        held += packer.compress(window)
        if len(held) > len(own):
            yield _without(held, own)
            held, own = b"", b""
    held += packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    if held:
        yield _without(held, own)


def _without(data: bytes, own: bytes) -> bytes:
    if not data.startswith(own):
        raise Unproven(f"zstd began a frame with {data[:6].hex()} where {own.hex()} was to be.")
    return data[len(own) :]
