"""The bench's data: TPC-H in PostgreSQL, the same with random uuid keys, and the same in SQLite."""

from __future__ import annotations

import csv
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BufferedReader, TextIOWrapper
from itertools import islice
from pathlib import Path

import psycopg

GENERATOR = Path(sys.executable).with_name("tpchgen-cli")
BATCH = 10_000  # rows that are given to SQLite at a time
COLUMNS = {
    "customer": {
        "c_custkey": "{key}",
        "c_name": "varchar(25)",
        "c_address": "varchar(40)",
        "c_nationkey": "integer",
        "c_phone": "char(15)",
        "c_acctbal": "numeric(15,2)",
        "c_mktsegment": "char(10)",
        "c_comment": "varchar(117)",
    },
    "orders": {
        "o_orderkey": "{key}",
        "o_custkey": "{key}",
        "o_orderstatus": "char(1)",
        "o_totalprice": "numeric(15,2)",
        "o_orderdate": "date",
        "o_orderpriority": "char(15)",
        "o_clerk": "char(15)",
        "o_shippriority": "integer",
        "o_comment": "varchar(79)",
    },
    "lineitem": {
        "l_orderkey": "{key}",
        "l_partkey": "bigint",
        "l_suppkey": "bigint",
        "l_linenumber": "integer",
        "l_quantity": "numeric(15,2)",
        "l_extendedprice": "numeric(15,2)",
        "l_discount": "numeric(15,2)",
        "l_tax": "numeric(15,2)",
        "l_returnflag": "char(1)",
        "l_linestatus": "char(1)",
        "l_shipdate": "date",
        "l_commitdate": "date",
        "l_receiptdate": "date",
        "l_shipinstruct": "char(25)",
        "l_shipmode": "char(10)",
        "l_comment": "varchar(44)",
    },
}
KEYS = {"customer": "c_custkey", "orders": "o_orderkey", "lineitem": "l_orderkey, l_linenumber"}
REFERENCES = {
    "orders": "FOREIGN KEY (o_custkey) REFERENCES customer",
    "lineitem": "FOREIGN KEY (l_orderkey) REFERENCES orders",
}
RANDOM = "md5({name}::text)::uuid"  # as random as any, and the same for a key and what refers to it


def load(url: str, scale: float) -> dict[str, int]:
    """Makes the three tables, with keys, and returns their rows."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in COLUMNS:
            connection.execute(_create(table, "bigint", keyed=False).encode())
            with (
                _generated(table, scale) as rows,
                connection.cursor().copy(
                    f"COPY {table} FROM STDIN WITH (FORMAT csv, HEADER)".encode()
                ) as copy,
            ):
                while data := rows.read(1 << 20):
                    copy.write(data)
        _finish(connection)
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
            for table in COLUMNS
        }
    return {table: row[0] for table, row in counts.items() if row}


def load_uuids(url: str, target: str) -> None:
    """The rows of one database in another, in the same order, with uuids for keys."""
    with psycopg.connect(url) as source, psycopg.connect(target, autocommit=True) as connection:
        for table, columns in COLUMNS.items():
            connection.execute(_create(table, "uuid", keyed=False).encode())
            names = ", ".join(
                RANDOM.format(name=name) if kind == "{key}" else name for name, kind in columns.items()
            )
            with (
                source.cursor().copy(f"COPY (SELECT {names} FROM {table}) TO STDOUT".encode()) as rows,
                connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy,
            ):
                for data in rows:
                    copy.write(data)
        _finish(connection)


def load_sqlite(path: Path, scale: float) -> None:
    """The tables in a SQLite file in WAL mode, so that it can be read while others write."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        for table, columns in COLUMNS.items():
            connection.execute(_create(table, "bigint", keyed=True))
            insert = f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})"
            with _generated(table, scale) as rows, connection:
                found = csv.reader(TextIOWrapper(rows, newline=""))
                next(found)
                while batch := list(islice(found, BATCH)):
                    connection.executemany(insert, batch)
        connection.execute("ANALYZE")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _create(table: str, key: str, *, keyed: bool) -> str:
    """`keyed`: with its keys at once, which only SQLite asks for."""
    lines = [f"{name} {kind.format(key=key)} NOT NULL" for name, kind in COLUMNS[table].items()]
    if keyed:
        lines += [f"PRIMARY KEY ({KEYS[table]})", *filter(None, [REFERENCES.get(table)])]
    return f"CREATE TABLE {table} ({', '.join(lines)})"


def _finish(connection: psycopg.Connection) -> None:
    for table, key in KEYS.items():
        connection.execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({key})".encode())
    for table, reference in REFERENCES.items():
        connection.execute(f"ALTER TABLE {table} ADD {reference}".encode())
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")


@contextmanager
def _generated(table: str, scale: float) -> Iterator[BufferedReader]:
    """The table as CSV with a header."""
    command = [str(GENERATOR), "csv", "--scale-factor", str(scale), "--tables", table, "--stdout"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as generator:
        assert isinstance(generator.stdout, BufferedReader)
        yield generator.stdout
    if generator.returncode:
        raise RuntimeError(f"tpchgen-cli ended with {generator.returncode}")
