"""Very many forms at once: whoever looks at a page does not stand behind those who wait for a writer."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from tests.console.visitors import Visitor

WAITING = 60  # more than there are common threads
LOOKS = 1.0  # seconds, in which all of the forms have come


def test_whoever_looks_is_answered_while_very_many_forms_wait(waiting: Visitor) -> None:
    waiting.sign_in()
    path = waiting.outhaul.settings.state / "ledger.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        ThreadPoolExecutor(WAITING) as many,
    ):
        other.execute("BEGIN IMMEDIATE")
        asked = [many.submit(waiting.post, "/enter", code="wrong") for _ in range(WAITING)]
        begun = time.monotonic()
        while time.monotonic() < begun + LOOKS:
            assert waiting.get("/catalog").status_code == 200
        slowest = time.monotonic() - begun - LOOKS
        waited = [one for one in asked if not one.done()]
        other.execute("ROLLBACK")
        assert len(waited) == WAITING
        assert slowest < LOOKS
        assert {one.result().status_code for one in asked} <= {401, 429}
