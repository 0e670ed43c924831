"""Text columns as typed ones: each value exactly, or refused with its table, column and key; never changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from outhaul.catalog import Type
from outhaul.formats._columns import borders, window
from outhaul.plan import Column

MOST_DIGITS = 38  # of decimal128; DuckDB and polars read no wider one
INTEGERS = {"smallint": pa.int16(), "integer": pa.int32()}  # PostgreSQL's words; SQLite's INTEGER has 64 bits
PLAIN: Mapping[Type, pa.DataType] = {
    Type.BOOLEAN: pa.bool_(),
    Type.BINARY: pa.binary(),
    Type.DATE: pa.date32(),
    Type.TIMESTAMP: pa.timestamp("us"),
    Type.INSTANT: pa.timestamp("us", "UTC"),
}


def type_of(column: Column) -> pa.DataType:
    """What holds every value that the column's type is made for; text where nothing does."""
    if column.type is Type.INTEGER:
        return INTEGERS.get(column.native, pa.int64())
    if column.type is Type.FLOAT:
        return pa.float32() if column.native == "real" else pa.float64()
    if column.type is Type.DECIMAL and column.scale is not None:
        return _decimal(column.native, column.scale)
    if column.type is Type.TIME and "with time zone" not in column.native:
        return pa.time64("us")
    return PLAIN.get(column.type, pa.string())


def _decimal(native: str, scale: int) -> pa.DataType:
    declared = re.fullmatch(r"numeric\((\d+),(-?\d+)\)", native)
    digits = max(int(declared[1]) - int(declared[2]) + scale, scale) if declared else MOST_DIGITS
    return pa.decimal128(digits, scale) if digits <= MOST_DIGITS else pa.string()


class Misfit(Exception):
    """A value that its column's type cannot hold; `row` is its place in the array."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


def typed(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Binary text (UTF-8, as the database writes it) as values of the type; NULL stays NULL. Misfit."""
    try:
        return _cast(column, kind)
    except pa.ArrowInvalid:
        raise Misfit(_first(column, lambda some: _cast(some, kind))) from None


def _first(column: pa.Array, cast: Callable[[pa.Array], object]) -> int:
    """The place of the first value that cannot be cast, found by halving."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            cast(column.slice(low, middle - low))
            low = middle
        except (pa.ArrowInvalid, Misfit):
            high = middle
    return low


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_binary(kind):
        return _bytes(column)
    if pa.types.is_boolean(kind):
        return _truths(column)
    text = column.view(pa.string())
    if pa.types.is_string(kind):
        return text
    for wrong in _strange(text, kind):
        if pc.any(wrong).as_py():
            raise Misfit(pc.index(wrong, pa.scalar(value=True)).as_py())
    if pa.types.is_time(kind):
        day = pc.binary_join_element_wise(pa.scalar("1970-01-01"), text, pa.scalar(" "))
        return pc.cast(pc.cast(day, pa.timestamp("us")), kind)
    return pc.cast(text, kind)


def _strange(text: pa.Array, kind: pa.DataType) -> Iterator[pa.Array]:
    """What the cast would take, though the database means something else by it or does not write it."""
    if pa.types.is_integer(kind):
        if (window(text) == ord("x")).any():  # which is found in a tenth of the time
            yield pc.match_substring(text, "x")  # a hexadecimal number
    elif pa.types.is_timestamp(kind):
        yield pc.less(pc.binary_length(text), len("2026-01-31 13:45"))  # a day without a time
    elif pa.types.is_time(kind):
        yield pc.less(pc.binary_length(text), len("13:45"))


def _truths(column: pa.Array) -> pa.Array:
    true = pc.equal(column, pa.scalar(b"true", pa.binary()))
    wrong = pc.invert(pc.or_(true, pc.equal(column, pa.scalar(b"false", pa.binary()))))
    if pc.any(wrong).as_py():
        raise Misfit(pc.index(wrong, pa.scalar(value=True)).as_py())
    return true


_DIGITS = np.full(256, 255, np.uint8)
_DIGITS[list(b"0123456789abcdef")] = np.arange(16, dtype=np.uint8)


def _bytes(column: pa.Array) -> pa.Array:
    r"""`\x` and two digits a byte, as bytes."""
    edges, text = borders(column).astype(np.int64), window(column)
    starts, lengths = edges[:-1] - edges[0], np.diff(edges)
    valid = pc.is_valid(column).to_numpy(zero_copy_only=False)
    wrong = valid & ((lengths < 2) | (lengths % 2 == 1))
    here = starts[valid & ~wrong]
    wrong[valid & ~wrong] = (text[here] != ord("\\")) | (text[here + 1] != ord("x"))
    if wrong.any():
        raise Misfit(int(np.argmax(wrong)))
    kept = np.ones(len(text), bool)
    kept[here] = kept[here + 1] = False
    if column.null_count:
        kept &= np.repeat(valid, lengths)
    digits = _DIGITS[text[kept]]
    ends = np.concatenate(([0], np.cumsum(np.where(valid, lengths // 2 - 1, 0))))
    if digits.max(initial=0) > 15:
        raise Misfit(int(np.searchsorted(ends, int(np.argmax(digits > 15)) // 2, "right")) - 1)
    held = pa.py_buffer((digits[::2] << 4) | digits[1::2])
    mask = pc.is_valid(column).buffers()[1] if column.null_count else None
    return pa.Array.from_buffers(pa.binary(), len(column), [mask, pa.py_buffer(ends.astype(np.int32)), held])
