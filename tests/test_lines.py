"""Related rows as columns and as lines of a table read as a slow and obvious writer would have written them."""

from __future__ import annotations

import csv as python_csv
import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outhaul.blocks import Piece, Stream
from outhaul.formats import _columns, _nest, _pieces, csv, json
from outhaul.tabular import LINES, Tabular
from tests import trees
from tests.test_assemble import rows_of, shapes, text_of
from tests.trees import Row, Shape

Line = list[str | None]


@st.composite
def laid(draw: st.DrawFn, shape: Shape, lined: str = "") -> Shape:
    """The shape with a way for each relationship: at most one of them has lines of its own beside any line. `lined`:
    whether all such lines stand beside rows without any (rows), or in a file of their own (files)."""
    rows = draw(st.sampled_from([None, *_manys(shape)]))
    return _laid(draw, shape, rows or (), lined or draw(st.sampled_from(["rows", "files"])))


def _manys(shape: Shape) -> list[tuple[str, ...]]:
    """Paths of the relationships to many that no other one to many stands above."""
    found = [(key,) for key in shape.manys]
    return found + [(key, *path) for key, one in shape.ones.items() for path in _manys(one)]


def _laid(draw: st.DrawFn, shape: Shape, rows: tuple[str, ...], lined: str) -> Shape:
    ones = {}
    for key, child in shape.ones.items():
        on_the_way = rows[:1] == (key,)
        nested = "columns" if on_the_way else draw(st.sampled_from(["json", "columns"]))
        below = _laid(draw, child, rows[1:] if on_the_way else (), lined) if nested == "columns" else child
        ones[key] = replace(below, nested=nested)
    manys = {
        key: replace(draw(laid(child, lined)), nested=lined) if rows == (key,) else child
        for key, child in shape.manys.items()
    }
    return replace(shape, ones=ones, manys=manys)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Shape, list[Row]]:
    shape = draw(shapes().flatmap(laid))
    return shape, draw(rows_of(shape))


def header(shape: Shape, at: str = "") -> list[str]:
    """Own columns, then what stands beside, then what has lines of its own."""
    names = [f"{at}{key}" for key in shape.columns]
    for key, child in sorted(_below(shape), key=lambda one: spreads(one[1])):
        names += [f"{at}{key}"] if child.nested == "json" else header(child, f"{at}{key}.")
    return names


def _below(shape: Shape) -> list[tuple[str, Shape]]:
    return [*shape.ones.items(), *shape.manys.items()]


def spreads(shape: Shape) -> bool:
    return shape.nested in {"rows", "files"} or (
        shape.nested == "columns" and any(spreads(child) for _, child in _below(shape))
    )


def lines(shape: Shape, row: Row | None) -> Iterator[Line]:
    """All lines of one row; of none, one line without values."""
    cells: Line = [row[key] if row else None for key in shape.columns]
    tails: list[Line] = [[]]
    for key, child in sorted(_below(shape), key=lambda one: spreads(one[1])):
        inner = row[key] if row else None
        if child.nested == "columns":
            tails = list(lines(child, inner))
        elif child.nested == "rows":
            tails = [line for one in inner or [None] for line in lines(child, one)]
        elif child.nested == "files":
            tails = [line for one in inner or [] for line in lines(child, one)]
        elif key in shape.manys:
            inside = ",".join(trees.written(child, one) for one in inner or [])
            cells.append(None if row is None else f"[{inside}]")
            continue
        else:
            cells.append(None if inner is None else trees.written(child, inner))
            continue
        if not spreads(child):
            cells, tails = cells + tails[0], [[]]
    yield from (cells + tail for tail in tails)


def written(shape: Shape, rows: list[Row]) -> bytes:
    alone = len(header(shape)) == 1
    cells = (
        [trees.csv_cell(cell, alone=alone) for cell in line] for row in rows for line in lines(shape, row)
    )
    return "".join(",".join(line) + "\n" for line in cells).encode()


