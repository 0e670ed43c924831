"""`outhaul client`: programs that sign in with an id and a secret, and are given tokens that expire."""

from __future__ import annotations

from typing import Annotated

import typer

from outhaul.commands import _granting as granting
from outhaul.commands import _options as options

app = typer.Typer(
    help="Make, list and revoke API clients, which get their tokens at /oauth/token.", no_args_is_help=True
)


@app.command()
def create(  # noqa: PLR0917  # typer passes them by name
    name: granting.Name = "",
    kind: Annotated[
        str, typer.Option(metavar="KIND", help="integration, or sales_channel, which may not export.")
    ] = "integration",
    tenant: granting.Tenant = None,
    all_tenants: granting.AllTenants = False,
    resources: granting.Resources = "",
    read_only: granting.ReadOnly = False,
    max_records: granting.MaxRecords = None,
    max_bytes: granting.MaxBytes = None,
    expires: granting.Expires = None,
    state: options.State = None,
    file: options.ConfigFile = None,
) -> None:
    """Make a client and print its id and its secret, for the only time."""
    with granting.access(state, file) as access:
        secret, kept = access.make_client(
            name,
            kind,
            tenant=tenant,
            all_tenants=all_tenants,
            resources=granting.listed(resources),
            read_only=read_only,
            ceiling=granting.ceiling(max_records, max_bytes),
            expires_at=granting.moment(expires),
        )
    typer.echo(f"client_id={kept.id}")
    if secret is None:
        options.people.print(f"A {kind} has no secret, and may not export.")
        return
    typer.echo(f"client_secret={secret}")
    options.people.print(f"The secret is shown this once: keep it. {granting.reach(kept)}")


@app.command("list")
def show(state: options.State = None, file: options.ConfigFile = None) -> None:
    """List all clients with what they may do and when they were last used."""
    with granting.access(state, file) as access:
        clients = access.list_clients()
    if clients:
        options.results.print(granting.told(clients, "kind"))
    else:
        options.people.print("There is no client yet.")


@app.command()
def revoke(
    client_id: Annotated[str, typer.Argument(metavar="ID", help="As `outhaul client list` shows it.")],
    state: options.State = None,
    file: options.ConfigFile = None,
) -> None:
    """End a client at once, with its tokens and the links that they have made."""
    with granting.access(state, file) as access:
        access.revoke_client(client_id)
    options.people.print(f"Client {client_id} is revoked.")


@app.command("rotate-keys")
def rotate_keys(state: options.State = None, file: options.ConfigFile = None) -> None:
    """Sign tokens with a new key from now on; those that are out stay good until they expire."""
    with granting.access(state, file) as access:
        access.rotate_keys()
    options.people.print("A new key signs from now on; a running service uses it at once.")
