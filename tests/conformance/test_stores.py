"""What every store promises, run for each sibling."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from outhaul import siblings, stores
from outhaul.errors import Misconfigured, SourceAway, StoreError, StoreFull

PLACES: dict[str, Callable[[Path], str]] = {"file": lambda folder: (folder / "objects").as_uri()}


def test_every_store_is_put_to_the_test() -> None:
    assert set(siblings.names(stores)) == set(PLACES)


@pytest.fixture(params=sorted(PLACES))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return PLACES[request.param](tmp_path)


@pytest.fixture
def store(url: str) -> Any:
    return siblings.load(stores, url.partition(":")[0]).open_store(url)


def test_what_was_put_is_read_back(store) -> None:
    assert store.put("a/1.csv", [b"one,", memoryview(b"two"), b"", bytearray(b"\n")]) == 8
    assert b"".join(store.read("a/1.csv")) == b"one,two\n"
    assert store.size("a/1.csv") == 8


def test_an_empty_object_is_an_object(store) -> None:
    assert store.put("a/empty", []) == 0
    assert list(store.read("a/empty")) == []
    assert store.size("a/empty") == 0


def test_a_stretch_is_read_without_the_rest(store) -> None:
    store.put("a/b", [bytes(range(256)) * 20_000])
    whole = bytes(range(256)) * 20_000
    for start, length in [(0, 1), (255, 3), (len(whole) - 5, 5), (1 << 20, 1 << 20), (0, len(whole)), (7, 0)]:
        pieces = list(store.read("a/b", start, length))
        assert b"".join(pieces) == whole[start : start + length]
        assert all(0 < len(piece) <= 1 << 20 for piece in pieces)
    assert b"".join(store.read("a/b", 5_000_000)) == whole[5_000_000:]


def test_a_missing_or_short_object_is_said_in_words(store) -> None:
    with pytest.raises(StoreError, match=r"a/none.*Ask|a/none.*never stored"):
        list(store.read("a/none"))
    assert store.size("a/none") is None
    store.put("a/short", [b"12345"])
    with pytest.raises(StoreError, match=r"short.* 3 bytes are missing"):
        list(store.read("a/short", 2, 6))


@pytest.mark.parametrize(
    "error", [SourceAway("The source went away."), KeyboardInterrupt(), ConnectionError("x")]
)
def test_a_put_whose_chunks_fail_leaves_nothing_and_says_their_error(store, error) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        assert store.size("a/1") is None
        raise error

    with pytest.raises(type(error)) as caught:
        store.put("a/1", chunks())
    assert caught.value is error
    assert store.size("a/1") is None
    assert list(store.keys("")) == []


def test_an_object_is_seen_only_when_it_is_whole(store) -> None:
    seen = []

    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            yield b"x" * 100
            seen.append(store.size("a/1"))

    store.put("a/1", chunks())
    assert seen == [None] * 3
    assert store.size("a/1") == 300


def test_a_put_that_fails_leaves_the_object_that_was_there(store) -> None:
    store.put("a/1", [b"first"])

    def chunks() -> Iterator[bytes]:
        yield b"second"
        raise SourceAway("gone")

    with pytest.raises(SourceAway):
        store.put("a/1", chunks())
    assert b"".join(store.read("a/1")) == b"first"


def test_keys_are_listed_with_length_and_age(store) -> None:
    for key in ("a/1.csv", "a/12.csv", "a/deep/x", "b/1"):
        store.put(key, [key.encode()])
    found = {key: length for key, length, _ in store.keys("")}
    assert found == {"a/1.csv": 7, "a/12.csv": 8, "a/deep/x": 8, "b/1": 3}
    assert {key for key, _, _ in store.keys("a/1")} == {"a/1.csv", "a/12.csv"}
    assert {key for key, _, _ in store.keys("a/")} == {"a/1.csv", "a/12.csv", "a/deep/x"}
    assert list(store.keys("nothing/")) == []
    assert all(0 <= age < 60 for _, _, age in store.keys(""))


def test_delete_takes_what_begins_with_the_prefix_and_nothing_else(store) -> None:
    for key in ("ab/1", "ab/2", "abc/1", "b/1"):
        store.put(key, [b"x"])
    assert store.delete("ab/") == 2
    assert store.delete("ab/") == 0
    assert {key for key, _, _ in store.keys("")} == {"abc/1", "b/1"}
    store.put("ab/1", [b"again"])
    assert store.size("ab/1") == 5
    with pytest.raises(ValueError, match="everything"):
        store.delete("")


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "../a", "a/../b", "a//b", "a/.hidden", "a b", "a\0", "ä", "a\\b", "a/./b", "a\n"]
)
def test_a_key_that_is_not_ours_is_refused(store, key) -> None:
    for act in (lambda: store.put(key, [b"x"]), lambda: list(store.read(key)), lambda: store.size(key)):
        with pytest.raises(ValueError, match="no key"):
            act()


@pytest.mark.parametrize("prefix", ["../", "a/../", "/", "./", ".."])
def test_a_prefix_does_not_lead_out_of_the_store(store, prefix) -> None:
    with pytest.raises(ValueError, match="no key"):
        store.delete(prefix)
    with pytest.raises(ValueError, match="no key"):
        list(store.keys(prefix))


def test_two_puts_at_once_do_not_mix(store) -> None:
    barrier = threading.Barrier(2)

    def put(key: str, byte: bytes) -> None:
        barrier.wait(10)
        store.put(key, (byte * 1000 for _ in range(500)))

    threads = [threading.Thread(target=put, args=(f"same/{byte}", byte.encode())) for byte in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for byte in "xy":
        assert b"".join(store.read(f"same/{byte}")) == byte.encode() * 500_000


def test_free_room_is_told(store) -> None:
    assert store.free() is None or store.free() > 0


PUTTER = """
import sys
from outhaul import siblings, stores
store = siblings.load(stores, sys.argv[1].partition(':')[0]).open_store(sys.argv[1])
def chunks():
    yield b"x" * 100_000
    print("half", flush=True)
    sys.stdin.read()
