"""Ways to write rows: one sibling per format.

Each sibling has
    MEDIA_TYPE: str, SUFFIX: str ("csv")
    opening(node) -> bytes, JOINT: bytes, closing(node) -> bytes     the frame; the joint stands between rows' pieces
    pieces(node, rows) -> Iterator[Piece]                            rows without frame; see `_assemble.py`
A format never hears of parts, fragments, compression or stores.
"""
