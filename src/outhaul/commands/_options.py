"""Options that several commands share, and the settings they lead to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from outhaul import config
from outhaul.errors import Misconfigured

# No markup: names and paths may hold what Rich would take for it.
people = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)  # for what is not a result
terminal = sys.stdout.isatty()
results = Console(
    highlight=False, markup=False, width=None if terminal else 1_000_000
)  # a program reads whole lines

Source = Annotated[
    str | None,
    typer.Argument(metavar="SOURCE", help="The database: sqlite:///my.db or postgresql://user@host/name."),
]
GivenSource = Annotated[
    str,
    typer.Argument(metavar="SOURCE", help="The database: sqlite:///my.db or postgresql://user@host/name."),
]
CatalogFile = Annotated[
    Path | None, typer.Option("--catalog", metavar="FILE", help="Catalog file: what is offered, and to whom.")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file; default: outhaul.toml, if it is there."),
]
State = Annotated[
    Path | None,
    typer.Option("--state", metavar="FOLDER", help="Folder of ledger, files and key; default: .outhaul."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Worker processes; default: one a core.")
]


def table(*columns: str) -> Table:
    """A table without lines; for a program each row is one line."""
    made = Table(box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, no_wrap=not terminal, overflow="fold")
    return made


def size(text: str, option: str) -> int:
    """Bytes; Misconfigured names the option."""
    try:
        found = int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        found = 0
    if found < 1:
        raise Misconfigured(f"{option} {text!r} is no size.", hint="Bytes, or a size like 20MB.", wrong=text)
    return found


def settings(file: Path | None = None, **flags: Any) -> config.Settings:
    """The settings under the given flags; a flag that is None was not given."""
    return config.load(flags, file)
