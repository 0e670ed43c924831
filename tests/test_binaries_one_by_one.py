"""How far the copying of binaries has come: told after each, whatever object it is put into, and stopped between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from outhaul import binaries
from outhaul.blocks import Block, Range, Stream
from outhaul.catalog import Type
from outhaul.export import Part
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


class Over(Exception):
    """What a test stops a run by."""


def test_a_run_that_is_stopped_leaves_nothing(plan: Any, tmp_path: Path) -> None:
    told: list[int] = []

    def stop() -> None:
        if len(told) == 4:
            raise Over

    store = FileStore(tmp_path / "objects")
    with pytest.raises(Over):
        binaries.run(Session(), plan, PART, store, stop, told.append)
    assert list(store.keys()) == []
