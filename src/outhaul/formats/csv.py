"""CSV as PostgreSQL's COPY writes it: a header, NULL bare, the empty string quoted; related rows as a JSON cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from outhaul.blocks import Block, Kind, Path, Piece, Stream
from outhaul.errors import Unproven
from outhaul.formats._assemble import Glue, Json, Leaf, Many, Related, frame
from outhaul.formats._columns import (
    CSV_QUOTE,
    WINDOW,
    cell,
    chopped,
    enclosed,
    rewritten,
    scalar,
    size,
    window,
)
from outhaul.formats._pieces import pieces as _pieces
from outhaul.plan import Node

MEDIA_TYPE = "text/csv; charset=utf-8"
SUFFIX = "csv"
STYLE: Literal["csv", "json"] = "csv"
JOINT = b""


def opening(node: Node) -> bytes:
    keys = [column.key for column in node.columns] + [child.name for child in node.children]
    names = pa.array([key.encode() for key in keys], pa.binary())
    return b",".join(cell(names, alone=len(keys) == 1).to_pylist()) + b"\n"


def closing(_node: Node) -> bytes:
    return b""


def pieces(stream: Stream, *, borders: bool = False) -> Iterator[Piece]:
    """Where the database made the text of flat rows itself, that text, untouched."""
    shape = CsvRows(stream)
    if not stream.node.flat:
        yield from _pieces(stream, shape)
        return
    for block in stream.blocks:
        if block.csv is None:
            yield from _pieces(Stream(stream.node, stream.path, iter([block]), stream.kinds), shape)
        else:
            yield Piece(block.csv, block.rows, offsets=_borders_of(block) if borders else None)


def rows_in(chunks: Iterable[bytes]) -> int:
    """Rows of a whole file, found by reading it: line breaks outside of quotes, but for the header's."""
    lines, quotes = 0, 0
    for chunk in chunks:
        breaks, marks = _breaks(chunk, quotes % 2 == 1)
        lines += int(np.count_nonzero(breaks))
        quotes += marks
    return lines - 1


def _borders_of(block: Block) -> np.ndarray[Any, Any]:
    assert block.csv is not None
    offsets = np.concatenate(([0], np.flatnonzero(_breaks(block.csv)[0]) + 1))
    if len(offsets) - 1 != block.rows or offsets[-1] != len(block.csv):
        raise Unproven(
            f"The database's CSV text has {len(offsets) - 1} rows where {block.rows} were counted.",
            facts={"found": len(offsets) - 1, "expected": block.rows},
        )
    return offsets


def _breaks(text: bytes, quoted: bool = False) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], int]:
    """Which bytes end a row (a line break between quotes does not), and how many quotes there are."""
    data = np.frombuffer(text, np.uint8)
    breaks, marks = data == ord("\n"), data == ord('"')
    count = int(np.count_nonzero(marks))
    if count or quoted:
        breaks &= (np.cumsum(marks, dtype=np.uint8) + np.uint8(quoted)) % 2 == 0
    return breaks, count


class CsvRows:
    """Rows as CSV lines."""

    def __init__(self, stream: Stream) -> None:
        kinds: dict[Path, Kind] = {(column.key,): "str" for column in stream.node.columns}
        self.json = Json(in_csv=True)
        self._members = self.json.members(stream, kinds | dict(stream.kinds))
        self._alone = len(self._members) == 1
        self.frame = frame(self._members)

    def whole(self, block: Block, lists: Sequence[pa.Array]) -> pa.Array:
        glue = Glue(block.rows, null=b"")
        for index, member in enumerate(self._members):
            glue.text(b"," if index else b"")
            if isinstance(member, Leaf):
                glue.column(cell(block.columns[member.path], alone=self._alone))
            elif isinstance(member, Many):
                glue.column(_list_cell(lists[member.index]))
            else:
                glue.column(enclosed(b'"', self.json.one(member, block, lists)))
        glue.text(b"\n")
        return glue.joined()

    def spelled(self, row: Block, lists: Sequence[Related]) -> Iterator[bytes]:
        for index, member in enumerate(self._members):
            yield b"," if index else b""
            if isinstance(member, Leaf):
                yield from _spelled_cell(row.columns[member.path], alone=self._alone)
            elif isinstance(member, Many):
                yield from _spelled_list(lists[member.index].drain())
            elif not row.columns[member.path].null_count:
                yield b'"'
                yield from self.json.spelled(member.members, row, lists)
                yield b'"'
        yield b"\n"


def _list_cell(lists: pa.Array) -> pa.Array:
    """Joined child rows as a cell; only the empty list needs no quotes."""
    full = enclosed(b'"[', lists, b']"')
    return pc.if_else(pc.not_equal(lists, scalar(b"")), full, scalar(b"[]"))


def _spelled_list(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = next((chunk for chunk in chunks if chunk), None)
    if first is None:
        yield b"[]"
        return
    yield b'"['
    yield first
    yield from chunks
    yield b']"'


def _spelled_cell(column: pa.Array, *, alone: bool) -> Iterator[bytes]:
    if size(column) <= WINDOW:
        yield window(cell(column, alone=alone)).tobytes()
        return
    text = window(column)
    mark = b'"' if any((text == ord(special)).any() for special in ',"\n\r') else b""
    yield mark
    yield from (window(rewritten(chunk, CSV_QUOTE)).tobytes() for chunk in chopped(column))
    yield mark
