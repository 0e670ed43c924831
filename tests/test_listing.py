"""Lists of exports: the same filters, order and pages on every database, and nothing of another tenant."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from outhaul.errors import UnknownField, UnknownPredicate, WrongValue
from outhaul.export import Export, Sight
from outhaul.ledger import SORTABLE, Ledger
from tests import drafts
from tests.drafts import create, plan_out

ACME = Sight("acme")


@pytest.fixture
def made(ledger: Ledger) -> list[Export]:
    """Three of acme, two of them not begun; one of bolt."""
    begun = plan_out(ledger, 2, reference="b-1", formats=("json", "csv"))
    waiting = create(ledger, reference="B-2", checked=False, metadata={"team": "x"})
    nameless = create(ledger, checked=False)
    other = create(ledger, tenant="bolt", reference="b-3")
    return [ledger.get(one.id) for one in (begun, waiting, nameless, other)]


def found(ledger: Ledger, where: dict[str, Any] | None = None, **more: Any) -> list[str]:
    exports, total = ledger.list(ACME, where, **more)
    assert total >= len(exports)
    return [one.id for one in exports]


def test_the_newest_come_first_and_pages_are_counted(ledger: Ledger, made: list[Export]) -> None:
    ids = [one.id for one in made]
    assert found(ledger) == [ids[2], ids[1], ids[0]]
    exports, total = ledger.list(ACME, limit=2, offset=2)
    assert ([one.id for one in exports], total) == ([ids[0]], 3)
    assert ledger.list()[1] == 4


def test_a_removed_export_is_not_listed(ledger: Ledger, made: list[Export]) -> None:
    ledger.remove(made[0].id)
    assert found(ledger) == [made[2].id, made[1].id]


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({"status_eq": "created"}, [2, 1]),
    ({"status_in": ["running", "failed"]}, [0]),
    ({"reference_start": "b-"}, [0]),
    ({"reference_null": True}, [2]),
    ({"reference_or_status_cont": "re"}, [2, 1]),
    ({"resource_cont": "ord"}, [2, 1, 0]),
    ({"format_eq": "json,csv"}, [0]),
    ({"matched_gteq": 20}, [0]),
    ({"matched_null": True, "reference_not_null": True}, [1]),
    ({"processed_lt": 1}, [2, 1, 0]),
    ({"started_at_null": True}, [2, 1]),
    ({"created_at_gteq": "2020-01-01T00:00:00Z", "created_at_lt": "2999-01-01"}, [2, 1, 0]),
    ({"created_at_gt": "2999-01-01T00:00:00Z"}, []),
    ({"metadata_not_null": True}, [2, 1, 0]),
]


def test_a_filter_means_the_same_everywhere(ledger: Ledger, made: list[Export]) -> None:
    for where, which in FILTERS:
        assert found(ledger, where) == [made[number].id for number in which], where


def test_a_time_that_was_shown_finds_its_export(ledger: Ledger, made: list[Export]) -> None:
    for export in made[:3]:
        at = export.created_at
        shown = at.isoformat(timespec="milliseconds")
        assert export.id in found(ledger, {"created_at_eq": shown})
        assert export.id not in found(ledger, {"created_at_gt": shown})
        assert export.id in found(ledger, {"created_at_gt": (at - timedelta(seconds=1)).isoformat()})


ORDERS: list[tuple[tuple[tuple[str, bool], ...], list[int]]] = [
    ((("started_at", False), ("created_at", False)), [0, 1, 2]),
    ((("started_at", True), ("created_at", True)), [0, 2, 1]),
    ((("reference", False),), [1, 0, 2]),
    ((("reference", True),), [0, 1, 2]),
    ((("matched", True), ("reference", False)), [0, 1, 2]),
]


def test_what_has_no_value_comes_last_either_way(ledger: Ledger, made: list[Export]) -> None:
    for order, which in ORDERS:
        assert found(ledger, order=order) == [made[number].id for number in which], order


def test_an_index_finds_a_reference(tmp_path: Path) -> None:
    asked: list[tuple[str, Any]] = []
    with drafts.opened(drafts.sqlite_url(tmp_path)) as ledger:
        create(ledger, reference="b-1")
        sa.event.listen(ledger._reader, "before_cursor_execute", lambda *told: asked.append(told[2:4]))
        assert len(found(ledger, {"reference_eq": "b-1"})) == 1
        counted, page, _rows = [one for one in asked if one[0].startswith("SELECT")]
        with ledger._read() as read:
            for statement, values in (counted, page):
                plan = read.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
                assert any("ix_exports_tenant_reference" in step[3] for step in plan), plan


def test_every_sortable_name_sorts(ledger: Ledger, made: list[Export]) -> None:
    for name in SORTABLE:
        for descends in (False, True):
            assert sorted(found(ledger, order=((name, descends),))) == sorted(one.id for one in made[:3])


WRONG: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"prize_eq": 1}, UnknownField),
    ({"tenant_eq": "bolt"}, UnknownField),
    ({"plan_not_null": True}, UnknownField),
    ({"status_like": "x"}, UnknownPredicate),
    ({"matched_gt": "many"}, WrongValue),
    ({"created_at_gt": "yesterday"}, WrongValue),
]


def test_a_wrong_filter_is_refused_by_name(ledger: Ledger) -> None:
    for where, error in WRONG:
        with pytest.raises(error):
            ledger.list(ACME, where)
