"""Ways to write rows: one sibling per format.

Each sibling has
    MEDIA_TYPE: str, SUFFIX: str ("csv")
    STYLE: "csv" | "json" | "typed"                                  how it wants the columns, see `sources`
    CODECS: tuple[str, ...]                                          compressions that it does inside, its own choice first; (): it is compressed around
    opening(node) -> bytes, JOINT: bytes | None, closing(node) -> bytes   the frame; the joint stands between rows' pieces; opening and closing
                                                                     alone are the file without rows. JOINT None: files cannot be joined
    rows_in(chunks) -> int                                           rows of a whole file, found by reading it: for `verify`
and, where files can be joined
    pieces(stream, *, borders=False) -> Iterator[Piece]              rows without frame; `borders`: whole rows' pieces must have offsets
or, where they cannot
    files(node, streams, *, codec, most_bytes, most_rows) -> Iterator[Iterator[Piece]]    whole files with a row at least, each read to its end
                                                                     before the next; TooMuch for a row that no file of that size takes
A format never hears of parts, fragments or stores.
"""

from __future__ import annotations

from types import ModuleType

from outhaul.formats._sheets import Sheet, sheets

__all__ = ["AROUND", "Sheet", "around", "compressions", "sheets"]

AROUND = ("gzip", "zstd")


def compressions(form: ModuleType) -> tuple[str, ...]:
    """What may be asked for of a format; "none" where it would compress by itself."""
    return form.CODECS or AROUND


def around(form: ModuleType, compress: str | None) -> str | None:
    """The compression around its files; None for none, or where the format itself has it inside."""
    return None if form.CODECS else compress
