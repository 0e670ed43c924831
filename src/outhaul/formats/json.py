"""JSON: one array of objects, equal to what the database's own row_to_json would say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np

from outhaul.blocks import Piece, Stream
from outhaul.formats._laid import shaped
from outhaul.formats._pieces import pieces as _pieces
from outhaul.plan import Node

MEDIA_TYPE = "application/json"
SUFFIX = "json"
STYLE: Literal["csv", "json"] = "json"
CODECS = ()
JOINT = b","


def opening(_node: Node) -> bytes:
    return b"["


def closing(_node: Node) -> bytes:
    return b"]"


def pieces(stream: Stream, *, borders: bool = False) -> Iterator[Piece]:  # noqa: ARG001 - always known here
    return _pieces(stream, shaped(stream, joint=JOINT), JOINT)


def rows_in(chunks: Iterable[bytes]) -> int:
    """Rows of a whole file, found by reading it: objects that close right inside of the outermost array."""
    rows, depth, quotes, carry = 0, 0, 0, b""
    for chunk in chunks:
        text = _ESCAPED.sub(b"__", carry + chunk)
        carry = b"\\" if text.endswith(b"\\") else b""
        data = np.frombuffer(text.removesuffix(b"\\"), np.uint8)
        marks = data == ord('"')
        outside = (np.cumsum(marks, dtype=np.uint8) + np.uint8(quotes % 2)) % 2 == 0
        steps = np.isin(data, _OPEN).astype(np.int64) - np.isin(data, _CLOSE)
        depths = depth + np.cumsum(steps * outside)
        rows += int(np.count_nonzero((depths == 1) & (steps == -1) & outside))
        depth = int(depths[-1]) if len(depths) else depth
        quotes += int(np.count_nonzero(marks))
    return rows


_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_OPEN, _CLOSE = (np.frombuffer(pair, np.uint8) for pair in (b"[{", b"]}"))
