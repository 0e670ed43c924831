"""Files as stretches in order, literal bytes and fragments of the store, and archives of such files."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from outhaul import archive, deflate
from outhaul.export import Artifact, Fragment
from outhaul.tabular import lines

Stretch = bytes | Fragment
Layout = tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Packed:
    """One file of an archive: its text, and whether that is stored as deflate runs. `of`: the selection and format
    that it is of, where the archive holds those of several."""

    name: str
    path: str
    texts: Sequence[Stretch]
    deflated: bool
    of: tuple[int, str] | None = None

    def stretches(self) -> list[Stretch]:
        if not self.deflated:
            return list(self.texts)
        runs = [b"".join(deflate.run([one])) if isinstance(one, bytes) else one for one in self.texts]
        return [*runs, deflate.FINAL]

    def member(self) -> archive.Member:
        crc, raw_length = deflate.combine(sums(self.texts))
        length = sum(len(one) if isinstance(one, bytes) else one.length for one in self.stretches())
        return archive.Member(self.name, length, raw_length, crc, self.deflated)

    @property
    def rows(self) -> int:
        """Rows whose file it is; related rows that stand in it do not count."""
        return sum(one.rows for one in self._fragments() if one.path == self.path)

    def told(self) -> dict[str, Any]:
        """What the framing before it says of its rows: of several selections each, else the lines that they are."""
        fragments = self._fragments()
        path = {"path": self.path} if self.path else {}
        if self.of is None:
            return {"rows": sum(lines(one.rows, one.related) for one in fragments)} | path
        related: Counter[str] = Counter()
        for one in fragments:
            related.update(one.related)
        selection, form = self.of
        told = {"selection": selection, "format": form, "rows": self.rows, "related": dict(related)}
        return told | path

    def _fragments(self) -> list[Fragment]:
        return [one for one in self.texts if isinstance(one, Fragment)]


def zipped(files: Sequence[Packed]) -> Layout:
    """The layout of a ZIP of these files; the framing before each tells of it under `"member"`."""
    made, members, _ = framed(files)
    return (*made, literal(archive.directory(members)))


def framed(files: Sequence[Packed]) -> tuple[Layout, list[archive.Member], int]:
    """The same without the directory, with the members that this has to list, and the length so far."""
    members = [one.member() for one in files]
    made: list[dict[str, Any]] = []
    end = 0
    for (header, at), member, one in zip(archive.headers(members), members, files, strict=True):
        told = asdict(member) | {"start": at + len(header)} | one.told()
        made += [literal(header) | {"member": told}, *layout(one.stretches())]
        end = at + len(header) + member.length
    return tuple(made), members, end


def layout(stretches: Iterable[Stretch]) -> Layout:
    """A file's stretches as data, neighbouring literal bytes in one."""
    made: list[dict[str, Any]] = []
    for literally, group in groupby(stretches, key=lambda one: isinstance(one, bytes)):
        if literally:
            made.append(literal(b"".join(one for one in group if isinstance(one, bytes))))
        else:
            made += [_stretch(one) for one in group if isinstance(one, Fragment)]
    return tuple(made)


def _stretch(fragment: Fragment) -> dict[str, Any]:
    return {name: getattr(fragment, name) for name in ("key", "length", "sha256", "part", "seq")}


def literal(data: bytes) -> dict[str, Any]:
    """Bytes that are in no object of the store."""
    return {"data": base64.b64encode(data).decode()}


def sums(texts: Iterable[Stretch]) -> Iterator[tuple[int, int]]:
    """CRC-32 and length of each stretch of text."""
    for one in texts:
        yield ((deflate.crc32(one), len(one)) if isinstance(one, bytes) else (one.crc32, one.raw_length))


def etag(layout: Iterable[Mapping[str, Any]]) -> str:
    """A strong one: it follows from every byte of the file, and from nothing else."""
    known = hashlib.sha256()
    for span in spans(layout):
        known.update(f"{span.length} {span.sha256}\n".encode())
    return f'"{known.hexdigest()[:32]}"'


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a file: literal `data`, or the object `key` of the store."""

    start: int
    length: int
    sha256: str
    data: bytes = b""
    key: str = ""


def spans(layout: Iterable[Mapping[str, Any]]) -> Iterator[Span]:
    """The stretches of an artifact's layout, in order."""
    start = 0
    for one in layout:
        if "key" in one:
            span = Span(start, one["length"], one["sha256"], key=one["key"])
        else:
            data = base64.b64decode(one["data"])
            span = Span(start, len(data), hashlib.sha256(data).hexdigest(), data=data)
        yield span
        start += span.length


def artifact(made: Layout, texts: Iterable[Stretch], **about: Any) -> Artifact:
    """The artifact of this layout. `texts`: what it holds, as it was before compression; `about`: all that does not
    follow from its bytes."""
    crc, raw_length = deflate.combine(sums(texts))
    length = sum(span.length for span in spans(made))
    return Artifact(length=length, raw_length=raw_length, crc32=crc, etag=etag(made), layout=made, **about)
