"""What an export of parts of their own instants has left behind when it did not come to its end, and how it goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from outhaul.config import redact
from outhaul.errors import Misconfigured, NotFound
from outhaul.export import Caller, Draft, Export, Status

if TYPE_CHECKING:
    from outhaul.app import Outhaul

NOTE = "unfinished.json"  # in the work folder, from the export's beginning until its files are in their place
OTHER = (
    "Ask for the same as then, or leave --resume out: what is there is thrown away, and all begins afresh."
)


def is_kept(work: Path) -> bool:
    """Whether there is something to go on with."""
    return (work / NOTE).exists()


def keep(work: Path, export: Export, source: str) -> None:
    (work / NOTE).write_text(json.dumps({"export": export.id, "source": redact(source)}))


def forget(work: Path) -> None:
    (work / NOTE).unlink(missing_ok=True)


def resumed(outhaul: Outhaul, work: Path, caller: Caller, draft: Draft) -> Export:
    """The export of this folder, to go on with its finished parts, before anything runs; Misconfigured when it is
    another than the draft asks for."""
    note = json.loads((work / NOTE).read_text())
    outhaul.ledger.migrate()
    try:
        export, known = outhaul.ledger.get(note["export"]), outhaul.ledger.plan(note["export"])
    except NotFound:
        raise _other(work) from None
    asked = replace(outhaul.exports.plan(caller, draft), catalog=known.catalog)
    if asked != known or note["source"] != redact(outhaul.settings.require_source()):
        raise _other(work)
    outhaul.ledger.abandon()
    if export.status in {Status.INTERRUPTED, Status.FAILED}:
        return outhaul.exports.start(caller, export.id)
    return export


def _other(work: Path) -> Misconfigured:
    return Misconfigured(f"What is unfinished in {work.parent} is another export.", hint=OTHER)
