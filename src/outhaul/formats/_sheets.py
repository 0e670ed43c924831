"""The files that one selection becomes in a format: its own, and in tables one for each relationship that is a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from outhaul.blocks import Piece
from outhaul.plan import Node
from outhaul.tabular import FORMAT, LINES


@dataclass(frozen=True, slots=True)
class Sheet:
    """One file. `path`: the dotted include path whose rows are its lines, "" for the selection's own.

    `node`: what to read for it, from the selection's root down; on the way to `path` only keys are columns. `above`:
    the paths on that way, whose rows stand in other files.
    """

    path: str
    node: Node
    above: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        stem = self.node.stem or self.node.resource
        return f"{stem}.{self.path}" if self.path else stem

    def pieces(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """The pieces of what was read without the rows that have no line here."""
        if not self.path:
            yield from pieces
            return
        for piece in pieces:
            if (kept := _lined(piece)) is not None:
                yield kept

    def counted(self, rows: int, related: Mapping[str, int]) -> tuple[int, dict[str, int]]:
        """The lines of this file, and the related rows that stand in it, by what was read for it."""
        if not self.path:
            return rows, dict(related)
        here = {path: number for path, number in related.items() if path not in {*self.above, LINES}}
        return here.get(self.path, 0), here


def sheets(root: Node, form: str) -> tuple[Sheet, ...]:
    """The files of a selection in a format, its own first."""
    if form != FORMAT:
        return (Sheet("", root),)
    return (Sheet("", _without_files(root)), *_apart(root, ()))


def _apart(node: Node, way: tuple[Node, ...]) -> Iterator[Sheet]:
    for child in node.children:
        if child.nested == "json":
            continue
        if child.nested == "files":
            names = [each.name for each in (*way, node, child)][1:]
            above = frozenset(".".join(names[:count]) for count in range(1, len(names)))
            yield Sheet(".".join(names), _led((*way, node), _without_files(child)), above)
        yield from _apart(child, (*way, node))


def _led(way: tuple[Node, ...], last: Node) -> Node:
    """The way from the root to a node of lines: keys alone, each beside what is below it."""
    for node in reversed(way):
        keys = [column.column for column in node.key]
        known = {column.column: column for column in reversed(node.columns)}
        columns = tuple(known[name] for name in keys) if node.many else ()
        nested = "files" if node.many else "columns"
        last = replace(node, columns=columns, children=(last,), nested=nested)
    return last


def _without_files(node: Node) -> Node:
    kept = tuple(_without_files(child) for child in node.children if child.nested != "files")
    return replace(node, children=kept)


def _lined(piece: Piece) -> Piece | None:
    if piece.offsets is None:
        return piece if piece.data or not (piece.starts and piece.ends) else None
    there = np.diff(piece.offsets) > 0
    if there.all():
        return piece
    offsets = np.concatenate((piece.offsets[:1], piece.offsets[1:][there]))
    related = {path: counts[there] for path, counts in piece.related.items()}
    return replace(piece, rows=len(offsets) - 1, offsets=offsets, related=related) if there.any() else None
