"""Dry data: what is null or blank is left out of JSON, as a slow and obvious writer leaves it out."""

from __future__ import annotations

import json as python_json
from dataclasses import replace
from random import Random
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outhaul.blocks import Stream
from outhaul.formats import _columns, _filled, _nest, _pieces, csv, json, ndjson
from outhaul.plan import Node
from tests import trees
from tests.test_assemble import NASTY, RAW, shapes, text_of
from tests.trees import Row, Shape

BLANK_TEXT = st.one_of(
    st.text(st.sampled_from(NASTY), max_size=5), st.sampled_from(["", " ", "\t\n\v\f\r ", "\x1c"])
)
BLANK_RAW = st.one_of(RAW, st.sampled_from(["0", "false", "{}", "[]", "null", '""', '{"a":{}}']))


def row_of(shape: Shape) -> st.SearchStrategy[Row]:
    members: dict[str, st.SearchStrategy[Any]] = {}
    for key, kind in shape.columns.items():
        members[key] = st.none() | (BLANK_TEXT if kind == "str" else BLANK_RAW)
    for key, child in shape.ones.items():
        members[key] = st.none() | row_of(child)
    for key, child in shape.manys.items():
        members[key] = st.lists(row_of(child), max_size=4)
    return st.fixed_dictionaries(members)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Shape, list[Row]]:
    shape = draw(shapes())
    return shape, draw(st.lists(row_of(shape), max_size=6))


def blank(text: str | None, kind: str) -> bool:
    if text is None:
        return True
    if kind == "str":
        return all(letter in " \t\n\v\f\r" for letter in text)
    return text in {"{}", "[]", "null", '""'}


def slow(shape: Shape, row: Row) -> str:
    """The JSON text of one row, without braces."""
    members = {}
    for key, kind in shape.columns.items():
        if not blank(row[key], kind):
            members[key] = trees.written(Shape({key: kind}), {key: row[key]}).partition(":")[2][:-1]
    for key, child in shape.ones.items():
        if row[key] and slow(child, row[key]):
            members[key] = "{" + slow(child, row[key]) + "}"
    for key, child in shape.manys.items():
        if row[key]:
            members[key] = "[" + ",".join("{" + slow(child, one) + "}" for one in row[key]) + "]"
    return ",".join(f"{python_json.dumps(key, ensure_ascii=False)}:{text}" for key, text in members.items())


def expected(sibling: ModuleType, shape: Shape, rows: list[Row]) -> bytes:
    texts = ["{" + slow(shape, row) + "}" for row in rows]
    if sibling is csv:
        return "".join(csv_line(shape, row) for row in rows).encode()
    return (",".join(texts) if sibling is json else "".join(text + "\n" for text in texts)).encode()


def csv_line(shape: Shape, row: Row) -> str:
    """Cells stay where they are; what is inside of those of JSON is left out."""
    alone = len(shape.columns) + len(shape.ones) + len(shape.manys) == 1
    cells = [trees.csv_cell(row[key], alone=alone) for key in shape.columns]
    for key, child in shape.ones.items():
        inside = slow(child, row[key]) if row[key] else ""
        cells.append(quoted("{" + inside + "}") if inside else "")
    for key, child in shape.manys.items():
        inside = ",".join("{" + slow(child, one) + "}" for one in row[key])
        cells.append(quoted(f"[{inside}]") if row[key] else "[]")
    return ",".join(cells) + "\n"


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def filled(stream: Stream) -> Stream:
    def of(node: Node) -> Node:
        return replace(node, filled=True, children=tuple(map(of, node.children)))

    return replace(stream, node=of(stream.node), children=tuple(map(filled, stream.children)))


def check(sibling: ModuleType, shape: Shape, rows: list[Row], random: Random) -> None:
    made = list(sibling.pieces(filled(trees.stream(shape, rows, random)), borders=True))
    assert text_of(sibling, made) == expected(sibling, shape, rows)
    assert sum(piece.rows for piece in made) == len(rows)
    found: dict[str, int] = {}
    for piece in made:
        for path, numbers in piece.related.items():
            found[path] = found.get(path, 0) + int(np.sum(numbers))
    assert not made or found == trees.counts(shape, rows), "what is left out of the text still counts"


@pytest.mark.parametrize("sibling", [json, ndjson, csv])
@given(case=cases(), seed=st.integers(0, 1 << 30))
@settings(max_examples=25, deadline=None)
def test_what_has_no_value_is_left_out_at_every_depth(sibling, case, seed) -> None:
    shape, rows = case
    check(sibling, shape, rows, Random(seed))


@pytest.mark.parametrize("sibling", [json, ndjson, csv])
@given(case=cases(), seed=st.integers(0, 1 << 30))
@settings(max_examples=25, deadline=None)
def test_it_is_left_out_of_rows_too_large_to_be_held_as_well(sibling, case, seed) -> None:
    random = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_pieces, "AT_ONCE", random.choice((1, 30, 90)))
        patch.setattr(_pieces, "AT_LEAST", random.choice((1, 20)))
        patch.setattr(_nest, "LEAST", random.choice((1, 10, 60)))
        for module in (_columns, _filled):
            patch.setattr(module, "WINDOW", random.choice((16, 17, 1 << 20)))
        shape, rows = case
        check(sibling, shape, rows, random)


@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_a_related_row_of_which_nothing_is_left_is_an_empty_cell(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = Shape({"id": "raw"}, ones={"one": Shape({"a": "raw"}, ones={"two": Shape({"b": "str"})})})
    rows: list[Row] = [{"id": "1", "one": {"a": None, "two": {"b": " "}}}, {"id": "2", "one": None}]
    monkeypatch.setattr(_pieces, "AT_ONCE", at_once)
    assert text_of(csv, list(csv.pieces(filled(trees.stream(shape, rows)), borders=True))) == b"1,\n2,\n"
    assert text_of(ndjson, list(ndjson.pieces(filled(trees.stream(shape, rows)), borders=True))) == (
        b'{"id":1}\n{"id":2}\n'
    )
