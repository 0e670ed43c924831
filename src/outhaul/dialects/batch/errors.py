"""What went wrong, in Batch's words: one table from errors to statuses and codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from outhaul import errors


class MalformedBody(errors.Malformed):
    """The body is no object of JSON, or too large."""


class MissingParameter(errors.Malformed):
    """A parameter that must be there."""


class NoRoute(errors.NotFound):
    """There is no such call."""


class NoSuchMethod(errors.Malformed):
    """The address is right, the verb is not."""


class TooMany(errors.TooMuch):
    """More calls than a project may make; `facts` holds `wait` in seconds."""


@dataclass(frozen=True, slots=True)
class Words:
    """How one error is said. Without `text` its own sentence is."""

    status: int
    code: str
    text: str = ""


LOCKED_OUT = "The Rest API Key is not valid for this project"
AWAY = Words(503, "SERVICE_UNAVAILABLE")
WRONG = Words(400, "MALFORMED_PARAMETER")

WORDS: Mapping[type[errors.OuthaulError], Words] = {
    MalformedBody: Words(400, "MALFORMED_JSON_BODY"),
    MissingParameter: Words(400, "MISSING_PARAMETER"),
    errors.Refused: WRONG,
    errors.NotSignedIn: Words(401, "AUTHENTICATION_INVALID", LOCKED_OUT),
    errors.NotAllowed: Words(401, "AUTHENTICATION_INVALID"),
    errors.NotFound: Words(404, "NOT_FOUND"),
    errors.Gone: Words(404, "NOT_FOUND"),
    NoRoute: Words(404, "ROUTE_NOT_FOUND"),
    NoSuchMethod: Words(405, "METHOD_NOT_ALLOWED"),
    TooMany: Words(429, "TOO_MANY_REQUESTS"),
    errors.UnderMaintenance: Words(503, "MAINTENANCE"),
    errors.NoRoom: AWAY,
    errors.SourceError: AWAY,
    errors.StoreError: AWAY,
    errors.OuthaulError: Words(500, "SERVER_ERROR"),
}
# Places of a draft, in the words of a request.
PLACES: Mapping[str, str] = {"segments": "filter.segment", "filters": "orchestration_ids"}
LONGEST = 2_000  # characters of a text


def words(error: errors.OuthaulError) -> Words:
    """The row for an error: its own class's, or the nearest class's above it."""
    return next(WORDS[kind] for kind in type(error).__mro__ if kind in WORDS)


def answer(error: errors.OuthaulError, trace: str) -> tuple[int, dict[str, str]]:
    """Status and body; what only an operator can mend is told by its `trace`. Clients read `error_message` or
    `message`."""
    said = words(error)
    text = said.text or str(error)
    if said.status == 500:
        text = f"Something went wrong on our side. Mention {trace} when you report it."
    elif error.outside:
        text = f"{error.outside} Mention {trace} when you report it."
    elif said is WRONG and error.where:
        where = next((PLACES[str(step)] for step in error.where if step in PLACES), "")
        text = f"{where or '.'.join(map(str, error.where))}: {text}"
    text = text[:LONGEST]
    return said.status, {"error_code": said.code, "error_message": text, "message": text}
