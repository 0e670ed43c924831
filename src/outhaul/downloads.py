"""Artifacts: one file out of many fragments without a copy, its ranges, its name, and links to it that expire."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Protocol
from urllib.parse import quote

from itsdangerous import BadData, URLSafeSerializer

from outhaul import archive, deflate, formats, siblings, zstd
from outhaul.errors import BadRange, Gone, NotFound
from outhaul.export import Artifact, Fragment
from outhaul.filenames import Names, safe
from outhaul.formats import Sheet
from outhaul.layout import Layout, Packed, Stretch, artifact, layout, spans, sums, zipped
from outhaul.ledger import Facts
from outhaul.plan import BINARY

PIECE = 1 << 20


class Store(Protocol):
    """What downloads ask of a store; see `stores/__init__.py`."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]: ...


def artifacts(facts: Facts, *, numbered: bool = False, archived: bool = True) -> tuple[Artifact, ...]:
    """One file for each selection, format and relationship with a file of its own; with `numbered` one complete file
    for each fragment.

    Several files of one selection and format, of relationships or because their fragments are whole files that cannot
    be joined, are one ZIP, or without `archived` those files themselves. A selection without rows is a readable empty
    file. Names are safe and differ in more than case.
    """
    names = Names()
    made: list[Artifact] = []
    for framing, files in _framed(facts):
        form, (sheet, fragments) = framing.form, files[0]
        several = len(files) > 1 or (form.JOINT is None and len(fragments) > 1)
        if several and archived and not numbered:
            suffix = f".{form.SUFFIX}.{archive.SUFFIX}"
            made.append(framing.archive(names.take(safe(sheet.name), suffix), files))
        else:
            end = f".{form.SUFFIX}{WRAPS[framing.compress].suffix if framing.compress else ''}"
            made += [
                framing.file(names.take(stem, end), one, parts)
                for one, stem, parts in _named(files, numbered or form.JOINT is None, always=numbered)
            ]
    return tuple(made)


def packed(facts: Facts) -> list[Packed]:
    """The same files, all of them, as members of one archive; each says of which selection and format it is."""
    names = Names()
    return [
        one
        for framing, files in _framed(facts)
        for one in framing.packed(
            files, names, (framing.selection, framing.format), numbered=facts.plan.numbered
        )
    ]


Files = Sequence[tuple[Sheet, Sequence[Fragment]]]


def _framed(facts: Facts) -> Iterator[tuple[Framing, Files]]:
    """For each selection and format how its files are made, and what each is made of."""
    plan = facts.plan
    for selection, name in ((n, form) for n, form in plan.written if form != BINARY):
        form = siblings.load(formats, name)
        framing = Framing(facts.export.id, selection, name, form, formats.around(form, plan.compress))
        mine = [one for one in facts.fragments if (one.selection, one.format) == (selection, name)]
        mine.sort(key=lambda one: (one.part, one.seq))
        sheets = formats.sheets(plan.selections[selection], name)
        yield framing, [(sheet, [one for one in mine if one.path == sheet.path]) for sheet in sheets]


def _named(
    files: Files, numbered: bool, *, always: bool = False
) -> Iterator[tuple[Sheet, str, Sequence[Fragment]]]:
    """The files with their names but for the ending. `numbered`: one for each fragment where there are several, or
    `always`."""
    for sheet, fragments in files:
        stem = safe(sheet.name)
        if not numbered or not (always or len(fragments) > 1):
            yield sheet, stem, fragments
            continue
        width = max(3, len(str(len(fragments))))
        for number, one in enumerate([[one] for one in fragments] or [[]], 1):
            yield sheet, f"{stem}-{number:0{width}}", one


class Wrap(Protocol):
    """A compression around a file: `frames` makes stretches of literal bytes and fragments one file."""

    suffix: str
    media_type: str

    @staticmethod
    def frames(texts: Sequence[Stretch]) -> Iterator[Stretch]: ...


class Gzip:
    """One gzip member out of deflate runs."""

    suffix = ".gz"
    media_type = "application/gzip"

    @staticmethod
    def frames(texts: Sequence[Stretch]) -> Iterator[Stretch]:
        yield deflate.GZIP_HEADER
        for one in texts:
            yield b"".join(deflate.run([one])) if isinstance(one, bytes) else one
        yield deflate.gzip_ending(*deflate.combine(sums(texts)))


