"""Whether an output is right: its rows and sums, read by DuckDB, beside those of the database."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg

from bench.measure import Failed
from bench.works import Work

Numbers = tuple[Decimal, ...]


class Checks:
    """The checks of one bench. Files of the very bytes that were right once are right again, and not read again."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._truth: dict[str, Numbers] = {}
        self._right: set[tuple[str, str]] = set()

    def check(self, work: Work, pattern: str, folder: Path) -> None:
        """Failed when the files do not hold what they must."""
        for archive in folder.glob("*.zip"):
            with zipfile.ZipFile(archive) as whole:
                whole.extractall(folder)
        files = sorted(folder.glob(pattern))
        if not files:
            raise Failed(f"has written no {pattern}")
        known = (work.name, _digest(files))
        if known in self._right:
            return
        found, wanted = _read(work, files), self._wanted(work)
        if found != wanted:
            raise Failed(f"has written {_shown(found)}, the database holds {_shown(wanted)}")
        self._right.add(known)

    def _wanted(self, work: Work) -> Numbers:
        """The same for every source: they hold the same rows."""
        if work.rows not in self._truth:
            with psycopg.connect(self._url) as connection:
                found = connection.execute(work.database.encode()).fetchone()
            assert found
            self._truth[work.rows] = tuple(map(Decimal, found))
        return self._truth[work.rows]


def _read(work: Work, files: Sequence[Path]) -> Numbers:
    quoted = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        try:
            row = connection.execute(work.output(f"[{quoted}]")).fetchone()
        except duckdb.Error as error:
            raise Failed(f"has written what cannot be read: {error}") from error
    assert row
    return tuple(Decimal(str(value)) for value in row)


def _digest(files: Sequence[Path]) -> str:
    made = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            made.update(hashlib.file_digest(file, "sha256").digest())
    return made.hexdigest()


def _shown(numbers: Numbers) -> str:
    return ", ".join(map(str, numbers))
