"""An Arrow array that grows in place: what many pieces come to is never held twice."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from outhaul.formats._columns import borders, window


class Grown:
    """Values of one type, any that a file's columns have; outside of Arrow's memory pool, where growing is cheap."""

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._valid = bytearray()  # a byte each
        self._sizes = bytearray()  # int32 each, of texts and lists
        self._data = bytearray()
        self._below = [Grown(field.type) for field in _fields(kind)]

    def __len__(self) -> int:
        return len(self._valid)

    def add(self, some: pa.Array) -> None:
        self._valid += pc.is_valid(some).cast(pa.uint8()).to_numpy().data
        kind = self._kind
        if pa.types.is_struct(kind):
            for number, below in enumerate(self._below):
                below.add(some.field(number))
        elif pa.types.is_list(kind):
            edges = borders(some)
            self._sizes += np.diff(edges).data
            self._below[0].add(some.values.slice(int(edges[0]), int(edges[-1] - edges[0])))
        elif pa.types.is_string(kind) or pa.types.is_binary(kind):
            self._sizes += np.diff(borders(some)).data
            self._data += window(some).data
        elif pa.types.is_boolean(kind):
            self._data += pc.fill_null(some, fill_value=False).cast(pa.uint8()).to_numpy().data
        else:
            width = kind.bit_width // 8
            self._data += memoryview(some.buffers()[1])[
                some.offset * width : (some.offset + len(some)) * width
            ]

    def array(self) -> pa.Array:
        """All of them; nothing can be added any more."""
        count, kind = len(self), self._kind
        valid = pa.py_buffer(_bits(self._valid)) if 0 in self._valid else None
        below = [one.array() for one in self._below]
        if pa.types.is_struct(kind):
            return pa.Array.from_buffers(kind, count, [valid], children=below)
        if pa.types.is_boolean(kind):
            return pa.Array.from_buffers(kind, count, [valid, pa.py_buffer(_bits(self._data))])
        if not (below or pa.types.is_string(kind) or pa.types.is_binary(kind)):
            return pa.Array.from_buffers(kind, count, [valid, pa.py_buffer(self._data)])
        edges = np.zeros(count + 1, np.int32)
        np.cumsum(np.frombuffer(self._sizes, np.int32), out=edges[1:])
        held = [valid, pa.py_buffer(edges)]
        if below:
            return pa.Array.from_buffers(kind, count, held, children=below)
        return pa.Array.from_buffers(kind, count, [*held, pa.py_buffer(self._data)])


def _fields(kind: pa.DataType) -> list[pa.Field]:
    if pa.types.is_list(kind):
        return [kind.value_field]
    return list(kind) if pa.types.is_struct(kind) else []


def _bits(flags: bytearray) -> bytes:
    return np.packbits(np.frombuffer(flags, np.uint8), bitorder="little").tobytes()
