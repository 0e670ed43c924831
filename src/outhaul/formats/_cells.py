"""Values as cells of a table: quoted for its delimiter, and for a spreadsheet so that it shows what is stored."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from outhaul.catalog import Type
from outhaul.formats import _columns
from outhaul.formats._columns import CSV_QUOTE, cell, chopped, enclosed, rewritten, scalar, size, window
from outhaul.plan import Column
from outhaul.tabular import DELIMITERS, Tabular

BREAKS = b'"\n\r'
ANY = "".join(DELIMITERS.values()).encode()  # a spreadsheet may split where nobody asked it to
BOM = b"\xef\xbb\xbf"
GUARD = b"'"

NUMBERS = {Type.INTEGER, Type.DECIMAL, Type.FLOAT}

# What a spreadsheet would run: the signs of OWASP's list of CSV injections, those of full width too; and our guard, so
# that taking one away gives the stored text back.
RUN = r"^(?:['=+\-@\t\r\n]|＝|＋|－|＠)"
NUMBER = r"^-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
# A spreadsheet keeps 15 digits: integers of more, and other numbers of more between the first and the last that count.
LONG = r"^-?(?:[0-9]{16,}$|[0.]*[1-9](?:\.?[0-9]){14,}\.?[1-9])"
# A text that is taken for a number, and one that then is shown as it stands.
TAKEN = r"^\.?[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?$"
SHOWN = r"^(?:0|[1-9][0-9]{0,14})(?:\.[0-9]*[1-9])?$"
ZONED = "timestamp with time zone"


class Cells:
    """Columns as cells of one table. `alone`: it has one column."""

    def __init__(self, tabular: Tabular, *, alone: bool) -> None:
        self._spreadsheet = tabular.profile == "spreadsheet"
        self._marks = (ANY if self._spreadsheet else tabular.delimiter.encode()) + BREAKS
        self._alone = alone

    def title(self, column: Column | None, name: str) -> bytes:
        """The cell above a column, or above cells of JSON."""
        text = pa.array([name.encode()], _columns.BINARY)
        if self._spreadsheet:
            zone = b" (UTC)" if column is not None and _is_zoned(column) else b""
            text = _guarded(enclosed(b"", text, zone), Type.TEXT)
        return window(self._cell(text)).tobytes()

    def whole(self, column: pa.Array, of: Column) -> pa.Array:
        """One cell a row; NULL stays NULL."""
        return self._cell(_shown(column, of) if self._spreadsheet else column)

    def spelled(self, column: pa.Array, of: Column) -> Iterator[bytes]:
        """The cell of a column of one row, in chunks."""
        if size(column) <= _columns.WINDOW:
            yield window(self.whole(column, of)).tobytes()
            return
        text = window(column)
        mark = b'"' if any((text == special).any() for special in self._marks) else b""
        yield mark
        if self._spreadsheet and _needs_guard(column, of.type)[0].as_py():
            yield GUARD
        yield from (window(rewritten(chunk, CSV_QUOTE)).tobytes() for chunk in chopped(column))
        yield mark

    def _cell(self, column: pa.Array) -> pa.Array:
        return cell(column, alone=self._alone, marks=self._marks)


def _is_zoned(column: Column) -> bool:
    """Whether the source gives every value of it in UTC."""
    return column.type is Type.INSTANT and column.native.endswith("with time zone") and not column.stored


def _shown(column: pa.Array, of: Column) -> pa.Array:
    if of.type is Type.BOOLEAN:
        column = _truth(column)
    elif _is_zoned(of):
        column = pc.replace_substring_regex(column, pattern=r"\+00( BC)?$", replacement=r"\1")
    return _guarded(column, of.type)


def _truth(column: pa.Array) -> pa.Array:
    for said, words in ((b"TRUE", [b"t", b"1"]), (b"FALSE", [b"f", b"0"])):
        means = pc.is_in(column, value_set=pa.array(words, _columns.BINARY))
        column = pc.if_else(means, scalar(said), column)
    return column


def _guarded(column: pa.Array, kind: Type) -> pa.Array:
    needed = _needs_guard(column, kind)
    return pc.if_else(needed, enclosed(GUARD, column, b""), column) if pc.any(needed).as_py() else column


def _needs_guard(column: pa.Array, kind: Type) -> pa.Array:
    """Which values a spreadsheet would run, or show with other digits; a double's own digits are none of its."""
    runs = _matches(column, RUN)
    if kind in NUMBERS:
        runs = pc.and_not(runs, _matches(column, NUMBER))
        return runs if kind is Type.FLOAT else pc.or_(runs, _matches(column, LONG))
    return pc.or_(runs, pc.and_not(_matches(column, TAKEN), _matches(column, SHOWN)))


def _matches(column: pa.Array, pattern: str) -> pa.Array:
    return pc.fill_null(pc.match_substring_regex(column, pattern=pattern), fill_value=False)
