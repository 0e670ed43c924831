"""Outhaul is a guest in the source's house: few rights, few connections, nothing changed or left, no secret told."""

from __future__ import annotations

import hashlib
import sqlite3
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit
from uuid import uuid4

import psutil
import psycopg
import pytest

from tests.postgres import Server
from tests.system import _oracle, _outhaul, _shop
from tests.system._outhaul import Asker, until
from tests.system._proxy import proxy
from tests.system._shop import Shop

SHOP = Shop(customers=50, orders=2000, note=200)
PARTS = 60_000
GONE = 5  # seconds until a statement nobody waits for is gone; a promise


@pytest.fixture(scope="module")
def database(postgres_server: Server) -> Iterator[str]:
    """A shop, a role `guest_...` with the least rights, a table it may not read, and a view that takes its time."""
    name = f"house_{uuid4().hex}"
    guest = guest_of(name)
    with postgres_server.database(name) as url:
        _shop.fill_postgres(url, SHOP)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                f"REVOKE ALL ON DATABASE {name} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC; "
                f"CREATE ROLE {guest} LOGIN PASSWORD 's3cr3t'; GRANT CONNECT ON DATABASE {name} TO {guest}; "
                f"GRANT USAGE ON SCHEMA public TO {guest}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {guest}; "
                "CREATE TABLE forbidden (id integer PRIMARY KEY, word text); "
                "CREATE VIEW slow AS SELECT n AS id, pg_sleep(0.2)::text AS nap FROM generate_series(1, 1000) n; "
                f"GRANT SELECT ON slow TO {guest}"
            )
        yield url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {guest}")
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"DROP ROLE {guest}")


def guest_of(database_name: str) -> str:
    return "guest_" + database_name[-12:]


@pytest.fixture(scope="module")
def guest_url(database: str) -> str:
    return database.replace("postgres@", f"{guest_of(database)}:s3cr3t@")


@pytest.fixture(scope="module")
def asker(guest_url: str, room: Path) -> Iterator[Asker]:
    with _outhaul.serving(
        guest_url, room / "service", workers=2, part_bytes=PARTS, count_timeout="300ms", lease="3s"
    ) as service:
        yield service.asker()


def backends(database: str, *, active: bool = False) -> list[tuple[int, str, str]]:
    """(pid, application_name, query) of all sessions of the guest."""
    role = guest_of(urlsplit(database).path)
    condition = "AND state = 'active'" if active else ""
    return _oracle.asked(
        database,
        f"SELECT pid, application_name, query FROM pg_stat_activity WHERE usename = '{role}' {condition}",
    )


def test_connect_usage_and_select_are_enough(
    any_form: str, guest_url: str, asker: Asker, tmp_path: Path
) -> None:
    run = _outhaul.export(
        guest_url,
        "orders",
        tmp_path,
        format=any_form,
        include=["customer", "line_items.sku"],
        part_size=PARTS,
        workers=2,
    ).complete()
    assert _outhaul.parts_of(run) >= 5
    assert len(run.rows()) == SHOP.orders
    assert len(asker.rows("line_items", any_form)) == len(dict(SHOP.tables())["line_items"])


def test_a_table_that_may_not_be_read_is_listed_with_its_grant(guest_url: str, tmp_path: Path) -> None:
    run = _outhaul.command("catalog", guest_url, at=tmp_path)
    assert run.code == 0, run.said
    (line,) = [line for line in run.out.splitlines() if "forbidden" in line]
    assert "GRANT SELECT" in line


def test_a_right_that_was_taken_away_is_asked_for_by_its_grant(database: str, asker: Asker) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"REVOKE SELECT ON tags FROM {guest_of(database)}")
    try:
        answer = asker.ask("tags")
        if answer.status_code == 201:
            last = asker.wait(answer.json()["data"]["id"])
            assert last["status"] == "failed"
            assert "GRANT SELECT" in str(last["errors_log"])
            assert "tags" in str(last["errors_log"])
        else:
            assert "GRANT SELECT" in answer.text
            assert "tags" in answer.text
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"GRANT SELECT ON tags TO {guest_of(database)}")


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.heavy), 2])
def test_no_more_connections_than_workers_and_one(workers: int, guest_url: str, tmp_path: Path) -> None:
    address = urlsplit(guest_url)
    with proxy(str(address.hostname), int(address.port or 5432)) as between:
        url = guest_url.replace(f":{address.port}/", f":{between.port}/")
        _outhaul.export(
            url, "orders", tmp_path, format="json", include="line_items", part_size=PARTS, workers=workers
        ).complete()
        assert between.most <= workers + 1, f"{between.most} connections with {workers} workers"


