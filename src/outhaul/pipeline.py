"""One part: rows of the source become text, the text fragments in the store, in bounded memory."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from outhaul import binaries, deflate, formats, siblings, zstd
from outhaul.binaries import Session, Store
from outhaul.blocks import Block, Piece, Range, Stream
from outhaul.errors import StoreError, TooMuch
from outhaul.export import Fragment, Part
from outhaul.formats import Sheet
from outhaul.plan import BINARY, Plan

CHUNK = 4 << 20  # bytes between two looks at whether to stop
Run = Callable[[Iterable[bytes | memoryview]], Iterator[bytes]]
# With the suffix of what is stored, which is no whole file of its kind.
RUNS: Mapping[str, tuple[str, Run]] = {"gzip": ("deflate", deflate.run), "zstd": ("zblocks", zstd.run)}


def run(
    session: Session,
    plan: Plan,
    part: Part,
    store: Store,
    stop: Callable[[], None],
    progress: Callable[[int], None],
) -> tuple[Fragment, ...]:
    """Writes the part as fragments, none if it has no row; each ends at a row's end and keeps the plan's limits.

    `stop` is called at least every few megabytes and raises what ends the run; `progress` gets the rows done so far.
    TooMuch when one row alone passes the limit of a file, or the part that of the whole export.
    """
    made: list[Fragment] = []
    if part.format == BINARY:
        return binaries.run(session, plan, part, store, stop, progress)
    root, written, done = plan.selections[part.selection], 0, 0

    def read_again(_rows: int) -> None:
        progress(done)

    for sheet in formats.sheets(root, part.format):
        with closing(
            _read(session, plan, part, sheet, stop, read_again if sheet.path else progress)
        ) as fragments:
            for text, chunks in fragments:
                held = root.ceiling.watched(root.resource, chunks, written)
                made.append(_fragment(text, held, plan, part, sheet, store, len(made)))
                written += text.length
                done += 0 if sheet.path else text.rows
    return tuple(made)


Read = Generator[tuple["Text", Iterator[memoryview]]]  # fragments, each to be read to its end before the next


def _read(
    session: Session,
    plan: Plan,
    part: Part,
    sheet: Sheet,
    stop: Callable[[], None],
    progress: Callable[[int], None],
) -> Read:
    form = siblings.load(formats, part.format)
    if form.JOINT is None:
        yield from _files(session, plan, part, stop, progress)
        return
    with closing(_pieces(session, plan, part, sheet, form)) as pieces:
        rows = Rows(pieces, Limits.of(plan, part, sheet, form), stop, progress)
        while rows.more():
            text = Text()
            yield text, rows.fragment(text)


def _files(
    session: Session, plan: Plan, part: Part, stop: Callable[[], None], progress: Callable[[int], None]
) -> Read:
    """Of a format that knows by itself where a file ends. Much is read before anything of it is written."""
    form, node = siblings.load(formats, part.format), plan.selections[part.selection]
    seen = Seen(stop, progress)
    streams = session.read(node, Range.from_data(part.range), form.STYLE)
    watched = (replace(one, blocks=seen.roots(one.blocks), children=seen.below(one)) for one in streams)
    limits = {"most_bytes": plan.fragment_bytes, "most_rows": plan.fragment_rows}
    for pieces in form.files(node, watched, codec=plan.compress, **limits):
        text = Text()
        yield text, _of_file(pieces, text, stop)


def _of_file(pieces: Iterator[Piece], text: Text, stop: Callable[[], None]) -> Iterator[memoryview]:
    for piece in pieces:
        yield from text.counted(_chunks(memoryview(piece.data), stop))
        text.add(piece)


def _chunks(data: memoryview, stop: Callable[[], None]) -> Iterator[memoryview]:
    for start in range(0, len(data), CHUNK):
        stop()
        yield data[start : start + CHUNK]


class Seen:
    """Blocks on their way into a format that gathers them: looked at before each, and the root's rows counted."""

    def __init__(self, stop: Callable[[], None], progress: Callable[[int], None]) -> None:
        self._stop, self._progress = stop, progress
        self._done = 0

    def roots(self, blocks: Iterator[Block]) -> Iterator[Block]:
        for block in self._each(blocks):
            yield block
            self._done += block.rows
            self._progress(self._done)

    def below(self, stream: Stream) -> tuple[Stream, ...]:
        return tuple(
            replace(one, blocks=self._each(one.blocks), children=self.below(one)) for one in stream.children
        )

    def _each(self, blocks: Iterator[Block]) -> Iterator[Block]:
        for block in blocks:
            self._stop()
            yield block


