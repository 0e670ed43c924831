"""How far an export or a download is: a bar on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from outhaul.commands._options import people

EVERY = 2.0  # seconds between two lines


class Shown(Protocol):
    """Something that can be told again and again how much is done, and of how much; None: that is not known yet."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def show(self, done: int, total: int | None) -> None: ...


def progress(what: str) -> Shown:
    """Of rows."""
    if not people.is_terminal:
        return Lines(what, _rows)
    return Bar(
        what, TextColumn("{task.fields[said]}"), TimeElapsedColumn(), TimeRemainingColumn(), said=_rows
    )


def transfer(what: str) -> Shown:
    """Of bytes."""
    if not people.is_terminal:
        return Lines(what, _bytes)
    return Bar(what, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(), said=_bytes)


Said = Callable[[int, int | None], str]


class Bar:
    def __init__(self, what: str, *columns: ProgressColumn, said: Said) -> None:
        described = TextColumn("{task.description}", markup=False)
        self._progress = Progress(described, BarColumn(), *columns, console=people, transient=True)
        self._task: TaskID = self._progress.add_task(what, total=None, said="")
        self._said = said

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, done: int, total: int | None) -> None:
        self._progress.update(self._task, total=total, completed=done, said=self._said(done, total))


class Lines:
    def __init__(self, what: str, said: Said) -> None:
        self._what, self._say = what, said
        self._next = time.monotonic() + EVERY
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, done: int, total: int | None) -> None:
        if time.monotonic() >= self._next and (said := self._say(done, total)) != self._said:
            self._next, self._said = time.monotonic() + EVERY, said
            people.print(f"{self._what}: {said}")


def _rows(done: int, total: int | None) -> str:
    return f"{done:,} rows" if total is None else f"{done:,} of {total:,} rows"


def _bytes(done: int, total: int | None) -> str:
    return f"{done / 1e6:,.1f} of {(total or 0) / 1e6:,.1f} MB"
