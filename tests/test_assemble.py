"""Rows glued from columns read as a slow and obvious writer would have written them."""

from __future__ import annotations

import csv as python_csv
import io
import json as python_json
from dataclasses import replace
from random import Random
from types import ModuleType
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outhaul.blocks import Block, Kind, Piece, Stream
from outhaul.errors import Unproven
from outhaul.formats import _columns, _nest, _pieces, csv, json, ndjson
from tests import trees
from tests.trees import Row, Shape

NASTY = [chr(code) for code in range(40)] + ["\\", '"', ",", "a", "é", "\u2028", "\u2029", "\x7f", "😀"]
TEXT = st.one_of(
    st.text(st.sampled_from(NASTY), max_size=12), st.sampled_from(["", "\\.", "null", "NaN", '""'])
)
RAW = st.one_of(
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.sampled_from(
        ["true", "NaN", "Infinity", "-Infinity", '{"N":\n"I\\n"}', '["\\u2028",\r\n1.10]', '"Infinity"']
    ),
)


@st.composite
def shapes(draw: st.DrawFn, depth: int = 3) -> Shape:
    names = iter(
        draw(st.permutations(["id", "na me", 'q"uote', "back\\slash", "ключ", "a,b", "new\nline", "x"]))
    )
    columns: dict[str, Kind] = {
        next(names): draw(st.sampled_from(["raw", "str"])) for _ in range(draw(st.integers(1, 3)))
    }
    ones = {next(names): draw(shapes(depth - 1)) for _ in range(draw(st.integers(0, 1)) if depth > 1 else 0)}
    manys = {next(names): draw(shapes(depth - 1)) for _ in range(draw(st.integers(0, 2)) if depth > 1 else 0)}
    return Shape(columns, ones, manys)


def rows_of(shape: Shape, most: int = 6) -> st.SearchStrategy[list[Row]]:
    return st.lists(row_of(shape), max_size=most)


def row_of(shape: Shape) -> st.SearchStrategy[Row]:
    members: dict[str, st.SearchStrategy[Any]] = {}
    for key, kind in shape.columns.items():
        members[key] = st.none() | (TEXT if kind == "str" else RAW)
    for key, child in shape.ones.items():
        members[key] = st.none() | row_of(child)
    for key, child in shape.manys.items():
        members[key] = rows_of(child, 4)
    return st.fixed_dictionaries(members)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Shape, list[Row]]:
    shape = draw(shapes())
    return shape, draw(rows_of(shape))


def text_of(sibling: ModuleType, pieces: list[Piece]) -> bytes:
    """The pieces with joints between whole rows, checked for what a piece promises."""
    out, ended = b"", False
    for piece in pieces:
        data = bytes(piece.data)
        out += sibling.JOINT if ended and piece.starts else b""
        assert piece.starts or not ended
        ended = piece.ends
        if piece.offsets is not None:
            assert len(piece.offsets) == piece.rows + 1
            assert piece.offsets[-1] == len(data)
            assert piece.offsets[0] == 0
        assert all(len(numbers) == piece.rows for numbers in piece.related.values())
        out += data
    assert ended or not pieces
    return out


def expected(sibling: ModuleType, shape: Shape, rows: list[Row]) -> bytes:
    if sibling is csv:
        return "".join(trees.csv_line(shape, row) for row in rows).encode()
    texts = [trees.written(shape, row) for row in rows]
    return (",".join(texts) if sibling is json else "".join(text + "\n" for text in texts)).encode()


def related(pieces: list[Piece]) -> dict[str, int]:
    total: dict[str, int] = {}
    for piece in pieces:
        for path, numbers in piece.related.items():
            total[path] = total.get(path, 0) + int(numbers.sum())
    return total


def check(sibling: ModuleType, shape: Shape, rows: list[Row], random: Random) -> None:
    made = list(sibling.pieces(trees.stream(shape, rows, random), borders=True))
    assert text_of(sibling, made) == expected(sibling, shape, rows)
    assert sum(piece.rows for piece in made) == len(rows)
    if made:
        assert related(made) == trees.counts(shape, rows)


