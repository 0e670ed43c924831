"""What every format promises, run for each sibling."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from random import Random
from types import ModuleType
from typing import Any

import pytest

from outhaul import formats, siblings
from tests import trees
from tests.trees import Row, Shape


def _read_csv(data: bytes) -> list[dict[str, Any]]:
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True))
    return [{**row, **{key: json.loads(row[key] or "null") for key in ("customer", "lines")}} for row in rows]


# For each format a reader that is not ours, giving rows as dicts; nested ones parsed.
READERS: dict[str, Callable[[bytes], list[dict[str, Any]]]] = {
    "csv": _read_csv,
    "json": json.loads,
    "ndjson": lambda data: [json.loads(line) for line in data.decode().split("\n")[:-1]],
}

ORDERS = Shape(
    {"id": "raw", "n ame": "str"},
    ones={"customer": Shape({'na"me': "str"})},
    manys={"lines": Shape({"n": "raw"}, manys={"taxes": Shape({"r": "raw"})})},
)


def orders(count: int, seed: int = 1) -> list[Row]:
    random = Random(seed)
    return [
        {
            "id": str(number),
            "n ame": "".join(random.choices('a",\n\\é{}[]\u2028\x01', k=random.randrange(1, 9))),
            "customer": random.choice([None, {'na"me': "A\nB"}]),
            "lines": [
                {"n": str(n), "taxes": [{"r": "1"}] * random.randrange(2)} for n in range(random.randrange(3))
            ],
        }
        for number in range(count)
    ]


@pytest.fixture(params=siblings.names(formats))
def form(request: pytest.FixtureRequest) -> ModuleType:
    return siblings.load(formats, request.param)


def file_of(form: ModuleType, parts: list[list[Row]]) -> bytes:
    """A complete file: frame, and the joint between rows only."""
    node = ORDERS.node()
    texts = [bytes(piece.data) for part in parts for piece in form.pieces(trees.stream(ORDERS, part))]
    whole: bytes = form.opening(node) + form.JOINT.join(texts) + form.closing(node)
    return whole


def test_every_format_has_a_reader_of_others() -> None:
    assert set(READERS) == set(siblings.names(formats))


def test_a_format_is_called_as_its_files_end(form) -> None:
    assert form.__name__.rsplit(".", 1)[-1] == form.SUFFIX
    assert form.MEDIA_TYPE.count("/") == 1
    assert form.STYLE in {"csv", "json"}
    assert isinstance(form.JOINT, bytes)


@pytest.mark.parametrize(
    "parts", [[], [[]], [[], []], [orders(1)], [orders(3), [], orders(40, 2), []]], ids=len
)
def test_any_number_of_parts_make_one_file_that_others_read(form, parts) -> None:
    rows = [row for part in parts for row in part]
    read = READERS[form.SUFFIX](file_of(form, parts))
    assert [int(row["id"]) for row in read] == [int(row["id"]) for row in rows]
    assert [row["n ame"] for row in read] == [row["n ame"] for row in rows]
    assert [row["customer"] for row in read] == [row["customer"] for row in rows]
    assert [len(row["lines"]) for row in read] == [len(row["lines"]) for row in rows]


def test_rows_are_counted_by_reading(form) -> None:
    cases: list[list[list[Row]]] = [[], [[]], [orders(1)], [orders(7), orders(30, 2)]]
    for parts in cases:
        data = file_of(form, parts)
        chunks = [data[at : at + 11] for at in range(0, len(data), 11)]
        assert form.rows_in(chunks) == sum(map(len, parts))


def test_no_rows_make_no_pieces(form) -> None:
    assert list(form.pieces(trees.stream(ORDERS, []))) == []


def test_the_text_does_not_depend_on_how_blocks_are_cut(form) -> None:
    rows = orders(60)
    assert len({file_of_random(form, rows, seed) for seed in range(6)}) == 1


def file_of_random(form: ModuleType, rows: list[Row], seed: int) -> bytes:
    pieces = form.pieces(trees.stream(ORDERS, rows, Random(seed)), borders=True)
    joint: bytes = form.JOINT
    return joint.join(bytes(piece.data) for piece in pieces)


def test_borders_cut_the_text_into_its_rows(form) -> None:
    rows = orders(20)
    for piece in form.pieces(trees.stream(ORDERS, rows, Random(3)), borders=True):
        assert len(piece.offsets) == piece.rows + 1
        assert (piece.offsets[0], piece.offsets[-1]) == (0, len(piece.data))
    (piece,) = form.pieces(trees.stream(ORDERS, rows), borders=True)
    node = ORDERS.node()
    for number in range(20):
        end = piece.offsets[number + 1] - (len(form.JOINT) if number < 19 else 0)
        alone = form.opening(node) + bytes(piece.data[piece.offsets[number] : end]) + form.closing(node)
        assert [int(row["id"]) for row in READERS[form.SUFFIX](alone)] == [number]


# Memory: a child process writes one kind of hard rows and tells its peak.
WRITER = """
import functools
import resource
import sys
import pyarrow as pa
from outhaul import formats, siblings
from outhaul.blocks import Block, Stream
from tests.trees import Shape

