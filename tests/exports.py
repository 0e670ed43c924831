"""An export written by hand: its fragments in a store, and what the ledger tells of it once its parts are done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import sqlalchemy as sa

from outhaul import pipeline
from outhaul.blocks import Range, Stream
from outhaul.export import Export, Fragment, Part, Status
from outhaul.ledger import Done, Facts, Ledger
from outhaul.ledger.tables import Size, artifacts, exports
from tests import trees
from tests.trees import Row, Shape

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FORMATS = ("csv", "json", "ndjson")
ORDERS = Shape({"id": "raw", "note": "str"}, manys={"lines": Shape({"n": "raw"})})


def completed(ledger: Ledger, export_id: str, files: int) -> None:
    """The export is completed, with so many files of which the ledger tells."""
    row: dict[str, Any] = {one.name: 1 for one in artifacts.c if isinstance(one.type, sa.Integer | Size)}
    row |= {one.name: "one" for one in artifacts.c if isinstance(one.type, sa.Text)}
    rows = [row | {"export": export_id, "n": n, "name": str(n), "layout": []} for n in range(files)]
    ended = {"status": "completed", "completed_at": exports.c.created_at}
    with ledger._write() as write:
        write.execute(exports.update().where(exports.c.id == export_id).values(ended))
        for one in rows:
            write.execute(artifacts.insert().values(one))


class Session:
    """A source of one stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def read(self, node: Any, part: Range, style: str) -> Iterator[Stream]:
        yield self.stream


def orders(count: int, seed: int = 1) -> list[Row]:
    random = Random(seed)
    return [
        {
            "id": str(number),
            "note": random.choice([None, "", "a,b", 'say "hi"', "é\nü"]),
            "lines": [{"n": str(n)} for n in range(random.randrange(3))],
        }
        for number in range(count)
    ]


def text(name: str, rows: list[Row]) -> bytes:
    """The whole file of these orders, written slowly."""
    if name == "csv":
        return ("id,note,lines\n" + "".join(trees.csv_line(ORDERS, row) for row in rows)).encode()
    texts = [trees.written(ORDERS, row) for row in rows]
    return ("[" + ",".join(texts) + "]" if name == "json" else "".join(f"{one}\n" for one in texts)).encode()


def recorded(
    store: Any, parts: list[list[Row]], shape: Shape = ORDERS, ranges: tuple[Range, ...] = (), **settings: Any
) -> Facts:
    """Every part in every format."""
    plan = trees.plan(shape, **({"formats": FORMATS} | settings))
    done: list[Done] = []
    fragments: list[Fragment] = []
    for name in plan.formats:
        for index, rows in enumerate(parts):
            n = len(done) + 1
            part = Part("AbCdEfGhIj", n, 0, name, (ranges[index] if ranges else Range()).to_data(), 1, 2)
            session = Session(trees.stream(shape, rows))
            fragments += pipeline.run(session, plan, part, store, lambda: None, lambda _: None)
            done.append(Done(n, 0, name, part.range, 1, len(rows), trees.counts(shape, rows)))
    everything = [row for rows in parts for row in rows]
    counts = ({"": len(everything), **trees.counts(shape, everything)},)
    return Facts(_export(len(everything)), plan, counts, {}, tuple(done), tuple(fragments))


def _export(rows: int) -> Export:
    draft = {"selections": [{"resource": "orders"}], "metadata": {"for": "Zoë"}}
    made = Export("AbCdEfGhIj", None, "me", "", Status.RUNNING, draft, rows, rows, 4, 4, AT, AT)
    return replace(made, started_at=AT, instant_at=AT, generation=2)
