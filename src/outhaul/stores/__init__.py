"""Where objects are kept: one sibling per scheme (`file`).

Each sibling has `open_store(url) -> Store`, and a Store
    put(key, chunks: Iterable[bytes-like]) -> int      whole or not at all; returns the length in bytes; durable on return; StoreFull, StoreError
    read(key, start=0, length=None) -> Iterator[bytes] pieces of at most 1 MiB; StoreError when the object is missing or short
    size(key) -> int | None
    delete(prefix) -> int                              every object under the prefix; how many went; missing is fine
    keys(prefix) -> Iterator[tuple[str, int, float]]   key, length, age in seconds; unfinished leftovers of `put` included
    free() -> int | None                               bytes left, None when the store does not know
Keys are made by us: [a-z0-9/._-] only.
"""
