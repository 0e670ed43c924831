"""What the demo says: live progress on a terminal, plain lines in a pipe, tables at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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

SHOWN_SUMS = 4
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

    want: Want
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
        table = Table("export", *("rows", "bytes", "seconds", "rows/s", "peak memory"), title="Exports")
        for column in table.columns[1:]:
            column.justify = "right"
        rows = {id(proof.want): proof.file.rows for proof in proofs if not proof.look.path}
        for each in had:
            size, seconds = each.got.file.stat().st_size, each.got.seconds
            memory = f"{each.peak / 1e6:.0f} MB" if each.peak else "not known here"
            count = rows[id(each.want)]
            speed = f"{count / seconds:,.0f}"
            table.add_row(each.got.file.name, f"{count:,}", f"{size:,}", f"{seconds:.2f}", speed, memory)
        self.console.print(table)
        self._proofs(proofs)

    def _proofs(self, proofs: list[Proof]) -> None:
        table = Table(
            "in the export",
            "rows",
            "distinct keys",
            "sums",
            "file = database",
            title="Counted by another reader",
        )
        for proof in proofs:
            if proof.holds:
                facts = (f"{proof.file.rows:,}", f"{proof.file.distinct:,}", _sums(proof.file))
                table.add_row(_title(proof), *facts, "yes")
            else:
                for side, count in (("file", proof.file), ("database", proof.database)):
                    facts = (f"{count.rows:,}", f"{count.distinct:,}", _sums(count, whole=True))
                    table.add_row(f"{_title(proof)}: {side}", *facts, "[bold red]NO[/]")
        self.console.print(table)

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


def _title(proof: Proof) -> str:
    return f"{proof.want.resource}.{proof.want.format}: {'.'.join(proof.look.path) or proof.want.resource}"


def _sums(count: Count, *, whole: bool = False) -> str:
    shown = list(count.sums.items())[: None if whole else SHOWN_SUMS]
    more = f", {len(count.sums) - len(shown)} more" if len(count.sums) > len(shown) else ""
    return ", ".join(f"{name} {value}" for name, value in shown) + more
