"""What went wrong, in Commerce Layer's words: one table from errors to statuses, codes and texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from outhaul import errors


class ParamMissing(errors.Malformed):
    """A member of the document that must be there."""


class ParamNotAllowed(errors.Malformed):
    """An attribute, parameter or member that may not be there."""


class InvalidResource(errors.Malformed):
    """The document's type is not `exports`."""


class KeyNotInUrl(errors.Malformed):
    """The document's id is not that of the address."""


class InQuery(errors.Malformed):
    """Something is wrong with a parameter of the address: `where` names it."""


class UnknownParameter(ParamNotAllowed, InQuery):
    pass


class InvalidPageValue(InQuery):
    pass


class InvalidSort(InQuery):
    pass


class InvalidField(InQuery):
    pass


class InvalidInclude(InQuery):
    pass


class FilterNotAllowed(InQuery):
    """No such filter: its attribute or its predicate is unknown, or they do not go together."""


class InvalidFilterValue(InQuery):
    pass


class BodyTooLarge(errors.TooMuch):
    pass


class NotAcceptable(errors.Malformed):
    pass


class UnsupportedMediaType(errors.Malformed):
    pass


class NoSuchMethod(errors.Malformed):
    """The address is right, the verb is not."""


@dataclass(frozen=True, slots=True)
class Words:
    """How one error is said. Without `title` the error's own sentence is the title; without `detail` the detail.
    `rule` is the name of a broken validation: what clients read as `meta.error` of every 422."""

    status: int
    code: str
    title: str = ""
    detail: str = ""
    rule: str = ""


def _invalid(rule: str) -> Words:
    return Words(422, "VALIDATION_ERROR", rule=rule)


LOCKED_OUT = Words(401, "INVALID_TOKEN", "Invalid token", "The access token you provided is invalid.")
MISSING = Words(
    404,
    "RECORD_NOT_FOUND",
    "Record not found",
    "The requested resource was not found. Please double-check the resource id.",
)
BROKEN = Words(500, "INTERNAL_SERVER_ERROR", "Internal Server Error")
AWAY = Words(503, "SERVICE_UNAVAILABLE", "Service unavailable")

