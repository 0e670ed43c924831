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

DONE, FAILED, WRONG_USE, SOURCE, STORE, SERVICE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
MEANS: Mapping[int, str] = {
    DONE: "done; what was exported, verified or downloaded is complete and proven",
    FAILED: "failed, or differences were found",
    WRONG_USE: "refused, or used wrongly",
    SOURCE: "the source failed",
    STORE: "the place for files failed",
    SERVICE: "the service that was asked is away, or answered nonsense",
    INTERRUPTED: "interrupted by Ctrl-C or SIGTERM",  # which is what typer gives for it
}
EXITS: Mapping[type[errors.OuthaulError], int] = {
    errors.OuthaulError: FAILED,
    errors.Misconfigured: WRONG_USE,
    errors.Refused: WRONG_USE,
    errors.SourceError: SOURCE,
    errors.StoreError: STORE,
    errors.ServiceError: SERVICE,
}
DEBUG = "OUTHAUL_DEBUG"
ARGUMENTS = "OUTHAUL_ARGUMENTS"  # the command line as it was typed, while the visible one is redacted

app = typer.Typer(name="outhaul", no_args_is_help=True, pretty_exceptions_enable=False)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(version("outhaul"))
        raise typer.Exit


HELP = f"""Every matching row, exactly once, as of one instant, with proof.

Exit status: {"; ".join(f"{status} {means}" for status, means in MEANS.items())}."""


@app.callback(help=HELP)
def outhaul(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """The program itself; its help says what it is, and what it ends with."""


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
    return DONE


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
