"""What an export's state allows, as conditions; and the changes of state that several transitions share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from outhaul.export import ACTIVE, MOVES, Status
from outhaul.ledger.clock import now
from outhaul.ledger.database import moved
from outhaul.ledger.events import OURSELVES, Who, tell
from outhaul.ledger.tables import exports, fragments, parts, snapshots

WAITING = (Status.CREATED, Status.QUEUED)
AT_WORK = (Status.QUEUED, Status.RUNNING)


def present() -> sa.ColumnElement[bool]:
    return exports.c.deleted_at.is_(None)


def before(status: Status) -> list[Status]:
    """The states from which an export may move to this one."""
    return [source for source, targets in MOVES.items() if status in targets]


def at_work() -> sa.ColumnElement[bool]:
    """The row of `exports` may be worked on."""
    return sa.and_(exports.c.status.in_(AT_WORK), present())


def part_at_work() -> sa.ColumnElement[bool]:
    """The row of `parts` belongs to an export at work, and to its generation."""
    same = sa.and_(exports.c.id == parts.c.export, exports.c.generation == parts.c.generation)
    return sa.exists().where(same, at_work())


def unfinished() -> sa.ColumnElement[bool]:
    """The row of `exports` has a part that is not done."""
    return sa.exists().where(parts.c.export == exports.c.id, parts.c.state != "done")


def held() -> sa.ColumnElement[bool]:
    """The row of `snapshots` is alive."""
    return sa.and_(snapshots.c.state == "held", snapshots.c.lease_until > now())


def lock(write: sa.Connection, export_id: str) -> Any | None:
    """Let the transitions of one export follow each other (SQLite's write lock does so already): a transaction
    that touches several of its rows then neither deadlocks nor sees half of another. Gives what they look at."""
    return write.execute(LOCKED, {"lone": export_id}).one_or_none()


def begin(write: sa.Connection, export_id: str) -> None:
    """A queued export is running from its first claimed part on; its rate is measured from here."""
    if write.execute(BEGUN, {"lone": export_id}).rowcount:
        tell(write, export_id, "started", changed={"status": [Status.QUEUED, Status.RUNNING]})


def end(write: sa.Connection, export_id: str, errors: Sequence[Mapping[str, Any]]) -> bool:
    """An active export has failed; its delivered parts come back."""
    before = lock(write, export_id)
    failed = before is not None and moved(
        write,
        exports.update()
        .where(exports.c.id == export_id, exports.c.status.in_(ACTIVE), present())
        .values(status=Status.FAILED, failed_at=now(), updated_at=now(), errors=list(errors)),
    )
    if failed and before is not None:
        recall(write, export_id)
        status = {"status": [before.status, Status.FAILED]}
        tell(write, export_id, "failed", errors=list(errors), changed=status)
    return failed


def recall(write: sa.Connection, export_id: str) -> None:
    """Delivered but unclaimed parts are new again: their deliveries find nothing any more."""
    write.execute(
        parts.update()
        .where(parts.c.export == export_id, parts.c.state == "queued")
        .values(state="new", lease_until=None)
    )


def remake(
    write: sa.Connection, export_id: str, why: Mapping[str, Any] | None = None, who: Who = OURSELVES
) -> None:
    """Begin a new generation: a new instant will be taken and every part run again under it."""
    ours = exports.c.id == export_id
    write.execute(
        exports.update()
        .where(ours)
        .values(generation=exports.c.generation + 1, counts=None, tables=None, instant_at=None)
    )
    for table in (fragments, snapshots):
        write.execute(table.delete().where(table.c.export == export_id))
    write.execute(parts.delete().where(parts.c.export == export_id, parts.c.n > 0))
    generation = sa.select(exports.c.generation).where(ours).scalar_subquery()
    write.execute(
        parts.update()
        .where(parts.c.export == export_id, parts.c.n == 0)
        .values(state="new", token=None, worker=None, lease_until=None, generation=generation, ready_at=now())
    )
    tell(write, export_id, "remade", who, why=why)


def let_go(write: sa.Connection, export_id: str) -> None:
    """Whoever holds the export's instant may end it."""
    write.execute(RELEASED, {"lone": export_id})


# Of nearly every transition, and kept because to put them together takes longer than to run them.
LONE: sa.BindParameter[str] = sa.bindparam("lone")
SEEN = ("id", "status", "generation", "consistency", "reference", "reference_origin", "metadata")
LOCKED = (
    sa.select(*(exports.c[name] for name in SEEN)).where(exports.c.id == LONE, present()).with_for_update()
)
BEGUN = (
    exports.update()
    .where(exports.c.id == LONE, exports.c.status == Status.QUEUED, present())
    .values(
        status=Status.RUNNING,
        started_at=sa.func.coalesce(exports.c.started_at, now()),
        resumed_at=now(),
        resumed_from=exports.c.shown,
        updated_at=now(),
    )
)
RELEASED = (
    snapshots.update()
    .where(snapshots.c.export == LONE, snapshots.c.state.in_(["wanted", "held", "lost"]))
    .values(state="released")
)
