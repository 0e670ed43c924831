"""A ledger that was brought forward revision by revision is the same as a fresh one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import outhaul.ledger
from outhaul.ledger import Ledger
from outhaul.ledger.database import HEAD
from outhaul.ledger.tables import metadata
from tests import drafts

MIGRATIONS = Path(outhaul.ledger.__file__).parent / "migrations"


def empty_again(url: str) -> None:
    """All tables gone, and no revision run yet: the next migration runs each of them."""
    with Ledger(url) as ledger, ledger._write() as write:
        metadata.drop_all(write)
        write.execute(sa.text("DELETE FROM alembic_version"))


def _index(told: Any) -> str:
    """An index with its conditions in words."""
    options = {name: str(value) for name, value in told.get("dialect_options", {}).items()}
    return repr({**told, "dialect_options": options})


def _counts_up(read: sa.Connection, table: str) -> bool:
    """Whether SQLite never gives a number of a row again; PostgreSQL never does."""
    if read.dialect.name != "sqlite":
        return True
    told = sa.text("SELECT sql LIKE '%AUTOINCREMENT%' FROM sqlite_master WHERE name = :name")
    return bool(read.execute(told, {"name": table}).scalar_one())


def schema(ledger: Ledger) -> dict[str, Any]:
    """Columns, keys, checks and indexes of every table, as the database tells them."""
    with ledger._read() as read:
        seen = sa.inspect(read)
        return {
            table: (
                _counts_up(read, table),
                [
                    (one["name"], str(one["type"]), one["nullable"], one["default"])
                    for one in seen.get_columns(table)
                ],
                seen.get_pk_constraint(table)["constrained_columns"],
                sorted(map(repr, seen.get_foreign_keys(table))),
                sorted(map(repr, seen.get_check_constraints(table))),
                sorted(map(_index, seen.get_indexes(table))),
                sorted(map(repr, seen.get_unique_constraints(table))),
            )
            for table in seen.get_table_names()
        }


def test_the_revisions_make_the_same_tables_as_a_fresh_ledger_has(url: str) -> None:
    with drafts.opened(url) as ledger:
        fresh = schema(ledger)
        assert ledger.revision() == HEAD == ScriptDirectory(str(MIGRATIONS)).get_current_head()
        assert set(fresh) == {*metadata.tables, "alembic_version"}
        empty_again(url)
        ledger.migrate()
        assert ledger.revision() == HEAD
        assert schema(ledger) == fresh
        with ledger._read() as read:
            assert compare_metadata(MigrationContext.configure(read), metadata) == []


def test_several_processes_may_migrate_at_once(url: str) -> None:
    def migrate(_: int) -> str | None:
        with Ledger(url) as ledger:
            ledger.migrate()
            return ledger.revision()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(migrate, range(4))) == [HEAD] * 4
        empty_again(url)
        assert list(pool.map(migrate, range(4))) == [HEAD] * 4
