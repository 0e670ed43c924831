"""Files of a finished export as Arrow record batches, in bounded memory: Parquet as it is typed, CSV as text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from outhaul.errors import TooMuch, UnreadableValue, WrongValue
from outhaul.tabular import DELIMITERS, PROFILES

ROWS = 1 << 16  # of a batch of Parquet
BLOCK = 2 << 20  # bytes of CSV at a time, of which Arrow reads several ahead: no row may be longer
CODECS: Mapping[str, str] = {"application/gzip": "gzip", "application/zstd": "zstd"}
EXACT = PROFILES[0]

# The batches of one file, to be read before the next is opened.
Table = tuple[pa.Schema, Iterator[pa.RecordBatch]]


def readable(form: str) -> None:
    """Raise WrongValue for a format that Arrow cannot hold exactly."""
    if form not in READERS:
        raise WrongValue(
            f"An export of {form} cannot be read into Arrow without changing its values.",
            hint=f"Ask for one of: {', '.join(READERS)}.",
            wrong=form,
            choices=tuple(READERS),
        )


@contextmanager
def batches(manifest: Path) -> Iterator[pa.RecordBatchReader]:
    """The rows of the files beside a manifest, which have been proven by it; in the order of the files."""
    told = json.loads(manifest.read_bytes())
    (form, *others) = sorted({file["format"] for file in told["files"]})
    readable(form)
    if others or len({(file["selection"], file.get("path", "")) for file in told["files"]}) > 1:
        raise _several()
    read = READERS[form]
    with closing(table for file in told["files"] for table in read(manifest.parent, file, told)) as tables:
        schema, first = next(tables)
        rest = chain.from_iterable(rows for _, rows in tables)
        yield pa.RecordBatchReader.from_batches(schema, chain(first, rest))


def _several() -> WrongValue:
    return WrongValue(
        "The export is several tables, and Arrow reads one.",
        hint="Download it, and read its files one by one.",
    )


def _parquet(folder: Path, file: Mapping[str, Any], _: Mapping[str, Any]) -> Iterator[Table]:
    """One table, or where parts made several files, those in the ZIP, which holds them as they are."""
    with pa.memory_map(str(folder / file["name"])) as mapped:
        for member in file.get("members", [{"start": 0, "length": file["length"]}]):
            mapped.seek(member["start"])
            part = pa.BufferReader(mapped.read_buffer(member["length"]))
            # Threads that read ahead could outlive us.
            with parquet.ParquetFile(part, pre_buffer=False) as found:
                yield found.schema_arrow, found.iter_batches(ROWS, use_threads=False)


def _csv(folder: Path, file: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[Table]:
    """One table, all of whose columns are text: Arrow would guess types by the first rows."""
    if "members" in file:
        raise _several()
    asked = told["request"]
    if asked["profile"] != EXACT:
        raise WrongValue(
            f"A CSV of the profile {asked['profile']} is changed for people.",
            hint=f"Ask for one of the profile {EXACT}.",
            wrong=asked["profile"],
            choices=(EXACT,),
        )
    delimiter = DELIMITERS.get(asked["delimiter"], asked["delimiter"])
    path, codec = folder / file["name"], CODECS.get(file["media_type"])
    with _understood(), pa.input_stream(str(path), compression=codec) as stream:
        options = _options(_header(path, codec, delimiter), delimiter)
        with arrow_csv.open_csv(stream, **options) as found:
            yield found.schema, _rows(found)


def _rows(found: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    with _understood():
        yield from found


def _options(names: list[str], delimiter: str) -> dict[str, Any]:
    """Every column is text, and only a bare cell is null."""
    return {
        "read_options": arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK),
        "parse_options": arrow_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False
        ),
        "convert_options": arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    }


@contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as error:
        if "straddl" not in str(error):
            raise UnreadableValue(f"The CSV cannot be read into Arrow: {error}.") from None
        raise TooMuch(
            f"A row of more than {BLOCK:,} bytes cannot be read into Arrow.",
            hint="Ask for Parquet, or download the file.",
            facts={"limit": BLOCK},
        ) from None


def _header(path: Path, codec: str | None, delimiter: str) -> list[str]:
    with pa.input_stream(str(path), compression=codec) as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        return next(csv.reader(lines, delimiter=delimiter, strict=True))


READERS: Mapping[str, Callable[[Path, Mapping[str, Any], Mapping[str, Any]], Iterator[Table]]] = {
    "parquet": _parquet,
    "csv": _csv,
}
