"""Transitions of exports that somebody asks for: create, amend, interrupt, start, remove."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from outhaul import plan as plans
from outhaul.errors import NotFound, TooMuch, WrongState, WrongValue
from outhaul.export import (
    ACTIVE,
    ALL,
    Artifact,
    Caller,
    Draft,
    Export,
    Fragment,
    Numbered,
    Part,
    Scope,
    Sight,
    Status,
)
from outhaul.ledger import states
from outhaul.ledger.clock import now
from outhaul.ledger.database import moved
from outhaul.ledger.events import OURSELVES, Who, tell
from outhaul.ledger.ids import fresh
from outhaul.ledger.parts import part_of
from outhaul.ledger.progress import shown, shown_export
from outhaul.ledger.snapshots import Snapshots
from outhaul.ledger.states import LONE
from outhaul.ledger.tables import artifacts, exports, fragments, parts, reads, snapshots
from outhaul.plan import Plan

AMENDABLE = frozenset({"reference", "reference_origin", "metadata"})
NAMES = sa.select(artifacts.c.name).where(artifacts.c.export == LONE).order_by(artifacts.c.n)


class Exports(Snapshots):
    """What callers may do with the exports that they see; what is out of sight is not there."""

    def create(
        self,
        *,
        caller: Caller,
        draft: Draft,
        plan: Plan,
        matched: int | None,
        key: str | None = None,
        most: int | None = None,
    ) -> Export:
        """A new export under a new id, its part 0 and its first event, in one transaction. `key`: as in `keyed`, and
        the export that has it already is given instead. `most`: exports of one tenant that may wait or run; TooMuch."""
        row = {
            "tenant": caller.tenant,
            "caller": caller.id,
            "dialect": draft.dialect,
            "status": Status.CREATED,
            "resource": ",".join(selection.resource for selection in draft.selections),
            "format": ",".join(plan.formats),
            "formats": len(plan.formats),
            "draft": asdict(draft),
            "plan": plans.to_data(plan),
            "consistency": plan.consistency,
            "reference": draft.reference,
            "reference_origin": draft.reference_origin,
            "metadata": dict(draft.metadata),
            "matched": matched,
            "key": key,
            "asked": key and _digest(draft, plan.scopes),
        }
        read = sorted({node.resource for root in plan.selections for _, node in plans.places(root)})
        while True:
            export_id = fresh()
            try:
                with self._write("create" if most else None) as write:
                    _room(write, caller.tenant, most)
                    write.execute(NEW, row | {"id": export_id})
                    write.execute(reads.insert(), [{"export": export_id, "resource": one} for one in read])
                    write.execute(parts.insert(), PLANNING | {"export": export_id})
                    tell(write, export_id, "created", caller, changed=_first(row))
            except sa.exc.IntegrityError:
                if self._exists(export_id):
                    continue
                same = key and self.keyed(caller, key, draft)
                if not same:
                    raise
                return same
            return self.get(export_id)

    def keyed(self, caller: Caller, key: str, draft: Draft) -> Export | None:
        """The export that this caller has asked for under this key, as long as there is one; WrongValue when the key
        came with another draft."""
        # An issuer may use one name in several tenants.
        named = sa.and_(_of_tenant(caller.tenant), exports.c.caller == caller.id)
        ours = sa.and_(named, exports.c.key == key, states.present())
        with self._look() as read:
            found = read.execute(sa.select(exports.c.id, exports.c.asked).where(ours)).one_or_none()
        if found is None:
            return None
        if found.asked != _digest(draft, caller.scopes if draft.scoped else ()):
            raise WrongValue(
                "was used for another request.",
                hint=f"It has made the export {found.id}. Use a new one.",
                where=("key",),
                wrong=key,
            )
        return self.get(found.id, Sight(caller.tenant, caller.resources))

    def _exists(self, export_id: str) -> bool:
        with self._look() as read:
            return read.execute(sa.select(exports.c.id).where(exports.c.id == export_id)).first() is not None

    def get(self, export_id: str, sight: Sight = ALL) -> Export:
        """NotFound when it is not there, was removed, or is out of sight."""
        with self._look() as read:
            row = read.execute(_lone(sight), {"lone": export_id}).one_or_none()
        if row is None:
            raise _missing(export_id)
        return shown_export(row)

    def amend(self, export_id: str, sight: Sight = ALL, who: Who = OURSELVES, **changes: Any) -> Export:
        """Change `reference`, `reference_origin` or `metadata`, in any state."""
        assert changes.keys() <= AMENDABLE
        with self._write() as write:
            before = states.lock(write, export_id)
            amended = exports.update().where(_seen(export_id, sight)).values(updated_at=now(), **changes)
            if before is None or not moved(write, amended):
                raise _missing(export_id)
            tell(write, export_id, "amended", who, changed=_changed(before, changes))
        return self.get(export_id)

    def interrupt(self, export_id: str, sight: Sight = ALL, who: Who = OURSELVES, **changes: Any) -> Export:
        """Stop until it is started again; running parts see it within a second. WrongState when it has ended.
        `changes`: as `amend` takes them, at once with it."""
        assert changes.keys() <= AMENDABLE
        with self._write() as write:
            before = states.lock(write, export_id)
            interrupted = (
                exports.update()
                .where(_seen(export_id, sight), exports.c.status.in_(states.before(Status.INTERRUPTED)))
                .values(status=Status.INTERRUPTED, interrupted_at=now(), updated_at=now(), **changes)
            )
            if before is None or not moved(write, interrupted):
                raise _refusal(write, export_id, sight, "interrupted", "It can be while it waits or runs.")
            states.recall(write, export_id)
            changed = {"status": [before.status, Status.INTERRUPTED], **_changed(before, changes)}
            tell(write, export_id, "interrupted", who, changed=changed)
        return self.get(export_id)

    def start(self, export_id: str, sight: Sight = ALL, who: Who = OURSELVES, **changes: Any) -> Export:
        """Go on after an interruption or a failure: finished parts stay, as long as their instant is still held;
        else everything begins anew. WrongState when it is neither interrupted nor failed. `changes`: as above."""
        assert changes.keys() <= AMENDABLE
        with self._write() as write:
            before = states.lock(write, export_id)
            started = (
                exports.update()
                .where(_seen(export_id, sight), exports.c.status.in_([Status.INTERRUPTED, Status.FAILED]))
                .values(
                    status=Status.QUEUED,
                    checked=False,
                    queued_at=now(),
                    updated_at=now(),
                    failed_at=None,
                    errors=[],
                    remakes=0,
                    schema_changes=0,
                    **changes,
                )
            )
            if before is None or not moved(write, started):
                raise _refusal(
                    write, export_id, sight, "started", "It can be when it is interrupted or has failed."
                )
            write.execute(
                parts.update()
                .where(parts.c.export == export_id, parts.c.state.in_(["new", "failed"]))
                .values(state="new", tries=0, ready_at=now(), error=None)
            )
            changed = {"status": [before.status, Status.QUEUED], **_changed(before, changes)}
            tell(write, export_id, "resumed", who, changed=changed)
            whole = before.status == Status.INTERRUPTED and _is_read(write, export_id)
            if not whole and not _under_one_instant(write, export_id):
                states.remake(write, export_id, who=who)
        return self.get(export_id)

    def remove(self, export_id: str, sight: Sight = ALL, who: Who = OURSELVES) -> None:
        """Gone for everybody at once, in any state; its worker stops within a second and its objects are swept."""
        with self._write() as write:
            removed = exports.update().where(_seen(export_id, sight)).values(deleted_at=now())
            if not moved(write, removed):
                raise _missing(export_id)
            states.recall(write, export_id)
            states.let_go(write, export_id)
            tell(write, export_id, "removed", who)

    def plan(self, export_id: str) -> Plan:
        with self._look() as read:
            found = sa.select(exports.c.plan).where(exports.c.id == export_id, states.present())
            data: Mapping[str, Any] | None = read.execute(found).scalar_one_or_none()
        if data is None:
            raise _missing(export_id)
        return plans.from_data(data)

    def fingerprints(self, export_id: str) -> Mapping[str, Any]:
        """What the source's tables were like under the current instant; empty before it is taken."""
        with self._look() as read:
            found = sa.select(exports.c.tables).where(exports.c.id == export_id)
            return read.execute(found).scalar_one_or_none() or {}

    def parts(self, export_id: str) -> tuple[Part, ...]:
        """All parts of the current generation, part 0 first."""
        with self._look() as read:
            rows = read.execute(sa.select(parts).where(parts.c.export == export_id).order_by(parts.c.n))
            return tuple(part_of(row) for row in rows)

    def fragments(self, export_id: str) -> tuple[Fragment, ...]:
        """What settled parts have written, by part and sequence."""
        wanted = sa.select(fragments).where(fragments.c.export == export_id)
        with self._look() as read:
            rows = read.execute(wanted.order_by(fragments.c.part, fragments.c.seq))
            return tuple(fragment_of(row) for row in rows)

    def artifact_names(self, export_id: str) -> tuple[str, ...]:
        """The names of what can be downloaded, without the layouts, which are long."""
        with self._look() as read:
            return tuple(read.execute(NAMES, {"lone": export_id}).scalars())

    def files(self, ids: Sequence[str]) -> dict[str, tuple[Numbered, ...]]:
        """The same of several exports by export, with their lengths."""
        columns = (artifacts.c.export, artifacts.c.n, artifacts.c.name, artifacts.c.length)
        wanted = sa.select(*columns).where(artifacts.c.export.in_(ids)).order_by(artifacts.c.n)
        found: dict[str, list[Numbered]] = {one: [] for one in ids}
        with self._look() as read:
            for row in read.execute(wanted):
                found[row.export].append(Numbered(row.n, row.name, row.length))
        return {one: tuple(files) for one, files in found.items()}

    def artifacts(self, export_id: str, name: str | None = None) -> tuple[Artifact, ...]:
        """What can be downloaded, or the one of this name; empty until completed."""
        names = [column for column in artifacts.c if column.name != "n"]
        wanted = sa.select(*names).where(artifacts.c.export == export_id).order_by(artifacts.c.n)
        if name is not None:
            wanted = wanted.where(artifacts.c.name == name)
        with self._look() as read:
            return tuple(
                Artifact(**{**row, "layout": tuple(row["layout"])}) for row in read.execute(wanted).mappings()
            )


