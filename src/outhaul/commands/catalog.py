"""`outhaul catalog`: what can be exported from a database, and what has changed since its catalog file was written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from outhaul.commands import _options as options
from outhaul.errors import Misconfigured

if TYPE_CHECKING:
    from outhaul.catalog import Catalog, Resource, Whose


def run(
    source: options.Source = None,
    toml: Annotated[bool, typer.Option("--toml", help="Print a catalog file to start from.")] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Say what is new, gone or changed since the file, and what a dialect misses in its section; exit "
            "status 1 if any.",
        ),
    ] = False,
    catalog: options.CatalogFile = None,
    file: options.ConfigFile = None,
) -> None:
    """Show what can be exported: resources, their fields and relationships, and what is hidden and why."""
    from outhaul import app, hiding, written

    settings = options.settings(file, source=source, catalog=catalog)
    reflected = app.reflect(settings)
    if check:
        if settings.catalog is None:
            raise Misconfigured("There is no catalog file to check.", hint="Name it: --catalog FILE.")
        differences = app.differences(settings.catalog, reflected)
        for difference in differences:
            options.results.print(difference)
        if differences:
            raise typer.Exit(1)
        options.people.print("The database is as the catalog file says.")
    elif toml:
        typer.echo(written.to_toml(hiding.offered(reflected)), nl=False)
    else:
        _show(app.offered(settings, reflected))


def _show(catalog: Catalog) -> None:
    table = options.table("resource", "key", "fields", "relationships", "tenant", "scopes")
    for resource in catalog.resources.values():
        table.add_row(*_cells(resource))
    options.results.print(table)
    if catalog.hidden:
        hidden = options.table("hidden", "why")
        for one in catalog.hidden:
            name = f"{one.resource}.{one.field}" if one.field else one.resource
            hidden.add_row(name, one.reason)
        options.results.print()
        options.results.print(hidden)


def _cells(resource: Resource) -> tuple[str, ...]:
    ways = (f"{way.name}{'[]' if way.many else ''}" for way in resource.relationships)
    return (
        resource.name,
        ", ".join(resource.key) or "none: exported flat",
        ", ".join(f"{field.name} {field.type}" for field in resource.fields),
        ", ".join(ways),
        _path(resource.tenant) if resource.tenant else "",
        ", ".join(_rules(resource)),
    )


def _rules(resource: Resource) -> Iterator[str]:
    """Those of scopes, as the catalog file writes them."""
    for kind, rules in resource.scopes.items():
        yield from (f"{kind}.{by} = {_path(rule)}" for by, rule in rules.items())
        if not rules:
            yield f"{kind} = false"


def _path(rule: Whose) -> str:
    return ".".join((*rule.path, rule.column))
