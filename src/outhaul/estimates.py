"""What an export would come to, before it is asked for: its rows, its size, its time, and how its files begin."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from outhaul import errors, plan
from outhaul.errors import OuthaulError, SourceBusy
from outhaul.export import Caller, Draft
from outhaul.plan import BINARY, Plan
from outhaul.service import Exports

COUNT = timedelta(seconds=2)
SAMPLE = 0.6  # seconds of reading
LIMIT = 2.0  # seconds of one statement
PATIENCE = 5.0  # seconds from the count to the last answer
TURN = 2.0  # seconds to wait for whoever is before
SEATS = 5  # estimates that are made or waited for: more would take the threads that creations wait in
BEGIN = 0.7  # seconds that an export takes without any row: to be planned, written down and closed
SHARED = 0.75  # exponent: two workers on one database are not twice as fast as one
BROKEN = OuthaulError(
    "The look at it went wrong on our side.", hint="The export can be made all the same; our log says more."
)

Answers = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Shown:
    """How a file begins: as `text`, or of one that only programs read as `rows` of `columns`, each with its type.
    `cut`: there would be more of these rows than is shown."""

    name: str
    text: str = ""
    columns: Sequence[Sequence[str]] = ()
    rows: Sequence[Sequence[str | None]] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """`rows`: that match, `counted` or about; `size`: bytes of all files; `time`: from its start to its end, without
    that in the queue. None: it cannot be told in the time that there is. `trouble`: why there is no more."""

    rows: int | None
    counted: bool
    size: int | None = None
    time: timedelta | None = None
    files: tuple[Shown, ...] = ()
    trouble: OuthaulError | None = None


class Estimates:
    """Estimates for callers of one service, one at a time, each by a process that is ended when it takes too long.
    Nothing is left in the ledger. `workers`: that could read at once. Safe to use from several threads."""

    def __init__(self, exports: Exports, source_url: str, workers: int) -> None:
        self._exports, self._url, self._workers = exports, source_url, workers
        self._seats = threading.BoundedSemaphore(SEATS)
        self._turn = threading.Lock()

    def of(self, caller: Caller, draft: Draft) -> Estimate:
        """Refused like the export itself; SourceBusy when others are before."""
        made = self._exports.drafted(caller, draft)
        with _held(self._seats, 0.0), _held(self._turn, TURN):
            return self._made(made)

    def _made(self, made: Plan) -> Estimate:
        with _looking() as process:
            begun = time.monotonic()
            counts = self._exports.count(made, COUNT)
            counting = time.monotonic() - begun
            for node, rows in zip(made.selections, counts, strict=False):
                node.ceiling.admit(node.resource, rows)
            matched = [*counts, *[None] * (len(made.selections) - len(counts))]
            about = plan.at(made, datetime.now(UTC))
            asked = {"url": self._url, "plan": plan.to_data(about), "matched": matched}
            answers = _answers(process, asked | {"seconds": SAMPLE, "limit": LIMIT})
        return estimate(made, matched, answers, counting, self._workers)


def estimate(
    made: Plan, matched: Sequence[int | None], answers: Answers, counting: float, workers: int
) -> Estimate:
    """What follows from what was found out; pure. `counting`: seconds that the count has taken."""
    samples = {(one["selection"], one["format"]): one for one in _said(answers, "sample")}
    about = [_rows(samples, n, rows) for n, rows in enumerate(matched)]
    whole = [one for one in made.written if one[1] != BINARY]
    known = {one: about[one[0]] for one in whole if one in samples and about[one[0]] is not None}
    told = bool(whole) and len(known) == len(list(made.written))
    size = sum(_size(samples[one], rows or 0.0) for one, rows in known.items())
    spent = sum(_seconds(samples[one], rows or 0.0, made, workers) for one, rows in known.items())
    counts = counting * sum(
        1 for root in made.selections for path, n in plan.places(root) if not path or n.many
    )
    troubles = _said(answers, "error")
    counted, matching = None not in matched, sum(rows or 0.0 for rows in about)
    return Estimate(
        rows=None if None in about else round(matching) if counted else _roughly(matching),
        counted=counted,
        size=round(size) if told else None,
        time=timedelta(seconds=BEGIN + counts + spent) if told else None,
        files=tuple(Shown(**one) for one in _said(answers, "shown")),
        trouble=_trouble(troubles[0]) if troubles else None,
    )


def _roughly(number: float) -> int:
    """Two digits of it, and zeros."""
    return int(float(f"{number:.1e}"))


def _said(answers: Answers, name: str) -> list[Any]:
    return [one[name] for one in answers if name in one]


def _rows(samples: Mapping[tuple[int, str], Any], selection: int, matched: int | None) -> float | None:
    if matched is not None:
        return matched
    found = (one["all"] for (n, _), one in samples.items() if n == selection)
    return next((rows for rows in found if rows is not None), None)


def _size(sample: Mapping[str, Any], rows: float) -> float:
    """Bytes of the files of a selection in a format: what they take without rows, and what the rows take."""
    length, read = sample["length"], sample["rows"]
    if not rows or not read:
        return float(sample["frame"])
    small = sample["small"]
    if small is None or read <= small["rows"]:  # a small file is a frame for the most part
        return float((sample["frame"] if small is None else 0) + length * rows / read)
    each = max(0.0, (length - small["length"]) / (read - small["rows"]))
    return float(length + each * (rows - read))


def _seconds(sample: Mapping[str, Any], rows: float, made: Plan, workers: int) -> float:
    if not sample["rows"]:
        return 0.0
    parts = math.ceil(max(1, sample["text"]) / made.part_bytes)
    at_once = min(workers, parts) if sample["shared"] else 1
    return float(sample["seconds"] * rows / sample["rows"] / at_once**SHARED)


def _trouble(data: Mapping[str, str]) -> OuthaulError:
    kind: type[OuthaulError] = getattr(errors, data["error"], OuthaulError)
    return kind(data["message"], hint=data["hint"])


@contextmanager
def _held(place: threading.Lock | threading.Semaphore, patience: float) -> Iterator[None]:
    if not place.acquire(timeout=patience):
        raise SourceBusy("Others are having their exports estimated.", hint="Try again in a moment.")
    try:
        yield
    finally:
        place.release()


@contextmanager
def _looking() -> Iterator[subprocess.Popen[str]]:
    """A process that looks at the source: what it asks can be ended, and no SQLite library of its is in this one."""
    argv = [sys.executable, "-m", "outhaul.sampling"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _answers(process: subprocess.Popen[str], asked: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What it has found out in the time that there is."""
    try:
        said, _ = process.communicate(json.dumps(asked) + "\n", timeout=PATIENCE)
        broken = process.returncode != 0
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        broken = False
    found = [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith("\n")]
    return [*found, {"error": BROKEN.as_data()}] if broken else found
