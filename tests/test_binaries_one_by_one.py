"""Binaries one by one: told of when they are copied, taken ahead where the way is long, stopped between."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from outhaul import binaries
from outhaul.blocks import Block, Range, Stream
from outhaul.catalog import Type
from outhaul.errors import UnreadableValue
from outhaul.export import Part
from outhaul.origins import Unfit
from outhaul.plan import BINARY, Column
from outhaul.stores.file import FileStore
from tests import drafts

COUNT = 7
PART = Part("e", 1, 0, BINARY, Range().to_data(), 1, 1)


class Session:
    """Rows of a hand-made block, each with a path."""

    def read(self, node: Any, part: Any, style: Any) -> Iterator[Stream]:
        texts = {"id": [b"%d" % n for n in range(COUNT)], "at": [b"%d" % n for n in range(COUNT)]}
        columns: dict[tuple[str, ...], Any] = {
            (name,): pa.array(values, pa.binary()) for name, values in texts.items()
        }
        yield Stream(node, (), iter([Block(COUNT, columns)]), {})


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    (tmp_path / "kept").mkdir()
    for n in range(COUNT):
        (tmp_path / "kept" / str(n)).write_bytes(b"x" * n)
    columns = tuple(Column(name, name, Type.TEXT, "text", nullable=False) for name in ("id", "at"))
    node = replace(drafts.node("files"), columns=columns, key=columns[:1], binary=str(tmp_path / "kept"))
    return replace(drafts.plan(), selections=(node,))


@pytest.mark.parametrize("most", [1, 3, 100])
def test_each_binary_is_told_of_when_it_is_copied(
    plan: Any, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "MOST", most)
    told: list[int] = []
    store = FileStore(tmp_path / "objects")
    made = binaries.run(Session(), plan, PART, store, lambda: None, told.append)
    assert told == list(range(1, COUNT + 1))
    assert sum(one.rows for one in made) == COUNT


class Far:
    """An origin to which the way is long: it answers when so many have asked, and not for the one in `without`."""

    AHEAD = 3

    def __init__(self, without: bytes = b"") -> None:
        self._without = without
        self._together = threading.Barrier(self.AHEAD)

    def look(self) -> None:
        """It answers."""

    def take(self, path: bytes) -> Any:
        if int(path) < COUNT - COUNT % self.AHEAD:
            self._together.wait(20)
        if path == self._without:
            raise Unfit("is not there")
        return At(path)


class At:
    def __init__(self, path: bytes) -> None:
        self._data, self.length = path, len(path)

    def read(self) -> Iterator[bytes]:
        yield self._data

    def close(self) -> None:
        """Nothing is open."""


def test_what_is_far_away_is_taken_ahead_and_copied_in_its_turn(
    plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "origin", lambda _: Far())
    store = FileStore(tmp_path / "objects")
    made = binaries.run(Session(), plan, PART, store, lambda: None, lambda _: None)
    told = b"".join(store.read(made[1].key)).splitlines()
    assert [json.loads(line)["name"] for line in told] == [f"files/files/{n}/{n}" for n in range(COUNT)]
    assert b"".join(store.read(made[0].key)).count(b"files/files/") == COUNT


def test_one_that_cannot_be_had_is_told_by_its_row_however_many_are_under_way(
    plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "origin", lambda _: Far(b"4"))
    told: list[int] = []
    with pytest.raises(UnreadableValue, match="files 4 is not there"):
        binaries.run(Session(), plan, PART, FileStore(tmp_path / "objects"), lambda: None, told.append)
    assert told == [1, 2, 3, 4]


class Over(Exception):
    """What a test stops a run by."""


def test_a_run_is_stopped_while_a_binary_is_on_its_way(
    plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, asked = threading.Event(), threading.Event()

    class Slow(Far):
        def take(self, path: bytes) -> Any:
            asked.set()
            arrived.wait(20)
            return At(path)

    def stop() -> None:
        if asked.is_set():
            raise Over

    monkeypatch.setattr(binaries, "origin", lambda _: Slow())
    monkeypatch.setattr(binaries, "TICK", 0.01)
    with pytest.raises(Over):
        binaries.run(Session(), plan, PART, FileStore(tmp_path / "objects"), stop, lambda _: None)
    arrived.set()


def test_a_run_that_is_stopped_leaves_nothing(plan: Any, tmp_path: Path) -> None:
    told: list[int] = []

    def stop() -> None:
        if len(told) == 4:
            raise Over

    store = FileStore(tmp_path / "objects")
    with pytest.raises(Over):
        binaries.run(Session(), plan, PART, store, stop, told.append)
    assert list(store.keys()) == []
