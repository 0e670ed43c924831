"""`outhaul doctor`: whether everything is well between Outhaul, the source and the disk."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

import typer

from outhaul import config
from outhaul.commands import _options as options

if TYPE_CHECKING:
    from outhaul.catalog import Catalog
    from outhaul.sources import Sign

STANDS_ON = ("pyarrow", "sqlalchemy", "asyncpg", "adbc-driver-sqlite", "isal")


def run(
    source: options.Source = None,
    catalog: options.CatalogFile = None,
    state: options.State = None,
    file: options.ConfigFile = None,
) -> None:
    """Look at the source, its rights and journal, the disk and versions; exit status 1 if something is not well."""
    from outhaul import app, siblings, sources

    settings = options.settings(file, source=source, catalog=catalog, state=state)
    url = settings.require_source()
    offered = app.offered(settings, app.reflect(settings))
    kind = siblings.load(sources, offered.source)
    signs = [*kind.examine(url, settings.workers), *_offered(offered), *_disk(settings), *_versions()]
    for sign in signs:
        _say(sign)
    grants = list(kind.grants(url))
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


def _offered(catalog: Catalog) -> Iterator[Sign]:
    from outhaul.sources import Sign

    yield Sign(
        "resources", f"{len(catalog.resources)} offered, {len(catalog.hidden)} tables and fields hidden"
    )


def _disk(settings: config.Settings) -> Iterator[Sign]:
    from outhaul.sources import Sign

    folder = settings.state.absolute()
    place = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(place).free
    found = f"{free:,} bytes free for {folder}"
    yield Sign(
        "disk", found, free >= settings.min_free, f"Exports are refused below {settings.min_free:,} bytes."
    )
    if folder.exists():
        private = not folder.stat().st_mode & 0o077
        yield Sign("state folder", "private" if private else "open to others", private, f"chmod 700 {folder}")


def _versions() -> Iterator[Sign]:
    from outhaul.sources import Sign

    stands_on = ", ".join(f"{name} {version(name)}" for name in STANDS_ON)
    yield Sign("versions", f"outhaul {version('outhaul')}, Python {platform.python_version()}, {stands_on}")
