"""`outhaul migrate`: the ledger's tables, brought to this version."""

from __future__ import annotations

from outhaul import config
from outhaul.commands import _options as options


def run(state: options.State = None, file: options.ConfigFile = None) -> None:
    """Bring the ledger to this version; `serve` does the same at its start."""
    from outhaul.ledger import Ledger

    settings = options.settings(file, state=state)
    config.prepare(settings.state)
    with Ledger(settings.ledger_url) as ledger:
        ledger.migrate()
        options.people.print(f"The ledger is at revision {ledger.revision()}.")
