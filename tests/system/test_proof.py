"""The manifest proves its files: whatever is changed in either, `outhaul verify` finds it."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system import _outhaul, _shop
from tests.system._outhaul import Run
from tests.system._shop import Shop

SHOP = Shop(orders=400)


@pytest.fixture(scope="module")
def source(room: Path) -> str:
    return _shop.fill_sqlite(room / "shop.db", SHOP)


@pytest.fixture(scope="module")
def whole(source: str, room: Path) -> Path:
    """A folder with three or more numbered files and their manifest."""
    run = _outhaul.export(
        source, "orders", room, format="ndjson", include="line_items", part_size=20_000, parts=True
    )
    assert len(run.complete().files) >= 3
    return run.folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "copy")
    return tmp_path / "copy"


def verify(folder: Path) -> Run:
    return _outhaul.inside("verify", folder / "manifest.json", at=folder.parent, folder=folder)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != "manifest.json")


def flip(folder: Path) -> str:
    data = bytearray(files(folder)[1].read_bytes())
    data[len(data) // 2] ^= 1
    files(folder)[1].write_bytes(data)
    return files(folder)[1].name


def shorten(folder: Path) -> str:
    files(folder)[1].write_bytes(files(folder)[1].read_bytes()[:-1])
    return files(folder)[1].name


def lengthen(folder: Path) -> str:
    files(folder)[1].write_bytes(files(folder)[1].read_bytes() + b"\n")
    return files(folder)[1].name


def remove(folder: Path) -> str:
    gone = files(folder)[1]
    gone.unlink()
    return gone.name


def swap(folder: Path) -> str:
    one, other = files(folder)[:2]
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)
    return one.name


def add(folder: Path) -> str:
    first = files(folder)[0]
    shutil.copy(first, folder / f"z{first.name}")
    return f"z{first.name}"


@pytest.mark.parametrize(
    "damage", [flip, shorten, lengthen, remove, swap, add], ids=lambda damage: damage.__name__
)
def test_each_damage_to_files_is_found_and_named(damage: Callable[[Path], str], copy: Path) -> None:
    name = damage(copy)
    found = verify(copy)
    assert found.code == 1, found.said
    assert name in found.said
    assert "Traceback" not in found.said


def test_files_that_nobody_touched_hold_wherever_they_are_carried(
    form: str, source: str, tmp_path: Path
) -> None:
    run = _outhaul.export(
        source, "orders", tmp_path, format=form, compress="gzip", include="line_items"
    ).complete()
    shutil.move(run.folder, tmp_path / "elsewhere")
    found = verify(tmp_path / "elsewhere")
    assert found.code == 0, found.said


def test_numbered_files_that_nobody_touched_hold(copy: Path) -> None:
    assert verify(copy).code == 0


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Ways to all numbers and texts of a manifest."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield path


def edited(value: Any) -> Any:
    return value + 1 if isinstance(value, int | float) else value + "x"


def test_an_edited_manifest_is_found(copy: Path) -> None:
    path = copy / "manifest.json"
    text = path.read_text()
    ways = list(leaves(json.loads(text)))
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    for way in random.Random(seed).sample(ways, 5):
        manifest = json.loads(text)
        inside = manifest
        for step in way[:-1]:
            inside = inside[step]
        inside[way[-1]] = edited(inside[way[-1]])
        path.write_text(json.dumps(manifest))
        assert verify(copy).code == 1, f"{way} was edited"
    for broken in ("", "[]", text[:-5]):
        path.write_text(broken)
        found = verify(copy)
        assert found.code != 0
        assert "Traceback" not in found.said


def test_the_manifest_tells_what_was_asked_and_counted(source: str, tmp_path: Path) -> None:
    run = _outhaul.export(
        source, "orders", tmp_path, include="line_items", filter="total_gt=500", compress="gzip"
    ).complete()
    text = json.dumps(run.manifest)
    matched = len(run.rows())
    assert 0 < matched < SHOP.orders
    for fact in ("orders", "line_items", "total_gt", "500", "sha256", "crc32", "snapshot"):
        assert fact in text, fact
    for secret in ("password", "token"):
        assert secret not in text
    assert text.count(f": {matched}") >= 2, "rows matched and rows written"
