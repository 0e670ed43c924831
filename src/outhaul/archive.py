"""ZIP archives as bytes around members that lie elsewhere: local headers and a directory, never the members' own."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

MEDIA_TYPE = "application/zip"
SUFFIX = "zip"
END = 22  # bytes of the record that ends a plain directory


@dataclass(frozen=True, slots=True)
class Member:
    """One file within an archive. `length`: its bytes there; `raw_length` and `crc32`: of the file itself.

    A deflated member is whole deflate blocks, the last of them final.
    """

    name: str
    length: int
    raw_length: int
    crc32: int
    deflated: bool = False


def header(member: Member) -> bytes:
    """What stands before a member."""
    return _info(member).FileHeader()


def headers(members: Iterable[Member]) -> Iterator[tuple[bytes, int]]:
    """For each member what stands before it, and where in the archive that begins."""
    at = 0
    for member in members:
        made = header(member)
        yield made, at
        at += len(made) + member.length


def records(members: Sequence[Member], begins: Iterable[int]) -> bytes:
    """What the directory says of fewer than 65,535 members, each of which begins so far into the archive."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as whole:
        for member, at in zip(members, begins, strict=True):
            info = _info(member)
            info.header_offset = at
            whole.filelist.append(info)
    return sink.getvalue()[:-END]


def ending(count: int, length: int, begin: int) -> bytes:
    """What follows a directory of so many records and bytes, which begins there; by ZIP64 where it must be."""
    few, short, near = min(count, 0xFFFF), min(length, 0xFFFFFFFF), min(begin, 0xFFFFFFFF)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, few, few, short, near, 0)
    if few < 0xFFFF and short < 0xFFFFFFFF and near < 0xFFFFFFFF:
        return end
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, begin)
    return large + struct.pack("<4sLQL", b"PK\6\7", 0, begin + length, 1) + end


def directory(members: Iterable[Member]) -> bytes:
    """What stands behind the last member; by ZIP64 where anything is too large or too many for plain ZIP."""
    listed = list(members)
    begins = [at for _, at in headers(listed)]
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as whole:
        for member, at in zip(listed, begins, strict=True):
            info = _info(member)
            info.header_offset = at
            whole.filelist.append(info)
        whole.start_dir = sum(len(header) for header, _ in headers(listed)) + sum(m.length for m in listed)
    return sink.getvalue()


def _info(member: Member) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(member.name)  # of 1980: the same files make the same archive
    info.compress_type = zipfile.ZIP_DEFLATED if member.deflated else zipfile.ZIP_STORED
    info.CRC, info.file_size, info.compress_size = member.crc32, member.raw_length, member.length
    info.create_system = 3  # Unix, wherever it was made
    info.external_attr = 0o600 << 16
    return info


class _Sink(io.BytesIO):
    """Takes the directory, and believes the members before it."""

    def __init__(self) -> None:
        super().__init__()
        self._begins: int | None = None

    def seek(self, at: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET and self._begins is None and at:
            self._begins = at
        return at

    def tell(self) -> int:
        return super().tell() + (self._begins or 0)
