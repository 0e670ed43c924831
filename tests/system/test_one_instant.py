"""All parts of an export, and all records related to them, are of one instant, whatever others write meanwhile."""

from __future__ import annotations

import io
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

from outhaul.export import Draft, Selection
from tests.postgres import Server
from tests.served import US, done, put_together
from tests.system import _bank, _oracle, _outhaul
from tests.system._outhaul import Asker
from tests.system._proxy import Proxy, proxy
from tests.system.conftest import SOURCES


@pytest.fixture(scope="module", params=SOURCES or ["postgresql"])
def bank(request: pytest.FixtureRequest, postgres_server: Server, room: Path) -> Iterator[str]:
    name = f"bank_{uuid4().hex}"
    if request.param == "sqlite":
        yield _bank.found_bank(f"sqlite:///{room}/{name}.db")
    else:
        with postgres_server.database(name) as url:
            yield _bank.found_bank(url)


@pytest.fixture(scope="module")
def teller(bank: str, room: Path) -> Iterator[Asker]:
    """Asks a service that reads the bank in many parts with two workers."""
    with _outhaul.serving(bank, room / f"service-{uuid4().hex}", part_bytes=20_000, workers=2) as service:
        yield service.asker()


def test_accounts_agree_with_their_entries_while_money_moves(any_form: str, bank: str, teller: Asker) -> None:
    with _bank.moving(bank):
        for _ in range(3):
            export_id = teller.create("accounts", any_form, includes=["entries"])
            found = _oracle.rows(any_form, teller.file(export_id))
            _bank.check_accounts(found, [_oracle.cell(any_form, row.get("entries")) for row in found])
    assert _outhaul.parts_of(teller.manifest(export_id)) >= 4


def test_no_entry_is_without_its_account_while_money_moves(any_form: str, bank: str, teller: Asker) -> None:
    with _bank.moving(bank):
        for _ in range(2):
            export_id = teller.create("entries", any_form, includes=["account"])
            found = _oracle.rows(any_form, teller.file(export_id))
            _bank.check_entries(found, [_oracle.cell(any_form, row.get("account")) for row in found])
    assert _outhaul.parts_of(teller.manifest(export_id)) >= 4


def test_flat_totals_are_right_while_money_moves(any_form: str, bank: str, teller: Asker) -> None:
    with _bank.moving(bank):
        for resource, field in (("accounts", "balance"), ("entries", "amount")) * 2:
            export_id = teller.create(resource, any_form)
            assert sum(_oracle.numbers(_oracle.rows(any_form, teller.file(export_id)), field)) == _bank.TOTAL
            assert _outhaul.parts_of(teller.manifest(export_id)) >= 4


def test_two_exports_at_once_are_each_of_one_instant_while_money_moves(bank: str, teller: Asker) -> None:
    with _bank.moving(bank):
        asked = [
            teller.create("accounts", includes=["entries"]),
            teller.create("entries", includes=["account"]),
        ]
        accounts, entries = (_oracle.rows("json", teller.file(each)) for each in asked)
    _bank.check_accounts(accounts, [row.get("entries") for row in accounts])
    _bank.check_entries(entries, [row.get("account") for row in entries])


def test_all_resources_of_an_archive_are_of_one_instant_while_money_moves(bank: str, room: Path) -> None:
    wanted = (Selection("accounts"), Selection("entries"))
    draft = Draft(wanted, ("json", "csv"), "gzip", archive="bank", sha1=True, part_bytes=30_000)
    with put_together(bank, room / uuid4().hex, workers=2) as outhaul, _bank.moving(bank):
        export = done(outhaul, outhaul.exports.create(US, draft))
        assert export.parts >= 16
        file = outhaul.exports.file(US, export.id, "bank.zip")
        with zipfile.ZipFile(io.BytesIO(b"".join(file.read(0, file.length)))) as found:
            for form in ("json", "csv"):
                accounts = _oracle.rows(form, found.read(f"accounts.{form}"))
                mine: dict[str, list[_oracle.Pairs]] = {str(row.get("id")): [] for row in accounts}
                for row in _oracle.rows(form, found.read(f"entries.{form}")):
                    mine[str(row.get("account_id"))].append(row)
                _bank.check_accounts(accounts, [mine[str(row.get("id"))] for row in accounts])


