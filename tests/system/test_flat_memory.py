"""Memory does not grow with the data: not with rows, not with their size, not with what hangs on them."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.postgres import Server
from tests.system import _outhaul
from tests.system._outhaul import Asker, Service
from tests.system.conftest import SOURCES

LIMIT = 400_000_000  # bytes, over all processes, with one worker
# A row of 130 MB must be whole to become Parquet, and is once more while its pages are made (see "Formats").
WHOLE = {"parquet": 600_000_000}
TICK = 0.05  # seconds between two looks


@dataclass
class Watch:
    """Looks again and again at what all processes of a service hold together; shared pages count once."""

    service: Service
    peak: int = 0
    looks: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        while not self._done.wait(TICK):
            total = sum(_pss(each.pid) for each in self.service.family())
            self.peak = max(self.peak, total)
            self.looks += 1


def _pss(pid: int) -> int:
    """Proportional set size in bytes; 0 for a process that has just ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


@contextlib.contextmanager
def watched(service: Service) -> Iterator[Watch]:
    watch = Watch(service)
    thread = threading.Thread(target=watch.look)
    thread.start()
    try:
        yield watch
    finally:
        watch._done.set()
        thread.join()
    assert watch.looks > 3, "it was over too soon to see anything"


def peak_of(url: str, home: Path, resource: str, form: str, **attributes: object) -> int:
    """Most memory that a fresh service with one worker holds while it makes one export, in bytes."""
    with _outhaul.serving(url, home, workers=1) as service:
        asker = service.asker()
        with watched(service) as watch:
            export_id = asker.create(resource, form, **attributes)
            asker.finish(export_id, patience=1500)
            drain(asker, export_id)
    print(f"{resource} {form}: {watch.peak / 1e6:.0f} MB")
    return watch.peak


def drain(asker: Asker, export_id: str) -> int:
    """Download without keeping; the service's memory while it sends counts too. Gives the length."""
    length = 0
    with asker.service.client.stream("GET", asker.link(export_id)) as answer:
        assert answer.status_code == 200
        for chunk in answer.iter_raw():
            length += len(chunk)
    return length


POSTGRES = {
    "rows": """
CREATE TABLE {0} AS SELECT n AS id, md5(n::text) AS a, repeat(md5((n * 7)::text), 4) AS b, n * 1.5 AS c
FROM generate_series(1, {1}) n;
ALTER TABLE {0} ADD PRIMARY KEY (id)""",
    "giants": """
CREATE TABLE {0} AS SELECT n AS id, repeat(E'"quoted", \\n', 1000000) AS b FROM generate_series(1, {1}) n;
ALTER TABLE {0} ADD PRIMARY KEY (id)""",
    "family": """
CREATE TABLE {0} (id integer PRIMARY KEY, name text);
INSERT INTO {0} SELECT n, 'p' FROM generate_series(1, {1}) n;
CREATE TABLE {0}_children (id integer PRIMARY KEY, parent_id integer NOT NULL REFERENCES {0}, b text);
INSERT INTO {0}_children SELECT n, 1 + (n - 1) / {2}, repeat('c', {3}) FROM generate_series(1, {1} * {2}) n;
CREATE INDEX ON {0}_children (parent_id)""",
}
SQLITE = {
    "rows": """
CREATE TABLE {0} (id INTEGER PRIMARY KEY, a TEXT, b TEXT, c REAL);
INSERT INTO {0} WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {1})
SELECT n, hex(n * 1000003), printf('%0130d', n), n * 1.5 FROM n""",
    "giants": """
CREATE TABLE {0} (id INTEGER PRIMARY KEY, b TEXT);
INSERT INTO {0} WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {1})
SELECT n, replace(hex(zeroblob(500000)), '0', '"quoted",' || char(10)) FROM n""",
    "family": """
CREATE TABLE {0} (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO {0} WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {1}) SELECT n, 'p' FROM n;
CREATE TABLE {0}_children (id INTEGER PRIMARY KEY, parent_id INTEGER NOT NULL REFERENCES {0} (id), b TEXT);
INSERT INTO {0}_children WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {1} * {2})
SELECT n, 1 + (n - 1) / {2}, printf('%.*c', {3}, 'c') FROM n;
CREATE INDEX {0}_index ON {0}_children (parent_id)""",
}


@pytest.fixture(params=SOURCES or ["postgresql"])
def make(request: pytest.FixtureRequest, postgres_server: Server, tmp_path: Path) -> Iterator[Maker]:
    if request.param == "sqlite":
        yield Maker(f"sqlite:///{tmp_path}/big.db")
    else:
        with postgres_server.database(f"big_{uuid4().hex}") as url:
            yield Maker(url)


