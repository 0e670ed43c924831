"""What a service's answers mean: exports, refusals in words, or that they make no sense."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from outhaul import errors
from outhaul.errors import OuthaulError, ServiceAway, ServiceBusy, ServiceError

Status = Literal["pending", "in_progress", "interrupted", "completed", "failed"]
ACTIVE = frozenset({"pending", "in_progress"})
LONGEST = 1_000  # characters of an answer that stand in a sentence
PASSING = frozenset({502, 503, 504})  # what is said by whoever stands before a service that is just away

KINDS: Mapping[str, type[OuthaulError]] = {
    "INVALID_TOKEN": errors.NotSignedIn,
    "UNAUTHORIZED": errors.NotAllowed,
    "RECORD_NOT_FOUND": errors.NotFound,
    "GONE": errors.Gone,
    "PAYLOAD_TOO_LARGE": errors.TooMuch,
}
RULES: Mapping[str, type[OuthaulError]] = {
    "less_than_or_equal_to": errors.TooMuch,
    "greater_than": errors.NothingMatches,
}
HINTS: Mapping[type[OuthaulError], str] = {
    errors.NotSignedIn: "It may have expired or been revoked; `outhaul token create` makes another.",
    errors.NotFound: "`outhaul exports list` shows what there is.",
}


@dataclass(frozen=True, slots=True)
class Export:
    """An export as the service tells of it, under the names of the wire. Times are aware, UTC; `progress` is of 100.

    `errors_log`: why it failed, by the names of errors. `attachment_url`, `manifest_url`: signed links, good for some
    minutes; None when there is nothing to fetch.
    """

    id: str
    resource_type: str
    format: str
    status: Status
    progress: float
    created_at: datetime
    updated_at: datetime
    includes: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    filters: Mapping[str, Any] | None = None
    dry_data: bool = False
    jwt_filters: bool = False
    records_count: int | None = None
    processed_count: int | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    estimated_completion_at: datetime | None = None
    interrupted_at: datetime | None = None
    errors_log: Mapping[str, str] | None = None
    reference: str | None = None
    reference_origin: str | None = None
    metadata: Mapping[str, Any] | None = None
    attachment_url: str | None = None
    manifest_url: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it is over, well or not, until somebody starts it again."""
        return self.status not in ACTIVE

    def as_data(self) -> dict[str, Any]:
        """JSON-able, times as ISO 8601."""
        data: dict[str, Any] = EXPORT.dump_python(self, mode="json")
        return data

    def why(self) -> OuthaulError | None:
        """What it ended by if not by completion: the error that it failed with, or Interrupted."""
        hint = f"`outhaul exports start {self.id}` goes on with it."
        if self.status == "failed":
            name, text = next(iter((self.errors_log or {}).items()), ("", "The export failed."))
            kind = getattr(errors, name, None)
            if not (isinstance(kind, type) and issubclass(kind, OuthaulError)):
                kind = OuthaulError
            return kind(printable(text), hint="" if kind is errors.Gone else hint)
        if self.status == "interrupted":
            return errors.Interrupted(f"Somebody has interrupted the export {self.id}.", hint=hint)
        return None


EXPORT: TypeAdapter[Export] = TypeAdapter(Export)


def read(resource: Any) -> Export:
    """A resource object of the wire. ServiceError: it is none."""
    try:
        links = resource.get("links") or {}
        told = {**resource["attributes"], "id": resource["id"], "manifest_url": links.get("manifest")}
        return EXPORT.validate_python(told)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise nonsense(f"is no export ({reason})", "") from None
    except (KeyError, TypeError, AttributeError):
        raise nonsense("is no export", json.dumps(resource)) from None


def document(raw: bytes) -> dict[str, Any]:
    """The JSON:API document in a body. ServiceError: there is none."""
    found = _object(raw)
    if found is None or "data" not in found:
        raise nonsense("is no document", raw)
    return found


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def nonsense(what: str, said: bytes | str) -> ServiceError:
    """The error for an answer that none of ours would give. `what`: why, as in "is no document"."""
    text = printable(said)[:100]
    return ServiceError(
        f"The answer {what}{f': {text!r}' if text else ''}.",
        hint="Is this the address of an Outhaul service?",
    )


def printable(text: bytes | str) -> str:
    """A text of somebody else's as it may stand in a terminal: on one line, not long, without control characters."""
    plain = text[:LONGEST].decode(errors="replace") if isinstance(text, bytes) else text[:LONGEST]
    return "".join(each if each.isprintable() else " " for each in plain).strip()


def refusal(status: int, raw: bytes, headers: Mapping[str, str]) -> OuthaulError:
    """What an answer other than success means: ServiceAway or ServiceBusy where it is worth asking again."""
    wait = retry_after(headers.get("retry-after"))
    entries = _entries(raw)
    said = "; ".join(printable(str(one.get("detail") or one.get("title"))) for one in entries)
    if status == 429:
        text = said or "The service is asked too often."
        return ServiceBusy(text, hint="Wait, and try again.", facts={"wait": wait})
    if status in PASSING and (wait is not None or not entries):
        return ServiceAway(f"The service is away: it was answered with {status}.", facts={"wait": wait})
    if not entries:
        return nonsense(f"has the status {status}", raw)
    kind = _kind(status, entries[0])
    return kind(said, hint=HINTS.get(kind, ""))


def _entries(raw: bytes) -> list[dict[str, Any]]:
    """The errors of a document; none where it is no document of errors."""
    found = (_object(raw) or {}).get("errors")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _kind(status: int, entry: Mapping[str, Any]) -> type[OuthaulError]:
    source, meta = entry.get("source"), entry.get("meta")
    pointer = source.get("pointer") if isinstance(source, dict) else None
    rule = meta.get("error") if isinstance(meta, dict) else None
    if pointer == "/data/attributes/status":
        return errors.WrongState
    found = KINDS.get(str(entry.get("code"))) or RULES.get(str(rule))
    return found or (errors.Refused if status < 500 else ServiceError)


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, which has a number or a date; None: nothing that can be read."""
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def listed(raw: bytes) -> tuple[list[Export], int]:
    """The exports of a page of a list, and how many pages there are. ServiceError: it is none."""
    found = document(raw)
    pages = found["meta"].get("page_count") if isinstance(found.get("meta"), dict) else None
    if not isinstance(found["data"], list) or not isinstance(pages, int):
        raise nonsense("is no page of a list", raw)
    return [read(one) for one in found["data"]], pages


def link(export: Export) -> str:
    """The signed link to its file; why it ended, if not by completion. WrongState: it goes on. Gone: no longer kept."""
    if not export.ended:
        raise errors.WrongState(f"The export {export.id} is not completed yet.", hint="Follow it to its end.")
    if (why := export.why()) is not None:
        raise why
    if export.attachment_url is None:
        said = "; ".join(printable(text) for text in (export.errors_log or {}).values())
        raise errors.Gone(said or "Its files are no longer kept.")
    if not _leads(export.attachment_url):
        raise nonsense("has a link that leads nowhere", export.attachment_url)
    return export.attachment_url


def _leads(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False
