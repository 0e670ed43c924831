"""A brake on a session: its rows come no faster than they are let, for people who want to watch an export run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from outhaul.blocks import Block, Range, Stream
from outhaul.plan import Node

BEATS = 10  # pauses a second, where rows are many


@dataclass(frozen=True, slots=True)
class Braked:
    """A session, see `sources/__init__.py`, of which `rows_per_second` of the selection itself can be read."""

    session: Any
    rows_per_second: int

    def read(self, node: Node, part: Range, style: Literal["csv", "json", "typed"]) -> Iterator[Stream]:
        """As the session's own, the blocks of its roots cut small."""
        for stream in self.session.read(node, part, style):
            yield replace(stream, blocks=self._braked(stream.blocks))

    def _braked(self, blocks: Iterator[Block]) -> Iterator[Block]:
        most = max(1, self.rows_per_second // BEATS)
        for block in blocks:
            for some in [block] if block.csv is not None else _cut(block, most):
                time.sleep(some.rows / self.rows_per_second)
                yield some


def _cut(block: Block, most: int) -> Iterator[Block]:
    for start in range(0, block.rows, most):
        yield replace(
            block,
            rows=min(most, block.rows - start),
            columns={path: column.slice(start, most) for path, column in block.columns.items()},
            anchor=None if block.anchor is None else block.anchor.slice(start, most),
            own=None if block.own is None else block.own.slice(start, most),
        )
