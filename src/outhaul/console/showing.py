"""One export as its page shows it: progress, files, parts, what happened, why it failed, and how to ask again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from outhaul.console import asking, words
from outhaul.console.words import Failure
from outhaul.export import ACTIVE, MOVES, Artifact, Caller, Export, Status
from outhaul.making import Pace, Standing
from outhaul.service import Event, Exports

PARTS = 50  # of a page
FILES = 100  # the same: an export of numbered files may have thousands
DOWNLOADS = 10
Typed = Callable[[Export, str], str]  # an export, and the address of the service
ENDED = frozenset({Status.COMPLETED, Status.EXPIRED})  # nothing happens any more that a page would wait for


@dataclass(frozen=True, slots=True)
class Shown:
    """All that the page knows. `events`: newest first, with who did it; `page` of `pages`: of the parts; `leaf` of
    `leaves`: of the files."""

    export: Export
    pace: Pace
    files: Sequence[Artifact]
    leaf: int
    leaves: int
    parts: Sequence[Standing]
    page: int
    pages: int
    events: Sequence[tuple[Event, str]]
    failures: Sequence[Failure]
    who: str
    now: datetime

    @property
    def resources(self) -> str:
        return ", ".join(one["resource"] for one in self.export.draft["selections"])

    @property
    def left(self) -> timedelta | None:
        """Until it is done, at the rate so far."""
        end = self.export.estimated_completion_at
        return max(timedelta(0), end - self.now) if end else None

    @property
    def took(self) -> timedelta | None:
        begun, end = self.export.started_at, self.export.completed_at
        return end - begun if begun and end else None

    @property
    def offered(self) -> Sequence[Artifact]:
        """The files of this leaf."""
        return self.files[(self.leaf - 1) * FILES : self.leaf * FILES]

    @property
    def written(self) -> int:
        """Bytes of the parts of this page; of the files, once there are any."""
        return sum(one.length for one in self.files)

    @property
    def moves(self) -> Mapping[str, bool]:
        """What can be done with it now, by the name of the form."""
        status = self.export.status
        return {
            "interrupt": Status.INTERRUPTED in MOVES[status],
            "start": status in {Status.INTERRUPTED, Status.FAILED},
        }

    @property
    def active(self) -> bool:
        return self.export.status in ACTIVE

    @property
    def ended(self) -> bool:
        return self.export.status in ENDED


def shown(
    exports: Exports, names: Mapping[str, str], caller: Caller, export_id: str, page: int, leaf: int
) -> Shown:
    """To a caller who knows these names; NotFound when it sees no such export."""
    export = exports.get(caller, export_id)
    told = _told(exports, export)
    files = exports.making.files(export) if export.status is Status.COMPLETED else ()
    pages, leaves = max(1, -(-(export.parts or 0) // PARTS)), max(1, -(-len(files) // FILES))
    page = min(page, pages)
    return Shown(
        export=export,
        pace=exports.making.pace(export) if export.status is Status.RUNNING else Pace(),
        files=files,
        leaf=min(leaf, leaves),
        leaves=leaves,
        parts=exports.making.parts(export, limit=PARTS, offset=(page - 1) * PARTS),
        page=page,
        pages=pages,
        events=[(event, names.get(event.who, event.who)) for event in told],
        failures=[words.failure(one, openly=caller.all_tenants) for one in export.errors],
        who=names.get(export.caller, export.caller),
        now=datetime.now(UTC),
    )


def _told(exports: Exports, export: Export) -> list[Event]:
    """What has happened, newest first; of downloads the last few, because each range that is fetched is one."""
    changes = [name for name in words.EVENTS if name != "downloaded"]
    told = [*exports.events([export], changes)[export.id]]
    told += exports.events([export], ["downloaded"])[export.id][-DOWNLOADS:]
    return sorted(told, key=lambda event: event.id, reverse=True)


def wishes(export: Export) -> list[tuple[str, str]]:
    """What was asked for, as pairs of a name and what stands behind it."""
    draft: Mapping[str, Any] = export.draft
    told: list[tuple[str, str]] = []
    for selection in draft["selections"]:
        told.append(("Resource", selection["resource"]))
        told.append(("Fields", ", ".join(selection["fields"]) or "all"))
        for label, name in (("Related", "includes"), ("Segments", "segments"), ("Order", "sort")):
            if selection.get(name):
                told.append((label, ", ".join(selection[name])))
        told += [("Only where", f"{name} = {_said(value)}") for name, value in selection["filters"].items()]
        told += [("In CSV", f"{path} as {way}") for path, way in selection.get("nested", {}).items()]
    told.append(("Format", ", ".join(draft["formats"])))
    if draft.get("compress"):
        told.append(("Compressed", draft["compress"]))
    if draft.get("profile") == "spreadsheet":
        told.append(("Profile", "spreadsheet"))
    return told


def again(export: Export, base: str, dialects: Mapping[str, Typed]) -> list[tuple[str, str]]:
    """Ways to ask for the same once more, each with its line. `dialects`: how their own exports are asked for, by their
    names."""
    own = dialects.get(export.dialect)
    ways = {
        "With curl, as it was asked for": own(export, base) if own else None,
        "With curl, at the API of Commerce Layer's exports": asking.curl(export.draft, base),
        "On the command line": asking.line(export.draft, base),
    }
    return [(name, text) for name, text in ways.items() if text]


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
