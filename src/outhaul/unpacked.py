"""The texts inside of a file, read by other libraries than those that packed them, and what an archive holds."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

PIECE = 1 << 20
BITE = 16 << 10  # bytes unpacked at a time: each may grow a thousandfold

Text = Iterator[bytes]


class Broken(Exception):
    """The file is not packed as its media type says."""


def texts(file: Mapping[str, Any], pieces: Iterable[bytes]) -> Iterator[Text]:
    """The texts in a file of a manifest, one or, of an archive, one a member; each to be read to its end. Broken."""
    if "members" not in file:
        unpack = READERS.get(file["media_type"])
        yield unpack(pieces) if unpack else iter(pieces)
        return
    cursor = _Cursor(pieces)
    for member in file["members"]:
        for _ in cursor.until(member["start"]):
            pass
        data = cursor.until(member["start"] + member["length"])
        yield _inflated(data, -15) if member["deflated"] else data
    for _ in cursor.until(file["length"]):
        pass


class _Cursor:
    """A place in a stream of pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = b""
        self._at = 0

    def until(self, stop: int) -> Text:
        while self._at < stop:
            held = self._held or next(self._pieces, b"")
            if not held:
                raise Broken("it ends within")
            taken, self._held = held[: stop - self._at], held[stop - self._at :]
            self._at += len(taken)
            yield taken


def _inflated(data: Iterable[bytes], window: int) -> Text:
    reader = zlib.decompressobj(window)
    try:
        for piece in data:
            for at in range(0, len(piece), BITE):
                yield reader.decompress(piece[at : at + BITE])
                if reader.unused_data:
                    raise Broken("something follows its end")
    except zlib.error as error:
        raise Broken(str(error)) from None
    if not reader.eof:
        raise Broken("it does not end")


def _gunzipped(data: Iterable[bytes]) -> Text:
    return _inflated(data, 31)


def _unzstd(data: Iterable[bytes]) -> Text:
    with pa.CompressedInputStream(pa.PythonFile(_Pieces(data), mode="r"), "zstd") as reader:
        try:
            while piece := reader.read(PIECE):
                yield piece
        except OSError as error:
            if error.errno is not None:  # the file itself cannot be read
                raise
            raise Broken(str(error)) from None


class _Pieces(io.RawIOBase):
    """Pieces as a file that is read once, forward."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._pieces = iter(pieces)
        self._held = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        held = self._held or next(self._pieces, b"")
        taken, self._held = held[: len(buffer)], held[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


READERS: Mapping[str, Callable[[Iterable[bytes]], Text]] = {
    "application/gzip": _gunzipped,
    "application/zstd": _unzstd,
}


def listed(length: int, read: Callable[[int, int], Iterable[bytes]]) -> list[tuple[str, int, int, str]]:
    """Name, length there, length of the text and CRC-32 of each member by an archive's directory. Broken.

    `read(start, stop)` gives bytes of the archive.
    """
    try:
        with zipfile.ZipFile(io.BufferedReader(_Ranges(length, read), 1 << 16)) as whole:
            return [
                (one.filename, one.compress_size, one.file_size, f"{one.CRC:08x}") for one in whole.infolist()
            ]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, IndexError) as error:
        raise Broken(str(error)) from None


class _Ranges(io.RawIOBase):
    """A file that can be read anywhere, by ranges."""

    def __init__(self, length: int, read: Callable[[int, int], Iterable[bytes]]) -> None:
        super().__init__()
        self._length, self._read = length, read
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        if begin + offset < 0:
            raise ValueError("before the beginning")
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + len(buffer), self._length)
        data = b"".join(self._read(self._at, stop)) if stop > self._at else b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
