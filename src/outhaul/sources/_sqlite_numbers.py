"""Numbers of SQLite read as numbers: their texts are made of whole columns, several times as fast as in SQL.

A declaration is no promise there, so that any value may turn out to be something else: then Loose is raised, and the
rows from there on are to be read in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from outhaul.errors import Unproven
from outhaul.sources._select import Query
from outhaul.sources._sqlite_library import Library, Loose
from outhaul.sources._sqlite_text import Number, statement

EXACT = 10**15  # fewer digits than that a double always keeps
DIGITS = 18  # of an int64


def as_numbers(query: Query) -> Query:
    """The query with numbers in place of their words."""
    return replace(query, outputs=tuple(one.raw if isinstance(one, Number) else one for one in query.outputs))


def check_same_way(library: Library, one: sa.Select[Any], other: sa.Select[Any]) -> None:
    """Unproven, if SQLite would not walk through the tables alike for both: their rows could come in unlike orders."""
    ways = []
    for select in (one, other):
        words, params = statement(select)
        ways.append([step for *_, step in library.fetch(f"EXPLAIN QUERY PLAN {words}", params)])
    if ways[0] != ways[1]:
        raise Unproven(
            "A column holds other values than it was declared to, and the rows could not be read on in the same order.",
            hint="Declare the column as text in the catalog file.",
        )


def heads(query: Query) -> list[str]:
    """A value for each output that is of its class."""
    return [_HEADS[one.scale is not None] if isinstance(one, Number) else "''" for one in query.outputs]


_HEADS = {False: "0", True: "0.5"}


def said(query: Query, columns: Sequence[pa.Array]) -> list[pa.Array]:
    """What a query of numbers has read, as the texts that its words would have been; Loose."""
    return [
        _said(one, column) if isinstance(one, Number) else column
        for one, column in zip(query.outputs, columns, strict=True)
    ]


def _said(number: Number, column: pa.Array) -> pa.Array:
    if column.type != (pa.int64() if number.scale is None else pa.float64()):
        raise _loose()
    if number.scale is not None:
        column = _decimals(column, number.scale)
    return pc.cast(column, pa.string())


def _decimals(column: pa.Array, scale: int) -> pa.Array:
    """Doubles as the decimals that they were written as: those of so many decimals that read back to the same."""
    values = pc.fill_null(column, 0.0).to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore", over="ignore"):
        whole = np.rint(values * 10**scale)
        # A quotient of two exact doubles is the double nearest to that decimal, as its text would be read.
        exact = (np.abs(whole) < EXACT) & (whole / 10**scale == values)
    if not exact.all():
        raise _loose()
    low = whole.astype(np.int64)
    pairs = pa.py_buffer(np.column_stack((low, low >> 63)))
    valid = pc.is_valid(column).buffers()[1] if column.null_count else None
    return pa.Array.from_buffers(pa.decimal128(DIGITS, scale), len(low), [valid, pairs])


def _loose() -> Loose:
    return Loose("A value is not what its column was declared to hold.")