@pytest.mark.parametrize("sibling", [json, ndjson, csv])
@given(case=cases(), seed=st.integers(0, 1 << 30))
@settings(max_examples=150, deadline=None)
def test_any_tree_of_rows_reads_as_the_slow_writer_wrote_it(sibling, case, seed) -> None:
    shape, rows = case
    check(sibling, shape, rows, Random(seed))


@pytest.mark.parametrize("sibling", [json, ndjson, csv])
@given(case=cases(), seed=st.integers(0, 1 << 30))
@settings(max_examples=150, deadline=None)
def test_rows_too_large_to_be_held_read_the_same(sibling, case, seed) -> None:
    shape, rows = case
    random = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_pieces, "AT_ONCE", random.choice((1, 30, 90)))
        patch.setattr(_pieces, "AT_LEAST", random.choice((1, 20)))
        patch.setattr(_nest, "LEAST", random.choice((1, 10, 60)))
        window = random.choice((16, 17, 1 << 20))
        patch.setattr(_columns, "WINDOW", window)
        check(sibling, shape, rows, random)


@given(case=cases())
@settings(max_examples=100, deadline=None)
def test_json_is_read_back_with_every_digit_by_another_parser(case) -> None:
    shape, rows = case
    text = b"[" + text_of(json, list(json.pieces(trees.stream(shape, rows)))) + b"]"
    read = python_json.loads(text, parse_float=str, parse_int=str, parse_constant=pytest.fail)
    assert len(read) == len(rows)
    for got, row in zip(read, rows, strict=True):
        for key, kind in shape.columns.items():
            if kind == "str":
                assert got[key] == row[key]


@given(rows=st.lists(st.fixed_dictionaries({"a": TEXT, "b": TEXT}), max_size=8))
def test_csv_is_read_back_by_another_parser(rows) -> None:
    shape = Shape({"a": "str", "b": "str"})
    text = csv.opening(shape.node()) + text_of(csv, list(csv.pieces(trees.stream(shape, rows))))
    read = list(python_csv.DictReader(io.StringIO(text.decode(), newline=""), strict=True))
    assert read == rows


def test_the_null_and_the_empty_string_are_told_apart() -> None:
    shape = Shape({"a": "str"})
    rows: list[Row] = [{"a": None}, {"a": ""}, {"a": "\\."}, {"a": "x"}]
    assert text_of(csv, list(csv.pieces(trees.stream(shape, rows)))) == b'\n""\n"\\."\nx\n'
    two = Shape({"a": "str", "b": "str"})
    assert text_of(csv, list(csv.pieces(trees.stream(two, [{"a": "\\.", "b": None}])))) == b"\\.,\n"


TIMES = [
    ("timestamptz", "2024-02-29 12:34:56.123456+00"),
    ("timestamptz", "0044-03-15 00:00:00+00 BC"),
    ("timestamptz", "294276-12-31 23:59:59.999999+00"),
    ("timestamptz", "infinity"),
    ("timestamptz", "-infinity"),
    ("timestamptz", None),
    ("timestamp", "2024-02-29 12:34:56"),
    ("timestamp", "4713-01-01 00:00:00 BC"),
    ("timestamp", "infinity"),
    ("date", "2024-02-29"),
    ("date", "0044-03-15 BC"),
    ("date", "infinity"),
]


@pytest.mark.parametrize("native", ["timestamptz", "timestamp", "date"])
def test_times_read_as_the_database_itself_writes_them_in_json(native: str, postgres_url: str) -> None:
    values = [value for its, value in TIMES if its == native]
    with psycopg.connect(postgres_url) as database:
        database.execute("SET TimeZone = 'UTC'")
        found = database.execute(
            f"SELECT value::text, row_to_json(one)::text FROM unnest(%s::text[]) AS given(text)"
            f" CROSS JOIN LATERAL (SELECT given.text::{native} AS value) AS one",
            [values],
        ).fetchall()
    shape = Shape({"value": "time"})
    for order in (found, found[::-1]):
        made = list(ndjson.pieces(trees.stream(shape, [{"value": text} for text, _ in order])))
        assert text_of(ndjson, made).decode().splitlines() == [said for _, said in order]


