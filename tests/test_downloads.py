"""Artifacts out of fragments: one readable file, any range of it, a safe name, a link that ends."""

from __future__ import annotations

import csv as python_csv
import gzip
import io
import json
import subprocess
import unicodedata
import zlib
from dataclasses import asdict, replace
from datetime import timedelta
from email.message import Message
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outhaul import downloads, filenames
from outhaul.downloads import Link
from outhaul.errors import BadRange, Gone, NotFound, StoreError
from outhaul.export import Artifact
from outhaul.layout import spans
from outhaul.stores.file import FileStore
from tests.exports import AT, orders, recorded, text
from tests.test_deflate import NODE
from tests.trees import Shape

PARTS = [orders(50, 1), [], orders(1, 2), orders(200, 3), []]
ALL = [row for part in PARTS for row in part]


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "objects")


def whole(artifact: Artifact, store: FileStore) -> bytes:
    return b"".join(downloads.read(artifact, store))


@pytest.mark.parametrize("parts", [PARTS, [], [[]], [orders(1)], [[], orders(3), []]], ids=len)
def test_plain_files_are_the_parts_in_order_within_one_frame(parts, store) -> None:
    made = downloads.artifacts(recorded(store, parts))
    everything = [row for part in parts for row in part]
    assert [one.name for one in made] == ["_.csv", "_.json", "_.ndjson"]
    for artifact in made:
        data = whole(artifact, store)
        assert data == text(artifact.format, everything)
        assert artifact.length == artifact.raw_length == len(data)
        assert artifact.crc32 == zlib.crc32(data)
        assert artifact.rows == len(everything)


@pytest.mark.parametrize("parts", [PARTS, [], [[]], [orders(1)]], ids=len)
def test_gzip_files_are_one_member_that_every_reader_accepts(parts, store) -> None:
    everything = [row for part in parts for row in part]
    for artifact in downloads.artifacts(recorded(store, parts, compress="gzip")):
        data, expected = whole(artifact, store), text(artifact.format, everything)
        assert artifact.name.endswith(f".{artifact.format}.gz")
        assert artifact.media_type == "application/gzip"
        assert artifact.length == len(data)
        assert (artifact.raw_length, artifact.crc32) == (len(expected), zlib.crc32(expected))
        reader = zlib.decompressobj(31)
        assert reader.decompress(data) == expected
        assert reader.eof
        assert reader.unused_data == b""
        assert subprocess.run(["gzip", "-t"], input=data, capture_output=True, check=True).stderr == b""
        node = subprocess.run(["node", "-e", NODE], input=data, capture_output=True, check=True)
        assert node.stdout == expected


@pytest.mark.parametrize("compress", [None, "gzip"])
def test_an_export_without_rows_is_a_readable_empty_file(compress, store) -> None:
    made = {one.format: one for one in downloads.artifacts(recorded(store, [[]], compress=compress))}
    texts = {name: whole(one, store) for name, one in made.items()}
    if compress:
        texts = {name: gzip.decompress(data) for name, data in texts.items()}
    assert json.loads(texts["json"]) == []
    assert texts["ndjson"] == b""
    assert list(python_csv.reader(io.StringIO(texts["csv"].decode()))) == [["id", "note", "lines"]]
    assert all(one.rows == 0 for one in made.values())


@pytest.mark.parametrize("compress", [None, "gzip"])
def test_numbered_files_are_complete_files_of_one_fragment_each(compress, store) -> None:
    facts = recorded(store, PARTS, compress=compress, fragment_rows=60, formats=("json",))
    made = downloads.artifacts(facts, numbered=True)
    suffix = ".gz" if compress else ""
    assert [one.name for one in made] == [f"_-{n:03}.json{suffix}" for n in range(1, len(made) + 1)]
    texts = [whole(one, store) for one in made]
    read = [json.loads(gzip.decompress(data) if compress else data) for data in texts]
    assert [len(one) for one in read] == [one.rows for one in made] == [50, 1, 60, 60, 60, 20]
    assert [row["id"] for one in read for row in one] == [int(row["id"]) for row in ALL]
    (only,) = downloads.artifacts(recorded(store, [[]], formats=("json",)), numbered=True)
    assert whole(only, store) == b"[]"


@pytest.mark.parametrize("compress", [None, "gzip"])
def test_any_range_is_that_stretch_of_the_whole(compress, store) -> None:
    for artifact in downloads.artifacts(recorded(store, PARTS, compress=compress)):
        data, random = whole(artifact, store), Random(11)
        borders = sorted(
            {
                edge + shift
                for span in spans(artifact.layout)
                for edge in (span.start, span.start + span.length)
                for shift in (-1, 0, 1)
            }
            & set(range(len(data) + 1))
        )
        ranges = [sorted(random.choices(range(len(data) + 1), k=2)) for _ in range(300)]
        ranges += [[a, b] for a, b in pairwise(borders)] + [
            [0, len(data)],
            [len(data) - 1, len(data)],
            [5, 5],
        ]
        for start, stop in ranges:
            assert b"".join(downloads.read(artifact, store, start, stop)) == data[start:stop]
        cuts = sorted({0, len(data), *random.choices(range(len(data)), k=299)})
        assert b"".join(b"".join(downloads.read(artifact, store, a, b)) for a, b in pairwise(cuts)) == data


