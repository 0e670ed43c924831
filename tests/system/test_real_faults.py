"""Disks fill, servers stop, lines are cut: it is said in words, can be started again, and nothing half is whole."""

from __future__ import annotations

import resource
import shutil
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
from tests.system._disk import Disk
from tests.system._outhaul import Asker, Run, Service, until
from tests.system._proxy import Proxy, proxy
from tests.system._shop import Shop

BIG = Shop(customers=100, orders=8000, lines=2, note=1000)  # 8 MB of orders
PARTS = 400_000


@pytest.fixture(scope="module")
def big_sqlite(filled: Callable[[str, Shop], str]) -> str:
    return filled("sqlite", BIG)


def said_in_words(text: str) -> None:
    """A sentence a customer can act on: no traceback, no bare class name."""
    assert "Traceback" not in text
    assert len(text.split()) >= 5, text


def nothing_half(run: Run) -> None:
    """A failed command leaves nothing that could be taken for an export."""
    assert not run.folder.exists() or not [path for path in run.folder.rglob("*") if path.is_file()], list(
        run.folder.rglob("*")
    )


def failed_in_words(asker: Asker, export_id: str, *words: str, patience: float = 60) -> None:
    last = asker.wait(export_id, patience=patience)
    assert last["status"] == "failed", last
    assert last["attachment_url"] is None
    said_in_words(" ".join(map(str, last["errors_log"].values())))
    text = str(last["errors_log"]).lower()
    assert any(word in text for word in words), last["errors_log"]


def started_again(asker: Asker, export_id: str, resource_name: str, rows: int) -> None:
    answer = asker.change(export_id, _start=True)
    assert answer.status_code == 200, answer.text
    found = _oracle.rows("json", asker.file(export_id))
    assert sorted(_oracle.numbers(found, "id")) == list(range(1, rows + 1)), resource_name
    assert asker.get(export_id)["errors_log"] == {}


