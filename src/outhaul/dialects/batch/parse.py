"""Wire to what is wanted: the body of a creation, and the parameters of lists; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from outhaul.dialects import each_once
from outhaul.dialects.batch import ids
from outhaul.dialects.batch.errors import MalformedBody, MissingParameter
from outhaul.errors import WrongValue

LOOKBACK = timedelta(days=90)  # "not older than the lookback period"
GRACE = timedelta(days=1)  # for whoever counts whole days, or from a moment before we are asked
NOW = "now"
PAGE, LARGEST_PAGE = 10, 100
EVENTS = (
    *("email_bounced", "email_click", "email_delivered", "email_open", "email_sent", "email_spam_complaint"),
    *("email_unsubscribed", "sms_sent", "sms_bounced", "sms_delivered", "sms_unsubscribed"),
    *("push_sent", "push_bounced", "push_open"),
)
# As the schema of each type of export writes them; either is understood anywhere.
INSTALLATIONS: Mapping[str, str] = {"ATTRIBUTES": "installation_ids", "EVENTS": "installation_id"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
LONGEST = 1_000  # characters of a text


@dataclass(frozen=True, slots=True)
class Attributes:
    """Profiles are wanted, with these attributes and identifiers. `echo`: the request as it is shown."""

    attributes: tuple[str, ...]
    identifiers: tuple[str, ...]
    segment: str | None
    echo: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Events:
    """Events of these kinds are wanted, from a time on and before another; None: up to the export's instant."""

    events: tuple[str, ...]
    identifiers: tuple[str, ...]
    orchestrations: tuple[str, ...]
    since: datetime
    before: datetime | None
    echo: Mapping[str, Any]


Wanted = Attributes | Events


@dataclass(frozen=True, slots=True)
class Page:
    """`before`: only exports older than the one made then, of this id of ours."""

    limit: int
    before: tuple[datetime, str] | None


def creation(raw: bytes, now: datetime) -> Wanted:
    """The body of a creation that comes now. Members that nobody knows are not looked at."""
    given = _object(raw)
    kind = _text(given, "export_type")
    if kind == "REACHABILITY":
        raise WrongValue("exports of reachability are not offered.", where=("export_type",))
    if kind not in INSTALLATIONS:
        raise _unknown("export_type", "type of export", kind, tuple(INSTALLATIONS))
    known = {"export_type": kind}
    return _attributes(given, known) if kind == "ATTRIBUTES" else _events(given, known, now)


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(raw, object_pairs_hook=each_once)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise MalformedBody(f"The body is not valid JSON: {reason}.") from None
    if not isinstance(data, dict):
        raise MalformedBody("The body must be an object.")
    return data


def _attributes(given: Mapping[str, Any], echo: dict[str, Any]) -> Attributes:
    if "attributes" not in given and "identifiers" not in given:
        raise MissingParameter("attributes, identifiers: at least one of them is needed.")
    attributes = _texts(given, "attributes") if "attributes" in given else ()
    identifiers = _identifiers(given, "ATTRIBUTES", least=1)
    echo |= {"attributes": list(attributes)} if attributes else {}
    echo |= {"identifiers": list(identifiers)} if identifiers else {}
    segment = None
    if "filter" in given:
        told = given["filter"]
        if not isinstance(told, dict):
            raise WrongValue("must be an object.", where=("filter",))
        segment = _text(told, "segment", ("filter", "segment")) if "segment" in told else None
        echo["filter"] = {} if segment is None else {"segment": segment}
    return Attributes(tuple(dict.fromkeys(attributes)), identifiers, segment, echo)


def _events(given: Mapping[str, Any], echo: dict[str, Any], now: datetime) -> Events:
    for name in ("from", "to", "events"):
        _needed(given, name)
    if "filter" in given:
        raise WrongValue("only exports of attributes have a filter.", where=("filter",))
    since = _moment(given, "from")
    before = None if given["to"] == NOW else _moment(given, "to")
    if since < now - LOOKBACK - GRACE:
        raise WrongValue(f"must not be older than {LOOKBACK.days} days.", where=("from",))
    if since >= (before or now):
        raise WrongValue("must be before `to`.", where=("from",))
    events = _texts(given, "events")
    for one in events:
        if one not in EVENTS:
            raise _unknown("events", "event", one, EVENTS)
    identifiers = _identifiers(given, "EVENTS")
    told = {"from": given["from"], "to": given["to"]}
    told |= {"identifiers": list(identifiers)} if "identifiers" in given else {}
    told |= {"events": list(events)}
    orchestrations: tuple[str, ...] = ()
    if "orchestration_ids" in given:
        orchestrations = _texts(given, "orchestration_ids")
        told["orchestration_ids"] = list(orchestrations)
    kinds = tuple(dict.fromkeys(events))
    return Events(kinds, identifiers, orchestrations, since, before, echo | told)


def _identifiers(given: Mapping[str, Any], kind: str, least: int = 0) -> tuple[str, ...]:
    if "identifiers" not in given:
        return ()
    own = INSTALLATIONS[kind]
    asked = (own if one in INSTALLATIONS.values() else one for one in _texts(given, "identifiers", least))
    identifiers = tuple(dict.fromkeys(asked))
    for one in identifiers:
        if one not in {"custom_id", own}:
            raise _unknown("identifiers", "identifier", one, ("custom_id", own))
    return identifiers


def listing(limit: str | None, begin: str | None) -> Page:
    """The parameters of a list."""
    size = PAGE
    if limit is not None:
        size = int(limit) if re.fullmatch(r"\d{1,3}", limit, re.ASCII) else 0
        if not 1 <= size <= LARGEST_PAGE:
            raise WrongValue(f"must be an integer from 1 to {LARGEST_PAGE}.", where=("limit",))
    before = None if begin is None else ids.read_cursor(begin)
    if begin is not None and before is None:
        raise WrongValue("must be a `next_from` of a list.", where=("from",))
    return Page(size, before)


def _needed(given: Mapping[str, Any], name: str, where: tuple[str, ...] = ()) -> Any:
    if name not in given:
        raise MissingParameter(f"{'.'.join(where or (name,))}: is needed.")
    return given[name]


def _text(given: Mapping[str, Any], name: str, where: tuple[str, ...] = ()) -> str:
    return _clean(_needed(given, name, where), where or (name,))


def _texts(given: Mapping[str, Any], name: str, least: int = 1) -> tuple[str, ...]:
    found = given[name]
    if not isinstance(found, list) or len(found) < least:
        raise WrongValue(f"must be an array of {least} or more strings.", where=(name,))
    return tuple(_clean(one, (name,)) for one in found)


def _clean(value: Any, where: tuple[str, ...]) -> str:
    """A text that every database can keep."""
    if not isinstance(value, str) or not value:
        raise WrongValue("must be a string that is not empty.", where=where)
    if len(value) > LONGEST or re.search("[\0\ud800-\udfff]", value):
        raise WrongValue(f"must be a text of at most {LONGEST} characters.", where=where)
    return value


def _moment(given: Mapping[str, Any], name: str) -> datetime:
    text = _text(given, name)
    try:
        if MOMENT.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise WrongValue("must be a UTC date as RFC 3339 has them: 2026-01-31T00:00:00Z.", where=(name,))


def _unknown(where: str, what: str, name: str, choices: Sequence[str]) -> WrongValue:
    hint = f"One of: {', '.join(choices)}."
    return WrongValue(
        f"there is no {what} {name[:100]!a}.", hint=hint, where=(where,), choices=tuple(choices)
    )
