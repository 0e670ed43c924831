"""`consistency: part`: each part is of its own instant, no row that stays is lost or doubled, no part run again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from outhaul import downloads, manifest, plan, reconcile, siblings, sources, stores
from outhaul.errors import Refused, Unproven, WrongValue
from outhaul.export import Draft, Export, Selection, Status
from outhaul.ledger import Ledger
from outhaul.worker.runs import Place, Worker
from tests import databases, drafts
from tests.catalogs import EVERYBODY, FORMATS, SHOP
from tests.databases import Database

ROWS = 400
TABLES = (
    "CREATE TABLE things (id integer PRIMARY KEY, v integer NOT NULL, filler text)",
    "CREATE TABLE bits (id integer PRIMARY KEY, thing_id integer REFERENCES things, v integer NOT NULL)",
    "CREATE TABLE words (word text PRIMARY KEY, v integer NOT NULL)",
)


@pytest.fixture(params=["postgresql", "sqlite"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    place = tmp_path / "shop.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with getattr(databases, request.param)(place) as database:
        database.run(*(["PRAGMA journal_mode = wal"] if request.param == "sqlite" else []), *TABLES)
        database.fill("things", [(10 * n, 0, "x" * (n % 90)) for n in range(1, ROWS + 1)])
        database.fill("bits", [(n, 10 * (1 + n % ROWS), 0) for n in range(1, 2 * ROWS)])
        database.fill("words", [(f"{n * 7919 % ROWS:05}-{'x' * 60}", 0) for n in range(ROWS)])
        if request.param == "postgresql":
            database.run("ANALYZE")
        yield database


def elsewhere(database: Database, *statements: str) -> None:
    """A SQLite file is written by another process: one process opens it with one library."""
    if database.dialect == "postgresql":
        database.run(*statements)
        return
    words = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); [c.execute(s) for s in sys.argv[2:]]; c.commit()"
    path = database.url.removeprefix("sqlite:///")
    subprocess.run([sys.executable, "-S", "-c", words, path, *statements], check=True, timeout=60)


def change(database: Database, step: int) -> None:
    """Every row is moved, some are taken away and some added, before and behind what has been read."""
    some = (
        f"DELETE FROM bits WHERE thing_id IN (SELECT id FROM things WHERE id % 310 = {10 * step})",
        f"DELETE FROM things WHERE id % 310 = {10 * step}",
        f"INSERT INTO things SELECT id + {step}, 0, filler FROM things WHERE id % 290 = 0 AND id % 10 = 0",
    )
    every = (
        f"UPDATE things SET v = {step}, filler = filler || 'y'",
        f"UPDATE bits SET v = {step}",
        f"UPDATE words SET v = {step}",
    )
    elsewhere(database, *(some if step < 10 else ()), *every)


class Engine:
    """Keeps deliveries until they are asked for."""

    slots = 1

    def __init__(self) -> None:
        self.waiting: list[Mapping[str, Any]] = []

    def deliver(self, delivery: Mapping[str, Any], holder: str | None, first: bool) -> None:
        self.waiting.append(delivery)

    def forget(self, export: str, part: int, attempt: int) -> None: ...

    def alive(self) -> list[str]:
        return []

    def deaths(self) -> list[str]:
        return []


class House:
    """A ledger, a store and a worker in this process, which work one part at a time."""

    def __init__(self, ledger: Ledger, url: str, folder: Path) -> None:
        self.ledger, self.url = ledger, url
        self.engine = Engine()
        self.store = siblings.load(stores, "file").open_store(f"file://{folder / 'objects'}")
        self.worker = Worker(ledger, Place(url, folder, 1 << 30), self.store, "w1")

    def create(self, resource: str, *includes: str, part_bytes: int = 5_000, form: str = "ndjson") -> Export:
        catalog = siblings.load(sources, self.url.partition(":")[0]).reflect(self.url)
        draft = Draft(
            (Selection(resource, includes=includes),),
            formats=(form,),
            consistency="part",
            part_bytes=part_bytes,
        )
        made = plan.build(catalog, draft, EVERYBODY, formats=FORMATS)
        return self.ledger.create(caller=EVERYBODY, draft=draft, plan=made, matched=None)

    def turn(self) -> bool:
        """One part, or nothing left to do."""
        reconcile.once(self.ledger, self.engine, self.store, lambda _: None)
        if not self.engine.waiting:
            return False
        one = self.engine.waiting.pop(0)
        self.worker.run(one["export"], one["part"], one["attempt"])
        return True

    def finish(self, export: Export, between: Callable[[int], None] = lambda _: None) -> Export:
        step = 0
        while self.turn():
            step += 1
            between(step)
        return self.ledger.get(export.id)

    def publish(self, export: Export, folder: Path) -> tuple[bytes, dict[str, Any]]:
        """The only file and the manifest, verified."""
        folder.mkdir()
        (file,) = self.ledger.artifacts(export.id)
        text = b"".join(downloads.read(file, self.store))
        (folder / file.name).write_bytes(text)
        key = self.ledger.manifest_key(export.id)
        assert key
        (folder / "manifest.json").write_bytes(b"".join(self.store.read(key)))
        assert manifest.verify_folder(folder, deep=True) == ()
        return text, json.loads((folder / "manifest.json").read_bytes())


@pytest.fixture
def house(shop: Database, tmp_path: Path) -> Iterator[House]:
    with drafts.opened(drafts.sqlite_url(tmp_path)) as ledger:
        made = House(ledger, shop.url, tmp_path)
        made.worker.pulse.start()
        yield made
        made.worker.close()
        made.worker.pulse.close()


@pytest.mark.parametrize("includes", [(), ("bits",)])
def test_rows_that_stay_are_there_once_however_others_move_come_and_go(
    shop: Database, house: House, tmp_path: Path, includes: tuple[str, ...]
) -> None:
    export = house.create("things", *includes, part_bytes=5_000 if not includes else 8_000)
    done = house.finish(export, lambda step: change(shop, step))
    assert done.status is Status.COMPLETED, done.errors
    text, proof = house.publish(export, tmp_path / "files")
    rows = [json.loads(line) for line in text.splitlines()]
    times = Counter(row["id"] for row in rows)
    gone = {10 * step for step in range(1, min(10, done.parts + 2))}
    stayed = {10 * n for n in range(1, ROWS + 1) if 10 * n % 310 not in gone}
    assert len(stayed) > ROWS / 3
    assert all(times[one] == 1 for one in stayed)
    assert set(times.values()) == {1}
    parts = proof["parts"]
    assert proof["consistency"] == "part"
    assert proof["instant_at"] is None
    assert len(parts) == done.parts > 4
    assert sorted(part["instant_at"] for part in parts) == [part["instant_at"] for part in parts]
    assert len({part["instant_at"] for part in parts}) == len(parts)
    assert all(part["matched"] == {"": part["rows"], **part["related"]} for part in parts)
    assert proof["selections"][0]["matched"][""] == done.matched == done.processed == len(rows)
    at = 0
    for part in parts:  # each is of one instant: all its rows bear the mark of the same change
        found = rows[at : at + part["rows"]]
        at += part["rows"]
        assert len({row["v"] for row in found}) <= 2
        marks = {bit["v"] for row in found for bit in row.get("bits", ())}
        assert len(marks) <= 1
        assert {row["v"] for row in found if row["id"] in stayed} == {part["part"]}


def test_a_text_key_is_cut_and_chains_too(shop: Database, house: House, tmp_path: Path) -> None:
    export = house.create("words", form="csv")
    done = house.finish(export, lambda step: change(shop, step))
    assert done.status is Status.COMPLETED, done.errors
    text, proof = house.publish(export, tmp_path / "files")
    words = [line.partition(b",")[0] for line in text.splitlines()[1:]]
    assert len(words) == len(set(words)) == ROWS
    assert len(proof["parts"]) > 4
    assert {part["range"]["by"] for part in proof["parts"]} == {"key"}


def test_tables_rewritten_between_parts_do_no_harm_and_altered_ones_end_the_export(
    shop: Database, house: House
) -> None:
    rewrite = "VACUUM FULL things" if shop.dialect == "postgresql" else "VACUUM"
    first = house.create("things")
    done = house.finish(first, lambda step: elsewhere(shop, rewrite) if step == 3 else None)
    assert done.status is Status.COMPLETED, done.errors
    assert done.matched == ROWS
    second = house.create("things")
    alter = "ALTER TABLE things RENAME COLUMN filler TO filling"
    failed = house.finish(second, lambda step: elsewhere(shop, alter) if step == 3 else None)
    assert failed.status is Status.FAILED
    assert failed.errors[0]["error"] == "SchemaChanged"


def test_an_interrupted_export_goes_on_with_its_finished_parts(shop: Database, house: House) -> None:
    export = house.create("things")
    for _ in range(4):
        house.turn()
    house.ledger.interrupt(export.id)
    house.engine.waiting.clear()
    before = {one.key for one in house.ledger.fragments(export.id)}
    assert len(before) == 3
    house.ledger.start(export.id)
    done = house.finish(export)
    assert done.status is Status.COMPLETED
    assert done.generation == 1
    assert before < {one.key for one in house.ledger.fragments(export.id)}


def test_what_could_not_be_proven_begins_anew_when_started(shop: Database, house: House) -> None:
    export = house.create("things")
    while house.turn() and len(house.ledger.fragments(export.id)) < 2:
        pass
    house.store.delete(house.ledger.fragments(export.id)[0].key)
    failed = house.finish(export)
    assert [one["error"] for one in failed.errors] == ["Unproven"]
    house.ledger.start(export.id)
    assert house.finish(export).status is Status.COMPLETED


def test_a_part_that_holds_other_rows_than_it_counted_is_unproven(house: House) -> None:
    export = house.create("things")
    house.finish(export)
    facts = house.ledger.facts(export.id)
    assert facts
    reconcile.prove(facts, house.store.size)
    first, second, *rest = facts.parts
    assert first.instant
    wrong = replace(first, instant=replace(first.instant, matched={"": first.rows + 1}))
    with pytest.raises(Unproven, match=f"{first.rows + 1} matched, but {first.rows} were written"):
        reconcile.prove(replace(facts, parts=(wrong, second, *rest)), house.store.size)
    with pytest.raises(Unproven, match="not counted under its own instant"):
        reconcile.prove(replace(facts, parts=(replace(first, instant=None), second, *rest)), house.store.size)


def test_a_part_of_a_manifest_that_disagrees_with_its_own_count_is_found(
    house: House, tmp_path: Path
) -> None:
    export = house.create("things")
    house.finish(export)
    _, proof = house.publish(export, tmp_path / "files")
    proof["parts"][0]["matched"][""] += 1
    proof["sha256"] = manifest.own_hash(proof)
    (tmp_path / "files" / "manifest.json").write_bytes(manifest.to_bytes(proof))
    found = [str(one) for one in manifest.verify_folder(tmp_path / "files")]
    rows = proof["parts"][0]["rows"]
    assert found == [f"manifest.json: rows of part 1: expected {rows + 1}, found {rows}"]


@pytest.mark.parametrize(
    "asked",
    [
        {"consistency": "some"},
        {"consistency": "part", "formats": ("csv", "json")},
        {"consistency": "part", "selections": (Selection("orders", sort=("code",)),)},
    ],
)
def test_what_cannot_be_of_several_instants_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(WrongValue) as caught:
        plan.build(SHOP, Draft(**{"selections": (Selection("orders"),)} | asked), EVERYBODY, formats=FORMATS)
    assert caught.value.where == ("consistency",)
    assert isinstance(caught.value, Refused)
