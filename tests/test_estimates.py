"""What an export would come to: told within a factor of two, beginning as its files do, and leaving nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from outhaul import downloads, estimates, sampling, siblings, sources
from outhaul.app import Outhaul
from outhaul.errors import NotAllowed, SourceBusy, TooMuch, UnknownField
from outhaul.export import Caller, Draft, Selection
from tests import databases
from tests.served import US, done, put_together

ORDERS, WIDE, COLUMNS = 12_000, 1_500, 120
FLOOR = 5.0  # seconds; below them nobody waits, and a machine that is busy with other tests says nothing
COUNTED = {"sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"}
COUNTED["postgresql"] = "WITH n(i) AS (SELECT generate_series(1, {}))"


def statements(dialect: str) -> Iterator[str]:
    """Rows whose width changes with their number, with more of what is below the later ones."""
    n = COUNTED[dialect]
    repeat = "substr('{0}', 1, {1})" if dialect == "sqlite" else "left('{0}', {1})"
    if dialect == "sqlite":
        yield "PRAGMA journal_mode = wal"
    yield "CREATE TABLE customers (id integer PRIMARY KEY, email text NOT NULL)"
    yield """CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, total decimal(10,2),
        note text)"""
    yield "CREATE TABLE lines (id integer PRIMARY KEY, order_id integer NOT NULL REFERENCES orders, code text)"
    yield "CREATE TABLE loose (word text)"
    columns = [f"c{number}" for number in range(COLUMNS)]
    yield f"CREATE TABLE wide (id integer PRIMARY KEY, {', '.join(f'{one} integer' for one in columns)})"
    yield f"INSERT INTO customers {n.format(500)} SELECT i, 'customer' || i || '@example.com' FROM n"
    note = repeat.format("some words of a note that go on for a while, " * 8, f"i * 300 / {ORDERS}")
    yield f"INSERT INTO orders {n.format(ORDERS)} SELECT i, 1 + i * 7919 % 500, i * 0.25, {note} FROM n"
    several = f"n.i % (1 + 6 * n.i / {ORDERS}) = 0"
    yield f"""INSERT INTO lines {n.format(3 * ORDERS)}
        SELECT i, 1 + (i * 31) % {ORDERS}, 'code ' || i % 97 FROM n WHERE i % 5 > 0 OR {several}"""
    yield "CREATE TABLE shelves (code varchar(40) PRIMARY KEY)"
    yield "CREATE TABLE books (id integer PRIMARY KEY, code varchar(40) REFERENCES shelves, title text)"
    yield f"INSERT INTO shelves {n.format(6_000)} SELECT 'shelf ' || i FROM n"
    yield f"INSERT INTO books {n.format(12_000)} SELECT i, 'shelf ' || (1 + i % 5999), '{'words ' * 80}' FROM n"
    yield f"INSERT INTO loose {n.format(3_000)} SELECT 'word ' || i * i FROM n"
    values = ", ".join(f"i * {number + 3} % 10007" for number in range(COLUMNS))
    yield f"INSERT INTO wide {n.format(WIDE)} SELECT i, {values} FROM n"
    yield "CREATE INDEX of_order ON lines (order_id)"
    yield "ANALYZE"


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory, postgres_module_url: str
) -> Iterator[Mapping[str, Outhaul]]:
    """The same rows in both kinds of source, each served."""
    place = tmp_path_factory.mktemp("estimates")
    with ExitStack() as stack:
        found = {}
        for dialect, at in (("sqlite", place / "shop.db"), ("postgresql", postgres_module_url)):
            database = stack.enter_context(getattr(databases, dialect)(at))
            database.run(*statements(dialect))
            made = put_together(database.url, place / dialect, part_bytes=2_000_000)
            found[dialect] = stack.enter_context(made)
        yield found


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process of its own would look at is looked at in this one, which spares its start."""

    def answers(_process: object, asked: Mapping[str, Any]) -> Any:
        source = siblings.load(sources, asked["plan"]["source"])
        connect = partial(source.connect, asked["url"], "look", statement_seconds=asked["limit"])
        found = list(sampling.look(source, connect, json.loads(json.dumps(asked))))
        return json.loads(json.dumps(found))

    monkeypatch.setattr(estimates, "_answers", answers)
    monkeypatch.setattr(estimates, "_looking", nullcontext)


def orders(*fields: str, includes: tuple[str, ...] = (), **more: Any) -> Draft:
    told = {name: more.pop(name) for name in ("filters", "nested", "sort") if name in more}
    return Draft((Selection("orders", fields, includes, **told),), **more)


