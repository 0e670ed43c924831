"""Where binaries of rows lie, which we only read: one sibling per scheme (`file`, `s3`).

Each sibling has `open_origin(place) -> Origin` for `SCHEME://...`, which asks nobody and raises Misconfigured, and an Origin
    AHEAD: int                                         how many may be taken at once: more than one where the way is long
    take(path) -> Taken                                what lies at the path, bytes as a row has them, below the place and nowhere else; Unfit, StoreError
    look() -> None                                     StoreError unless it answers and lets itself be read
A Taken has
    length: int                                        in bytes
    read() -> Iterator[bytes]                          all of them, as often as it is asked; Unfit when it is not as it was when it was taken
    close()
Unfit is a fault of the path or of what lies there, which no second try heals; StoreError one of the place.
"""


class Unfit(Exception):
    """What lies there cannot be had; why ends the sentence that begins with the binary: `is no file`."""