def small_files() -> None:
    """Files may grow to 3 MB and no further; Python turns the signal into an error."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))


def test_a_command_at_its_limit_of_file_size_says_so_and_leaves_nothing(
    form: str, big_sqlite: str, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    args = _outhaul.export_args(big_sqlite, "orders", output, format=form)
    run = _outhaul.command(*args, at=tmp_path, folder=output, preexec_fn=small_files)
    assert run.code == 4, run.said
    said_in_words(run.said)
    nothing_half(run)


def test_a_service_at_its_limit_of_file_size_fails_and_starts_again(big_sqlite: str, tmp_path: Path) -> None:
    service = Service(big_sqlite, tmp_path, {"workers": 1}, limits=small_files)
    service.start()
    try:
        asker = service.asker()
        export_id = asker.create("orders", "json", includes=["customer", "line_items"])
        if asker.wait(export_id)["status"] == "completed":
            pytest.fail("the limit was not reached: the test shows nothing")
        failed_in_words(asker, export_id, "store", "disk", "file", "room", "space")
        asker.finish(asker.create("customers"))
        service.stop()
        service.limits = None
        service.start()
        started_again(asker, export_id, "orders", BIG.orders)
    finally:
        service.kill()
        service.client.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    made.remove()


def test_a_full_file_system_fails_in_words_and_starts_again(
    disk: Disk, big_sqlite: str, tmp_path: Path
) -> None:
    limits = None if disk.mounted else small_files
    service = Service(
        big_sqlite,
        tmp_path,
        {"workers": 1, "store": f"file://{disk.folder}", "part_bytes": PARTS},
        limits=limits,
    )
    service.start()
    try:
        asker = service.asker()
        export_id = asker.create(
            "orders", "json", includes=["customer", "line_items.sku", "referrer", "order_tags.tag"]
        )
        failed_in_words(asker, export_id, "full", "room", "space", "file")
        until(lambda: shutil.disk_usage(disk.folder).free > 0, "what was written half is removed")
        if disk.mounted:
            disk.change("size=200m")
        else:
            service.stop()
            service.limits = None
            service.start()
        started_again(asker, export_id, "orders", BIG.orders)
    finally:
        service.kill()
        service.client.close()


def test_a_store_that_cannot_be_written_fails_in_words_and_starts_again(
    disk: Disk, big_sqlite: str, tmp_path: Path
) -> None:
    with _outhaul.serving(big_sqlite, tmp_path, workers=1, store=f"file://{disk.folder}") as service:
        asker = service.asker()
        asker.finish(asker.create("customers"))
        if disk.mounted:
            disk.change("size=200m,ro")
        else:
            disk.folder.chmod(0o500)
        answer = asker.ask("orders")
        if answer.status_code == 201:
            failed_in_words(asker, answer.json()["data"]["id"], "read-only", "write", "permission", "store")
        else:
            assert answer.status_code in {422, 503, 507}
            said_in_words(answer.json()["errors"][0]["detail"])
        if disk.mounted:
            disk.change("size=200m,rw")
        else:
            disk.folder.chmod(0o700)
        if answer.status_code == 201:
            started_again(asker, answer.json()["data"]["id"], "orders", BIG.orders)
        else:
            asker.finish(asker.create("orders"))


def test_an_output_folder_that_cannot_be_written_is_said_in_words(big_sqlite: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    run = _outhaul.command("export", big_sqlite, "skus", "--output", tmp_path / "taken", at=tmp_path)
    assert run.code in {2, 4}
    said_in_words(run.said)
    assert "taken" in run.said
    assert (tmp_path / "taken").read_text() == "a file where a folder should be"


def test_low_disk_refuses_new_exports_in_words(big_sqlite: str, tmp_path: Path) -> None:
    with _outhaul.serving(big_sqlite, tmp_path) as service:
        asker = service.asker()
        asker.finish(asker.create("skus"))
        service.settings["min_free"] = 10**15
        service.stop()
        service.start()
        before = asker.ids()
        answer = asker.ask("skus")
        assert answer.status_code in {422, 503, 507}, answer.text
        said_in_words(answer.json()["errors"][0]["detail"])
        assert asker.ids() == before
    run = _outhaul.export(big_sqlite, "skus", tmp_path, settings={"min_free": 10**15}, format="csv")
    assert run.code != 0
    said_in_words(run.said)


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


@pytest.fixture
def line(big_postgres: str) -> Iterator[tuple[Proxy, str]]:
    address = urlsplit(big_postgres)
    with proxy(str(address.hostname), int(address.port or 5432), rate=4_000_000) as between:
        yield between, big_postgres.replace(f":{address.port}/", f":{between.port}/")


@pytest.fixture
def asker(line: tuple[Proxy, str], tmp_path: Path) -> Iterator[Asker]:
    with _outhaul.serving(line[1], tmp_path, workers=2, part_bytes=PARTS, lease="2s") as service:
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
            "CREATE VIEW slow AS SELECT n AS id, pg_sleep(0.2)::text AS nap FROM generate_series(1, 20) n"
        )
        connection.execute("CREATE ROLE hurried LOGIN; GRANT SELECT ON slow TO hurried")
        connection.execute("ALTER ROLE hurried SET statement_timeout = '1s'")
    yield big_postgres.replace("postgres@", "hurried@")
    with psycopg.connect(big_postgres, autocommit=True) as connection:
        connection.execute("DROP VIEW slow; DROP OWNED BY hurried; DROP ROLE hurried")


def test_a_statement_timeout_is_lifted_or_said_in_words(slow: str, big_postgres: str, tmp_path: Path) -> None:
    """A role's own timeout may be lifted, as pg_dump does; if it strikes, it must be said and nothing is lost."""
    with _outhaul.serving(slow, tmp_path, count_timeout="500ms") as service:
        asker = service.asker()
        export_id = asker.create("slow")
        if asker.wait(export_id)["status"] == "failed":
            failed_in_words(asker, export_id, "timeout")
            with psycopg.connect(big_postgres, autocommit=True) as connection:
                connection.execute("ALTER ROLE hurried RESET statement_timeout")
            started_again(asker, export_id, "slow", 20)
        assert len(_oracle.rows("json", asker.file(export_id))) == 20


def test_a_statement_that_an_administrator_ends_is_said_in_words(
    slow: str, big_postgres: str, tmp_path: Path
) -> None:
    kill = (
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity "
        "WHERE usename = 'hurried' AND state = 'active' AND query ILIKE '%slow%'"
    )
    with _outhaul.serving(slow, tmp_path, count_timeout="500ms", lease="2s") as service:
        asker = service.asker()
        export_id = asker.create("slow")
        until(
            lambda: _oracle.asked(big_postgres, kill) and asker.get(export_id)["status"] == "failed",
            "an export whose statements are always ended gives up",
        )
        failed_in_words(asker, export_id, "cancel", "timeout", "ended", "time")
        started_again(asker, export_id, "slow", 20)


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
