"""Options that lead to a running service, the client that they make, and how its exports are shown."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from outhaul.commands import _options as options
from outhaul.config import redact
from outhaul.errors import Misconfigured, OuthaulError

if TYPE_CHECKING:
    from outhaul.client import Client, Export

SERVER, TOKEN, TOKEN_FILE = "OUTHAUL_SERVER", "OUTHAUL_TOKEN", "OUTHAUL_TOKEN_FILE"
HERE = "http://127.0.0.1:8350"  # where `outhaul serve` listens by itself
IMPATIENT, NEWEST = 2.0, 25  # seconds that somebody who has pressed TAB waits, and exports that are offered


def known(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """The newest exports, for a shell that completes an id; none where the service does not tell."""
    from outhaul.client import Client

    file = ctx.params.get("token_file") or os.environ.get(TOKEN_FILE)
    server = ctx.params.get("server") or os.environ.get(SERVER) or HERE
    with suppress(OuthaulError):
        token = _token(Path(file) if file else None)
        with Client(server, token, patience=0, timeout=IMPATIENT) as client:
            for export in islice(client.list(), NEWEST):
                if export.id.startswith(incomplete):
                    yield export.id, f"{export.resource_type} {export.status}"


Server = Annotated[
    str, typer.Option("--server", metavar="URL", envvar=SERVER, help="The address of the service.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        envvar=TOKEN_FILE,
        help=f"A file that holds the token; default: what is in {TOKEN}.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, a line for each export.")]
ExportID = Annotated[
    str,
    typer.Argument(metavar="ID", help="As `outhaul exports list` shows it.", autocompletion=known),
]


@contextmanager
def asked(server: str, token_file: Path | None, *, as_json: bool) -> Iterator[Client]:
    """A client of the service. With `as_json` what goes wrong is a line of JSON too, beside the sentence for people."""
    from outhaul.client import Client

    try:
        with _ended_by_signals(), Client(server, _token(token_file)) as client:
            yield client
    except OuthaulError as error:
        if error.facts.get("unsent"):
            error.hint = f"Is it running? --server URL or {SERVER} names another."
        if as_json:
            typer.echo(json.dumps({name: redact(text) for name, text in error.as_data().items()}))
        raise


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and the end of the terminal are as Ctrl-C; but not below nohup."""
    changed = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is signal.SIG_DFL]
    for one in changed:
        signal.signal(one, signal.default_int_handler)
    try:
        yield
    finally:
        for one in changed:
            signal.signal(one, signal.SIG_DFL)


def _token(file: Path | None) -> str:
    """Never of the command line, which everybody on the machine can read."""
    if file is None:
        token = os.environ.get(TOKEN, "")
        hint = f"Put it into {TOKEN}, or name a file that holds it: --token-file FILE."
        if not token:
            raise Misconfigured("No token is set.", hint=f"{hint} `outhaul token create` makes one.")
        return token.strip()
    try:
        return file.read_text().strip()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Misconfigured(f"The token file {file} cannot be read: {reason}.") from None


def tell(export: Export, *, as_json: bool) -> None:
    """All that is known of one export."""
    if as_json:
        typer.echo(json.dumps(export.as_data()))
        return
    for name, value in _facts(export):
        if value:
            typer.echo(f"{name + ':':<12}{_plain(value)}")


def _facts(export: Export) -> Iterator[tuple[str, str]]:
    yield "id", export.id
    yield "resource", export.resource_type
    yield "format", export.format
    yield "status", export.status
    yield "rows", rows(export)
    for name in ("fields", "includes"):
        yield name, ", ".join(getattr(export, name))
    yield "filters", json.dumps(export.filters, ensure_ascii=False) if export.filters else ""
    for name in ("created", "started", "completed", "interrupted"):
        yield name, _utc(getattr(export, f"{name}_at"))
    yield "done about", _utc(export.estimated_completion_at)
    yield "reference", export.reference or ""
    for kind, text in (export.errors_log or {}).items():
        yield "error", f"{kind}: {text}"


def table(exports: Iterable[Export]) -> None:
    shown = options.table("id", "resource", "format", "status", "rows", "created (UTC)", "reference")
    for one in exports:
        cells = (one.id, one.resource_type, one.format, one.status, rows(one), _time(one.created_at))
        shown.add_row(*(Text(_plain(cell)) for cell in (*cells, one.reference or "")))
    options.results.print(shown)


def rows(export: Export) -> str:
    """Those that are there, and while they are not all there, of how many."""
    done, total = export.processed_count or 0, export.records_count
    if total is None or export.status == "completed":
        return f"{done:,}"
    return f"{done:,} of {total:,}"


def _time(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def _utc(moment: datetime | None) -> str:
    return f"{_time(moment)} UTC" if moment else ""


def _plain(text: Any) -> str:
    """Somebody else's text, which must not steer our terminal."""
    return "".join(each if each.isprintable() else " " for each in str(text))
