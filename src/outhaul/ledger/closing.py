"""Closing an export: the facts that its proof rests on, and the transition to completed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from outhaul import plan as plans
from outhaul.export import Artifact, Export, Fragment, Status
from outhaul.ledger import states
from outhaul.ledger.clock import moment, now
from outhaul.ledger.events import tell
from outhaul.ledger.exports import fragment_of
from outhaul.ledger.parts import Instant
from outhaul.ledger.progress import HEAVY, shown, shown_export
from outhaul.ledger.states import LONE
from outhaul.ledger.tables import artifacts, exports, fragments, parts
from outhaul.ledger.upkeep import Upkeep
from outhaul.plan import Plan


@dataclass(frozen=True, slots=True)
class Done:
    """A settled part: what it was to read, and what it says it wrote."""

    n: int
    selection: int
    format: str
    range: Mapping[str, Any]
    attempt: int
    rows: int
    related: Mapping[str, int]
    instant: Instant | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the ledger recorded about an export whose parts are done. `counts`: per selection, rows matched by
    include path ("" is the root); `tables`: fingerprints of the source's tables; `remakes`: generations lost."""

    export: Export
    plan: Plan
    counts: Sequence[Mapping[str, int]]
    tables: Mapping[str, Any]
    parts: tuple[Done, ...]
    fragments: tuple[Fragment, ...]


class Closing(Upkeep):
    """The end of an export."""

    def closable(self) -> tuple[str, ...]:
        """Exports at work of which every part is done."""
        with self._look() as read:
            return tuple(read.execute(CLOSABLE).scalars())

    def facts(self, export_id: str) -> Facts | None:
        """What is recorded now; None when it has been removed or begins anew."""
        with self._read() as read:
            row = read.execute(WHOLE, {"lone": export_id}).one_or_none()
            if row is None or row.counts is None:
                return None
            done = tuple(_done(part) for part in read.execute(DONE, {"lone": export_id}))
            return Facts(
                export=shown_export(row),
                plan=plans.from_data(row.plan),
                counts=row.counts if row.consistency != "part" else _summed(len(row.counts), done),
                tables=row.tables,
                parts=done,
                fragments=tuple(map(fragment_of, read.execute(WRITTEN, {"lone": export_id}))),
            )

    def complete(self, export_id: str, generation: int, made: Sequence[Artifact], manifest: str) -> bool:
        """Completed, with these artifacts and the manifest under this key. False: somebody else was faster, or it was
        interrupted, removed or begun anew meanwhile."""
        with self._write() as write:
            states.lock(write, export_id)
            states.begin(write, export_id)
            proven = {"lone": export_id, "of": generation, "proof": manifest}
            kept = self.terms.retention.total_seconds()
            if not write.execute(COMPLETED, proven | {"kept": kept}).rowcount:
                return False
            beside = [
                one for artifact in made for one in artifact.layout if "key" in one and "part" not in one
            ]
            if beside:
                write.execute(
                    fragments.insert(), [_beside(export_id, generation, *one) for one in enumerate(beside)]
                )
            rows = [asdict(artifact) | {"n": n} for n, artifact in enumerate(made)]
            if rows:
                write.execute(artifacts.insert(), rows)
            states.let_go(write, export_id)
            status = {"status": [Status.RUNNING, Status.COMPLETED]}
            tell(write, export_id, "completed", artifacts=len(rows), changed=status)
            return True

    def disprove(self, export_id: str, generation: int, error: Mapping[str, Any]) -> bool:
        """The proof of this generation does not hold: the export has failed, and a start begins anew."""
        with self._write() as write:
            row = states.lock(write, export_id)
            if row is None or row.generation != generation or not states.end(write, export_id, [dict(error)]):
                return False
            states.let_go(write, export_id)
            if row.consistency == "part":  # no instant is lost that would have it begin anew
                states.remake(write, export_id, error)
            return True

    def manifest_key(self, export_id: str) -> str | None:
        """Where the manifest lies in the store; None until completed."""
        with self._look() as read:
            found = sa.select(exports.c.manifest).where(exports.c.id == export_id, states.present())
            key: str | None = read.execute(found).scalar_one_or_none()
            return key


def _beside(export_id: str, generation: int, seq: int, stretch: Mapping[str, Any]) -> dict[str, Any]:
    """An object that no part has written, as the directory of an archive: it belongs to the export as fragments do."""
    size = {"length": stretch["length"], "raw_length": stretch["length"], "sha256": stretch["sha256"]}
    names = {
        "export": export_id,
        "generation": generation,
        "key": stretch["key"],
        "seq": seq,
        "path": "(beside)",
    }
    return (
        names
        | size
        | {"part": 0, "attempt": 0, "selection": 0, "format": "", "crc32": 0, "rows": 0, "related": {}}
    )


def _closable() -> sa.Select[str]:
    planned = sa.exists().where(parts.c.export == exports.c.id, parts.c.n == 0, parts.c.state == "done")
    found = sa.select(exports.c.id).where(states.at_work(), planned, ~states.unfinished())
    return found.order_by(exports.c.created_at)


CLOSABLE = _closable()


def _done(row: Any) -> Done:
    instant = Instant(moment(row.instant_at), row.matched) if row.instant_at is not None else None
    return Done(row.n, row.selection, row.format, row.range, row.attempt, row.rows, row.related, instant)


def _summed(selections: int, done: Sequence[Done]) -> list[Counter[str]]:
    """Rows matched per selection, where each part counted its own."""
    counts = [Counter[str]() for _ in range(selections)]
    for part in done:
        counts[part.selection].update(part.instant.matched if part.instant else {})
    return counts


def _matched() -> sa.ColumnElement[int]:
    """The rows of an export when it is completed: where each part counted its own, only now all are known."""
    total = sa.select(sa.func.coalesce(sa.func.sum(parts.c.rows), 0)).where(parts.c.export == exports.c.id)
    known = sa.func.coalesce(exports.c.matched, 0)
    return sa.case(
        (exports.c.consistency == "part", sa.cast(total.scalar_subquery(), sa.BigInteger)), else_=known
    )


def _completed() -> sa.Update:
    running = sa.and_(exports.c.status == Status.RUNNING, exports.c.generation == sa.bindparam("of"))
    return (
        exports.update()
        .where(exports.c.id == LONE, running, states.present(), ~states.unfinished())
        .values(
            status=Status.COMPLETED,
            matched=_matched(),
            shown=_matched(),
            completed_at=now(),
            updated_at=now(),
            expires_at=now() + sa.bindparam("kept", type_=sa.Double),
            manifest=sa.bindparam("proof"),
        )
    )


# Of every export, and kept because to put them together takes longer than to run them.
COMPLETED = _completed()
WHOLE = shown(*(exports.c[name] for name in HEAVY)).where(exports.c.id == LONE, states.present())
DONE = sa.select(parts).where(parts.c.export == LONE, parts.c.n > 0).order_by(parts.c.n)
WRITTEN = sa.select(fragments).where(fragments.c.export == LONE).order_by(fragments.c.part, fragments.c.seq)
