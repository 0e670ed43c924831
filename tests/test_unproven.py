"""One piece of the real path is broken on purpose: the export fails with both numbers, and nothing of it is given."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from types import ModuleType
from typing import Any

import pytest

from outhaul import downloads, pipeline, plan, reconcile, siblings, sources, stores
from outhaul.blocks import Block, Cut, Range, Stream
from outhaul.export import Draft, Export, Fragment, Selection, Status
from outhaul.ledger import Ledger, tables
from outhaul.ledger.closing import Done
from outhaul.worker.runs import Place, Worker
from tests import drafts
from tests.crash.house import CALLER, LINES, ORDERS, fill_postgresql, fill_sqlite
from tests.drafts import only
from tests.test_reconcile import FakeEngine, allow
from tests.test_worker import Keeping, run

FORMATS = ("csv", "ndjson")
FLAT, NESTED = (), ("line_items",)
PART_BYTES = {FLAT: 60_000, NESTED: 90_000}  # five parts of each format, or a few more


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """3,000 orders, numbered from 1, each with 3 line items."""
    if request.param == "sqlite":
        return fill_sqlite(tmp_path_factory.mktemp("source"))
    return fill_postgresql(request.getfixturevalue("postgres_module_url"))


@dataclass(frozen=True)
class House:
    """Everything that makes an export, in this process."""

    url: str
    ledger: Ledger
    worker: Worker
    store: Any

    @property
    def source(self) -> ModuleType:
        return siblings.load(sources, self.url.partition(":")[0])

    def read(self, includes: tuple[str, ...]) -> str:
        """An export of which every part has been read, as far as that went; nobody has closed it yet."""
        wanted = (Selection("orders", includes=includes),)
        draft = Draft(wanted, formats=FORMATS, part_bytes=PART_BYTES[includes])
        made = plan.build(self.source.reflect(self.url), draft, CALLER, formats=FORMATS)
        export_id = self.ledger.create(caller=CALLER, draft=draft, plan=made, matched=None).id
        self.ledger.queue(export_id)
        run(self.ledger, self.worker)
        return export_id

    def closed(self, export_id: str) -> Export:
        reconcile.once(self.ledger, FakeEngine(), self.store, allow)
        self.worker.look_after_instants()
        return self.ledger.get(export_id)

    def parts(self, export_id: str) -> tuple[Done, ...]:
        facts = self.ledger.facts(export_id)
        assert facts
        return facts.parts

    def refused(self, export_id: str, *words: str) -> None:
        """It ends as failed in these words, and nothing of it can be had."""
        found = self.closed(export_id)
        assert found.status is Status.FAILED
        error = only(found.errors)
        assert error["error"] == "Unproven"
        for each in words:
            assert each in error["message"]
        assert self.ledger.artifacts(export_id) == ()
        assert self.ledger.manifest_key(export_id) is None
        assert [key for key, _, _ in self.store.keys(f"{export_id}/") if "manifest" in key] == []
        assert "completed" not in [event.name for event in self.ledger.events(export_id)]


@pytest.fixture(scope="module")
def house(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    store = siblings.load(stores, "file").open_store(f"file://{folder / 'objects'}")
    with drafts.opened(drafts.sqlite_url(folder)) as ledger, pytest.MonkeyPatch.context() as monkeypatch:
        keeping = Keeping(ledger, url, monkeypatch)
        worker = Worker(ledger, Place(url, folder, 1 << 30), store, "w1")
        worker.pulse.start()
        yield House(url, ledger, worker, store)
        worker.close()
        worker.pulse.close()
        keeping.keeper.close()


@pytest.mark.parametrize("includes", [FLAT, NESTED], ids=["flat", "nested"])
def test_an_undisturbed_run_is_proven_and_whole(house: House, includes: tuple[str, ...]) -> None:
    export_id = house.read(includes)
    assert len(house.parts(export_id)) >= 8
    assert house.closed(export_id).status is Status.COMPLETED
    assert house.store.size(house.ledger.manifest_key(export_id))
    files = {
        one.format: b"".join(downloads.read(one, house.store)).decode()
        for one in house.ledger.artifacts(export_id)
    }
    rows = [json.loads(line) for line in files["ndjson"].splitlines()]
    cells = list(csv.DictReader(io.StringIO(files["csv"])))
    everything = [str(number) for number in range(1, ORDERS + 1)]
    assert sorted((str(row["id"]) for row in rows), key=int) == everything
    assert sorted((row["id"] for row in cells), key=int) == everything
    if includes:
        assert sum(len(row["line_items"]) for row in rows) == LINES
        assert sum(len(json.loads(row["line_items"])) for row in cells) == LINES


def dropped(ranges: list[Range]) -> list[Range]:
    return [*ranges[:2], *ranges[3:]]


def last_dropped(ranges: list[Range]) -> list[Range]:
    return ranges[:-1]


def overlapping(ranges: list[Range]) -> list[Range]:
    return [*ranges[:2], replace(ranges[2], low=ranges[1].low), *ranges[3:]]


def exchanged(ranges: list[Range]) -> list[Range]:
    """One range is left out, and another of as many rows read twice."""
    inner = list(enumerate(ranges))[1:-1]
    twice, out = next((a, b) for a, b in combinations(reversed(inner), 2) if width(a[1]) == width(b[1]))
    return [twice[1] if number == out[0] else one for number, one in enumerate(ranges)]


def width(one: Range) -> int:
    assert one.low
    assert one.high
    return int(one.high[0] or 0) - int(one.low[0] or 0)


def seam(ranges: list[Range]) -> tuple[str, str]:
    """The first two ends that do not meet, as they are told."""
    edges = ((one.high, after.low) for one, after in pairwise([*ranges, Range()]))
    end, begin = next((end, begin) for end, begin in edges if end != begin)
    return f"ends at {told(end)}", f"begins at {told(begin)}"


def told(edge: Cut | None) -> str:
    return f"'{edge[0]}'" if edge else "the open end"


@pytest.mark.parametrize(
    ("damage", "includes"),
    [(dropped, FLAT), (last_dropped, NESTED), (overlapping, FLAT), (exchanged, FLAT), (exchanged, NESTED)],
    ids=["dropped", "last dropped", "overlapping", "exchanged", "exchanged with children"],
)
def test_a_split_that_does_not_chain_fails_the_export(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[list[Range]], list[Range]],
    includes: tuple[str, ...],
) -> None:
    split = house.source.Session.split
    made: list[Range] = []

    def wrong(*asked: Any, **how: Any) -> tuple[Range, ...]:
        made[:] = damage(list(split(*asked, **how)))
        return tuple(made)

    monkeypatch.setattr(house.source.Session, "split", wrong)
    export_id = house.read(includes)
    if damage is exchanged:
        written = house.parts(export_id)
        assert sum(part.rows for part in written) == len(FORMATS) * ORDERS, "no count could tell"
        children = sum(part.related.get("line_items", 0) for part in written)
        assert children == (len(FORMATS) * LINES if includes else 0)
    house.refused(export_id, *seam(made))


@dataclass
class Disturbance:
    """Does something to the first block of the stream of `path` in the first CSV part; `rows`: by how many."""

    path: tuple[str, ...]
    times: int  # that the block comes
    rows: int = 0

    def of(self, read: Callable[..., Iterator[Stream]]) -> Callable[..., Iterator[Stream]]:
        def wrong(session: Any, node: Any, part: Range, style: str) -> Iterator[Stream]:
            for stream in read(session, node, part, style):
                first = style == "csv" and part.low is None and not self.rows
                yield self._disturbed(stream) if first else stream

        return wrong

    def _disturbed(self, stream: Stream) -> Stream:
        if stream.path == self.path:
            return replace(stream, blocks=self._blocks(stream.blocks))
        return replace(stream, children=tuple(map(self._disturbed, stream.children)))

    def _blocks(self, blocks: Iterator[Block]) -> Iterator[Block]:
        first = next(blocks)
        self.rows = first.rows * (self.times - 1)
        yield from [first] * self.times
        yield from blocks


@pytest.mark.parametrize(
    ("includes", "path", "times", "matched"),
    [
        (FLAT, (), 0, ORDERS),
        (FLAT, (), 2, ORDERS),
        (NESTED, (), 2, ORDERS),
        (NESTED, ("line_items",), 0, LINES),
    ],
    ids=["dropped", "doubled", "doubled parents", "dropped children"],
)
def test_a_block_that_comes_not_once_fails_the_export(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    includes: tuple[str, ...],
    path: tuple[str, ...],
    times: int,
    matched: int,
) -> None:
    disturbance = Disturbance(path, times)
    monkeypatch.setattr(house.source.Session, "read", disturbance.of(house.source.Session.read))
    export_id = house.read(includes)
    assert disturbance.rows
    what = ".".join(path) or "rows"
    house.refused(
        export_id,
        f"orders as csv: {what}: {matched:,} matched, but {matched + disturbance.rows:,} were written",
    )


@pytest.mark.parametrize(
    ("path", "times"), [((), 0), (("line_items",), 2)], ids=["dropped parents", "doubled children"]
)
def test_children_that_find_no_parent_fail_the_export_before_a_file_is_made(
    house: House, monkeypatch: pytest.MonkeyPatch, path: tuple[str, ...], times: int
) -> None:
    disturbance = Disturbance(path, times)
    monkeypatch.setattr(house.source.Session, "read", disturbance.of(house.source.Session.read))
    house.refused(house.read(NESTED), "A row of line_items came without the row it belongs to")


def test_a_fragment_that_is_settled_twice_fails_the_export(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = pipeline.run
    doubled: list[int] = []

    def twice(*asked: Any) -> tuple[Fragment, ...]:
        made = write(*asked)
        if doubled or made[0].format != "ndjson":
            return made
        doubled.append(made[-1].rows)
        return (*made, replace(made[-1], seq=len(made)))

    monkeypatch.setattr(pipeline, "run", twice)
    export_id = house.read(FLAT)
    house.refused(
        export_id, f"orders as ndjson: rows: {ORDERS:,} matched, but {ORDERS + only(doubled):,} were written"
    )


def test_a_fragment_row_that_is_doubled_later_fails_the_export(house: House) -> None:
    export_id = house.read(FLAT)
    part = house.parts(export_id)[2]
    with house.ledger._write() as write:
        rows = tables.fragments.select().where(
            tables.fragments.c.export == export_id, tables.fragments.c.part == part.n
        )
        row = write.execute(rows).mappings().one()
        write.execute(tables.fragments.insert(), [dict(row) | {"seq": 1}])
    house.refused(export_id, f"part {part.n}: {part.rows:,} matched, but {2 * part.rows:,} were written")


def test_a_fragment_that_stands_in_for_another_of_as_many_rows_fails_the_export(house: House) -> None:
    export_id = house.read(FLAT)
    fragments = house.ledger.fragments(export_id)
    a, b = next((a, b) for a, b in pairwise(fragments[1:]) if (a.rows, a.format) == (b.rows, b.format))
    with house.ledger._write() as write:
        known = {name: getattr(a, name) for name in ("key", "length", "raw_length", "crc32", "sha256")}
        here = (tables.fragments.c.export == export_id, tables.fragments.c.part == b.part)
        write.execute(tables.fragments.update().where(*here).values(known))
    house.refused(export_id, f"{len(fragments)} fragments were recorded, but only {len(fragments) - 1} files")


def test_a_file_that_was_shortened_in_the_store_fails_the_export(house: House) -> None:
    export_id = house.read(NESTED)
    one = house.ledger.fragments(export_id)[1]
    with (house.store.root / one.key).open("r+b") as file:
        file.truncate(one.length - 1)
    house.refused(export_id, f"{one.length:,} bytes", f"{one.length - 1:,}.")
