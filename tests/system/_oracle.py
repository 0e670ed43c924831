"""Slow, obvious readers of exported files and of databases: what must stand in a file, made without Outhaul."""

from __future__ import annotations

import gzip
import io
import json
import math
import re
import sqlite3
import subprocess
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from pyarrow import parquet


@dataclass(frozen=True, slots=True)
class Digits:
    """A JSON number by its text: 1, 1.0 and 1e0 differ, and so do 1 and "1"."""

    text: str


class Pairs(tuple[tuple[str, Any], ...]):
    """A JSON object with the order of its keys, and with keys that stand twice."""

    __slots__ = ()

    def get(self, key: str) -> Any:
        return next((value for name, value in self if name == key), None)

    def without(self, *keys: str) -> Pairs:
        return Pairs(pair for pair in self if pair[0] not in keys)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self]


def _no_constant(text: str) -> Any:
    raise AssertionError(f"{text} is not JSON")


def parse(text: str | bytes) -> Any:
    """JSON with all its digits kept; NaN and Infinity without quotes are refused, as every strict reader does."""
    return json.loads(
        text,
        parse_float=Digits,
        parse_int=Digits,
        parse_constant=_no_constant,
        object_pairs_hook=Pairs,
    )


def unordered(value: Any) -> Any:
    """The same value with the keys of all objects in the order of their names."""
    if isinstance(value, Pairs):
        return Pairs(sorted(((key, unordered(inner)) for key, inner in value), key=lambda pair: pair[0]))
    if isinstance(value, list):
        return [unordered(inner) for inner in value]
    return value


def plain(data: bytes) -> bytes:
    """The text inside, whether it came as gzip, as zstd or as it is."""
    if data[:4] == b"\x28\xb5\x2f\xfd":
        unpacked: bytes = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
        return unpacked
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def read_csv(data: bytes) -> list[list[str | None]]:
    """All lines, header included, one character at a time; a bare empty cell is None, a quoted one an empty string."""
    lines: list[list[str | None]] = []
    line: list[str | None] = []
    cell, quoted, inside = "", False, False
    text = data.decode()
    position = 0
    while position < len(text):
        character = text[position]
        if inside and character == '"' and text[position + 1 : position + 2] == '"':
            cell += '"'
            position += 1
        elif character == '"':
            inside = not inside
            quoted = True
        elif inside:
            cell += character
        elif character in ",\n":
            line.append(cell if cell or quoted else None)
            cell, quoted = "", False
            if character == "\n":
                lines.append(line)
                line = []
        else:
            cell += character
        position += 1
    assert not inside, "a quote stays open"
    assert not line, "the last line has no end"
    assert not cell, "the last line has no end"
    return lines


def split_csv(data: bytes) -> tuple[bytes, list[bytes]]:
    """The header and the raw lines of a CSV, values with newlines kept whole."""
    lines, start, quotes = [], 0, 0
    for match in re.finditer(rb'["\n]', data):
        if match[0] == b'"':
            quotes += 1
        elif quotes % 2 == 0:
            lines.append(data[start : match.end()])
            start = match.end()
    assert start == len(data), "the last line has no end"
    return lines[0], lines[1:]


def _json_rows(data: bytes) -> list[Pairs]:
    rows = parse(data.decode())
    assert isinstance(rows, list)
    return rows


def _ndjson_rows(data: bytes) -> list[Pairs]:
    if not data:
        return []
    text = data.decode()
    assert text.endswith("\n"), "the last line has no end"
    assert "\r" not in text, "a raw carriage return stands inside a line"
    return [parse(line) for line in text[:-1].split("\n")]


def _csv_rows(data: bytes) -> list[Pairs]:
    header, *lines = read_csv(data)
    assert all(len(line) == len(header) for line in lines)
    return [Pairs(zip((str(name) for name in header), line, strict=True)) for line in lines]


