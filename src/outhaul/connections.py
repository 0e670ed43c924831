"""Connections as uvicorn reads them, but for those that only keep us waiting: each takes a file handle of ours."""

from __future__ import annotations

import asyncio
import resource

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

PATIENCE = 60.0  # seconds for the head of a request, and for a piece of its body; at most twice as much
HANDLES = 65_536  # that we want, where the system lets us have more than it gives


class Connection(H11Protocol):
    """Closed when its peer has begun no request, or has left one where it is, at two looks in a row."""

    _owed: tuple[RequestResponseCycle | None, bool] | None = (None, False)
    _heard = False
    _next: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn has it so
        super().connection_made(transport)
        self._next = self.loop.call_later(PATIENCE, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._next:
            self._next.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        super().data_received(data)

    def _look(self) -> None:
        request: RequestResponseCycle | None = self.cycle
        begun = request is not None and not request.response_complete
        if request is not None and begun:
            owes = request.more_body and not self._heard and not self.flow.read_paused
        else:
            owes = self.timeout_keep_alive_task is None  # else uvicorn closes it by itself
        before, self._owed = self._owed, (request, begun) if owes else None
        self._heard = False
        if owes and before == self._owed:
            self.transport.close()
        else:
            self._next = self.loop.call_later(PATIENCE, self._look)


def roomy() -> None:
    """As many file handles as we may have: what is usual is used up by a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = HANDLES if hard == resource.RLIM_INFINITY else min(hard, HANDLES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
