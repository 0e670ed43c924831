"""Downloads of what is not as its manifest says, or cannot be written: nothing of it is ever shown as a file."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from outhaul.client import Client, patience
from outhaul.errors import Misconfigured, NotFound, ServiceError, StoreError, StoreFull, Unproven
from tests import replies
from tests.replies import DATA, EXPORT, NAME, Asked, Finished, Reply

PARTIAL = f"{NAME}.{EXPORT}.partial"
MINE = b"mine"


@contextmanager
def client(service: Callable[[Asked], Reply]) -> Iterator[Client]:
    with replies.answering(service) as address, Client(address, "oh_secret", patience=2) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which files of those names stand already."""
    for name in (NAME, "manifest.json"):
        (tmp_path / name).write_bytes(MINE)
    return tmp_path


def untouched(folder: Path, *more: str) -> None:
    assert sorted(one.name for one in folder.iterdir()) == sorted(["manifest.json", NAME, *more])
    assert (folder / NAME).read_bytes() == (folder / "manifest.json").read_bytes() == MINE


def told(**changed: Any) -> bytes:
    """A manifest of which something was changed without its hash."""
    return json.dumps(json.loads(replies.manifest()) | changed).encode()


def files(**changed: Any) -> list[dict[str, Any]]:
    (file,) = json.loads(replies.manifest())["files"]
    return [file | changed]


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (replies.manifest(export="ZyXwVuTsRq"), "another export"),
        (told(selections=[]), "edited"),
        (told(sha256="0" * 64), "edited"),
        (replies.manifest(parts=[]), "rows read"),
        (replies.manifest(manifest=2), "version"),
        (replies.manifest(files=[]), "rows in the files"),
        (replies.manifest(files=files(name="../orders.csv")), "no file of ours"),
        (replies.manifest(files=files(name=".bashrc")), "no file of ours"),
        (replies.manifest(files=files(name="manifest.json")), "no file of ours"),
        (replies.manifest(files=files(name="a\0b")), "no file of ours"),
        (replies.manifest(files=files(name="a\ud800b")), "is none"),
        (replies.manifest(files=[{}]), "is none"),
        (b'{"export": 1', "is none"),
        (b"[]", "is none"),
        (b"<html>", "is none"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_before_anything_is_fetched(
    manifest: bytes, says: str, folder: Path
) -> None:
    service = Finished(manifest)
    with client(service) as made, pytest.raises(Unproven, match=says):
        made.download(EXPORT, folder)
    assert service.fetched() == []
    untouched(folder)


@pytest.mark.parametrize(
    "data",
    [DATA[:500] + b"x" + DATA[501:], b"x" * len(DATA)],
    ids=["one byte", "every byte"],
)
def test_bytes_that_are_not_the_manifests_are_thrown_away(data: bytes, folder: Path) -> None:
    with client(Finished(data=data)) as made, pytest.raises(Unproven, match="SHA-256 of bytes"):
        made.download(EXPORT, folder)
    untouched(folder)


@pytest.mark.parametrize("data", [DATA[:-1], DATA + b"x", b""], ids=["shorter", "longer", "empty"])
def test_a_file_of_another_length_is_refused_by_what_is_told_of_it(data: bytes, folder: Path) -> None:
    with client(Finished(data=data)) as made, pytest.raises(Unproven, match="bytes at the service"):
        made.download(EXPORT, folder)
    untouched(folder)


def test_a_file_of_no_told_length_that_goes_on_too_long_is_thrown_away(folder: Path) -> None:
    service = Finished(link=lambda _: Reply(200, DATA + b"extra", {"Content-Length": ""}))
    with client(service) as made, pytest.raises(Unproven, match="length"):
        made.download(EXPORT, folder)
    untouched(folder)


def test_whoever_knows_no_ranges_gives_the_whole_again(tmp_path: Path) -> None:
    (tmp_path / PARTIAL).write_bytes(DATA[:70_000])
    service = Finished(link=lambda _: Reply(200, DATA))
    with client(service) as made:
        made.download(EXPORT, tmp_path)
    assert (tmp_path / NAME).read_bytes() == DATA
    assert len(service.fetched()) == 1


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("", ServiceError),
        ("bytes */10", ServiceError),
        ("pages 1-2/3", ServiceError),
        (f"bytes 2000-{len(DATA) - 1}/{len(DATA)}", ServiceError),
        ("bytes 5-9/10", Unproven),
    ],
)
def test_another_range_than_was_asked_for_is_no_answer(
    where: str, kind: type[Exception], folder: Path
) -> None:
    (folder / PARTIAL).write_bytes(DATA[:1000])
    service = Finished(link=lambda _: Reply(206, DATA[2000:], {"Content-Range": where}))
    with client(service) as made, pytest.raises(kind):
        made.download(EXPORT, folder)
    assert len(service.fetched()) == 1
    untouched(folder, *([PARTIAL] if kind is ServiceError else []))


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (416, Unproven), (418, ServiceError), (304, ServiceError)]
)
def test_a_link_that_will_never_be_good_is_followed_once(
    status: int, kind: type[Exception], folder: Path
) -> None:
    service = Finished(link=lambda _: Reply(status, b"No such file."))
    with client(service) as made, pytest.raises(kind):
        made.download(EXPORT, folder)
    assert len(service.fetched()) == 1
    assert (folder / NAME).read_bytes() == MINE


def test_a_link_to_nowhere_is_told_without_waiting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience.Patience, "wait", lambda *_: pytest.fail("waited"))
    service = Finished(link=lambda _: Reply(302, b"", {"Location": "http://127.0.0.1:1/x"}))
    with client(service) as made, pytest.raises(ServiceError, match="cannot be reached"):
        made.download(EXPORT, folder)


def test_a_second_download_of_the_same_into_the_same_folder_is_refused(tmp_path: Path) -> None:
    service = Finished()

    def twice(asked: Asked) -> Reply:
        with client(Finished()) as other, pytest.raises(Misconfigured, match="Another download"):
            other.download(EXPORT, tmp_path)
        return service.ranged(asked)

    service.link = twice
    with client(service) as made:
        made.download(EXPORT, tmp_path)
    assert (tmp_path / NAME).read_bytes() == DATA


def test_a_folder_that_cannot_be_made_or_written_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(MINE)
    with client(Finished()) as made:
        with pytest.raises(StoreError, match="file cannot be written"):
            made.download(EXPORT, tmp_path / "file")
        (tmp_path / "taken" / PARTIAL).mkdir(parents=True)
        with pytest.raises(StoreError, match="partial cannot be written"):
            made.download(EXPORT, tmp_path / "taken")
    assert (tmp_path / "file").read_bytes() == MINE


def test_a_disk_that_is_full_leaves_nothing_that_looks_whole(folder: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with client(Finished()) as made:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, before[1]))
        try:
            with pytest.raises(StoreFull, match=r"cannot be written: File too large.*Make room"):
                made.download(EXPORT, folder)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert (folder / PARTIAL).read_bytes() == DATA[:150_000]
        untouched(folder, PARTIAL)
        made.download(EXPORT, folder)
    assert (folder / NAME).read_bytes() == DATA
