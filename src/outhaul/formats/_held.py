"""Text that is written many times: in memory while it is short, else in a file without a name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Self

from outhaul.formats import _columns


class Held:
    """The chunks, one after the other, as often as they are asked for. `size` in bytes."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._file = SpooledTemporaryFile(max_size=_columns.WINDOW)  # noqa: SIM115  # __exit__ closes it
        for chunk in chunks:
            self._file.write(chunk)
        self.size = self._file.tell()

    def chunks(self) -> Iterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(_columns.WINDOW):
            yield piece

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


NOTHING = Held(())
