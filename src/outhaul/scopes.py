"""What signed tokens are for: the markets, stock locations and stores that their claims name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from outhaul.export import Scope

SHAPE = re.compile(r"(?:market|store|stock_location):(?:(?:id|code):)?[\w-]{1,80}", re.ASCII)
EVERYTHING = "market:all"
# What a token of Commerce Layer's says beside the words: to which ids these came.
RESOLVED = {"id": "market", "stock_location_ids": "stock_location", "price_list_id": "price_list"}


def granted(words: str) -> tuple[Scope, ...]:
    """What a scope narrows to: `market:id:xYZ`, `store:code:milan` and, as it was once written, `market:1234`. A word
    without a colon is about other things than rows."""
    found: dict[tuple[str, str], list[str]] = {}
    whole = set()
    for word in (one for one in re.split(r"[\s,]+", words) if ":" in one):
        kind, *by, value = word.split(":", 2)
        if value == "all" and not by:
            whole.add(kind)
        else:
            found.setdefault((kind, by[0] if by else "id"), []).append(value)
    return tuple(
        Scope(kind, by, tuple(dict.fromkeys(values)))
        for (kind, by), values in found.items()
        if kind not in whole
    )


def claimed(claims: Mapping[str, Any]) -> tuple[Scope, ...]:
    """The same of another issuer's token, whose ids go before the words that they were found by."""
    market = claims.get("market")
    told = market if isinstance(market, Mapping) else {}
    resolved = tuple(
        Scope(kind, "id", values) for name, kind in RESOLVED.items() if (values := _ids(told.get(name)))
    )
    kinds = {one.kind for one in resolved}
    scope = claims.get("scope") or ""
    words = granted(" ".join(map(str, scope)) if isinstance(scope, list) else str(scope))
    return (*resolved, *(one for one in words if one.kind not in kinds))


def _ids(value: Any) -> tuple[str, ...]:
    many = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(dict.fromkeys(map(str, many)))