class Text(str):
    """A text of a typed file; equal also to the JSON of which it is the text."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return str.__eq__(self, other)
        if isinstance(other, Digits):
            return str.__eq__(self, other.text)
        return self != "" and unordered(parse(str(self))) == unordered(other)

    def __ne__(self, other: object) -> bool:
        return not self == other


@dataclass(frozen=True, eq=False)
class Exact:
    """A value of a typed file; equal to what JSON says of it, to the last digit."""

    value: float | datetime | date | time | bytes
    single: bool = False

    def __eq__(self, other: object) -> bool:
        value = self.value
        text = other.text if isinstance(other, Digits) else other
        if not isinstance(text, str):
            return bool(value == text)
        if isinstance(value, bytes):
            return text == "\\x" + value.hex()
        if not isinstance(value, float):
            return bool(value == type(value).fromisoformat(text))
        number = float(np.float32(text)) if self.single else float(text)
        same_sign = math.copysign(1, number) == math.copysign(1, value)
        return (math.isnan(number) and math.isnan(value)) or (number == value and same_sign)

    __hash__ = None  # type: ignore[assignment]  # nothing else is equal to it

    def __str__(self) -> str:
        return "\\x" + self.value.hex() if isinstance(self.value, bytes) else str(self.value)


def _parquet_rows(data: bytes) -> list[Pairs]:
    """Of a file, or of a ZIP of numbered ones; ZIP members in the order of their names."""
    files = [data]
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as whole:
            assert whole.testzip() is None
            files = [whole.read(name) for name in sorted(whole.namelist())]
    return [row for file in files for row in _typed_rows(parquet.read_table(io.BytesIO(file)))]


def _typed_rows(table: pa.Table) -> list[Pairs]:
    columns = [
        (field.name, _typed_values(table[field.name].combine_chunks(), field.type)) for field in table.schema
    ]
    return [Pairs((name, values[row]) for name, values in columns) for row in range(table.num_rows)]


def _typed_values(column: pa.Array, kind: pa.DataType) -> list[Any]:
    return [_typed_value(value, kind) for value in column.to_pylist()]


def _typed_value(value: Any, kind: pa.DataType) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if pa.types.is_list(kind):
        return [_typed_value(one, kind.value_type) for one in value]
    if pa.types.is_struct(kind):
        return Pairs((field.name, _typed_value(value[field.name], field.type)) for field in kind)
    if isinstance(value, int | Decimal):
        return Digits(f"{value:f}" if isinstance(value, Decimal) else str(value))
    return Text(value) if isinstance(value, str) else Exact(value, pa.types.is_float32(kind))


# A new format needs its reader here: an independent one, not ours.
ROWS: dict[str, Callable[[bytes], list[Pairs]]] = {
    "json": _json_rows,
    "ndjson": _ndjson_rows,
    "csv": _csv_rows,
    "parquet": _parquet_rows,
}
# Formats whose values have types, into which not every value fits; and compressed inside.
TYPED = {"parquet"}


def rows(form: str, data: bytes) -> list[Pairs]:
    """The rows of one downloaded file, gzip or not. CSV cells are text or None; JSON values keep their digits."""
    return ROWS[form](plain(data))


def cell(form: str, value: Any) -> Any:
    """What stands under a relationship's name: nested JSON, in CSV as text in a cell."""
    return parse(value) if form == "csv" and value is not None else value


def asked(url: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """All rows of one query, by the database's own driver."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(query, parameters or None).fetchall()


def rows_as_json(url: str, query: str) -> list[Pairs]:
    """The rows of a query as PostgreSQL's `row_to_json` writes them."""
    found = asked(url, f"SELECT row_to_json(oracle)::text FROM ({query}) AS oracle")
    return [parse(text) for (text,) in found]


def copied(psql: str, url: str, query: str, folder: Path) -> bytes:
    """What `psql \\copy (query) to ... with (format csv, header)` writes."""
    target = folder / "oracle.csv"
    done = subprocess.run(
        [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", url],
        input=f"SET client_encoding = 'UTF8';\n\\copy ({query}) to '{target}' with (format csv, header)\n",
        capture_output=True,
        text=True,
        check=False,
        env={"PGOPTIONS": "-c TimeZone=UTC", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return target.read_bytes()


def quoted(name: str) -> str:
    """An identifier for both databases."""
    return '"' + name.replace('"', '""') + '"'


def stored(path: Path, query: str) -> list[tuple[Any, ...]]:
    """All rows of one query on an SQLite file, text as bytes so that nothing is lost; the file is only read."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def counted(values: Iterable[Any]) -> dict[str, int]:
    """How often each value stands: two piles of unordered rows are equal when these are."""
    pile: dict[str, int] = {}
    for value in values:
        pile[repr(value)] = pile.get(repr(value), 0) + 1
    return pile


def numbers(values: Sequence[Pairs], key: str) -> list[int]:
    """One integer field of all rows, from JSON or CSV."""
    found = [value.get(key) for value in values]
    return [int(value.text if isinstance(value, Digits) else value) for value in found]
