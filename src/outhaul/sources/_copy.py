"""One asyncpg connection, driven by synchronous code: statements, and COPY that is pulled block by block."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, TypeVar

import asyncpg

from outhaul.errors import SourceAway, Unproven
from outhaul.sources._postgresql_complaints import translated

BLOCK_BYTES = 1 << 20  # parsing and gluing gain nothing from more, and values with line breaks lose
CONNECT_SECONDS = 15.0
FAREWELL_SECONDS = 1.0

# A version that does not know a setting does without it.
APPLY = """
SELECT set_config(given.name, given.value, false) FROM unnest($1::text[], $2::text[]) AS given(name, value)
WHERE current_setting(given.name, true) IS NOT NULL
"""

Result = TypeVar("Result")


class Wire:
    """A connection with a loop of its own, which turns only while somebody waits for an answer.

    So the socket is read no faster than blocks are taken. `cancel` may come from any thread; afterwards every call
    raises SourceAway. `version` is the server's major version.
    """

    version = 0
    unproven_text = False

    def __init__(self, url: str, application: str, settings: Mapping[str, str]) -> None:
        self._loop = asyncio.new_event_loop()
        self._cancelled = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._connection: asyncpg.Connection[Any] | None = None
        try:
            self._connection = self.run(self._connect(url, application))
            self._apply(settings)
        except BaseException:
            self.close()
            raise

    async def _connect(self, url: str, application: str) -> asyncpg.Connection[Any]:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_SECONDS,
            statement_cache_size=0,
            server_settings={"application_name": application},
        )

    def _apply(self, settings: Mapping[str, str]) -> None:
        known = self.connection.get_settings()
        self.version = self.connection.get_server_version().major
        # Without an encoding the server passes bytes on; as LATIN1 none of them is refused on the way.
        self.unproven_text = known.server_encoding == "SQL_ASCII"
        given = {**settings, "client_encoding": "LATIN1"} if self.unproven_text else settings
        self.fetch(APPLY, list(given), list(given.values()))

    @property
    def connection(self) -> asyncpg.Connection[Any]:
        assert self._connection is not None
        return self._connection

    def _sent(self, value: Any) -> Any:
        """Arguments and answers follow the encoding of the session; asyncpg writes statements in UTF-8 in any case."""
        if isinstance(value, list):
            return [self._sent(one) for one in value]
        return value.encode().decode("latin-1") if self.unproven_text and isinstance(value, str) else value

    def _received(self, value: Any) -> Any:
        if self.unproven_text and isinstance(value, str):
            return value.encode("latin-1").decode(errors="replace")
        return value

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Turn the loop until the work is done; errors come in our words."""
        if self._cancelled or self._loop.is_closed():
            work.close()
            raise self._ended()
        task = self.start(work)
        try:
            return self._loop.run_until_complete(task)
        except asyncio.CancelledError:
            raise self._ended() from None
        except Exception as error:
            if self._cancelled:
                raise self._ended() from error
            raise translated(error) from error

    def start(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Begin work that goes on whenever the loop turns."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _ended(self) -> SourceAway:
        return SourceAway(
            "The connection to the source was ended from our side.", hint="Start the export again."
        )

    def execute(self, statement: str) -> None:
        self.run(self.connection.execute(statement))

    def fetch(self, statement: str, *args: Any) -> list[tuple[Any, ...]]:
        """All rows of a small answer."""
        sent = [self._sent(one) for one in args]
        rows = self.run(self.connection.fetch(statement, *sent))
        return [tuple(self._received(value) for value in row.values()) for row in rows]

    def copy(self, select: str) -> Copy:
        """The rows of a SELECT as CSV; no other statement may run until the end of it."""
        return Copy(self, select)

    def cancel(self) -> None:
        """End what runs, from any thread."""
        self._cancelled = True
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel_tasks)

    def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """End what runs and the connection; never raises for a source that is gone."""
        if self._loop.is_closed():
            return
        self._loop.run_until_complete(self._farewell())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _farewell(self) -> None:
        mine = asyncio.current_task()
        waiting = [task for task in self._tasks if task is not mine]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        if self._connection is not None:
            try:
                await self._connection.close(timeout=FAREWELL_SECONDS)
            except (Exception, asyncio.CancelledError):  # noqa: BLE001  # the server will notice by itself
                self._connection.terminate()
            await asyncio.sleep(0)


class Copy:
    """The answer to one COPY. `take` gives whole rows, about BLOCK_BYTES at a time, then b"".

    `bytes` taken so far; `rows` by the server's count, once the end is reached.
    """

    def __init__(self, wire: Wire, select: str) -> None:
        self._wire, self._select = wire, select
        self._pieces: list[bytes] = []
        self._held = 0
        self._room = asyncio.Event()
        self._wake: asyncio.Future[None] | None = None
        self._task: asyncio.Task[str] | None = None
        self.bytes = 0
        self.rows: int | None = None
        self.stopped = False

    def take(self) -> bytes:
        return self._wire.run(self._take())

    def blocks(self) -> Iterator[bytes]:
        while block := self.take():
            yield block

    async def _take(self) -> bytes:
        if self._task is None:
            work = self._wire.connection.copy_from_query(self._select, output=self._sink, format="csv")
            self._task = self._wire.start(work)
            self._task.add_done_callback(lambda _: self._awake())
        if not self._task.done():
            self._wake = asyncio.get_running_loop().create_future()
            self._room.set()
            await self._wake
        if self._task.done():
            self.rows = int(self._task.result().removeprefix("COPY "))
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        self.bytes += len(data)
        return data

    def stop(self) -> None:
        """Give up before the end; the transaction is lost, the connection is not."""
        if self._task is not None:
            self.stopped = True
            self._room.set()
            self._wire.run(self._ended(self._task))

    async def _ended(self, task: asyncio.Task[str]) -> None:
        """Cancelling the task instead would wait for ever, for a server that has sent the last row already."""
        connection: Any = self._wire.connection
        if not task.done():
            await connection._cancel(asyncio.get_running_loop().create_future())  # noqa: SLF001  # the public way is to cancel the task
            await asyncio.wait({task})
        task.exception()

    async def _sink(self, data: bytes) -> None:
        if self.stopped:
            return
        self._pieces.append(data)
        self._held += len(data)
        if self._held >= BLOCK_BYTES:
            self._room.clear()
            self._awake()
            await self._room.wait()

    def _awake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def prove(self, rows: int) -> None:
        """The rows that were seen are those that the server says it sent."""
        if self.rows != rows and not self.stopped:
            facts = {"sent": self.rows, "seen": rows}
            raise Unproven(f"The source sent {self.rows} rows, and {rows} were read.", facts=facts)
