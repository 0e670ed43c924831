"""CSV as PostgreSQL's COPY writes it: a header, NULL bare, the empty string quoted; or as a spreadsheet reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np

from outhaul.blocks import Block, Piece, Stream
from outhaul.errors import Unproven
from outhaul.formats._cells import BOM, Cells
from outhaul.formats._lines import Lines, titles
from outhaul.formats._pieces import pieces as _pieces
from outhaul.plan import Node

MEDIA_TYPE = "text/csv; charset=utf-8"
SUFFIX = "csv"
STYLE: Literal["csv", "json"] = "csv"
CODECS = ()
JOINT = b""


def opening(node: Node) -> bytes:
    named = titles(node)
    cells = Cells(node.tabular, alone=len(named) == 1)
    texts = [cells.title(column, name) for column, name in named]
    start = BOM if node.tabular.profile == "spreadsheet" else b""
    return start + node.tabular.delimiter.encode().join(texts) + b"\n"


def closing(_node: Node) -> bytes:
    return b""


def pieces(stream: Stream, *, borders: bool = False) -> Iterator[Piece]:
    """Where the database made the text of flat rows itself, that text, untouched."""
    tabular = stream.node.tabular
    shape = Lines(stream, tabular, Cells(tabular, alone=len(titles(stream.node)) == 1))
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