def total(pieces: list[Piece]) -> dict[str, int]:
    found: dict[str, int] = {}
    for piece in pieces:
        for path, numbers in piece.related.items():
            found[path] = found.get(path, 0) + int(numbers.sum())
    return found


def check(shape: Shape, rows: list[Row], random: Random) -> None:
    made = list(csv.pieces(trees.stream(shape, rows, random), borders=True))
    text = text_of(csv, made)
    assert text == written(shape, rows)
    assert sum(piece.rows for piece in made) == len(rows)
    if not made:
        return
    found = total(made)
    if spreads(replace(shape, nested="columns")):
        assert found.pop(LINES) == sum(1 for row in rows for _ in lines(shape, row))
    counts, last = trees.counts(shape, rows), file_of(shape)
    if last:  # what is above it stands in other files
        found, counts = {last: found[last]}, {last: counts[last]}
    assert found == counts
    for piece in made:
        if piece.offsets is not None:
            ends = [bytes(piece.data[: int(end)]) for end in piece.offsets[1:]]
            assert all(one.endswith(b"\n") or (last and not one) for one in ends)


def file_of(shape: Shape) -> str:
    """The path of the last relationship whose rows are lines of a file of their own."""
    for key, child in _below(shape):
        below = file_of(child) if child.nested != "json" else ""
        if below or child.nested == "files":
            return f"{key}.{below}".rstrip(".")
    return ""


@given(case=cases(), seed=st.integers(0, 1 << 30))
@settings(max_examples=200, deadline=None)
def test_columns_and_lines_read_as_the_slow_writer_wrote_them(case, seed) -> None:
    shape, rows = case
    check(shape, rows, Random(seed))


@given(case=cases(), seed=st.integers(0, 1 << 30))
@settings(max_examples=200, deadline=None)
def test_rows_too_large_to_be_held_have_the_same_lines(case, seed) -> None:
    shape, rows = case
    random = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_pieces, "AT_ONCE", random.choice((1, 30, 90)))
        patch.setattr(_pieces, "AT_LEAST", random.choice((1, 20)))
        patch.setattr(_nest, "LEAST", random.choice((1, 10, 60)))
        patch.setattr(_columns, "WINDOW", random.choice((16, 17, 1 << 20)))
        check(shape, rows, random)


LINE = Shape(
    {"n": "raw", "name": "str"}, ones={"sku": Shape({"code": "str"}, nested="columns")}, nested="rows"
)
ORDER = Shape(
    {"id": "raw"},
    ones={"customer": Shape({"name": "str"}, nested="columns")},
    manys={"lines": LINE, "tags": Shape({"t": "str"})},
)


def line(n: int, code: str | None) -> Row:
    return {"n": str(n), "name": "a, b", "sku": None if code is None else {"code": code}}


ROWS: list[Row] = [
    {"id": "1", "customer": {"name": "Ann"}, "lines": [line(1, "x"), line(2, None)], "tags": [{"t": "new"}]},
    {"id": "2", "customer": None, "lines": [], "tags": []},
    {"id": "3", "customer": {"name": ""}, "lines": [line(3, 'y"z')], "tags": []},
]


def test_parents_are_repeated_and_one_without_children_keeps_its_line() -> None:
    """Read by Python's own parser."""
    text = csv.opening(ORDER.node()) + text_of(csv, list(csv.pieces(trees.stream(ORDER, ROWS))))
    assert list(python_csv.reader(io.StringIO(text.decode(), newline=""), strict=True)) == [
        ["id", "customer.name", "tags", "lines.n", "lines.name", "lines.sku.code"],
        ["1", "Ann", '[{"t":"new"}]', "1", "a, b", "x"],
        ["1", "Ann", '[{"t":"new"}]', "2", "a, b", ""],
        ["2", "", "[]", "", "", ""],
        ["3", "", "[]", "3", "a, b", 'y"z'],
    ]
    assert text.decode().splitlines()[3] == "2,,[],,,"


