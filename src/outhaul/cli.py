"""The command line: one command per file in `commands`, errors in one sentence, documented exit statuses."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated

import typer
from rich.text import Text

from outhaul import commands, errors, siblings
from outhaul.commands._options import people
from outhaul.config import redact

FAILED, WRONG_USE, SOURCE, STORE = 1, 2, 3, 4  # and 130, which typer gives for Ctrl-C
EXITS: Mapping[type[errors.OuthaulError], int] = {
    errors.OuthaulError: FAILED,
    errors.Misconfigured: WRONG_USE,
    errors.Refused: WRONG_USE,
    errors.SourceError: SOURCE,
    errors.StoreError: STORE,
}
DEBUG = "OUTHAUL_DEBUG"
ARGUMENTS = "OUTHAUL_ARGUMENTS"  # the command line as it was typed, while the visible one is redacted

app = typer.Typer(name="outhaul", no_args_is_help=True, pretty_exceptions_enable=False)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(version("outhaul"))
        raise typer.Exit


@app.callback()
def outhaul(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Every matching row, exactly once, as of one instant, with proof.

    Exit status: 0 done; 1 failed, or the proof found differences; 2 refused, or used wrongly; 3 the source failed;
    4 the place for files failed; 130 interrupted.
    """


for _name in siblings.names(commands):
    _command = siblings.load(commands, _name)
    if hasattr(_command, "app"):
        app.add_typer(_command.app, name=_name)
    else:
        app.command(_name)(_command.run)


def main() -> None:
    """The program `outhaul`."""
    sys.exit(run(_typed()))


def run(arguments: list[str]) -> int:
    """Do what the arguments say; the exit status."""
    try:
        app(arguments, prog_name="outhaul")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED
    except errors.OuthaulError as error:
        people.print(Text(f"{error.title}:", "red"), redact(str(error)))
        return next(EXITS[kind] for kind in type(error).__mro__ if kind in EXITS)
    except Exception as error:  # noqa: BLE001 - a fault of our own is said in one sentence too
        if os.environ.get(DEBUG):
            people.print(redact(traceback.format_exc()))
        people.print(
            Text("A fault of Outhaul's own:", "red"),
            f"{type(error).__name__}: {redact(str(error))}. With {DEBUG}=1 it says where; please report it.",
        )
        return FAILED
    return 0


def _typed() -> list[str]:
    """The arguments as typed. Everybody on the machine can read a command line: one with a password in it starts
    again with that redacted."""
    if hidden := os.environ.pop(ARGUMENTS, None):
        typed: list[str] = json.loads(hidden)
        return typed
    typed = sys.argv[1:]
    shown = [redact(argument) for argument in typed]
    if shown != typed and os.name == "posix":
        os.environ[ARGUMENTS] = json.dumps(typed)
        os.execv(sys.executable, [*sys.orig_argv[: len(sys.orig_argv) - len(typed)], *shown])  # noqa: S606  # no shell is meant
    return typed


if __name__ == "__main__":
    main()
