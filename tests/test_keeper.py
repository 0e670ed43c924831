"""The keeper on a real PostgreSQL: meets wishes, keeps instants, ends them, and notices when it has lost them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from outhaul.ledger import Ledger, Snapshot, label
from outhaul.snapshots import STRAGGLE, Keeper
from tests import drafts
from tests.drafts import claimed, only


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with drafts.opened(drafts.sqlite_url(tmp_path)) as ledger:
        yield ledger


@pytest.fixture
def keeper(ledger: Ledger, postgres_url: str) -> Iterator[Keeper]:
    keeper = Keeper(ledger, postgres_url, "k1")
    yield keeper
    keeper.close()


def wish(ledger: Ledger) -> str:
    made = drafts.create(ledger)
    lease = claimed(ledger, only([one for one in ledger.admit(2) if one.export == made.id]))
    assert ledger.want(lease)
    return made.id


def found(ledger: Ledger, export_id: str) -> Snapshot:
    snapshot = ledger.snapshot(export_id)
    assert snapshot
    return snapshot


def sessions(url: str, like: str) -> int:
    with psycopg.connect(url) as connection:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s"
        row: Any = connection.execute(asked, (like,)).fetchone()
        return int(row[0])


def until(true: Callable[[], Any], patience: float = 20.0) -> None:
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_read_under_a_kept_instant_is_of_that_instant(
    ledger: Ledger, keeper: Keeper, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as writer:
        writer.execute("CREATE TABLE orders (id integer PRIMARY KEY)")
        writer.execute("INSERT INTO orders VALUES (1)")
        before = datetime.now(UTC)
        export_id = wish(ledger)
        keeper.turn()
        writer.execute("INSERT INTO orders VALUES (2)")
        held = found(ledger, export_id)
        assert (held.state, held.holder, held.own) == ("held", "k1", False)
        assert held.instant_at
        assert abs(held.instant_at - before) < timedelta(seconds=10)
        writer.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        writer.execute(f"SET TRANSACTION SNAPSHOT '{held.snapshot}'")
        assert writer.execute("SELECT count(*) FROM orders").fetchone() == (1,)
        writer.execute("ROLLBACK")


def test_each_instant_is_a_connection_that_carries_the_exports_id(
    ledger: Ledger, keeper: Keeper, postgres_url: str
) -> None:
    exports = [wish(ledger) for _ in range(3)]
    keeper.turn()
    assert [sessions(postgres_url, f"outhaul keeper {one}") for one in exports] == [1, 1, 1]
    ledger.remove(exports[0])
    ledger.interrupt(exports[1])
    keeper.turn()
    until(lambda: [sessions(postgres_url, f"outhaul keeper {one}") for one in exports] == [0, 1, 1])
    keeper.close()
    until(lambda: sessions(postgres_url, "outhaul keeper%") == 0)
    assert found(ledger, exports[2]).state == "lost"
    assert found(ledger, exports[2]).error is None, "leaving in order is no fault"


def test_a_connection_that_breaks_is_told_at_the_next_beat(
    ledger: Ledger, keeper: Keeper, postgres_url: str
) -> None:
    export_id = wish(ledger)
    keeper.turn()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
        mine = "application_name LIKE 'outhaul keeper%' AND datname = current_database()"
        connection.execute(ended + mine)
    keeper._beat_at = 0.0
    keeper.turn()
    lost = found(ledger, export_id)
    assert lost.state == "lost"
    assert lost.error
    assert lost.error["error"] == "SnapshotLost"
    assert ledger.holds("k1") == frozenset()


def test_a_keeper_that_was_frozen_lets_go_of_what_it_lost(
    ledger: Ledger, keeper: Keeper, postgres_url: str
) -> None:
    export_id = wish(ledger)
    keeper.turn()
    drafts.passes(ledger, "snapshots", lease_until=1000)
    keeper._beat_at = 0.0
    keeper.turn()
    until(lambda: sessions(postgres_url, f"outhaul keeper {export_id}") == 0)
    assert ledger.lapse_snapshots() == 1, "it did not renew what had run out"


def test_a_source_that_is_away_is_told_in_words(ledger: Ledger) -> None:
    keeper = Keeper(ledger, "postgresql://nobody:s3cret@127.0.0.1:1/none", "k1")
    export_id = wish(ledger)
    keeper.turn()
    error = found(ledger, export_id).error
    assert error
    assert error["error"] == "SourceAway"
    assert "s3cret" not in str(error)
    assert ledger.wanted() == ()


def test_a_session_that_outlives_its_removed_export_is_ended(
    ledger: Ledger, keeper: Keeper, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_id = wish(ledger)
    keeper.turn()
    frozen = psycopg.connect(postgres_url, application_name=f"outhaul {label(export_id, 1)}")
    other = psycopg.connect(postgres_url, application_name=f"outhaul {label(export_id, 2)}")
    with frozen, other:
        frozen.execute("SELECT 1")
        ledger.remove(export_id)
        keeper.turn()
        assert sessions(postgres_url, f"outhaul {export_id}/1") == 1, "it may still be leaving"
        keeper._stragglers = [(at - STRAGGLE, one) for at, one in keeper._stragglers]
        keeper.turn()
        until(lambda: sessions(postgres_url, f"outhaul {export_id}/1") == 0)
        assert other.execute("SELECT 1").fetchone() == (1,)
        frozen.close()


def test_a_keeper_imports_neither_arrow_nor_formats() -> None:
    code = (
        "import sys, outhaul.snapshots; print(sorted({'pyarrow', 'numpy', 'fastapi'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