def test_a_served_export_takes_no_more_connections_either(guest_url: str, tmp_path: Path) -> None:
    address = urlsplit(guest_url)
    with proxy(str(address.hostname), int(address.port or 5432), rate=20_000_000) as between:
        url = guest_url.replace(f":{address.port}/", f":{between.port}/")
        with _outhaul.serving(url, tmp_path, workers=2, part_bytes=PARTS) as service:
            asker = service.asker()
            asker.finish(asker.create("orders", includes=["line_items"]))
        assert between.most <= 3, f"{between.most} connections with 2 workers"


def test_every_session_carries_the_export_in_its_name(database: str, guest_url: str, asker: Asker) -> None:
    export_id = asker.create("slow")
    try:
        until(
            lambda: [name for _, name, query in backends(database, active=True) if "slow" in query], "it runs"
        )
        assert all(export_id in name for _, name, query in backends(database, active=True) if "slow" in query)
        assert all("outhaul" in name.lower() for _, name, _ in backends(database))
    finally:
        asker.change(export_id, _interrupt=True)


def slow_statements(database: str) -> set[int]:
    return {pid for pid, _, query in backends(database, active=True) if "slow" in query}


@pytest.mark.parametrize("way", ["interrupt", "delete", "kill the worker"])
def test_a_statement_nobody_waits_for_is_gone_in_five_seconds(way: str, database: str, asker: Asker) -> None:
    until(lambda: not slow_statements(database), "nothing is left of other tests")
    export_id = asker.create("slow")
    running = until(lambda: slow_statements(database), "it runs")
    if way == "interrupt":
        assert asker.change(export_id, _interrupt=True).status_code == 200
    elif way == "delete":
        assert asker.call("DELETE", f"/exports/{export_id}").status_code == 204
    else:
        for worker in asker.service.children("outhaul.worker"):
            worker.kill()
    until(lambda: not running & slow_statements(database), f"its statement is gone after {way}", GONE)
    if way == "kill the worker":
        assert asker.change(export_id, _interrupt=True).status_code == 200


def test_a_killed_command_leaves_no_statement(database: str, guest_url: str, tmp_path: Path) -> None:
    until(lambda: not slow_statements(database), "nothing is left of other tests")
    service = _outhaul.Service(guest_url, tmp_path)
    args = _outhaul.export_args(guest_url, "slow", tmp_path / "out", format="csv")
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            [str(_outhaul.PROGRAM), *args], cwd=tmp_path, env=_outhaul.environment(), stdout=said, stderr=said
        )
        until(lambda: slow_statements(database), "it runs")
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        process.kill()
        process.wait(10)
    until(lambda: not slow_statements(database), "its statement is gone", GONE)
    until(lambda: not any(each.is_running() for each in family), "its children are gone", 20)
    service.client.close()


def test_the_source_sees_only_reading(database: str, guest_url: str, asker: Asker) -> None:
    before = _oracle.asked(
        database, "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY 1"
    )
    asker.finish(asker.create("orders", includes=["line_items"]))
    after = _oracle.asked(
        database, "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY 1"
    )
    assert after == before
    until(lambda: not [1 for _, _, query in backends(database, active=True)], "nothing goes on")


def test_no_transaction_stays_open_when_nothing_is_exported(database: str, asker: Asker) -> None:
    asker.finish(asker.create("orders", includes=["line_items"]))
    role = guest_of(urlsplit(database).path)
    query = f"SELECT pid FROM pg_stat_activity WHERE usename = '{role}' AND xact_start IS NOT NULL"
    until(lambda: not _oracle.asked(database, query), "no snapshot holds back vacuum", 20)


def _digests(path: Path) -> dict[str, str]:
    return {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in path.parent.glob(f"{path.name}*")
    }


