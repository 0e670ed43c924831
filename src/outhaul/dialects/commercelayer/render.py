"""Core words to wire: an Export as Commerce Layer's resource object, alone and in pages; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from outhaul.dialects.commercelayer.query import FILTERABLE, RELATED, Asked, Shape
from outhaul.errors import MENTION, outside
from outhaul.export import Export, Status, View
from outhaul.service import LINKS

DIALECT = "commercelayer"
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
GONE = {"Gone": EXPIRED}
# The topics of Commerce Layer's webhooks: what else happens to an export is told in the manifest and the log alone.
EVENTS: Mapping[str, str] = {
    "created": "exports.create",
    "started": "exports.start",
    "completed": "exports.complete",
    "failed": "exports.fail",
    "interrupted": "exports.interrupt",
    "removed": "exports.destroy",
}
WHOLE = Shape()


@dataclass(frozen=True, slots=True)
class Setting:
    """What an answer holds beside the export: `base` is the absolute address of `/api`, `trace` names the request.
    `openly`: the asker may read what is the operator's own; `failed`: the word for a failed export, for clients that
    would ask for ever; `mode`: live or test."""

    base: str
    trace: str
    openly: bool = False
    failed: str = "failed"
    mode: str = "live"

    def word(self, status: Status) -> str:
        return self.failed if status is Status.FAILED else STATUSES[status]


@dataclass(frozen=True, slots=True)
class Links:
    """Signed absolute addresses, made for this answer; None when there is nothing to fetch."""

    attachment: str | None = None
    manifest: str | None = None


def view(setting: Setting) -> View:
    """Exports as lists compare with them: in the words of the wire, and only those that were asked for in them."""
    words: dict[Status, str] = {one: setting.word(one) for one in STATUSES if one is not Status.EXPIRED}
    return View(FILTERABLE, words, EVENTS, json.dumps(GONE), LINKS, setting.openly, DIALECT)


def resource(export: Export, links: Links, setting: Setting, shape: Shape = WHOLE) -> dict[str, Any]:
    """The resource object: of its 22 attributes those that the shape shows, relationships, meta. A relationship has
    data only when it is included, see `included.py`."""
    own = f"{setting.base}/exports/{quote(export.id, safe='')}"
    manifest = {"manifest": links.manifest} if links.manifest else {}
    attributes = (
        _asked(export, setting)
        | _lived(export)
        | {"attachment_url": links.attachment}
        | _kept(export, setting)
    )
    return {
        "id": export.id,
        "type": "exports",
        "links": {"self": own, **manifest},
        "attributes": {name: value for name, value in attributes.items() if shape.shows("exports", name)},
        **related("exports", own, shape),
        "meta": meta(export.tenant, setting),
    }


def related(kind: str, own: str, shape: Shape) -> dict[str, Any]:
    """The member of a resource object that links to what is related to it; none where the shape shows none."""
    found = {
        name: {"links": {"self": f"{own}/relationships/{name}", "related": f"{own}/{name}"}}
        for name in RELATED[kind]
        if shape.shows(kind, name)
    }
    return {"relationships": found} if found else {}


def meta(tenant: str | None, setting: Setting) -> dict[str, str]:
    """Of every resource object."""
    return {"mode": setting.mode, "organization_id": tenant or "", "trace_id": setting.trace}


def page(
    data: Sequence[dict[str, Any]], total: int, asked: Asked, setting: Setting, at: str = "/exports"
) -> dict[str, Any]:
    """A list's document; an empty list has one, empty, page. Links keep what else was asked for. `at`: the list's path
    below `base`."""
    number, size = asked.page.number, asked.page.size
    last = max(1, -(-total // size))

    def address(to: int) -> str:
        query = urlencode([*asked.kept, ("page[number]", to), ("page[size]", size)], safe="[]")
        return f"{setting.base}{at}?{query}"

    links = {"first": address(1)}
    if number > 1:
        links["prev"] = address(min(number - 1, last))
    if number < last:
        links["next"] = address(number + 1)
    links["last"] = address(last)
    return {"data": list(data), "meta": {"record_count": total, "page_count": last}, "links": links}


def _asked(export: Export, setting: Setting) -> dict[str, Any]:
    selection = export.draft["selections"][0]
    return {
        "resource_type": selection["resource"],
        "format": export.draft["formats"][0],
        "status": status(export, setting),
        "includes": list(selection["includes"]),
        "fields": list(selection["fields"]),
        "filters": dict(selection["filters"]),
        "dry_data": export.draft.get("dry", False),
        "jwt_filters": export.draft.get("scoped", False),
    }


def _lived(export: Export) -> dict[str, Any]:
    return {
        "started_at": time(export.started_at),
        "completed_at": time(export.completed_at),
        "estimated_completion_at": time(export.estimated_completion_at),
        "interrupted_at": time(export.interrupted_at),
        "records_count": export.matched,
        "processed_count": export.processed,
        "progress": export.percentage,
    }


def _kept(export: Export, setting: Setting) -> dict[str, Any]:
    return {
        "errors_log": _errors(export, setting),
        "created_at": time(export.created_at),
        "updated_at": time(export.updated_at),
        "reference": export.reference,
        "reference_origin": export.reference_origin,
        "metadata": dict(export.metadata),
    }


def status(export: Export, setting: Setting) -> str:
    """The wire's word; an export that expires before it was completed keeps the word it had."""
    if export.status is Status.EXPIRED and export.completed_at is None:
        return setting.word(Status.FAILED if export.failed_at else Status.INTERRUPTED)
    return setting.word(export.status)


def _errors(export: Export, setting: Setting) -> dict[str, str]:
    if export.status is Status.EXPIRED:
        return GONE
    return errors_log(export.errors, export.id, setting)


def errors_log(errors: Sequence[Mapping[str, Any]], export_id: str, setting: Setting) -> dict[str, str]:
    """Errors of an export by their names, each told as the asker may read it."""
    return {error["error"]: _told(error, export_id, setting) for error in errors}


def _told(error: Mapping[str, Any], export_id: str, setting: Setting) -> str:
    public = outside(error["error"])
    if public and not setting.openly:
        return f"{public} {MENTION.format(export_id)}"
    return f"{error['message']} {error.get('hint', '')}".rstrip()


def time(moment: datetime | None) -> str | None:
    """UTC, ISO 8601 with milliseconds and `Z`."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
