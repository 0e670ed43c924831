"""The count before the answer: one at a time, by one connection that has a name, and within its time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from outhaul import siblings, sources, stores
from outhaul.errors import SourceAway, UnknownResource
from outhaul.export import Caller, Draft, Selection
from outhaul.hiding import offered
from outhaul.service import Exports, Terms
from tests import drafts
from tests.test_keeper import until

CALLER = Caller("key-1", "Ann", None, all_tenants=True)
DRAFT = Draft((Selection("orders"),))


@contextmanager
def serving(url: str, folder: Path, seconds: float) -> Iterator[Exports]:
    with drafts.opened(drafts.sqlite_url(folder)) as ledger:
        yield Exports(
            ledger=ledger,
            source_url=url,
            catalog=offered(siblings.load(sources, "postgresql").reflect(url)),
            store=siblings.load(stores, "file").open_store(f"file://{folder / 'objects'}"),
            keys=["k" * 32],
            terms=Terms(count_timeout=timedelta(seconds=seconds), min_free=0),
            nudge=lambda: None,
        )


@pytest.fixture
def locked(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody holds the table, so that every count waits."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE orders AS SELECT n AS id FROM generate_series(1, 30) n")
        connection.execute("ALTER TABLE orders ADD PRIMARY KEY (id)")
        connection.commit()
        connection.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        yield connection


def names(url: str) -> list[str]:
    with psycopg.connect(url, autocommit=True, application_name="a test") as connection:
        asked = (
            "SELECT application_name FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return [str(name) for (name,) in connection.execute(asked)]


def test_twenty_who_ask_at_once_count_by_one_connection(
    postgres_url: str, locked: psycopg.Connection[Any], tmp_path: Path
) -> None:
    locked.rollback()
    with serving(postgres_url, tmp_path, 20) as exports, ThreadPoolExecutor(20) as pool:
        locked.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        barrier = threading.Barrier(20)

        def ask(_: int) -> int | None:
            barrier.wait()
            return exports.create(CALLER, DRAFT).matched

        asked = [pool.submit(ask, n) for n in range(20)]
        until(lambda: names(postgres_url))
        most = [names(postgres_url) for _ in range(20)]
        locked.rollback()
        assert {one.result() for one in asked} == {30}
    assert max(most, key=len) == ["outhaul count"]


def test_while_a_slow_count_goes_on_others_are_not_kept_from_being_checked(
    postgres_url: str, locked: psycopg.Connection[Any], tmp_path: Path
) -> None:
    locked.rollback()
    with serving(postgres_url, tmp_path, 20) as exports, ThreadPoolExecutor(1) as pool:
        locked.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        slow = pool.submit(exports.create, CALLER, DRAFT)
        until(lambda: names(postgres_url))
        with pytest.raises(UnknownResource):
            exports.create(CALLER, Draft((Selection("oders"),)))
        assert not slow.done()
        locked.rollback()
        assert slow.result().matched == 30


def test_waiting_for_ones_turn_takes_of_the_time(
    postgres_url: str, locked: psycopg.Connection[Any], tmp_path: Path
) -> None:
    locked.rollback()
    with serving(postgres_url, tmp_path, 2) as exports, ThreadPoolExecutor(20) as pool:
        locked.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        begun = time.monotonic()
        found = list(pool.map(lambda _: exports.create(CALLER, DRAFT).matched, range(20)))
        assert found == [None] * 20
        assert time.monotonic() - begun < 30, "one after the other they would have taken 40 seconds"


def test_a_source_that_is_slow_to_connect_keeps_nobody_else_from_being_checked(
    postgres_url: str, locked: psycopg.Connection[Any], tmp_path: Path
) -> None:
    locked.rollback()
    with socket.create_server(("127.0.0.1", 0)) as silent, serving(postgres_url, tmp_path, 5) as exports:
        exports._counting._url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/nobody"
        with pytest.raises(SourceAway):
            exports.create(CALLER, DRAFT)
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(exports.create, CALLER, DRAFT)
            until(exports._counting._asking.locked)
            with pytest.raises(UnknownResource):
                exports.create(CALLER, Draft((Selection("oders"),)))
            assert not slow.done()
            with pytest.raises(SourceAway):
                slow.result()