store.put("a/1", chunks())
"""


def test_a_process_killed_in_mid_put_leaves_nothing_but_what_can_be_swept(store, url) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", PUTTER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == "half\n"
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    child.stdout.close()
    child.stdin.close()
    assert store.size("a/1") is None
    left = list(store.keys("a/"))
    assert all(key != "a/1" for key, _, _ in left)
    store.put("a/1", [b"again"])
    assert b"".join(store.read("a/1")) == b"again"
    for key, _, _ in left:
        assert store.delete(key) == 1
    assert [key for key, _, _ in store.keys("")] == ["a/1"]


# Promises of the file store alone.


@pytest.fixture
def files(tmp_path: Path) -> Any:
    return siblings.load(stores, "file").open_store((tmp_path / "o b").as_uri())


FILLER = """
import resource, sys
from outhaul import siblings, stores
from outhaul.errors import StoreFull
store = siblings.load(stores, "file").open_store(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    store.put("a/1", (b"x" * 300_000 for _ in range(9)))
except StoreFull as error:
    print(error)
"""


def test_a_file_system_that_takes_no_more_is_said_in_words_and_leaves_nothing(files, tmp_path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", FILLER, (tmp_path / "o b").as_uri()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "larger than this system allows: could not write" in said.stdout
    assert "start the export again" in said.stdout
    assert list(files.keys("")) == []


@pytest.mark.parametrize("number", ["ENOSPC", "EDQUOT"])
def test_a_full_disk_at_any_moment_leaves_nothing(files, number, monkeypatch) -> None:
    import errno

    def full(*_: object) -> int:
        raise OSError(getattr(errno, number), "no")

    for call in ("write", "fsync", "open"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            with pytest.raises(
                StoreFull, match=r"(disk is full|quota is used up): could not write .*Make room"
            ):
                files.put("a/1", [b"x"])
        assert list(files.keys("")) == []


def test_files_are_for_their_owner_alone_whatever_the_umask(files, tmp_path) -> None:
    before = os.umask(0)
    try:
        files.put("a/deep/1", [b"x"])
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "o b").rglob("*")}
    assert modes == {"a": 0o700, "deep": 0o700, "1": 0o600}
    assert stat.S_IMODE((tmp_path / "o b").stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_written_is_said_in_words(tmp_path) -> None:
    (tmp_path / "objects").write_text("a file stands here")
    store = siblings.load(stores, "file").open_store((tmp_path / "objects").as_uri())
    with pytest.raises(StoreError, match=r"Could not write .*(folder|exists)"):
        store.put("a/1", [b"x"])


@pytest.mark.parametrize("url", ["file:", "file://host/x", "s3://bucket", "/plain/path"])
def test_an_address_that_names_no_folder_is_refused(url) -> None:
    with pytest.raises(Misconfigured):
        siblings.load(stores, "file").open_store(url)


def test_the_file_and_its_folder_are_synced_before_put_returns(files, monkeypatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(file: int) -> None:
        synced.append(Path(f"/proc/self/fd/{file}").readlink().name)
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    files.put("a/1", [b"x"])
    assert synced[-2].startswith("1.")
    assert synced[-1] == "a"
    assert "o b" in synced


def test_a_reader_finishes_although_the_object_is_deleted_under_it(files) -> None:
    files.put("a/1", [b"x" * (3 << 20)])
    pieces = files.read("a/1")
    first = next(pieces)
    files.delete("a/")
    assert len(first) + sum(map(len, pieces)) == 3 << 20


def test_unfinished_files_are_listed_with_their_age(files, tmp_path) -> None:
    files.put("a/1", [b"x"])
    left = tmp_path / "o b" / "a" / "2.0011223344556677.part"
    left.write_bytes(b"half")
    old = time.time() - 7200
    os.utime(left, (old, old))
    found = {key: (length, age) for key, length, age in files.keys("")}
    assert found["a/2.0011223344556677.part"][0] == 4
    assert 7100 < found["a/2.0011223344556677.part"][1] < 7300


def test_a_file_that_no_put_has_made_is_left_alone(files, tmp_path) -> None:
    files.put("a/1", [b"x"])
    (tmp_path / "o b" / "a" / ".hidden file").write_bytes(b"foreign")
    assert [key for key, _, _ in files.keys("")] == ["a/1"]
    assert files.delete("a/") == 1
    assert (tmp_path / "o b" / "a" / ".hidden file").exists()