def _first(row: Mapping[str, Any]) -> dict[str, Any]:
    """What an export begins with, as a change."""
    names = ("resource", "format", "status", *sorted(AMENDABLE))
    return {name: [None, row[name]] for name in names if row[name] not in (None, {})}


def _changed(before: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What is other than it was, `{name: [before, after]}`."""
    old = {name: getattr(before, name) for name in changes}
    return {name: [old[name], new] for name, new in changes.items() if old[name] != new}


def _digest(draft: Draft, scopes: Sequence[Scope]) -> str:
    asked = json.dumps([draft, *scopes], default=_said, sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()


def _said(noun: Any) -> dict[str, Any]:
    """What differs from the defaults: the same in a later version, whose nouns have more fields."""
    given = {}
    for field in fields(noun):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if getattr(noun, field.name) != default:
            given[field.name] = getattr(noun, field.name)
    return given


def _room(write: sa.Connection, tenant: str | None, most: int | None) -> None:
    """TooMuch when as many exports of the tenant wait or run as may."""
    if most is None:
        return
    going = sa.select(sa.func.count()).where(
        _of_tenant(tenant), exports.c.status.in_(list(ACTIVE)), states.present()
    )
    active = write.execute(going).scalar_one()
    if active >= most:
        raise TooMuch(
            f"{active:,} exports wait or run already, and {most:,} are the most at once.",
            hint="Ask again when one of them has ended.",
            where=("status",),
            facts={"value": active, "limit": most, "rule": "too_many_at_once"},
        )


def _of_tenant(tenant: str | None) -> sa.ColumnElement[bool]:
    return exports.c.tenant.is_(None) if tenant is None else exports.c.tenant == tenant


NEW = exports.insert().values(created_at=now(), updated_at=now())
PLANNING = {"n": 0, "generation": 1, "selection": 0, "format": "", "range": {}, "state": "new"}


def fragment_of(row: Any) -> Fragment:
    return Fragment(
        row.selection,
        row.format,
        row.part,
        row.seq,
        row.key,
        row.length,
        row.raw_length,
        row.crc32,
        row.rows,
        row.sha256,
        row.related,
        row.path,
        row.text_sha256,
    )


@lru_cache
def _lone(sight: Sight) -> sa.Select[Any]:
    """One shown export in sight, of the id `lone`. Kept, because to put it together takes longer than to run it."""
    return shown(alone=True).where(exports.c.id == LONE, in_sight(sight))


def _seen(export_id: str, sight: Sight) -> sa.ColumnElement[bool]:
    return sa.and_(exports.c.id == export_id, in_sight(sight))


def in_sight(sight: Sight) -> sa.ColumnElement[bool]:
    """The row of `exports` is there, for somebody who sees so much."""
    seen = states.present()
    if sight.tenant is not None:
        seen = sa.and_(seen, exports.c.tenant == sight.tenant)
    if sight.resources:
        more = sa.and_(reads.c.export == exports.c.id, reads.c.resource.not_in(sight.resources))
        seen = sa.and_(seen, ~sa.exists().where(more))
    return seen


def _missing(export_id: str) -> NotFound:
    return NotFound(f"There is no export {export_id!r}.", wrong=export_id)


def _refusal(
    write: sa.Connection, export_id: str, sight: Sight, what: str, hint: str
) -> NotFound | WrongState:
    status = write.execute(sa.select(exports.c.status).where(_seen(export_id, sight))).scalar_one_or_none()
    if status is None:
        return _missing(export_id)
    return WrongState(f"An export that is {status} cannot be {what}.", hint=hint, wrong=status)


def _is_read(write: sa.Connection, export_id: str) -> bool:
    """Whether every part is done, so that only its closing is left, which needs no instant."""
    asked = sa.select(exports.c.id).where(exports.c.id == export_id, ~states.unfinished())
    return write.execute(asked).first() is not None


def _under_one_instant(write: sa.Connection, export_id: str) -> bool:
    """Whether what is done and what is left can still be of one instant, or need not: nothing is planned yet, or it is
    held."""
    planned = sa.exists().where(parts.c.export == export_id, parts.c.n == 0, parts.c.state == "done")
    kept = sa.exists().where(
        snapshots.c.export == exports.c.id,
        snapshots.c.generation == exports.c.generation,
        states.held(),
    )
    apart = exports.c.consistency == "part"
    asked = sa.select(exports.c.id).where(exports.c.id == export_id, sa.or_(~planned, kept, apart))
    return write.execute(asked).first() is not None
