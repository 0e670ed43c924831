"""Disks fill and stores cannot be written: it is said in words, can be started again, and nothing half is whole."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system import _outhaul
from tests.system._disk import Disk
from tests.system._faults import (
    BIG,
    PARTS,
    PAUSE,
    failed_in_words,
    nothing_half,
    said_in_words,
    started_again,
)
from tests.system._outhaul import Service, until
from tests.system._shop import Shop


@pytest.fixture(scope="module")
def big_sqlite(filled: Callable[[str, Shop], str]) -> str:
    return filled("sqlite", BIG)


def small_files() -> None:
    """Files may grow to 3 MB and no further; Python turns the signal into an error."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))


def test_a_command_at_its_limit_of_file_size_says_so_and_leaves_nothing(
    any_form: str, big_sqlite: str, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    args = _outhaul.export_args(big_sqlite, "orders", output, format=any_form)
    run = _outhaul.command(*args, at=tmp_path, folder=output, preexec_fn=small_files)
    assert run.code == 4, run.said
    said_in_words(run.said)
    nothing_half(run)


@pytest.mark.heavy  # a full file system is tried below
def test_a_service_at_its_limit_of_file_size_fails_and_starts_again(big_sqlite: str, tmp_path: Path) -> None:
    service = Service(big_sqlite, tmp_path, {"workers": 1, "retry_pause": PAUSE}, limits=small_files)
    service.start()
    try:
        asker = service.asker()
        export_id = asker.create("orders", "json", includes=["customer", "line_items"])
        if asker.wait(export_id)["status"] == "completed":
            pytest.fail("the limit was not reached: the test shows nothing")
        failed_in_words(asker, export_id, "store", "disk", "file", "room", "space")
        asker.finish(asker.create("customers"))
        service.stop()
        service.limits = None
        service.start()
        started_again(asker, export_id, "orders", BIG.orders)
    finally:
        service.kill()
        service.client.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    made.remove()


def test_a_full_file_system_fails_in_words_and_starts_again(
    disk: Disk, big_sqlite: str, tmp_path: Path
) -> None:
    limits = None if disk.mounted else small_files
    service = Service(
        big_sqlite,
        tmp_path,
        {"workers": 1, "store": f"file://{disk.folder}", "part_bytes": PARTS, "retry_pause": PAUSE},
        limits=limits,
    )
    service.start()
    try:
        asker = service.asker()
        export_id = asker.create(
            "orders", "json", includes=["customer", "line_items.sku", "referrer", "order_tags.tag"]
        )
        failed_in_words(asker, export_id, "full", "room", "space", "file")
        until(lambda: shutil.disk_usage(disk.folder).free > 0, "what was written half is removed")
        if disk.mounted:
            disk.change("size=200m")
        else:
            service.stop()
            service.limits = None
            service.start()
        started_again(asker, export_id, "orders", BIG.orders)
    finally:
        service.kill()
        service.client.close()


def test_a_store_that_cannot_be_written_fails_in_words_and_starts_again(
    disk: Disk, big_sqlite: str, tmp_path: Path
) -> None:
    terms = {"workers": 1, "store": f"file://{disk.folder}", "retry_pause": PAUSE}
    with _outhaul.serving(big_sqlite, tmp_path, **terms) as service:
        asker = service.asker()
        asker.finish(asker.create("customers"))
        if disk.mounted:
            disk.change("size=200m,ro")
        else:
            disk.folder.chmod(0o500)
        answer = asker.ask("orders")
        if answer.status_code == 201:
            failed_in_words(asker, answer.json()["data"]["id"], "read-only", "write", "permission", "store")
        else:
            assert answer.status_code in {422, 503, 507}
            said_in_words(answer.json()["errors"][0]["detail"])
        if disk.mounted:
            disk.change("size=200m,rw")
        else:
            disk.folder.chmod(0o700)
        if answer.status_code == 201:
            started_again(asker, answer.json()["data"]["id"], "orders", BIG.orders)
        else:
            asker.finish(asker.create("orders"))


def test_an_output_folder_that_cannot_be_written_is_said_in_words(big_sqlite: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    run = _outhaul.command("export", big_sqlite, "skus", "--output", tmp_path / "taken", at=tmp_path)
    assert run.code in {2, 4}
    said_in_words(run.said)
    assert "taken" in run.said
    assert (tmp_path / "taken").read_text() == "a file where a folder should be"


def test_low_disk_refuses_new_exports_in_words(big_sqlite: str, tmp_path: Path) -> None:
    with _outhaul.serving(big_sqlite, tmp_path, min_free=10**15) as service:
        asker = service.asker()
        answer = asker.ask("skus")
        assert answer.status_code in {422, 503, 507}, answer.text
        said_in_words(answer.json()["errors"][0]["detail"])
        assert asker.ids() == []
    run = _outhaul.export(big_sqlite, "skus", tmp_path, settings={"min_free": 10**15}, format="csv")
    assert run.code != 0
    said_in_words(run.said)
