"""What a failure of a part means: whether to try again, under which instant, and in which words it is told."""

from __future__ import annotations

import logging

from outhaul import errors
from outhaul.errors import OuthaulError, SchemaChanged, SnapshotLost, SourceError
from outhaul.ledger import Snapshot

# No second try heals these.
FINAL = (
    *(errors.SourceForbids, errors.UnreadableValue, errors.StoreFull, errors.Unproven),
    *(errors.Refused, errors.Misconfigured),
)

log = logging.getLogger("outhaul.worker")


def said(error: Exception) -> dict[str, str]:
    """An error as the ledger keeps it. One that we did not foresee is logged, and named without its text, which may
    hold a value of a row."""
    if isinstance(error, OuthaulError):
        return error.as_data()
    log.error("unforeseen", exc_info=error)
    return OuthaulError(
        f"A part failed in an unforeseen way ({type(error).__name__}).",
        hint="Start the export again; if it comes back, report it with the log of the service.",
    ).as_data()


def is_final(error: Exception) -> bool:
    changed = isinstance(error, SchemaChanged) and not needs_new_instant(error)
    return changed or isinstance(error, FINAL)


def needs_new_instant(error: Exception) -> bool:
    return isinstance(error, SnapshotLost) or (
        isinstance(error, SchemaChanged) and bool(error.facts.get("rewritten"))
    )


def lost(snapshot: Snapshot) -> OuthaulError:
    """Why there is no instant, in the words of who lost it."""
    if not snapshot.error:
        return SnapshotLost("The instant of the export is no longer held.")
    kind: type[OuthaulError] = getattr(errors, snapshot.error["error"], SourceError)
    return kind(snapshot.error["message"], hint=snapshot.error["hint"])
