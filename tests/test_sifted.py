"""Lists of events, versions and webhooks: each predicate and each order compares with what callers read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from outhaul.catalog import Type
from outhaul.dialects.commercelayer import callbacks, history, query, render
from outhaul.export import ALL, Sight, Stretch
from outhaul.filters import OPS
from outhaul.ledger import Ledger
from outhaul.ledger.tables import events, webhooks
from tests import drafts
from tests.slow_filters import FLAGS, meets
from tests.test_list_filters import MEANING

SETTING = render.Setting("https://exports.example.com/api", "f" * 64, openly=True)
BEGIN = 1_700_000_000.0
TIMES = ("created_at", "updated_at", "disabled_at")
KINDS = ("events", "versions", "webhooks")
KIND = dict.fromkeys(TIMES, Type.INSTANT) | {"metadata": Type.JSON, "circuit_failure_count": Type.INTEGER}
NOTED: list[dict[str, Any]] = [
    {"reference": "r", "metadata": {"a": 1}},
    {"reference": "", "reference_origin": "é%", "metadata": {}},
]
HOOKS: list[dict[str, Any]] = [
    {"event": "created", "url": "https://example.com/a"},
    {"event": "failed", "url": "https://example.com/B", "name": "Ops", "failures": 30, "opened_at": 3.0},
    {"event": "completed", "url": "https://example.com/%", "name": "", "failures": 2, "metadata": {"a": 1}},
    {"event": "completed", "url": "http://example.com/", "reference": "r", "disabled_at": 2.0021},
    {"event": "removed", "url": "https://example.com/a", "name": "a,b", "reference_origin": "é"},
]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)])
def ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """With things that have happened, and webhooks of two tenants."""
    url = (
        drafts.sqlite_url(tmp_path_factory.mktemp("sifted"))
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_module_url")
    )
    with drafts.opened(url) as ledger:
        for tenant in ("acme", "bolt"):
            made = [drafts.create(ledger, tenant=tenant).id for _ in range(2)]
            ledger.amend(made[0], reference="r")
            ledger.interrupt(made[0], who="ann")
            ledger.start(made[0])
            ledger.remove(made[1])
        with ledger._write() as write:
            write.execute(events.update().values(at=BEGIN + events.c.id * 0.1234))
            for number, noted in enumerate(NOTED):
                some = events.c.id % (len(NOTED) + 1) == number
                write.execute(events.update().where(some).values(updated_at=BEGIN + 5 - number, **noted))
            for number, one in enumerate(HOOKS):
                times = {
                    name: BEGIN + value for name, value in one.items() if name in {"disabled_at", "opened_at"}
                }
                lasting = {"created_at": BEGIN + number % 3, "updated_at": BEGIN + number, "metadata": {}}
                row = lasting | {
                    "id": f"hook{number}",
                    "tenant": "acme",
                    "maker": "k",
                    "dialect": "x",
                    "salt": "s",
                }
                write.execute(webhooks.insert().values({**row, "key": "k", "include": [], **one, **times}))
        yield ledger


def found(ledger: Ledger, kind: str, *pairs: tuple[str, str], sight: Sight = ALL) -> list[dict[str, Any]]:
    """Ids and attributes of a whole list, as it is asked for on the wire."""
    asked = query.listing(pairs, kind)
    lens = callbacks.LENSES[kind] if kind == "webhooks" else history.LENSES[kind]
    everything = replace(asked.stretch(lens), limit=100)
    if kind == "webhooks":
        rows, total = ledger.list_webhooks(sight.tenant, everything)
        shown = [callbacks.webhook(one, SETTING) for one in rows]
    else:
        told, total = ledger.told(sight, history.NAMES[kind], None, everything)
        shown = [history.resource(kind, one, SETTING) for one in told]
    assert total == len(shown)
    return [one["attributes"] | {"id": one["id"]} for one in shown]


def meant(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        value = json.dumps(value)
    return None if value is None else MEANING[KIND.get(name, Type.TEXT)](value)


def fits(name: str) -> list[str]:
    return [predicate for predicate, op in OPS.items() if KIND.get(name, Type.TEXT) in op.types]


CASES = [(kind, name) for kind in KINDS for name in query.LISTS[kind].filters]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_predicate_compares_with_what_is_shown(ledger: Ledger, kind: str, name: str) -> None:
    random = Random(f"{kind} {name}")
    rows = found(ledger, kind)
    pool = [
        json.dumps(one[name]) if isinstance(one[name], dict) else str(one[name]) for one in rows if one[name]
    ]
    others = {Type.TEXT: ["", "x", "export", "%a"], Type.INTEGER: ["0", "3"], Type.JSON: ["{}", '{"a": 1}']}
    pool += others.get(KIND.get(name, Type.TEXT), ["2023-11-14T22:13:20.246Z", "2999-01-01"])
    for predicate in fits(name):
        op = OPS[predicate]
        texts = random.sample(pool, 2 if op.takes in {"many", "several"} else 1)
        texts = [random.choice(["true", "false"])] if predicate in FLAGS else texts
        plain = op.each in {"pattern", "text"}
        values = [
            text == "true" if predicate in FLAGS else text if plain else meant(name, text) for text in texts
        ]
        value = json.dumps(texts) if len(texts) > 1 else texts[0]
        expected = {one["id"] for one in rows if meets(predicate, meant(name, one[name]), values)}
        told = found(ledger, kind, (f"filter[q][{name}_{predicate}]", value))
        assert {one["id"] for one in told} == expected, (predicate, texts)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS for name in query.LISTS[kind].sorts]
)
@pytest.mark.parametrize("descends", [False, True])
def test_every_order_is_that_of_what_is_shown_with_nothing_last(
    ledger: Ledger, kind: str, name: str, descends: bool
) -> None:
    def value(one: dict[str, Any]) -> Any:
        # Ids tell nothing, and those of what happened are ordered as it did.
        as_it_came = name == "id" and kind != "webhooks"
        return meant("created_at", one["created_at"]) if as_it_came else meant(name, one[name])

    told = [value(one) for one in found(ledger, kind, ("sort", f"-{name}" if descends else name))]
    there = [one for one in told if one is not None]
    assert there == sorted(there, reverse=descends)
    assert told == there + [None] * (len(told) - len(there))


def test_without_an_order_the_newest_is_first_and_pages_do_not_overlap(ledger: Ledger) -> None:
    for kind in KINDS:
        whole = found(ledger, kind)
        times = [datetime.fromisoformat(one["created_at"]) for one in whole]
        assert times == sorted(times, reverse=True)
    names, lens = history.NAMES["versions"], history.LENSES["versions"]
    order = (("name", False),)
    pages = [ledger.told(ALL, names, None, Stretch(lens, 5, at, {}, order))[0] for at in range(0, 20, 5)]
    everything = [one.id for page in pages for one in page]
    assert len(everything) == len(set(everything)) == len(found(ledger, "versions"))


def test_a_filter_never_reaches_what_is_out_of_sight(ledger: Ledger) -> None:
    for kind in KINDS:
        everywhere = found(ledger, kind, ("filter[q][id_not_null]", "true"))
        asked = ("filter[q][id_or_created_at_not_null]", "true")
        acme = found(ledger, kind, asked, sight=Sight("acme"))
        nobody = found(ledger, kind, asked, sight=Sight("nobody"))
        assert nobody == []
        assert len(acme) == (len(everywhere) if kind == "webhooks" else len(everywhere) / 2)


def test_the_newest_events_are_found_by_an_index(ledger: Ledger) -> None:
    """Or each page would sort all that has ever happened."""
    said = []

    def listen(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if "ORDER BY" in statement:
            said.append((statement, parameters))

    sa.event.listen(ledger._reader, "before_cursor_execute", listen)
    try:
        newest = query.listing([], "events").stretch(history.LENSES["events"])
        ledger.told(Sight("acme"), history.NAMES["events"], None, newest)
    finally:
        sa.event.remove(ledger._reader, "before_cursor_execute", listen)
    ((statement, parameters),) = said
    explain = "EXPLAIN QUERY PLAN" if ledger.dialect.name == "sqlite" else "EXPLAIN"
    with ledger._reader.connect() as connection:
        if ledger.dialect.name == "postgresql":  # which reads so few rows without any index
            for way in ("seqscan", "bitmapscan"):
                connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
        plan = str(connection.exec_driver_sql(f"{explain} {statement}", parameters).all())
    assert re.search("ix_events_tenant|pk_events", plan)
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan
