"""`outhaul token`: who may ask, and for which tenant."""

from __future__ import annotations

from typing import Annotated

import typer

from outhaul.commands import _granting as granting
from outhaul.commands import _invitation as invitation
from outhaul.commands import _options as options

app = typer.Typer(help="Make, list and revoke the tokens that callers sign in with.", no_args_is_help=True)


@app.command()
def create(  # noqa: PLR0917  # typer passes them by name
    name: granting.Name = "",
    tenant: granting.Tenants = [],  # noqa: B006  # typer gives each call a list of its own
    all_tenants: granting.AllTenants = False,
    resources: granting.Resources = "",
    read_only: granting.ReadOnly = False,
    max_records: granting.MaxRecords = None,
    max_bytes: granting.MaxBytes = None,
    expires: granting.Expires = None,
    state: options.State = None,
    file: options.ConfigFile = None,
) -> None:
    """Make a token and print it, for the only time."""
    with granting.access(state, file) as access:
        token, kept = access.make_token(
            name,
            tenant=tenant[0] if tenant else None,
            others=tuple(tenant[1:]),
            all_tenants=all_tenants,
            resources=granting.listed(resources),
            read_only=read_only,
            ceiling=granting.ceiling(max_records, max_bytes),
            expires_at=granting.moment(expires),
        )
    typer.echo(token)
    options.people.print(f"Token {kept.id} is shown this once: keep it. {granting.reach(kept)}")


@app.command("list")
def show(state: options.State = None, file: options.ConfigFile = None) -> None:
    """List all tokens with what they may do and when they were last used."""
    with granting.access(state, file) as access:
        tokens = access.list_tokens()
    if tokens:
        options.results.print(granting.told(tokens))
    else:
        options.people.print("There is no token yet.")


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `outhaul token list` shows it.")],
    state: options.State = None,
    file: options.ConfigFile = None,
) -> None:
    """End a token at once, and the links that it has made."""
    with granting.access(state, file) as access:
        access.revoke(token_id)
    options.people.print(f"Token {token_id} is revoked.")


@app.command()
def console(  # typer passes them by name
    tenant: granting.Tenant = None,
    all_tenants: granting.AllTenants = False,
    resources: granting.Resources = "",
    read_only: granting.ReadOnly = False,
    url: Annotated[
        str,
        typer.Option(
            metavar="URL", help="The address of the service, where it is not the one that the settings say."
        ),
    ] = "",
    state: options.State = None,
    file: options.ConfigFile = None,
) -> None:
    """Print a link that signs in at the console: once, and within 15 minutes."""
    settings = options.settings(file, state=state)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    with granting.access(state, file) as access:
        made = invitation.link(
            access,
            settings,
            url or settings.public_url or f"http://{host}:{settings.port}",
            tenant=tenant,
            all_tenants=all_tenants,
            resources=granting.listed(resources),
            read_only=read_only,
        )
    typer.echo(made)
