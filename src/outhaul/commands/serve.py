"""`outhaul serve`: the service, until it is told to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from outhaul.commands import _invitation as invitation
from outhaul.commands import _options as options

if TYPE_CHECKING:
    from outhaul.access import Access


def run(
    source: options.Source = None,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Listen here; default: 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="N", help="Listen on this port; 0: any; default: 8350.")
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="The address under which callers reach the service.")
    ] = None,
    workers: options.Workers = None,
    catalog: options.CatalogFile = None,
    state: options.State = None,
    file: options.ConfigFile = None,
) -> None:
    """Serve exports of a database over HTTP."""
    from outhaul import app

    settings = options.settings(
        file,
        source=source,
        host=host,
        port=port,
        public_url=public_url,
        workers=workers,
        catalog=catalog,
        state=state,
    )

    def opened(access: Access, address: str) -> None:
        here = settings.public_url or address
        # What is no terminal is a log, which more people may read than may run exports.
        if options.people.is_terminal:
            made = invitation.link(access, settings, here, all_tenants=True)
            options.people.print(f"Sign in at the console, once, within 15 minutes: {made}")
        else:
            options.people.print(f"The console is at {here}/console: outhaul token console prints a way in.")

    app.serve(settings, options.people.print, opened)
