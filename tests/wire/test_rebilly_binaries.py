"""Organization exports with `includeFiles`: what an organization keeps in a folder or a bucket, and no other's."""

from __future__ import annotations

import io
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from tests import buckets
from tests.organizations import Organization, place_of
from tests.served import ROWS, of_shop, served, until

LARGE = Random(1).randbytes(9_000_000)
BINARY = '\n[resources.orders.binary]\n{where} = "{place}/{{tenant}}/kept"\npath = "note"\n'
Lay = Callable[[str, bytes], object]


@pytest.fixture(params=["folder", "bucket"])
def kept(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Lay]]:
    """What the catalog file says of the place, and how binaries come there."""
    if request.param == "folder":

        def lay(path: str, data: bytes) -> None:
            (tmp_path / "all" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "all" / path).write_bytes(data)

        yield BINARY.format(where="folder", place=tmp_path / "all"), lay
        return
    (tmp_path / "bucket").mkdir()
    with buckets.bucket(tmp_path / "bucket") as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield BINARY.format(where="store", place=f"s3://{buckets.NAME}"), found.put


def ended(organization: Organization) -> dict[str, object]:
    made = organization.create(json={"includeFiles": True})
    until(lambda: organization.get(made["id"])["status"] in {"completed", "failed"}, "it ends")
    return organization.get(made["id"])


def content(number: int) -> bytes:
    return LARGE if number == 2 else b"file %d" % number


def test_the_files_of_an_organization_are_included_from_where_they_are_kept(
    kept: tuple[str, Lay], tmp_path: Path
) -> None:
    binary, lay = kept
    (tmp_path / "shop").mkdir()
    place = place_of(tmp_path / "shop", binary)
    for number in range(1, ROWS + 1):
        lay(f"{1 + number % 2}/kept/note {number}", content(number))
    with of_shop(place) as outhaul, served(outhaul) as client:
        organization = Organization(outhaul, client)
        found = ended(organization)
        assert found["status"] == "completed", outhaul.ledger.list()[0][0].errors
        data = organization.call("GET", f"/files/{found['fileId']}/download").content
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.startswith("files/")]
            files = {name: archive.read(name) for name in names}
        mine = [number for number in range(1, ROWS + 1) if 1 + number % 2 == 1]
        assert files == {f"files/orders/{number}/note {number}": content(number) for number in mine}
        with closing(sqlite3.connect(place / "shop.db")) as connection, connection:
            connection.execute("UPDATE orders SET note = '../../2/kept/note 1' WHERE id = 4")
        assert ended(organization)["status"] == "failed"
        (error,) = outhaul.ledger.list()[0][0].errors
        assert (error["error"], "orders 4 lies outside" in error["message"]) == ("UnreadableValue", True)


@pytest.mark.heavy
def test_a_bucket_that_is_away_for_a_while_costs_a_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bucket", "shop"):
        (tmp_path / name).mkdir()
    with buckets.bucket(tmp_path / "bucket") as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        for number in range(1, ROWS + 1):
            found.put(f"{1 + number % 2}/kept/note {number}", b"file %d" % number)
        place = place_of(tmp_path / "shop", BINARY.format(where="store", place=f"s3://{buckets.NAME}"))
        with of_shop(place) as outhaul, served(outhaul) as client:
            organization = Organization(outhaul, client)
            found.kill()
            made = organization.create(json={"includeFiles": True})
            ours = outhaul.ledger.list()[0][0].id
            until(
                lambda: any(part.attempt > 1 for part in outhaul.ledger.standings(ours, 100, 0)),
                "a try fails",
            )
            assert found.start()
            until(lambda: organization.get(made["id"])["status"] in {"completed", "failed"}, "it ends")
            ended = organization.get(made["id"])
            assert ended["status"] == "completed", outhaul.ledger.list()[0][0].errors
            data = organization.call("GET", f"/files/{ended['fileId']}/download").content
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert len([name for name in archive.namelist() if name.startswith("files/")]) == ROWS // 2
