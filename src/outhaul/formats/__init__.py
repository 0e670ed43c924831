"""Ways to write rows: one sibling per format.

Each sibling has
    MEDIA_TYPE: str, SUFFIX: str ("csv")
    STYLE: "csv" | "json"                                            how it wants the root's own columns, see `sources`
    opening(node) -> bytes, JOINT: bytes, closing(node) -> bytes     the frame; the joint stands between rows' pieces
    pieces(stream, *, borders=False) -> Iterator[Piece]              rows without frame; `borders`: whole rows' pieces must have offsets
    rows_in(chunks) -> int                                           rows of a whole file, found by reading it: for `verify`
A format never hears of parts, fragments, compression or stores.
"""
