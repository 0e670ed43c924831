"""DuckDB with its scanner for PostgreSQL or SQLite: `python -m bench.peers.scanner ROW`."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import duckdb

from bench.works import NESTED, WORKS, Work

THREADS = 2
SELECT_NESTED = """
    SELECT o.*, c AS customer, l.lineitems FROM db.orders o JOIN db.customer c ON c.c_custkey = o.o_custkey
    LEFT JOIN (SELECT l_orderkey, list(l ORDER BY l_linenumber) AS lineitems FROM db.lineitem l GROUP BY l_orderkey) l
    ON l.l_orderkey = o.o_orderkey"""
HOW = {
    "csv": "FORMAT csv, HEADER",
    "ndjson": "FORMAT json",
    "json": "FORMAT json, ARRAY true",
    "parquet": "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1",
}


def main(work: Work) -> None:
    sqlite = work.source == "sqlite"
    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {THREADS}")
        connection.execute(f"LOAD '{extension('sqlite_scanner' if sqlite else 'postgres_scanner')}'")
        url = os.environ["FILE"] if sqlite else os.environ["URL"]
        connection.execute(f"ATTACH '{url}' AS db (TYPE {'sqlite' if sqlite else 'postgres'}, READ_ONLY)")
        select = SELECT_NESTED if work.rows == NESTED else "SELECT * FROM db.lineitem"
        how = HOW[work.format] + (f", COMPRESSION {work.compress}" if work.compress else "")
        target = Path(os.environ["OUT"], f"{work.resource}.{work.suffix}")
        connection.execute(f"COPY ({select}) TO '{target}' ({how})")


def extension(name: str) -> Path:
    """The file of an extension that came as a package."""
    spec = find_spec(f"duckdb_extension_{name}")
    assert spec
    assert spec.origin
    return next(Path(spec.origin).parent.rglob(f"{name}.duckdb_extension"))


if __name__ == "__main__":
    main(WORKS[sys.argv[1]])
