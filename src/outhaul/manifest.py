"""The proof: what was asked, matched, read and written, and every byte of the files; written last, and verified."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from outhaul import plan, readback
from outhaul.dictionary import dictionary, explain
from outhaul.export import Artifact, Export
from outhaul.filenames import MANIFEST
from outhaul.layout import spans
from outhaul.ledger import Done, Facts
from outhaul.readback import Fetch, Finding
from outhaul.tabular import due, lines

__all__ = ["Fetch", "Finding", "build", "own_hash", "to_bytes", "verify", "verify_folder"]

VERSION = 1
PIECE = 1 << 20
OPEN = (  # of a draft, to a tenant that asked in words of its own
    "formats",
    "compress",
    "consistency",
    "profile",
    "delimiter",
    "numbered",
    "archive",
    "sha1",
    "dialect",
    "wire",
)
BINARIES = "files"  # a folder in an archive, of whose content the manifest inside does not tell


def build(facts: Facts, artifacts: Sequence[Artifact]) -> dict[str, Any]:
    """The manifest as JSON-able data. Its own `sha256` finds accidents, not forgers: whoever edits it on purpose can
    compute it anew."""
    export, made = facts.export, facts.plan
    data = {
        "manifest": VERSION,
        "made_by": f"outhaul {version('outhaul')}",
        "export": export.id,
        "tenant": export.tenant,
        "reference": export.reference,
        "request": _request(export),
        "conditions": explain(made),
        "catalog": made.catalog,
        "source": made.source,
        "consistency": export.consistency,
        "instant_at": _time(export.instant_at),
        "created_at": _time(export.created_at),
        "started_at": _time(export.started_at),
        "generation": export.generation,
        "compress": made.compress,
        "selections": [
            {"resource": node.resource, "matched": dict(counts)}
            | ({"fields": dictionary(node)} if node.binary is None else {"binary": True})
            for node, counts in zip(made.selections, facts.counts, strict=True)
        ],
        "parts": _parts(facts),
        "files": [_file(artifact, facts) for artifact in artifacts],
    }
    plain: dict[str, Any] = json.loads(json.dumps(data))
    return plain | {"sha256": own_hash(plain)}


def _request(export: Export) -> dict[str, Any]:
    """The draft. One that was made of the asker's words by a section of the catalog file has in it what only its
    operator knows, so that one tenant is told those words instead, and what the files are like."""
    if export.tenant is None or not export.draft.get("wire"):
        return dict(export.draft)
    return {name: export.draft[name] for name in OPEN if name in export.draft}


def to_bytes(data: Mapping[str, Any]) -> bytes:
    """The manifest as a file: UTF-8, keys sorted."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False, indent=1).encode() + b"\n"


