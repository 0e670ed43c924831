"""Rates: how many requests in how long, and whether one more is among them; pure."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

SLICES = 20  # of an interval: hits are remembered by slices, not one by one
MICRO = 1_000_000
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` in every stretch of `interval` seconds, wherever it begins."""

    limit: int
    interval: float

    @property
    def slice(self) -> float:
        return self.interval / SLICES


@dataclass(frozen=True, slots=True)
class Bucket:
    """`limit` at once, and after that one more every `step` seconds."""

    limit: int
    step: float

    @property
    def interval(self) -> float:
        """Seconds until an empty one is full again."""
        return self.limit * self.step


Bound = Rate | Bucket


@dataclass(frozen=True, slots=True)
class Room:
    """What is left under a rate. `wait`: seconds until one more is let in, 0 when it was."""

    rate: Bound
    remaining: int
    wait: float


# Number of a slice since 1970, and how many were let in during it, oldest first; of a bucket the microsecond since 1970
# in which it is full again, and 0.
Hits = Sequence[tuple[int, int]]


def parse(text: str) -> Rate:
    """`200/1m`, `50/10s`; ValueError."""
    found = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,6}(?:\.\d{1,3})?)\s*([smh])\s*", text)
    if not found or int(found[1]) < 1 or float(found[2]) <= 0:
        raise ValueError("write it as 200/1m or 50/10s")
    return Rate(int(found[1]), float(found[2]) * UNITS[found[3]])


def recent(rate: Rate, hits: Hits, now: float) -> list[tuple[int, int]]:
    """Those that may lie within the interval that ends now: a slice counts until its last moment has left it."""
    return [(n, many) for n, many in hits if (n + 1) * rate.slice > now - rate.interval]


def room(rate: Bound, hits: Hits, now: float) -> Room:
    """Whether one more may be let in now."""
    if isinstance(rate, Bucket):
        return _room(rate, hits, now)
    within = recent(rate, hits, now)
    left = rate.limit - sum(many for _, many in within)
    if left > 0:
        return Room(rate, left, 0.0)
    oldest = within[0][0] if within else math.floor(now / rate.slice)
    return Room(rate, 0, max(0.001, (oldest + 1) * rate.slice + rate.interval - now))


def hit(rate: Bound, hits: Hits, now: float) -> list[tuple[int, int]]:
    """The hits to remember after one more was let in now."""
    if isinstance(rate, Bucket):
        return [(round((now + _missing(hits, now) + rate.step) * MICRO), 0)]
    within, n = recent(rate, hits, now), math.floor(now / rate.slice)
    if within and within[-1][0] >= n:
        return [*within[:-1], (within[-1][0], within[-1][1] + 1)]
    return [*within, (n, 1)]


def neighbourhood(client: str) -> str:
    """Under which name the requests of an address are counted: its own; of IPv6 the network of 64 bits, all of which
    one caller has."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    return str(ipaddress.ip_network(f"{client}/64", strict=False)) if address.version == 6 else client


def _missing(hits: Hits, now: float) -> float:
    """Seconds until the bucket is full again."""
    return max(0.0, hits[0][0] / MICRO - now) if hits else 0.0


def _room(bucket: Bucket, hits: Hits, now: float) -> Room:
    missing = _missing(hits, now)
    left = math.floor(bucket.limit - missing / bucket.step + 1 / MICRO)
    if left > 0:
        return Room(bucket, left, 0.0)
    return Room(bucket, 0, max(0.001, missing - (bucket.limit - 1) * bucket.step))
