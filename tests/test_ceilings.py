"""A limit of rows or bytes is an error with both numbers, before the work where that can be known; nothing is cut."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from outhaul import downloads, pipeline, siblings, sources, stores
from outhaul.app import Outhaul
from outhaul.blocks import Range
from outhaul.ceilings import UNLIMITED, Ceiling
from outhaul.errors import Misconfigured, TooMuch
from outhaul.export import Caller, Draft, Export, Part, Selection, Status
from tests import exports, trees
from tests.selections import selection
from tests.served import CATALOG, ROWS, US, Asker, done, finished, of_shop, put_together, served, shop, until
from tests.terminal import outhaul as command

ORDERS = Draft((Selection("orders"),), formats=("ndjson",))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return shop(tmp_path)


def bounded(**most: int) -> Caller:
    return Caller("us", "us", None, all_tenants=True, ceiling=Ceiling(**most))


def limit(place: Path, lines: str) -> None:
    """Lines for the orders in the catalog file."""
    head = "[resources.orders]\n"
    (place / "catalog.toml").write_text(CATALOG.replace(head, head + lines))


def ended(outhaul: Outhaul, export: Export) -> Export:
    going = {Status.CREATED, Status.QUEUED, Status.RUNNING}
    until(lambda: outhaul.ledger.get(export.id).status not in going, "an end")
    return outhaul.ledger.get(export.id)


@contextmanager
def refused(value: int, most: int) -> Iterator[None]:
    with pytest.raises(TooMuch) as caught:
        yield
    assert caught.value.facts == {"value": value, "limit": most}
    assert f"{value:,}" in caught.value.message
    assert f"{most:,}" in caught.value.message


def failed(outhaul: Outhaul, export: Export) -> str:
    """The message of an export that failed because of a limit, and of which nothing can be had."""
    found = ended(outhaul, export)
    assert found.status is Status.FAILED
    assert [one["error"] for one in found.errors] == ["TooMuch"]
    assert outhaul.ledger.artifacts(export.id) == ()
    message: str = found.errors[0]["message"]
    return message


def test_more_rows_than_a_token_may_export_are_refused_before_the_export_exists(place: Path) -> None:
    with of_shop(place) as outhaul, served(outhaul) as client:
        ceiling = Ceiling(records=ROWS - 1)
        asker = Asker(outhaul, client, all_tenants=True, ceiling=ceiling)
        answer = asker.ask(resource_type="orders")
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert error["meta"] == {"error": "less_than_or_equal_to", "value": ROWS, "count": ROWS - 1}
        assert f"{ROWS} rows of orders match" in error["detail"]
        assert f"{ROWS - 1} are the most" in error["detail"]
        assert outhaul.exports.list(US, limit=10) == ((), 0)
        finished(asker, filters={"id_lt": ROWS})
        finished(asker, resource_type="companies", includes=["orders"])  # related rows do not count


@pytest.mark.parametrize(
    ("token", "resource", "setting", "most"),
    [
        (20, None, None, 20),
        (None, 30, None, 30),
        (None, None, 40, 40),
        (20, 30, 10, 20),
        (30, 20, 10, 20),
        (None, 50, 40, 50),
        (0, None, None, 0),
    ],
)
def test_the_smallest_limit_counts_and_the_setting_where_there_is_no_other(
    place: Path, token: int | None, resource: int | None, setting: int | None, most: int
) -> None:
    limit(place, "" if resource is None else f"max_records = {resource}\n")
    caller = US if token is None else bounded(records=token)
    outhaul = of_shop(place, max_records=setting)
    with refused(ROWS, most):
        outhaul.ledger.migrate()
        outhaul.exports.create(caller, ORDERS)
    fitting = Draft((Selection("orders", filters={"id_lteq": most}),))
    assert outhaul.exports.create(caller, fitting).matched == most


def test_without_time_for_a_count_the_export_fails_before_a_part_is_read(place: Path) -> None:
    with of_shop(place, count_timeout="1ms") as outhaul:
        export = outhaul.exports.create(bounded(records=ROWS - 1), ORDERS)
        assert export.matched is None
        assert failed(outhaul, export).startswith(f"{ROWS} rows of orders match; {ROWS - 1} are the most")
        assert [part.n for part in outhaul.ledger.parts(export.id)] == [0]
        again = outhaul.exports.create(bounded(records=ROWS), ORDERS)
        assert done(outhaul, again).matched == ROWS


def wide(place: Path) -> str:
    """A table of 2,000 rows with 100 letters each."""
    with closing(sqlite3.connect(place / "wide.db")) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, words TEXT)")
        connection.executemany("INSERT INTO texts VALUES (?, ?)", ((n, "x" * 100) for n in range(1, 2001)))
        connection.commit()
    return f"sqlite:///{place / 'wide.db'}"


def text_of(rows: range) -> int:
    """Bytes of these rows as NDJSON."""
    return sum(len(f'{{"id":{n},"words":"{"x" * 100}"}}\n') for n in rows)


def texts(rows: int = 2000, **more: Any) -> Draft:
    return Draft((Selection("texts", filters={"id_lteq": rows}),), formats=("ndjson",), **more)


def test_bytes_far_above_the_limit_by_estimate_fail_before_a_part_is_read(tmp_path: Path) -> None:
    with put_together(wide(tmp_path), tmp_path / "state") as outhaul:
        export = outhaul.exports.create(bounded(bytes=50_000), texts())
        message = failed(outhaul, export)
        assert message.startswith("texts comes to about 2")
        assert "as estimated; 50,000 bytes are the most" in message
        assert [part.n for part in outhaul.ledger.parts(export.id)] == [0]
        fitting = outhaul.exports.create(bounded(bytes=50_000), texts(400))
        assert done(outhaul, fitting).matched == 400


@pytest.mark.parametrize("part_bytes", [None, 30_000])
def test_bytes_above_the_limit_stop_the_export_and_leave_nothing(
    tmp_path: Path, part_bytes: int | None
) -> None:
    whole = text_of(range(1, 2001))
    with put_together(wide(tmp_path), tmp_path / "state") as outhaul:
        export = outhaul.exports.create(bounded(bytes=whole - 1), texts(part_bytes=part_bytes))
        assert f"bytes of texts were written; {whole - 1:,} bytes are the most" in failed(outhaul, export)
        made = done(outhaul, outhaul.exports.create(bounded(bytes=whole), texts(part_bytes=part_bytes)))
        (file,) = outhaul.ledger.artifacts(made.id)
        assert len(b"".join(downloads.read(file, outhaul.store))) == whole


def test_a_part_ends_at_the_limit_and_not_at_its_end(tmp_path: Path) -> None:
    """Its rows have no end at all."""
    plan = trees.plan(exports.ORDERS, formats=("ndjson",))
    bounded = replace(plan, selections=(replace(plan.selections[0], ceiling=Ceiling(bytes=100_000)),))
    stream = trees.stream(replace(exports.ORDERS, manys={}), exports.orders(100))
    endless = replace(stream, blocks=itertools.cycle(list(stream.blocks)))
    part = Part("AbCdEfGhIj", 1, 0, "ndjson", Range().to_data(), 1, 1)
    store = siblings.load(stores, "file").open_store(f"file://{tmp_path}")
    with pytest.raises(TooMuch, match="100,000 bytes are the most"):
        pipeline.run(exports.Session(endless), bounded, part, store, lambda: None, lambda _: None)
    assert list(store.keys("")) == []


def test_an_estimate_by_counted_rows_is_near_the_truth(tmp_path: Path, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE texts (id integer PRIMARY KEY, words text)")
        connection.execute("INSERT INTO texts SELECT n, repeat('x', 100) FROM generate_series(1, 2000) n")
        connection.execute("ANALYZE texts")
    for url in (wide(tmp_path), postgres_url):
        source = siblings.load(sources, url.partition(":")[0])
        node = selection(source.reflect(url), "texts")
        session = source.connect(url, "of a test")
        try:
            session.begin(None)
            assert session.size(node, {"": 100}) == pytest.approx(100 * 106, rel=0.1)
        finally:
            session.close()


def test_ceilings_of_two_kinds_are_joined() -> None:
    assert Ceiling(5, None).least(Ceiling(7, 9)) == Ceiling(5, 9)
    assert Ceiling(None, 3).otherwise(Ceiling(1, 2)) == Ceiling(1, 3)
    assert UNLIMITED.least(UNLIMITED) == UNLIMITED


def test_a_token_is_made_with_limits_and_shows_them(tmp_path: Path) -> None:
    made = command(
        tmp_path, "token", "create", "--all-tenants", "--max-records", "1000", "--max-bytes", "2MB"
    )
    assert made.returncode == 0, made.stderr
    assert "at most 1,000 rows at once, at most 2,000,000 bytes at once" in made.stderr
    assert (
        "everything, at most 1,000 rows, at most 2,000,000 bytes" in command(tmp_path, "token", "list").stdout
    )
    wrong = command(tmp_path, "token", "create", "--all-tenants", "--max-bytes", "much")
    assert wrong.returncode == 2
    assert "--max-bytes 'much' is no size" in wrong.stderr


def test_a_catalog_file_with_a_limit_that_is_none_is_refused(place: Path) -> None:
    limit(place, "max_records = -1\n")
    with pytest.raises(Misconfigured, match=r"resources\.orders\.max_records"):
        of_shop(place)
