"""Exports for tests of the ledger and what stands on it: drafts, plans, and quick ways through their lives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from outhaul.catalog import Type
from outhaul.export import Caller, Draft, Export, Fragment, Selection
from outhaul.filters import EVERYTHING
from outhaul.ledger import Delivery, Lease, Ledger, Planned, Terms
from outhaul.plan import Column, Node, Plan

ID = Column("id", "id", Type.INTEGER, "integer", nullable=False)
TERMS = Terms(pause=timedelta(0), window=100)


def node(resource: str = "orders") -> Node:
    return Node("", resource, None, resource, "table", False, (), (ID,), (ID,), EVERYTHING)


def plan(formats: Sequence[str] = ("csv",), resources: Sequence[str] = ("orders",)) -> Plan:
    selections = tuple(node(resource) for resource in resources)
    return Plan("sqlite", selections, tuple(formats), None, 1_000, None, None, "acme", "fingerprint")


def create(ledger: Ledger, tenant: str | None = "acme", checked: bool = True, **more: Any) -> Export:
    """A new export of `orders`, asked for over Commerce Layer's API unless told otherwise; `checked`: its parts may be
    admitted."""
    formats = more.pop("formats", ("csv",))
    resources = more.pop("resources", ("orders",))
    asked = {"dialect": "commercelayer"} | more
    draft = Draft(tuple(Selection(resource) for resource in resources), formats=formats, **asked)
    caller = Caller("key-1", "Ann", tenant)
    made = ledger.create(caller=caller, draft=draft, plan=plan(formats, resources), matched=None)
    if checked:
        assert ledger.queue(made.id)
    return made


def chain(pieces: int) -> list[dict[str, Any]]:
    """Ranges from open end to open end."""
    edges = [None, *([str(edge)] for edge in range(1, pieces)), None]
    return [{"by": "key", "low": low, "high": high, "leaf": None} for low, high in pairwise(edges)]


def planned(pieces: int = 2, formats: Sequence[str] = ("csv",), size: int = 10**9, **more: Any) -> Planned:
    """Each piece is of 10 rows with 3 lines each."""
    counts = more.pop("counts", [{"": 10 * pieces, "lines": 30 * pieces}])
    return Planned(
        counts,
        [chain(pieces) for _ in counts],
        [formats] * len(counts),
        size,
        datetime.now(UTC),
        {"orders": {"file": 7}},
    )


def claimed(ledger: Ledger, delivery: Delivery, worker: str = "w1") -> Lease:
    lease = ledger.claim(delivery.export, delivery.part, delivery.attempt, worker)
    assert lease
    return lease


def only(found: Sequence[Any]) -> Any:
    (one,) = found
    return one


def hold(ledger: Ledger, lease: Lease, keeper: str = "keeper") -> None:
    """A keeper meets the wish of part 0."""
    assert ledger.want(lease)
    wish = only([one for one in ledger.wanted() if one.export == lease.part.export])
    assert ledger.hold(wish.ref, keeper, f"snapshot-{wish.ref}", datetime.now(UTC))


def plan_out(ledger: Ledger, pieces: int = 2, slots: int = 2, **more: Any) -> Export:
    """An export whose part 0 is done, under a keeper's instant."""
    formats = more.get("formats", ("csv",))
    made = create(ledger, **more)
    lease = claimed(ledger, only([one for one in ledger.admit(slots) if one.export == made.id]))
    hold(ledger, lease)
    assert ledger.settle_plan(lease, planned(pieces, formats), own=False, claim=False) == ()
    return ledger.get(made.id)


def wait_all(ledger: Ledger, **pieces: int) -> None:
    """By tenant one export of so many parts, none of them admitted yet."""
    made = {create(ledger, tenant=tenant).id: count for tenant, count in pieces.items()}
    for delivery in ledger.admit(50):
        lease = claimed(ledger, delivery)
        hold(ledger, lease)
        ledger.settle_plan(lease, planned(made[delivery.export]), own=False, claim=False)


def fragment(lease: Lease, rows: int = 10, lines: int = 30, seq: int = 0) -> Fragment:
    part = lease.part
    key = f"{part.export}/{part.generation}-{part.n}-{part.attempt}-{seq}-{lease.token[:8]}.csv"
    return Fragment(
        part.selection, part.format, part.n, seq, key, 100, 100, 7, rows, "f" * 64, {"lines": lines}
    )


def finish(ledger: Ledger, slots: int = 2) -> None:
    """Run everything that is admitted, until nothing is."""
    while deliveries := ledger.admit(slots):
        for delivery in deliveries:
            lease = claimed(ledger, delivery)
            assert ledger.settle(lease, [fragment(lease)])


def states(ledger: Ledger, export_id: str) -> list[str]:
    """The states of all parts, part 0 first."""
    text = sa.text("SELECT state FROM parts WHERE export = :export ORDER BY n")
    with ledger._read() as read:
        return list(read.execute(text, {"export": export_id}).scalars())


def passes(ledger: Ledger, what: str, **seconds: float) -> None:
    """Time passes for one table: each named column is moved back."""
    changes = ", ".join(f"{column} = {column} - {by}" for column, by in seconds.items())
    with ledger._write() as write:
        write.execute(sa.text(f"UPDATE {what} SET {changes}"))


@contextmanager
def opened(url: str, terms: Terms = TERMS) -> Iterator[Ledger]:
    with Ledger(url, terms) as ledger:
        ledger.migrate()
        yield ledger


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.db'}"