def test_only_the_fragments_within_a_range_are_opened_and_pieces_are_small(store) -> None:
    shape = Shape({"text": "str"})
    facts = recorded(store, [[{"text": "x" * 3_000_000}] for _ in range(4)], shape, formats=("csv",))
    (artifact,) = downloads.artifacts(facts)
    opened: list[str] = []

    class Watched:
        def read(self, key: str, start: int = 0, length: int | None = None) -> Any:
            opened.append(key)
            return store.read(key, start, length)

    pieces = list(downloads.read(artifact, Watched(), 3_500_000, 6_500_000))
    assert opened == [facts.fragments[1].key, facts.fragments[2].key]
    assert max(map(len, pieces)) <= 1 << 20
    assert sum(map(len, pieces)) == 3_000_000


def test_a_file_and_its_etag_are_the_same_after_a_restart_and_differ_when_a_byte_does(store) -> None:
    facts = recorded(store, PARTS, compress="gzip")
    before = downloads.artifacts(facts)
    again = [Artifact(**json.loads(json.dumps(asdict(one)))) for one in downloads.artifacts(facts)]
    for one, other in zip(before, again, strict=True):
        assert one.etag == other.etag
        assert whole(one, store) == whole(other, store)
    etags = {one.etag for one in before}
    assert all(etag.startswith('"') and etag.endswith('"') for etag in etags)
    changed = replace(facts, fragments=(replace(facts.fragments[0], sha256="0" * 64), *facts.fragments[1:]))
    etags |= {one.etag for one in downloads.artifacts(changed)}
    assert len(etags) == 4


def test_fragments_are_joined_in_the_order_of_parts_whatever_the_order_they_come_in(store) -> None:
    facts = recorded(store, PARTS)
    shuffled = list(facts.fragments)
    Random(1).shuffle(shuffled)
    assert downloads.artifacts(replace(facts, fragments=tuple(shuffled))) == downloads.artifacts(facts)


@pytest.mark.parametrize("compress", [None, "gzip"])
def test_a_fragment_without_rows_gets_no_joint(compress, store) -> None:
    facts = recorded(store, [orders(1), orders(2)], formats=("json",), compress=compress)
    first, last = facts.fragments
    store.put("E/none", [])
    nothing = replace(first, part=1, seq=1, key="E/none", rows=0, length=0, raw_length=0, crc32=0)
    (artifact,) = downloads.artifacts(replace(facts, fragments=(nothing, first, nothing, last, nothing)))
    data = whole(artifact, store)
    assert len(json.loads(gzip.decompress(data) if compress else data)) == 3


def test_a_missing_fragment_is_said_and_never_skipped(store) -> None:
    (artifact,) = downloads.artifacts(recorded(store, PARTS, formats=("csv",)))
    store.delete(next(span.key for span in spans(artifact.layout) if span.key))
    with pytest.raises(StoreError):
        whole(artifact, store)


E_TAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=99-99", (99, 100)),
        ("bytes=50-1000", (50, 100)),
        ("bytes=50-99999999999999999999999", (50, 100)),
        ("bytes=-1", (99, 100)),
        ("bytes=-100", (0, 100)),
        ("bytes=-1000", (0, 100)),
        ("Bytes = 3 - 4 ", (3, 5)),
        ("bytes=0-1,5-6", None),
        ("bytes=0-1, 500-", None),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes=a-b", None),
        ("bytes=1.5-2", None),
        ("bytes=+1-2", None),
        ("bytes=١-٢", None),
        ("bytes=" + "9" * 5000 + "-", None),
        ("rows=0-1", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_a_range_header_is_read_as_the_standard_says(header, wanted) -> None:
    assert downloads.parse_range(header, 100, E_TAG) == wanted


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999-"])
def test_a_range_beyond_the_file_is_refused_with_its_length(header) -> None:
    with pytest.raises(BadRange) as caught:
        downloads.parse_range(header, 100, E_TAG)
    assert caught.value.facts == {"length": 100}


def test_a_range_of_an_empty_file() -> None:
    assert downloads.parse_range("bytes=-5", 0, E_TAG) is None
    with pytest.raises(BadRange):
        downloads.parse_range("bytes=0-", 0, E_TAG)


@pytest.mark.parametrize(
    ("if_range", "served"),
    [
        (None, True),
        ('"abc"', True),
        ('"other"', False),
        ('W/"abc"', False),
        ("Sun, 22 Nov 2026 12:00:00 GMT", False),
    ],
)
def test_a_range_counts_only_if_the_file_is_still_the_same(if_range, served) -> None:
    assert downloads.parse_range("bytes=0-9", 100, E_TAG, if_range) == ((0, 10) if served else None)
    if not served:
        assert downloads.parse_range("bytes=500-", 100, E_TAG, if_range) is None


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (None, False),
        ("*", True),
        ('"abc"', True),
        ('W/"abc"', True),
        ('"x", "abc"', True),
        ('"x"', False),
        ("abc", False),
    ],
)
def test_whoever_has_the_file_already_is_told_so(header, known) -> None:
    assert downloads.unchanged(header, E_TAG) is known