def test_text_reads_as_the_database_itself_writes_it_in_json(postgres_url: str) -> None:
    values = [None, "", *(character for character in NASTY if character != "\0"), "".join(NASTY[1:]) * 3]
    with psycopg.connect(postgres_url) as database:
        said = database.execute(
            "SELECT row_to_json(one)::text FROM unnest(%s::text[]) WITH ORDINALITY AS given(value, n)"
            " CROSS JOIN LATERAL (SELECT value) AS one ORDER BY n",
            [values],
        ).fetchall()
    made = list(ndjson.pieces(trees.stream(Shape({"value": "str"}), [{"value": value} for value in values])))
    assert text_of(ndjson, made).decode().split("\n")[:-1] == [text for (text,) in said]


def test_csv_cells_are_quoted_as_the_database_itself_quotes_them(postgres_url: str) -> None:
    values = [None, "", " ", "a b", "\\.", "\\N", "'", *(one for one in NASTY if one != "\0"), 'a"b', "a,b"]
    for columns in (["value"], ["value", "twice"], ['Va,l"ue', "x y"]):
        shape = Shape(dict.fromkeys(columns, "str"))
        rows = [dict.fromkeys(columns, value) for value in values]
        made = csv.opening(shape.node()) + text_of(csv, list(csv.pieces(trees.stream(shape, rows))))
        assert made == _copied(postgres_url, columns, values)


def _copied(url: str, columns: list[str], values: list[str | None]) -> bytes:
    with psycopg.connect(url) as database, database.cursor() as cursor:
        names = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
        types = ", ".join('"' + name.replace('"', '""') + '" text' for name in columns)
        cursor.execute(f"CREATE TEMPORARY TABLE copied (n serial, {types})")
        marks = ", ".join("%s" for _ in columns)
        cursor.executemany(
            f"INSERT INTO copied ({names}) VALUES ({marks})", [[one] * len(columns) for one in values]
        )
        with cursor.copy(
            f"COPY (SELECT {names} FROM copied ORDER BY n) TO STDOUT (FORMAT csv, HEADER)"
        ) as copy:
            return b"".join(bytes(data) for data in copy)


def test_the_databases_own_csv_text_passes_untouched() -> None:
    shape = Shape({"a": "str", "b": "str"})
    text = b'1,"x\ny"\n2,""\n3,\n"a""b","\n\n"\n'
    blocks = [Block(4, {}, csv=text), Block(1, {}, csv=b"5,z\n")]
    made = list(csv.pieces(Stream(shape.node(), (), iter(blocks), {}), borders=True))
    assert [bytes(piece.data) for piece in made] == [text, b"5,z\n"]
    offsets = [piece.offsets for piece in made]
    assert [list(edges) for edges in offsets if edges is not None] == [[0, 8, 13, 16, len(text)], [0, 4]]


def test_csv_text_with_another_number_of_rows_than_was_counted_is_refused() -> None:
    blocks = [Block(2, {}, csv=b'1,"\n"\n')]
    with pytest.raises(Unproven, match="1 rows where 2"):
        list(csv.pieces(Stream(Shape({"a": "str"}).node(), (), iter(blocks), {}), borders=True))


PARENT = Shape({"id": "raw"}, manys={"lines": Shape({"n": "raw"})})


def misplaced(anchors: list[str]) -> Stream:
    good = trees.stream(PARENT, [{"id": "1", "lines": []}, {"id": "2", "lines": []}])
    lines = good.children[0]
    keys = pa.array([anchor.encode() for anchor in anchors], pa.binary())
    block = Block(len(anchors), {("n",): pa.array([b"7"] * len(anchors), pa.binary())}, anchor=keys)
    return replace(good, children=(replace(lines, blocks=iter([block])),))


@pytest.mark.parametrize("anchors", [["1", "0"], ["5"], ["0", "9"], ["0", "1", "0"], ["9", "1"]])
@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_a_child_without_its_parent_or_out_of_order_fails_the_part(anchors, at_once, monkeypatch) -> None:
    monkeypatch.setattr(_pieces, "AT_ONCE", at_once)
    monkeypatch.setattr(_nest, "LEAST", at_once)
    with pytest.raises(Unproven, match=r"lines came without the row it belongs to"):
        list(json.pieces(misplaced(anchors)))


