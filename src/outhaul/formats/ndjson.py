"""NDJSON: one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from outhaul.blocks import Piece, Stream
from outhaul.formats._laid import shaped
from outhaul.formats._pieces import pieces as _pieces
from outhaul.plan import Node

MEDIA_TYPE = "application/x-ndjson"
SUFFIX = "ndjson"
STYLE: Literal["csv", "json"] = "json"
CODECS = ()
JOINT = b""


def opening(_node: Node) -> bytes:
    return b""


def closing(_node: Node) -> bytes:
    return b""


def pieces(stream: Stream, *, borders: bool = False) -> Iterator[Piece]:  # noqa: ARG001 - always known here
    return _pieces(stream, shaped(stream, end=b"\n"))


def rows_in(chunks: Iterable[bytes]) -> int:
    """Rows of a whole file, found by reading it: lines."""
    return sum(chunk.count(b"\n") for chunk in chunks)