ALL = ("customer", "lines")
SELECTIONS: Mapping[str, tuple[str, Draft]] = {
    "narrow": ("sqlite", orders("id", formats=("csv",))),
    "wide": ("sqlite", Draft((Selection("wide"),), formats=("csv",), compress="zstd")),
    "nested": ("sqlite", orders(includes=ALL, formats=("ndjson",))),
    "filtered": ("sqlite", orders(filters={"id_in": list(range(1, 900, 3))}, formats=("json",))),
    "several formats": ("sqlite", orders("id", "note", formats=("json", "parquet"))),
    "files of their own": (
        "sqlite",
        orders(includes=("lines",), nested={"lines": "files"}, formats=("csv",), compress="gzip"),
    ),
    "packed": ("postgresql", orders(formats=("json",), compress="gzip")),
    "columnar": ("postgresql", orders(includes=ALL, formats=("parquet",))),
    "filtered by others": (
        "postgresql",
        orders(
            filters={"customer.email_start": "customer1", "id_gt": 6000}, includes=ALL, formats=("ndjson",)
        ),
    ),
    "sorted": ("postgresql", orders(sort=("-total",), formats=("csv",))),
    "by keys that are texts": (
        "postgresql",
        Draft((Selection("shelves", includes=("books",)),), formats=("ndjson",)),
    ),
}


def real(outhaul: Outhaul, draft: Draft) -> tuple[int, float]:
    """Bytes of all files of the export itself, and the seconds that it has taken."""
    export = done(outhaul, outhaul.exports.create(US, draft))
    size = sum(one.length for one in outhaul.exports.making.files(export))
    outhaul.exports.delete(US, export.id)
    return size, (export.completed_at - export.started_at).total_seconds()


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize("name", SELECTIONS)
def test_size_and_time_are_told_within_a_factor_of_two(services: Mapping[str, Outhaul], name: str) -> None:
    dialect, draft = SELECTIONS[name]
    outhaul = services[dialect]
    told = outhaul.estimates.of(US, draft)
    size, seconds = real(outhaul, draft)
    assert told.trouble is None
    assert told.size is not None
    assert told.time is not None
    assert size / 2 <= told.size <= size * 2
    assert max(seconds, FLOOR) / 2 <= max(told.time.total_seconds(), FLOOR) <= max(seconds, FLOOR) * 2
    assert [one.name.partition(".")[0] for one in told.files][:1] == [draft.selections[0].resource]


@pytest.mark.parametrize(
    ("dialect", "form"),
    [
        ("sqlite", "csv"),
        *(
            pytest.param(*one, marks=pytest.mark.heavy)
            for one in (
                ("postgresql", "json"),
                ("sqlite", "json"),
                ("sqlite", "ndjson"),
                ("postgresql", "csv"),
                ("postgresql", "ndjson"),
            )
        ),
    ],
)
def test_files_begin_as_they_are_shown(services: Mapping[str, Outhaul], dialect: str, form: str) -> None:
    outhaul = services[dialect]
    draft = orders("id", "lines.code", formats=(form,), sort=("-id",), filters={"id_lteq": 15})
    told = outhaul.estimates.of(US, draft)
    export = done(outhaul, outhaul.exports.create(US, draft))
    (file,) = outhaul.ledger.artifacts(export.id)
    assert [one.text for one in told.files] == [b"".join(downloads.read(file, outhaul.store)).decode()]
    assert (told.rows, told.counted, told.size) == (15, True, file.length)
    longer = outhaul.estimates.of(US, orders("id", formats=(form,), sort=("-id",)))
    assert not longer.files[0].cut
    assert longer.files[0].text.count(f"{ORDERS - 19}") == 1
    assert f"{ORDERS - 20}" not in longer.files[0].text


@pytest.mark.usefixtures("at_home")
def test_a_file_for_programs_is_shown_as_it_reads(services: Mapping[str, Outhaul]) -> None:
    told = services["sqlite"].estimates.of(US, orders("id", "total", "lines.code", formats=("parquet",)))
    (file,) = told.files
    assert [name for name, _ in file.columns] == ["id", "total", "lines"]
    assert len(file.rows) == 20
    assert file.rows[3][:2] == ["4", "1.00"]


@pytest.mark.usefixtures("at_home")
def test_what_has_no_key_is_shown_and_measured_too(services: Mapping[str, Outhaul]) -> None:
    for outhaul in services.values():
        draft = Draft((Selection("loose"),), formats=("csv",))
        told = outhaul.estimates.of(US, draft)
        assert (told.rows, len(told.files[0].text.splitlines())) == (3_000, 21)
        assert told.size == real(outhaul, draft)[0]


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize("compress", [None, "gzip", "zstd"])
def test_the_size_of_what_is_read_whole_is_exact(
    services: Mapping[str, Outhaul], compress: str | None
) -> None:
    for filters in ({"id_lt": 3}, {"id_lt": 0}):
        draft = orders(filters=filters, formats=("csv",), compress=compress)
        told = services["sqlite"].estimates.of(US, draft)
        assert told.size == real(services["sqlite"], draft)[0]


