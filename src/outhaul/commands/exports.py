"""`outhaul exports`: exports of a running service, asked for, followed and brought here."""

from __future__ import annotations

import json as notation
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outhaul.commands import _options as options
from outhaul.commands import _service as service
from outhaul.commands import _wanted as wanted
from outhaul.commands._progress import progress, transfer

if TYPE_CHECKING:
    from outhaul.client import Client, Export

app = typer.Typer(
    help="Ask a running service for exports, follow them, and bring their files here.", no_args_is_help=True
)


@app.command("list")
def show_all(
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="ATTRIBUTE_PREDICATE=VALUE",
            help="As status_in=pending,in_progress; can be repeated.",
        ),
    ] = None,
    sort: Annotated[
        str, typer.Option(metavar="A,-B", help="Order, `-` turns round; default: the newest first.")
    ] = "",
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Show at most so many.")] = 25,
    server: service.Server = service.HERE,
    token_file: service.TokenFile = None,
    json: service.Json = False,
) -> None:
    """List exports that were asked for by these commands or over Commerce Layer's API, the newest first."""
    with service.asked(server, token_file, as_json=json) as client:
        conditions = wanted.conditions(filters)
        found = list(islice(client.list(filters=conditions, sort=wanted.names(sort)), limit + 1))
    if json:
        for export in found[:limit]:
            service.tell(export, as_json=True)
    elif found:
        service.table(found[:limit])
    else:
        options.people.print("There is no such export." if conditions else "There is no export yet.")
    if len(found) > limit:
        options.people.print(f"There are more than these {limit}: --limit N shows them.")


@app.command()
def show(
    export_id: service.ExportID,
    server: service.Server = service.HERE,
    token_file: service.TokenFile = None,
    json: service.Json = False,
) -> None:
    """Show what is known of an export."""
    with service.asked(server, token_file, as_json=json) as client:
        service.tell(client.get(export_id), as_json=json)


@app.command()
def create(  # noqa: PLR0917  # typer passes them by name
    resource: wanted.Resource,
    fields: wanted.Fields = "",
    include: wanted.Include = None,
    filters: wanted.Filters = None,
    nested: wanted.Nested = None,
    profile: wanted.Profile = "",
    delimiter: wanted.Delimiter = "",
    form: wanted.Format = "json",
    compress: Annotated[
        str,
        typer.Option(metavar="NAME", help="gzip, zstd or none; default: gzip, and inside of Parquet zstd."),
    ] = "",
    dry_data: Annotated[
        bool, typer.Option("--dry-data", help="Leave out what an import elsewhere would make anew.")
    ] = False,
    jwt_filters: Annotated[
        bool, typer.Option("--jwt-filters", help="Only rows of the token's scope.")
    ] = False,
    reference: Annotated[str, typer.Option(metavar="TEXT", help="A name of yours for it.")] = "",
    wait: Annotated[bool, typer.Option("--follow", help="Follow it to its end.")] = False,
    server: service.Server = service.HERE,
    token_file: service.TokenFile = None,
    json: service.Json = False,
) -> None:
    """Ask for an export, and print its id."""
    with service.asked(server, token_file, as_json=json) as client:
        export = client.create(
            resource,
            format=form,
            fields=wanted.names(fields),
            includes=tuple(include or ()),
            filters=wanted.conditions(filters),
            compress=compress,
            nested=wanted.ways(nested),
            profile=profile,
            delimiter=delimiter,
            dry_data=dry_data,
            jwt_filters=jwt_filters,
            reference=reference,
        )
        if json:
            service.tell(export, as_json=True)
        else:
            typer.echo(export.id)
        if wait:
            _follow(client, export.id, as_json=json)


@app.command()
def follow(
    export_id: service.ExportID,
    server: service.Server = service.HERE,
    token_file: service.TokenFile = None,
    json: service.Json = False,
) -> None:
    """Follow an export to its end; exit status 0 when it is completed."""
    with service.asked(server, token_file, as_json=json) as client:
        _follow(client, export_id, as_json=json)


def _follow(client: Client, export_id: str, *, as_json: bool) -> None:
    """To its end, which is raised if it is no completion. With `as_json` a line for each change."""
    last: Export | None = None
    try:
        with progress(export_id) as shown:
            for export in client.follow(export_id):
                shown.show(export.processed_count or 0, export.records_count)
                if as_json and (last is None or _told(export) != _told(last)):
                    service.tell(export, as_json=True)
                last = export
    except KeyboardInterrupt:
        options.people.print(
            f"The export goes on: `outhaul exports follow {export_id}` looks again, "
            f"`outhaul exports interrupt {export_id}` stops it."
        )
        raise
    assert last is not None
    if (why := last.why()) is not None:
        raise why
    options.people.print(f"{export_id} is completed: {service.rows(last)} rows.")


def _told(export: Export) -> tuple[object, ...]:
    """What counts as a change: not the links, which are new each time."""
    return export.status, export.processed_count, export.records_count, export.progress


@app.command()
def interrupt(
    export_id: service.ExportID,
    server: service.Server = service.HERE,
    token_file: service.TokenFile = None,
    json: service.Json = False,
) -> None:
    """Stop an export until it is started again."""
    with service.asked(server, token_file, as_json=json) as client:
        _changed(client.interrupt(export_id), as_json=json)


@app.command()
def start(
    export_id: service.ExportID,
    server: service.Server = service.HERE,
    token_file: service.TokenFile = None,
    json: service.Json = False,
) -> None:
    """Go on with an export that was interrupted or has failed."""
    with service.asked(server, token_file, as_json=json) as client:
        _changed(client.start(export_id), as_json=json)


def _changed(export: Export, *, as_json: bool) -> None:
    if as_json:
        service.tell(export, as_json=True)
    options.people.print(f"{export.id} is {export.status}.")


@app.command()
def download(
    export_id: service.ExportID,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the files go.")],
    server: service.Server = service.HERE,
    token_file: service.TokenFile = None,
    json: service.Json = False,
) -> None:
    """Bring the files of an export into FOLDER and prove them by their manifest; waits until it is completed.

    What has come when it is interrupted is gone on with by the same command.
    """
    with service.asked(server, token_file, as_json=json) as client:
        if not client.get(export_id).ended:
            _follow(client, export_id, as_json=False)
        try:
            with transfer(export_id) as shown:
                got = client.download(export_id, output, told=shown.show)
        except KeyboardInterrupt:
            options.people.print("What has come is kept: the same command goes on with it.")
            raise
    names = [str(file) for file in got.files]
    if json:
        found = {"id": export_id, "files": names, "manifest": str(got.manifest), "bytes": got.length}
        typer.echo(notation.dumps(found))
    else:
        for name in names:
            typer.echo(name)
    options.people.print(f"{export_id} is in {output}, {got.length:,} bytes: complete and proven.")


@app.command()
def delete(
    export_id: service.ExportID,
    server: service.Server = service.HERE,
    token_file: service.TokenFile = None,
    json: service.Json = False,
) -> None:
    """Remove an export with its files and links; stops it if it runs."""
    with service.asked(server, token_file, as_json=json) as client:
        client.delete(export_id)
    if json:
        typer.echo(notation.dumps({"id": export_id, "deleted": True}))
    options.people.print(f"{export_id} is deleted, with its files and links.")
