"""Blocks of bytes put aside until their turn: in memory as long as they are few, then in an unnamed file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Self

MEMORY_BYTES = 16 << 20


class Spool:
    """Written once, then read once from the start, inside a `with`."""

    def __init__(self, memory: int = MEMORY_BYTES) -> None:
        self._file = tempfile.SpooledTemporaryFile(memory)  # noqa: SIM115  # closed by our own `with`
        self._lengths: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._lengths.append(len(data))

    def blocks(self) -> Iterator[bytes]:
        """The blocks as they were written."""
        self._file.seek(0)
        for length in self._lengths:
            yield self._file.read(length)
