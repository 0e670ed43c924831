"""Binary Arrow columns rewritten by their buffers: escaped for JSON, quoted for CSV; no value is a Python object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

WINDOW = 1 << 20  # bytes rewritten at a time: bounds what positions cost when every byte needs an escape
BINARY = pa.binary()

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Places = np.ndarray[Any, np.dtype[np.int64]]


def scalar(text: bytes | None) -> pa.Scalar:
    return pa.scalar(text, BINARY)


def borders(column: pa.Array) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Where each value begins in the column's buffer, and where the last one ends: len + 1 places."""
    if not len(column):
        return np.zeros(1, np.int32)
    return np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, 4 * column.offset)


def window(column: pa.Array) -> Bytes:
    """The bytes of all values, one after the other; a view."""
    edges = borders(column)
    held = column.buffers()[2]
    return np.frombuffer(held if held is not None else b"", np.uint8)[edges[0] : edges[-1]]


def size(column: pa.Array) -> int:
    """Bytes of all values."""
    edges = borders(column)
    return int(edges[-1]) - int(edges[0])


def chopped(column: pa.Array) -> Iterator[pa.Array]:
    """A column of one value as columns of one value of at most WINDOW bytes each; views."""
    if size(column) <= WINDOW:
        yield column
        return
    first, last = (int(edge) for edge in borders(column))
    for start in range(first, last, WINDOW):
        length = min(WINDOW, last - start)
        edges = pa.py_buffer(np.array([0, length], np.int32))
        yield pa.Array.from_buffers(BINARY, 1, [None, edges, column.buffers()[2].slice(start, length)])


@dataclass(frozen=True, slots=True)
class Rule:
    """Bytes to be changed: each found byte gets `prefix[byte]` (of `width[byte]`) before it and is `becomes[byte]`."""

    marks: tuple[int, ...]
    below: int  # every byte less than this is found too
    prefix: Bytes  # shape (256, 5)
    width: Bytes
    becomes: Bytes

    @classmethod
    def of(cls, changes: dict[int, bytes], below: int = 0) -> Rule:
        prefix, width = np.zeros((256, 5), np.uint8), np.zeros(256, np.uint8)
        becomes = np.arange(256, dtype=np.uint8)
        for byte, text in changes.items():
            width[byte], becomes[byte] = len(text) - 1, text[-1]
            prefix[byte, : len(text) - 1] = list(text[:-1])
        return cls(tuple(byte for byte in changes if byte >= below), below, prefix, width, becomes)

    def touches(self, text: Bytes) -> bool:
        """Whether there is anything to change; the usual answer is no, and is found at memory speed."""
        if not text.size:
            return False
        return bool(text.min() < self.below) or any(bool((text == mark).any()) for mark in self.marks)

    def found(self, text: Bytes) -> Places:
        mask = text < self.below
        for mark in self.marks:
            mask |= text == mark
        return np.flatnonzero(mask)


_SHORT = {8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r"}
_IN_STRINGS = {byte: _SHORT.get(byte, b"\\u%04x" % byte) for byte in range(32)} | {0x5C: b"\\\\"}
JSON_STRING = Rule.of(_IN_STRINGS | {0x22: b'\\"'}, below=32)
JSON_IN_CSV = Rule.of(_IN_STRINGS | {0x22: b'\\""'}, below=32)
CSV_QUOTE = Rule.of({0x22: b'""'})


def rewritten(column: pa.Array, rule: Rule) -> pa.Array:
    """The column with every found byte changed. Text grows at most sixfold: 300 MB in, and no border overflows."""
    text = window(column)
    if not rule.touches(text):
        return column
    edges = borders(column).astype(np.int64) - int(borders(column)[0])
    grown, made, added = edges.copy(), [], 0
    for start in range(0, len(text), WINDOW):
        piece = text[start : start + WINDOW]
        at = rule.found(piece)
        widths = rule.width[piece[at]]
        more = np.concatenate(([0], np.cumsum(widths, dtype=np.int64)))
        first, last = np.searchsorted(edges, (start, start + len(piece)), "right")
        grown[first:last] += added + more[np.searchsorted(at, edges[first:last] - start)]
        added += int(more[-1])
        made.append(_changed(piece, at, widths, rule))
    return _column(column, grown, np.concatenate(made))


def _changed(piece: Bytes, at: Places, widths: Bytes, rule: Rule) -> Bytes:
    body, marks = piece.copy(), piece[at]
    body[at] = rule.becomes[marks]
    if widths.max(initial=0) <= 1:
        return _inserted(body, at + np.arange(len(at)), rule.prefix[marks, 0])
    fill = rule.prefix[marks][np.arange(5) < widths[:, None]]
    return _inserted(body, np.repeat(at, widths) + np.arange(len(fill)), fill)


def _inserted(body: Bytes, places: Places, fill: Bytes) -> Bytes:
    """`body` with `fill` in it, each byte of which is at its place in the result."""
    kept = np.ones(len(body) + len(fill), bool)
    kept[places] = False
    out = np.empty(len(kept), np.uint8)
    out[kept] = body
    out[places] = fill
    return out


def _column(like: pa.Array, edges: Places, text: Bytes) -> pa.Array:
    """A column with the NULLs of `like` and new values."""
    valid = pc.is_valid(like).buffers()[1] if like.null_count else None
    narrow = edges.astype(np.int32, copy=False)
    return pa.Array.from_buffers(BINARY, len(like), [valid, pa.py_buffer(narrow), pa.py_buffer(text)])


_NOT_JSON = pa.array([b"NaN", b"Infinity", b"-Infinity"], BINARY)


def raw(column: pa.Array) -> pa.Array:
    """Values that go into JSON as they are: no line breaks (only white space in JSON), NaN and infinities quoted."""
    text = window(column)
    if text.size and text.min() < 32:
        breaks = (text == 10) | (text == 13)
        if breaks.any():
            edges = borders(column)
            column = _column(column, edges - edges[0], np.where(breaks, np.uint8(32), text))
    if (text == ord("N")).any() or (text == ord("I")).any():
        odd = pc.is_in(column, value_set=_NOT_JSON)
        if pc.any(odd).as_py():
            column = pc.if_else(odd, enclosed(b'"', column), column)
    return column


def moment(column: pa.Array) -> pa.Array:
    """Timestamps as row_to_json writes them: `T` between date and time, minutes in the zone; sessions are in UTC."""
    text = window(column)
    if not text.size:
        return column
    gaps = np.flatnonzero(text[:-1] == ord(" "))
    gaps = gaps[text[gaps + 1] <= ord("9")]  # the gap before BC stays
    body = text.copy()
    body[gaps] = ord("T")
    edges = borders(column).astype(np.int64) - int(borders(column)[0])
    ends = np.flatnonzero(text == ord("+")) + 3
    ends = ends[ends <= len(text)]
    after = text[np.minimum(ends, len(text) - 1)]
    whole_hours = (edges[np.searchsorted(edges, ends)] == ends) | (after == ord(" "))
    ends = ends[whole_hours]
    fill = np.tile(np.frombuffer(b":00", np.uint8), len(ends))
    edges += 3 * np.searchsorted(ends, edges, "right")
    return _column(column, edges, _inserted(body, np.repeat(ends, 3) + np.arange(len(fill)), fill))


def enclosed(mark: bytes, column: pa.Array, end: bytes | None = None) -> pa.Array:
    """Values between two marks; NULL stays NULL."""
    return pc.binary_join_element_wise(
        scalar(mark), column, scalar(mark if end is None else end), scalar(b"")
    )


def cell(column: pa.Array, *, alone: bool, marks: bytes = b',"\n\r') -> pa.Array:
    """Values as COPY writes them in CSV: quoted only where needed, '' as "", NULL stays NULL.

    `alone`: the only column of its table, where the value `\\.` is quoted too (it would end a COPY FROM STDIN).
    `marks`: bytes that need quotes.
    """
    text, edges = window(column), borders(column)
    filled = edges[1:] > edges[:-1]
    needed = pc.is_valid(column).to_numpy(zero_copy_only=False) & ~filled
    if alone:
        needed |= pc.fill_null(pc.equal(column, scalar(b"\\.")), fill_value=False).to_numpy(
            zero_copy_only=False
        )
    found = text == marks[0]
    for mark in marks[1:]:
        found |= text == mark
    if found.any():
        # Empty values add no bytes, so that each of the others runs to the start of the next of the others.
        needed[filled] |= np.logical_or.reduceat(found, edges[:-1][filled] - edges[0])
    if not needed.any():
        return column
    return pc.if_else(pa.array(needed), enclosed(b'"', rewritten(column, CSV_QUOTE)), column)
