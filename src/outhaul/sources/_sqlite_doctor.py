"""An examination of a SQLite file: whether it can be read while others write to it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing

from outhaul.errors import SourceAway
from outhaul.sources import Sign
from outhaul.sources._sqlite_library import file_of, read_only

WAL = "Readers and writers wait for each other. Its owner can say: PRAGMA journal_mode = wal."


def examine(url: str, workers: int) -> Iterator[Sign]:  # noqa: ARG001  # one process reads a file, whatever there is
    """Signs, one after the other; SourceAway when the file cannot be read."""
    file = file_of(url)
    try:
        with closing(sqlite3.connect(read_only(file), uri=True)) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            (tables,) = connection.execute(
                "SELECT count(*) FROM sqlite_schema WHERE type IN ('table', 'view')"
            ).fetchone()
    except sqlite3.Error as error:
        raise SourceAway(
            f"The SQLite file {file} cannot be read: {error}.", hint="Is the path right?"
        ) from None
    yield Sign("library", f"SQLite {sqlite3.sqlite_version}")
    yield Sign("file", f"{file}, {file.stat().st_size:,} bytes, {tables} tables and views")
    yield Sign("journal mode", mode, mode == "wal", WAL)
    if mode == "wal":
        yield _beside(os.access(file.parent, os.W_OK))


def _beside(writable: bool) -> Sign:
    cure = "While nobody has the file open, SQLite must be able to make its -shm file beside it."
    return Sign("folder", "can be written" if writable else "cannot be written", writable, cure)


def grants(url: str) -> Iterator[str]:  # noqa: ARG001  # SQLite knows files only
    """Nothing: whoever may read the file may export from it."""
    return iter(())
