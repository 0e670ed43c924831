"""Streams of a source read the slow, obvious way: every row a dictionary, numbers as their own digits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from outhaul.blocks import Block, Kind, Stream

BARE_WORDS = {"NaN", "Infinity", "-Infinity"}


def digits(text: str | bytes) -> Any:
    """JSON with every number kept as the text of its digits, told apart from strings."""
    return json.loads(text, parse_float=lambda t: ("number", t), parse_int=lambda t: ("number", t))


def rows(streams: Iterable[Stream]) -> list[dict[str, Any]]:
    """All rows of a selection, with their related rows."""
    return [row for stream in streams for row in _rows(stream)]


def _rows(stream: Stream) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    owns: list[bytes | None] = []
    for block in stream.blocks:
        assert block.rows > 0
        owns += block.own.to_pylist() if block.own is not None else [None] * block.rows
        made += [_row(stream, block, number) for number in range(block.rows)]
    for child in stream.children:
        _nest(child, made, owns)
    return made


def _nest(child: Stream, parents: list[dict[str, Any]], owns: list[bytes | None]) -> None:
    """Children come in the order of their parents: each takes those that are next."""
    blocks: list[Block] = []
    kept = Stream(child.node, child.path, _kept(child.blocks, blocks), child.kinds, child.children)
    objects = _rows(kept)
    anchors = [anchor for block in blocks if block.anchor is not None for anchor in block.anchor.to_pylist()]
    assert len(anchors) == len(objects)
    place = 0
    for parent, own in zip(parents, owns, strict=True):
        first = place
        while place < len(objects) and anchors[place] == own:
            place += 1
        holder = parent
        for step in child.path[:-1]:
            holder = holder[step]
            if holder is None:
                assert place == first, "no rows below a row that is not there"
                break
        else:
            holder[child.path[-1]] = objects[first:place]
    assert place == len(objects), "every child found its parent"


def _kept(blocks: Iterable[Block], into: list[Block]) -> Iterator[Block]:
    for block in blocks:
        into.append(block)
        yield block


def _row(stream: Stream, block: Block, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for path, column in sorted(block.columns.items(), key=lambda item: len(item[0])):
        holder: Any = row
        for step in path[:-1]:
            holder = None if holder is None else holder[step]
        value = column[number].as_py()
        if holder is None:
            assert value is None
        elif path in stream.kinds:
            holder[path[-1]] = None if value is None else spelled(value.decode(), stream.kinds[path])
        else:
            holder[path[-1]] = None if value is None else {}
    return row


def spelled(text: str, kind: Kind) -> Any:
    """What a value comes to in JSON."""
    if kind == "raw":
        return text if text in BARE_WORDS else digits(text)
    if kind == "time":
        return re.sub(r"\+00(?=$| )", "+00:00", text).replace(" ", "T", 1)
    return text


def texts(streams: Iterable[Stream], *path: str) -> list[str | None]:
    """One column of the root, in the source's own text."""
    found: list[str | None] = []
    for stream in streams:
        for block in stream.blocks:
            values = block.columns[path].to_pylist()
            found += [None if value is None else value.decode() for value in values]
    return found


def drain(streams: Iterable[Stream]) -> None:
    """Reads everything and keeps nothing."""
    for stream in streams:
        for each in (stream, *stream.children):
            for _ in each.blocks:
                pass
