"""`outhaul token`: who may ask, and for which tenant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outhaul import config
from outhaul.ceilings import Ceiling
from outhaul.commands import _options as options
from outhaul.errors import Misconfigured

if TYPE_CHECKING:
    from outhaul.access import Access
    from outhaul.ledger import Token

app = typer.Typer(help="Make, list and revoke the tokens that callers sign in with.", no_args_is_help=True)

Name = Annotated[
    str, typer.Option("--name", metavar="TEXT", help="What it is for, to know it again in the list.")
]


@app.command()
def create(  # noqa: PLR0917  # typer passes them by name
    name: Name = "",
    tenant: Annotated[str | None, typer.Option(metavar="ID", help="Reads this tenant's rows only.")] = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Reads every row.")] = False,
    resources: Annotated[
        str, typer.Option(metavar="A,B", help="Exports these resources only; default: all that are offered.")
    ] = "",
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Lists and downloads, but starts no export.")
    ] = False,
    max_records: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Rows that one export may have; default: no limit.")
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option(metavar="BYTES", help="Text that one export may have; also 20MB. Default: no limit."),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="30d, 12h, or a moment like 2027-01-31T12:00Z; default: never."),
    ] = None,
    state: options.State = None,
    file: options.ConfigFile = None,
) -> None:
    """Make a token and print it, for the only time."""
    named = tuple(each.strip() for each in resources.split(",") if each.strip())
    with _access(state, file) as access:
        token, kept = access.make_token(
            name,
            tenant=tenant,
            all_tenants=all_tenants,
            resources=named,
            read_only=read_only,
            ceiling=Ceiling(max_records, options.size(max_bytes, "--max-bytes") if max_bytes else None),
            expires_at=_moment(expires) if expires else None,
        )
    typer.echo(token)
    options.people.print(f"Token {kept.id} is shown this once: keep it. {_reach(kept)}")


@app.command("list")
def show(state: options.State = None, file: options.ConfigFile = None) -> None:
    """List all tokens with what they may do and when they were last used."""
    with _access(state, file) as access:
        tokens = access.list_tokens()
    table = options.table("id", "name", "reads", "resources", "made", "expires", "last used")
    for token in tokens:
        reads = f"{'everything' if token.all_tenants else f'tenant {token.tenant}'}{', read only' * token.read_only}"
        reads += "".join(f", at most {most}" for most in _limits(token.ceiling))
        ends = "revoked" if token.revoked_at else "expired" if token.expired else _shown(token.expires_at)
        resources = ", ".join(token.resources) or "all"
        cells = (
            token.id,
            token.name,
            reads,
            resources,
            _shown(token.created_at),
            ends,
            _shown(token.used_at),
        )
        table.add_row(*cells)
    if tokens:
        options.results.print(table)
    else:
        options.people.print("There is no token yet.")


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `outhaul token list` shows it.")],
    state: options.State = None,
    file: options.ConfigFile = None,
) -> None:
    """End a token at once, and the links that it has made."""
    with _access(state, file) as access:
        access.revoke(token_id)
    options.people.print(f"Token {token_id} is revoked.")


@contextmanager
def _access(state: Path | None, file: Path | None) -> Iterator[Access]:
    from outhaul.access import Access
    from outhaul.ledger import Ledger

    settings = options.settings(file, state=state)
    config.prepare(settings.state)
    with Ledger(settings.ledger_url) as ledger:
        ledger.migrate()
        yield Access(ledger)


def _moment(text: str) -> datetime:
    """`30d` from now, or a moment; a moment without a zone is UTC."""
    span = config.duration(text)
    if isinstance(span, timedelta):
        return datetime.now(UTC) + span
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Misconfigured(
            f"{text!r} is no time.", hint="Write 30d, 12h, or a moment like 2027-01-31T12:00Z."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _shown(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if moment else "never"


def _limits(ceiling: Ceiling) -> Iterator[str]:
    if ceiling.records is not None:
        yield f"{ceiling.records:,} rows"
    if ceiling.bytes is not None:
        yield f"{ceiling.bytes:,} bytes"


def _reach(token: Token) -> str:
    rows = "every row" if token.all_tenants else f"the rows of tenant {token.tenant}"
    most = "".join(f", at most {one} at once" for one in _limits(token.ceiling))
    return f"It reads {rows} of {', '.join(token.resources) or 'all resources'}{most}."
