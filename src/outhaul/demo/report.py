"""What the demo says: live progress on a terminal, plain lines in a pipe, tables at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from outhaul.demo.asking import Got, Want
from outhaul.demo.looks import Count, Look

WIDTH = 160  # characters of a line in a pipe, where nobody says how many there is room for
Follow = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Had:
    """An export that was asked for and had; `peak` in bytes, over all processes of the service."""

    want: Want
    got: Got
    peak: int


@dataclass(frozen=True, slots=True)
class Proof:
    """One resource in one file, counted in the file and in the database."""

    had: Had
    look: Look
    file: Count
    database: Count

    @property
    def holds(self) -> bool:
        return self.file == self.database


class Report:
    """Everything goes to standard output."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = max(WIDTH, self.console.width)

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        """One line for one step, with its seconds and what came of it."""
        began = time.perf_counter()
        outcome: list[str] = []
        with self.console.status(title):
            yield outcome.append
        self.console.print(
            f"{title}: {' '.join(outcome)} ({time.perf_counter() - began:.1f} s)", soft_wrap=True
        )

    @contextmanager
    def export(self, want: Want) -> Iterator[Follow]:
        """Follows one export: a bar on a terminal, else a line for every tenth."""
        title = f"Exporting {want.resource} as {want.format}{' (gzip)' if want.compress else ''}"
        if not self.console.is_terminal:
            yield _Lines(self.console, title).follow
            return
        parts = (BarColumn(), TaskProgressColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(TextColumn("{task.description}"), *parts, console=self.console) as progress:
            bar = progress.add_task(title, total=None)
            yield lambda done, total: progress.update(bar, completed=done, total=total)

    def results(self, had: list[Had], proofs: list[Proof]) -> None:
        exports = self._table(
            "export", "rows", "bytes", "seconds", "rows/s", "peak memory", right=slice(1, 6)
        )
        for each in had:
            rows = next(proof.file.rows for proof in proofs if proof.had is each and not proof.look.path)
            seconds = each.got.seconds
            memory = f"{each.peak / 1e6:.0f} MB" if each.peak else "not known here"
            cells = (
                f"{rows:,}",
                f"{each.got.file.stat().st_size:,}",
                f"{seconds:.2f}",
                f"{rows / seconds:,.0f}",
                memory,
            )
            exports.add_row(each.got.file.name, *cells)
        self.console.print(exports)
        counted = self._table(
            "in", "resource", "rows", "distinct keys", "sums", "file = database", right=slice(2, 4)
        )
        for proof in proofs:
            sides = (
                {"": proof.file}
                if proof.holds
                else {" in the file": proof.file, " in the database": proof.database}
            )
            for side, count in sides.items():
                place = (proof.had.got.file.name, ".".join(proof.look.path) or proof.had.want.resource)
                facts = (f"{count.rows:,}", f"{count.distinct:,}", _sums(proof.look, count))
                counted.add_row(
                    place[0], f"{place[1]}{side}", *facts, "yes" if proof.holds else "[bold red]NO[/]"
                )
        self.console.print(counted)

    def _table(self, *titles: str, right: slice) -> Table:
        table = Table(*titles, box=SIMPLE)
        for column in table.columns[right]:
            column.justify = "right"
        return table

    def next_steps(self, source: str | None, folder: Path, had: list[Had]) -> None:
        near = Path(folder.name)
        first = near / had[0].got.file.relative_to(folder)
        lines = [
            f".venv/bin/outhaul verify {near / had[0].got.manifest.relative_to(folder)}",
            f"{'zcat' if had[0].want.compress else 'cat'} {first} | head -c 2000",
        ]
        if source is None:
            lines.insert(0, f".venv/bin/outhaul serve sqlite:///{near}/shop.db")
            lines.append("make demo SOURCE=postgresql://user@host/database")
        self.console.print("What to try next:", *(f"  {line}" for line in lines), sep="\n", soft_wrap=True)


class _Lines:
    """Progress as plain lines, one whenever another tenth is done."""

    def __init__(self, console: Console, title: str) -> None:
        self.console = console
        self.title = title
        self.tenth = -1

    def follow(self, done: int, total: int | None) -> None:
        tenth = 10 * done // total if total else 0
        if tenth > self.tenth:
            self.tenth = tenth
            self.console.print(f"{self.title}: {done:,} of {total or 0:,} rows", soft_wrap=True)


def _sums(look: Look, count: Count) -> str:
    """Sums of amounts; those of foreign keys are compared as well, but tell a reader nothing."""
    pointing = {here for way in look.resource.relationships for here, _ in way.on}
    told = [field.name for field in (*look.exact, *look.floats) if field.column not in pointing]
    return ", ".join(f"{name} {_grouped(count.sums[name])}" for name in told)


def _grouped(number: str) -> str:
    whole, point, rest = number.partition(".")
    return f"{int(whole):,}{point}{rest}" if whole.removeprefix("-").isdigit() else number
