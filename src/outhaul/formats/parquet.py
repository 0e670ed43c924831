"""Parquet: typed columns, related rows as structs and lists of structs; each fragment is a whole file."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing as closing_
from typing import Literal

import numpy as np
import pyarrow as pa

from outhaul.blocks import Piece, Stream
from outhaul.errors import TooMuch
from outhaul.formats._structs import Gathered, Rows, rows, struct_of
from outhaul.plan import Node

MEDIA_TYPE = "application/vnd.apache.parquet"
SUFFIX = "parquet"
STYLE: Literal["typed"] = "typed"
JOINT = None
CODECS = ("zstd", "snappy", "gzip", "none")

GROUP_BYTES = 16 << 20  # of text in a row group: what is held until it is written
LISTS_BYTES = 4 << 20  # of text that are put into lists at a time
GROUP_ROWS = 1 << 20
LEVELS = {"zstd": 1, "gzip": 6}  # pyarrow's own for gzip is 9: three times the time for 1 %
CHUNK_BYTES = 4 << 20  # of a file, handed on at a time
FRAME = 4096  # bytes of one column in one row group, beside its values: page headers, statistics, footer


def opening(node: Node) -> bytes:
    """The whole file where there are no rows."""
    with closing_(_File(node, CODECS[0])) as file:
        return b"".join(file.end())


def closing(_node: Node) -> bytes:
    return b""


def files(
    node: Node,
    streams: Iterable[Stream],
    *,
    codec: str | None = None,
    most_bytes: int | None = None,
    most_rows: int | None = None,
) -> Iterator[Iterator[Piece]]:
    """The rows of all streams as whole files, none without rows; each is to be read to its end before the next.

    Where row groups and files end depends on the rows alone, not on how they were read.
    """
    found = (some for stream in streams for some in rows(stream, LISTS_BYTES))
    groups = Groups(struct_of(node), found, min(GROUP_BYTES, most_bytes or GROUP_BYTES))
    while groups.more():
        yield _file(_File(node, codec or CODECS[0]), groups, most_bytes, most_rows)


def rows_in(chunks: Iterable[bytes]) -> int:
    """Rows of a whole file, found by reading all of its pages."""
    import pyarrow.parquet as pq

    with tempfile.TemporaryFile() as file:
        for chunk in chunks:
            file.write(chunk)
        file.seek(0)
        try:
            # Threads that read ahead could outlive us, and end the process that waits for nobody.
            with pq.ParquetFile(file, pre_buffer=False) as found:
                return sum(len(batch) for batch in found.iter_batches(use_threads=False))
        except (pa.ArrowException, OSError):
            return -1


class Groups:
    """Rows gathered into row groups."""

    def __init__(self, kind: pa.DataType, found: Iterator[Rows], size: int) -> None:
        self._kind, self._found, self._bytes = kind, found, size
        self._held: deque[Rows] = deque()

    def more(self) -> bool:
        if not self._held:
            self._held.extend(some for some in [next(self._found, None)] if some is not None)
        return bool(self._held)

    def take(self, most: int) -> Rows:
        """The next rows: up to the one that fills the bytes of a group, at most `most`; a giant row stands alone."""
        taken, left = Gathered(self._kind), min(most, GROUP_ROWS)
        while left > 0 and (room := self._bytes - taken.bytes) > 0 and self.more():
            some = self._held.popleft()
            ends = np.cumsum(some.sizes)
            count = min(left, int(np.searchsorted(ends, room)) + 1, len(some.sizes))
            giant = some.sizes[:count] >= self._bytes
            if giant.any() and (taken.bytes or count > 1):
                count = int(np.argmax(giant))
            if count < len(some.sizes):
                self.give_back(some.slice(count, len(some.sizes) - count))
            if not count:
                break
            taken.add(some.slice(0, count))
            left -= count
        return taken.rows()

    def give_back(self, some: Rows) -> None:
        self._held.appendleft(some)


def _file(file: _File, groups: Groups, most_bytes: int | None, most_rows: int | None) -> Iterator[Piece]:
    left = GROUP_ROWS if most_rows is None else most_rows
    with closing_(file):
        while left and groups.more():
            group = groups.take(left)
            if most_bytes is not None:
                fitting = _fitting(group, file, most_bytes)
                if fitting < len(group.sizes):
                    groups.give_back(group.slice(fitting, len(group.sizes) - fitting))
                    group = group.slice(0, fitting)
                if not fitting:
                    break
            count, related = len(group.sizes), group.related
            written = file.add(group.values)
            del group
            yield Piece(next(written), count, related=related)
            yield from (Piece(data, 0, starts=False) for data in written)
            left -= count if most_rows is not None else 0
        yield from (Piece(data, 0, starts=False) for data in file.end())
        if most_bytes is not None and file.length > most_bytes:
            raise _too_large(file.length, most_bytes)


def _fitting(group: Rows, file: _File, most: int) -> int:
    """How many rows are sure to fit into the file, halving until they do; 0: none beside what is there."""
    count = len(group.sizes)
    while count:
        size = file.length + file.frame + _size(group.slice(0, count).values)
        if size <= most:
            return count
        if count == 1 and not file.groups:
            raise _too_large(size, most)
        count = 0 if file.groups and count == 1 else max(1, count // 2)
    return 0


def _size(values: pa.StructArray) -> int:
    """Bytes that the values take at most, whatever the codec makes of them."""
    return int(values.nbytes * 1.02)


def _too_large(size: int, most: int) -> TooMuch:
    return TooMuch(
        f"A file of {size:,} bytes would pass the wanted size.",
        hint="Ask for larger files, or for fewer fields.",
        facts={"value": size, "limit": most},
    )


class _File:
    """One file on its way, as bytes that are given out group by group."""

    def __init__(self, node: Node, codec: str) -> None:
        import pyarrow.parquet as pq

        self._schema = pa.schema(list(struct_of(node)))
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(
            self._sink,
            self._schema,
            compression=codec,
            compression_level=LEVELS.get(codec),
            store_schema=False,
        )
        self.groups = 0
        self._leaves = _leaves(struct_of(node))

    @property
    def frame(self) -> int:
        """Bytes that a further group and the file's end take beside the values."""
        return FRAME * self._leaves * (self.groups + 2)

    def add(self, values: pa.StructArray) -> Iterator[bytes]:
        """What there is to write now; to be read to its end."""
        # As a batch it would be held in memory until the next one comes.
        table = pa.Table.from_batches([pa.RecordBatch.from_struct_array(values)])
        self._writer.write_table(table, row_group_size=len(values))
        self.groups += 1
        return self._sink.taken()

    def end(self) -> Iterator[bytes]:
        """The rest, as above."""
        self._writer.close()
        return self._sink.taken()

    @property
    def length(self) -> int:
        return self._sink.tell()

    def close(self) -> None:
        self._writer.close()  # it would write when it is forgotten
        self._sink.close()


def _leaves(kind: pa.DataType) -> int:
    if pa.types.is_list(kind):
        return _leaves(kind.value_type)
    return sum(_leaves(field.type) for field in kind) if pa.types.is_struct(kind) else 1


class _Sink:
    """A file that holds what was written until it is taken, on disk if it is much: its row is in memory already."""

    closed = False

    def __init__(self) -> None:
        self._written = tempfile.SpooledTemporaryFile(max_size=GROUP_BYTES)  # noqa: SIM115  # closed by `close`
        self._length = 0

    def write(self, data: bytes) -> int:
        self._length += len(data)
        return self._written.write(data)

    def tell(self) -> int:
        return self._length

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        self.closed = True
        self._written.close()

    def taken(self) -> Iterator[bytes]:
        self._written.seek(0)
        while data := self._written.read(CHUNK_BYTES):
            yield data
        self._written.seek(0)
        self._written.truncate()
