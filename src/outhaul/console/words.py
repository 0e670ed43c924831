"""What the pages say in words: statuses, events, failures and who can mend them, numbers, sizes and times; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from outhaul import errors
from outhaul.errors import outside
from outhaul.export import Caller, Status
from outhaul.service import Event

ABOUT: Mapping[Status, str] = {
    Status.CREATED: "It is checked, and then waits for its turn.",
    Status.QUEUED: "It waits for a worker.",
    Status.RUNNING: "It is being read and written.",
    Status.INTERRUPTED: "Somebody has stopped it. Start it to go on.",
    Status.COMPLETED: "Every row is written and proven.",
    Status.FAILED: "It could not be done, and nothing of it can be downloaded.",
    Status.EXPIRED: "Its files were kept to the end of their time, then removed. Ask for it again to have them anew.",
}

# What has happened, after the name of who did it.
EVENTS: Mapping[str, str] = {
    "created": "asked for it",
    "amended": "changed its {changed}",
    "started": "began to read",
    "planned": "counted {matched:,} rows, and cut them into parts: {parts:,}",
    "remade": "had to begin anew",
    "interrupted": "interrupted it",
    "resumed": "started it again",
    "completed": "completed it, with files: {artifacts:,}",
    "failed": "gave up",
    "expired": "removed the files, whose time was over",
    "downloaded": "downloaded {file}",
}
OURSELVES = "outhaul"  # who does what nobody has asked for

ASKER = "You can mend it: ask for another export that avoids it."
AGAIN = "Nobody needs to mend anything: start it again."
DATABASE = "Whoever runs the database can mend it; then start it again."
RUNNER = "Whoever runs this service can mend it; then start it again."
MENDED: Mapping[type[errors.OuthaulError], str] = {
    errors.OuthaulError: RUNNER,
    errors.Refused: ASKER,
    errors.NoRoom: RUNNER,
    errors.Gone: ASKER,
    errors.SourceError: DATABASE,
    errors.SourceAway: DATABASE,
    errors.SourceTimeout: DATABASE,
    errors.SourceBusy: AGAIN,
    errors.SchemaChanged: "You can mend it: ask for the export again, as things are now.",
    errors.SnapshotLost: AGAIN,
    errors.WorkerLost: RUNNER,
    errors.StoreError: RUNNER,
    errors.Unproven: AGAIN,
    errors.Misconfigured: RUNNER,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an export has failed, as its reader may know it, and who can mend it."""

    sentence: str
    mended: str


@dataclass(frozen=True, slots=True)
class Clock:
    """Times as somebody reads them: in the own zone. `exact`: moments, where others see how long ago they were."""

    zone: tzinfo
    exact: bool = False

    def local(self, moment: datetime) -> str:
        """`22 Nov 2026, 13:05:09`."""
        return f"{moment.astimezone(self.zone):%-d %b %Y, %H:%M:%S}"

    def utc(self, moment: datetime) -> str:
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"

    def iso(self, moment: datetime) -> str:
        return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    @property
    def name(self) -> str:
        return str(self.zone)


def role(caller: Caller) -> str:
    """Who somebody is here, by what the token may do."""
    if caller.read_only:
        return "viewer"
    return "admin" if caller.admin else "exporter"


def failure(error: Mapping[str, Any], *, openly: bool) -> Failure:
    """An error as the ledger keeps it. What is the operator's own is told `openly` alone."""
    told = f"{error['message']} {error.get('hint', '')}".rstrip()
    kind = getattr(errors, error["error"], errors.OuthaulError)
    family = kind.__mro__ if isinstance(kind, type) else ()
    mended = next((MENDED[one] for one in family if one in MENDED), RUNNER)
    return Failure(told if openly else outside(error["error"]) or told, mended)


def happened(event: Event) -> str:
    """What has happened, without who did it; the event's own name where we have no words for it."""
    changed = " and ".join(event.data.get("changed") or ()).replace("_", " ")
    return EVENTS.get(event.name, event.name).format_map({**event.data, "changed": changed})


def size(count: float) -> str:
    """`1.5 MB`; below a kilobyte all bytes."""
    if count < 1000:
        return f"{count:.0f} byte{'' if round(count) == 1 else 's'}"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:,.1f} TB"


def span(length: timedelta) -> str:
    """`3 min 20 s`: the two largest units."""
    seconds = int(length.total_seconds())
    if seconds < 1:
        return "less than 1 s"
    units = {"d": seconds // 86400, "h": seconds // 3600 % 24, "min": seconds // 60 % 60, "s": seconds % 60}
    names = list(units)
    first = next(number for number, name in enumerate(names) if units[name])
    return " ".join(f"{units[name]} {name}" for name in names[first : first + 2] if units[name])


def age(moment: datetime, now: datetime) -> str:
    """`5 min ago`, `in 7 d`: in one unit."""
    away = abs((now - moment).total_seconds())
    if away < 60:
        return "just now" if moment <= now else "in a moment"
    unit, seconds = next((name, of) for name, of in {"d": 86400, "h": 3600, "min": 60}.items() if away >= of)
    return f"{away / seconds:.0f} {unit} ago" if moment <= now else f"in {away / seconds:.0f} {unit}"


def ordinal(number: int) -> str:
    """`1st`, `22nd`."""
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
