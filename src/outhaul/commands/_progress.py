"""How far an export is: a bar on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import time
from typing import Protocol, Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from outhaul.commands._options import people
from outhaul.export import Export

EVERY = 2.0  # seconds between two lines


class Shown(Protocol):
    """Something that can be told of an export again and again."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def show(self, export: Export) -> None: ...


def progress(what: str) -> Shown:
    return Bar(what) if people.is_terminal else Lines(what)


class Bar:
    def __init__(self, what: str) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[rows]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=people,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task(what, total=None, rows="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, export: Export) -> None:
        self._progress.update(
            self._task, total=export.matched, completed=export.processed, rows=_rows(export)
        )


class Lines:
    def __init__(self, what: str) -> None:
        self._what = what
        self._next = time.monotonic() + EVERY
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, export: Export) -> None:
        said = _rows(export)
        if time.monotonic() >= self._next and said != self._said:
            self._next, self._said = time.monotonic() + EVERY, said
            people.print(f"{self._what}: {said}")


def _rows(export: Export) -> str:
    if export.matched is None:
        return f"{export.processed:,} rows"
    return f"{export.processed:,} of {export.matched:,} rows"