class Zstd:
    """A frame for each run of blocks, with the framing before it; what follows the last run is in the last frame."""

    suffix = ".zst"
    media_type = "application/zstd"

    @staticmethod
    def frames(texts: Sequence[Stretch]) -> Iterator[Stretch]:
        frames: list[list[Stretch]] = [[]]
        for one in texts:
            if isinstance(one, Fragment) and any(isinstance(other, Fragment) for other in frames[-1]):
                frames.append([])
                while isinstance(frames[-2][-1], bytes):
                    frames[-1].insert(0, frames[-2].pop())
            frames[-1].append(one)
        for frame in frames:
            yield zstd.header(sum(length for _, length in sums(frame)))
            for one in frame:
                yield zstd.raw(one) if isinstance(one, bytes) else one
            yield zstd.LAST


WRAPS: Mapping[str, type[Wrap]] = {"gzip": Gzip, "zstd": Zstd}


@dataclass(frozen=True, slots=True)
class Framing:
    """How the files of one selection in one format are made."""

    export: str
    selection: int
    format: str
    form: ModuleType
    compress: str | None

    def file(self, name: str, sheet: Sheet, fragments: Sequence[Fragment]) -> Artifact:
        """Framing text and fragments in order; the joint stands only between fragments that hold a row."""
        texts = self._texts(sheet, fragments)
        wrap = WRAPS[self.compress] if self.compress else None
        made = layout(wrap.frames(texts) if wrap else texts)
        media_type = wrap.media_type if wrap else self.form.MEDIA_TYPE
        return self._artifact(name, media_type, made, texts, sheet.path)

    def archive(self, name: str, files: Files) -> Artifact:
        """A ZIP: whole fragments are stored as they are, other files are deflated where they are to be gzipped."""
        members = self.packed(files, Names())
        texts = [text for one in members for text in one.texts]
        return self._artifact(name, archive.MEDIA_TYPE, zipped(members), texts)

    def packed(
        self, files: Files, names: Names, of: tuple[int, str] | None = None, *, numbered: bool = False
    ) -> list[Packed]:
        """The files as members of an archive; `of` as they are to say it."""
        return [
            Packed(
                names.take(stem, f".{self.form.SUFFIX}"),
                sheet.path,
                self._texts(sheet, fragments),
                self.compress == "gzip",
                of,
            )
            for sheet, stem, fragments in _named(files, numbered or self.form.JOINT is None, always=numbered)
        ]

    def _texts(self, sheet: Sheet, all_fragments: Sequence[Fragment]) -> list[Stretch]:
        fragments = [one for one in all_fragments if one.rows]
        opening, closing = self.form.opening(sheet.node), self.form.closing(sheet.node)
        if self.form.JOINT is None:
            return list(fragments) or [opening + closing]
        texts: list[Stretch] = [opening]
        for number, fragment in enumerate(fragments):
            texts += [self.form.JOINT, fragment] if number else [fragment]
        return [one for one in [*texts, closing] if one != b""]

    def _artifact(
        self, name: str, media_type: str, made: Layout, texts: Sequence[Stretch], path: str = ""
    ) -> Artifact:
        return artifact(
            made,
            texts,
            export=self.export,
            selection=self.selection,
            format=self.format,
            name=name,
            media_type=media_type,
            rows=sum(one.rows for one in texts if isinstance(one, Fragment) and one.path == path),
            path=path,
        )


