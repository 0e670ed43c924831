"""The demo's own reader of downloaded files: json, csv and gzip of the standard library, in bounded memory."""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from outhaul.demo.looks import Count, Look, Tally, below

CHARACTERS = 1 << 20
ROWS = 1_000
MARK = re.compile(r"[ \t\r\n]*([\[,\]])[ \t\r\n]*")
Row = Mapping[str, Any]


def count(path: Path, form: str, looks: tuple[Look, ...]) -> tuple[Count, ...]:
    """One count a look, by reading the whole file once. ValueError: the file is not what it says it is."""
    tallies = [Tally(look) for look in looks]
    with _text(path) as text:
        rows = READERS[form](text)
        while batch := list(islice(rows, ROWS)):
            for tally in tallies:
                tally.add(list(below(batch, tally.look.path)))
    return tuple(tally.count() for tally in tallies)


def _text(path: Path) -> TextIO:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    if packed:
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


# Numbers stay text: neither digits nor scale are lost, and what is not looked at costs no conversion.
DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_no_constant)


def _array(text: TextIO) -> Iterator[Row]:
    """The objects of one JSON array, decoded as they come."""
    window, at, before = text.read(CHARACTERS), 0, "["
    while True:
        try:
            row, at = _next(window, at, before)
        except json.JSONDecodeError:
            more = text.read(max(CHARACTERS, len(window) - at))
            if not more:
                raise
            window, at = window[at:] + more, 0
            continue
        if row is None:
            break
        yield row
        before = ","
    if (window[at:] + text.read(CHARACTERS)).strip():
        raise ValueError("something follows the end of the JSON array")


def _next(window: str, at: int, before: str) -> tuple[Row | None, int]:
    """The row after the mark that has to come `before` it, and where it ends; None at the array's end."""
    mark = MARK.match(window, at)
    if mark is None or mark[1] not in {before, "]"} or (before, mark[1]) == ("[", "]"):
        raise json.JSONDecodeError(f"{before!r} or the end of the array is missing", window, at)
    if mark[1] == "]":
        return None, mark.end()
    if before == "[" and window[mark.end() : mark.end() + 1] == "]":
        return None, mark.end() + 1
    return DECODER.raw_decode(window, mark.end())


def _lines(text: TextIO) -> Iterator[Row]:
    for line in text:
        row, end = DECODER.raw_decode(line)
        if line[end:] != "\n":
            raise ValueError("a line holds more than one row, or no end")
        yield row


def _table(text: TextIO) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    rows = csv.reader(text, strict=True)
    header = next(rows)
    for row in rows:
        yield dict(zip(header, row, strict=True))


READERS: Mapping[str, Callable[[TextIO], Iterator[Row]]] = {"csv": _table, "json": _array, "ndjson": _lines}