def test_a_giant_child_that_comes_after_those_of_the_next_parent_fails_the_part(monkeypatch) -> None:
    monkeypatch.setattr(_pieces, "AT_ONCE", 60)
    monkeypatch.setattr(_nest, "LEAST", 60)
    stream = misplaced(["1", "0"])
    values = pa.array([b"7", b"7" * 100], pa.binary())
    block = Block(2, {("n",): values}, anchor=pa.array([b"1", b"0"], pa.binary()))
    below = replace(stream.children[0], blocks=iter([block]))
    with pytest.raises(Unproven, match=r"lines came without the row it belongs to"):
        list(json.pieces(replace(stream, children=(below,))))


def test_a_row_of_1500_columns_is_written_whole() -> None:
    shape = Shape({f"column_{number:04d}": "str" if number % 2 else "raw" for number in range(1500)})
    rows = [{key: str(number) if number % 3 else None for key in shape.columns} for number in range(40)]
    for sibling in (json, csv):
        check(sibling, shape, rows, Random(1))


def test_blocks_larger_than_what_is_glued_at_a_time_are_cut_by_bytes(monkeypatch) -> None:
    monkeypatch.setattr(_pieces, "AT_ONCE", 10_000)
    shape = Shape({"id": "raw", "text": "str"})
    rows: list[Row] = [{"id": str(number), "text": "x" * (number % 700)} for number in range(1000)]
    made = list(ndjson.pieces(trees.stream(shape, rows)))
    assert text_of(ndjson, made) == expected(ndjson, shape, rows)
    assert max(len(piece.data) for piece in made) <= 10_000
    assert len(made) < 60


def test_every_byte_escaped_costs_no_more_than_its_own_length_in_memory() -> None:
    column = pa.array([b"\x01" * (4 << 20)] * 4, pa.binary())
    before = pa.total_allocated_bytes()
    made = _columns.rewritten(column, _columns.JSON_STRING)
    assert _columns.size(made) == 6 * (16 << 20)
    assert bytes(_columns.window(made)[:12]) == b"\\u0001\\u0001"
    assert pa.total_allocated_bytes() - before < 200 << 20


def test_rows_are_counted_in_finished_files_by_reading_them() -> None:
    shape = Shape({"a": "str", "b{": "raw"}, manys={"lines": Shape({"n": "str"})})
    random = Random(3)
    alphabet = ['"', "\\", "{", "}", "[", "]", ",", "\n", "x"]
    for _ in range(30):
        rows: list[Row] = [
            {
                "a": "".join(random.choices(alphabet, k=random.randrange(9))),
                "b{": '{"x": ["}", {"\\"": 1}]}',
                "lines": [{"n": "".join(random.choices(alphabet, k=5))} for _ in range(random.randrange(3))],
            }
            for _ in range(random.randrange(5))
        ]
        for sibling in (json, ndjson, csv):
            node = shape.node()
            inside = text_of(sibling, list(sibling.pieces(trees.stream(shape, rows, random))))
            text = sibling.opening(node) + inside + sibling.closing(node)
            size = random.choice((1, 2, 7, 1000))
            chunks = [text[at : at + size] for at in range(0, len(text), size)]
            assert sibling.rows_in(chunks) == len(rows), (sibling, text)


def test_offsets_and_related_rows_are_told_row_by_row() -> None:
    shape = Shape({"id": "raw"}, manys={"lines": Shape({"n": "raw"}, manys={"parts": Shape({"p": "raw"})})})
    rows: list[Row] = [
        {"id": "1", "lines": []},
        {"id": "2", "lines": [{"n": "1", "parts": [{"p": "1"}, {"p": "2"}]}, {"n": "2", "parts": []}]},
        {"id": "3", "lines": [{"n": "3", "parts": [{"p": "3"}]}]},
    ]
    (piece,) = json.pieces(trees.stream(shape, rows))
    assert {path: list(numbers) for path, numbers in piece.related.items()} == {
        "lines": [0, 2, 1],
        "lines.parts": [0, 2, 1],
    }
    assert piece.offsets is not None
    texts = [bytes(piece.data[a:b]) for a, b in zip(piece.offsets, piece.offsets[1:], strict=False)]
    assert texts == [trees.written(shape, row).encode() + b"," for row in rows[:-1]] + [
        trees.written(shape, rows[-1]).encode()
    ]
    assert isinstance(piece.offsets, np.ndarray)
