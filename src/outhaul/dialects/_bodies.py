"""Bodies that can be read in one way only: whoever looked at one before us has seen the same members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any


def each_once(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, or a form; ValueError when a name stands in it twice."""
    found = dict(members)
    if len(found) < len(members):
        ((name, _),) = Counter(name for name, _ in members).most_common(1)
        raise ValueError(f"{name[:100]!a} stands twice in it")
    return found
