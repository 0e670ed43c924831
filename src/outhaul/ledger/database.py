"""The ledger's database: one engine that writes, one that reads, and the way to the newest schema."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from outhaul.errors import Misconfigured
from outhaul.ledger.tables import metadata
from outhaul.ledger.terms import Terms

HEAD = "0021"  # the newest revision in migrations/versions
LOCKS = {
    "migrate": 0x6F7574_01,
    "admit": 0x6F7574_02,
    "create": 0x6F7574_03,
    "webhook": 0x6F7574_04,
    "trigger": 0x6F7574_05,
    "flag": 0x6F7574_06,
}  # advisory locks of PostgreSQL, ours by the letters "out"
AWAY = (
    OperationalError,
    InterfaceError,
    PoolTimeout,
)  # what a ledger raises that cannot be reached, or not in time
ALONE = "outhaul_alone"  # an option of statements that run without a transaction
READERS = 20  # connections of one process that read at the same time, at most
PATIENCE = 15.0  # seconds to wait for another writer or a server that does not answer


class Database:
    """Two engines on one database: writes of SQLite begin with the write lock, reads never wait for it."""

    def __init__(self, url: str, terms: Terms | None = None) -> None:
        self.url = url
        self.terms = terms or Terms()
        address = make_url(url)
        if address.get_backend_name() == "sqlite":
            self._writer, self._reader = _sqlite(address)
            self._looker = self._reader.execution_options(**{ALONE: True})
        elif address.get_backend_name() == "postgresql":
            self._writer = self._reader = _postgresql(address)
            self._looker = self._reader.execution_options(isolation_level="AUTOCOMMIT")
        else:
            raise Misconfigured(
                f"A ledger cannot live in {address.get_backend_name()}.",
                hint="Use sqlite:///file.db or postgresql://user@host/database.",
            )

    @property
    def dialect(self) -> sa.Dialect:
        return self._writer.dialect

    @contextmanager
    def _write(self, lock: str | None = None) -> Iterator[sa.Connection]:
        """A transaction that writes; `lock` names a step that only one process at a time may take."""
        with self._writer.begin() as connection:
            self._alone(connection, lock)
            yield connection

    @contextmanager
    def _jot(self, lock: str | None = None) -> Iterator[sa.Connection]:
        """As `_write`, but does not wait for the disk: a power cut, on PostgreSQL a crash of the server too, may undo
        the last of these, as if they had never been. For what nobody was promised, and whoever comes after does again.
        Workers and keepers may outlive that server: what they hold on to is for `_pin`."""
        with self._writer.connect() as connection:
            if self.dialect.name == "postgresql":
                with connection.begin():
                    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                    self._alone(connection, lock)
                    yield connection
                return
            raw: Any = connection.connection.driver_connection  # before BEGIN, or it would not count
            raw.execute("PRAGMA synchronous=NORMAL")
            try:
                with connection.begin():
                    yield connection
            finally:
                raw.execute("PRAGMA synchronous=FULL")

    @contextmanager
    def _pin(self) -> Iterator[sa.Connection]:
        """For what a living process holds on to, as an instant: lasting where a server may crash without that process,
        and a jot in SQLite, where a power cut ends both."""
        with self._write() if self.dialect.name == "postgresql" else self._jot() as connection:
            yield connection

    def _alone(self, connection: sa.Connection, lock: str | None) -> None:
        if lock and self.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCKS[lock])))

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def _look(self) -> Iterator[sa.Connection]:
        """As `_read`, for one statement: with none beside it that must see the same, it needs no transaction, and each
        BEGIN and ROLLBACK would be a wait as long as its own."""
        with self._looker.connect() as connection:
            yield connection

    def revision(self) -> str | None:
        """The schema's revision; None in an empty database."""
        with self._read() as read:
            return _revision(read) if _versioned(read) else None

    def migrate(self) -> None:
        """Bring the schema to the newest revision; several processes may do it at once."""
        if self.revision() == HEAD:
            return
        with self._write("migrate") as connection:
            if not _versioned(connection):
                _create(connection)
            elif _revision(connection) != HEAD:
                _upgrade(connection)

    def close(self) -> None:
        self._writer.dispose()
        self._reader.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _versioned(connection: sa.Connection) -> bool:
    return sa.inspect(connection).has_table("alembic_version")


def _revision(connection: sa.Connection) -> str | None:
    found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _create(connection: sa.Connection) -> None:
    """The newest schema at once: a fresh ledger, as every command-line export makes one, needs no Alembic."""
    metadata.create_all(connection, checkfirst=False)
    version = sa.Column("version_num", sa.String(32), primary_key=True)
    table = sa.Table("alembic_version", sa.MetaData(), version)
    table.create(connection)
    connection.execute(table.insert().values(version_num=HEAD))


def _upgrade(connection: sa.Connection) -> None:
    from importlib.resources import as_file, files

    from alembic import command
    from alembic.config import Config

    with as_file(files("outhaul.ledger") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def moved(write: sa.Connection, statement: sa.Update | sa.Delete) -> bool:
    """Whether a conditional statement found its row."""
    return write.execute(statement).rowcount > 0


def _sqlite(url: URL) -> tuple[sa.Engine, sa.Engine]:
    if not url.database or url.database == ":memory:":
        raise Misconfigured(
            "A ledger in memory would be forgotten.", hint="Name a file: sqlite:///ledger.db."
        )
    file = Path(url.database)
    # The file is private from its first byte on; SQLite gives its log and index the same mode.
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    # One connection writes: threads of a process then queue in order instead of polling for the lock.
    writer = sa.create_engine(
        url,
        pool_size=1,
        max_overflow=0,
        pool_timeout=PATIENCE,
        connect_args={"timeout": PATIENCE},
        hide_parameters=True,
    )
    # All that readers open stay open: to open one takes longer than to read a row.
    reader = sa.create_engine(
        url,
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=PATIENCE,
        connect_args={"timeout": PATIENCE},
        hide_parameters=True,
    )
    sa.event.listen(writer, "connect", _prepare)
    sa.event.listen(reader, "connect", _prepare)
    sa.event.listen(writer, "begin", _begin_immediate)
    sa.event.listen(reader, "begin", _begin)
    return writer, reader


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    connection.execute("PRAGMA journal_mode=WAL")
    # FULL: an answered request must survive a power cut, and with NORMAL the last commits of the log may not.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: sa.Connection) -> None:
    if ALONE not in connection.get_execution_options():
        connection.exec_driver_sql("BEGIN DEFERRED")


def _postgresql(url: URL) -> sa.Engine:
    return sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        hide_parameters=True,
        pool_size=READERS // 2,
        max_overflow=READERS // 2,
        connect_args={"connect_timeout": int(PATIENCE), "application_name": "outhaul ledger"},
    )