def test_the_command_line_gives_one_instant_while_money_moves(bank: str, tmp_path: Path) -> None:
    with _bank.moving(bank):
        run = _outhaul.export(
            bank, "accounts", tmp_path, include="entries", part_size=20_000, workers=2
        ).complete()
    assert _outhaul.parts_of(run) >= 4
    _bank.check_accounts(run.rows(), [row.get("entries") for row in run.rows()])


# The others are for `make test-all`.
OFTEN = {"truncate", "drop_column"}
CHANGES = {
    "truncate": "TRUNCATE {0}",
    "vacuum_full": "VACUUM FULL {0}",
    "cluster": "CLUSTER {0} USING {0}_pkey",
    "drop_column": "ALTER TABLE {0} DROP COLUMN filler",
    "rename_column": "ALTER TABLE {0} RENAME COLUMN filler TO stuffing",
    "add_column": "ALTER TABLE {0} ADD COLUMN extra text DEFAULT 'more'",
    "alter_type": "ALTER TABLE {0} ALTER COLUMN number TYPE numeric(12,2) USING number + 0.5",
    "drop_table": "DROP TABLE {0} CASCADE",
    "refresh": "REFRESH MATERIALIZED VIEW {0}_seen",
}
KINDS = [pytest.param(kind, marks=() if kind in OFTEN else pytest.mark.heavy) for kind in CHANGES]
# Some rows are gone and some are new before the change, so that a file of neither instant would show.
MESS = "DELETE FROM {0} WHERE id % 7 = 0; INSERT INTO {0} SELECT n, n, 'later' FROM generate_series(900001, 900500) n"
ROWS = 12_000


def table_for_change(connection: psycopg.Connection[Any], name: str) -> None:
    connection.execute(
        f"CREATE TABLE {name} (id integer PRIMARY KEY, number integer NOT NULL, filler text NOT NULL)"
    )
    connection.execute(f"INSERT INTO {name} SELECT n, n, repeat('x', 200) FROM generate_series(1, {ROWS}) n")
    if name.startswith("refresh"):
        connection.execute(f"CREATE MATERIALIZED VIEW {name}_seen AS SELECT * FROM {name}")
        connection.execute(f"CREATE UNIQUE INDEX {name}_seen_id ON {name}_seen (id)")


@pytest.fixture(scope="module")
def changing(postgres_server: Server) -> Iterator[str]:
    """A database with two tables for each change: one for each moment."""
    with postgres_server.database(f"changing_{uuid4().hex}") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            for kind in CHANGES:
                table_for_change(connection, f"{kind}_queued")
                table_for_change(connection, f"{kind}_running")
            connection.execute("CREATE TABLE blocker AS SELECT 1 AS id")
            connection.execute("ANALYZE")
        yield url


def contents(url: str, name: str) -> dict[str, int] | None:
    """What a right file holds now; None when the table is gone."""
    try:
        return _oracle.counted(_oracle.rows_as_json(url, f"SELECT * FROM {name}"))
    except psycopg.errors.UndefinedTable:
        return None


def is_one_of(found: dict[str, int], befores: list[dict[str, int] | None]) -> bool:
    return any(found == before for before in befores)


