"""Core words to wire: an Export as Batch shows it, and pages of them; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from outhaul.dialects.batch import ids
from outhaul.export import Export, Numbered, Status

STATUSES: Mapping[Status, str] = {
    Status.CREATED: "CREATED",
    Status.QUEUED: "PENDING",
    Status.RUNNING: "RUNNING",
    Status.INTERRUPTED: "PENDING",  # by other means than Batch's; it goes on when it is started again
    Status.COMPLETED: "SUCCESS",
    Status.FAILED: "ERROR",
    Status.EXPIRED: "SUCCESS",  # without files; but see `status`
}
SCOPES: Mapping[str, str] = {"ATTRIBUTES": "PROFILE_ATTRIBUTES", "EVENTS": "PROFILE_EVENTS"}
BEGUN = {"RUNNING", "SUCCESS", "ERROR"}
ENDED = {"SUCCESS", "ERROR"}


def status(export: Export) -> str:
    """The wire's word. What expired before it was completed did not succeed."""
    if export.status is Status.EXPIRED and export.completed_at is None:
        return STATUSES[Status.FAILED]
    return STATUSES[export.status]


def request(export: Export, files: Sequence[Numbered], base: str) -> dict[str, Any]:
    """One export. `base`: the address with the version, which the addresses of its files begin with."""
    word, asked = status(export), dict(export.draft["wire"])
    made = time(export.created_at)
    shown = {
        "id": ids.export(export.id),
        "request_date": made,
        "requested_at": made,
        "scope": SCOPES[asked["export_type"]],
        "status": word,
        "request": asked,
    }
    ended = export.completed_at or export.failed_at or export.interrupted_at
    if word in ENDED and ended:
        shown["completion_date"] = time(ended)
    if word in BEGUN and export.started_at:
        shown["start_date"] = time(export.started_at)
    return shown | {"files": _files(export, files, base)}


def _files(export: Export, files: Sequence[Numbered], base: str) -> list[dict[str, Any]]:
    """Those with something in them: of an event that has not happened there is no file."""
    filled = [one for one in files if one.length]
    return [
        {
            "id": ids.file(export.id, one.n),
            "part": part,
            "size": one.length,
            "url": f"{base}/exports/download?id={ids.file(export.id, one.n)}",
        }
        for part, one in enumerate(filled, 1)
    ]


def page(
    found: Sequence[Export], files: Mapping[str, Sequence[Numbered]], base: str, *, more: bool
) -> dict[str, Any]:
    """Some exports, newest first; `more`: there are older ones."""
    shown = {
        "exports": [request(one, files.get(one.id, ()), base) for one in found],
        "count": len(found),
        "has_more": more,
    }
    return shown | ({"next_from": ids.cursor(found[-1].id, found[-1].created_at)} if more else {})


def time(moment: datetime) -> str:
    """UTC, RFC 3339 with seconds and a `Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