HOSTILE = [
    *(
        "..",
        ".",
        "",
        "/etc/passwd",
        "a/../../b",
        "a\\b",
        "con",
        "NUL.txt",
        "com1",
        "a\0b",
        "a\nb",
        "-rf",
        "~root",
        ".hidden",
    ),
    *(
        "Ünïcode",
        "订单",
        "x" * 300,
        "é" * 300,
        "a\u202egnp.exe",
        "q\"uo'te",
        "a%2fb",
        "sp ace",
        "tail. ",
        "🦄",
        "a:b|c?",
        "  ",
    ),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_becomes_a_file_name_of_one_folder(name, tmp_path) -> None:
    made = filenames.safe(name)
    path = tmp_path / f"{made}-001.ndjson.gz"
    path.write_text("x")
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.parent == tmp_path
    assert made == unicodedata.normalize("NFC", made)
    assert made[0] not in " .-~"
    assert not set(made) & set('/\\:*?"<>|\0\n\u202e')


def test_names_that_systems_keep_for_themselves_are_not_used() -> None:
    made = [filenames.safe(name) for name in ("con", "NUL.txt", "com1", "PRN", "lpt9.x", "console", "common")]
    assert made == ["_con", "_NUL.txt", "_com1", "_PRN", "_lpt9.x", "console", "common"]


def test_plain_names_stay_as_they_are() -> None:
    for name in ("orders", "public.orders", "line_items", "Ünïcode", "sp ace", "订单", "a-b"):
        assert filenames.safe(name) == name


def test_names_differ_in_more_than_case_and_are_never_the_manifests() -> None:
    names = filenames.Names()
    made = [
        names.take(stem, ".json")
        for stem in ("Orders", "orders", "ORDERS", "manifest", "é", "e\u0301", "straße", "STRASSE")
    ]
    assert made[:4] == ["Orders.json", "orders-2.json", "ORDERS-3.json", "manifest-2.json"]
    assert len({name.casefold() for name in made}) == len(made)
    assert len({unicodedata.normalize("NFC", name.casefold()) for name in made}) == len(made)
    assert names.take("orders-2", ".json") == "orders-2-2.json"


def parsed(header: str) -> str | None:
    """The file name as Python's mail parser, an independent reader of RFC 2231 and 6266, sees it."""
    message = Message()
    message["Content-Disposition"] = header
    return message.get_filename()


@given(name=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=40))
def test_the_name_in_the_header_is_read_back(name) -> None:
    header = downloads.content_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.startswith('attachment; filename="')
    fallback = header.removeprefix('attachment; filename="').partition('"')[0]
    assert "\\" not in fallback
    star = header.partition("filename*=")[2]
    assert parsed(f"attachment; filename*={star}") == name.strip()  # as that reader strips it


def test_a_name_stands_in_the_header_for_old_readers_and_for_new_ones() -> None:
    assert (
        downloads.content_disposition("orders.csv.gz")
        == "attachment; filename=\"orders.csv.gz\"; filename*=UTF-8''orders.csv.gz"
    )
    assert (
        downloads.content_disposition('é".csv')
        == "attachment; filename=\"__.csv\"; filename*=UTF-8''%C3%A9%22.csv"
    )


LINK = Link("AbCdEfGhIj", "caller")


def test_a_link_opens_what_it_was_signed_for_until_its_time_is_over() -> None:
    token = downloads.sign(["key"], LINK, AT + timedelta(minutes=5))
    assert downloads.unsign(["key"], token, AT) == LINK
    assert downloads.unsign(["key"], token, AT + timedelta(seconds=299)) == LINK
    with pytest.raises(Gone, match=r"good until 2026-11-22 12:05 UTC\. Ask"):
        downloads.unsign(["key"], token, AT + timedelta(minutes=5))
    assert all(letter.isalnum() or letter in "-_." for letter in token)


def test_a_link_with_any_other_letter_is_unknown() -> None:
    token = downloads.sign(["key"], LINK, AT + timedelta(minutes=5))
    forged = {
        token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token) - 1)
    }
    for one in [*forged, "", ".", token[:-5], token + "x", "é", "x" * 5000]:
        with pytest.raises(NotFound):
            downloads.unsign(["key"], one, AT)
    with pytest.raises(NotFound):
        downloads.unsign(["another"], token, AT)


def test_keys_can_be_replaced_without_breaking_links_at_large() -> None:
    old = downloads.sign(["first"], LINK, AT + timedelta(minutes=5))
    new = downloads.sign(["second", "first"], LINK, AT + timedelta(minutes=5))
    assert downloads.unsign(["second", "first"], old, AT) == LINK
    assert downloads.unsign(["second"], new, AT) == LINK
    with pytest.raises(NotFound):
        downloads.unsign(["first"], new, AT)
    with pytest.raises(NotFound):
        downloads.unsign(["second"], old, AT)
