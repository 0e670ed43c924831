"""How a SQLite file is read as of one instant: live, from a copy, or held against its writers."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

from outhaul.errors import NoRoom, TooMuch
from outhaul.sources._sqlite_library import Library, file_of

Mode = Literal["live", "copy", "hold"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """`live`: readers and writers do not wait for each other (WAL). `copy`: `url` is that of a private copy, which is
    deleted after the export. `hold`: writers wait as long as the export reads.
    """

    mode: Mode
    url: str


def prepare(url: str, folder: Path, *, copy_bytes: int, hold: bool = False) -> Prepared:
    """Decides by the file's journal mode, which is never changed; a copy is made in `folder`, for its owner only.

    TooMuch for a file above `copy_bytes`, NoRoom for a full disk, each with both numbers in bytes.
    """
    library = Library(file_of(url))
    try:
        if library.fetch("PRAGMA journal_mode")[0][0] == "wal":
            return Prepared("live", url)
        if hold:
            return Prepared("hold", url)
        size = int(
            library.fetch("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")[0][0]
        )
        _refuse(size, copy_bytes, shutil.disk_usage(folder).free)
        return Prepared("copy", f"sqlite:///{_copied(library, folder)}")
    finally:
        library.close()


def _refuse(size: int, limit: int, free: int) -> None:
    cure = "Set the database to WAL (PRAGMA journal_mode = wal)"
    if size > limit:
        raise TooMuch(
            f"The SQLite file holds {size} bytes, is not in WAL mode, and is copied only up to {limit} bytes.",
            hint=f"{cure}, raise the limit, or let the export hold its writers.",
            facts={"value": size, "limit": limit},
        )
    if size > free:
        raise NoRoom(
            f"A copy of the SQLite file takes {size} bytes, and {free} are free.",
            hint=f"{cure}, or make room.",
            facts={"value": size, "limit": free},
        )


def _copied(library: Library, folder: Path) -> Path:
    """VACUUM INTO reads the whole file in one transaction, and writes into an empty file that is there already."""
    path = folder / f"source-{uuid4().hex}.db"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        library.fetch("VACUUM INTO ?", (str(path),))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