def _pieces(session: Session, plan: Plan, part: Part, sheet: Sheet, form: ModuleType) -> Generator[Piece]:
    limited = plan.fragment_bytes is not None or plan.fragment_rows is not None
    for stream in session.read(sheet.node, Range.from_data(part.range), form.STYLE):
        yield from sheet.pieces(form.pieces(stream, borders=limited))


def _fragment(
    text: Text, chunks: Iterator[memoryview], plan: Plan, part: Part, sheet: Sheet, store: Store, seq: int
) -> Fragment:
    compress = formats.around(siblings.load(formats, part.format), plan.compress)
    ending, run = RUNS[compress] if compress else ("", iter)
    suffix = f"{part.format}.{ending}" if ending else part.format
    key = f"{part.export}/{part.generation}-{part.n}-{part.attempt}-{seq}-{secrets.token_hex(4)}.{suffix}"
    stored = Stored()
    own = Stored() if plan.archive and compress else None
    length = store.put(key, stored.counted(run(own.counted(chunks) if own else chunks)))
    if length != stored.length:
        raise StoreError(f"The store took {length:,} of {stored.length:,} bytes of {key}.")
    lines, related = sheet.counted(text.rows, text.related)
    return Fragment(
        selection=part.selection,
        format=part.format,
        part=part.n,
        seq=seq,
        key=key,
        length=length,
        raw_length=text.length,
        crc32=text.crc32,
        rows=lines,
        sha256=stored.sha256.hexdigest(),
        related=related,
        path=sheet.path,
        text_sha256=own.sha256.hexdigest() if own else None,
    )


class Text:
    """What is known about a fragment's text so far."""

    def __init__(self) -> None:
        self.length = self.crc32 = self.rows = 0
        self.related: Counter[str] = Counter()

    def counted(self, chunks: Iterable[memoryview]) -> Iterator[memoryview]:
        for chunk in chunks:
            self.length += len(chunk)
            self.crc32 = deflate.crc32(chunk, self.crc32)
            yield chunk

    def add(self, piece: Piece) -> None:
        """The rows that end in a piece."""
        self.rows += piece.rows
        self.related.update({path: int(counts.sum()) for path, counts in piece.related.items()})


