"""What signed tokens are for: the markets, stock locations and stores that their claims name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from outhaul.export import Scope
from outhaul.signing import refusal

SHAPE = re.compile(r"(?:market|store|stock_location):(?:(?:id|code):)?[\w-]{1,80}", re.ASCII)
EVERYTHING = "market:all"
# What a token of Commerce Layer's says beside the words: to which ids these came.
RESOLVED = {"id": "market", "stock_location_ids": "stock_location", "price_list_id": "price_list"}


def granted(words: str) -> tuple[Scope, ...]:
    """What a scope narrows to: `market:id:xYZ`, `store:code:milan` and, as it was once written, `market:1234`. A word
    without a colon is about other things than rows; `market:all` widens nothing that another word narrows."""
    found: dict[tuple[str, str], list[str]] = {}
    for word in (one for one in re.split(r"[\s,]+", words) if ":" in one):
        kind, *by, value = word.split(":", 2)
        if by or value != "all":
            found.setdefault((kind, by[0] if by else "id"), []).append(value)
    return tuple(Scope(kind, by, tuple(dict.fromkeys(values))) for (kind, by), values in found.items())


def claimed(claims: Mapping[str, Any]) -> tuple[Scope, ...]:
    """The same of another issuer's token, whose ids go before the words that they were found by. NotSignedIn when its
    claims are none that we understand: they may be there to narrow it."""
    found = resolved(claims)
    kinds = {RESOLVED[name] for name in found}
    scope = claims.get("scope")
    listed = scope if isinstance(scope, list) else [] if scope is None else [scope]
    if not all(isinstance(one, str) for one in listed):
        raise refusal()
    return (
        *(Scope(RESOLVED[name], "id", ids) for name, ids in found.items()),
        *(one for one in granted(" ".join(listed)) if one.kind not in kinds),
    )


def resolved(claims: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The ids that the `market` claim names, by its member; NotSignedIn when it is none that we understand."""
    market = claims.get("market")
    if market is None:
        return {}
    if not isinstance(market, Mapping) or not market.keys() & RESOLVED.keys():
        raise refusal()
    return {name: ids for name in RESOLVED if (ids := _ids(market.get(name)))}


def _ids(value: Any) -> tuple[str, ...]:
    many = value if isinstance(value, list) else [] if value is None else [value]
    if not all(one != "" and isinstance(one, str | int) and not isinstance(one, bool) for one in many):
        raise refusal()
    return tuple(dict.fromkeys(map(str, many)))
