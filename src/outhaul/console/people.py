"""Who is who: names of tokens and clients, asked for with each page, and now and then for pages that keep up."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from outhaul.access import Access
from outhaul.export import Caller

FRESH = 10.0  # seconds for which what is known is good enough for a page that keeps up


class People:
    """The names that a caller may know of: of the own tenant, or of all. Safe to use from several threads."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._known: Sequence[tuple[str, str, str | None]] = ()  # id, name, tenant
        self._until = 0.0

    def names(self, caller: Caller, *, anew: bool) -> Mapping[str, str]:
        """By ids. `anew`: as they are now."""
        with self._lock:
            if anew or time.monotonic() >= self._until:
                found = (*self._access.list_tokens(), *self._access.list_clients())
                self._known = [(one.id, one.name, one.tenant) for one in found if one.name]
                self._until = time.monotonic() + FRESH
            known = self._known
        return {of: name for of, name, tenant in known if caller.all_tenants or tenant == caller.tenant}
