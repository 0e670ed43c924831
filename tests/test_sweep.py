"""What a sweep spares of an export that is being closed, on both kinds of ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from outhaul import binaries, plan, reconcile, sessions, whole
from outhaul.access import Access
from outhaul.ledger import Ledger
from outhaul.sessions import Sessions
from outhaul.stores.file import FileStore
from tests import drafts
from tests.drafts import plan_out
from tests.served import until
from tests.test_reconcile import FakeEngine, run_parts


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


def test_tokens_of_links_are_forgotten_when_no_session_of_theirs_can_be_left(ledger: Ledger) -> None:
    access = Access(ledger)
    links = Sessions(access, ["key"])
    codes = [links.invite(all_tenants=True) for _ in range(3)]
    old, revoked, fresh = (links.caller(links.enter(code)).id for code in codes)
    _, named = access.make_token("console", all_tenants=True)
    access.revoke(revoked)
    hours = sessions.LASTS.total_seconds()
    with ledger._write() as write:
        for of in (old, revoked, named.id):
            write.exec_driver_sql(
                f"UPDATE tokens SET created_at = created_at - {hours + 1} WHERE id = '{of}'"
            )
    assert ledger.forget_linked(sessions.LASTS) == 1
    left = {one.id for one in access.list_tokens()}
    assert left == {revoked, fresh, named.id}
    assert ledger.forget_linked(sessions.LASTS) == 0


def test_the_reconciler_forgets_them_by_itself(ledger: Ledger, tmp_path: Path) -> None:
    links = Sessions(Access(ledger), ["key"])
    links.enter(links.invite(tenant="1"))
    drafts.passes(ledger, "tokens", created_at=sessions.LASTS.total_seconds())
    with reconcile.Loop(ledger, FakeEngine(), FileStore(tmp_path / "objects"), lambda _: None):
        until(lambda: not Access(ledger).list_tokens(), "the token is forgotten")