def read(artifact: Artifact, store: Store, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Bytes `start` to `stop` (exclusive) in pieces of at most 1 MiB; only the fragments among them are opened.

    One piece ahead is read, so that a fragment that is gone is noticed before the framing in front of it is given.
    """
    pieces = _pieces(artifact, store, start, stop)
    held = next(pieces, None)
    for piece in pieces:
        if held is not None:
            yield held
        held = piece
    if held is not None:
        yield held


def _pieces(artifact: Artifact, store: Store, start: int, stop: int | None) -> Iterator[bytes]:
    stop = artifact.length if stop is None else min(stop, artifact.length)
    for span in spans(artifact.layout):
        first, last = max(start, span.start) - span.start, min(stop, span.start + span.length) - span.start
        if first >= last:
            continue
        if span.key:
            yield from store.read(span.key, first, last - first)
        else:
            yield from (span.data[at : min(at + PIECE, last)] for at in range(first, last, PIECE))


def parse_range(
    header: str | None, length: int, etag: str, if_range: str | None = None
) -> tuple[int, int] | None:
    """What a Range header asks for as (start, stop), stop exclusive; None stands for the whole file.

    Whole too: several ranges, another unit, a header that nobody can read, or If-Range with another or weak ETag
    or a date (RFC 9110, 13.1.5 and 14.2). BadRange where no byte of the file is asked for.
    """
    if header is None or (if_range is not None and if_range.strip() != etag):
        return None
    found = re.fullmatch(r"\s*bytes\s*=\s*(\d{0,30})\s*-\s*(\d{0,30})\s*", header, re.IGNORECASE | re.ASCII)
    if found is None or found.group(1, 2) == ("", ""):
        return None
    first, last = (int(text) if text else None for text in found.groups())
    if first is None:
        if last and not length:
            return None
        start, stop = max(0, length - (last or 0)), length
    else:
        if last is not None and last < first:
            return None
        start, stop = first, length if last is None else min(last + 1, length)
    if start >= stop:
        raise BadRange(f"The file has {length} bytes.", wrong=header[:100], facts={"length": length})
    return start, stop


def unchanged(if_none_match: str | None, etag: str) -> bool:
    """Whether the asker has this very file already (RFC 9110, 13.1.2: `*`, or one of a list, weak or strong)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in re.findall(r'"[^"]*"', if_none_match)


def content_disposition(name: str) -> str:
    """The header's value (RFC 6266): the name in ASCII for old readers, and as it is, in UTF-8."""
    plain = re.sub(r'[^ -~]|["\\%]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


@dataclass(frozen=True, slots=True)
class File:
    """Something to download. `read(start, stop)` gives its bytes, `stop` exclusive, in pieces."""

    name: str
    media_type: str
    length: int
    etag: str
    read: Callable[[int, int], Iterator[bytes]]
    export: str = ""
    tenant: str | None = None
    who: str = ""  # the caller who has it, or made its link
    sha1: str | None = None  # where the export was asked for with it

    @property
    def disposition(self) -> str:
        """Its name, as Content-Disposition says it."""
        return content_disposition(self.name)

    def range(self, asked: str | None, if_range: str | None) -> tuple[int, int] | None:
        """(start, stop) of a Range header; None for the whole; BadRange."""
        return parse_range(asked, self.length, self.etag, if_range)

    def unchanged(self, if_none_match: str | None) -> bool:
        """Whether the asker has it already."""
        return unchanged(if_none_match, self.etag)


@dataclass(frozen=True, slots=True)
class Link:
    """What a signed link opens: the files of an export and its manifest. `caller`: the id of whoever asked for it."""

    export: str
    caller: str


def sign(keys: Sequence[str], link: Link, expires_at: datetime) -> str:
    """A token for a link, safe in a URL. The first key signs; all are believed, so that keys can be replaced."""
    return str(_signer(keys).dumps([*astuple(link), int(expires_at.timestamp())]))


def unsign(keys: Sequence[str], token: str, now: datetime) -> Link:
    """The link of a token; NotFound when we never made it, Gone when its time is over."""
    try:
        *opens, expires = _signer(keys).loads(token)
    except (BadData, ValueError, TypeError):
        raise NotFound("There is no such file.", hint="Copy the whole link.") from None
    if now.timestamp() >= expires:
        ended = datetime.fromtimestamp(expires, UTC)
        raise Gone(
            f"This link was good until {ended:%Y-%m-%d %H:%M} UTC.", hint="Ask the export for a new one."
        )
    return Link(*opens)


def _signer(keys: Sequence[str]) -> URLSafeSerializer:
    return URLSafeSerializer(
        list(reversed(keys)), salt="outhaul.link", signer_kwargs={"digest_method": hashlib.sha256}
    )
