"""Core words to wire: an Export as Commerce Layer's resource object, alone and in pages; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from outhaul.dialects.commercelayer.parse import Page
from outhaul.errors import outside
from outhaul.export import Export, Status

STATUSES: Mapping[Status, str] = {
    Status.CREATED: "pending",
    Status.QUEUED: "pending",
    Status.RUNNING: "in_progress",
    Status.INTERRUPTED: "interrupted",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.EXPIRED: "completed",  # with attachment_url null and an errors_log that says why
}
EXPIRED = "The files were kept to the end of their retention, then removed. Create the export again."
RELATIONSHIPS = ("events", "versions", "event_stores")


@dataclass(frozen=True, slots=True)
class Setting:
    """What an answer holds beside the export: `base` is the absolute address of `/api`, `trace` names the request.
    `openly`: the asker may read what is the operator's own."""

    base: str
    trace: str
    openly: bool = False


@dataclass(frozen=True, slots=True)
class Links:
    """Signed absolute addresses, made for this answer; None when there is nothing to fetch."""

    attachment: str | None = None
    manifest: str | None = None


def resource(export: Export, links: Links, setting: Setting) -> dict[str, Any]:
    """The resource object: 22 attributes, relationships without data, meta."""
    own = f"{setting.base}/exports/{quote(export.id, safe='')}"
    manifest = {"manifest": links.manifest} if links.manifest else {}
    return {
        "id": export.id,
        "type": "exports",
        "links": {"self": own, **manifest},
        "attributes": _asked(export)
        | _lived(export)
        | {"attachment_url": links.attachment}
        | _kept(export, setting),
        "relationships": {
            name: {"links": {"self": f"{own}/relationships/{name}", "related": f"{own}/{name}"}}
            for name in RELATIONSHIPS
        },
        "meta": {"mode": "live", "organization_id": export.tenant or "", "trace_id": setting.trace},
    }


def page(data: Sequence[dict[str, Any]], total: int, asked: Page, setting: Setting) -> dict[str, Any]:
    """A list's document; an empty list has one, empty, page."""
    last = max(1, -(-total // asked.size))

    def address(number: int) -> str:
        query = urlencode({"page[number]": number, "page[size]": asked.size}, safe="[]")
        return f"{setting.base}/exports?{query}"

    links = {"first": address(1)}
    if asked.number > 1:
        links["prev"] = address(min(asked.number - 1, last))
    if asked.number < last:
        links["next"] = address(asked.number + 1)
    links["last"] = address(last)
    return {"data": list(data), "meta": {"record_count": total, "page_count": last}, "links": links}


def _asked(export: Export) -> dict[str, Any]:
    selection = export.draft["selections"][0]
    return {
        "resource_type": selection["resource"],
        "format": export.draft["formats"][0],
        "status": status(export),
        "includes": list(selection["includes"]),
        "fields": list(selection["fields"]),
        "filters": dict(selection["filters"]),
        "dry_data": False,
        "jwt_filters": False,
    }


def _lived(export: Export) -> dict[str, Any]:
    return {
        "started_at": _time(export.started_at),
        "completed_at": _time(export.completed_at),
        "estimated_completion_at": _time(export.estimated_completion_at),
        "interrupted_at": _time(export.interrupted_at),
        "records_count": export.matched,
        "processed_count": export.processed,
        "progress": export.percentage,
    }


def _kept(export: Export, setting: Setting) -> dict[str, Any]:
    return {
        "errors_log": _errors(export, setting),
        "created_at": _time(export.created_at),
        "updated_at": _time(export.updated_at),
        "reference": export.reference,
        "reference_origin": export.reference_origin,
        "metadata": dict(export.metadata),
    }


def status(export: Export) -> str:
    """The wire's word; an export that expires before it was completed keeps the word it had."""
    if export.status is Status.EXPIRED and export.completed_at is None:
        return STATUSES[Status.FAILED if export.failed_at else Status.INTERRUPTED]
    return STATUSES[export.status]


def _errors(export: Export, setting: Setting) -> dict[str, str]:
    if export.status is Status.EXPIRED:
        return {
            "Gone": "The files were kept until the end of their retention and are removed. Create the export again."
        }
    return {error["error"]: _told(error, export.id, setting) for error in export.errors}


def _told(error: Mapping[str, Any], export_id: str, setting: Setting) -> str:
    public = outside(error["error"])
    if public and not setting.openly:
        return f"{public} Mention {export_id} when you report it."
    return f"{error['message']} {error.get('hint', '')}".rstrip()


def _time(moment: datetime | None) -> str | None:
    """UTC, ISO 8601 with milliseconds and `Z`."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
