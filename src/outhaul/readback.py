"""Files held against what a manifest says of them: hashes by segment, the text inside, an archive's own directory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outhaul import deflate, formats, siblings, unpacked
from outhaul.filenames import MANIFEST
from outhaul.plan import BINARY
from outhaul.tabular import lines

# Bytes `start` to `stop` (exclusive) of a file, fewer where it ends before; FileNotFoundError when there is none.
Fetch = Callable[[str, int, int], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as the manifest says."""

    file: str
    what: str
    expected: Any = None
    found: Any = None

    def __str__(self) -> str:
        both = f": expected {self.expected}, found {self.found}"
        return f"{self.file}: {self.what}{both if (self.expected, self.found) != (None, None) else ''}"


def files(
    data: Mapping[str, Any], fetch: Fetch, names: Iterable[str] | None, *, deep: bool
) -> Iterator[Finding]:
    """What is found in the files of a manifest, and among the names that are there."""
    listed = [file["name"] for file in data["files"]]
    for name in sorted(set(names or ()) - set(listed)):
        yield Finding(name, "is not in the manifest")
    for file in data["files"]:
        name = file["name"]
        if listed.count(name) > 1 or Path(name).name != name or name in {"", ".", ".."}:
            yield Finding(MANIFEST, f"names a file twice, or one in another folder: {name}")
            continue
        try:
            yield from _file_found(file, fetch, deep=deep)
        except FileNotFoundError:
            yield Finding(name, "is missing")
        except OSError as error:
            yield Finding(name, f"cannot be read ({error.strerror or type(error).__name__})")


def _file_found(file: Mapping[str, Any], fetch: Fetch, *, deep: bool) -> Iterator[Finding]:
    """One pass over the file: its segments' hashes, and what its text says of itself."""
    name, length = file["name"], file["length"]
    hashed = _Hashed(file)
    pieces = hashed.through(fetch(name, 0, length + 1))
    about_text = _text_found(file, pieces, deep=deep)
    for _ in pieces:  # what the text's reader has left after an error
        pass
    if hashed.length != length:
        found = f"{hashed.length} bytes" if hashed.length < length else "more"
        yield Finding(name, "length", f"{length} bytes", found)
    yield from hashed.findings
    if hashed.length == length and not hashed.findings:
        yield from about_text
        yield from _members_found(file, fetch) if "members" in file else ()


class _Hashed:
    """Pieces of a file on their way, hashed by its segments."""

    def __init__(self, file: Mapping[str, Any]) -> None:
        self._file = file
        self.length = 0
        self.findings: list[Finding] = []
        self._sha1 = hashlib.sha1(usedforsecurity=False) if "sha1" in file else None

    def through(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        segments = iter(self._file["segments"])
        segment, known = next(segments, None), hashlib.sha256()
        for piece in pieces:
            yield piece
            rest = memoryview(piece)
            while segment is not None and rest:
                left = segment["start"] + segment["length"] - self.length
                known.update(rest[:left])
                self.length += min(left, len(rest))
                rest = rest[left:]
                if self.length == segment["start"] + segment["length"]:
                    self._compare(segment, known.hexdigest())
                    segment, known = next(segments, None), hashlib.sha256()
            self.length += len(rest)
            if self._sha1:
                self._sha1.update(piece)
        if self._sha1 and self._sha1.hexdigest() != self._file["sha1"]:
            found = self._sha1.hexdigest()
            self.findings.append(Finding(self._file["name"], "SHA-1", self._file["sha1"], found))

    def _compare(self, segment: Mapping[str, Any], found: str) -> None:
        if found != segment["sha256"]:
            stretch = f"bytes {segment['start']} to {self.length - 1}"
            of = f" (part {segment['part']})" if "part" in segment else ""
            self.findings.append(
                Finding(self._file["name"], f"SHA-256 of {stretch}{of}", segment["sha256"], found)
            )


def _text_found(file: Mapping[str, Any], data: Iterable[bytes], *, deep: bool) -> tuple[Finding, ...]:
    crc = length = 0
    counts: list[tuple[str, Any, Any]] = []

    def known(text: Iterable[bytes]) -> Iterator[bytes]:
        nonlocal crc, length
        for piece in text:
            crc, length = deflate.crc32(piece, crc), length + len(piece)
            yield piece

    try:
        for text, (form, due) in zip(unpacked.texts(file, data), _due(file), strict=True):
            if deep and form not in {"", BINARY}:
                rows = siblings.load(formats, form).rows_in(known(text))
                counts.append(("rows, counted in the text", due, rows))
            else:
                _nothing_in(known(text))
    except unpacked.Broken as error:
        return (Finding(file["name"], f"is no {file['media_type']} file ({error})"),)
    checks = [
        ("CRC-32 of the text", file["crc32"], f"{crc:08x}"),
        ("length of the text", file["raw_length"], length),
        *counts,
    ]
    return tuple(Finding(file["name"], what, one, other) for what, one, other in checks if one != other)


def _due(file: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Of each text in a file the format, "" where it is none of rows, and the lines that it is to have."""
    own = file.get("format", "")
    return [
        (one.get("format", own), lines(one["rows"], one.get("related", {})))
        for one in file.get("members", [file])
    ]


def _nothing_in(text: Iterable[bytes]) -> int:
    return sum(0 for _ in text)


def _members_found(file: Mapping[str, Any], fetch: Fetch) -> Iterator[Finding]:
    """An archive's own directory against what the manifest says is in it."""
    plain = [one for one in file["members"] if one.get("format") != BINARY]
    told = [(one["name"], one["length"], one["raw_length"], one["crc32"]) for one in plain]
    copied = sum(one["rows"] for one in file["members"] if one.get("format") == BINARY)
    try:
        found = unpacked.listed(file["length"], lambda start, stop: fetch(file["name"], start, stop))
    except unpacked.Broken as error:
        yield Finding(file["name"], f"is no archive ({error})")
        return
    if len(found) - len(told) != copied:
        yield Finding(file["name"], "lists other binaries", copied, len(found) - len(told))
    elif found[: len(told)] != told:
        yield Finding(file["name"], "lists other members", told, found)
