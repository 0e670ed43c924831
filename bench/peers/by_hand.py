"""What one writes by hand: cursor, `csv` or `json`, row by row: `python -m bench.peers.by_hand ROW`."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.works import NESTED, WORKS, Work

BATCH = 10_000
ORDERS = "SELECT * FROM orders JOIN customer ON c_custkey = o_custkey ORDER BY o_orderkey"
LINES = "SELECT * FROM lineitem ORDER BY l_orderkey, l_linenumber"
Row = Mapping[str, Any]


def main(work: Work) -> None:
    rows = from_sqlite if work.source == "sqlite" else from_postgresql
    with Path(os.environ["OUT"], f"{work.resource}.{work.suffix}").open("w", newline="") as file:
        if work.format == "csv":
            writer = csv.writer(file)
            for number, row in enumerate(rows("SELECT * FROM lineitem")):
                if not number:
                    writer.writerow(row)
                writer.writerow(row.values())
        else:
            found = nested(rows) if work.rows == NESTED else rows("SELECT * FROM lineitem")
            for row in found:
                file.write(json.dumps(row, default=str) + "\n")


def nested(rows: Callable[[str], Iterator[Row]]) -> Iterator[Row]:
    """Two cursors in the same order, and no query for each row."""
    lines = groupby(rows(LINES), key=lambda line: line["l_orderkey"])
    of, some = next(lines, (None, iter(())))
    for order in rows(ORDERS):
        customer = {name: value for name, value in order.items() if name.startswith("c_")}
        mine = []
        if of == order["o_orderkey"]:
            mine = list(some)
            of, some = next(lines, (None, iter(())))
        own = {name: value for name, value in order.items() if name.startswith("o_")}
        yield own | {"customer": customer, "lineitems": mine}


def from_postgresql(select: str) -> Iterator[Row]:
    import psycopg
    from psycopg.rows import dict_row

    with (
        psycopg.connect(os.environ["URL"], row_factory=dict_row) as connection,
        connection.cursor("rows") as cursor,
    ):
        cursor.itersize = BATCH
        yield from cursor.execute(select)


def from_sqlite(select: str) -> Iterator[Row]:
    connection = sqlite3.connect(os.environ["FILE"])
    cursor = connection.execute(select)
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))
    connection.close()


if __name__ == "__main__":
    main(WORKS[sys.argv[1]])
