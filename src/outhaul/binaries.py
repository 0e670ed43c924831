"""Binaries of rows, copied from where they lie into objects of the store: many in each, framed as members of a ZIP."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from outhaul import archive, deflate
from outhaul.blocks import Block, Range, Stream
from outhaul.errors import StoreError, UnreadableValue
from outhaul.export import Fragment, Part
from outhaul.filenames import safe
from outhaul.plan import BINARY, Node, Plan

NAMES = "(names)"  # the path of a fragment that tells what is in the one before it
FOLDER = "files"  # of the archive
OBJECT = 64_000_000  # bytes from which no further binary is begun in an object
MOST = 5_000  # binaries of one object
AT_ONCE = 1 << 20
FLAGS = os.O_RDONLY | os.O_CLOEXEC


class Session(Protocol):
    """What is asked of a source; see `sources/__init__.py`."""

    def read(
        self, node: Node, part: Range, _style: Literal["csv", "json", "typed"], /
    ) -> Iterator[Stream]: ...


class Store(Protocol):
    """What is asked of a store; see `stores/__init__.py`."""

    def put(self, key: str, chunks: Iterable[bytes | memoryview], /) -> int: ...


@dataclass(frozen=True, slots=True)
class Binary:
    """One of a row. `of`: what the folder of its kind is called; `key`: of the row, for people; `at`: the path, or the
    bytes as the database writes them."""

    of: str
    key: str
    at: bytes
    name: str

    @property
    def member(self) -> str:
        """What it is called in the archive; no two are alike, because their keys are not."""
        plain = safe(self.key)
        if plain != self.key or plain != plain.casefold():  # some disks take A and a for one name
            plain += f"-{_hash(self.key)}"
        return f"{FOLDER}/{safe(self.of)}/{plain}/{safe(self.name)}"


def run(
    session: Session,
    plan: Plan,
    part: Part,
    store: Store,
    stop: Callable[[], None],
    progress: Callable[[int], None],
) -> tuple[Fragment, ...]:
    """Copies the binaries of the part's rows. After each object of them follows one that tells what is in it: a line of
    JSON with name, length, CRC-32 and the place of each. UnreadableValue names the row of one that cannot be had."""
    node = plan.selections[part.selection]
    made: list[Fragment] = []
    done = 0
    with closing(_binaries(session, node, part, stop)) as binaries:
        held = next(binaries, None)
        while held is not None:
            copied = _Object(node, held, binaries, stop)
            made.append(_put(store, part, copied.chunks(), len(made), copied))
            made.append(_put(store, part, copied.told(), len(made)))
            done += len(copied.members)
            progress(done)
            held = copied.left
    return tuple(made)


def _binaries(session: Session, node: Node, part: Part, stop: Callable[[], None]) -> Generator[Binary]:
    for stream in session.read(node, Range.from_data(part.range), "typed"):
        for block in stream.blocks:
            stop()
            yield from _of_block(node, block)


def _of_block(node: Node, block: Block) -> Iterator[Binary]:
    """Of the rows that have one: NULL stands for none."""
    texts = [block.columns[column.key,].to_pylist() for column in node.columns]
    keys = len(node.key)
    for row in zip(*texts, strict=True):
        at = row[keys]
        if at is None:
            continue
        own = [_text(node, one or b"", row[:keys]) for one in row[:keys]]
        key = "-".join(own) if keys == 1 else f"{'-'.join(own)}-{_hash(chr(0).join(own))}"
        named = row[keys + 1] if len(row) > keys + 1 else None
        name = _text(node, named, row[:keys]) if named else _last(at) if node.binary else key
        yield Binary(node.stem or node.resource, key, at, name)


def _text(node: Node, value: bytes, key: Iterable[bytes | None]) -> str:
    """A part of the row's key, or the name of its binary, as a text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        told = "-".join((one or b"").decode(errors="backslashreplace") for one in key)
        raise _unreadable(node, told, "has a key or a name that is no text") from None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _last(at: bytes) -> str:
    return at.decode(errors="replace").rpartition("/")[2]


class _Object:
    """The binaries of one object, as they are written into it. `left`: the first that has no room any more."""

    def __init__(self, node: Node, first: Binary, rest: Iterator[Binary], stop: Callable[[], None]) -> None:
        self._node, self._rest, self._stop = node, rest, stop
        self.members: list[tuple[archive.Member, int]] = []  # each with where its header begins
        self.left: Binary | None = first
        self.length = 0
        self.crc32 = 0
        self.sha256 = hashlib.sha256()

    def chunks(self) -> Iterator[bytes]:
        while self.left is not None and self.length < OBJECT and len(self.members) < MOST:
            begins = self.length
            member, data = _opened(self._node, self.left)
            yield self._counted(archive.header(member))
            for piece in data:
                self._stop()
                yield self._counted(piece)
            self.members.append((member, begins))
            self.left = next(self._rest, None)

    def _counted(self, data: bytes) -> bytes:
        self.length += len(data)
        self.crc32 = deflate.crc32(data, self.crc32)
        self.sha256.update(data)
        return data

    def told(self) -> Iterator[bytes]:
        for member, begins in self.members:
            line = {"name": member.name, "length": member.length, "crc32": member.crc32, "at": begins}
            yield json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _put(
    store: Store, part: Part, chunks: Iterator[bytes], seq: int, copied: _Object | None = None
) -> Fragment:
    key = f"{part.export}/{part.generation}-{part.n}-{part.attempt}-{seq}-{secrets.token_hex(4)}.{BINARY}"
    data = [] if copied else list(chunks)
    length = store.put(key, chunks if copied else data)
    whole = b"".join(data)
    due = copied.length if copied else len(whole)
    if length != due:
        raise StoreError(f"The store took {length:,} of {due:,} bytes of {key}.")
    return Fragment(
        selection=part.selection,
        format=part.format,
        part=part.n,
        seq=seq,
        key=key,
        length=length,
        raw_length=length,
        crc32=copied.crc32 if copied else deflate.crc32(whole),
        rows=len(copied.members) if copied else 0,
        sha256=(copied.sha256 if copied else hashlib.sha256(whole)).hexdigest(),
        path="" if copied else NAMES,
    )


