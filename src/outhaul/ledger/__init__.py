"""Our own database: what is true about exports, parts, fragments, snapshots, tokens and events."""

from __future__ import annotations

from outhaul.ledger.admission import Delivery
from outhaul.ledger.callbacks import Callback
from outhaul.ledger.closing import Done, Facts
from outhaul.ledger.database import AWAY
from outhaul.ledger.events import Event
from outhaul.ledger.flags import Flags
from outhaul.ledger.listing import NEWEST, PLAIN
from outhaul.ledger.making import Making, Pace, Standing
from outhaul.ledger.outbox import Sending, Webhook
from outhaul.ledger.parts import Instant, Lease, Verdict
from outhaul.ledger.planned import Planned
from outhaul.ledger.seen import SORTABLE
from outhaul.ledger.snapshots import Snapshot, label
from outhaul.ledger.terms import Terms
from outhaul.ledger.tokens import LINKED, NewToken, Token
from outhaul.ledger.work import Busy, Crowd, Holding, Work

__all__ = [
    "AWAY",
    "LINKED",
    "NEWEST",
    "PLAIN",
    "SORTABLE",
    "Callback",
    "Delivery",
    "Done",
    "Event",
    "Facts",
    "Instant",
    "Lease",
    "Ledger",
    "NewToken",
    "Planned",
]
__all__ += [
    "Busy",
    "Crowd",
    "Holding",
    "Pace",
    "Sending",
    "Snapshot",
    "Standing",
    "Terms",
    "Token",
    "Verdict",
    "Webhook",
    "label",
]


class Ledger(Flags, Making, Work):
    """What is true. Each transition is one conditional UPDATE in a short transaction; leases are on the database's
    clock. Safe to use from several threads and processes at once."""
