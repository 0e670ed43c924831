"""Rows under a layout: any object that can be asked for, as a slow and obvious writer puts it together."""

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

from outhaul.blocks import Kind, Stream
from outhaul.formats import _columns, _nest, _pieces, json, ndjson
from outhaul.layouts import Laid
from tests import trees
from tests.test_assemble import RAW, TEXT, text_of
from tests.trees import Row, Shape

KEYS = st.text('aé"\\\n$_', min_size=1, max_size=4)
KINDS: st.SearchStrategy[Kind] = st.sampled_from(["raw", "str"])


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """A root with rows to one, and lists of one column right below either."""
    lists = {name: Shape({"v": draw(KINDS)}) for name in sorted(draw(st.sets(st.sampled_from("lm"))))}
    below = Shape(
        {name: draw(KINDS) for name in "xy"},
        manys={"n": Shape({"v": draw(KINDS)})} if draw(st.booleans()) else {},
    )
    ones = {"o": below} if draw(st.booleans()) else {}
    return Shape({name: draw(KINDS) for name in "abc"}, ones, lists)


def leaves(shape: Shape, at: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], bool]]:
    """Every path, and whether it leads to many."""
    found = [((*at, name), False) for name in shape.columns]
    for name, child in shape.ones.items():
        found += leaves(child, (*at, name))
    return found + [((*at, name, "v"), True) for name in shape.manys]


@st.composite
def layouts(draw: st.DrawFn, shape: Shape) -> tuple[Laid, ...]:
    """Each list once, as all of a stream's children must be; values anywhere, any number of times, and constants."""
    paths = leaves(shape)
    singles = [one for one in paths if not one[1]]
    some = draw(st.lists(st.sampled_from(singles), max_size=4))
    wanted = draw(st.permutations([one for one in paths if one[1]] + some))
    found = [Laid("", path=path, many=many, worded=draw(st.booleans())) for path, many in wanted]
    found += [Laid("", text=draw(TEXT))] if draw(st.booleans()) or not found else []
    cuts = sorted(draw(st.lists(st.integers(0, len(found)), max_size=2)))
    groups = [found[low:high] for low, high in zip([0, *cuts], [*cuts, len(found)], strict=True)]
    made: list[Laid] = []
    for number, group in enumerate(groups):
        keyed = [replace(one, key=key) for one, key in zip(group, names(draw, len(group)), strict=True)]
        made += keyed if number % 2 == 0 or not keyed else [Laid("", members=tuple(keyed))]
    return tuple(replace(one, key=key) for one, key in zip(made, names(draw, len(made)), strict=True))


def names(draw: st.DrawFn, many: int) -> list[str]:
    found: list[str] = draw(st.lists(KEYS, min_size=many, max_size=many, unique=True))
    return found


def row_of(shape: Shape, *, inside: bool = False) -> st.SearchStrategy[Row]:
    """Rows of lists never hold NULL: the plan leaves such rows out."""
    members: dict[str, st.SearchStrategy[Any]] = {}
    for key, kind in shape.columns.items():
        some = TEXT if kind == "str" else RAW
        members[key] = some if inside else st.none() | some
    for key, child in shape.ones.items():
        members[key] = st.none() | row_of(child)
    for key, child in shape.manys.items():
        members[key] = st.lists(row_of(child, inside=True), max_size=3)
    return st.fixed_dictionaries(members)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Shape, tuple[Laid, ...], list[Row]]:
    shape = draw(shapes())
    return shape, draw(layouts(shape)), draw(st.lists(row_of(shape), max_size=5))


def value(shape: Shape, row: Row | None, path: tuple[str, ...], worded: bool) -> list[str]:
    """The texts of all values at a path."""
    if row is None:
        return []
    step, *rest = path
    if not rest:
        if row[step] is None:
            return []
        kind = "str" if worded else shape.columns[step]
        return [trees.written(Shape({step: kind}), {step: row[step]}).partition(":")[2][:-1]]
    if step in shape.ones:
        return value(shape.ones[step], row[step], tuple(rest), worded)
    return [text for one in row[step] for text in value(shape.manys[step], one, tuple(rest), worded)]


def slow(shape: Shape, layout: tuple[Laid, ...], row: Row) -> str:
    members = []
    for one in layout:
        if one.text is not None:
            found = [python_json.dumps(one.text, ensure_ascii=False)]
        elif one.members:
            found = [slow(shape, one.members, row)]
        else:
            found = value(shape, row, one.path, one.worded)
        if found:
            said = f"[{','.join(found)}]" if one.many else found[0]
            members.append(f"{python_json.dumps(one.key, ensure_ascii=False)}:{said}")
    return "{" + ",".join(members) + "}"


def laid(stream: Stream, layout: tuple[Laid, ...]) -> Stream:
    return replace(stream, node=replace(stream.node, layout=layout))


def check(sibling: ModuleType, case: Any, random: Random) -> None:
    shape, layout, rows = case
    made = list(sibling.pieces(laid(trees.stream(shape, rows, random), layout), borders=True))
    texts = [slow(shape, layout, row) for row in rows]
    joined = ",".join(texts) if sibling is json else "".join(f"{text}\n" for text in texts)
    assert text_of(sibling, made) == joined.encode()
    assert sum(piece.rows for piece in made) == len(rows)
    found: dict[str, int] = {}
    for piece in made:
        for path, numbers in piece.related.items():
            found[path] = found.get(path, 0) + int(np.sum(numbers))
    assert not made or found == trees.counts(shape, rows)


@pytest.mark.parametrize("sibling", [json, ndjson])
@given(case=cases(), seed=st.integers(0, 1 << 30))
@settings(max_examples=40, deadline=None)
def test_rows_are_objects_of_any_layout_without_what_has_no_value(sibling, case, seed) -> None:
    check(sibling, case, Random(seed))


@pytest.mark.parametrize("sibling", [json, ndjson])
@given(case=cases(), seed=st.integers(0, 1 << 30))
@settings(max_examples=30, deadline=None)
def test_rows_too_large_to_be_held_are_the_same_objects(sibling, case, seed) -> None:
    random = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_pieces, "AT_ONCE", random.choice((1, 30, 90)))
        patch.setattr(_pieces, "AT_LEAST", random.choice((1, 20)))
        patch.setattr(_nest, "LEAST", random.choice((1, 10, 60)))
        patch.setattr(_columns, "WINDOW", random.choice((16, 17, 1 << 20)))
        check(sibling, case, random)


def test_one_line_is_what_batch_wants_of_a_profile() -> None:
    shape = Shape({"id": "raw", "email": "str"}, manys={"installations": Shape({"token": "str"})})
    layout = (
        Laid(
            "identifiers",
            members=(
                Laid("custom_id", path=("id",), worded=True),
                Laid("installation_ids", path=("installations", "token"), many=True),
            ),
        ),
        Laid("attributes", members=(Laid("$email_address", path=("email",)),)),
    )
    rows: list[Row] = [
        {"id": "7", "email": "a@b", "installations": [{"token": "x"}, {"token": "y"}]},
        {"id": None, "email": None, "installations": []},
    ]
    made = b"".join(bytes(one.data) for one in ndjson.pieces(laid(trees.stream(shape, rows), layout)))
    assert made.decode().splitlines() == [
        '{"identifiers":{"custom_id":"7","installation_ids":["x","y"]},"attributes":{"$email_address":"a@b"}}',
        '{"identifiers":{},"attributes":{}}',
    ]
