"""The audit log on a page: who asked for what, newest first, as far as one wants to go back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from outhaul.console.pages import PREFIX, Visit, page
from outhaul.console.people import People
from outhaul.operating import Operating
from outhaul.trail import Sought

ROWS = 50  # of a page
LONGEST = 200  # characters of anything that is asked for
STATIC = f"{PREFIX}/static/"  # of our own pages, which would be most of the log
FILTERS = ("who", "what", "tenant", "until", "changes")
# Of a line, what the page shows in columns of their own; what else was noted stands beneath.
SHOWN = frozenset({"at", "trace", "client", "method", "path", "agent", "status", "caller", "tenant"})


@dataclass(frozen=True, slots=True)
class Line:
    """A line as the page shows it. `at`: None where it says no time; `more`: what else was noted."""

    at: datetime | None
    told: Mapping[str, Any]
    who: str
    more: str


@dataclass(frozen=True, slots=True)
class Log:
    """The page of the audit log."""

    operating: Operating
    people: People

    def show(self, request: Request, seen: Visit) -> Response:
        query = request.query_params
        asked = {name: query[name].strip()[:LONGEST] for name in FILTERS if query.get(name, "").strip()}
        if not _day(asked.get("until", "")):
            asked.pop("until", None)
        names = self.people.names(seen.who, anew=True)
        found = self.operating.audit(seen.who, _sought(asked, names), query.get("before", ""), ROWS)
        older = f"?{urlencode({**asked, 'before': found.older})}" if found.older else ""
        return page(
            "admin-audit.html",
            seen,
            asked=asked,
            lines=[_line(one, names) for one in found.lines],
            older=older,
            first="before" not in query,
            names=sorted(set(names.values())),
        )


def _sought(asked: Mapping[str, str], names: Mapping[str, str]) -> Sought:
    who = asked.get("who")
    return Sought(
        None if who is None else {who, *(of for of, name in names.items() if name == who)},
        asked.get("what", ""),
        asked.get("tenant", ""),
        "changes" in asked,
        "" if "static" in asked.get("what", "") else STATIC,
        asked.get("until", ""),
    )


def _line(told: Mapping[str, Any], names: Mapping[str, str]) -> Line:
    who = told.get("caller")
    more = ", ".join(
        f"{name} {value}" for name, value in told.items() if name not in SHOWN and value is not None
    )
    return Line(_moment(told.get("at")), told, names.get(str(who), str(who)) if who else "nobody", more)


def _moment(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None
