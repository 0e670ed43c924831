"""A house to be shaken: a source, a ledger, a store, services as real processes, and what came out at the end."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pyarrow as pa
from pyarrow import parquet

from outhaul import downloads, formats, plan, reconcile, siblings, sources, stores
from outhaul.catalog import Binary, Catalog
from outhaul.export import Caller, Draft, Export, Selection, Status
from outhaul.filenames import DIRECTORY
from outhaul.ledger import Ledger, Terms

TERMS = Terms(
    lease=timedelta(seconds=2),
    delivery=timedelta(seconds=3),
    attempts=1000,
    pause=timedelta(seconds=0.05),
    orphaned=timedelta(0),
)
CALLER = Caller("ann", "Ann", None, all_tenants=True)
COMPRESSIONS = {name: formats.compressions(siblings.load(formats, name)) for name in siblings.names(formats)}
ORDERS, LINES = 3_000, 9_000
COPIED, KEPT = 3_000, 40  # lines of which the file is wanted; files that they name, and one that is large
PATIENCE = 60.0
SHOP = (
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT)",
    (
        "CREATE TABLE line_items "
        "(id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders, sku TEXT, file TEXT)"
    ),
    "CREATE INDEX line_items_order_id ON line_items (order_id)",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Orders with their lines, in what is asked for in one export. `nested`: how the lines stand in CSV; `binaries`:
    with the files of some lines."""

    formats: tuple[str, ...]
    compress: str | None = None
    nested: Mapping[str, str] = field(default_factory=dict)
    archive: str | None = None
    binaries: bool = False

    @property
    def rows(self) -> int:
        return ORDERS + COPIED * self.binaries

    def draft(self, part_bytes: int) -> Draft:
        orders = Selection("orders", includes=("line_items",), nested=self.nested)
        files = Selection("line_items", filters={"id_lteq": COPIED}, binaries=True)
        return Draft(
            (orders, files) if self.binaries else (orders,),
            formats=self.formats,
            compress=self.compress,
            part_bytes=part_bytes,
            archive=self.archive,
            sha1=self.archive is not None,
        )


WANTED = {
    "text": Wanted(("csv", "json", "ndjson")),
    "files": Wanted(("csv", "parquet"), nested={"line_items": "files"}),
    "gzip": Wanted(("csv", "json", "parquet"), "gzip", {"line_items": "files"}),
    "zstd": Wanted(("csv", "ndjson", "parquet"), "zstd"),
    "archive": Wanted(("csv", "json"), "gzip", archive="everything"),
    "binaries": Wanted(("csv", "json"), "gzip", archive="everything", binaries=True),
}


