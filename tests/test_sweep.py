"""What a sweep spares of an export that is being closed, on both kinds of ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from outhaul import binaries, plan, reconcile, whole
from outhaul.ledger import Ledger
from outhaul.stores.file import FileStore
from tests import drafts
from tests.drafts import plan_out
from tests.test_reconcile import run_parts


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with drafts.opened(url, replace(drafts.TERMS, orphaned=timedelta(0))) as ledger:
        yield ledger


def test_a_sweep_spares_the_directory_of_an_archive_until_it_is_named(ledger: Ledger, tmp_path: Path) -> None:
    store = FileStore(tmp_path / "objects")
    made = plan_out(ledger, 1)
    run_parts(ledger, store)
    facts = ledger.facts(made.id)
    assert facts
    copied = tuple(replace(one, format=plan.BINARY) for one in facts.fragments)
    names = tuple(replace(one, path=binaries.NAMES, seq=1, key=f"{one.key}.names") for one in copied)
    for one in names:
        store.put(one.key, [b""])
    packed = replace(
        facts,
        plan=replace(facts.plan, archive="all", formats=()),
        fragments=tuple(each for pair in zip(copied, names, strict=True) for each in pair),
    )
    before = {key for key, _, _ in store.keys("")}
    (file,) = whole.artifacts(packed, store)
    (directory,) = {key for key, _, _ in store.keys("")} - before
    reconcile.sweep(ledger, store)
    assert store.size(directory) is not None, "it may be hashed for hours"
    assert ledger.complete(made.id, 1, [file], f"{made.id}/manifest-0.json")
    store.put(f"{made.id}/directory-0.zip", [b"of a closing that broke off"])
    reconcile.sweep(ledger, store)
    assert store.size(directory) is not None
    assert store.size(f"{made.id}/directory-0.zip") is None
