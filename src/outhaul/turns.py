"""Requests that wait for others, in threads of their own: whoever only looks never stands behind them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

AT_ONCE = 40  # requests that count rows, or wait for whoever writes; more wait without a thread

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

_threads = CapacityLimiter(AT_ONCE)


def in_turn(call: Callable[Given, Answer]) -> Callable[Given, Awaitable[Answer]]:
    """For calls that change something."""

    @wraps(call)
    async def turned(*given: Given.args, **named: Given.kwargs) -> Answer:
        return await waiting(partial(call, *given, **named))

    return turned


async def waiting(work: Callable[[], Answer]) -> Answer:
    """What the work gives, which may have to wait."""
    return await to_thread.run_sync(work, limiter=_threads)
