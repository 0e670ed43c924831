"""The list of exports: each of the 51 predicates, over all that is filterable, compares with what callers read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from outhaul.catalog import Type
from outhaul.dialects.commercelayer import query, render
from outhaul.export import Artifact, Sight, Status
from outhaul.filters import OPS
from outhaul.ledger import Ledger
from outhaul.ledger.tables import artifacts, exports
from tests import drafts
from tests.slow_filters import FLAGS, meets
from tests.test_every_predicate import exact

SETTING = render.Setting("https://exports.example.com/api", "f" * 64)
BEGIN = 1_700_000_000.0
TOO_LONG = {"error": "SourceTimeout", "message": "query timeout", "hint": "Ask for less."}
AWAY = {"error": "SourceAway", "message": "db.internal does not answer", "hint": ""}


def life(status: Status, reference: str | None, created_at: float, **more: Any) -> dict[str, Any]:
    """What the ledger keeps of an export; times are seconds after BEGIN."""
    return {"status": status, "reference": reference, "created_at": created_at} | more


LISTED = {"foo": "bar", "list": [{"a": 1, "b": 2}, {"a": 2}]}
LIVES = [
    life(Status.CREATED, None, 0.0),
    life(Status.CREATED, "", 0.0, metadata={"foo": "bar"}),
    life(Status.QUEUED, "GROUP-1", 0.123, matched=300),
    life(Status.RUNNING, "group-1", 1.0, started_at=2.0, matched=0),
    life(Status.INTERRUPTED, "a,b", 2.0, started_at=3.5, interrupted_at=3.999, matched=300, shown=270),
    life(Status.COMPLETED, "GROUP-2", 3.0, started_at=4.0, completed_at=5.0, resource="skus", shown=300),
    life(Status.COMPLETED, "100%", 3.0, completed_at=86_400.0, resource="sku_lists", format="csv", matched=1),
    life(Status.FAILED, "é", 4.0, started_at=5.0, failed_at=6.0, errors=[TOO_LONG], metadata=LISTED),
    life(Status.FAILED, " ", 5.0, failed_at=6.0, errors=[AWAY, TOO_LONG], reference_origin="cli"),
    life(
        Status.EXPIRED, "x", 6.0, started_at=6.0, completed_at=7.0, reference_origin="", metadata={"foo": 1}
    ),
    life(Status.EXPIRED, "y", 6.0, failed_at=7.0, errors=[TOO_LONG], metadata={"foo": {"bar": [1, "é"]}}),
    life(Status.EXPIRED, "GROUP-10", 7.5, interrupted_at=8.0, matched=12),
]
TIMES = ("created_at", "started_at", "completed_at", "interrupted_at", "failed_at")


def lived(ledger: Ledger, told: Mapping[str, Any]) -> str:
    """An export with this behind it."""
    export_id = drafts.create(ledger, checked=False).id
    values = {name: BEGIN + value if name in TIMES else value for name, value in told.items()}
    kind, form = values.get("resource", "orders"), values.get("format", "json")
    draft = {
        "selections": [{"resource": kind, "includes": [], "fields": [], "filters": {}}],
        "formats": [form],
    }
    values |= {
        "updated_at": values["created_at"] + 0.5,
        "resumed_at": values.get("started_at"),
        "draft": draft,
        "resource": kind,
        "format": form,
    }
    with ledger._write() as write:
        write.execute(exports.update().where(exports.c.id == export_id).values(values))
        if told["status"] is Status.COMPLETED:
            made = Artifact(export_id, 0, form, f"{kind}.{form}.gz", "application/gzip", 1, 1, 1, 1, '"e"')
            row = {name: getattr(made, name) for name in Artifact.__slots__} | {"layout": [], "n": 0}
            write.execute(artifacts.insert().values(row))
    for name in ("started", "completed") if "completed_at" in told else ():
        ledger.note(export_id, name, "us")
    return export_id


KINDS = {
    Type.TEXT: ("resource_type", "format", "status", "attachment_url", "id", "reference", "reference_origin"),
    Type.INTEGER: ("records_count", "processed_count"),
    Type.INSTANT: ("started_at", "completed_at", "interrupted_at", "created_at", "updated_at"),
    Type.JSON: ("errors_log", "metadata"),
}
KIND = {name: kind for kind, names in KINDS.items() for name in names}


def moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


MEANING: dict[Type, Callable[[Any], Any]] = {
    Type.TEXT: str,
    Type.INTEGER: int,
    Type.INSTANT: moment,
    Type.JSON: exact,
}


class Shown:
    """A ledger and its exports as a caller reads them."""

    def __init__(self, ledger: Ledger, openly: bool) -> None:
        self.ledger = ledger
        self.setting = render.Setting(SETTING.base, SETTING.trace, openly)
        self.view = render.view(self.setting)
        self.rows: dict[str, dict[str, Any]] = {}
        for export in ledger.list(limit=100)[0]:
            attributes = render.resource(export, render.Links(), self.setting)["attributes"] | {
                "id": export.id
            }
            file = f"/files/{export.id}/{attributes['resource_type']}.{attributes['format']}.gz"
            attributes["attachment_url"] = file if export.status is Status.COMPLETED else None
            self.rows[export.id] = attributes

    def value(self, export_id: str, name: str) -> Any:
        """What is shown, as it is compared: an errors_log with nothing in it is none."""
        value = self.rows[export_id][name]
        if KIND[name] is Type.JSON:
            return exact(json.dumps(value)) if value or name == "metadata" else None
        return None if value is None else self.meant(name, value)

    def meant(self, name: str, value: Any) -> Any:
        return MEANING[KIND[name]](value)

    def pool(self, name: str) -> list[str]:
        """Values worth asking for, as text."""
        found = [self.rows[one][name] for one in self.rows]
        texts = [json.dumps(one) if isinstance(one, dict) else str(one) for one in found if one is not None]
        more = {
            Type.TEXT: ["", "GROUP-", "o", "%", "in_progress", "pending"],
            Type.INTEGER: ["0", "299", "-1"],
            Type.INSTANT: [
                "2023-11-14",
                "2023-11-14T22:13:20.1231Z",
                "2023-11-14T23:13:20.123+01:00",
                "2999-01-01",
            ],
            Type.JSON: ["{}", '{"foo": "bar"}', '{"list": [{"a": 2}]}', '{"list": [{"b": 2, "a": 2}]}', "[]"],
        }[KIND[name]]
        return sorted({*texts, *more})

    def found(self, *pairs: tuple[str, str]) -> set[str]:
        asked = query.listing([(f"filter[q][{name}]", value) for name, value in pairs])
        found, total = self.ledger.list(where=asked.where, order=asked.order, limit=100, view=self.view)
        assert total == len(found)
        return {one.id for one in found}

    def expected(self, names: list[str], predicate: str, texts: list[str], together: Any = any) -> set[str]:
        """`together`: any, or all for `_and_`."""

        def meets_one(export_id: str, name: str) -> bool:
            pattern = OPS[predicate].each in {"pattern", "text"}
            meant = [
                text == "true" if predicate in FLAGS else text if pattern else self.meant(name, text)
                for text in texts
            ]
            return meets(predicate, self.value(export_id, name), meant)

        return {one for one in self.rows if together(meets_one(one, name) for name in names)}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    here = tmp_path_factory.mktemp("list")
    url = (
        drafts.sqlite_url(here)
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_module_url")
    )
    with drafts.opened(url) as ledger:
        for one in LIVES:
            lived(ledger, one)
        yield ledger


@pytest.fixture(scope="module")
def shown(ledger: Ledger) -> Shown:
    return Shown(ledger, openly=False)


def test_every_filterable_attribute_is_tried() -> None:
    assert set(KIND) == set(query.FILTERABLE)


@pytest.mark.parametrize("predicate", OPS)
def test_a_predicate_finds_what_the_slow_reader_finds_in_what_is_shown(shown: Shown, predicate: str) -> None:
    op = OPS[predicate]
    for name, kind in KIND.items():
        if kind not in op.types:
            continue
        pool = ["true", "false"] if predicate in FLAGS else shown.pool(name)
        several = op.takes in {"many", "several"}
        pool = pool[:: max(1, len(pool) // 2)]  # two of them; the next test draws from all
        for texts in [list(pair) for pair in pairwise(pool)] if several else [[one] for one in pool]:
            value = json.dumps(texts) if several else texts[0]
            found = shown.found((f"{name}_{predicate}", value))
            assert found == shown.expected([name], predicate, texts), (name, texts)


def test_any_filters_together_find_what_the_slow_reader_finds(shown: Shown) -> None:
    @settings(max_examples=80, deadline=None)
    @given(st.data())
    def agrees(data: st.DataObject) -> None:
        expected = set(shown.rows)
        pairs: list[tuple[str, str]] = []
        for _ in range(data.draw(st.integers(1, 3))):
            predicate = data.draw(st.sampled_from(sorted(OPS)))
            fitting = [name for name, kind in KIND.items() if kind in OPS[predicate].types]
            if not fitting:
                continue
            first = data.draw(st.sampled_from(fitting))
            others = [name for name in fitting if KIND[name] is KIND[first] and name != first]
            names = [first, *data.draw(st.lists(st.sampled_from(others), max_size=2, unique=True))]
            pool = ["true", "false"] if predicate in FLAGS else shown.pool(first)
            several = OPS[predicate].takes in {"many", "several"}
            texts = data.draw(st.lists(st.sampled_from(pool), min_size=1, max_size=3 if several else 1))
            commas = several and not any("," in one for one in texts) and data.draw(st.booleans())
            value = ",".join(texts) if commas else json.dumps(texts) if several else texts[0]
            joint, together = data.draw(st.sampled_from([("_or_", any), ("_and_", all)]))
            name = f"{joint.join(names)}_{predicate}"
            if name not in dict(pairs):
                pairs.append((name, value))
                expected &= shown.expected(names, predicate, texts, together)
        assert shown.found(*pairs) == expected, pairs

    agrees()


@pytest.mark.parametrize(
    ("name", "value", "lives"),
    [
        ("events_name_eq", "exports.complete", {5, 6, 9}),
        ("events_name_in", "exports.start,exports.fail", {5, 6, 9}),
        ("events_name_start", "exports.", set(range(12))),
        ("events_name_not_eq", "exports.create", {5, 6, 9}),
        ("events_name_eq", "created", set()),
        ("events_name_eq_or_null", "exports.complete", {5, 6, 9}),
        ("events_created_at_gt", "2999-01-01", set()),
        ("events_created_at_gt", "2020-01-01", set(range(12))),
        ("events_reference_null", "true", set(range(12))),
        ("events.name_or_reference_eq", "GROUP-2", {5}),
        ("reference_or_events_name_in", "GROUP-1,exports.complete", {2, 5, 6, 9}),
    ],
)
def test_events_are_filtered_by_their_own_attributes(
    shown: Shown, name: str, value: str, lives: set[int]
) -> None:
    references = {LIVES[number]["reference"] for number in lives}
    assert {shown.rows[one]["reference"] for one in shown.found((name, value))} == references


def test_what_is_the_operators_own_cannot_be_found_by_others(ledger: Ledger) -> None:
    operator, tenant = Shown(ledger, openly=True), Shown(ledger, openly=False)
    secret = ("errors_log_jcont", '{"SourceAway": "db.internal does not answer"}')
    assert len(operator.found(secret)) == 1
    assert tenant.found(secret) == set()


@pytest.mark.parametrize("name", query.SORTABLE)
@pytest.mark.parametrize("descends", [False, True])
def test_every_sortable_field_sorts_what_is_shown_with_nothing_last(
    shown: Shown, name: str, descends: bool
) -> None:
    asked = query.listing([("sort", f"-{name}" if descends else name), ("page[size]", "25")])
    found, _ = shown.ledger.list(order=asked.order, limit=100, view=shown.view)
    values = [shown.value(one.id, name) for one in found]
    there = [one for one in values if one is not None]
    assert there == sorted(there, reverse=descends)
    assert values == there + [None] * (len(values) - len(there))
    for first, second in pairwise(found):
        if shown.value(first.id, name) == shown.value(second.id, name):
            assert first.id < second.id, "ties are broken by id"


def test_a_list_sorts_by_several_fields_and_pages_do_not_overlap(shown: Shown) -> None:
    order = query.listing([("sort", "resource_type,-created_at,reference")]).order
    whole = [one.id for one in shown.ledger.list(order=order, limit=100, view=shown.view)[0]]
    pages = [shown.ledger.list(order=order, limit=5, offset=at, view=shown.view)[0] for at in (0, 5, 10)]
    assert [one.id for page in pages for one in page] == whole
    rows = [shown.rows[one] for one in whole]
    assert rows == sorted(
        sorted(rows, key=lambda row: row["created_at"], reverse=True), key=lambda row: row["resource_type"]
    ) or len({row["created_at"] for row in rows}) < len(rows)


def test_a_filter_never_reaches_another_tenants_exports(ledger: Ledger) -> None:
    view = render.view(SETTING)
    for where in ({}, {"reference_or_status_not_null": "true"}, {"events_name_start": "exports"}):
        assert ledger.list(Sight("bolt"), where, view=view) == ((), 0)
        assert ledger.list(Sight("acme"), where, view=view)[1] == len(LIVES)


def steps(ledger: Ledger, begin: Callable[[], object], engine: sa.Engine) -> list[str]:
    """What SQLite does to `exports` when it answers."""
    asked: list[Any] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    begin()
    kept = [one for one in asked if one[0].startswith(("SELECT", "UPDATE", "WITH"))]
    with ledger._read() as read:
        plans = [read.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", values).all() for words, values in kept]
    return [row[3] for plan in plans for row in plan if row[3].split()[1] == "exports"]


def test_a_page_is_filtered_sorted_and_counted_in_an_index(tmp_path: Path) -> None:
    where = {"status_in": "completed,failed", "created_at_gteq": "2026-01-01", "resource_type_cont": "o"}
    with drafts.opened(drafts.sqlite_url(tmp_path)) as ledger:
        view, order = render.view(SETTING), (("started_at", True),)
        count, page, *_ = steps(
            ledger, lambda: ledger.list(Sight("acme"), where, order, view=view), ledger._reader
        )
    for step in (count, page):
        assert step.startswith("SEARCH")
        assert "COVERING INDEX" in step


def test_what_is_to_be_swept_is_found_without_a_look_at_every_export(tmp_path: Path) -> None:
    with drafts.opened(drafts.sqlite_url(tmp_path)) as ledger:
        found = steps(ledger, ledger.littered, ledger._reader) + steps(ledger, ledger.expire, ledger._writer)
    assert len(found) > 2
    assert all(step.startswith("SEARCH") for step in found), found


def test_an_export_of_several_files_lies_nowhere(ledger: Ledger) -> None:
    export_id = lived(ledger, {"created_at": 1, "completed_at": 2, "status": Status.COMPLETED})
    shown = Shown(ledger, openly=True)

    def found() -> list[str]:
        where = {"attachment_url_not_null": True, "id_eq": export_id}
        return [one.id for one in ledger.list(limit=5, where=where, view=shown.view)[0]]

    assert found() == [export_id]
    with ledger._write() as write:
        row = write.execute(sa.select(artifacts).where(artifacts.c.export == export_id)).mappings().one()
        write.execute(artifacts.insert(), [{**row, "n": 1, "name": "orders-2.ndjson"}])
    assert found() == []
