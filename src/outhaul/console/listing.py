"""The list of exports: what its address asks for, and what its rows show."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from outhaul.console.words import Clock
from outhaul.export import Caller, Export, Status, View
from outhaul.service import Exports

ROWS = 25  # of a page
LONGEST = 200  # characters of anything that is asked for
# Words of the filter, with the statuses that they mean; what has expired is found by the word that it had, too.
STATUSES: Mapping[str, tuple[Status, ...]] = {
    "waiting": (Status.CREATED, Status.QUEUED),
    "running": (Status.RUNNING,),
    "interrupted": (Status.INTERRUPTED,),
    "completed": (Status.COMPLETED,),
    "failed": (Status.FAILED,),
    "expired": (Status.EXPIRED,),
}
SORTED: Mapping[str, str] = {
    "asked": "created_at",
    "resource": "resource",
    "status": "status",
    "rows": "matched",
    "expires": "expires_at",
}
NEWEST = "-asked"
FILTERS = ("status", "resource", "who", "since", "until")
NAMES = ("status", "resource", "caller", "created_at")
VIEW = View(names={name: name for name in NAMES}, words={status: status for status in Status})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list's address asks for, each as it was typed; what makes no sense is left out."""

    filters: Mapping[str, str]
    sort: str = NEWEST
    page: int = 1

    def address(self, **changed: Any) -> str:
        """The query of the same list, but for what is changed; another order begins with the first page."""
        asked = {"sort": self.sort, "page": 1, **changed}
        usual = {"sort": NEWEST, "page": 1}
        told = {**self.filters, **{name: value for name, value in asked.items() if value != usual[name]}}
        return f"?{urlencode(told)}" if told else "?"

    def turned(self, column: str) -> str:
        """The order that a click on a column leads to: by it, or by it the other way round."""
        return f"-{column}" if self.sort == column else column

    def direction(self, column: str) -> str:
        """As aria-sort has it."""
        if self.sort.removeprefix("-") != column:
            return "none"
        return "descending" if self.sort.startswith("-") else "ascending"


def wanted(query: Mapping[str, str]) -> Wanted:
    filters = {name: query[name].strip()[:LONGEST] for name in FILTERS if query.get(name, "").strip()}
    if filters.get("status") not in STATUSES:
        filters.pop("status", None)
    for name in ("since", "until"):
        if name in filters and _day(filters[name]) is None:
            del filters[name]
    sort = query.get("sort", "")
    number = query.get("page", "")
    return Wanted(
        filters,
        sort if sort.removeprefix("-") in SORTED else NEWEST,
        max(1, int(number)) if number.isascii() and number.isdigit() and len(number) < 8 else 1,
    )


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of exports. `sizes`: bytes of those that have files; `names`: of callers, by their ids; `filtered`: not
    all that there are."""

    exports: Sequence[Export]
    total: int
    page: int
    pages: int
    sizes: Mapping[str, int]
    names: Mapping[str, str]
    now: datetime
    filtered: bool


def listed(exports: Exports, names: Mapping[str, str], caller: Caller, asked: Wanted, clock: Clock) -> Listed:
    """What a caller who knows these names sees of what is asked for; beyond the last page, the last."""
    where = _where(asked.filters, names, clock, several=bool(exports.catalog.sections))
    order = [(SORTED[asked.sort.removeprefix("-")], asked.sort.startswith("-"))]

    def found(number: int) -> tuple[tuple[Export, ...], int]:
        return exports.list(
            caller, limit=ROWS, offset=(number - 1) * ROWS, where=where, order=order, view=VIEW
        )

    number = asked.page
    rows, total = found(number)
    pages = max(1, -(-total // ROWS))
    if number > pages:
        number = pages
        rows, total = found(number)
    sizes = exports.making.sizes(rows)
    return Listed(rows, total, number, pages, sizes, names, datetime.now(UTC), bool(asked.filters))


def _where(
    filters: Mapping[str, str], names: Mapping[str, str], clock: Clock, *, several: bool
) -> dict[str, Any]:
    """`several`: there may be exports of several resources, which are to be found by each; else an index answers."""
    where: dict[str, Any] = {}
    if "status" in filters:
        where["status_in"] = [status.value for status in STATUSES[filters["status"]]]
    if "resource" in filters and several:
        where["resource_matches_any"] = _among(filters["resource"])
    elif "resource" in filters:
        where["resource_eq"] = filters["resource"]
    if who := filters.get("who"):
        where["caller_in"] = [who, *(one for one, name in names.items() if name == who)][:100]
    if "since" in filters:
        where["created_at_gteq"] = _midnight(filters["since"], clock)
    if "until" in filters:
        where["created_at_lt"] = _midnight(filters["until"], clock, later=1)
    return where


def _among(resource: str) -> list[str]:
    """Patterns of the names of all resources of an export, in which this is one."""
    name = re.sub(r"([\\%_])", r"\\\1", resource)
    return [name, f"{name},%", f"%,{name}", f"%,{name},%"]


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None


def _midnight(text: str, clock: Clock, later: int = 0) -> str:
    """When a day begins where the asker is, or so many days later."""
    day = _day(text)
    assert day
    try:
        begins = datetime.combine(day + timedelta(days=later), time(), clock.zone).astimezone(UTC)
    except OverflowError:  # the first or the last day that there is
        begins = datetime.combine(day, time(), UTC)
    return begins.isoformat()
