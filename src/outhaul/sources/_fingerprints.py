"""What the tables of a plan were like, compared with what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outhaul.errors import SchemaChanged

Fingerprints = dict[str, dict[str, Any]]
"""By table: `oid` and `file` (which rows those are), `definition` of a view, and the `columns` that the plan uses
(name -> number, type). Tables that are only read on the way (partitions, what a view stands on) have no columns."""


def check(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises SchemaChanged when the tables are not those of the record.

    `facts`: `table`, `column` or None, and `rewritten`: True when only the stored rows are other ones (TRUNCATE, VACUUM
    FULL, a new partition), so that a new instant cures it; False when the plan itself no longer fits.
    """
    for name, was in before.items():
        _check_shape(name, was, now.get(name))
    for name in (*before, *now):
        places = [side.get(name) and (side[name]["oid"], side[name]["file"]) for side in (before, now)]
        if places[0] != places[1]:
            words = f"The stored rows of {name} were replaced after the instant of the export was taken."
            raise _changed(words, name, None, rewritten=True)


def _check_shape(name: str, was: Mapping[str, Any], found: Mapping[str, Any] | None) -> None:
    if found is None:
        if was["columns"]:
            raise _changed(f"{name} is gone.", name, None, rewritten=False)
        return
    if found["oid"] != was["oid"]:
        return  # another table under the same name: a new instant looks at its columns
    for column, shape in was["columns"].items():
        if column not in found["columns"]:
            raise _changed(f"Column {column!r} of {name} is gone.", name, column, rewritten=False)
        if found["columns"][column] != shape:
            raise _changed(
                f"Column {column!r} of {name} is another than it was.", name, column, rewritten=False
            )
    if found["definition"] != was["definition"]:
        raise _changed(f"The definition of {name} has changed.", name, None, rewritten=False)


def _changed(words: str, table: str, column: str | None, *, rewritten: bool) -> SchemaChanged:
    facts = {"table": table, "column": column, "rewritten": rewritten}
    return SchemaChanged(words, hint="Ask for the export again.", wrong=column or table, facts=facts)
