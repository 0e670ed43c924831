"""A slow and obvious reader of exported files: whole files at once, by json, csv and gzip alone."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Facts:
    """How many rows, how many different keys, and exact sums by column."""

    rows: int
    distinct: int
    sums: Mapping[str, Fraction]


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a `.json`, `.ndjson` or `.csv` file, which may be gzipped: JSON fractions as Decimal, CSV as text."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
        path = path.with_suffix("")
    text = data.decode()
    if path.suffix == ".json":
        rows = json.loads(text, parse_float=Decimal, parse_constant=_refuse)
        assert isinstance(rows, list)
        return rows
    if path.suffix == ".ndjson":
        assert not text or text.endswith("\n")
        return [
            json.loads(line, parse_float=Decimal, parse_constant=_refuse) for line in text.split("\n")[:-1]
        ]
    assert path.suffix == ".csv"
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def below(rows: Iterable[Mapping[str, Any]], path: str) -> list[Mapping[str, Any]]:
    """The objects under a dotted path of relationships, all parents' together; null is no object."""
    found: list[Any] = list(rows)
    for name in filter(None, path.split(".")):
        values = [row[name] for row in found]
        found = [child for value in values for child in (value if isinstance(value, list) else [value])]
        found = [child for child in found if child is not None]
    return found


def facts(rows: Sequence[Mapping[str, Any]], key: Iterable[str], sums: Iterable[str] = ()) -> Facts:
    """Facts of rows; an empty CSV cell and null add nothing."""
    names = tuple(key)
    return Facts(
        len(rows),
        len({tuple(str(row[name]) for name in names) for row in rows}),
        {
            name: sum((Fraction(str(row[name])) for row in rows if row[name] not in {None, ""}), Fraction())
            for name in sums
        },
    )


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