@pytest.mark.parametrize(
    ("mode", "read_only"),
    [
        ("wal", False),
        ("delete", True),
        *(pytest.param(*odd, marks=pytest.mark.heavy) for odd in [("wal", True), ("delete", False)]),
    ],
)
def test_an_sqlite_file_is_the_same_afterwards(mode: str, read_only: bool, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    path = folder / "shop.db"
    url = _shop.fill_sqlite(path, Shop(orders=300))
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.close()
    if read_only:
        path.chmod(stat.S_IRUSR)
    before, at = _digests(path), path.stat().st_mtime_ns
    run = _outhaul.export(url, "orders", tmp_path, include="line_items", part_size=10_000).complete()
    assert len(run.rows()) == 300
    after = _digests(path)
    assert after[path.name] == before[path.name]
    assert path.stat().st_mtime_ns == at
    assert {name for name, _ in after.items()} - {"shop.db-wal", "shop.db-shm"} == {"shop.db"}
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)
    connection.close()


def test_a_writer_of_an_sqlite_file_in_wal_mode_never_waits(
    filled: Callable[[str, Shop], str], tmp_path: Path
) -> None:
    url = filled("sqlite", SHOP)
    connection = sqlite3.connect(
        url.removeprefix("sqlite:///"), timeout=0.05, isolation_level=None, check_same_thread=False
    )
    done = threading.Event()
    waits: list[str] = []
    writes = [0]

    def write() -> None:
        while not done.is_set():
            try:
                connection.execute("UPDATE tags SET note = 'x' WHERE id = 1")
                writes[0] += 1
            except sqlite3.OperationalError as error:
                waits.append(str(error))
            time.sleep(0.005)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        _outhaul.export(
            url, "orders", tmp_path, format="json", include="line_items", part_size=PARTS
        ).complete()
    finally:
        done.set()
        thread.join()
        connection.close()
    assert writes[0] > 20
    assert not waits, waits[:3]


SECRET = "hunter2-c@nary/%s"


def test_a_secret_in_an_url_is_never_printed_logged_or_kept(
    database: str, guest_url: str, tmp_path: Path
) -> None:
    url = guest_url.replace("s3cr3t", quote(SECRET, safe=""))
    spoken = [SECRET, quote(SECRET), quote(SECRET, safe=""), "hunter2"]
    broken = url.replace(urlsplit(url).path, "/no_such_database")
    refused = f"postgresql://guest:{quote(SECRET, safe='')}@127.0.0.1:{_outhaul.free_port()}/shop"
    said: list[str] = []
    for source in (url, broken, refused):
        output = tmp_path / f"out-{len(said)}"
        said.append(_outhaul.command("export", source, "orders", "--output", output, at=tmp_path).said)
    wrong = (url.replace("postgresql", "postgresq1"), f"{url}?nonsense=1")
    said += [_outhaul.command("catalog", source, at=tmp_path).said for source in (url, *wrong)]
    with _outhaul.serving(url, tmp_path / "service") as service:
        asker = service.asker()
        asker.file(asker.create("orders"))
        asker.ask("orders", filters={"nobody_eq": 1})
        said += [" ".join(each.cmdline()) for each in service.family()[1:]]
        said.append(
            service.http("GET", "/api/exports/x", headers={"Authorization": f"Bearer {asker.token}"}).text
        )
        service.stop()
        said.append(service.log.read_text())
    for path in tmp_path.rglob("*"):
        if path.is_file():
            said.append(path.read_bytes().decode(errors="replace"))
    for text in said:
        for word in spoken:
            assert word not in text, text[:3000]


def test_tokens_are_not_kept_in_clear(asker: Asker) -> None:
    for path in asker.service.state.rglob("*"):
        if path.is_file():
            assert asker.token.encode() not in path.read_bytes(), path
    assert asker.token not in asker.service.log.read_text()


def test_what_outhaul_keeps_is_for_its_owner_only(asker: Asker) -> None:
    asker.finish(asker.create("orders"))
    for path in asker.service.state.rglob("*"):
        if path.is_file() and path.name not in {"ledger.db-shm", "ledger.db-wal"}:
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, f"{path} can be read by others"
