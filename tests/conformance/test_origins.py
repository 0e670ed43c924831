"""What every origin of binaries promises: what lies at a path and nothing else, as it is or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from outhaul import origins, siblings
from outhaul.errors import Misconfigured, StoreError
from outhaul.origins import Unfit
from tests import buckets
from tests.buckets import Bucket

LARGE = Random(1).randbytes(20_000_000)
ODD = [
    "a b.jpg",
    "é.jpg",
    "100%.txt",
    "a%2Fb",
    "a+b",
    "a?b=c",
    "a#b",
    "a&b",
    "'\"",
    "a\\b",
    "日本/語",
    "~a",
    "a;b",
]
ELSEWHERE = ["", "/", "..", ".", "../secret", "own/../../secret", "/own/a", "own/..", "a\0b", "./../secret"]


class Place:
    """Where binaries are laid and taken from: `own` below `address`, `secret` beside it."""

    def __init__(self, address: str, put: Callable[[str, bytes], object]) -> None:
        self.address, self._put = address, put
        self.lay("secret", b"secret", beside=True)

    def lay(self, path: str, data: bytes, *, beside: bool = False) -> None:
        self._put(path if beside else f"of a/{path}", data)

    @property
    def origin(self) -> Any:
        scheme = self.address.partition(":")[0]
        return siblings.load(origins, scheme).open_origin(self.address)

    def read(self, path: str) -> bytes:
        with closing(self.origin.take(path.encode())) as taken:
            data = b"".join(taken.read())
            assert len(data) == taken.length
            return data


def what_is_laid_is_taken(place: Place) -> None:
    for n, data in enumerate((b"", b"x", b"0123456789" * 100_000, LARGE)):
        place.lay(f"own/{n}", data)
        assert place.read(f"own/{n}") == data


def it_is_read_as_often_as_asked(place: Place) -> None:
    place.lay("own/large", LARGE)
    with closing(place.origin.take(b"own/large")) as taken:
        assert all(b"".join(taken.read()) == LARGE for _ in range(2))


def odd_names_are_names(place: Place) -> None:
    for name in ODD:
        place.lay(f"odd/{name}", name.encode())
    assert [place.read(f"odd/{name}") for name in ODD] == [name.encode() for name in ODD]


def nothing_leads_out_of_its_place(place: Place) -> None:
    place.lay("own/a", b"a")
    for path in (*ELSEWHERE, "secret", "%2e%2e/secret", "..%2fsecret"):
        with pytest.raises(Unfit):
            place.read(path)
    with pytest.raises(Unfit):
        place.origin.take(b"\xff\xfe")


def what_is_missing_is_told(place: Place) -> None:
    place.lay("own/a", b"a")
    for path in ("own/b", "own", "own/a/b", "nothing/a"):
        with pytest.raises(Unfit):
            place.read(path)


def what_changes_is_not_taken(place: Place) -> None:
    place.lay("own/changing", LARGE)
    with closing(place.origin.take(b"own/changing")) as taken:
        assert b"".join(taken.read()) == LARGE
        place.lay("own/changing", LARGE[::-1])
        with pytest.raises(Unfit, match="changed"):
            list(taken.read())


def it_answers(place: Place) -> None:
    place.lay("own/a", b"a")
    place.origin.look()


PROMISES = (
    *(what_is_laid_is_taken, it_is_read_as_often_as_asked, odd_names_are_names),
    *(nothing_leads_out_of_its_place, what_is_missing_is_told, what_changes_is_not_taken, it_answers),
)


def put_file(root: Path) -> Callable[[str, bytes], object]:
    def put(path: str, data: bytes) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
        os.utime(root / path, ns=(0, hash(data)))  # a clock may be too coarse to tell two writings apart

    return put


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_a_folder_keeps_each_promise(promise: Callable[[Place], None], tmp_path: Path) -> None:
    promise(Place(f"file://{tmp_path}/of%20a", put_file(tmp_path)))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with buckets.bucket(tmp_path_factory.mktemp("bucket")) as found:
        yield found


def test_a_bucket_keeps_all_of_them(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    place = Place(f"s3://{buckets.NAME}/of%20a", bucket.put)
    for promise in PROMISES:
        promise(place)
    for ask in (lambda origin: origin.take(b"b"), lambda origin: origin.look()):
        with pytest.raises(StoreError, match="no bucket 'nothing'"):
            ask(siblings.load(origins, "s3").open_origin("s3://nothing/a"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreError, match=buckets.NAME):
        place.origin.look()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreError, match=buckets.NAME):
        place.read("own/a")


@pytest.mark.parametrize(
    "address", ["file:", "file://host/x", "file:x", "s3:", "s3:///a", "s3://b?x=1", "s3://b/a#c"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Misconfigured):
        siblings.load(origins, address.partition(":")[0]).open_origin(address)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"])
@pytest.mark.parametrize(
    "wrong", ["minio:9000", "s3.example.com", "", "http://", "http://a b", "http://u:p@a"]
)
def test_an_endpoint_that_is_no_address_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, wrong: str
) -> None:
    monkeypatch.setenv(name, wrong)
    with pytest.raises(Misconfigured, match=f"{name} is no address"):
        siblings.load(origins, "s3").open_origin("s3://bucket/own")


def test_what_makes_the_library_panic_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (buckets.KEYS | {"AWS_REGION": "eu west"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match="cannot be asked"):
        siblings.load(origins, "s3").open_origin("s3://bucket/own").take(b"a")
