"""`outhaul export`: one export into a folder, by the same way as the service's, proven before it is shown."""

from __future__ import annotations

import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outhaul import errors
from outhaul.commands import _folder as folders
from outhaul.commands import _options as options
from outhaul.commands import _unfinished as unfinished
from outhaul.commands import _wanted as wanted
from outhaul.commands._progress import progress
from outhaul.errors import OuthaulError, Unproven, WrongState
from outhaul.export import ACTIVE, Caller, Draft, Export, Selection, Status

if TYPE_CHECKING:
    from outhaul.app import Outhaul

WAITING = ACTIVE - {Status.RUNNING}
START = 120  # seconds until a worker that does not begin counts as broken: it is ours alone
MANY = 5  # files from which on they are counted and not named
LOOK = 0.02  # seconds between two looks at a short export; ten times that when it is long
US = Caller(id="command line", name="command line", tenant=None, all_tenants=True)


def run(  # noqa: PLR0917  # typer passes them by name
    source: options.GivenSource,
    resource: wanted.Resource,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the files go.")],
    fields: wanted.Fields = "",
    include: wanted.Include = None,
    filters: wanted.Filters = None,
    sort: Annotated[
        str, typer.Option(metavar="A,-B", help="Order of the rows, `-` turns a field round; default: none.")
    ] = "",
    nested: wanted.Nested = None,
    profile: wanted.Profile = "machine",
    delimiter: wanted.Delimiter = "comma",
    form: wanted.Format = "json",
    compress: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="gzip or zstd; inside of Parquet zstd, snappy, gzip or none."),
    ] = None,
    consistency: Annotated[
        str,
        typer.Option(
            metavar="snapshot|part",
            help="All rows as of one instant, or each part of its own, so that finished parts can be kept.",
        ),
    ] = "snapshot",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with finished parts that an unfinished export has left.")
    ] = False,
    part_size: Annotated[
        str | None, typer.Option(metavar="BYTES", help="Read in parts of about this size; also 20MB.")
    ] = None,
    parts: Annotated[
        bool, typer.Option("--parts", help="Write a numbered, complete file for each part.")
    ] = False,
    workers: options.Workers = None,
    catalog: options.CatalogFile = None,
    file: options.ConfigFile = None,
) -> None:
    """Export a resource into FOLDER, with manifest.json as its proof."""
    draft = Draft(
        selections=(
            Selection(
                resource,
                wanted.names(fields),
                tuple(include or ()),
                wanted.conditions(filters),
                sort=wanted.names(sort),
                nested=wanted.ways(nested),
            ),
        ),
        formats=(form,),
        compress=compress,
        consistency=consistency,
        part_bytes=options.size(part_size, "--part-size") if part_size else None,
        profile=profile,
        delimiter=delimiter,
    )
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is signal.SIG_DFL:
            signal.signal(ending, signal.default_int_handler)
    apart = consistency == "part"
    with folders.workspace(output, resume=resume and apart) as work:
        if resume:
            options.people.print(_resuming(work, apart=apart))
        try:
            made = _export(draft, work, parts, source=source, workers=workers, catalog=catalog, file=file)
            folders.publish(made, output)
        except BaseException:
            if unfinished.is_kept(work):
                options.people.print(f"Finished parts are kept in {work}: --resume goes on with them.")
            raise
        unfinished.forget(work)
    names = [path.name for path in made]
    files = ", ".join(names) if len(names) < MANY else f"{len(names) - 1} files, {names[-1]}"
    options.people.print(f"{files} in {output}: complete and proven.")


def _export(draft: Draft, work: Path, numbered: bool, file: Path | None, **flags: Any) -> list[Path]:
    """Finished files in the work folder, the manifest last."""
    from outhaul import app

    own = {"state": work, "ledger": f"sqlite:///{work.absolute() / 'ledger.db'}", "store": _objects(work)}
    settings = options.settings(file, **flags, **own)
    catalog = app.offered(settings, app.reflect(settings))
    made = app.Outhaul(settings, catalog, ahead=1)
    made.exports.plan(US, draft)  # a refusal need not wait for workers
    kept = unfinished.resumed(made, work, US, draft) if unfinished.is_kept(work) else None
    with made as outhaul:
        export = kept or outhaul.exports.create(US, draft)
        if draft.consistency == "part":
            unfinished.keep(work, export, settings.require_source())
        try:
            _follow(outhaul, export, draft.selections[0].resource)
        except KeyboardInterrupt:
            with suppress(WrongState):
                outhaul.exports.interrupt(US, export.id)
            raise
        return _written(outhaul, export.id, work, numbered)


def _resuming(work: Path, *, apart: bool) -> str:
    """What is done of what was asked for with --resume, in words."""
    if unfinished.is_kept(work):
        return f"Going on with the finished parts in {work}."
    if apart:
        return "Nothing unfinished is there: starting from the beginning."
    return (
        "An instant ends with its export, so nothing of it can be kept: starting from the beginning. "
        "Finished parts are kept with --consistency part."
    )


def _objects(work: Path) -> str:
    return (work.absolute() / "objects").as_uri()


def _follow(outhaul: Outhaul, export: Export, what: str) -> None:
    """Until it is completed; the error that it failed with otherwise."""
    begun = time.monotonic()
    with progress(what) as shown:
        while (export := outhaul.exports.get(US, export.id)).status in ACTIVE:
            shown.show(export.processed, export.matched)
            spent = time.monotonic() - begun
            if export.status in WAITING and spent > START:
                raise OuthaulError(
                    f"No worker has begun within {START} seconds.", hint="What it says stands above."
                )
            time.sleep(LOOK if spent < 1 else 10 * LOOK)
        shown.show(export.processed, export.matched)
    if export.status is not Status.COMPLETED:
        raise _failure(export)


def _failure(export: Export) -> OuthaulError:
    if not export.errors:
        return OuthaulError(f"The export ended as {export.status}.")
    first = export.errors[0]
    kind: type[OuthaulError] = getattr(errors, first["error"], OuthaulError)
    return kind(first["message"], hint=first.get("hint", ""))


def _written(outhaul: Outhaul, export_id: str, work: Path, numbered: bool) -> list[Path]:
    from outhaul import downloads, manifest
    from outhaul.filenames import MANIFEST

    facts = outhaul.ledger.facts(export_id)
    if facts is None:
        raise Unproven("The export left no facts to prove it by.")
    ready = work / "ready"
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir()
    made = downloads.artifacts(facts, numbered=numbered, archived=False)
    for artifact in made:
        folders.write(ready / artifact.name, downloads.read(artifact, outhaul.store))
    proof = ready / MANIFEST
    folders.write(proof, [manifest.to_bytes(manifest.build(facts, made))])
    findings = manifest.verify_folder(proof)
    if findings:
        raise Unproven(f"The files are not what was recorded: {findings[0]}", hint="Run it again.")
    return [*(ready / artifact.name for artifact in made), proof]
