"""How exports are being made, for those who see them: parts, files, sizes and pace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from outhaul.export import Artifact, Export
from outhaul.ledger import Ledger, Pace, Standing

__all__ = ["Making", "Pace", "Standing"]


class Making:
    """What is inside of exports of one ledger. Whoever has an export was let see it, and sees this too. Safe to use
    from several threads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def parts(self, export: Export, *, limit: int, offset: int = 0) -> tuple[Standing, ...]:
        """A page of its parts, in order."""
        return self._ledger.standings(export.id, limit, offset)

    def files(self, export: Export) -> tuple[Artifact, ...]:
        """What can be downloaded, without layouts; empty until completed."""
        return self._ledger.made(export.id)

    def sizes(self, exports: Sequence[Export]) -> Mapping[str, int]:
        """Bytes of all files of each export that has any, by its id."""
        return self._ledger.sizes([export.id for export in exports])

    def pace(self, export: Export) -> Pace:
        """How fast it is since it was last started."""
        return self._ledger.pace(export.id)
