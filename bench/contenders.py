"""Who runs, as data: each row is one way to do one piece of work, with the very command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be made. `database` and `output` are SELECTs of the same numbers: rows and sums in PostgreSQL, and in
    DuckDB over an output's `{files}`."""

    title: str
    database: str
    output: str


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do a work over a number of connections, which Outhaul calls workers.

    `command` is a shell line; it finds URL, OUT, MIDDLE_KEY and MIDDLE_BLOCK in its environment. `needs` is the program
    without which there is nothing but a row that says so. `files` is where the output lies below OUT.
    """

    work: str
    name: str
    connections: int
    needs: str
    command: str
    files: str


WORKS: Mapping[str, Work] = {
    "flat": Work(
        "Flat CSV: every lineitem",
        "SELECT count(*), sum(l_quantity), sum(l_extendedprice), sum(l_orderkey) FROM lineitem",
        "SELECT count(*), sum(l_quantity), sum(l_extendedprice), sum(l_orderkey) FROM read_csv({files}, header = true,"
        " types = {{'l_quantity': 'DECIMAL(15,2)', 'l_extendedprice': 'DECIMAL(15,2)'}})",
    ),
    "nested": Work(
        "Nested NDJSON: every order with its customer and its lineitems",
        "SELECT (SELECT count(*) FROM orders), (SELECT sum(o_totalprice) FROM orders),"
        " (SELECT sum(c_acctbal) FROM orders JOIN customer ON c_custkey = o_custkey),"
        " (SELECT count(*) FROM lineitem), (SELECT sum(l_extendedprice) FROM lineitem)",
        "SELECT count(*), sum(o_totalprice), sum(customer.c_acctbal), sum(len(lineitems)),"
        " sum(list_sum(list_transform(lineitems, lambda line: line.l_extendedprice)))"
        " FROM read_json({files}, format = 'newline_delimited', maximum_object_size = 100000000, columns = {{"
        "'o_totalprice': 'DECIMAL(15,2)', 'customer': 'STRUCT(c_acctbal DECIMAL(15,2))',"
        " 'lineitems': 'STRUCT(l_extendedprice DECIMAL(15,2))[]'}})",
    ),
}

CSV = "WITH (FORMAT csv, HEADER)"
# One JSON text a line and no CSV quoting: two characters that no JSON text holds take the places of quote and comma.
LINES = "WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"


def copied(select: str, file: str, how: str) -> str:
    return f"psql $URL -qc \"\\copy ({select}) TO '$OUT/{file}' {how}\""


def together(first: str, second: str) -> str:
    """Both commands at the same time, as one shell line that fails when one of them fails."""
    return f"{first} & {second}; second=$?; wait $! && exit $second"


def nested(lines: str = "true", orders: str = "true") -> str:
    """The faster of two ways tried to write it; the other asked for each order's lineitems by a subquery of its own."""
    return (
        "SELECT row_to_json(x) FROM (SELECT o.*, row_to_json(c) AS customer, l.lines AS lineitems FROM orders o"
        " JOIN customer c ON c.c_custkey = o.o_custkey LEFT JOIN (SELECT l_orderkey,"
        f" json_agg(row_to_json(l) ORDER BY l_linenumber) AS lines FROM lineitem l WHERE {lines} GROUP BY l_orderkey) l"
        f" ON l.l_orderkey = o.o_orderkey WHERE {orders}) x"
    )


FLAT_EXPORT = "outhaul export $URL lineitem --format csv --output $OUT --workers"
NESTED_EXPORT = (
    "outhaul export $URL orders --catalog bench/catalog.toml --include customer --include lineitems"
    " --format ndjson --output $OUT --workers"
)
LINEITEM = "SELECT * FROM lineitem"

CONTENDERS: tuple[Contender, ...] = (
    *(Contender("flat", "Outhaul", n, "outhaul", f"{FLAT_EXPORT} {n}", "lineitem.csv") for n in (1, 2)),
    Contender("flat", "psql \\copy", 1, "psql", copied(LINEITEM, "lineitem.csv", CSV), "lineitem.csv"),
    Contender(
        "flat",
        "psql \\copy",
        2,
        "psql",
        together(
            copied(f"{LINEITEM} WHERE ctid < '($MIDDLE_BLOCK,0)'", "1.csv", CSV),
            copied(f"{LINEITEM} WHERE ctid >= '($MIDDLE_BLOCK,0)'", "2.csv", CSV),
        ),
        "*.csv",
    ),
    *(Contender("nested", "Outhaul", n, "outhaul", f"{NESTED_EXPORT} {n}", "orders.ndjson") for n in (1, 2)),
    Contender(
        "nested", "JSON made by PostgreSQL", 1, "psql", copied(nested(), "orders.ndjson", LINES), "*.ndjson"
    ),
    Contender(
        "nested",
        "JSON made by PostgreSQL",
        2,
        "psql",
        together(
            copied(nested("l_orderkey < $MIDDLE_KEY", "o_orderkey < $MIDDLE_KEY"), "1.ndjson", LINES),
            copied(nested("l_orderkey >= $MIDDLE_KEY", "o_orderkey >= $MIDDLE_KEY"), "2.ndjson", LINES),
        ),
        "*.ndjson",
    ),
)
