"""What the reference tells that stands in the code, as Markdown: commands, settings, errors, statuses, keys."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import typer

from outhaul import cli, config, errors, rates, written
from outhaul.export import Status

UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
NAMES = {"commercelayer": "Commerce Layer", "batch": "Batch", "rebilly": "Rebilly"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; what would end a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(map(_line, lines))


def _line(cells: Iterable[str]) -> str:
    escaped = (cell.replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(escaped)} |\n"


def sentence(text: str | None) -> str:
    """A docstring's first paragraph on one line."""
    return " ".join((text or "").partition("\n\n")[0].split())


def code(text: object) -> str:
    return f"`{text}`"


def commands() -> str:
    """Each command with its arguments and options, as its `--help` tells them."""
    root = typer.main.get_command(cli.app)
    return "\n".join(_command(*found) for found in _leaves(root, "outhaul"))


def _leaves(command: Any, name: str) -> Iterator[tuple[Any, str]]:
    below: Mapping[str, Any] = getattr(command, "commands", {})
    if not below and not command.hidden:
        yield command, name
    for child, one in below.items():
        yield from _leaves(one, f"{name} {child}")


def _command(command: Any, name: str) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    rows = [
        (code(" ".join(option.replace(" <str>", "").split())), about)
        for option, about in map(_record(context), shown)
        if option
    ]
    options = "\n" + table(("argument or option", "what it is"), rows) if rows else ""
    return f"## {name}\n\n{sentence(command.help)}\n\n```console\n$ {name} {usage}\n```\n{options}"


def _record(context: Any) -> Any:
    return lambda param: param.get_help_record(context) or ("", "")


def exits() -> str:
    return table(("status", "means"), ((str(status), means) for status, means in cli.MEANS.items()))


def settings() -> str:
    """Each setting with its default, as a settings file would have it."""
    fields = config.Settings.model_fields
    rows = ((code(name), _default(one), one.description or "") for name, one in fields.items())
    return table(("setting", "default", "what it is"), rows)


def _default(field: Any) -> str:
    value = None if field.default_factory else field.default
    if value is None or value == ():
        return ""
    return code(_said(value))


def _said(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return _span(value.total_seconds())
    if isinstance(value, rates.Rate):
        return f"{value.limit}/{_span(value.interval)}"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _span(seconds: float) -> str:
    unit, length = next((unit, length) for unit, length in UNITS if seconds % length == 0)
    return f"{int(seconds // length)}{unit}"


def faults() -> str:
    """Each error with the status that each dialect answers, that of the command line, and when it is."""
    tongues = [importlib.import_module(f"outhaul.dialects.{name}.errors") for name in NAMES]
    found = [
        one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, errors.OuthaulError)
    ]
    rows = (
        (code(kind.__name__), _when(kind), *(_status(tongue, kind) for tongue in tongues), _exit(kind))
        for kind in found
    )
    return table(("error", "when", *NAMES.values(), "exit"), rows)


def _status(tongue: Any, kind: type[errors.OuthaulError]) -> str:
    """Nothing for those that only a client of a service meets."""
    if issubclass(kind, errors.ServiceError | errors.Interrupted):
        return ""
    words = tongue.words(kind(""))
    return str(words[0] if isinstance(words, tuple) else words.status)


def _exit(kind: type[errors.OuthaulError]) -> str:
    return str(next(cli.EXITS[one] for one in kind.__mro__ if one in cli.EXITS))


def _when(kind: type[errors.OuthaulError]) -> str:
    """Its docstring, without what it tells programmers of `facts`."""
    return f"{re.split(r'[.;:] `facts`', sentence(inspect.getdoc(kind)))[0].rstrip('.')}."


def statuses() -> str:
    """Each status with the word that each dialect has for it."""
    tongues = [importlib.import_module(f"outhaul.dialects.{name}.render").STATUSES for name in NAMES]
    rows = ((code(one), *(code(words[one]) for words in tongues)) for one in Status)
    return table(("status", *NAMES.values()), rows)


def catalog(model: str) -> str:
    """The keys of one table of the catalog file."""
    fields: Mapping[str, Any] = getattr(written, model).model_fields
    return table(("key", "what it is"), ((code(name), one.description or "") for name, one in fields.items()))
