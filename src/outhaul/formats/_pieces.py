"""Events of rows as pieces of a file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from outhaul.blocks import Piece, Stream
from outhaul.formats._assemble import Shape
from outhaul.formats._columns import borders, window
from outhaul.formats._held import NOTHING
from outhaul.formats._nest import Giant, Whole, events

AT_ONCE = 16 << 20  # bytes of values that are glued at a time; escapes make at most six times as much of it
AT_LEAST = 1 << 20  # bytes of a giant row's pieces, except for its last


def pieces(stream: Stream, shape: Shape, joint: bytes = b"") -> Iterator[Piece]:
    """The rows of a stream; a row that is too large to be held at once is cut into several pieces."""
    for event in events(stream, shape, AT_ONCE):
        if isinstance(event, Giant):
            yield from _of_giant(event)
        else:
            yield _of_whole(event, len(joint))


def _of_whole(rows: Whole, joint: int) -> Piece:
    text, edges = window(rows.text).data, borders(rows.text)
    offsets = edges - edges[0]
    offsets[-1] -= joint
    return Piece(text[: len(text) - joint], len(rows.text), offsets=offsets, related=rows.related)


def _of_giant(row: Giant) -> Iterator[Piece]:
    starts, held, size = True, list[bytes](), 0
    for chunk in row.chunks(NOTHING):
        held.append(chunk)
        size += len(chunk)
        if size >= AT_LEAST:
            yield Piece(b"".join(held), 0, starts=starts, ends=False)
            starts, held, size = False, [], 0
    related = {path: np.array([count]) for path, count in row.related.items()}
    yield Piece(b"".join(held), 1, starts=starts, related=related)
