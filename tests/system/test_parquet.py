"""Parquet holds what the database holds, for three readers that share no code; what it cannot hold it refuses."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import numpy as np
import polars as pl
import psycopg
import pytest
from pyarrow import parquet

from tests.system import _oracle, _outhaul
from tests.system._outhaul import Asker

FINE = """
CREATE TABLE fine (id integer PRIMARY KEY, small smallint, large bigint, price numeric(12,2), long numeric(38,10),
    free numeric, huge numeric(60,5), single real, double double precision, truth boolean, word text, raw bytea,
    day date, clock time, at timestamp, instant timestamptz, key uuid);
INSERT INTO fine VALUES
    (1, -32768, -9223372036854775808, -9999999999.99, 9999999999999999999999999999.0123456789, 1.50,
     1234567890123456789012345678901234567890.12345, 0.1, 5e-324, true, '', '', '0001-01-01', '00:00',
     '0001-01-01 00:00:00.000001', '0001-01-01 00:00:00+00', '00000000-0000-0000-0000-000000000000'),
    (2, 32767, 9223372036854775807, 0.10, -0.0000000001, 5.000, -0.5, 'NaN', '-Infinity', false, E'a"b\\n,é👩\\u2028',
     '\\x00ff0a', '9999-12-31', '23:59:59.999999', '9999-12-31 23:59:59.999999', '2026-07-01 12:00:00.5+05:30',
     'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (4, 0, 0, 0, 0, 0, 0, 3.4028235e38, 1.7976931348623157e308, NULL, repeat('x', 100000),
     decode(repeat('ab', 70000), 'hex'),
     '1970-01-01', '12:30', '1969-12-31 23:59:59.999999', '1969-12-31 23:59:59.999999+00', gen_random_uuid());
CREATE TABLE marks (id integer PRIMARY KEY, fine_id integer REFERENCES fine, price numeric(9,3), day date);
INSERT INTO marks SELECT n, 1 + n % 3, nullif(n, 7) / 7.0, date '2000-02-28' + n FROM generate_series(1, 50) n;
CREATE TABLE unfit (id integer PRIMARY KEY, day date, clock time, at timestamp, instant timestamptz,
    price numeric(9,2));
INSERT INTO unfit VALUES (1, '2026-01-01', '12:00', '2026-01-01', '2026-01-01', 1),
    (2, 'infinity', '24:00', '4713-01-01 BC', '294276-12-31 23:59:59+00', 'NaN');
"""
UNFIT = {
    "day": "infinity",
    "clock": "24:00:00",
    "at": "4713-01-01 00:00:00 BC",
    "instant": "294276-12-31 23:59:59+00",
    "price": "NaN",
}


@pytest.fixture(scope="module")
def database(postgres_module_url: str) -> str:
    with psycopg.connect(postgres_module_url, autocommit=True) as connection:
        connection.execute(FINE)
    return postgres_module_url


@pytest.fixture(scope="module")
def asker(database: str, room: Path) -> Iterator[Asker]:
    with _outhaul.serving(database, room / "service") as service:
        yield service.asker()


def by_arrow(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return found


def by_duckdb(path: Path) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        # Instants would need another package to become Python's.
        query = "SELECT * REPLACE (instant::TIMESTAMP AS instant) FROM read_parquet(?)"
        found = connection.execute(query, [str(path)])
        names = [column[0] for column in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return [row | {"instant": row["instant"] and row["instant"].replace(tzinfo=UTC)} for row in rows]


def by_polars(path: Path) -> list[dict[str, Any]]:
    return list(pl.read_parquet(path).iter_rows(named=True))


@pytest.fixture(params=[by_arrow, by_duckdb, by_polars], ids=["arrow", "duckdb", "polars"])
def read(request: pytest.FixtureRequest) -> Callable[[Path], list[dict[str, Any]]]:
    reader: Callable[[Path], list[dict[str, Any]]] = request.param
    return reader


@pytest.fixture(scope="module")
def file(asker: Asker, room: Path) -> Path:
    path = room / "fine.parquet"
    path.write_bytes(asker.file(asker.create("fine", "parquet", includes=["marks"])))
    return path


def agree(found: Any, stored: Any) -> bool:
    """Whether a value of a file is the one that psycopg gives; a number without a scale is told by its text."""
    if isinstance(stored, float):
        return (math.isnan(found) and math.isnan(stored)) or found == stored
    if isinstance(stored, UUID) or (isinstance(found, str) and not isinstance(stored, str)):
        return bool(found == str(stored))
    return type(found) is type(stored) and bool(found == stored)


def test_three_readers_find_what_the_database_holds(
    read: Callable[[Path], list[dict[str, Any]]], file: Path, database: str
) -> None:
    rows = sorted(read(file), key=lambda row: row["id"])
    with psycopg.connect(database) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute("SELECT * FROM fine ORDER BY id")
        names = [column.name for column in found.description or ()]
        expected = found.fetchall()
    assert list(rows[0]) == [*names, "marks"]
    for row, stored in zip(rows, expected, strict=True):
        single = names.index("single")
        for name, value, here in zip(names, stored, row.values(), strict=False):
            if name != "single":
                assert agree(here, value), (name, here, value)
        assert agree(as_single(row["single"]), as_single(stored[single]))


def as_single(value: float | None) -> float | None:
    """A float of 4 bytes, whether it came with 17 digits or with those that tell it from its neighbours."""
    return None if value is None else float(np.float32(value))


def test_three_readers_find_related_rows_in_lists(
    read: Callable[[Path], list[dict[str, Any]]], file: Path, database: str
) -> None:
    expected = _oracle.asked(database, "SELECT fine_id, id, price, day FROM marks ORDER BY id")
    found = [
        (row["id"], mark["id"], mark["price"], mark["day"]) for row in read(file) for mark in row["marks"]
    ]
    assert sorted(found, key=lambda mark: mark[1]) == expected
    assert next(row for row in read(file) if row["id"] == 4)["marks"] == []


@pytest.mark.parametrize("name", UNFIT)
def test_what_a_column_cannot_hold_is_refused_with_its_place(name: str, asker: Asker) -> None:
    export_id = asker.create("unfit", "parquet", fields=["id", name])
    told = str(asker.wait(export_id, "failed")["errors_log"])
    words = ("UnreadableValue", f"unfit: {name} ", "key 2", UNFIT[name], 'type = "text"')
    assert all(word in told for word in words), told


def test_as_text_by_the_catalog_file_it_is_written(database: str, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.toml"
    fields = "".join(f'[resources.unfit.fields.{name}]\ntype = "text"\n' for name in UNFIT)
    scaled = "[resources.fine.fields.id]\n[resources.fine.fields.free]\nscale = 3\n"
    catalog.write_text(f"[resources.unfit.fields.id]\n{fields}{scaled}")
    run = _outhaul.export(database, "unfit", tmp_path, format="parquet", catalog=catalog).complete()
    found = {row["id"]: row for row in parquet.read_table(io.BytesIO(run.data)).to_pylist()}
    assert {name: found[2][name] for name in UNFIT} == UNFIT
    run = _outhaul.export(database, "fine", tmp_path, format="parquet", catalog=catalog).complete()
    table = parquet.read_table(io.BytesIO(run.data))
    assert str(table.schema.field("free").type) == "decimal128(38, 3)"
    assert sorted(str(value) for value in table["free"].to_pylist() if value is not None) == [
        "0.000",
        "1.500",
        "5.000",
    ]