@dataclass
class Maker:
    """Makes tables of a kind: `rows` of 170 bytes, `giants` of about 10 MB, a `family` of parents and children."""

    url: str

    def __call__(self, kind: str, name: str, *numbers: int) -> str:
        if self.url.startswith("sqlite"):
            connection = sqlite3.connect(self.url.removeprefix("sqlite:///"))
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(SQLITE[kind].format(name, *numbers))
            connection.execute("ANALYZE")
            connection.close()
        else:
            with psycopg.connect(self.url, autocommit=True) as opened:
                opened.execute(POSTGRES[kind].format(name, *numbers))
                opened.execute("ANALYZE")
        return name


@pytest.mark.timeout(300)
def test_four_times_the_rows_take_the_same_memory(make: Maker, tmp_path: Path) -> None:
    sizes = {name: make("rows", name, count) for name, count in (("small", 200_000), ("large", 800_000))}
    peaks = {name: peak_of(make.url, tmp_path / name, table, "ndjson") for name, table in sizes.items()}
    assert peaks["large"] < LIMIT
    assert peaks["large"] < 1.2 * peaks["small"], peaks


def test_rows_of_ten_megabytes_fit(any_form: str, make: Maker, tmp_path: Path) -> None:
    assert peak_of(make.url, tmp_path / "service", make("giants", "giants", 6), any_form) < LIMIT


@pytest.mark.timeout(300)
def test_one_parent_with_very_many_children_fits(any_form: str, make: Maker, tmp_path: Path) -> None:
    make("family", "clan", 1, 250_000, 100)
    assert peak_of(make.url, tmp_path / "service", "clan", any_form, includes=["clan_children"]) < LIMIT


@pytest.mark.timeout(300)
def test_parents_with_a_megabyte_of_children_each_fit(make: Maker, tmp_path: Path) -> None:
    make("family", "clan", 200, 10, 100_000)
    assert peak_of(make.url, tmp_path / "service", "clan", "json", includes=["clan_children"]) < LIMIT


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_one_parent_with_a_million_children_fits(form: str, make: Maker, tmp_path: Path) -> None:
    make("family", "clan", 1, 1_000_000, 100)
    peak = peak_of(make.url, tmp_path / "service", "clan", form, includes=["clan_children"])
    assert peak < WHOLE.get(form, LIMIT)


@pytest.mark.heavy
@pytest.mark.timeout(3600)
def test_twenty_thousand_parents_with_a_megabyte_each_fit(postgres_url: str, tmp_path: Path) -> None:
    Maker(postgres_url)("family", "clan", 20_000, 10, 100_000)
    assert peak_of(postgres_url, tmp_path / "service", "clan", "json", includes=["clan_children"]) < LIMIT


# TPC-H with the names of a shop, so that its relationships have names too.
TPCH = """
CREATE TABLE customers (id bigint PRIMARY KEY, name text, address text, nation integer, phone text,
    balance numeric(15,2), segment text, comment text);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL, status text, total numeric(15,2),
    ordered_on date, priority text, clerk text, ship_priority integer, comment text);
CREATE TABLE line_items (order_id bigint NOT NULL, part bigint, supplier bigint, number integer,
    quantity numeric(15,2), price numeric(15,2), discount numeric(15,2), tax numeric(15,2), returned text,
    status text, shipped_on date, committed_on date, received_on date, instruction text, mode text, comment text);
"""
TPCH_KEYS = """
ALTER TABLE line_items ADD PRIMARY KEY (order_id, number);
ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE line_items ADD FOREIGN KEY (order_id) REFERENCES orders;
"""
TPCH_TABLES = {"customer": "customers", "orders": "orders", "lineitem": "line_items"}


def load_tpch(url: str, folder: Path, scale: float) -> None:
    program = Path(sys.executable).with_name("tpchgen-cli")
    tables = ",".join(TPCH_TABLES)
    asked = [str(program), "csv", "-s", str(scale), f"--output-dir={folder}", f"--tables={tables}"]
    subprocess.run(asked, check=True, capture_output=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TPCH)
        for file, table in TPCH_TABLES.items():
            copy_in = sql.SQL("COPY {} FROM STDIN (FORMAT csv, HEADER)").format(sql.Identifier(table))
            with (folder / f"{file}.csv").open("rb") as rows, connection.cursor().copy(copy_in) as copy:
                while chunk := rows.read(1 << 20):
                    copy.write(chunk)
        connection.execute(TPCH_KEYS)
        connection.execute("ANALYZE")


@pytest.mark.heavy
@pytest.mark.timeout(3600)
def test_ten_times_the_orders_take_the_same_memory(
    form: str, postgres_server: Server, tmp_path: Path
) -> None:
    peaks = {}
    for scale in (0.1, 1):
        with postgres_server.database(f"tpch_{uuid4().hex}") as url:
            load_tpch(url, tmp_path / f"tpch-{scale}", scale)
            home = tmp_path / f"service-{scale}"
            flat = peak_of(url, home / "flat", "line_items", form)
            nested = peak_of(url, home / "nested", "orders", form, includes=["customer", "line_items"])
            peaks[scale] = (flat, nested)
    for small, large in zip(peaks[0.1], peaks[1], strict=True):
        assert large < LIMIT
        assert large < 1.2 * small, peaks
