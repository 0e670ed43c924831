"""One part becomes fragments: right text, right numbers, exact limits, nothing half."""

from __future__ import annotations

import hashlib
import itertools
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outhaul import pipeline
from outhaul.blocks import Block, Range, Stream
from outhaul.errors import SourceAway, TooMuch
from outhaul.export import Fragment, Part
from outhaul.formats import _nest, _pieces, csv, json, ndjson
from outhaul.stores.file import FileStore
from tests import trees
from tests.trees import Row, Shape

FORMATS = {"csv": csv, "json": json, "ndjson": ndjson}
ORDERS = Shape(
    {"id": "raw", "note": "str"},
    ones={"customer": Shape({"name": "str"})},
    manys={"lines": Shape({"n": "raw"}, manys={"taxes": Shape({"rate": "raw"})})},
)


def orders(count: int, seed: int = 1) -> list[Row]:
    random = Random(seed)
    return [
        {
            "id": str(number),
            "note": "".join(random.choices('ab"\n, é', k=random.randrange(30))),
            "customer": {"name": "Ann"} if random.random() < 0.5 else None,
            "lines": [
                {"n": str(n), "taxes": [{"rate": "0.19"}] * random.randrange(3)}
                for n in range(random.randrange(4))
            ],
        }
        for number in range(count)
    ]


class Session:
    """Hand-made streams, and what was asked for."""

    def __init__(self, streams: Iterable[Stream]) -> None:
        self.streams = streams
        self.asked: list[tuple[Any, ...]] = []

    def read(self, node: Any, part: Range, style: str) -> Iterator[Stream]:
        self.asked.append((node, part, style))
        yield from self.streams


class Memory:
    """Objects in a dict: whole or not at all."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, chunks: Iterable[bytes | memoryview]) -> int:
        self.objects[key] = b"".join(bytes(chunk) for chunk in chunks)
        return len(self.objects[key])


def part(name: str, n: int = 3) -> Part:
    return Part("AbCdEfGhIj", n, 0, name, Range().to_data(), attempt=2, generation=1)


def run(
    name: str,
    shape: Shape,
    streams: Iterable[Stream],
    store: Any,
    stop: Callable[[], None] = lambda: None,
    progress: Callable[[int], None] = lambda _: None,
    **limits: Any,
) -> tuple[Fragment, ...]:
    return pipeline.run(Session(streams), trees.plan(shape, **limits), part(name), store, stop, progress)


def expected(name: str, shape: Shape, rows: list[Row]) -> list[bytes]:
    """The text of each row, without what stands between rows."""
    if name == "csv":
        return [trees.csv_line(shape, row).encode() for row in rows]
    end = "\n" if name == "ndjson" else ""
    return [f"{trees.written(shape, row)}{end}".encode() for row in rows]


def raw(store: Memory, fragment: Fragment) -> bytes:
    data = store.objects[fragment.key]
    if fragment.key.endswith(".deflate"):
        reader = zlib.decompressobj(-15)
        text = reader.decompress(data)
        assert not reader.eof
        return text
    return data


def check(store: Memory, fragments: tuple[Fragment, ...], name: str, shape: Shape, rows: list[Row]) -> None:
    """All numbers of the fragments, against the bytes in the store and the slow writer's text."""
    assert len(store.objects) == len(fragments)
    at = 0
    for seq, one in enumerate(fragments):
        text, mine = raw(store, one), rows[at : at + one.rows]
        assert text == FORMATS[name].JOINT.join(expected(name, shape, mine))
        assert (one.raw_length, one.crc32) == (len(text), zlib.crc32(text))
        stored = store.objects[one.key]
        assert (one.length, one.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())
        assert one.related == trees.counts(shape, mine)
        assert (one.selection, one.format, one.part, one.seq) == (0, name, 3, seq)
        assert one.rows > 0
        at += one.rows
    assert at == len(rows)