def until(true: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    begun = time.monotonic()
    while not (value := true()):
        waited = time.monotonic() - begun
        assert waited < patience, f"not in {patience} s: {what}"
        time.sleep(min(0.01 + waited / 50, 0.1))  # to look costs time that the workers could use
    return value


def rows() -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    orders = [(n, f"note {n} " + "x" * 80) for n in range(1, ORDERS + 1)]
    files = {COPIED // 2: "large"}
    lines = [(n, (n + 2) // 3, f"sku {n}", f"below/{files.get(n, n % KEPT)}") for n in range(1, LINES + 1)]
    return orders, lines


def fill_sqlite(folder: Path) -> str:
    with contextlib.closing(sqlite3.connect(folder / "shop.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in SHOP:
            connection.execute(statement)
        orders, lines = rows()
        connection.executemany("INSERT INTO orders VALUES (?, ?)", orders)
        connection.executemany("INSERT INTO line_items VALUES (?, ?, ?, ?)", lines)
        connection.commit()
    return f"sqlite:///{folder / 'shop.db'}"


def fill_postgresql(url: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in SHOP:
            connection.execute(statement)
        for table, values in zip(("orders", "line_items"), rows(), strict=True):
            with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                for row in values:
                    copy.write_row(row)
        connection.execute("VACUUM ANALYZE")
    return url


def fill_folder(folder: Path) -> None:
    (folder / "below").mkdir(parents=True, exist_ok=True)
    for n in range(KEPT):
        (folder / "below" / str(n)).write_bytes(b"%d " % n * n)
    (folder / "below" / "large").write_bytes(b"large " * 4_000_000)


@dataclass
class House:
    """`wanted`: what all exports ask for, by its name; `environment` is added to that of the next service started."""

    folder: Path
    source: str
    ledger_url: str
    environment: dict[str, str] = field(default_factory=dict)
    part_bytes: int = 60_000
    wanted: str = "text"
    services: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.ledger_url, TERMS)
        self.ledger.migrate()
        self.store = siblings.load(stores, "file").open_store(self.store_url)
        if WANTED[self.wanted].binaries:
            fill_folder(self.folder / "kept")

    @property
    def store_url(self) -> str:
        return f"file://{self.folder / 'objects'}"

    @property
    def kind(self) -> str:
        return self.source.partition(":")[0]

    def failpoint(self, wanted: str) -> None:
        """One process will reach it, once."""
        self.environment["OUTHAUL_FAILPOINT"] = f"{wanted}@{self.folder / 'reached'}"

    def reached(self) -> bool:
        return (self.folder / "reached").exists()

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.service"],
            cwd=Path(__file__).parents[2],
            env=os.environ | self.environment,
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        config = {"ledger": self.ledger_url, "source": self.source, "store": self.store_url}
        assert process.stdin
        process.stdin.write(json.dumps(config | {"terms": TERMS.to_data()}) + "\n")
        process.stdin.flush()
        self.services.append(process)
        return process

    def kill(self, process: subprocess.Popen[str]) -> None:
        """The service alone; its children see the end of their input."""
        process.kill()
        process.wait()
        assert process.stdin
        process.stdin.close()
        self.services.remove(process)

    def kill_all(self) -> None:
        """The services and all their children, at the same moment."""
        for process in list(self.services):
            family = psutil.Process(process.pid).children(recursive=True)
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            self.kill(process)
            psutil.wait_procs(family, 10)

    def children(self, module: str) -> list[psutil.Process]:
        """Processes of all services that run `python -m module`."""
        found = []
        for process in self.services:
            for one in psutil.Process(process.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    found += [one] if module in one.cmdline() else []
        return found

    def create(self) -> str:
        catalog = self._catalog()
        draft = WANTED[self.wanted].draft(self.part_bytes)
        made = plan.build(catalog, draft, CALLER, formats=tuple(COMPRESSIONS), compressions=COMPRESSIONS)
        return self.ledger.create(caller=CALLER, draft=draft, plan=made, matched=None).id

    def _catalog(self) -> Catalog:
        catalog: Catalog = siblings.load(sources, self.kind).reflect(self.source)
        kept = Binary("file", str(self.folder / "kept"))
        lines = replace(catalog.resources["line_items"], binary=kept)
        return replace(catalog, resources={**catalog.resources, "line_items": lines})

    def running(self, export_id: str) -> bool:
        """Some of it is done and some is not."""
        found = self.ledger.get(export_id)
        return 0 < found.parts_done < found.parts

    def ended(self, export_id: str) -> bool:
        return self.ledger.get(export_id).status in {Status.COMPLETED, Status.FAILED}

    def caught(self) -> str:
        """An export of which some is done and some is not; one that was quicker than we look is asked for again."""
        while True:
            export_id = self.create()
            until(lambda: self.running(export_id) or self.ended(export_id), "it runs")  # noqa: B023  # called here
            if self.running(export_id):
                return export_id

    def closing(self) -> str:
        """An archive that is being closed: its directory lies in the store, and its bytes are to be hashed."""

        def begun(export_id: str) -> bool:
            return any(DIRECTORY in key for key, _, _ in self.store.keys(f"{export_id}/"))

        while True:
            export_id = self.create()
            until(lambda: begun(export_id) or self.ended(export_id), "it is closed")  # noqa: B023  # called here
            if not self.ended(export_id):
                return export_id

    def finished(self, export_id: str, patience: float = PATIENCE) -> Export:
        until(lambda: self.ended(export_id), f"{export_id} ends", patience)
        return self.ledger.get(export_id)

    def files(self, export_id: str) -> dict[str, str]:
        """SHA-256 of what every file holds, as it would be downloaded, and of each file of an archive."""
        found = {}
        for artifact in self.ledger.artifacts(export_id):
            whole = b"".join(downloads.read(artifact, self.store))
            for name, held in _held(artifact.name, whole).items():
                found[name] = hashlib.sha256(held).hexdigest()
        return found

    def complete(self, export_id: str, expected: dict[str, str], patience: float = PATIENCE) -> Export:
        """The export has completed; its files, its events, its manifest and its objects are as they should be."""
        found = self.finished(export_id, patience)
        assert found.status is Status.COMPLETED, found.errors
        assert self.files(export_id) == expected
        assert found.matched == found.processed == WANTED[self.wanted].rows
        events = [event.name for event in self.ledger.events(export_id)]
        assert events.count("completed") == 1
        self.left_over(export_id)
        return found

    def left_over(self, export_id: str) -> None:
        """After a sweep nothing lies in the store but what the ledger names."""

        def clean() -> bool:
            reconcile.sweep(self.ledger, self.store)
            found: set[str] = {key for key, _, _ in self.store.keys(f"{export_id}/")}
            return found == set(self.ledger.named(export_id) or ())

        until(clean, "orphans are swept")
        keys = [key for key, _, _ in self.store.keys(f"{export_id}/")]
        assert sum("manifest" in key for key in keys) == 1

    def close(self) -> None:
        for process in self.services:
            assert process.stdin
            process.stdin.close()
        for process in self.services:
            try:
                process.wait(25)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.ledger.close()


def _held(name: str, whole: bytes) -> dict[str, bytes]:
    """The bytes of a file, of Parquet its rows: numbered files are all one, for where they begin may differ."""
    members = {name: whole}
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            names = [
                one for one in archive.namelist() if one != "manifest.json"
            ]  # which tells of its own export
            members = {f"{name}/{one}": archive.read(one) for one in names}  # held against its CRC-32
    if ".parquet" not in name:
        return members | {f"{name}: names": "\n".join(members).encode()}
    tables = [parquet.read_table(io.BytesIO(one)) for one in members.values()]
    return {"parquet": repr(pa.concat_tables(tables).to_pylist()).encode()}


def freeze(process: psutil.Process) -> None:
    process.send_signal(signal.SIGSTOP)
    until(lambda: process.status() == psutil.STATUS_STOPPED, "it stops")


@contextlib.contextmanager
def built(folder: Path, source: str, ledger_url: str, wanted: str = "text") -> Iterator[House]:
    house = House(folder, source, ledger_url, wanted=wanted)
    try:
        yield house
    finally:
        for one in house.children("outhaul.worker") + house.children("outhaul.snapshots"):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGCONT)
        house.close()
