"""Servers stop, lines are cut: it is said in words, can be started again, and nothing half is whole."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests import postgres
from tests.postgres import Server
from tests.system import _oracle, _outhaul, _shop
from tests.system._faults import (
    BIG,
    PARTS,
    PAUSE,
    failed_in_words,
    nothing_half,
    said_in_words,
    started_again,
)
from tests.system._outhaul import Asker, Run, until
from tests.system._proxy import Proxy, proxy
from tests.system._shop import Shop


@pytest.fixture(scope="module")
def big_sqlite(filled: Callable[[str, Shop], str]) -> str:
    return filled("sqlite", BIG)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of this module's own, which its tests stop and kill."""
    server = Server.make(max(postgres.binaries()), postgres.new_home("faulty"))
    yield server
    server.remove()


@pytest.fixture(scope="module")
def big_postgres(server: Server) -> str:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE shop")
    return _shop.fill_postgres(server.url_of("shop"), BIG)


@pytest.fixture(scope="module")
def between(big_postgres: str) -> Iterator[Proxy]:
    """The line to the server of this module, slow enough that it can be cut in mid-stream."""
    address = urlsplit(big_postgres)
    with proxy(str(address.hostname), int(address.port or 5432), rate=4_000_000) as between:
        yield between


@pytest.fixture
def line(big_postgres: str, between: Proxy) -> Iterator[tuple[Proxy, str]]:
    yield between, _by(between, big_postgres)
    between.closed = between.stalled = False


def _by(between: Proxy, url: str) -> str:
    return url.replace(f":{urlsplit(url).port}/", f":{between.port}/")


@pytest.fixture(scope="module")
def asker(big_postgres: str, between: Proxy, room: Path) -> Iterator[Asker]:
    """Of a service that lives through all that befalls its source."""
    source = _by(between, big_postgres)
    terms = {"workers": 2, "part_bytes": PARTS, "lease": "2s", "retry_pause": PAUSE}
    with _outhaul.serving(source, room / "service", **terms) as service:
        yield service.asker()


def running(asker: Asker, export_id: str) -> None:
    until(lambda: asker.get(export_id)["processed_count"], "rows are processed")
    assert asker.get(export_id)["status"] == "in_progress"


def test_a_line_cut_once_in_mid_stream_costs_nothing(line: tuple[Proxy, str], asker: Asker) -> None:
    export_id = asker.create("orders", includes=["line_items"])
    running(asker, export_id)
    line[0].cut()
    if asker.wait(export_id)["status"] == "failed":
        failed_in_words(asker, export_id, "connection", "reached", "away", "lost", "snapshot")
        started_again(asker, export_id, "orders", BIG.orders)
    else:
        found = _oracle.rows("json", asker.file(export_id))
        assert sorted(_oracle.numbers(found, "id")) == list(range(1, BIG.orders + 1))


@pytest.mark.heavy  # to the service a server that is killed is the same
def test_a_line_that_stays_cut_fails_in_words_and_starts_again(line: tuple[Proxy, str], asker: Asker) -> None:
    export_id = asker.create("orders", includes=["line_items"])
    running(asker, export_id)
    line[0].closed = True
    line[0].cut()
    failed_in_words(asker, export_id, "connection", "reach", "away", "refused")
    line[0].closed = False
    started_again(asker, export_id, "orders", BIG.orders)


def test_a_line_that_stalls_can_be_interrupted_and_deleted(line: tuple[Proxy, str], asker: Asker) -> None:
    export_id = asker.create("orders")
    running(asker, export_id)
    line[0].stalled = True
    answer = asker.change(export_id, _interrupt=True)
    assert answer.status_code == 200
    assert answer.json()["data"]["attributes"]["status"] == "interrupted"
    line[0].stalled = False
    started_again(asker, export_id, "orders", BIG.orders)
    other = asker.create("orders")
    running(asker, other)
    line[0].stalled = True
    assert asker.call("DELETE", f"/exports/{other}").status_code == 204
    assert asker.call("GET", f"/exports/{other}").status_code == 404


def test_a_source_killed_in_mid_stream_fails_in_words_and_starts_again(server: Server, asker: Asker) -> None:
    export_id = asker.create("orders")
    running(asker, export_id)
    server.stop("kill")
    try:
        failed_in_words(asker, export_id, "connection", "reach", "away", "refused")
        other = asker.ask("skus")
        if other.status_code == 201:
            failed_in_words(asker, other.json()["data"]["id"], "connection", "reach", "away", "refused")
        else:
            said_in_words(other.json()["errors"][0]["detail"])
    finally:
        server.start()
    started_again(asker, export_id, "orders", BIG.orders)


@pytest.mark.heavy  # the quick one is in tests/crash
def test_a_source_restarted_in_mid_stream_costs_nothing_or_says_so(server: Server, asker: Asker) -> None:
    export_id = asker.create("orders")
    running(asker, export_id)
    server.restart("immediate")
    if asker.wait(export_id)["status"] == "failed":
        started_again(asker, export_id, "orders", BIG.orders)
    assert len(_oracle.rows("json", asker.file(export_id))) == BIG.orders