@pytest.mark.parametrize("compress", [None, "gzip"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_part_of_several_streams_is_one_fragment_without_limits(name, compress) -> None:
    rows, store = orders(300), Memory()
    streams = [trees.stream(ORDERS, rows[:100], Random(1)), trees.stream(ORDERS, rows[100:], Random(2))]
    (one,) = made = run(name, ORDERS, streams, store, compress=compress)
    check(store, made, name, ORDERS, rows)
    assert one.key.startswith("AbCdEfGhIj/1-3-2-0-")
    assert one.key.endswith(f".{name}.deflate" if compress else f".{name}")


def test_the_source_is_asked_for_the_parts_range_in_the_formats_style() -> None:
    for name, style in (("csv", "csv"), ("json", "json"), ("ndjson", "json")):
        session = Session([])
        plan = trees.plan(ORDERS)
        mine = Part("E", 1, 0, name, Range("key", ("5",), None).to_data(), 1, 1)
        pipeline.run(session, plan, mine, Memory(), lambda: None, lambda _: None)
        assert session.asked == [(plan.selections[0], Range("key", ("5",), None), style)]


@pytest.mark.parametrize("name", FORMATS)
def test_a_part_without_rows_makes_no_fragment(name) -> None:
    store = Memory()
    assert run(name, ORDERS, [trees.stream(ORDERS, []), trees.stream(ORDERS, [])], store) == ()
    assert store.objects == {}


@pytest.mark.parametrize("name", FORMATS)
@given(seed=st.integers(0, 1 << 20), size=st.integers(300, 3000), tight=st.booleans(), gzip=st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_file_is_larger_than_the_limit_and_none_could_take_another_row(
    name, seed, size, tight, gzip
) -> None:
    """With giant rows a fragment may end early, because their size is not known when they begin."""
    rows, store, random = orders(60, seed), Memory(), Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        if tight:
            patch.setattr(_pieces, "AT_ONCE", random.choice((1, 200)))
            patch.setattr(_pieces, "AT_LEAST", 10)
            patch.setattr(_nest, "LEAST", random.choice((1, 100)))
        made = run(
            name,
            ORDERS,
            [trees.stream(ORDERS, rows, random)],
            store,
            compress="gzip" if gzip else None,
            fragment_bytes=size,
        )
    check(store, made, name, ORDERS, rows)
    node, form = ORDERS.node(), FORMATS[name]
    frame = len(form.opening(node)) + len(form.closing(node))
    at = 0
    for one in made:
        at += one.rows
        assert one.raw_length + frame <= size
        if at < len(rows) and not tight:
            (after,) = expected(name, ORDERS, [rows[at]])
            assert one.raw_length + frame + len(form.JOINT) + len(after) > size


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("at_once", [1, 1 << 24])
def test_files_of_a_number_of_rows_hold_exactly_that_many(name, at_once, monkeypatch) -> None:
    monkeypatch.setattr(_pieces, "AT_ONCE", at_once)
    rows, store = orders(100), Memory()
    made = run(name, ORDERS, [trees.stream(ORDERS, rows, Random(5))], store, fragment_rows=7)
    check(store, made, name, ORDERS, rows)
    assert [one.rows for one in made] == [7] * 14 + [2]


def test_the_databases_own_csv_is_cut_at_its_rows() -> None:
    shape = Shape({"a": "str", "b": "str"})
    lines = [b'1,"x\ny"\n', b"2,\n", b'3,""""\n', b"4,z\n", b'5,"\n\n"\n']
    blocks = [Block(4, {}, csv=b"".join(lines[:4])), Block(1, {}, csv=lines[4])]
    store = Memory()
    made = run("csv", shape, [Stream(shape.node(), (), iter(blocks), {})], store, fragment_rows=2)
    assert [store.objects[one.key] for one in made] == [b"".join(lines[at : at + 2]) for at in (0, 2, 4)]
    store = Memory()
    stream = Stream(shape.node(), (), iter([Block(5, {}, csv=b"".join(lines))]), {})
    made = run("csv", shape, [stream], store, fragment_bytes=len(b"a,b\n") + 11)
    assert [store.objects[one.key] for one in made] == [
        b"".join(lines[:2]),
        b"".join(lines[2:4]),
        lines[4],
    ]


@pytest.mark.parametrize("at_once", [1, 1 << 24])
def test_a_row_above_the_limit_fails_the_part_and_is_named(at_once, monkeypatch) -> None:
    monkeypatch.setattr(_pieces, "AT_ONCE", at_once)
    monkeypatch.setattr(_pieces, "AT_LEAST", 100)
    shape = Shape({"id": "raw", "text": "str"})
    rows: list[Row] = [{"id": str(n), "text": "x" * (5000 if n == 17 else 5)} for n in range(30)]
    with pytest.raises(TooMuch, match=r'Row 18 of part 3 of .*It begins: \{"id":17,"text":"xxx') as caught:
        run("json", shape, [trees.stream(shape, rows, Random(1))], Memory(), fragment_bytes=1000)
    assert caught.value.facts["limit"] == 998
    assert caught.value.facts["value"] > 998


@pytest.mark.parametrize("at_once", [1, 1 << 24])
def test_a_row_may_fill_a_file_to_its_last_byte(at_once, monkeypatch) -> None:
    monkeypatch.setattr(_pieces, "AT_ONCE", at_once)
    monkeypatch.setattr(_pieces, "AT_LEAST", 100)
    shape = Shape({"id": "raw", "text": "str"})
    rows: list[Row] = [{"id": str(n), "text": "x" * 500} for n in range(4)]
    size = len(trees.written(shape, rows[0])) + len("[]")
    store = Memory()
    made = run("json", shape, [trees.stream(shape, rows)], store, fragment_bytes=size)
    check(store, made, "json", shape, rows)
    assert [one.rows for one in made] == [1] * 4
    with pytest.raises(TooMuch, match="Row 1 of"):
        run("json", shape, [trees.stream(shape, rows)], Memory(), fragment_bytes=size - 1)


def test_stop_is_asked_before_every_chunk_of_a_few_megabytes() -> None:
    shape = Shape({"text": "str"})
    moments: list[int] = []
    store = Memory()
    stored = 0

    class Counting(Memory):
        def put(self, key: str, chunks: Iterable[bytes | memoryview]) -> int:
            nonlocal stored
            for chunk in chunks:
                stored += len(chunk)
            return stored

    rows: list[Row] = [{"text": "x" * 3_000_000} for _ in range(12)]
    run("ndjson", shape, [trees.stream(shape, rows)], Counting(), stop=lambda: moments.append(stored))
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert max(gaps) <= 4 << 20
    assert stored > 36_000_000
    assert store.objects == {}


class Stopped(Exception):
    pass


@pytest.mark.parametrize("compress", [None, "gzip"])
def test_a_stopped_part_leaves_nothing_in_the_store_and_closes_its_source(compress, tmp_path: Path) -> None:
    store, closed, asked = FileStore(tmp_path), [], 0

    def blocks() -> Iterator[Block]:
        try:
            while True:
                yield from trees.stream(ORDERS_FLAT, [{"id": "1", "text": "x" * 1000}] * 1000).blocks
        finally:
            closed.append(time.monotonic())

    def stop() -> None:
        nonlocal asked
        asked += 1
        if asked == 20:
            raise Stopped

    stream = trees.stream(ORDERS_FLAT, [])
    endless = Stream(stream.node, (), blocks(), stream.kinds)
    with pytest.raises(Stopped):
        run("ndjson", ORDERS_FLAT, iter([endless]), store, stop=stop, compress=compress)
    del endless, stream
    assert list(store.keys("")) == []
    assert closed


ORDERS_FLAT = Shape({"id": "raw", "text": "str"})


def test_an_error_of_the_source_goes_through_and_leaves_nothing(tmp_path: Path) -> None:
    def streams() -> Iterator[Stream]:
        yield trees.stream(ORDERS, orders(50))
        raise SourceAway("The connection broke.")

    store = FileStore(tmp_path)
    with pytest.raises(SourceAway):
        run("json", ORDERS, streams(), store)
    assert list(store.keys("")) == []


def test_progress_rises_and_ends_at_the_rows_of_the_part() -> None:
    seen: list[int] = []
    rows = orders(500)
    run(
        "json",
        ORDERS,
        [trees.stream(ORDERS, rows, Random(2))],
        Memory(),
        progress=seen.append,
        fragment_rows=100,
    )
    assert seen == sorted(seen)
    assert seen[-1] == 500
    assert len(seen) > 5


def test_two_runs_of_an_attempt_write_under_different_keys() -> None:
    store = Memory()
    for _ in range(2):
        run("json", ORDERS, [trees.stream(ORDERS, orders(5))], store)
    assert len(store.objects) == 2
    assert len(set(store.objects.values())) == 1


def test_compressed_bytes_are_the_same_however_the_source_cut_its_blocks() -> None:
    rows = orders(3000)
    hashes = set()
    for seed in range(4):
        (one,) = run("json", ORDERS, [trees.stream(ORDERS, rows, Random(seed))], Memory(), compress="gzip")
        hashes.add((one.sha256, one.crc32))
    assert len(hashes) == 1
