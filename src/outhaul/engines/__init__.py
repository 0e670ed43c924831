"""Who runs a part, never what is true: one sibling per engine.

Each sibling has `Engine`, and an Engine
    slots: int                                parts that can run at once
    start(), close()                          the latter ends in order what runs, within its patience
    deliver(delivery, holder, first)          hand "run attempt A of part N" to a worker, or to the one named `holder`;
                                              `delivery` is JSON-able and has `export`, `part` and `attempt`
    forget(export, part, attempt)             a hint that this delivery is void; may do nothing
    alive() -> tuple[str, ...]                names of the workers that can be delivered to by name; may be empty
    deaths() -> tuple[str, ...]               names of workers that have certainly ended since the last call; may be empty
A delivery may be lost, doubled, late or out of order: the ledger decides what is run.
"""
