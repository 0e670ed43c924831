"""What a source yields and a format takes: Range, Block, Stream, Piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from outhaul.plan import Node

Kind = Literal["raw", "str", "time"]
Path = tuple[str, ...]
Cut = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Where a part begins (inclusive) and ends (exclusive) in its selection; None is an open end.

    `by` "key": the key columns' own text; "sort": the text of each column of the order, None for NULL; "ctid": one
    block number of the table `leaf`; "all": both ends open.
    The ranges of a selection chain: per leaf the first `low` and the last `high` are None, each high is the next low.
    """

    by: Literal["all", "key", "sort", "ctid"] = "all"
    low: Cut | None = None
    high: Cut | None = None
    leaf: str | None = None

    def to_data(self) -> dict[str, Any]:
        return {"by": self.by, "low": self.low, "high": self.high, "leaf": self.leaf}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Range:
        low, high = data["low"], data["high"]
        return cls(data["by"], low and tuple(low), high and tuple(high), data["leaf"])


@dataclass(frozen=True, slots=True)
class Block:
    """A bounded batch of whole rows: binary columns by path, NULL is null.

    A to-one child has a presence column under its own path: null means that there is no such row.
    `anchor`: key text of the ancestor's row this one belongs to; `own`: key text of this row, where children need it;
    `csv`: the database's own CSV text of these rows (then `columns` may be empty).
    """

    rows: int
    columns: Mapping[Path, pa.Array]
    anchor: pa.Array | None = None
    own: pa.Array | None = None
    csv: bytes | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """The rows of one node over one range, and those of each to-many node below it, in matching order.

    `path` leads from the parent stream's node to this one (through to-one nodes); blocks are pulled once, forward.
    """

    node: Node
    path: Path
    blocks: Iterator[Block]
    kinds: Mapping[Path, Kind]
    children: tuple[Stream, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of output bytes. `rows` end in it; `starts`/`ends`: its edges are edges of rows.

    `offsets` (int, len rows + 1) gives the rows' borders in `data` where they are known; a separator stands between
    its rows and belongs to the row before it. `related`: by dotted include path, how many child rows each of the
    rows has (int, len rows).
    """

    data: bytes | memoryview
    rows: int
    starts: bool = True
    ends: bool = True
    offsets: np.ndarray[Any, Any] | None = None
    related: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
