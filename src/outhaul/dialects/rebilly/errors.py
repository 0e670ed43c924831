"""What went wrong, as Rebilly's problems (RFC 7807): one table from errors to statuses and titles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outhaul import errors
from outhaul.errors import MENTION, OuthaulError

TYPE = "about:blank"
INSTANCE = "urn:outhaul:request:{}"
LONGEST = 2_000  # characters of a text, so that a refusal is not larger than anybody reads
PAUSE = 60  # seconds after which to ask again where nothing tells when there will be room


class TooManyRequests(errors.Refused):
    """`facts` holds `wait`: seconds until one more is let in."""


class BodyTooLarge(errors.TooMuch):
    pass


class NoSuchMethod(errors.Malformed):
    """The address is right, the verb is not."""


Words = tuple[int, str]
AWAY: Words = (503, "Service Unavailable")
INVALID: Words = (422, "Unprocessable Entity")

WORDS: Mapping[type[OuthaulError], Words] = {
    errors.Malformed: (400, "Bad Request"),
    errors.NotSignedIn: (401, "Unauthorized"),
    errors.NotAllowed: (403, "Forbidden"),
    errors.NotFound: (404, "Not Found"),
    errors.Gone: (404, "Not Found"),
    NoSuchMethod: (405, "Method Not Allowed"),
    BodyTooLarge: (413, "Payload Too Large"),
    errors.BadRange: (416, "Range Not Satisfiable"),
    errors.Refused: INVALID,
    TooManyRequests: (429, "Rate Limit Exceeded"),
    errors.UnderMaintenance: AWAY,
    errors.NoRoom: AWAY,
    errors.SourceError: AWAY,
    errors.StoreError: AWAY,
    OuthaulError: (500, "Internal Server Error"),
}


def words(error: OuthaulError) -> Words:
    """Status and title: of the error's own class, or of the nearest above it."""
    return next(WORDS[kind] for kind in type(error).__mro__ if kind in WORDS)


def problem(error: OuthaulError, trace: str, *, openly: bool = False) -> tuple[int, dict[str, Any]]:
    """Status and body; what only we can mend is told by its `trace`. `openly`: the asker may read what is the
    operator's own."""
    status, title = words(error)
    detail = str(error)
    if status == 500 and not isinstance(error, errors.Misconfigured | errors.Unproven):
        detail = f"Something went wrong on our side. {MENTION.format(trace)}"
    elif error.outside and not openly:
        detail = f"{error.outside} {MENTION.format(trace)}"
    body: dict[str, Any] = {
        "type": TYPE,
        "title": title,
        "status": status,
        "detail": detail[:LONGEST],
        "instance": INSTANCE.format(trace),
    }
    if status == INVALID[0]:
        fields = [".".join(map(str, error.where))[:LONGEST]] if error.where else []
        body["invalidFields"] = [{"field": one, "message": str(error)[:LONGEST]} for one in fields]
    return status, body


def in_time(error: OuthaulError) -> OuthaulError:
    """What the core says of too many exports at once, as a matter of time."""
    if error.facts.get("rule") != "too_many_at_once":
        return error
    return TooManyRequests(error.message, hint=error.hint, facts={"wait": PAUSE})
