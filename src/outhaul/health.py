"""Whether everything is well between Outhaul, the source and the disk: what the doctor and the console look at."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from outhaul import binaries, siblings, sources
from outhaul.catalog import TENANT, Catalog
from outhaul.errors import OuthaulError, StoreError
from outhaul.sources import Sign

__all__ = ["Body", "Sign", "examine", "examined", "origins_of"]

STANDS_ON = ("pyarrow", "sqlalchemy", "asyncpg", "adbc-driver-sqlite", "isal")


@dataclass(frozen=True, slots=True)
class Body:
    """What is examined. `url`: of the source, its secret included; `state`: the state folder; `min_free`: bytes of disk
    below which exports are refused."""

    url: str
    catalog: Catalog
    workers: int
    state: Path
    min_free: int


def examine(body: Body) -> Iterator[Sign]:
    """Signs, one after the other; raises what the source does when there is no way to it."""
    yield from siblings.load(sources, body.catalog.source).examine(body.url, body.workers)
    yield from _beside(body)


def examined(body: Body) -> tuple[Sign, ...]:
    """The same, where a source that there is no way to is a sign, too."""
    try:
        return tuple(examine(body))
    except OuthaulError as error:
        return (Sign("source", error.message, False, error.hint), *_beside(body))


def _beside(body: Body) -> Iterator[Sign]:
    """The signs that need no source."""
    offered, hidden = len(body.catalog.resources), len(body.catalog.hidden)
    yield Sign("resources", f"{offered} offered, {hidden} tables and fields hidden")
    yield from _disk(body.state.absolute(), body.min_free)
    stands_on = ", ".join(f"{name} {version(name)}" for name in STANDS_ON)
    yield Sign("versions", f"outhaul {version('outhaul')}, Python {platform.python_version()}, {stands_on}")


def origins_of(catalog: Catalog) -> Iterator[Sign]:
    """Of each place where binaries of rows lie, whether it can be read; of tenants' own, the place above them."""
    found = {one.binary.place.partition(TENANT)[0] for one in catalog.resources.values() if one.binary}
    for place in sorted(filter(None, found)):
        try:
            binaries.origin(place).look()
        except StoreError as error:
            yield Sign("binaries", error.message, False, error.hint)
        else:
            yield Sign("binaries", f"{place} can be read")


def _disk(folder: Path, min_free: int) -> Iterator[Sign]:
    place = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(place).free
    cure = f"Exports are refused below {min_free:,} bytes."
    yield Sign("disk", f"{free:,} bytes free for {folder}", free >= min_free, cure)
    if folder.exists():
        private = not folder.stat().st_mode & 0o077
        yield Sign("state folder", "private" if private else "open to others", private, f"chmod 700 {folder}")
