"""A worker in this process: what it does with a delivery, and what it makes of faults."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from outhaul import errors, pipeline, plan, siblings, sources, stores
from outhaul.errors import OuthaulError, SchemaChanged, StoreError, StoreFull
from outhaul.export import Caller, Draft, Selection, Status
from outhaul.ledger import Ledger
from outhaul.snapshots import Keeper
from outhaul.worker.faults import is_final, needs_new_instant, said
from outhaul.worker.runs import Place, Worker
from tests import drafts
from tests.drafts import only, states

ROWS = 500
CALLER = Caller("ann", "Ann", None, all_tenants=True)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with drafts.opened(drafts.sqlite_url(tmp_path)) as ledger:
        yield ledger


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A SQLite file in WAL mode with one table of 500 rows."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT)")
        connection.executemany("INSERT INTO orders VALUES (?, ?)", ((n, f"note {n}") for n in range(ROWS)))
        connection.commit()
    return path


Begin = Callable[..., Worker]


@pytest.fixture
def begin(ledger: Ledger, tmp_path: Path) -> Iterator[Begin]:
    """`begin(url)`: a worker whose pulse beats."""
    workers = []
    store = siblings.load(stores, "file").open_store(f"file://{tmp_path / 'objects'}")

    def make(url: str, name: str = "w1") -> Worker:
        worker = Worker(ledger, Place(url, tmp_path, 1 << 30), store, name)
        worker.pulse.start()
        workers.append(worker)
        return worker

    yield make
    for worker in workers:
        worker.close()
        worker.pulse.close()


def ask(ledger: Ledger, url: str, part_bytes: int = 10**8, formats: tuple[str, ...] = ("csv", "json")) -> str:
    catalog = siblings.load(sources, url.partition(":")[0]).reflect(url)
    draft = Draft((Selection("orders"),), formats=formats, part_bytes=part_bytes)
    made = plan.build(catalog, draft, CALLER, formats=formats)
    export_id = ledger.create(caller=CALLER, draft=draft, plan=made, matched=None).id
    ledger.queue(export_id)
    return export_id


def run(ledger: Ledger, worker: Worker, most: int = 100) -> None:
    """Deliver what is admitted, up to so many parts."""
    for _ in range(most):
        deliveries = ledger.admit(1, ["w1"])
        if not deliveries:
            return
        for one in deliveries:
            worker.run(one.export, one.part, one.attempt)


def test_a_small_export_is_written_in_the_run_that_plans_it(ledger: Ledger, shop: Path, begin: Begin) -> None:
    url = f"sqlite:///{shop}"
    export_id = ask(ledger, url)
    run(ledger, begin(url), most=1)
    assert states(ledger, export_id) == ["done", "done", "done"]
    assert ledger.closable() == (export_id,)
    assert ledger.get(export_id).processed == ROWS


def test_a_larger_export_of_a_file_is_read_by_the_worker_that_holds_its_instant(
    ledger: Ledger, shop: Path, begin: Begin
) -> None:
    url = f"sqlite:///{shop}"
    export_id = ask(ledger, url, part_bytes=2_000)
    worker = begin(url)
    run(ledger, worker, most=1)
    snapshot = ledger.snapshot(export_id)
    assert snapshot
    assert (snapshot.own, snapshot.holder, snapshot.state) == (True, "w1", "held")
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("DELETE FROM orders WHERE id > 100")
        connection.commit()
    run(ledger, worker)
    facts = ledger.facts(export_id)
    assert facts
    assert sum(part.rows for part in facts.parts) == 2 * ROWS, "as of the instant, in both formats"
    assert len(facts.parts) >= 6
    ledger.complete(export_id, 1, [], "manifest")
    worker.look_after_instants()
    assert worker._held == {}


def test_another_worker_cannot_read_under_an_instant_that_is_not_its_own(
    ledger: Ledger, shop: Path, begin: Begin
) -> None:
    url = f"sqlite:///{shop}"
    export_id = ask(ledger, url, part_bytes=2_000)
    run(ledger, begin(url), most=1)
    stray = ledger.admit(1, ["w1"])[0]
    begin(url, "w2").run(stray.export, stray.part, stray.attempt)
    assert states(ledger, export_id)[stray.part] == "new"
    snapshot = ledger.snapshot(export_id)
    assert snapshot
    assert snapshot.state == "held"


def test_a_worker_that_leaves_gives_its_instants_back(ledger: Ledger, shop: Path, begin: Begin) -> None:
    url = f"sqlite:///{shop}"
    export_id = ask(ledger, url, part_bytes=2_000)
    worker = begin(url)
    run(ledger, worker, most=1)
    worker.close()
    assert ledger.renew() == 1
    assert ledger.get(export_id).generation == 2
    run(ledger, worker)
    assert ledger.closable() == (export_id,)


def test_a_file_without_wal_is_read_from_a_copy_that_does_not_stay(
    ledger: Ledger, tmp_path: Path, begin: Begin
) -> None:
    path = tmp_path / "plain.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO orders VALUES (?)", ((n,) for n in range(ROWS)))
        connection.commit()
    export_id = ask(ledger, f"sqlite:///{path}", part_bytes=1_000)
    worker = begin(f"sqlite:///{path}")
    run(ledger, worker, most=1)
    assert list(tmp_path.glob("source-*")) == []
    with closing(sqlite3.connect(path, timeout=1)) as connection:
        connection.execute("DELETE FROM orders")
        connection.commit()
    run(ledger, worker)
    facts = ledger.facts(export_id)
    assert facts
    assert sum(part.rows for part in facts.parts) == 2 * ROWS


def test_a_value_that_cannot_be_written_fails_the_export_at_once(
    ledger: Ledger, shop: Path, begin: Begin
) -> None:
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("INSERT INTO orders VALUES (1000, CAST(x'ff' AS TEXT))")
        connection.commit()
    url = f"sqlite:///{shop}"
    for part_bytes in (10**8, 2_000):
        export_id = ask(ledger, url, part_bytes)
        run(ledger, begin(url))
        found = ledger.get(export_id)
        assert found.status is Status.FAILED
        assert found.errors[0]["error"] == "UnreadableValue"
        assert "1000" in found.errors[0]["message"]


@pytest.mark.parametrize("part_bytes", [10**8, 2_000], ids=["small", "large"])
def test_a_store_that_fails_for_a_while_is_tried_again(
    ledger: Ledger, shop: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch, part_bytes: int
) -> None:
    url = f"sqlite:///{shop}"
    export_id = ask(ledger, url, part_bytes)
    left = [2]
    write = pipeline.run

    def flaky(*args: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise StoreError("The store does not answer.")
        return write(*args)

    monkeypatch.setattr(pipeline, "run", flaky)
    worker = begin(url)
    for _ in range(4):
        run(ledger, worker)
        ledger.renew()
    assert ledger.closable() == (export_id,)


def test_a_full_store_fails_the_export_at_once(
    ledger: Ledger, shop: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{shop}"
    export_id = ask(ledger, url)

    def full(*_: Any) -> Any:
        raise StoreFull("The disk is full.")

    monkeypatch.setattr(pipeline, "run", full)
    run(ledger, begin(url), most=1)
    assert only(ledger.get(export_id).errors)["error"] == "StoreFull"


def test_what_we_did_not_foresee_is_told_without_its_text(
    ledger: Ledger, shop: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{shop}"
    export_id = ask(ledger, url)

    def slip(*_: Any) -> Any:
        raise KeyError("a customer's value")

    monkeypatch.setattr(pipeline, "run", slip)
    worker = begin(url)
    for _ in range(6):
        run(ledger, worker)
        ledger.renew()
    found = ledger.get(export_id)
    assert found.status is Status.FAILED
    assert "KeyError" in found.errors[0]["message"]
    assert "customer" not in str(found.errors)


@pytest.fixture
def orders(postgres_url: str) -> str:
    """URL of a PostgreSQL database with one table of 500 rows."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id integer PRIMARY KEY, note text)")
        connection.execute("INSERT INTO orders SELECT n, repeat('x', 200) FROM generate_series(1, 500) AS n")
        connection.execute("VACUUM ANALYZE orders")
    return postgres_url


