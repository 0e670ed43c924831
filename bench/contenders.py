"""Who runs, as data: each row is one way to do one piece of work, with the very command or request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bench.tpch import COLUMNS
from bench.works import FLAT, NESTED, WORKS, Work

Way = Literal["command", "plane", "service", "uncounted"]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do a work over a number of connections, which Outhaul calls workers.

    `way` "command": `line` is a shell line, which finds its database, OUT and more in its environment; "plane": the
    process that it starts is timed from when it is ready; "service": the body of a request to a running service, and
    "uncounted" to one that counts no rows before it answers. `needs`: programs, or modules after `peers:`, without
    which there is nothing but a row that says so. `files`: where the output lies below OUT.
    """

    work: Work
    name: str
    connections: int
    line: str
    files: str
    needs: tuple[str, ...] = ()
    way: Way = "command"


# One JSON text a line and no CSV quoting: two characters that no JSON text holds take the places of quote and comma.
LINES = "WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"
HOW = {"csv": "WITH (FORMAT csv, HEADER)", "ndjson": LINES, "json": LINES}
LINEITEM = "SELECT * FROM lineitem"
ARRAY = r"{ echo '['; sed '2,$s/^/,/'; echo ']'; }"
SLING = 'sling run --src-conn "$URL?sslmode=disable" --src-stream public.lineitem --tgt-object file://$OUT/lineitem.{to}'
# With how many workers Outhaul makes what, where it is not 2, or 1 for SQLite, which one process reads; and what by
# which ways. All of everything would take half an hour at scale 0.1, and say little more.
PLANE = {"flat-csv": (1, 2, 4), "nested-ndjson": (1, 2, 4), "parquet": (1, 2, 4)}
SERVICE = {"flat-csv": (1, 2, 4), "flat-ndjson-gzip": (), "nested-ndjson-gzip": (), "nested-json": ()}
UNCOUNTED = {"flat-csv", "nested-ndjson"}
COMMAND_LINE = {"flat-csv", "nested-ndjson", "sqlite-flat-csv"}
# Over how many connections the database's own tools make what, where it is not 2.
CONNECTIONS = {
    "flat-csv": (1, 2, 4),
    "nested-ndjson": (1, 2, 4),
    "flat-csv-gzip": (1, 2),
    "uuid-flat-csv": (1, 2),
}


def outhaul(work: Work) -> Iterator[Contender]:
    """The data plane alone, a running service, and the command line from its start."""
    files, needs = f"*.{work.suffix}", (f"format:{work.format}",)
    usual = (1,) if work.source == "sqlite" else (2,)
    for n in PLANE.get(work.name, usual):
        line = f"python -m bench.plane {work.name} --workers {n}"
        yield Contender(work, "Outhaul, data plane alone", n, line, files, needs, "plane")
    for n in SERVICE.get(work.name, usual):
        yield Contender(work, "Outhaul, service", n, request(work), files, needs, "service")
    if work.name in UNCOUNTED:
        name = "Outhaul, service, no count before it answers"
        yield Contender(work, name, *usual, request(work), files, needs, "uncounted")
    if work.name in COMMAND_LINE:
        options = "".join(f" --include {name}" for name in work.includes) + f" --format {work.format}"
        line = f"outhaul export $URL {work.resource} --catalog bench/catalog.toml{options} --part-size $PART_BYTES"
        line += f" --output $OUT --workers {usual[0]}"
        yield Contender(work, "Outhaul, command line", *usual, line, files, (*needs, "outhaul"))


def request(work: Work) -> str:
    """The body of a request for it."""
    asked: dict[str, object] = {
        "resource_type": work.resource,
        "format": work.format,
        "compress": work.compress,
    }
    if work.includes:
        asked["includes"] = list(work.includes)
    return json.dumps({"data": {"type": "exports", "attributes": asked}})


def postgresql(work: Work) -> Iterator[Contender]:
    """The database's own client, over one connection and over as many as Outhaul has workers."""
    if work.format not in HOW:
        return
    name = "psql \\copy" if work.format == "csv" else "JSON made by PostgreSQL"
    if work.compress:
        name += " | gzip -1"
    for n in CONNECTIONS.get(work.name, (2,)):
        line = together(*(copied(work, number, n) for number in range(n)))
        yield Contender(work, name, n, line, f"*.{work.suffix}", ("psql",))


def copied(work: Work, number: int = 0, parts: int = 1) -> str:
    """One of so many parts, as a shell line."""
    file = f"{number + 1}.{work.suffix}"
    if work.rows == NESTED:
        select = nested(
            between("l_orderkey", "KEY", number, parts), between("o_orderkey", "KEY", number, parts)
        )
    elif work.format == "csv":
        select = LINEITEM + f" WHERE {between('ctid', 'BLOCK', number, parts)}" * (parts > 1)
    else:
        where = f" WHERE {between('ctid', 'BLOCK', number, parts)}" * (parts > 1)
        select = f"SELECT row_to_json(l) FROM lineitem l{where}"
    return psql(select, file, HOW[work.format], array=work.format == "json", compress=work.compress)


