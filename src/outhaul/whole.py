"""What can be downloaded of an export: its files, or one archive of them all and of the manifest that proves them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from outhaul import archive, downloads, manifest
from outhaul.export import Artifact, Fragment
from outhaul.filenames import MANIFEST, safe
from outhaul.layout import Packed, artifact, zipped
from outhaul.ledger import Facts


class Store(Protocol):
    """What is asked of a store; see `stores/__init__.py`."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]: ...


def artifacts(facts: Facts) -> tuple[Artifact, ...]:
    """As the export asks for them."""
    name = facts.plan.archive
    if name is None:
        return downloads.artifacts(facts, numbered=facts.plan.numbered)
    members = [*downloads.packed(facts), _proof(facts)]
    made = artifact(
        zipped(members),
        [text for one in members for text in one.texts],
        export=facts.export.id,
        selection=0,
        format=archive.SUFFIX,
        name=f"{safe(name)}.{archive.SUFFIX}",
        media_type=archive.MEDIA_TYPE,
        rows=sum(counts[""] for counts in facts.counts),
    )
    return (made,)


def _proof(facts: Facts) -> Packed:
    """The manifest of the files as they are once they are taken out: a folder of them can be verified by it."""
    plain = replace(
        facts,
        plan=replace(facts.plan, compress=None, archive=None),
        fragments=tuple(_plain(one) for one in facts.fragments),
    )
    files = downloads.artifacts(plain, numbered=plain.plan.numbered, archived=False)
    text = manifest.to_bytes(manifest.build(plain, files))
    return Packed(MANIFEST, "", [text], deflated=facts.plan.compress is not None)


def _plain(fragment: Fragment) -> Fragment:
    return replace(fragment, length=fragment.raw_length, sha256=fragment.text_sha256 or fragment.sha256)


def hashed(made: Artifact, store: Store, stop: Callable[[], None] = lambda: None) -> Artifact:
    """The artifact with the SHA-1 of its bytes, which are all read for it. `stop` is called at each piece, and raises
    what ends it."""
    known = hashlib.sha1(usedforsecurity=False)
    for piece in downloads.read(made, store):
        stop()
        known.update(piece)
    return replace(made, sha1=known.hexdigest())
