"""The keeper under a role with short timeouts, and under connections that end: at once, and in whose words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from outhaul.ledger import Ledger
from outhaul.snapshots import Keeper
from tests import drafts
from tests.test_keeper import found, until, wish

TIMEOUTS = ["idle_in_transaction_session_timeout", "statement_timeout", "transaction_timeout"]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with drafts.opened(drafts.sqlite_url(tmp_path)) as ledger:
        yield ledger


@pytest.fixture
def keeper(ledger: Ledger, postgres_url: str) -> Iterator[Keeper]:
    keeper = Keeper(ledger, postgres_url, "k1")
    yield keeper
    keeper.close()


def test_an_instant_outlives_every_timeout_of_the_role(
    ledger: Ledger, keeper: Keeper, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        database = connection.info.dbname
        known: Any = connection.execute("SELECT name FROM pg_settings WHERE name = ANY(%s)", (TIMEOUTS,))
        for (name,) in known.fetchall():
            connection.execute(f"ALTER DATABASE {database} SET {name} = '300ms'")
    export_id = wish(ledger)
    keeper.turn()
    time.sleep(0.7)  # there is nothing to wait for: nothing is to happen
    keeper._beat_at = 0.0
    keeper.turn()
    assert found(ledger, export_id).state == "held"


def test_a_connection_that_the_server_ends_is_told_at_once_in_the_servers_words(
    ledger: Ledger, keeper: Keeper, postgres_url: str
) -> None:
    ended_of, other = wish(ledger), wish(ledger)
    keeper.turn()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        connection.execute(ended, (f"outhaul keeper {ended_of}",))

    def told() -> bool:
        keeper.turn()
        return found(ledger, ended_of).state == "lost"

    until(told)
    error = found(ledger, ended_of).error
    assert error
    assert "administrator command" in error["message"]
    assert found(ledger, other).state == "held"


def test_a_connection_that_nobody_answers_is_given_up_within_a_minute(ledger: Ledger, keeper: Keeper) -> None:
    export_id = wish(ledger)
    keeper.turn()
    given = keeper._held[export_id].connection.info.get_parameters()
    idle, every, times = (int(given[f"keepalives_{name}"]) for name in ("idle", "interval", "count"))
    assert idle + every * times <= 60
    assert int(given["tcp_user_timeout"]) < 1000 * ledger.terms.lease.total_seconds() / 2, (
        "the others' leases"
    )


def test_a_slow_farewell_costs_no_other_instant_its_lease(
    ledger: Ledger, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports = [wish(ledger) for _ in range(3)]
    keeper.turn()
    lives = keeper._lives

    def slowly(held: Any) -> bool:
        if held.snapshot.export != exports[2]:
            drafts.passes(ledger, "snapshots", lease_until=ledger.terms.lease.total_seconds() * 0.6)
            ledger.lost(held.snapshot.export, held.snapshot.generation)
            return False
        return lives(held)

    monkeypatch.setattr(keeper, "_lives", slowly)
    keeper._beat_at = 0.0
    keeper.turn()
    assert found(ledger, exports[2]).state == "held"
    assert ledger.holds("k1") == frozenset(exports[2:])