@functools.lru_cache(8)
def column(value, count):
    return pa.array([value] * count, pa.binary())

def lines(keys, each, size):
    for key in keys:
        for start in range(0, each, 5000):
            count = min(5000, each - start)
            values = {("n",): column(b"1", count), ("t",): column((b"x" * 99 + b'"') * (size // 100 + 1), count)}
            yield Block(count, values, anchor=column(key, count))

shape = Shape({"id": "raw", "t": "str"}, manys={"lines": Shape({"n": "raw", "t": "str"})})
kinds = {("id",): "raw", ("t",): "str"}
parents, each, size, own = (int(word) for word in sys.argv[2:])
keys = [b"%d" % number for number in range(parents)]

def roots():
    most = 10_000 if own < 1000 else 1
    for start in range(0, parents, most):
        some = keys[start:start + most]
        ids, text = pa.array(some, pa.binary()), (b"x" * 99 + b"\\n") * (own // 100 + 1)
        yield Block(len(some), {("id",): ids, ("t",): column(text, len(some))}, own=ids)

below = shape.manys["lines"].node("lines", many=True)
child = Stream(below, ("lines",), lines(keys, each, size), {("n",): "raw", ("t",): "str"})
rows = size = 0
for piece in siblings.load(formats, sys.argv[1]).pieces(Stream(shape.node(), (), roots(), kinds, (child,))):
    rows += piece.rows
    size += len(piece.data)
print(rows, size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def peak(form: ModuleType, parents: int, each: int, size: int, own: int) -> tuple[int, int]:
    """Bytes written, and the most megabytes that the process had in memory."""
    words = [form.SUFFIX, str(parents), str(each), str(size), str(own)]
    said = subprocess.run(
        [sys.executable, "-c", WRITER, *words], capture_output=True, text=True, check=True
    ).stdout
    rows, written, megabytes = map(int, said.split())
    assert rows == parents
    assert written > parents * (each * size + own)
    return written, megabytes


def test_memory_stays_flat_over_giant_parents_and_giant_rows(form) -> None:
    _, least = peak(form, 10, 2, 10, 10)
    for case in [(1, 1_000_000, 40, 10), (150, 50, 20_000, 10), (12, 1, 10, 10_000_000)]:
        written, most = peak(form, *case)
        assert written > 40_000_000
        assert most - least < 180, case


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_memory_stays_flat_over_twenty_thousand_parents_with_a_megabyte_of_children_each() -> None:
    form = siblings.load(formats, "json")
    _, least = peak(form, 10, 2, 10, 10)
    written, most = peak(form, 20_000, 50, 20_000, 10)
    assert written > 20_000_000_000
    assert most - least < 180
