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
from pyarrow import parquet

from outhaul import formats, siblings
from outhaul.blocks import Stream
from outhaul.errors import TooMuch
from tests import trees
from tests.trees import Row, Shape


def _read_csv(data: bytes) -> list[dict[str, Any]]:
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True))
    return [{**row, **{key: json.loads(row[key] or "null") for key in ("customer", "lines")}} for row in rows]


def _read_parquet(data: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(io.BytesIO(data)).to_pylist()
    return rows


# For each format a reader that is not ours, giving rows as dicts; nested ones parsed.
READERS: dict[str, Callable[[bytes], list[dict[str, Any]]]] = {
    "csv": _read_csv,
    "json": json.loads,
    "ndjson": lambda data: [json.loads(line) for line in data.decode().split("\n")[:-1]],
    "parquet": _read_parquet,
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


@pytest.fixture(
    params=[name for name in siblings.names(formats) if siblings.load(formats, name).JOINT is not None]
)
def joining(request: pytest.FixtureRequest) -> ModuleType:
    """A format whose fragments can be joined."""
    return siblings.load(formats, request.param)


def file_of(form: ModuleType, parts: list[list[Row]], random: Random | None = None) -> bytes:
    """A complete file: frame, and the joint between rows only; or the one file that the format itself makes."""
    return file_from(form, [trees.stream(ORDERS, part, random) for part in parts])


def file_from(form: ModuleType, streams: list[Stream]) -> bytes:
    node = ORDERS.node()
    opening, closing = form.opening(node), form.closing(node)
    if form.JOINT is None:
        made = [b"".join(bytes(piece.data) for piece in pieces) for pieces in form.files(node, streams)]
        assert len(made) <= 1, "there is no limit that a second file could be for"
        return made[0] if made else opening + closing
    texts = [bytes(piece.data) for stream in streams for piece in form.pieces(stream)]
    whole: bytes = opening + form.JOINT.join(texts) + closing
    return whole


def test_every_format_has_a_reader_of_others() -> None:
    assert set(READERS) == set(siblings.names(formats))


def test_a_format_is_called_as_its_files_end(form) -> None:
    assert form.__name__.rsplit(".", 1)[-1] == form.SUFFIX
    assert form.MEDIA_TYPE.count("/") == 1
    assert form.STYLE in {"csv", "json", "typed"}
    assert form.JOINT is None or isinstance(form.JOINT, bytes)
    assert isinstance(form.CODECS, tuple)


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


def test_no_rows_make_no_pieces(joining) -> None:
    assert list(joining.pieces(trees.stream(ORDERS, []))) == []


def test_no_rows_make_no_file_but_the_empty_one(form) -> None:
    if form.JOINT is None:
        assert list(form.files(ORDERS.node(), [trees.stream(ORDERS, []), trees.stream(ORDERS, [])])) == []
    assert READERS[form.SUFFIX](form.opening(ORDERS.node()) + form.closing(ORDERS.node())) == []


def test_the_text_does_not_depend_on_how_blocks_are_cut(form) -> None:
    rows = orders(60)
    assert len({file_of_random(form, rows, seed) for seed in range(6)}) == 1


def file_of_random(form: ModuleType, rows: list[Row], seed: int) -> bytes:
    random = Random(seed)
    if form.JOINT is None:
        cut = random.randint(0, len(rows))
        return file_of(form, [rows[:cut], rows[cut:]], random)
    pieces = form.pieces(trees.stream(ORDERS, rows, random), borders=True)
    joint: bytes = form.JOINT
    return joint.join(bytes(piece.data) for piece in pieces)


@pytest.fixture(
    params=[name for name in siblings.names(formats) if siblings.load(formats, name).JOINT is None]
)
def apart(request: pytest.FixtureRequest) -> ModuleType:
    """A format whose files end where it says."""
    return siblings.load(formats, request.param)


def files_of(form: ModuleType, rows: list[Row], **limits: int) -> list[tuple[bytes, int, dict[str, int]]]:
    """Each file's bytes, and how many rows and child rows were told to be in it."""
    made = []
    for pieces in form.files(ORDERS.node(), [trees.stream(ORDERS, rows, Random(5))], **limits):
        data, count, related = b"", 0, dict[str, int]()
        for piece in pieces:
            data += piece.data
            count += piece.rows
            for path, counts in piece.related.items():
                related[path] = related.get(path, 0) + int(counts.sum())
        made.append((data, count, related))
    return made


def test_files_of_few_rows_hold_them_all_in_order(apart) -> None:
    rows = orders(50)
    made = files_of(apart, rows, most_rows=7)
    assert [count for _, count, _ in made] == [7] * 7 + [1]
    read = [row for data, _, _ in made for row in READERS[apart.SUFFIX](data)]
    assert [int(row["id"]) for row in read] == list(range(50))
    for data, _, related in made:
        assert related == trees.counts(ORDERS, READERS[apart.SUFFIX](data))


def test_files_of_few_bytes_are_no_larger(apart) -> None:
    rows = orders(3000)
    made = files_of(apart, rows, most_bytes=60_000)
    assert len(made) > 1
    assert max(len(data) for data, _, _ in made) <= 60_000
    assert sum(count for _, count, _ in made) == 3000
    with pytest.raises(TooMuch):
        files_of(apart, rows, most_bytes=500)


def test_borders_cut_the_text_into_its_rows(joining) -> None:
    form = joining
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
import resource
import sys
from itertools import chain
import pyarrow as pa
from outhaul import formats, siblings
from outhaul.blocks import Block, Stream
from tests.trees import Shape

fed = 0

def column(value, count):
    global fed
    fed += count * len(value)
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
form, stream = siblings.load(formats, sys.argv[1]), Stream(shape.node(), (), roots(), kinds, (child,))
for piece in form.pieces(stream) if form.JOINT is not None else chain.from_iterable(form.files(stream.node, [stream])):
    rows += piece.rows
    size += len(piece.data)
assert size
print(rows, fed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def peak(form: ModuleType, parents: int, each: int, size: int, own: int) -> tuple[int, int]:
    """Bytes of values, and the most megabytes that the process had in memory."""
    words = [form.SUFFIX, str(parents), str(each), str(size), str(own)]
    said = subprocess.run(
        [sys.executable, "-c", WRITER, *words], capture_output=True, text=True, check=True
    ).stdout
    rows, fed, megabytes = map(int, said.split())
    assert rows == parents
    assert fed > parents * (each * size + own)
    return fed, megabytes


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(name, marks=pytest.mark.heavy if name == "ndjson" else ())  # as json, but for its frame
        for name in siblings.names(formats)
    ],
    indirect=True,
)
def test_memory_stays_flat_over_giant_parents_and_giant_rows(form) -> None:
    _, least = peak(form, 10, 2, 10, 10)
    for case in [(1, 1_000_000, 40, 10), (150, 50, 20_000, 10), (12, 1, 10, 10_000_000)]:
        fed, most = peak(form, *case)
        assert fed > 40_000_000
        print(form.SUFFIX, case, most - least)
        assert most - least < 180, case


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_memory_stays_flat_over_twenty_thousand_parents_with_a_megabyte_of_children_each() -> None:
    form = siblings.load(formats, "json")
    _, least = peak(form, 10, 2, 10, 10)
    fed, most = peak(form, 20_000, 50, 20_000, 10)
    assert fed > 20_000_000_000
    assert most - least < 180
