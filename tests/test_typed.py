"""Texts of a database as typed values: each exactly, or refused at its place; nothing is rounded, cut or guessed."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outhaul.catalog import Type
from outhaul.formats._grown import Grown
from outhaul.formats._typed import Misfit, type_of, typed
from outhaul.plan import Column

UTC = ZoneInfo("UTC")
LONG = "123456789012345678901234567890123456"
MICROS = pa.timestamp("us")
INSTANTS = pa.timestamp("us", "UTC")


def texts(*values: str | None) -> pa.Array:
    return pa.array([None if one is None else one.encode() for one in values], pa.binary())


def column(kind: Type, native: str, scale: int | None = None) -> Column:
    return Column("c", "c", kind, native, True, scale)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (column(Type.INTEGER, "smallint"), pa.int16()),
        (column(Type.INTEGER, "integer"), pa.int32()),
        (column(Type.INTEGER, "INTEGER"), pa.int64()),  # SQLite
        (column(Type.DECIMAL, "numeric"), pa.string()),
        (column(Type.DECIMAL, "numeric", 4), pa.decimal128(38, 4)),
        (column(Type.DECIMAL, "numeric(12,2)", 2), pa.decimal128(12, 2)),
        (column(Type.DECIMAL, "numeric(12,2)", 5), pa.decimal128(15, 5)),
        (column(Type.DECIMAL, "numeric(3,5)", 5), pa.decimal128(5, 5)),
        (column(Type.DECIMAL, "numeric(5,-2)", 0), pa.decimal128(7, 0)),
        (column(Type.DECIMAL, "numeric(39,0)", 0), pa.string()),
        (column(Type.FLOAT, "real"), pa.float32()),
        (column(Type.FLOAT, "REAL"), pa.float64()),
        (column(Type.TIME, "time without time zone"), pa.time64("us")),
        (column(Type.TIME, "time with time zone"), pa.string()),
        (column(Type.TIMESTAMP, "timestamp without time zone"), MICROS),
        (column(Type.INSTANT, "timestamp with time zone"), INSTANTS),
        (column(Type.UUID, "uuid"), pa.string()),
        (column(Type.JSON, "jsonb"), pa.string()),
    ],
)
def test_each_column_has_a_type_that_holds_all_its_declaration_allows(
    of: Column, expected: pa.DataType
) -> None:
    assert type_of(of) == expected


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (pa.int64(), "-9223372036854775808", -(2**63)),
        (pa.decimal128(38, 2), f"{LONG}.78", Decimal(f"{LONG}.78")),
        (pa.decimal128(9, 2), "1.500", Decimal("1.50")),
        (pa.float64(), "5e-324", 5e-324),
        (pa.float64(), "-Infinity", float("-inf")),
        (pa.bool_(), "true", True),
        (pa.binary(), "\\x00ff", b"\x00\xff"),
        (pa.binary(), "\\x", b""),
        (pa.date32(), "0001-01-01", date(1, 1, 1)),
        (pa.time64("us"), "23:59:59.999999", time(23, 59, 59, 999999)),
        (MICROS, "2026-01-31 13:45:00.1", datetime.fromisoformat("2026-01-31T13:45:00.1")),
        (MICROS, "2026-01-31T13:45", datetime.fromisoformat("2026-01-31T13:45")),
        (INSTANTS, "2026-01-31 13:45:00+05:30", datetime(2026, 1, 31, 8, 15, tzinfo=UTC)),
        (pa.string(), "é\0", "é\0"),
    ],
)  # fmt: skip
def test_what_fits_is_that_value(kind: pa.DataType, text: str, value: Any) -> None:
    assert typed(texts(None, text), kind).to_pylist() == [None, value]
    assert typed(texts("not seen", text, None).slice(1), kind).to_pylist() == [value, None]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (pa.int16(), "32768"),
        (pa.int64(), "0x10"),
        (pa.int64(), "1.0"),
        (pa.int64(), '"7"'),
        (pa.decimal128(38, 2), "1.555"),
        (pa.decimal128(38, 2), "NaN"),
        (pa.decimal128(5, 2), "1000.00"),
        (pa.float64(), "text"),
        (pa.float64(), '"1.5"'),
        (pa.bool_(), "1"),
        (pa.bool_(), "TRUE"),
        (pa.binary(), "00ff"),
        (pa.binary(), "\\x0"),
        (pa.binary(), "\\x0g"),
        (pa.binary(), ""),
        (pa.date32(), "infinity"),
        (pa.date32(), "0044-03-15 BC"),
        (pa.date32(), "5874897-12-31"),
        (pa.date32(), "2026-02-30"),
        (pa.date32(), "20260131"),
        (pa.time64("us"), "24:00:00"),
        (pa.time64("us"), "12"),
        (pa.time64("us"), "12:00:00+02"),
        (MICROS, "2026-01-31"),
        (MICROS, "2026-01-31 13"),
        (MICROS, "2026-01-31 13:45:00Z"),
        (MICROS, "2026-01-31 13:45:00.1234567"),
        (MICROS, "-infinity"),
        (MICROS, "294276-12-31 23:59:59"),
        (INSTANTS, "2026-01-31 13:45:00"),
        (INSTANTS, "4713-01-01 00:00:00+00 BC"),
    ],
)
def test_what_does_not_fit_is_refused_at_its_place(kind: pa.DataType, text: str) -> None:
    good = {pa.bool_(): "true", pa.binary(): "\\xff", pa.date32(): "2026-01-31", MICROS: "2026-01-31 13:45"}
    good |= {INSTANTS: "2026-01-31 13:45:00+00", pa.time64("us"): "13:45"}
    before = [good.get(kind, "1"), None, good.get(kind, "1")]
    with pytest.raises(Misfit) as refused:
        typed(texts(*before, text, *before, text), kind)
    assert refused.value.row == 3


@given(st.lists(st.none() | st.binary(max_size=9), max_size=20), st.integers(0, 5))
def test_bytes_are_what_their_hex_says(values: list[bytes | None], skipped: int) -> None:
    array = texts(*(None if one is None else f"\\x{one.hex()}" for one in values)).slice(skipped)
    assert typed(array, pa.binary()).to_pylist() == values[skipped:]


INNER = pa.struct([("n", pa.int32()), ("b", pa.bool_()), ("t", pa.string())])
NESTED = pa.struct(
    [("d", pa.decimal128(9, 2)), ("one", INNER), ("many", pa.list_(INNER)), ("x", pa.binary())]
)
inner = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-9, 9),
        "b": st.none() | st.booleans(),
        "t": st.none() | st.text(max_size=3),
    }
)
rows = st.fixed_dictionaries(
    {
        "d": st.none() | st.decimals(-9, 9, places=2),
        "one": st.none() | inner,
        "many": st.lists(inner, max_size=3),
        "x": st.none() | st.binary(max_size=3),
    }
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # which a busy machine is
@given(st.lists(st.lists(rows, max_size=5), max_size=4))
def test_an_array_that_grew_is_that_of_all_its_pieces(pieces: list[list[dict[str, Any]]]) -> None:
    grown = Grown(NESTED)
    for piece in pieces:
        padded = pa.array([None, *piece, None], NESTED)
        grown.add(padded.slice(1, len(piece)))
    made = grown.array()
    made.validate(full=True)
    assert made.to_pylist() == [row for piece in pieces for row in piece]
