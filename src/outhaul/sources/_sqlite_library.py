"""ADBC's SQLite library on a thread of its own, so that whoever waits for it can be called away."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import adbc_driver_manager as adbc
import adbc_driver_sqlite as driver
import pyarrow as pa
from sqlalchemy.engine import make_url

from outhaul.errors import Misconfigured, OuthaulError, SchemaChanged, SourceAway, SourceBusy, SourceError

BLOCK_BYTES = 2 << 20
MOST_BATCHES = 512  # batches of a single row weigh far more than their values
BUSY_SECONDS = 5
CACHE_KIB = 16384  # lookups of related rows read a third of their pages again with the 2 MB of the default

Result = TypeVar("Result")


class Loose(SourceError):
    """A value is not of the class that its column was declared to have, or not exact as what it was read as."""


SAID: tuple[tuple[str, type[OuthaulError], str], ...] = (
    ("is locked", SourceBusy, "Somebody else is writing to the SQLite file"),
    ("no such table", SchemaChanged, "The source is not what it was when the export was asked for"),
    ("no such column", SchemaChanged, "The source is not what it was when the export was asked for"),
    ("failed to open", SourceAway, "The SQLite file cannot be opened"),
    ("unable to open", SourceAway, "The SQLite file cannot be opened"),
    ("malformed", SourceAway, "The SQLite file is damaged"),
    ("not a database", SourceAway, "The file is no SQLite database"),
    ("disk I/O error", SourceAway, "The SQLite file cannot be read"),
    ("Type mismatch in column", Loose, "A column holds values of several classes"),
)


def file_of(url: str) -> Path:
    """The file that `sqlite:///...` names; Misconfigured when it names none."""
    database = make_url(url).database
    if database in {None, "", ":memory:"}:
        raise Misconfigured(f"{url} names no file.", hint="Write it as sqlite:///my.db.", wrong=url)
    return Path(str(database)).absolute()


def read_only(path: Path) -> str:
    return f"{path.as_uri()}?mode=ro"


def translated(error: Exception) -> OuthaulError:
    """The library's complaint in our words."""
    detail = str(error).rstrip(".")
    for sign, ours, words in SAID:
        if sign in detail:
            return ours(f"{words}: {detail}.", hint="Start the export again." if ours is SourceBusy else "")
    return SourceError(f"The source could not answer: {detail}.")


