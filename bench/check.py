"""Whether an output is right: its rows and sums, read by DuckDB, beside those of the database."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg

from bench.contenders import Contender, Work
from bench.measure import Failed

Numbers = tuple[Decimal, ...]


def truth(url: str, work: Work) -> Numbers:
    with psycopg.connect(url) as connection:
        found = connection.execute(work.database.encode()).fetchone()
    assert found
    return tuple(map(Decimal, found))


def check(contender: Contender, work: Work, folder: Path, wanted: Numbers) -> None:
    """Failed when the files do not hold what they must."""
    files = sorted(map(str, folder.glob(contender.files)))
    if not files:
        raise Failed(f"has written no {contender.files}")
    quoted = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        row = connection.execute(work.output.format(files=f"[{quoted}]")).fetchone()
    assert row
    found = tuple(Decimal(str(value)) for value in row)
    if found != wanted:
        raise Failed(f"has written {_shown(found)}, the database holds {_shown(wanted)}")


def _shown(numbers: Numbers) -> str:
    return ", ".join(map(str, numbers))
