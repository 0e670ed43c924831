"""`outhaul maintenance`: the doors of a service, closed for a while and opened again."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from outhaul.commands import _granting as granting
from outhaul.commands import _options as options


def run(
    doors: Annotated[
        Literal["on", "off"], typer.Argument(help="on: refuse all calls; off: take them again.")
    ],
    state: options.State = None,
    file: options.ConfigFile = None,
) -> None:
    """Answer every call with 503 for a while; exports that run go on, and links can be used."""
    with granting.access(state, file) as access:
        changed = access.maintain(on=doors == "on")
    told = "is refused with 503" if doors == "on" else "is answered"
    options.people.print(f"Every call {told}{' from now on' if changed else ', as before'}.")
