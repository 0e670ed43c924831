"""Binaries of rows, copied from where they lie into objects of the store: many in each, framed as members of a ZIP."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from outhaul import archive, deflate, origins, siblings
from outhaul.blocks import Block, Range, Stream
from outhaul.errors import StoreError, UnreadableValue
from outhaul.export import Fragment, Part
from outhaul.filenames import safe
from outhaul.origins import Unfit
from outhaul.plan import BINARY, Node, Plan

NAMES = "(names)"  # the path of a fragment that tells what is in the one before it
FOLDER = "files"  # of the archive
OBJECT = 64_000_000  # bytes from which no further binary is begun in an object
MOST = 5_000  # binaries of one object
TICK = 0.5  # seconds between two looks at whether to stop, while a binary is on its way
AT_ONCE = 1 << 20  # what is larger is read twice, because its CRC-32 stands before it


class Session(Protocol):
    """What is asked of a source; see `sources/__init__.py`."""

    def read(
        self, node: Node, part: Range, _style: Literal["csv", "json", "typed"], /
    ) -> Iterator[Stream]: ...


class Store(Protocol):
    """What is asked of a store; see `stores/__init__.py`."""

    def put(self, key: str, chunks: Iterable[bytes | memoryview], /) -> int: ...


class Taken(Protocol):
    """What is asked of a binary that lies at an origin; see `origins/__init__.py`."""

    @property
    def length(self) -> int: ...
    def read(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class Origin(Protocol):
    """What is asked of a place where binaries lie; see `origins/__init__.py`."""

    AHEAD: int

    def look(self) -> None: ...
    def take(self, path: bytes, /) -> Taken: ...


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


Found = tuple[Binary, Callable[[], Taken] | None]  # and how it is taken, where it is not in its row


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
    copying = _Copying(node, stop, progress)
    made: list[Fragment] = []
    with closing(_binaries(session, node, part, stop)) as binaries, closing(copying.each(binaries)) as each:
        held = next(each, None)
        while held is not None:
            copied = _Object(copying, held, each)
            made.append(_put(store, part, copied.chunks(), len(made), copied))
            made.append(_put(store, part, copied.told(), len(made)))
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


class _Copying:
    """How the binaries of a part are come by, and how many have been copied."""

    def __init__(self, node: Node, stop: Callable[[], None], progress: Callable[[int], None]) -> None:
        self.node, self.stop, self._progress = node, stop, progress
        self._origin = origin(node.binary) if node.binary else None
        self._done = 0

    def each(self, binaries: Iterator[Binary]) -> Generator[Found]:
        """Each with how it is taken; where the way is long, some are under way before it is their turn."""
        place = self._origin
        if place is None:
            yield from ((one, None) for one in binaries)
        elif place.AHEAD == 1:
            yield from ((one, partial(place.take, one.at)) for one in binaries)
        else:
            yield from self._ahead(place, binaries)

    def _ahead(self, place: Origin, binaries: Iterator[Binary]) -> Generator[Found]:
        waiting: deque[Found] = deque()
        pool = ThreadPoolExecutor(place.AHEAD)
        try:
            for one in binaries:
                waiting.append((one, partial(self._awaited, pool.submit(place.take, one.at))))
                if len(waiting) == place.AHEAD:
                    yield waiting.popleft()
            yield from waiting
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _awaited(self, under_way: Future[Taken]) -> Taken:
        while not wait([under_way], TICK).done:
            self.stop()
        return under_way.result()

    def one_more(self) -> None:
        self._done += 1
        self._progress(self._done)


class _Object:
    """The binaries of one object, as they are written into it. `left`: the first that has no room any more."""

    def __init__(self, copying: _Copying, first: Found, rest: Iterator[Found]) -> None:
        self._copying, self._rest = copying, rest
        self.members: list[tuple[archive.Member, int]] = []  # each with where its header begins
        self.left: Found | None = first
        self.length = 0
        self.crc32 = 0
        self.sha256 = hashlib.sha256()

    def chunks(self) -> Iterator[bytes]:
        copying = self._copying
        while self.left is not None and self.length < OBJECT and len(self.members) < MOST:
            begins = self.length
            with opened(copying.node, *self.left, copying.stop) as (member, data):
                yield self._counted(archive.header(member))
                for piece in data:
                    copying.stop()
                    yield self._counted(piece)
            self.members.append((member, begins))
            copying.one_more()
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


def origin(place: str) -> Origin:
    """Where binaries lie: a folder, or an address of a scheme that is known."""
    scheme = "file" if place.startswith("/") else place.partition(":")[0]
    found: Origin = siblings.load(origins, scheme).open_origin(place)
    return found


@contextmanager
def opened(
    node: Node, binary: Binary, take: Callable[[], Taken] | None, stop: Callable[[], None] = lambda: None
) -> Iterator[tuple[archive.Member, Iterable[bytes]]]:
    """The binary as a member that is stored as it is, and its bytes, to be read once; UnreadableValue names its row.
    Without `take` the row has held them itself."""
    if take is None:
        data = _in_row(node, binary)
        yield _member(binary, len(data), deflate.crc32(data)), (data,)
        return
    try:
        with closing(take()) as taken:
            if taken.length <= AT_ONCE:
                data = b"".join(taken.read())
                yield _member(binary, len(data), deflate.crc32(data)), (data,)
            else:
                member = _member(binary, taken.length, _crc(taken.read(), stop))
                yield member, _again(taken, member)
    except Unfit as error:
        raise _unreadable(node, binary.key, str(error)) from error


def _in_row(node: Node, binary: Binary) -> bytes:
    try:
        return bytes.fromhex(binary.at.removeprefix(b"\\x").decode())
    except ValueError:
        raise _unreadable(node, binary.key, "is no bytes") from None


def _member(binary: Binary, length: int, crc32: int) -> archive.Member:
    return archive.Member(binary.member, length, length, crc32)


def _crc(pieces: Iterator[bytes], stop: Callable[[], None]) -> int:
    crc = 0
    for piece in pieces:
        stop()
        crc = deflate.crc32(piece, crc)
    return crc


def _again(taken: Taken, member: archive.Member) -> Iterator[bytes]:
    """The bytes a second time, which are those of the first."""
    crc = length = 0
    for piece in taken.read():
        crc, length = deflate.crc32(piece, crc), length + len(piece)
        yield piece
    if (crc, length) != (member.crc32, member.length):
        raise Unfit("has changed while it was read")


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