class Keeping:
    """A keeper that takes its turn whenever somebody looks for an instant."""

    def __init__(self, ledger: Ledger, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keeper = Keeper(ledger, url, "k1")
        look = ledger.snapshot

        def snapshot(export_id: str) -> Any:
            self.keeper.turn()
            return look(export_id)

        monkeypatch.setattr(ledger, "snapshot", snapshot)


@pytest.fixture
def kept(ledger: Ledger, orders: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    keeping = Keeping(ledger, orders, monkeypatch)
    yield keeping.keeper
    keeping.keeper.close()


def test_any_worker_reads_under_the_keepers_instant(
    ledger: Ledger, orders: str, begin: Begin, kept: Keeper
) -> None:
    export_id = ask(ledger, orders, part_bytes=20_000)
    workers = [begin(orders), begin(orders, "w2")]
    run(ledger, workers[0], most=1)
    with psycopg.connect(orders, autocommit=True) as connection:
        connection.execute("UPDATE orders SET note = 'later'")
        connection.execute("DELETE FROM orders WHERE id > 100")
    for number in range(50):
        run(ledger, workers[number % 2], most=1)
    facts = ledger.facts(export_id)
    assert facts
    assert len(facts.parts) >= 4
    assert sum(part.rows for part in facts.parts) == 2 * 500
    assert all(part.range["low"] or part.range["high"] for part in facts.parts)


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ("TRUNCATE orders", Status.RUNNING),
        ("VACUUM FULL orders", Status.RUNNING),
        ("ALTER TABLE orders DROP COLUMN note", Status.FAILED),
        ("ALTER TABLE orders ALTER COLUMN note TYPE varchar(300)", Status.FAILED),
        ("ALTER TABLE orders RENAME TO old_orders", Status.FAILED),
    ],
)
def test_a_table_that_changes_between_two_parts_is_read_anew_or_named(
    ledger: Ledger, orders: str, begin: Begin, kept: Keeper, change: str, ends: Status
) -> None:
    export_id = ask(ledger, orders, part_bytes=20_000)
    worker = begin(orders)
    run(ledger, worker, most=2)
    with psycopg.connect(orders, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '20s'")
        connection.execute(change)
    run(ledger, worker)
    ledger.renew()
    run(ledger, worker)
    found = ledger.get(export_id)
    assert found.status is ends, found.errors
    if ends is Status.FAILED:
        assert found.errors[0]["error"] == "SchemaChanged"
        assert "orders" in found.errors[0]["message"]
        return
    assert found.generation == 2
    assert ledger.closable() == (export_id,)
    facts = ledger.facts(export_id)
    assert facts
    assert facts.counts[0][""] == (0 if change.startswith("TRUNCATE") else 500)


@pytest.mark.parametrize(
    ("error", "final", "new_instant"),
    [
        (errors.SourceAway("x"), False, False),
        (errors.SourceForbids("x"), True, False),
        (errors.UnreadableValue("x"), True, False),
        (errors.StoreFull("x"), True, False),
        (errors.TooMuch("x"), True, False),
        (errors.StoreError("x"), False, False),
        (errors.SnapshotLost("x"), False, True),
        (SchemaChanged("x", facts={"rewritten": True}), False, True),
        (SchemaChanged("x", facts={"rewritten": False}), True, False),
        (MemoryError(), False, False),
    ],
)
def test_what_a_fault_means(error: Exception, final: bool, new_instant: bool) -> None:
    assert (is_final(error), needs_new_instant(error)) == (final, new_instant)


def test_an_error_is_kept_with_its_hint() -> None:
    assert said(OuthaulError("It broke.", hint="Mend it.")) == {
        "error": "OuthaulError",
        "message": "It broke.",
        "hint": "Mend it.",
    }