class Library:
    """One connection. Calls run one after the other on a daemon thread: the driver cannot end a statement, so after
    `cancel` the callers get SourceAway at once while the thread finishes (`stuck`), or ends with the process.
    """

    def __init__(self, path: Path) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._waited: Future[Any] | None = None
        self._cancelled = False
        self._thread = threading.Thread(target=self._work, name="outhaul-sqlite", daemon=True)
        self._thread.start()
        self._cursors: set[_Cursor] = set()
        try:
            self._connection = self.call(lambda: self._connected(path))
            self.fetch(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        except BaseException:
            self._calls.put(None)
            raise

    def _connected(self, path: Path) -> Any:
        if not path.is_file():
            raise FileNotFoundError(f"failed to open {path}: there is no such file")
        self._database = driver.connect(read_only(path))
        return adbc.AdbcConnection(self._database)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            answer, work = call
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
                _settle(answer, error=error)
            else:
                _settle(answer, result)

    def call(self, work: Callable[[], Result]) -> Result:
        """Run on the library's thread; wait for it, or until `cancel`."""
        return self._wait(self._begun(work))

    def _begun(self, work: Callable[[], Result]) -> Future[Result]:
        answer: Future[Result] = Future()
        self._calls.put((answer, work))
        return answer

    def _wait(self, answer: Future[Result]) -> Result:
        self._waited = answer
        if self._cancelled:
            raise _ended()
        try:
            return answer.result()
        except (adbc.Error, pa.ArrowException, OSError) as error:
            raise translated(error) from error

    def cancel(self) -> None:
        """From any thread: whoever waits gets SourceAway."""
        self._cancelled = True
        if self._waited is not None:
            _settle(self._waited, error=_ended())

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    @property
    def stuck(self) -> bool:
        """A statement still runs after `close`; only its own end or that of the process stops it."""
        return self._cancelled and self._thread.is_alive()

    def transaction(self) -> None:
        """From here on one read transaction: the instant is that of the first read, which comes at once."""
        self.call(lambda: self._connection.set_autocommit(False))
        self.fetch("SELECT count(*) FROM sqlite_schema")
        self.fetch(f"PRAGMA cache_size = -{CACHE_KIB}")

    def rollback(self) -> None:
        self.call(self._connection.rollback)
        self.call(lambda: self._connection.set_autocommit(True))

    def fetch(self, statement: str, params: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a small answer."""
        return self.call(lambda: self._ask(statement, params))

    def _ask(self, statement: str, params: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
        cursor = _Cursor(self._connection, statement, params)
        try:
            columns = cursor.reader.read_all().columns
            return list(zip(*(column.to_pylist() for column in columns), strict=True))
        finally:
            cursor.close()

    def batches(self, statement: str, params: tuple[str, ...], batch_rows: int) -> Iterator[pa.Table]:
        """The rows in tables of about BLOCK_BYTES, the next one in the making; several may be read by turns."""
        cursor = self.call(lambda: self._open(statement, params, batch_rows))
        try:
            ahead = self._begun(lambda: self._gathered(cursor.reader))
            while (table := self._wait(ahead)) is not None:
                ahead = self._begun(lambda: self._gathered(cursor.reader))
                yield table
        finally:
            self._calls.put((Future(), lambda: self._shut(cursor)))

    def _shut(self, *cursors: _Cursor) -> None:
        for cursor in cursors:
            cursor.close()
            self._cursors.discard(cursor)

    def _open(self, statement: str, params: tuple[str, ...], batch_rows: int) -> _Cursor:
        cursor = _Cursor(self._connection, statement, params, batch_rows)
        self._cursors.add(cursor)
        return cursor

    def _gathered(self, reader: pa.RecordBatchReader) -> pa.Table | None:
        held: list[pa.RecordBatch] = []
        weight = 0
        while weight < BLOCK_BYTES and len(held) < MOST_BATCHES and not self._cancelled:
            try:
                held.append(reader.read_next_batch())
            except StopIteration:
                break
            weight += held[-1].nbytes
        return pa.Table.from_batches(held, reader.schema) if held else None

    def close(self) -> None:
        """Closes once the running call is over; does not wait for one that was cancelled."""
        if self._thread.is_alive():
            self._calls.put((Future(), lambda: self._shut(*self._cursors)))
            self._calls.put((Future(), self._connection.close))
            self._calls.put((Future(), self._database.close))
            self._calls.put(None)
            self._thread.join(None if not self._cancelled else 0.2)


class _Cursor:
    """A statement that runs, and what it gives. The driver's DB-API would do, but loads Polars wherever that is."""

    def __init__(
        self, connection: Any, statement: str, params: tuple[str, ...], batch_rows: int | None = None
    ) -> None:
        self._statement = adbc.AdbcStatement(connection)
        try:
            if batch_rows:
                self._statement.set_options(**{"adbc.sqlite.query.batch_rows": str(batch_rows)})
            self._statement.set_sql_query(statement)
            self._statement.prepare()
            if params:
                values = [pa.array([one]) for one in params]
                self._statement.bind(pa.record_batch(values, names=[str(n) for n in range(len(values))]))
            stream, _ = self._statement.execute_query()
            self.reader = pa.RecordBatchReader.from_stream(stream)
        except BaseException:
            self._statement.close()
            raise

    def close(self) -> None:
        self.reader.close()
        self._statement.close()


def _settle(answer: Future[Any], result: Any = None, error: BaseException | None = None) -> None:
    """The first settlement counts: the answer, or the call away."""
    with contextlib.suppress(InvalidStateError):
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)


def _ended() -> SourceAway:
    return SourceAway("The reading was ended from our side.", hint="Start the export again.")