def own_hash(data: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of everything but the hash itself; white space does not count."""
    rest = {name: value for name, value in data.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _parts(facts: Facts) -> list[dict[str, Any]]:
    told = _Told(facts.plan.tenant is None)
    return [
        {
            "part": one.n,
            "selection": one.selection,
            "format": one.format,
            "range": told.range(one.range),
            "attempt": one.attempt,
            "rows": one.rows,
            "related": dict(one.related),
            **_instant(one),
        }
        for one in facts.parts
    ]


def _instant(part: Done) -> dict[str, Any]:
    """Of a part of its own instant: when, and what was counted under it."""
    if part.instant is None:
        return {}
    return {"instant_at": _time(part.instant.at), "matched": dict(part.instant.matched)}


class _Told:
    """How ranges are told: to one tenant only whether they chain, because their ends may be keys of others' rows."""

    def __init__(self, openly: bool) -> None:
        self._openly = openly
        self._secret = secrets.token_bytes(32)  # known to nobody after this, so that no key can be guessed

    def range(self, data: Mapping[str, Any]) -> dict[str, Any]:
        if self._openly or data["by"] == "all":
            return dict(data)
        return {"by": data["by"], **{name: self._hidden(data[name]) for name in ("low", "high", "leaf")}}

    def _hidden(self, value: Any) -> str | None:
        if value is None:
            return None
        return hmac.digest(self._secret, json.dumps(value).encode(), "sha256").hex()[:32]


def _file(artifact: Artifact, facts: Facts) -> dict[str, Any]:
    fragments = {one.key: one for one in facts.fragments}
    segments: list[dict[str, Any]] = []
    related: Counter[str] = Counter()
    for span in spans(artifact.layout):
        segment: dict[str, Any] = {"start": span.start, "length": span.length, "sha256": span.sha256}
        if span.key:
            of = fragments.get(span.key)
            if of is None:  # the directory of an archive
                segments.append(segment)
                continue
            related.update(of.related)
            segment |= {"path": of.path} if of.path else {}
            segment |= {
                "part": of.part,
                "rows": of.rows,
                "raw_length": of.raw_length,
                "crc32": f"{of.crc32:08x}",
            }
        segments.append(segment)
    told = [one["member"] for one in artifact.layout if "member" in one]
    members = [one | {"crc32": f"{one['crc32']:08x}"} for one in told]
    whole = facts.plan.archive is not None
    names = ("name", *(() if whole else ("selection", "format")), "media_type", "length", "raw_length")
    data = {name: getattr(artifact, name) for name in names}
    data |= {"path": artifact.path} if artifact.path else {}
    data |= {"crc32": f"{artifact.crc32:08x}", "segments": segments}
    data |= {} if whole else {"rows": artifact.rows, "related": dict(related)}
    data |= {"sha1": artifact.sha1} if artifact.sha1 else {}
    return data | ({"members": members} if members else {})


def verify_folder(path: Path, *, deep: bool = False) -> tuple[Finding, ...]:
    """The files beside a manifest, given as its path or its folder; other files there are findings, hidden ones not."""
    at = path / MANIFEST if path.is_dir() else path

    def fetch(name: str, start: int, stop: int) -> Iterator[bytes]:
        with (at.parent / name).open("rb") as file:
            file.seek(start)
            while start < stop and (piece := file.read(min(PIECE, stop - start))):
                start += len(piece)
                yield piece

    try:
        text = at.read_bytes()
    except OSError as error:
        return (Finding(at.name, f"cannot be read ({error.strerror})"),)
    names = {one.name for one in at.parent.iterdir() if not one.name.startswith(".")} - {at.name, BINARIES}
    return verify(text, fetch, names=names, deep=deep)


def verify(
    manifest: bytes, fetch: Fetch, *, names: Iterable[str] | None = None, deep: bool = False
) -> tuple[Finding, ...]:
    """All that does not agree: the manifest with itself, and the files with it; nothing when everything does.

    `names`: the files that are there, so that one too many is found. `deep`: count the rows by reading them, too.
    """
    try:
        data = json.loads(manifest)
        return (*_own(data), *readback.files(data, fetch, names, deep=deep))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return (Finding(MANIFEST, f"is no manifest ({type(error).__name__}: {error})"),)


def _own(data: Mapping[str, Any]) -> Iterator[Finding]:
    """What can be said without the files: nothing was edited, and every count agrees with every other."""
    if data["manifest"] != VERSION:
        yield Finding(MANIFEST, "is of another version", VERSION, data["manifest"])
    if data["sha256"] != own_hash(data):
        yield Finding(MANIFEST, "was edited: its SHA-256 does not fit", data["sha256"], own_hash(data))
    held = [one for file in data["files"] for one in _holders(file)]
    for name in {part["format"] for part in data["parts"]} | {one["format"] for one in held}:
        parts = [part for part in data["parts"] if part["format"] == name]
        files = [one for one in held if one["format"] == name]
        read = _counts((part["selection"], {"": part["rows"], **part["related"]}) for part in parts)
        written = _counts(
            (one["selection"], one["related"] if "path" in one else {"": one["rows"], **one["related"]})
            for one in files
        )
        matched = _counts(
            (number, due(one["matched"], name))
            for number, one in enumerate(data["selections"])
            if ("binary" in one) is (name == plan.BINARY)
        )
        yield from _compared("rows read as " + name, matched, read)
        yield from _compared("rows in the files of " + name, matched, written)
    for part in data["parts"]:
        if data["consistency"] == "part":
            yield from _alone(part)
    yield from _ranges(data["parts"])
    yield from (finding for file in data["files"] for finding in _segments(file))


def _holders(file: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What holds rows of one selection in one format: the file, or of an archive of several the members that do."""
    return [file] if "format" in file else [one for one in file["members"] if "format" in one]


def _alone(part: Mapping[str, Any]) -> Iterator[Finding]:
    """A part of its own instant holds what was counted under it."""
    matched, read = due(part["matched"], part["format"]), {"": part["rows"], **part["related"]}
    for path in sorted({*matched, *read}):
        one, other = matched.get(path, 0), read.get(path, 0)
        if one != other:
            yield Finding(MANIFEST, f"rows of part {part['part']}{path and f', {path}'}", one, other)


def _counts(found: Iterable[tuple[int, Mapping[str, int]]]) -> dict[tuple[int, str], int]:
    """Rows by selection and include path."""
    total: Counter[tuple[int, str]] = Counter()
    for selection, counts in found:
        total.update({(selection, path): number for path, number in counts.items()})
    return total


def _compared(
    what: str, expected: Mapping[tuple[int, str], int], found: Mapping[tuple[int, str], int]
) -> Iterator[Finding]:
    for selection, path in sorted({*expected, *found}):
        one, other = expected.get((selection, path), 0), found.get((selection, path), 0)
        if one != other:
            yield Finding(MANIFEST, f"{what}, selection {selection}{path and f', {path}'}", one, other)


def _ranges(parts: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    chains: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for part in parts:
        chains[part["selection"], part["format"], part["range"]["leaf"]].append(part)
    for chain in chains.values():
        ends = [None, *(part["range"]["high"] for part in chain)]
        begins = [*(part["range"]["low"] for part in chain), None]
        for place, (end, begin) in enumerate(zip(ends, begins, strict=True)):
            if end != begin or (end is None and 0 < place < len(chain)):
                number = chain[min(place, len(chain) - 1)]["part"]
                yield Finding(MANIFEST, f"the range of part {number} does not chain", end, begin)


def _segments(file: Mapping[str, Any]) -> Iterator[Finding]:
    at = 0
    for segment in file["segments"]:
        if segment["start"] != at:
            yield Finding(
                file["name"], "a segment does not begin where the one before ends", at, segment["start"]
            )
        at = segment["start"] + segment["length"]
    if at != file["length"]:
        yield Finding(file["name"], "the segments have another length in all", file["length"], at)
    for one in _holders(file):
        yield from _rows(one, file["segments"] if one is file else _within(one, file["segments"]))


def _within(member: Mapping[str, Any], segments: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The segments of an archive that are a member's."""
    begin, end = member["start"], member["start"] + member["length"]
    return [one for one in segments if begin <= one["start"] < end]


def _rows(file: Mapping[str, Any], segments: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    yield from _agree(file, "rows", [file], file["rows"])
    yield from _agree(file, "the segments have another number of rows in all", segments, file["rows"])
    if "members" in file:
        own = lines(file["rows"], file["related"])
        yield from _agree(file, "the members have another number of rows in all", file["members"], own)


def _agree(
    file: Mapping[str, Any], what: str, held: Iterable[Mapping[str, Any]], own: int
) -> Iterator[Finding]:
    """As many rows by include path as the file says, of which `own` are of its selection."""
    told = {**file["related"], "": 0 if "path" in file else own}
    found = Counter({file.get("path", ""): 0})
    for one in held:
        found[one.get("path", "")] += one.get("rows", 0)
    for path, rows in found.items():
        if rows != told.get(path, 0):
            yield Finding(file["name"], f"{what}{path and f', {path}'}", told.get(path, 0), rows)
