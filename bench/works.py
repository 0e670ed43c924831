"""What is made, as data: each row of the bench with the numbers that its output must have."""

from __future__ import annotations

from dataclasses import dataclass

FLAT, NESTED = "every lineitem", "every order with its customer and its lineitems"
TRUTH = {
    FLAT: "SELECT count(*), count(DISTINCT l_orderkey), sum(l_quantity), sum(l_extendedprice), sum(l_partkey)"
    " FROM lineitem",
    NESTED: "SELECT (SELECT count(*) FROM orders), (SELECT sum(o_totalprice) FROM orders),"
    " (SELECT sum(c_acctbal) FROM orders JOIN customer ON c_custkey = o_custkey),"
    " (SELECT count(*) FROM lineitem), (SELECT sum(l_extendedprice) FROM lineitem)",
}
# Money is cast where it is added: the text decides, not what a reader takes it for.
ADDED = {
    FLAT: "SELECT count(*), count(DISTINCT l_orderkey), sum(CAST(l_quantity AS DECIMAL(15,2))),"
    " sum(CAST(l_extendedprice AS DECIMAL(15,2))), sum(CAST(l_partkey AS BIGINT)) FROM {rows}",
    NESTED: "SELECT count(*), sum(o_totalprice), sum(customer.c_acctbal), sum(len(lineitems)),"
    " sum(list_sum(list_transform(lineitems, lambda line: line.l_extendedprice))) FROM {rows}",
}
MEMBERS = {
    FLAT: "{'l_orderkey': 'VARCHAR', 'l_quantity': 'VARCHAR', 'l_extendedprice': 'VARCHAR', 'l_partkey': 'VARCHAR'}",
    NESTED: "{'o_totalprice': 'DECIMAL(15,2)', 'customer': 'STRUCT(c_acctbal DECIMAL(15,2))',"
    " 'lineitems': 'STRUCT(l_extendedprice DECIMAL(15,2))[]'}",
}
READ = {
    "csv": "read_csv({files}, header = true, all_varchar = true)",
    "ndjson": "read_json({files}, format = 'newline_delimited', maximum_object_size = 100000000, columns = {members})",
    "json": "read_json({files}, format = 'array', maximum_object_size = 100000000, columns = {members})",
    "parquet": "read_parquet({files})",
}


@dataclass(frozen=True, slots=True)
class Work:
    """One thing to be made. `rows`: FLAT or NESTED; `source`: which database it comes from."""

    name: str
    rows: str
    format: str
    compress: str | None = None
    source: str = "postgresql"

    @property
    def title(self) -> str:
        made = {"csv": "CSV", "json": "JSON", "ndjson": "NDJSON", "parquet": "Parquet"}[self.format]
        wrapped = {"gzip": ", gzipped", None: ""}[self.compress]
        of = {"postgresql": "", "uuid": ", random uuid keys", "sqlite": ", from SQLite"}[self.source]
        return f"{self.rows[0].upper()}{self.rows[1:]}: {made}{wrapped}{of}"

    @property
    def suffix(self) -> str:
        return self.format + (".gz" if self.compress else "")

    @property
    def resource(self) -> str:
        return "orders" if self.rows == NESTED else "lineitem"

    @property
    def includes(self) -> tuple[str, ...]:
        return ("customer", "lineitems") if self.rows == NESTED else ()

    @property
    def database(self) -> str:
        """A SELECT of its numbers, rows and sums, for PostgreSQL."""
        return TRUTH[self.rows]

    def output(self, files: str) -> str:
        """A SELECT of the same numbers, for DuckDB over a list of files."""
        rows = READ[self.format].format(files=files, members=MEMBERS[self.rows])
        return ADDED[self.rows].format(rows=rows)


WORKS = {
    work.name: work
    for work in (
        Work("flat-csv", FLAT, "csv"),
        Work("flat-csv-gzip", FLAT, "csv", "gzip"),
        Work("flat-ndjson", FLAT, "ndjson"),
        Work("flat-ndjson-gzip", FLAT, "ndjson", "gzip"),
        Work("parquet", FLAT, "parquet"),
        Work("nested-ndjson", NESTED, "ndjson"),
        Work("nested-ndjson-gzip", NESTED, "ndjson", "gzip"),
        Work("nested-json", NESTED, "json"),
        Work("nested-json-gzip", NESTED, "json", "gzip"),
        Work("uuid-flat-csv", FLAT, "csv", source="uuid"),
        Work("uuid-nested-ndjson", NESTED, "ndjson", source="uuid"),
        Work("sqlite-flat-csv", FLAT, "csv", source="sqlite"),
        Work("sqlite-nested-ndjson", NESTED, "ndjson", source="sqlite"),
    )
}
