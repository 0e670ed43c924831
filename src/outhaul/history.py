"""What has happened to exports and webhooks, for those who may see it: pages, cursors and single events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from outhaul.errors import NotFound
from outhaul.export import Caller, Sight, Stretch
from outhaul.ledger import Event, Ledger


class History:
    """The events of one ledger. `sight`: which exports a caller sees, `may_change`: whether it may change them; both
    raise NotAllowed. Safe to use from several threads."""

    def __init__(
        self, ledger: Ledger, sight: Callable[[Caller], Sight], may_change: Callable[[Caller], None]
    ) -> None:
        self._ledger = ledger
        self._sight = sight
        self._may_change = may_change

    def list(
        self, caller: Caller, names: Sequence[str], of: str | None, asked: Stretch
    ) -> tuple[tuple[Event, ...], int]:
        """A page of the events of these names that are in sight, of the export or webhook of this id or of all, and how
        many there are. Wrong filters are refused as those of a draft are."""
        return self._ledger.told(self._sight(caller), names, of, asked)

    def before(
        self, caller: Caller, names: Sequence[str], of: str | None, *, limit: int, before: str | None
    ) -> tuple[Event, ...]:
        """The same by a cursor: what has happened before the event that is known by this, None for the newest."""
        return self._ledger.told_before(self._sight(caller), names, of, limit, before)

    def get(self, caller: Caller, names: Sequence[str], public: str) -> Event:
        """One event; NotFound."""
        return _there(self._ledger.told_once(self._sight(caller), names, public), public)

    def amend(self, caller: Caller, names: Sequence[str], public: str, changes: Mapping[str, Any]) -> Event:
        """Change `reference`, `reference_origin` or `metadata` of one event; NotFound."""
        self._may_change(caller)
        return _there(self._ledger.amend_event(self._sight(caller), names, public, changes), public)

    def several(self, caller: Caller, names: Sequence[str], ids: Collection[int]) -> Mapping[int, Event]:
        """Those of the events of these numbers that are there, by number."""
        return self._ledger.told_each(self._sight(caller), names, ids)


def _there(found: Event | None, public: str) -> Event:
    if found is None:
        raise NotFound("There is no such event.", wrong=public)
    return found