@pytest.mark.usefixtures("at_home")
def test_what_cannot_be_counted_in_time_is_told_about(
    services: Mapping[str, Outhaul], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "COUNT", timedelta(0))
    for outhaul in services.values():
        for draft in (orders(formats=("csv",)), orders(includes=("lines",), formats=("csv",))):
            told = outhaul.estimates.of(US, draft)
            assert not told.counted
            assert told.rows is not None
            assert ORDERS / 2 <= told.rows <= ORDERS * 2


@pytest.mark.usefixtures("at_home")
def test_nothing_is_left_in_the_ledger(services: Mapping[str, Outhaul]) -> None:
    outhaul = services["sqlite"]
    with outhaul.ledger._read() as read:
        tables = ("exports", "parts", "events", "artifacts", "fragments", "snapshots")
        asked = [f"SELECT count(*) FROM {one}" for one in tables]
        before = [read.exec_driver_sql(one).scalar() for one in asked]
        outhaul.estimates.of(US, orders())
        assert [read.exec_driver_sql(one).scalar() for one in asked] == before


def test_it_is_refused_like_the_export_itself(services: Mapping[str, Outhaul]) -> None:
    estimates_ = services["sqlite"].estimates
    with pytest.raises(NotAllowed):
        estimates_.of(replace(US, read_only=True), orders())
    with pytest.raises(NotAllowed):
        estimates_.of(replace(US, all_tenants=False, tenant="1"), orders())
    with pytest.raises(UnknownField):
        estimates_.of(US, orders("nonsense"))
    with pytest.raises(TooMuch):
        estimates_.of(replace(US, ceiling=replace(US.ceiling, records=10)), orders())


def test_one_at_a_time_asks_the_source(
    services: Mapping[str, Outhaul], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "TURN", 0.05)
    monkeypatch.setattr(estimates, "COUNT", timedelta(seconds=0.3))
    outhaul = services["postgresql"]
    with psycopg.connect(outhaul.settings.require_source()) as connection:
        connection.execute("LOCK TABLE loose IN ACCESS EXCLUSIVE MODE")
        draft = Draft((Selection("loose"),), formats=("csv",))
        found: list[estimates.Estimate] = []
        other = threading.Thread(target=lambda: found.append(outhaul.estimates.of(US, draft)))
        begun = time.monotonic()
        other.start()
        while not outhaul.estimates._turn.locked():
            assert time.monotonic() < begun + 5
        with pytest.raises(SourceBusy):
            outhaul.estimates.of(US, draft)
        other.join()
        assert time.monotonic() - begun < estimates.COUNT.total_seconds() + estimates.PATIENCE + 3
        (told,) = found
        assert (told.rows, told.size, told.files) == (None, None, ())
        assert told.trouble


@pytest.mark.heavy
def test_a_look_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with databases.sqlite(tmp_path / "slow.db") as database:
        database.run(
            "PRAGMA journal_mode = wal",
            f"CREATE VIEW slow AS {COUNTED['sqlite'].format(10**12)} SELECT i FROM n WHERE i % {10**11} = 7",
        )
        with put_together(database.url, tmp_path / "state") as outhaul:
            begun = time.monotonic()
            told = outhaul.estimates.of(US, Draft((Selection("slow"),), formats=("csv",)))
            assert time.monotonic() - begun < estimates.COUNT.total_seconds() + estimates.PATIENCE + 3
    assert (told.rows, told.size, told.time, told.files) == (None, None, None, ())


def test_a_look_that_breaks_is_told_as_no_fault_of_the_database(services: Mapping[str, Outhaul]) -> None:
    for code, broken in (("raise SystemExit(1)", True), ("print('{}', flush=True)", False)):
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            answers = estimates._answers(process, {})
        made = services["sqlite"].exports.drafted(US, orders())
        told = estimates.estimate(made, [ORDERS], answers, 0.0, 1)
        assert (told.rows, told.size) == (ORDERS, None)
        assert bool(told.trouble and "on our side" in str(told.trouble)) is broken


def test_who_waits_for_a_look_keeps_no_creation_waiting(services: Mapping[str, Outhaul]) -> None:
    told = services["sqlite"].estimates
    with told._turn, ThreadPoolExecutor(40) as pool:
        begun = time.monotonic()
        asked = [pool.submit(told.of, US, orders()) for _ in range(40)]
        refused = [one for one in as_completed(asked) if time.monotonic() - begun < estimates.TURN / 2]
        assert len(refused) >= 40 - estimates.SEATS
        assert all(isinstance(one.exception(), SourceBusy) for one in asked)


def test_a_scope_is_that_of_whoever_asks(services: Mapping[str, Outhaul]) -> None:
    us = Caller("us", "us", None, all_tenants=True, resources=("orders",))
    with pytest.raises(NotAllowed):
        services["sqlite"].estimates.of(us, orders(includes=("customer",)))
