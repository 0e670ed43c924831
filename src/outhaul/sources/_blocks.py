"""Blocks made of a source's text: rows counted, columns parsed, keys joined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from outhaul.blocks import Block
from outhaul.sources._select import Query

BINARY = pa.binary()
QUOTE, NEWLINE = ord('"'), ord("\n")


def rows_in(text: bytes) -> int:
    """Rows of a block of CSV: its line breaks outside of quotes."""
    if b'"' not in text:
        return text.count(b"\n")
    letters = np.frombuffer(text, np.uint8)
    quotes = np.flatnonzero(letters == QUOTE)
    breaks = np.flatnonzero(letters == NEWLINE)
    return int(np.count_nonzero(np.searchsorted(quotes, breaks) % 2 == 0))


def parsed(text: bytes, width: int) -> list[pa.Array]:
    """A block of CSV as binary columns; a bare empty value is NULL, a quoted one is empty."""
    names = [f"c{number}" for number in range(width)]
    table = csv.read_csv(
        pa.BufferReader(text),
        read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=len(text) + 1),
        parse_options=csv.ParseOptions(ignore_empty_lines=False, newlines_in_values=b'"' in text),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, BINARY),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        ),
    )
    return [whole(column) for column in table.columns]


def whole(column: pa.ChunkedArray) -> pa.Array:
    """One array, copied only where there are several."""
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    )


def block(query: Query, columns: Sequence[pa.Array]) -> Block:
    """The outputs of a query as a block."""
    return Block(
        rows=len(columns[0]),
        columns={path: columns[number] for path, number in query.columns.items()},
        anchor=joined_key([columns[number] for number in query.anchor]),
        own=joined_key([columns[number] for number in query.own]),
    )


def joined_key(parts: list[pa.Array]) -> pa.Array | None:
    """One text a row; of several columns each with its length before it, so that no two keys read the same."""
    if len(parts) < 2:
        return parts[0] if parts else None
    pieces: list[pa.Array | pa.Scalar] = []
    for part in parts:
        pieces += [pc.binary_length(part).cast(pa.string()).cast(BINARY), pa.scalar(b":", BINARY), part]
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", BINARY))


def unreadable(column: pa.Array) -> int | None:
    """The first row whose value is not UTF-8."""
    try:
        column.view(pa.string()).validate(full=True)
    except pa.ArrowInvalid:
        return next(number for number, value in enumerate(column) if not _is_utf8(value.as_py()))
    return None


def _is_utf8(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True
