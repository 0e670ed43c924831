"""Databases we read, and only read: one sibling per kind.

Each sibling has
    reflect(url) -> Catalog                       everything that is there, before trims; opens and closes its own connection
    count(url, node, timeout) -> int | None       rows of a selection, bounded in time (seconds; None when it ran out);
                                                  for the first display only, runs in the serving process
    connect(url, label) -> Session                one connection, read only; `label` names the export to the database
    SHARED: bool                                  whether sessions of other processes can join an instant that a keeper holds
    check(before, now)                            compares two Fingerprints; SchemaChanged, `facts["rewritten"]`: a new instant cures it
A Session (used by one worker process, one at a time) has
    begin(snapshot: str | None) -> Instant        start a read transaction: a new instant, or the keeper's (SnapshotLost)
    share() -> str                                name under which others can join this instant; SourceError if it cannot
    tables(plan) -> Fingerprints                  JSON-able dict "schema.table" -> {oid, file, columns: [...]}, as things stand NOW
    count(node) -> Counts                         rows of the selection under the instant: {"": n, "line_items": n, ...} by include path
    size(node) -> int                             estimated bytes of the selection's text, from statistics only; never scans
    split(node, part_bytes) -> tuple[Range, ...]  ranges that chain from open end to open end
    blocks(select) -> Iterator[Block]             rows, in the order asked, in bounded blocks; see `_select.py`
    cancel()                                      thread-safe: end the running statement
    close()
Errors: SourceAway, SourceTimeout, SourceBusy, SourceForbids, SchemaChanged, SnapshotLost, UnreadableValue.
"""