@pytest.fixture(scope="module")
def one_worker(changing: str, room: Path) -> Iterator[Asker]:
    with _outhaul.serving(changing, room / "one-worker", workers=1, part_bytes=100_000) as service:
        yield service.asker()


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_between_request_and_start_is_right_or_refused(
    kind: str, one_worker: Asker, changing: str
) -> None:
    table = f"{kind}_queued"
    resource = f"{table}_seen" if kind == "refresh" else table
    with psycopg.connect(changing) as locker:
        locker.execute("LOCK TABLE blocker IN ACCESS EXCLUSIVE MODE")
        blocked = one_worker.create("blocker")
        wanted = one_worker.create(resource)
        befores = [contents(changing, resource)]
        with psycopg.connect(changing, autocommit=True) as connection:
            connection.execute(MESS.format(table))
            befores.append(contents(changing, resource))
            connection.execute(CHANGES[kind].format(table))
            befores.append(contents(changing, resource))
    last = one_worker.wait(wanted)
    if last["status"] == "completed":
        found = _oracle.counted(_oracle.rows("json", one_worker.file(wanted)))
        assert is_one_of(found, befores), f"{len(found)} rows are of no instant"
    else:
        assert last["status"] == "failed"
        assert re.search("SchemaChanged", str(last["errors_log"])), last["errors_log"]
        assert last["attachment_url"] is None
    one_worker.wait(blocked)


@pytest.fixture
def slowed(changing: str) -> Iterator[tuple[Proxy, str]]:
    """The database behind a slow line: parts take long enough to change something between them."""
    address = urlsplit(changing)
    with proxy(str(address.hostname), int(address.port or 5432), rate=3_000_000) as between:
        yield between, changing.replace(f":{address.port}/", f":{between.port}/")


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_between_two_parts_is_right_or_refused(
    kind: str, slowed: tuple[Proxy, str], changing: str, tmp_path: Path
) -> None:
    between, url = slowed
    table = f"{kind}_running"
    resource = f"{table}_seen" if kind == "refresh" else table
    befores = [contents(changing, resource)]
    changed: list[float] = []

    def change() -> None:
        with psycopg.connect(changing, autocommit=True) as connection:
            connection.execute(MESS.format(table))
            befores.append(contents(changing, resource))
            connection.execute(CHANGES[kind].format(table))
            befores.append(contents(changing, resource))
            changed.append(time.monotonic())

    thread = threading.Thread(target=change)
    between.after(700_000, thread.start)
    run = _outhaul.export(url, resource, tmp_path, format="json", part_size=150_000, workers=1)
    ended = time.monotonic()
    thread.join(30)
    assert changed, "the change was not made"
    assert changed[0] < ended, "the change came after the export: the test shows nothing"
    if run.code == 0:
        assert is_one_of(_oracle.counted(run.rows()), befores), "the rows are of no instant"
        assert _outhaul.parts_of(run) >= 5 or not run.rows()
    else:
        assert re.search("schema ?changed", run.said, re.IGNORECASE), run.said
        assert run.files == []


def test_a_table_changed_all_the_time_never_gives_a_wrong_file(changing: str, tmp_path: Path) -> None:
    with psycopg.connect(changing, autocommit=True) as connection:
        connection.execute("CREATE TABLE restless (id integer PRIMARY KEY, number integer, filler text)")
        connection.execute(
            f"INSERT INTO restless SELECT n, 1, repeat('y', 100) FROM generate_series(1, {ROWS}) n"
        )
    done = threading.Event()

    def shake() -> None:
        with psycopg.connect(changing, autocommit=True) as connection:
            while not done.wait(0.05):
                connection.execute("UPDATE restless SET number = number + 1")
                connection.execute("VACUUM FULL restless")

    thread = threading.Thread(target=shake)
    thread.start()
    try:
        run = _outhaul.export(changing, "restless", tmp_path, format="ndjson", part_size=200_000, workers=2)
    finally:
        done.set()
        thread.join(30)
    if run.code == 0:
        found = run.rows()
        assert sorted(_oracle.numbers(found, "id")) == list(range(1, ROWS + 1))
        assert len(set(_oracle.numbers(found, "number"))) == 1, "two instants in one file"
    else:
        assert re.search("schema ?changed", run.said, re.IGNORECASE), run.said
        assert run.files == []
