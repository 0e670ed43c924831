"""One export that cannot be understood, or whose files cannot be deleted, holds up no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from outhaul import reconcile, siblings, stores
from outhaul.errors import StoreError
from outhaul.export import Status
from outhaul.ledger import Ledger
from tests import drafts
from tests.drafts import plan_out
from tests.test_reconcile import FakeEngine, allow, run_parts


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with drafts.opened(drafts.sqlite_url(tmp_path)) as ledger:
        yield ledger


@pytest.fixture
def store(tmp_path: Path) -> Any:
    return siblings.load(stores, "file").open_store(f"file://{tmp_path / 'objects'}")


def poison(ledger: Ledger, export_id: str) -> None:
    """A plan as another version of ours would have kept it."""
    with ledger._write() as write:
        write.execute(sa.text("UPDATE exports SET plan = '{\"new\": 1}' WHERE id = :id"), {"id": export_id})


def test_a_plan_that_nobody_understands_fails_alone(ledger: Ledger, store: Any) -> None:
    poisoned, sound = drafts.create(ledger, checked=False), drafts.create(ledger, checked=False)
    poison(ledger, poisoned.id)
    engine = FakeEngine()
    reconcile.once(ledger, engine, store, lambda export_id: void(ledger.plan(export_id)))
    assert ledger.get(poisoned.id).status is Status.FAILED
    assert "could not be looked at" in ledger.get(poisoned.id).errors[0]["message"]
    assert [one["export"] for one in engine.delivered] == [sound.id]


def void(_: Any) -> None:
    """For a check, only raising counts."""


def test_records_that_cannot_be_read_at_the_end_fail_alone(ledger: Ledger, store: Any) -> None:
    poisoned = plan_out(ledger, 1)
    run_parts(ledger, store)
    sound = plan_out(ledger, 1)
    run_parts(ledger, store)
    poison(ledger, poisoned.id)
    reconcile.once(ledger, FakeEngine(), store, allow)
    assert ledger.get(poisoned.id).status is Status.FAILED
    assert ledger.get(sound.id).status is Status.COMPLETED


def test_a_folder_that_cannot_be_deleted_keeps_no_other_from_being_deleted(
    ledger: Ledger, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [plan_out(ledger, 1).id for _ in range(3)]
    run_parts(ledger, store)
    for export_id in made:
        ledger.remove(export_id)
    stuck, delete = ledger.littered()[0], store.delete

    def refusing(prefix: str) -> int:
        if prefix == f"{stuck}/":
            raise StoreError("It is somebody else's.")
        return int(delete(prefix))

    monkeypatch.setattr(store, "delete", refusing)
    reconcile.once(ledger, FakeEngine(), store, allow)
    assert ledger.littered() == (stuck,)
    monkeypatch.undo()
    reconcile.once(ledger, FakeEngine(), store, allow)
    assert ledger.littered() == ()