def psql(select: str, file: str, how: str, *, array: bool = False, compress: str | None = None) -> str:
    piped = [ARRAY] * array + ["gzip -1"] * bool(compress)
    if not piped:
        return f"psql $URL -qc \"\\copy ({select}) TO '$OUT/{file}' {how}\""
    return f'psql $URL -qc "\\copy ({select}) TO STDOUT {how}" | ' + " | ".join(piped) + f" > $OUT/{file}"


def between(column: str, borders: str, number: int, parts: int) -> str:
    """A part's condition; the borders of four parts are in the environment: KEY1 to KEY3, BLOCK1 to BLOCK3."""
    low, high = 4 * number // parts, 4 * (number + 1) // parts
    said = [f"{column} >= '${borders}{low}'"] * (low > 0) + [f"{column} < '${borders}{high}'"] * (high < 4)
    return " AND ".join(said) or "true"


def together(*lines: str) -> str:
    """All commands at the same time, as one shell line that fails when one of them fails."""
    if len(lines) == 1:
        return lines[0]
    started = " ".join(f'{{ {line}; }} & pids+=" $!";' for line in lines)
    return f"{started} for pid in $pids; do wait $pid || exit 1; done"


def nested(lines: str = "true", orders: str = "true") -> str:
    """The faster of two ways tried to write it; the other asked for each order's lineitems by a subquery of its own."""
    return (
        "SELECT row_to_json(x) FROM (SELECT o.*, row_to_json(c) AS customer, l.lines AS lineitems FROM orders o"
        " JOIN customer c ON c.c_custkey = o.o_custkey LEFT JOIN (SELECT l_orderkey,"
        f" json_agg(row_to_json(l) ORDER BY l_linenumber) AS lines FROM lineitem l WHERE {lines} GROUP BY l_orderkey) l"
        f" ON l.l_orderkey = o.o_orderkey WHERE {orders}) x"
    )


def sqlite(work: Work) -> Iterator[Contender]:
    """SQLite's own command line."""
    command = {FLAT: f"sqlite3 -header -csv $FILE '{LINEITEM}'", NESTED: f'sqlite3 $FILE "{objects()}"'}
    name = {FLAT: "sqlite3 -csv", NESTED: "JSON made by sqlite3"}[work.rows]
    out = f"{work.resource}.{work.suffix}"
    yield Contender(work, name, 1, f"{command[work.rows]} > $OUT/{out}", out, ("sqlite3",))


def objects() -> str:
    def made(table: str, *more: str) -> str:
        pairs = [f"'{name}', {name}" for name in COLUMNS[table]]
        return f"json_object({', '.join([*pairs, *more])})"

    lines = f"(SELECT json_group_array({made('lineitem')}) FROM lineitem WHERE l_orderkey = o_orderkey)"
    order = made("orders", f"'customer', {made('customer')}", f"'lineitems', {lines}")
    return f"SELECT {order} FROM orders JOIN customer ON c_custkey = o_custkey"


def peer(work: Work, module: str) -> Contender:
    """A program of `peers`."""
    scanner = (
        "duckdb_extension_sqlite_scanner" if work.source == "sqlite" else "duckdb_extension_postgres_scanner"
    )
    hands = "sqlite3" if work.source == "sqlite" else "psycopg"
    named = {
        "scanner": ("DuckDB, scanner", 2, ("duckdb", scanner)),
        "by_hand": (f"by hand, {hands} and {'csv' if work.format == 'csv' else 'json.dumps'}", 1, (hands,)),
        "orm": ("Django, prefetch" if work.rows == NESTED else "Django, iterator", 1, ("django", "psycopg")),
        "frames": ("polars, connectorx", 2, ("polars", "connectorx", "pyarrow")),
    }
    name, connections, modules = named[module]
    needs = tuple(f"peers:{one}" for one in modules)
    line = f"$PEERS -m bench.peers.{module} {work.name}"
    return Contender(work, name, connections, line, f"{work.resource}.{work.suffix}", needs)


def sling(work: Work) -> Contender:
    to = {"csv": "csv", "ndjson": "jsonl"}[work.format]
    line = SLING.format(to=to) + f" && mv $OUT/lineitem.{to} $OUT/lineitem.{work.suffix}" * (
        to != work.suffix
    )
    return Contender(work, "sling", 1, line, f"lineitem.{work.suffix}", ("sling",))


PEERS = {
    "flat-csv": ("scanner", "by_hand", "orm", "frames"),
    "flat-csv-gzip": ("scanner",),
    "flat-ndjson": ("scanner", "by_hand", "orm", "frames"),
    "parquet": ("scanner", "frames"),
    "nested-ndjson": ("scanner", "by_hand", "orm"),
    "sqlite-flat-csv": ("scanner", "by_hand"),
    "sqlite-nested-ndjson": ("scanner",),
}


def contenders() -> Iterator[Contender]:
    for work in WORKS.values():
        yield from outhaul(work)
        yield from sqlite(work) if work.source == "sqlite" else postgresql(work)
        yield from (peer(work, module) for module in PEERS.get(work.name, ()))
        if work.name in {"flat-csv", "flat-ndjson"}:  # for Parquet it downloads another program
            yield sling(work)


CONTENDERS = tuple(contenders())