def _opened(node: Node, binary: Binary) -> tuple[archive.Member, Iterator[bytes]]:
    """The binary as a member that is stored as it is, and its bytes."""
    if not node.binary:
        try:
            data = bytes.fromhex(binary.at.removeprefix(b"\\x").decode())
        except ValueError:
            raise _unreadable(node, binary.key, "is no bytes") from None
        return _member(binary, len(data), deflate.crc32(data)), iter([data])
    return _of_file(node, binary)


def _member(binary: Binary, length: int, crc32: int) -> archive.Member:
    return archive.Member(binary.member, length, length, crc32)


def _of_file(node: Node, binary: Binary) -> tuple[archive.Member, Iterator[bytes]]:
    """What lies in the folder: read twice where it is large, because its CRC-32 stands before it."""
    try:
        file = _found(node, binary)
        try:
            about = os.fstat(file)
            if not stat.S_ISREG(about.st_mode):
                raise _unreadable(node, binary.key, "is no file")
            first = b"".join(_read(file, min(about.st_size, AT_ONCE)))
            if about.st_size <= AT_ONCE:
                _same(node, binary, file, about)
                return _member(binary, len(first), deflate.crc32(first)), iter([first])
            crc = deflate.crc32(first)
            for piece in _read(file, about.st_size - len(first)):
                crc = deflate.crc32(piece, crc)
            member = _member(binary, about.st_size, crc)
            return member, _again(node, binary, member, os.dup(file), about)
        finally:
            os.close(file)
    except OSError as error:
        raise _unreadable(node, binary.key, f"cannot be read ({error.strerror})") from error


def _read(file: int, length: int) -> Iterator[bytes]:
    while length and (piece := os.read(file, min(length, AT_ONCE))):
        length -= len(piece)
        yield piece


def _again(
    node: Node, binary: Binary, member: archive.Member, file: int, about: os.stat_result
) -> Iterator[bytes]:
    crc = length = 0
    try:
        os.lseek(file, 0, os.SEEK_SET)
        for piece in _read(file, member.length):
            crc, length = deflate.crc32(piece, crc), length + len(piece)
            yield piece
        _same(node, binary, file, about)
    finally:
        os.close(file)
    if (crc, length) != (member.crc32, member.length):
        raise _changed(node, binary)


def _same(node: Node, binary: Binary, file: int, about: os.stat_result) -> None:
    """It is as it was before it was read."""
    now = os.fstat(file)
    if (now.st_size, now.st_mtime_ns) != (about.st_size, about.st_mtime_ns):
        raise _changed(node, binary)


def _found(node: Node, binary: Binary) -> int:
    """The file, opened. It must not lie outside of the folder, whatever the row says and whoever moves what is on the
    way: each step is taken from the one before it, and no link is followed."""
    assert node.binary
    steps = [step for step in binary.at.split(b"/") if step not in {b"", b"."}]
    if b"\0" in binary.at:
        raise _unreadable(node, binary.key, "has a path that is none")
    if not steps or b".." in steps or binary.at.startswith(b"/"):
        raise _unreadable(node, binary.key, "lies outside of the folder")
    folder = os.open(node.binary, FLAGS | os.O_DIRECTORY)
    try:
        for step in steps[:-1]:
            within = os.open(step, FLAGS | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = within
        return os.open(steps[-1], FLAGS | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)


def _changed(node: Node, binary: Binary) -> UnreadableValue:
    return _unreadable(node, binary.key, "has changed while it was read")


def _unreadable(node: Node, key: str, what: str) -> UnreadableValue:
    return UnreadableValue(
        f"The binary of {node.resource} {key} {what}.",
        hint="Put it where the row says, with no link on the way, or leave the row out by a filter.",
    )


def directory(
    fragments: Iterable[tuple[int, Iterable[bytes]]],
) -> Iterator[tuple[list[archive.Member], list[int]]]:
    """The members of an archive, and where each begins in it, a bounded number at a time. `fragments`: where each
    object of binaries begins in the archive, and what is told of it."""
    for begin, chunks in fragments:
        told: list[dict[str, Any]] = [json.loads(line) for line in b"".join(chunks).splitlines()]
        members = [archive.Member(one["name"], one["length"], one["length"], one["crc32"]) for one in told]
        yield members, [begin + one["at"] for one in told]
