"""The pulse outlives a ledger that is away, and ends the work before it ends itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from outhaul.export import Part
from outhaul.ledger import Lease, Terms, Verdict
from outhaul.ledger.pulse import Pulse, Stopped

LEASE = Lease(Part("abc", 1, 0, "json", {}, 1, 1), "token", "worker")


class Ledger:
    """Answers what the test says, as often as it is asked."""

    terms = Terms(lease=timedelta(seconds=0.4))

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.asked = 0

    def check(self, _: Lease) -> Verdict:
        self.asked += 1
        if self.fault:
            raise self.fault
        return Verdict.GO

    def beat(self, lease: Lease, _: int) -> Verdict:
        return self.check(lease)


@contextmanager
def beating(ledger: Ledger) -> Iterator[tuple[Pulse, list[str]]]:
    cancelled: list[str] = []
    pulse = Pulse(cast("Any", ledger), "worker")
    pulse.start()
    try:
        with pulse.watching([LEASE], SimpleNamespace(cancel=lambda: cancelled.append("statement"))):
            yield pulse, cancelled
    finally:
        pulse.close()


def asked_again(ledger: Ledger, times: int) -> None:
    deadline, wanted = time.monotonic() + 20, ledger.asked + times
    while ledger.asked < wanted:
        assert time.monotonic() < deadline, "the pulse has stopped asking"
        time.sleep(0.01)


def test_a_ledger_with_no_free_connection_is_asked_again() -> None:
    ledger = Ledger()
    with beating(ledger) as (pulse, cancelled):
        ledger.fault = PoolTimeout("QueuePool limit")
        asked_again(ledger, 3)
        ledger.fault = None
        asked_again(ledger, 2)
        pulse.checkpoint()
        assert cancelled == []


def test_work_stops_when_its_pulse_fails_in_an_unforeseen_way() -> None:
    ledger = Ledger()
    with beating(ledger) as (pulse, cancelled):
        ledger.fault = RuntimeError("nobody thought of this")
        asked_again(ledger, 2)
        with pytest.raises(Stopped):
            pulse.checkpoint()
        assert cancelled == ["statement"]
