"""The command line and the service are two doors to one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.system import _oracle, _outhaul
from tests.system._outhaul import Asker
from tests.system._shop import Shop
from tests.system.conftest import FORMATS, SOURCES

SHOP = Shop(customers=40, orders=100)


@pytest.fixture(scope="module", params=SOURCES or ["sqlite"])
def asker(request: pytest.FixtureRequest, filled: Callable[[str, Shop], str], room: Path) -> Iterator[Asker]:
    with _outhaul.serving(filled(request.param, SHOP), room / f"service-{request.param}") as service:
        yield service.asker()


INCLUDES = {"flat": [], "nested": ["customer", "line_items.sku"]}
# What the quick tests take: each source once.
OFTEN = {("sqlite", "csv", "nested"), ("postgresql", "parquet", "nested")}


def ways(*more: tuple[str, ...]) -> list[Any]:
    """(source, format, ...), all of them."""
    found = product(SOURCES, FORMATS, *more)
    return [pytest.param(*way, marks=() if way in OFTEN else pytest.mark.heavy) for way in found]


@pytest.mark.parametrize(("asker", "form", "nested"), ways(tuple(INCLUDES)), indirect=["asker"])
def test_both_ways_give_the_same_bytes(form: str, nested: str, asker: Asker, tmp_path: Path) -> None:
    includes = INCLUDES[nested]
    served = asker.file(asker.create("orders", form, includes=includes))
    packed: dict[str, Any] = {} if form in _oracle.TYPED else {"compress": "gzip"}
    run = _outhaul.export(
        asker.service.source, "orders", tmp_path, format=form, include=includes, **packed
    ).complete()
    assert run.file.name == f"orders.{form}{'.gz' if packed else ''}"
    if packed and served[:2] != b"\x1f\x8b":
        run = _outhaul.export(
            asker.service.source, "orders", tmp_path, format=form, include=includes
        ).complete()
    assert run.data == served
    assert len(_oracle.rows(form, served)) == SHOP.orders


def test_filters_and_fields_mean_the_same_on_both_ways(any_form: str, asker: Asker, tmp_path: Path) -> None:
    filters = {"total_gteq": "1000", "customer_name_not_null": True, "number_or_note_cont": "ALPHA"}
    fields = ["number", "total", "customer.name"]
    served = _oracle.plain(asker.file(asker.create("orders", any_form, fields=fields, filters=filters)))
    run = _outhaul.export(
        asker.service.source,
        "orders",
        tmp_path,
        format=any_form,
        fields=",".join(fields),
        filter=[
            f"{name}={str(value).lower() if value is True else value}" for name, value in filters.items()
        ],
    ).complete()
    assert run.data == served
    expected = [
        n for n in range(1, SHOP.orders + 1) if n % 2 == 0 and float(f"{n * 31}.{n % 100:02}") >= 1000
    ]
    assert len(_oracle.rows(any_form, served)) == len(expected)
