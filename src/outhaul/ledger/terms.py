"""How long things may take and how often they are tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

COUNTS = frozenset({"attempts", "window"})  # the terms that are no durations


@dataclass(frozen=True, slots=True)
class Terms:
    """`lease`: how long a silent worker or keeper keeps what it holds; `delivery`: how long a part may wait for a
    worker until it is sent again. `pause`: the wait after a first failure, doubled with each further one.
    `kept`: how long an interrupted export keeps its instant; `instant`: the oldest instant of a running export.
    `window`: exports of one tenant that are in work at once. `orphaned`: age of an object that nobody names."""

    lease: timedelta = timedelta(seconds=45)
    delivery: timedelta = timedelta(seconds=60)
    attempts: int = 5
    pause: timedelta = timedelta(seconds=1)
    kept: timedelta = timedelta(minutes=10)
    instant: timedelta = timedelta(hours=2)
    retention: timedelta = timedelta(days=7)
    window: int = 10
    orphaned: timedelta = timedelta(hours=1)

    def to_data(self) -> dict[str, Any]:
        """Durations in seconds."""
        return {
            name: value.total_seconds() if isinstance(value, timedelta) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Terms:
        plain = {name: value for name, value in data.items() if name in COUNTS}
        times: dict[str, Any] = {
            name: timedelta(seconds=value) for name, value in data.items() if name not in COUNTS
        }
        return cls(**plain, **times)