def test_a_command_whose_source_goes_says_so_and_leaves_nothing(
    line: tuple[Proxy, str], tmp_path: Path
) -> None:
    between, url = line

    def gone() -> None:
        between.closed = True
        between.cut()

    between.after(2_000_000, lambda: threading.Thread(target=gone).start())
    run = _outhaul.export(url, "orders", tmp_path, format="csv", part_size=PARTS, workers=2)
    assert run.code == 3, run.said
    said_in_words(run.said)
    nothing_half(run)
    run = _outhaul.export(url, "orders", tmp_path, format="csv")
    assert run.code == 3, run.said
    said_in_words(run.said)
    nothing_half(run)


@pytest.fixture
def slow(big_postgres: str) -> Iterator[str]:
    """The URL of a role with a statement timeout of a second, and a view `slow` that takes four."""
    with psycopg.connect(big_postgres, autocommit=True) as connection:
        connection.execute(
            "CREATE VIEW slow AS SELECT n AS id, pg_sleep(0.1)::text AS nap FROM generate_series(1, 20) n"
        )
        connection.execute("CREATE ROLE hurried LOGIN; GRANT SELECT ON slow TO hurried")
    yield big_postgres.replace("postgres@", "hurried@")
    with psycopg.connect(big_postgres, autocommit=True) as connection:
        connection.execute("DROP VIEW slow; DROP OWNED BY hurried; DROP ROLE hurried")


def test_a_statement_timeout_is_lifted_or_said_in_words(slow: str, big_postgres: str, tmp_path: Path) -> None:
    """A role's own timeout may be lifted, as pg_dump does; if it strikes, it must be said and nothing is lost."""
    with psycopg.connect(big_postgres, autocommit=True) as connection:
        connection.execute("ALTER ROLE hurried SET statement_timeout = '1s'")
    with _outhaul.serving(slow, tmp_path, count_timeout="500ms", retry_pause=PAUSE) as service:
        asker = service.asker()
        export_id = asker.create("slow")
        if asker.wait(export_id)["status"] == "failed":
            failed_in_words(asker, export_id, "timeout")
            with psycopg.connect(big_postgres, autocommit=True) as connection:
                connection.execute("ALTER ROLE hurried RESET statement_timeout")
            started_again(asker, export_id, "slow", 20)
        assert len(_oracle.rows("json", asker.file(export_id))) == 20


@pytest.mark.heavy  # to the service a timeout is the same
def test_a_statement_that_an_administrator_ends_is_said_in_words(
    slow: str, big_postgres: str, tmp_path: Path
) -> None:
    kill = (
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity "
        "WHERE usename = 'hurried' AND state = 'active' AND query ILIKE '%slow%'"
    )
    terms = {"count_timeout": "500ms", "lease": "2s", "retry_pause": PAUSE}
    with _outhaul.serving(slow, tmp_path, **terms) as service:
        asker = service.asker()
        export_id = asker.create("slow")
        until(
            lambda: _oracle.asked(big_postgres, kill) and asker.get(export_id)["status"] == "failed",
            "an export whose statements are always ended gives up",
        )
        failed_in_words(asker, export_id, "cancel", "timeout", "ended", "time")
        started_again(asker, export_id, "slow", 20)


@pytest.mark.heavy  # waits for the lock, twice
def test_a_locked_sqlite_file_is_said_in_words_and_can_be_read_later(tmp_path: Path) -> None:
    path = tmp_path / "locked.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT)")
    holder.execute("INSERT INTO words VALUES (1, 'a'), (2, 'b')")
    with _outhaul.serving(f"sqlite:///{path}", tmp_path / "service") as service:
        asker = service.asker()
        holder.execute("BEGIN EXCLUSIVE")
        answer = asker.ask("words")
        if answer.status_code == 201:
            export_id = answer.json()["data"]["id"]
            failed_in_words(asker, export_id, "lock", "busy")
        else:
            assert answer.status_code < 600
            said_in_words(answer.json()["errors"][0]["detail"])
            assert "lock" in answer.text.lower() or "busy" in answer.text.lower()
        run = _outhaul.export(f"sqlite:///{path}", "words", tmp_path, format="csv")
        assert run.code == 3, run.said
        said_in_words(run.said)
        nothing_half(run)
        holder.execute("ROLLBACK")
        if answer.status_code == 201:
            started_again(asker, export_id, "words", 2)
        else:
            assert len(asker.rows("words")) == 2
    holder.close()


def test_a_source_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    url = f"postgresql://nobody@127.0.0.1:{_outhaul.free_port()}/nothing"
    run = _outhaul.export(url, "orders", tmp_path, format="csv")
    assert run.code == 3, run.said
    said_in_words(run.said)


def test_control_c_leaves_nothing_half(big_sqlite: str, tmp_path: Path) -> None:
    output = tmp_path / "out"
    args = _outhaul.export_args(
        big_sqlite, "orders", output, format="json", include=["line_items", "customer"], part_size=200_000
    )
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            [str(_outhaul.PROGRAM), *args],
            cwd=tmp_path,
            env=_outhaul.environment(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        started = until(
            lambda: list(tmp_path.rglob("*-*")) or process.poll() is not None, "something is written"
        )
        assert started
        process.send_signal(2)
        assert process.wait(20) in {130, -2}, (tmp_path / "said").read_text()
    nothing_half(Run(130, "", "", output))
    assert "Traceback" not in (tmp_path / "said").read_text()
    _outhaul.export(big_sqlite, "orders", tmp_path, format="json").complete()
