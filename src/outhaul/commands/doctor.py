"""`outhaul doctor`: whether everything is well between Outhaul, the source and the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from outhaul.commands import _options as options

if TYPE_CHECKING:
    from outhaul.sources import Sign


def run(
    source: options.Source = None,
    catalog: options.CatalogFile = None,
    state: options.State = None,
    file: options.ConfigFile = None,
) -> None:
    """Look at the source, its rights and journal, the disk, where binaries lie, and versions; exit status 1 if
    something is not well."""
    from outhaul import app, health, siblings, sources

    settings = options.settings(file, source=source, catalog=catalog, state=state)
    url = settings.require_source()
    offered = app.offered(settings, app.reflect(settings))
    signs = [*health.examine(app.body(settings, offered)), *health.origins_of(offered)]
    for sign in signs:
        _say(sign)
    grants = list(siblings.load(sources, offered.source).grants(url))
    if grants:
        typer.echo("\nA role that can do no more than exports need, for the owner to make:")
    for grant in grants:
        typer.echo(f"  {grant}")
    if not all(sign.well for sign in signs):
        raise typer.Exit(1)


def _say(sign: Sign) -> None:
    typer.echo(f"{'ok' if sign.well else '!!'}  {sign.what + ':':<16}{sign.found}")
    if not sign.well:
        typer.echo(f"      {sign.cure}")
