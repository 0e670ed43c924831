"""What `token` and `client` share: what can be granted, and how it is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from outhaul import config
from outhaul.ceilings import Ceiling
from outhaul.commands import _options as options
from outhaul.errors import Misconfigured

if TYPE_CHECKING:
    from outhaul.access import Access
    from outhaul.ledger import Token

Name = Annotated[
    str, typer.Option("--name", metavar="TEXT", help="What it is for, to know it again in the list.")
]
Tenant = Annotated[str | None, typer.Option(metavar="ID", help="Reads this tenant's rows only.")]
Tenants = Annotated[
    list[str],
    typer.Option(
        "--tenant",
        metavar="ID",
        help="Reads this tenant's rows only; again: those of another, where the caller says which.",
    ),
]
AllTenants = Annotated[bool, typer.Option("--all-tenants", help="Reads every row.")]
Resources = Annotated[
    str, typer.Option(metavar="A,B", help="Exports these resources only; default: all that are offered.")
]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Lists and downloads, but starts no export.")]
MaxRecords = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="Rows that one export may have; default: no limit.")
]
MaxBytes = Annotated[
    str | None,
    typer.Option(metavar="BYTES", help="Text that one export may have; also 20MB. Default: no limit."),
]
Expires = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help="30d, 12h, or a moment like 2027-01-31T12:00Z; default: never."),
]


def listed(text: str) -> tuple[str, ...]:
    """`A, B` as names."""
    return tuple(each.strip() for each in text.split(",") if each.strip())


def ceiling(max_records: int | None, max_bytes: str | None) -> Ceiling:
    return Ceiling(max_records, options.size(max_bytes, "--max-bytes") if max_bytes else None)


def told(tokens: tuple[Token, ...], *more: str) -> Table:
    """A table of tokens or clients; `more`: further columns after the name, by the attribute they show."""
    table = options.table("id", "name", *more, "reads", "resources", "made", "expires", "last used")
    for token in tokens:
        reads = f"{'everything' if token.all_tenants else _tenants(token)}{', read only' * token.read_only}"
        reads += "".join(f", at most {most}" for most in _limits(token.ceiling))
        ends = "revoked" if token.revoked_at else "expired" if token.expired else _shown(token.expires_at)
        table.add_row(
            token.id,
            token.name,
            *(getattr(token, name) for name in more),
            reads,
            ", ".join(token.resources) or "all",
            _shown(token.created_at),
            ends,
            _shown(token.used_at),
        )
    return table


@contextmanager
def access(state: Path | None, file: Path | None) -> Iterator[Access]:
    from outhaul.access import Access
    from outhaul.ledger import Ledger
    from outhaul.signing import Keyring

    settings = options.settings(file, state=state)
    config.prepare(settings.state)
    with Ledger(settings.ledger_url) as ledger:
        ledger.migrate()
        keys = Keyring(settings.state / config.SIGNING)
        yield Access(ledger, keys=keys, lifetime=settings.token_lifetime)


def moment(text: str | None) -> datetime | None:
    """`30d` from now, or a moment; a moment without a zone is UTC; None: never."""
    if not text:
        return None
    span = config.duration(text)
    if isinstance(span, timedelta):
        return datetime.now(UTC) + span
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Misconfigured(
            f"{text!r} is no time.", hint="Write 30d, 12h, or a moment like 2027-01-31T12:00Z."
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _shown(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if moment else "never"


def _tenants(token: Token) -> str:
    return " or ".join([f"tenant {token.tenant}", *token.others])


def _limits(ceiling: Ceiling) -> Iterator[str]:
    if ceiling.records is not None:
        yield f"{ceiling.records:,} rows"
    if ceiling.bytes is not None:
        yield f"{ceiling.bytes:,} bytes"


def reach(token: Token) -> str:
    rows = "every row" if token.all_tenants else f"the rows of {_tenants(token)}"
    most = "".join(f", at most {one} at once" for one in _limits(token.ceiling))
    return f"It reads {rows} of {', '.join(token.resources) or 'all resources'}{most}."
