"""Part 0: an instant is taken, what matches is counted under it, and the work is cut into parts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from outhaul.blocks import Range
from outhaul.errors import SchemaChanged, SnapshotLost
from outhaul.export import Part
from outhaul.ledger import Instant, Lease, Ledger, Planned
from outhaul.ledger.pulse import Pulse, Stopped
from outhaul.plan import Node, Plan, at
from outhaul.worker.faults import lost, needs_new_instant

KEEPER = 30.0  # seconds until a keeper that does not answer counts as missing
INSTANTS = 3  # instants to try while tables are being rewritten under them
BINARIES = 2_000  # rows of a part whose binaries are copied


@dataclass(frozen=True, slots=True)
class Survey:
    """`plan`: as it is read under the instant. `own`: that is the session's own transaction; `whole`: everything is one
    small piece of work."""

    planned: Planned
    plan: Plan
    own: bool
    whole: bool


def alone(plan: Plan, part: Part, source: ModuleType, session: Any) -> tuple[dict[str, Any], Instant]:
    """Take an instant for one part, and count under it what the part is to hold; gives the tables of then, too."""
    extent = Range.from_data(part.range)
    for left in reversed(range(INSTANTS)):
        before = session.tables(plan)
        moment = session.begin(None)
        node = at(plan, moment).selections[part.selection]
        instant = Instant(moment, session.count(node, extent))
        tables = session.tables(plan)
        if _stood(source, before, tables, last=not left):
            return tables, instant
        session.end()
    raise AssertionError("the last look raises")


def _stood(source: ModuleType, before: Any, tables: Any, *, last: bool) -> bool:
    """Whether the tables are those of the instant; SchemaChanged when no further try can cure it."""
    try:
        source.check(before, tables)
    except SchemaChanged as error:
        if last or not needs_new_instant(error):
            raise
        return False
    return True


def survey(
    ledger: Ledger, pulse: Pulse, lease: Lease, plan: Plan, source: ModuleType, session: Any
) -> Survey:
    """The tables are looked at before the instant is taken and again after: a rewrite in between would be invisible."""
    apart = plan.consistency == "part"  # then the counts are for limits and a first display
    for left in reversed(range(INSTANTS)):
        before = session.tables(plan)
        about = at(plan, datetime.now(UTC))  # estimated before there is an instant
        size = sum(session.size(node) for node in about.selections) * len(plan.formats)
        # Parts would read a foreign table at instants of their own: one statement at least is of one.
        # Of binaries nobody knows how large they are.
        small = size <= plan.part_bytes and all(node.binary is None for node in plan.selections)
        whole = not apart and (small or plan.consistency == "none")
        own = not apart and (whole or not source.SHARED)
        instant_at = session.begin(None) if own or apart else _joined(ledger, pulse, lease, session)
        known = at(plan, instant_at)
        counts = [session.count(node) for node in known.selections]
        tables = session.tables(plan)
        if _stood(source, before, tables, last=not left):
            break
        session.end()
    for node, counted in zip(known.selections, counts, strict=True):
        node.ceiling.admit(node.resource, counted[""])
        if node.ceiling.bytes is not None:
            node.ceiling.expect(node.resource, session.size(node, counted) * len(plan.formats))
    ranges = _ranges(known, session, whole, counts)
    instant = None if apart else instant_at
    forms = [plan.forms(n) for n in range(len(plan.selections))]
    return Survey(Planned(counts, ranges, forms, size, instant, tables), known, own, whole)


def _ranges(
    plan: Plan, session: Any, whole: bool, counts: Sequence[Mapping[str, int]]
) -> list[list[dict[str, Any]]]:
    lasting = plan.consistency == "part"
    found: list[Sequence[Range]] = [
        [Range()] if whole else session.split(node, _wanted(plan, session, node, counted), lasting=lasting)
        for node, counted in zip(plan.selections, counts, strict=True)
    ]
    return [[extent.to_data() for extent in ranges] for ranges in found]


def _wanted(plan: Plan, session: Any, node: Node, counted: Mapping[str, int]) -> int:
    """Bytes of a part; where binaries are copied, those of so many rows."""
    if node.binary is None:
        return plan.part_bytes
    return max(1, int(session.size(node)) * BINARIES // max(1, counted[""]))


def _joined(ledger: Ledger, pulse: Pulse, lease: Lease, session: Any) -> datetime:
    """Ask the keeper for an instant and join it; gives its time."""
    if not ledger.want(lease):
        raise Stopped
    deadline = time.monotonic() + KEEPER
    while time.monotonic() < deadline:
        pulse.checkpoint()
        wish = ledger.snapshot(lease.part.export)
        if wish is None or wish.generation != lease.part.generation:
            raise Stopped
        if wish.state == "held":
            session.begin(wish.snapshot)
            assert wish.instant_at
            return wish.instant_at
        if wish.state == "lost":
            raise lost(wish)
        time.sleep(0.02)
    raise SnapshotLost(
        f"No keeper took an instant within {KEEPER:.0f} seconds.",
        hint="Is `outhaul serve` running on this ledger?",
    )
