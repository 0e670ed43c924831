"""Very many callers at once: those who only look are not kept waiting by those who create."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from tests.system import _outhaul
from tests.system._shop import Shop

LOOKS = 4.0  # seconds; a creation waits 15 for whoever writes
WAITING = 60  # more than there are threads for requests


def test_whoever_looks_is_answered_while_very_many_creations_wait(
    filled: Callable[[str, Shop], str], tmp_path: Path
) -> None:
    source = filled("sqlite", Shop(customers=3, orders=3, lines=1))
    with _outhaul.serving(source, tmp_path) as service:
        asker = service.asker()
        export_id = asker.create("orders")
        asker.wait(export_id)
        (ledger,) = tmp_path.rglob("ledger.db")
        with (
            closing(sqlite3.connect(ledger, isolation_level=None)) as other,
            ThreadPoolExecutor(WAITING) as many,
        ):
            other.execute("BEGIN IMMEDIATE")
            asked = [many.submit(asker.ask, "orders") for _ in range(WAITING)]
            looked = time.monotonic() + LOOKS
            while time.monotonic() < looked:
                assert asker.get(export_id)["status"] == "completed"
            waiting = [one for one in asked if not one.done()]
            other.execute("ROLLBACK")
            assert len(waiting) == WAITING
            assert {one.result().status_code for one in asked} == {201}
