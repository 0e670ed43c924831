"""What can be downloaded of an export: its files, or one archive of them all and of the manifest that proves them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

from outhaul import archive, binaries, downloads, manifest
from outhaul.export import Artifact, Fragment
from outhaul.filenames import DIRECTORY, MANIFEST, safe
from outhaul.layout import Layout, Packed, artifact, framed, layout, literal, zipped
from outhaul.ledger import Facts
from outhaul.plan import BINARY


class Store(Protocol):
    """What is asked of a store; see `stores/__init__.py`."""

    def put(self, key: str, chunks: Iterable[bytes]) -> int: ...
    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]: ...


def artifacts(facts: Facts, store: Store) -> tuple[Artifact, ...]:
    """As the export asks for them. What an archive of binaries says of them is put into the store."""
    name = facts.plan.archive
    if name is None:
        return downloads.artifacts(facts, numbered=facts.plan.numbered)
    copied = [one for one in facts.fragments if one.format == BINARY]
    members = [*downloads.packed(facts), _proof(facts)]
    objects = [one for one in copied if not one.path]
    made = artifact(
        _with_binaries(facts, members, copied, store) if copied else zipped(members),
        [*(text for one in members for text in one.texts), *objects],
        export=facts.export.id,
        selection=0,
        format=archive.SUFFIX,
        name=f"{safe(name)}.{archive.SUFFIX}",
        media_type=archive.MEDIA_TYPE,
        rows=sum(counts[""] for counts in facts.counts),
    )
    return (made,)


def _with_binaries(
    facts: Facts, members: Sequence[Packed], copied: Sequence[Fragment], store: Store
) -> Layout:
    """The files, the binaries as they lie in their objects, and a directory that is an object of its own."""
    made, listed, at = framed(members)
    objects = [one for one in copied if not one.path]
    told = [one for one in copied if one.path == binaries.NAMES]
    begins = [at + sum(one.length for one in objects[:n]) for n in range(len(objects) + 1)]
    count, directory = len(listed), _Counted()

    def chunks() -> Iterator[bytes]:
        nonlocal count
        yield archive.records(listed, [begin for _, begin in archive.headers(listed)])
        names = ((begin, store.read(one.key)) for begin, one in zip(begins, told, strict=False))
        for some, places in binaries.directory(names):
            count += len(some)
            yield archive.records(some, places)

    key = f"{facts.export.id}/{DIRECTORY}{secrets.token_hex(4)}.{archive.SUFFIX}"
    store.put(key, directory.through(chunks()))
    stretch = {"key": key, "length": directory.length, "sha256": directory.sha256.hexdigest()}
    ending = archive.ending(count, directory.length, begins[-1])
    return (*made, *_regions(facts, objects, at), stretch, literal(ending))


class _Counted:
    """What is known of bytes on their way."""

    def __init__(self) -> None:
        self.length = 0
        self.sha256 = hashlib.sha256()

    def through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.length += len(chunk)
            self.sha256.update(chunk)
            yield chunk


def _regions(facts: Facts, objects: Sequence[Fragment], at: int) -> Iterator[dict[str, Any]]:
    """The stretches of binaries; before those of a selection it is told of them as of one member, stored as it is."""
    for selection, form in facts.plan.written:
        mine = [one for one in objects if one.selection == selection]
        if form != BINARY or not mine:
            continue
        packed = Packed(f"{binaries.FOLDER}/", "", mine, deflated=False, of=(selection, form))
        told = asdict(packed.member()) | {"start": at} | packed.told()
        yield literal(b"") | {"member": told}
        yield from layout(mine)
        at += packed.member().length


def _proof(facts: Facts) -> Packed:
    """The manifest of the files as they are once they are taken out: a folder of them can be verified by it. Of
    binaries it does not tell."""
    kept = {
        n: new for new, n in enumerate(n for n, one in enumerate(facts.plan.selections) if one.binary is None)
    }
    plain = replace(
        facts,
        plan=replace(
            facts.plan,
            selections=tuple(facts.plan.selections[n] for n in kept),
            compress=None,
            archive=None,
        ),
        counts=[facts.counts[n] for n in kept],
        parts=tuple(
            replace(one, selection=kept[one.selection]) for one in facts.parts if one.selection in kept
        ),
        fragments=tuple(_plain(one, kept[one.selection]) for one in facts.fragments if one.selection in kept),
    )
    files = downloads.artifacts(plain, numbered=plain.plan.numbered, archived=False)
    text = manifest.to_bytes(manifest.build(plain, files))
    return Packed(MANIFEST, "", [text], deflated=facts.plan.compress is not None)


def _plain(fragment: Fragment, selection: int) -> Fragment:
    known = fragment.text_sha256 or fragment.sha256
    return replace(fragment, selection=selection, length=fragment.raw_length, sha256=known)


def hashed(made: Artifact, store: Store, stop: Callable[[], None] = lambda: None) -> Artifact:
    """The artifact with the SHA-1 of its bytes, which are all read for it. `stop` is called at each piece, and raises
    what ends it."""
    known = hashlib.sha1(usedforsecurity=False)
    for piece in downloads.read(made, store):
        stop()
        known.update(piece)
    return replace(made, sha1=known.hexdigest())