class Stored:
    """What is known about bytes so far."""

    def __init__(self) -> None:
        self.length = 0
        self.sha256 = hashlib.sha256()

    def counted(self, chunks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        for chunk in chunks:
            self.length += len(chunk)
            self.sha256.update(chunk)
            yield chunk


@dataclass(frozen=True, slots=True)
class Limits:
    """What may stand in one fragment, and what stands between its rows. `of_whom`: whose rows, for people."""

    size: int | None  # bytes
    rows: int | None
    joint: bytes
    of_whom: str

    @classmethod
    def of(cls, plan: Plan, part: Part, sheet: Sheet, form: ModuleType) -> Limits:
        """The plan's limits are those of a complete file: the format's frame is taken off."""
        size = plan.fragment_bytes
        if size is not None:
            size -= len(form.opening(sheet.node)) + len(form.closing(sheet.node))
        return cls(size, plan.fragment_rows, form.JOINT, f"part {part.n} of {sheet.name}")


class Rows:
    """The pieces of a part, dealt out to one fragment after the other."""

    def __init__(
        self,
        pieces: Iterator[Piece],
        limits: Limits,
        stop: Callable[[], None],
        progress: Callable[[int], None],
    ) -> None:
        self._pieces, self._limits = pieces, limits
        self._stop, self._progress = stop, progress
        self._next: Piece | None = None
        self._done = 0
        self._begins = b""  # of the row at hand, for people

    def more(self) -> bool:
        if self._next is None:
            self._stop()
            self._next = next(self._pieces, None)
        return self._next is not None

    def fragment(self, text: Text) -> Iterator[memoryview]:
        """The text of one fragment in chunks, and what is known about it."""
        between = b""
        while self.more():
            piece = self._fitting(text, len(between))
            if piece is None:
                return
            for data in (between, piece.data) if piece.starts and between else (piece.data,):
                yield from text.counted(_chunks(memoryview(data), self._stop))
            text.add(piece)
            self._done += piece.rows
            self._progress(self._done)
            between = self._limits.joint if piece.ends else b""

    def _fitting(self, text: Text, gap: int) -> Piece | None:
        """As much of the next piece as the fragment may still take; None when it is full."""
        piece, self._next = self._next, None
        assert piece is not None
        if piece.starts:
            self._begins = bytes(piece.data[:60])
        room = None if self._limits.size is None else self._limits.size - text.length - gap
        left = None if self._limits.rows is None else self._limits.rows - text.rows
        if piece.offsets is None:
            fits = self._takes_giant(piece, room, left, new=not text.length)
            taken, self._next = (piece, None) if fits else (None, piece)
            return taken
        count = piece.rows if left is None else min(piece.rows, left)
        if room is not None:
            count = min(count, self._that_fit(piece.offsets, room))
        if count == piece.rows:
            return piece
        if not count and not text.length:
            raise self._too_large(piece)
        taken, self._next = self._cut(piece, count)
        return taken

    def _takes_giant(self, piece: Piece, room: int | None, left: int | None, *, new: bool) -> bool:
        """A row in several pieces gets a new fragment where bytes are limited: its size is not known before its end."""
        if piece.starts and not new and (room is not None or left == 0):
            return False
        if room is not None and len(piece.data) > room:
            raise self._too_large(piece)
        return True

    def _that_fit(self, offsets: np.ndarray[Any, Any], room: int) -> int:
        """Whole rows that `room` bytes can take, without a joint after the last."""
        ends = offsets[1:].copy()
        ends[:-1] -= len(self._limits.joint)
        return int(np.searchsorted(ends, room, "right"))

    def _cut(self, piece: Piece, count: int) -> tuple[Piece | None, Piece]:
        if not count:
            return None, piece
        assert piece.offsets is not None
        border = int(piece.offsets[count])
        end = border - len(self._limits.joint)
        offsets = piece.offsets[: count + 1].copy()
        offsets[-1] = end
        head = {path: counts[:count] for path, counts in piece.related.items()}
        tail = {path: counts[count:] for path, counts in piece.related.items()}
        return (
            replace(piece, data=piece.data[:end], rows=count, offsets=offsets, related=head),
            replace(
                piece,
                data=piece.data[border:],
                rows=piece.rows - count,
                offsets=piece.offsets[count:] - border,
                related=tail,
            ),
        )

    def _too_large(self, piece: Piece) -> TooMuch:
        limit = self._limits.size or 0
        size = (
            int(piece.offsets[1]) if piece.offsets is not None else limit + 1
        )  # of a giant: that much at least
        return TooMuch(
            f"Row {self._done + 1} of {self._limits.of_whom} does not fit into a file of the wanted size. "
            f"It begins: {self._begins.decode(errors='replace')}",
            hint="Ask for larger files, or for fewer fields.",
            facts={"value": size, "limit": limit},
        )
