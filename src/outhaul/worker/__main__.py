"""The process of a worker: reads deliveries, runs them one after the other, says when it is idle, ends in order."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pyarrow as pa

from outhaul import siblings, stores
from outhaul.ledger import AWAY, Ledger, Terms
from outhaul.ledger.pulse import TICK
from outhaul.worker.runs import Place, Worker

EXIT = 15  # seconds from the call to end until this process ends, come what may
SOON = 0.1  # seconds until the next part of an export has come if there is one for us
COPY_BYTES = 2 << 30  # largest SQLite file without WAL that is copied to be read

log = logging.getLogger("outhaul.worker")
Deliveries = SimpleQueue[Mapping[str, Any] | None]


def main() -> None:
    """Run deliveries, a JSON line each on standard input after one of configuration, until it ends; write a line
    whenever idle."""
    os.umask(0o077)
    # Arrow has handlers of its own while it parses, and a call to end that came to them was lost now and then.
    pa.enable_signal_handlers(False)
    # Arrow's default allocator keeps what columns of changing sizes leave behind: a third more at the peak.
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = json.loads(sys.stdin.readline())
    store = siblings.load(stores, config["store"].partition(":")[0]).open_store(config["store"])
    with Ledger(config["ledger"], Terms.from_data(config["terms"])) as ledger:
        worker = Worker(ledger, _place(config), store, config["worker"])
        deliveries: Deliveries = SimpleQueue()

        def end(*_: object) -> None:
            worker.pulse.ending = True
            deliveries.put(None)
            signal.alarm(EXIT)

        signal.signal(signal.SIGTERM, end)
        threading.Thread(target=_listen, args=[deliveries], daemon=True).start()
        worker.pulse.start()
        _serve(worker, deliveries)
        worker.close()
        worker.pulse.close()
    if worker.stuck:
        os._exit(1)


def _place(config: Mapping[str, Any]) -> Place:
    return Place(
        config["source"],
        Path(config.get("scratch", tempfile.gettempdir())),
        config.get("copy_bytes", COPY_BYTES),
        config.get("hold", False),
        config.get("rows_per_second"),
    )


def _listen(deliveries: Deliveries) -> None:
    """The end of standard input is a call to end."""
    for line in sys.stdin:
        deliveries.put(json.loads(line))
    os.kill(os.getpid(), signal.SIGTERM)


def _serve(worker: Worker, deliveries: Deliveries) -> None:
    idle = True
    while not worker.pulse.ending and not worker.stuck:
        if idle:
            with suppress(BrokenPipeError):
                sys.stdout.write("idle\n")
                sys.stdout.flush()
        delivery, idle = _next(worker, deliveries)
        if delivery is not None:
            try:
                worker.run(delivery["export"], delivery["part"], delivery["attempt"])
            except AWAY as error:
                log.warning("a part was given up: the ledger is away: %s", type(error).__name__)
        worker.look_after_instants()


def _next(worker: Worker, deliveries: Deliveries) -> tuple[Mapping[str, Any] | None, bool]:
    """What comes within a while, and whether anything came. The next part of an export comes at once, or not at all."""
    for patience in (SOON, TICK):
        try:
            delivery = deliveries.get(timeout=patience)
        except Empty:
            worker.rest()
        else:
            return delivery, delivery is not None
    return None, False


if __name__ == "__main__":
    main()
