"""A service without HTTP: engine, keeper and reconciler in a process of their own, to be killed like the real one."""

from __future__ import annotations

import json
import logging
import sys

from outhaul import siblings, stores
from outhaul.engines.local import Engine
from outhaul.ledger import Ledger, Terms
from outhaul.reconcile import Loop


def main() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    config = json.loads(sys.stdin.readline())
    store = siblings.load(stores, "file").open_store(config["store"])

    with Ledger(config["ledger"], Terms.from_data(config["terms"])) as ledger:
        keeper = Engine([sys.executable, "-m", "outhaul.snapshots"], 1, config, lambda: None)
        engine = Engine([sys.executable, "-m", "outhaul.worker"], 2, config, lambda: loop.nudge())  # noqa: PLW0108  # `loop` is made below
        loop = Loop(ledger, engine, store, check=lambda _: None)
        with keeper, engine, loop:
            sys.stdin.read()


if __name__ == "__main__":
    main()