WORDS: Mapping[type[errors.OuthaulError], Words] = {
    errors.NotSignedIn: LOCKED_OUT,
    errors.NotAllowed: Words(401, "UNAUTHORIZED", "Access denied"),
    errors.NotFound: MISSING,
    errors.Gone: Words(410, "GONE", "Gone"),
    errors.Malformed: Words(400, "BAD_REQUEST", "Bad request"),
    ParamMissing: Words(400, "PARAM_MISSING", "Missing Parameter"),
    ParamNotAllowed: Words(400, "PARAM_NOT_ALLOWED", "Param not allowed"),
    InvalidResource: Words(400, "INVALID_RESOURCE", "Invalid resource"),
    KeyNotInUrl: Words(400, "KEY_NOT_INCLUDED_IN_URL", "Key is not included in URL"),
    InvalidPageValue: Words(400, "INVALID_PAGE_VALUE", "Invalid page value"),
    InvalidSort: Words(400, "INVALID_SORT_CRITERIA", "Invalid sort criteria"),
    InvalidField: Words(400, "INVALID_FIELD", "Invalid field"),
    InvalidInclude: Words(400, "INVALID_INCLUDE", "Invalid INCLUDE"),
    FilterNotAllowed: Words(400, "FILTER_NOT_ALLOWED", "Filter not allowed"),
    InvalidFilterValue: Words(400, "INVALID_FILTER_VALUE", "Invalid filter value"),
    NoSuchMethod: Words(405, "METHOD_NOT_ALLOWED", "Method not allowed"),
    NotAcceptable: Words(406, "NOT_ACCEPTABLE", "Not acceptable"),
    BodyTooLarge: Words(413, "PAYLOAD_TOO_LARGE", "Payload too large"),
    UnsupportedMediaType: Words(415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type"),
    errors.BadRange: Words(416, "RANGE_NOT_SATISFIABLE", "Range not satisfiable"),
    errors.Refused: _invalid("invalid"),
    errors.UnknownResource: _invalid("inclusion"),
    errors.UnknownField: _invalid("inclusion"),
    errors.UnknownRelationship: _invalid("inclusion"),
    errors.UnknownPredicate: _invalid("inclusion"),
    errors.UnknownSegment: _invalid("inclusion"),
    errors.UnknownSibling: _invalid("inclusion"),
    errors.WrongValue: _invalid("invalid"),
    errors.Cycle: _invalid("invalid"),
    errors.NoKey: _invalid("invalid"),
    errors.TooMuch: _invalid("less_than_or_equal_to"),
    errors.NothingMatches: _invalid("greater_than"),
    errors.WrongState: _invalid("invalid"),
    errors.NoRoom: AWAY,
    errors.UnderMaintenance: AWAY,
    errors.SourceError: AWAY,
    errors.StoreError: AWAY,
    errors.OuthaulError: BROKEN,
}

# A place in the core's request -> the one on the wire, which takes a single resource and a single format.
ATTRIBUTES = {
    "resource": "resource_type",
    "formats": "format",
    "matched": "records_count",
    "scoped": "jwt_filters",
    "dry": "dry_data",
}
HEADERS: Mapping[tuple[str, ...], str] = {("key",): "Idempotency-Key"}
IMPLIED: Mapping[type[errors.OuthaulError], tuple[str, ...]] = {
    errors.WrongState: ("status",),
    errors.NothingMatches: ("records_count",),
}
# How a broken limit on the number of records is said: clients print both numbers out of `meta`.
COUNTED = {
    "less_than_or_equal_to": "must be less than or equal to {limit}",
    "greater_than": "must be greater than {limit}",
}
LONGEST = 2_000  # characters of a text, so that a refusal is not larger than anybody reads
LONGEST_VALUE = 200


def words(error: errors.OuthaulError) -> Words:
    """The row for an error: its own class's, or the nearest class's above it."""
    return next(WORDS[kind] for kind in type(error).__mro__ if kind in WORDS)


def place(error: errors.OuthaulError) -> tuple[str, ...]:
    """Where in the attributes the error lies: `("filters", "code_eq")`; empty when nowhere."""
    where = tuple(str(step) for step in error.where) or IMPLIED.get(type(error), ())
    if where and where[0] in ATTRIBUTES:
        return (ATTRIBUTES[where[0]],)
    return where


def document(error: errors.OuthaulError, trace: str, *, openly: bool = False) -> tuple[int, dict[str, Any]]:
    """Status and body for an error; what only we can mend is told by its `trace`, never by its text. `openly`: the
    asker may read what is the operator's own."""
    said, where = words(error), place(error)
    title, detail = said.title or error.message, said.detail or str(error)
    if said is BROKEN:
        detail = f"Something went wrong on our side. Mention {trace} when you report it."
    elif error.outside and not openly:
        detail = f"{error.outside} Mention {trace} when you report it."
    if said.rule and where:
        detail = f"{HEADERS.get(where) or '.'.join(where)} - {error}"
    if where == ("records_count",) and "limit" in error.facts:
        title = COUNTED[said.rule].format(**error.facts)
        more = str(error).removeprefix(title).strip()
        detail = f"records_count - {title}. {more}" if more else f"records_count - {title}"
    entry: dict[str, Any] = {"title": title[:LONGEST], "detail": detail[:LONGEST], "code": said.code}
    if where in HEADERS:
        entry["source"] = {"header": HEADERS[where]}
    elif isinstance(error, InQuery) and where:
        entry["source"] = {"parameter": where[0]}
    elif where:
        pointer = "/".join(_escaped(step) for step in where)
        entry["source"] = {"pointer": f"/data/attributes/{pointer}"[:LONGEST]}
    entry["status"] = str(said.status)
    if said.rule:
        entry["meta"] = _meta(error, said.rule)
    return said.status, {"errors": [entry]}


def _escaped(step: str) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return step.replace("~", "~0").replace("/", "~1")


def _meta(error: errors.OuthaulError, rule: str) -> dict[str, Any]:
    meta: dict[str, Any] = {"error": str(error.facts.get("rule", rule))}
    if error.wrong:
        meta["value"] = error.wrong[:LONGEST_VALUE]
    if "value" in error.facts:
        meta["value"] = error.facts["value"]
    if "limit" in error.facts:
        meta["count"] = error.facts["limit"]
    return meta