def test_a_piece_tells_of_its_rows_and_of_their_lines() -> None:
    (piece,) = csv.pieces(trees.stream(ORDER, ROWS))
    assert piece.rows == 3
    assert {path: list(numbers) for path, numbers in piece.related.items()} == {
        "lines": [2, 0, 1],
        "tags": [1, 0, 0],
        LINES: [2, 1, 1],
    }


def test_json_of_the_same_selection_is_as_deep_as_ever() -> None:
    text = text_of(json, list(json.pieces(trees.stream(ORDER, ROWS))))
    assert text.decode() == ",".join(trees.written(ORDER, row) for row in ROWS)


def with_delimiter(shape: Shape, rows: list[Row], delimiter: str) -> bytes:
    stream = trees.stream(shape, rows)
    node = replace(stream.node, tabular=Tabular(delimiter=delimiter))
    stream = Stream(node, stream.path, stream.blocks, stream.kinds, stream.children)
    return csv.opening(node) + text_of(csv, list(csv.pieces(stream)))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_delimiter_is_read_back(delimiter: str) -> None:
    values = ["a,b", "a;b", "a\tb", "a|b", 'a"b', "a\nb", "plain", " "]
    shape = Shape({"a": "str", "b;,\t|": "str"})
    text = with_delimiter(shape, [{"a": one, "b;,\t|": one} for one in values], delimiter)
    read = list(python_csv.reader(io.StringIO(text.decode(), newline=""), delimiter=delimiter, strict=True))
    assert read == [["a", "b;,\t|"], *([one, one] for one in values)]


def test_a_long_parent_with_many_lines_is_never_held_in_memory_with_all_of_them() -> None:
    shape = Shape({"text": "str"}, manys={"lines": Shape({"n": "raw"}, nested="rows")})
    rows: list[Row] = [{"text": "x" * 3_000_000, "lines": [{"n": str(n)} for n in range(40)]}]
    made = list(csv.pieces(trees.stream(shape, rows)))
    assert text_of(csv, made) == written(shape, rows)
    assert max(len(piece.data) for piece in made) <= _pieces.AT_ONCE < len(text_of(csv, made)) / 7


WRITER = """
import resource
import sys
import pyarrow as pa
from outhaul.blocks import Block, Stream
from outhaul.formats import csv
from tests.trees import Shape

parents, each, own = (int(word) for word in sys.argv[1:])
shape = Shape({"text": "str"}, manys={"lines": Shape({"n": "str"}, nested="rows")})

def roots():
    text = b"x," * (own // 2)
    for number in range(parents):
        yield Block(1, {("text",): pa.array([text], pa.binary())}, own=pa.array([b"%d" % number], pa.binary()))

def lines():
    for number in range(parents):
        for start in range(0, each, 5000):
            count = min(5000, each - start)
            anchor = pa.array([b"%d" % number] * count, pa.binary())
            yield Block(count, {("n",): pa.array([b"7"] * count, pa.binary())}, anchor=anchor)

below = Stream(shape.manys["lines"].node("lines", many=True), ("lines",), lines(), {("n",): "str"})
size = found = 0
for piece in csv.pieces(Stream(shape.node(), (), roots(), {("text",): "str"}, (below,))):
    size += len(piece.data)
    found += int(sum(numbers.sum() for path, numbers in piece.related.items() if path == "(csv)"))
print(size, found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def peak(parents: int, each: int, own: int) -> int:
    """Writes so many parents of so many bytes with so many lines each; the most megabytes held in memory."""
    words = [str(parents), str(each), str(own)]
    done = subprocess.run([sys.executable, "-c", WRITER, *words], capture_output=True, text=True, check=True)
    size, found, megabytes = map(int, done.stdout.split())
    assert (size, found) == (parents * each * (own + len('"",7\n')), parents * each)
    return megabytes


@pytest.mark.heavy
def test_memory_stays_flat_however_often_a_parent_is_repeated() -> None:
    least = peak(1, 1, 10)
    for case in [(1, 1_000_000, 300), (3, 20, 30_000_000), (40, 5000, 4000)]:
        assert peak(*case) - least < 180, case
