"""`outhaul serve`: the service, until it is told to stop."""

from __future__ import annotations

from typing import Annotated

import typer

from outhaul.commands import _options as options


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
    app.serve(settings, options.people.print)
