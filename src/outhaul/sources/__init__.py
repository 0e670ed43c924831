"""Databases we read, and only read: one sibling per kind.

Each sibling has
    reflect(url) -> Catalog                       everything that is there, before trims; opens and closes its own connection
    count(url, node, timeout) -> int | None       rows of a selection, bounded in time (seconds; None when it ran out);
                                                  for the first display only, runs in the serving process
    connect(url, label, *, statement_seconds=0, lock_seconds=30) -> Session
                                                  one connection, read only; `label` names the export to the database; limits
                                                  where the database knows any, 0 is none
    examine(url, workers) -> Iterator[Sign]       whether everything is well there, for `outhaul doctor`
    grants(url) -> Iterator[str]                  statements for its owner that make a role with the least rights
    SHARED: bool                                  whether sessions of other processes can join an instant that a keeper holds
    check(before, now)                            compares two Fingerprints; SchemaChanged, `facts["rewritten"]`: a new instant cures it
A Session (used by one worker process, one at a time) has
    begin(snapshot: str | None) -> datetime       start a read transaction: a new instant, or the keeper's (SnapshotLost); the source's clock
    end()                                         leave the instant; the connection stays
    share() -> str                                name under which others can join this instant; SourceError if it cannot
    ping()                                        SourceAway if the connection, and with it the instant, has gone
    tables(plan) -> Fingerprints                  JSON-able, by table, as things stand NOW; before `begin` or, locking lightly, after it
    count(node, range=ALL) -> Counts              rows of the selection under the instant: {"": n, "line_items": n, ...} by include path,
                                                  and `tabular.LINES` where related rows are lines of a table;
                                                  `range`: of those of a range of keys alone
    size(node, counts=None) -> int                estimated bytes of the selection's text, from statistics only; never scans;
                                                  `counts`: what `count` gave, for a better estimate
    split(node, part_bytes, *, lasting=False)     -> tuple[Range, ...]: they chain from open end to open end; `lasting`: cut by keys
                                                  alone, so that no UPDATE moves a row from one to another between two instants
    head(node, rows, low=None) -> Range           of the first rows from `low` on, by key or in the order asked for; for a resource
                                                  with a key
    read(node, range, style) -> Iterator[Stream]  the rows of a range: "csv" (the database's own text), "json" or "typed" (own text, for every node;
                                                  booleans as true and false, arrays as JSON); each Stream is read to its end
                                                  before the next is asked for
    cancel()                                      thread-safe: whoever waits gets SourceAway within a second; then only `close`
    close()
A SQLite Session also has
    stuck: bool                                   after `cancel` and `close`: the library cannot end its statement, only the process can
sqlite also has
    prepare(url, folder, *, copy_bytes, hold=False) -> Prepared     how a file is read: "live" | "copy" (delete it afterwards) | "hold", and its URL
Errors: SourceAway, SourceTimeout, SourceBusy, SourceForbids, SchemaChanged, SnapshotLost, UnreadableValue.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that an examination looked at: what, how it is, whether that is well, and what to do if not."""

    what: str
    found: str
    well: bool = True
    cure: str = ""
