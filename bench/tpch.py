"""The bench's data: TPC-H in a PostgreSQL server of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg

GENERATOR = Path(sys.executable).with_name("tpchgen-cli")
SCHEMA = """
CREATE TABLE customer (
    c_custkey bigint, c_name varchar(25) NOT NULL, c_address varchar(40) NOT NULL, c_nationkey integer NOT NULL,
    c_phone char(15) NOT NULL, c_acctbal numeric(15,2) NOT NULL, c_mktsegment char(10) NOT NULL,
    c_comment varchar(117) NOT NULL);
CREATE TABLE orders (
    o_orderkey bigint, o_custkey bigint NOT NULL, o_orderstatus char(1) NOT NULL, o_totalprice numeric(15,2) NOT NULL,
    o_orderdate date NOT NULL, o_orderpriority char(15) NOT NULL, o_clerk char(15) NOT NULL,
    o_shippriority integer NOT NULL, o_comment varchar(79) NOT NULL);
CREATE TABLE lineitem (
    l_orderkey bigint, l_partkey bigint NOT NULL, l_suppkey bigint NOT NULL, l_linenumber integer,
    l_quantity numeric(15,2) NOT NULL, l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL,
    l_tax numeric(15,2) NOT NULL, l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL,
    l_shipdate date NOT NULL, l_commitdate date NOT NULL, l_receiptdate date NOT NULL,
    l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL, l_comment varchar(44) NOT NULL);
"""
KEYS = """
ALTER TABLE customer ADD PRIMARY KEY (c_custkey);
ALTER TABLE orders ADD PRIMARY KEY (o_orderkey);
ALTER TABLE lineitem ADD PRIMARY KEY (l_orderkey, l_linenumber);
ALTER TABLE orders ADD FOREIGN KEY (o_custkey) REFERENCES customer;
ALTER TABLE lineitem ADD FOREIGN KEY (l_orderkey) REFERENCES orders;
VACUUM ANALYZE;
CHECKPOINT;
"""
TABLES = ("customer", "orders", "lineitem")


def load(url: str, scale: float) -> dict[str, int]:
    """Makes the three tables, with keys, and returns their rows."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        for table in TABLES:
            _fill(connection, table, scale)
        for statement in filter(str.strip, KEYS.split(";")):
            connection.execute(statement.encode())
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() for table in TABLES
        }
    return {table: row[0] for table, row in counts.items() if row}


def _fill(connection: psycopg.Connection, table: str, scale: float) -> None:
    command = [str(GENERATOR), "csv", "--scale-factor", str(scale), "--tables", table, "--stdout"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as generator,
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} FROM STDIN WITH (FORMAT csv, HEADER)".encode()) as copy,
    ):
        assert generator.stdout
        while data := generator.stdout.read(1 << 20):
            copy.write(data)
    if generator.returncode:
        raise RuntimeError(f"tpchgen-cli ended with {generator.returncode}")
