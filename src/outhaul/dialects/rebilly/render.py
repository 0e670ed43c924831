"""Core words to wire: an Export as Rebilly's organization export, and its file as one of Rebilly's; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from outhaul.dialects.rebilly import ids
from outhaul.export import Export, Status, View
from outhaul.filenames import safe
from outhaul.service import File

STATUSES: Mapping[Status, str] = {
    Status.CREATED: "pending",
    Status.QUEUED: "queued",
    Status.RUNNING: "processing",
    Status.INTERRUPTED: "pending",  # it waits to be started again, which Rebilly has no word for
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.EXPIRED: "expired",
}
LISTED: Mapping[str, str] = {
    "id": "id",
    "status": "status",
    "createdTime": "created_at",
    "updatedTime": "updated_at",
    "retentionTime": "expires_at",
}
DIALECT = "rebilly"
VIEW = View(LISTED, STATUSES, dialect=DIALECT)
SOURCE = "organization-export"


@dataclass(frozen=True, slots=True)
class Setting:
    """What an answer holds beside the export. `base`: the absolute address of the organization, without a slash at
    its end; `link`: a signed absolute address of the file; `counts`: rows of each selection."""

    base: str
    link: str | None = None
    counts: Sequence[int] = ()


def place(base: str, organization: str | None) -> str:
    """The absolute address of an organization, by that of the service."""
    return f"{base}/organizations/{quote(organization or '', safe='')}"


def organization_export(export: Export, setting: Setting) -> dict[str, Any]:
    """All members, always. `resources`, `fileId` and the link only once there is something to tell of."""
    there = export.status is Status.COMPLETED and setting.link is not None
    own, user = ids.export_id(export), ids.user_id(export.caller)
    links = [
        _link("self", f"{setting.base}/organization-exports/{own}"),
        _link("user", f"{setting.base}/users/{user}"),
    ]
    return {
        "id": own,
        "userId": user,
        "fileId": ids.file_id(export) if there else None,
        "status": STATUSES[export.status],
        "resources": _resources(export, setting.counts),
        "createdTime": time(export.created_at),
        "updatedTime": time(export.updated_at),
        "retentionTime": time(export.expires_at),
        "_links": [*links, _link("signedLink", setting.link)] if there and setting.link else links,
    }


def _resources(export: Export, counts: Sequence[int]) -> list[dict[str, Any]]:
    """What was exported, by type; nothing before all of it is proven."""
    if export.completed_at is None:
        return []
    pairs = zip(export.draft["selections"], counts, strict=False)
    return [{"type": one["stem"], "recordCount": rows} for one, rows in pairs if not one.get("binaries")]


def name(export: Export) -> str:
    """Of its one file."""
    return f"{safe(export.draft['archive'])}.zip"


def file(export: Export, found: File, setting: Setting) -> dict[str, Any]:
    """The file of a completed export."""
    own = ids.file_id(export)
    name, _, extension = found.name.rpartition(".")
    links = [
        _link("self", f"{setting.base}/files/{own}"),
        _link("download", f"{setting.base}/files/{own}/download"),
    ]
    return {
        "id": own,
        "name": name,
        "extension": extension,
        "description": "",
        "tags": [],
        "mime": found.media_type,
        "size": found.length,
        "sha1": found.sha1,
        "sourceType": SOURCE,
        "isPublic": False,
        "createdTime": time(export.completed_at),
        "updatedTime": time(export.updated_at),
        "_links": [*links, _link("signedLink", setting.link)] if setting.link else links,
    }


def _link(rel: str, href: str) -> dict[str, str]:
    return {"rel": rel, "href": href}


def time(moment: datetime | None) -> str | None:
    """UTC, ISO 8601 with milliseconds and `Z`."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
