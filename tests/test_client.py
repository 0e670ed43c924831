"""The client against the service itself: every call, the files as they are, and their rows in Arrow."""

from __future__ import annotations

import gzip
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pyarrow as pa
import pytest

from outhaul.app import Outhaul
from outhaul.client import Client, Export, arrow, asking
from outhaul.errors import (
    Interrupted,
    NotAllowed,
    NotFound,
    NothingMatches,
    NotSignedIn,
    Refused,
    TooMuch,
    WrongState,
    WrongValue,
)
from outhaul.manifest import verify_folder
from tests import replies
from tests.served import ROWS, put_together, served

REFERENCE = Path(__file__).parent.parent / "docs" / "reference" / "python.md"
NOTES = [None, "", "a,b", "line\nbreak", '"quoted"', "é", " ", "NULL", "007", "a\tb"]
SHOP = f"""
PRAGMA journal_mode = WAL;
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id),
    note TEXT, total DECIMAL(10,2));
INSERT INTO customers VALUES (0, 'Ada'), (1, 'Grace');
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
INSERT INTO orders SELECT i, i % 2, NULL, i / 4.0 FROM n;
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client")
    with closing(sqlite3.connect(folder / "shop.db")) as connection, connection:
        connection.executescript(SHOP)
        for number in range(1, ROWS + 1):
            connection.execute(
                "UPDATE orders SET note = ? WHERE id = ?", (NOTES[number % len(NOTES)], number)
            )
    return folder


@pytest.fixture(scope="module")
def outhaul(place: Path) -> Iterator[Outhaul]:
    with put_together(f"sqlite:///{place}/shop.db", place / "state", part_bytes=1_000) as made:
        yield made


@pytest.fixture(scope="module")
def http(outhaul: Outhaul) -> Iterator[httpx.Client]:
    with served(outhaul) as made:
        yield made


@pytest.fixture(scope="module")
def client(outhaul: Outhaul, http: httpx.Client) -> Iterator[Client]:
    token, _ = outhaul.access.make_token("test", all_tenants=True)
    with Client(f"{http.base_url}", token) as made:
        yield made


def done(client: Client, resource_type: str = "orders", **asked: Any) -> Export:
    *_, last = client.follow(client.create(resource_type, **asked).id)
    assert last.status == "completed", last.errors_log
    return last


def test_an_export_is_asked_for_followed_and_told_of(client: Client) -> None:
    asked = client.create(
        "orders",
        fields=["id", "customer.name"],
        includes=["customer"],
        filters={"id_lteq": 50, "note_in": ["a,b", "é"]},
        reference="for Ada",
        metadata={"n": [1]},
    )
    assert (asked.status, asked.resource_type, asked.format) == ("pending", "orders", "json")
    seen = list(client.follow(asked.id))
    assert [one.ended for one in seen[:-1]] == [False] * (len(seen) - 1)
    last = seen[-1]
    assert (last.status, last.records_count, last.processed_count, last.progress) == (
        "completed",
        10,
        10,
        100,
    )
    assert (last.fields, last.includes) == (("id", "customer.name"), ("customer",))
    assert last.filters == {"id_lteq": 50, "note_in": ["a,b", "é"]}
    assert (last.reference, last.metadata) == ("for Ada", {"n": [1]})
    assert last.completed_at is not None
    assert last.completed_at.utcoffset() is not None
    assert last.why() is None
    assert client.get(last.id).as_data()["created_at"] == last.as_data()["created_at"]


def test_the_same_key_gives_the_same_export(client: Client) -> None:
    first, second = (client.create("customers", key="mine") for _ in range(2))
    assert first.id == second.id
    assert client.create("customers").id != first.id
    with pytest.raises(Refused, match="Idempotency-Key"):
        client.create("orders", key="mine")


def test_lists_give_each_export_once_over_all_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PAGE", 2)
    made = [client.create("customers", reference=f"page-{number}").id for number in range(5)]
    found = list(client.list(filters={"reference_start": "page-"}, sort=["-reference"]))
    assert [one.id for one in found] == made[::-1]
    listed = client.list(filters={"reference_start": "page-"})
    first = [next(listed).id for _ in range(2)]
    late = client.create("customers", reference="page-late").id
    rest = [one.id for one in listed]
    assert sorted([*first, *rest]) == sorted(made), (
        "one that came meanwhile has pushed another onto the next page"
    )
    assert late not in rest
    assert list(client.list(filters={"reference_eq": "nobody"})) == []
    with pytest.raises(Refused, match="colour"):
        list(client.list(filters={"colour_eq": "red"}))


def test_what_the_service_refuses_is_told_by_its_kind(
    client: Client, http: httpx.Client, outhaul: Outhaul
) -> None:
    with pytest.raises(Refused, match="orders"):
        client.create("ordres")
    with pytest.raises(NothingMatches):
        client.create("orders", filters={"id_eq": 0})
    for call in (client.get, client.interrupt, client.start, client.delete):
        with pytest.raises(NotFound, match="outhaul exports list"):
            call("XAyRWNUzyN")
    last = done(client)
    for call in (client.interrupt, client.start):
        with pytest.raises(WrongState):
            call(last.id)
    with Client(str(http.base_url), "oh_wrong") as stranger, pytest.raises(NotSignedIn):
        next(stranger.list())
    token, _ = outhaul.access.make_token("reader", all_tenants=True, read_only=True)
    with Client(str(http.base_url), token) as reader:
        assert reader.get(last.id).status == "completed"
        with pytest.raises(NotAllowed):
            reader.delete(last.id)


def test_an_export_is_interrupted_started_and_deleted(
    client: Client, outhaul: Outhaul, tmp_path: Path
) -> None:
    asked = client.create("orders", format="csv", includes=["customer"])
    try:
        assert client.interrupt(asked.id).status == "interrupted"
    except WrongState:  # it was quicker
        assert client.get(asked.id).status == "completed"
    else:
        with pytest.raises(Interrupted, match="exports start"):
            client.download(asked.id, tmp_path / "none")
        assert client.start(asked.id).status in {"pending", "in_progress", "completed"}
    *_, last = client.follow(asked.id)
    assert last.status == "completed"
    client.delete(asked.id)
    with pytest.raises(NotFound):
        client.get(asked.id)


@pytest.mark.parametrize("form", ["json", "csv", "ndjson", "parquet"])
def test_a_download_is_the_file_of_the_link_and_its_proof(
    form: str, client: Client, http: httpx.Client, tmp_path: Path
) -> None:
    last = done(client, format=form)
    got = client.download(last.id, tmp_path / "out")
    assert last.attachment_url is not None
    (file,) = got.files
    assert file.read_bytes() == http.get(last.attachment_url).content
    assert got.length == file.stat().st_size
    assert verify_folder(got.folder, deep=True) == ()
    assert sorted(one.name for one in got.folder.iterdir()) == sorted([file.name, "manifest.json"])


def test_plain_files_are_had_by_asking_for_no_compression(client: Client, tmp_path: Path) -> None:
    plain = client.download(done(client, format="csv", compress="none").id, tmp_path / "plain").files[0]
    packed = client.download(done(client, format="csv").id, tmp_path / "packed").files[0]
    assert (plain.name, packed.name) == ("orders.csv", "orders.csv.gz")
    assert sorted(gzip.decompress(packed.read_bytes()).split(b"\n")) == sorted(
        plain.read_bytes().split(b"\n")
    )
    loose = client.download(done(client, format="parquet", compress="none").id, tmp_path / "loose")
    tight = client.download(done(client, format="parquet").id, tmp_path / "tight")
    assert loose.length != tight.length


def in_database(place: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(place / "shop.db")) as connection:
        return connection.execute(sql).fetchall()


def test_parquet_of_many_parts_comes_into_arrow_with_its_types(client: Client, place: Path) -> None:
    last = done(client, format="parquet", includes=["customer"])
    with client.to_arrow(last.id) as batches:
        assert batches.schema.field("id").type == pa.int64()
        assert batches.schema.field("total").type.scale == 2
        assert pa.types.is_struct(batches.schema.field("customer").type)
        rows = [row for batch in batches for row in batch.to_pylist()]
    assert last.attachment_url is not None
    assert last.attachment_url.endswith(".parquet.zip"), "one part is not what was to be tried"
    expected = in_database(
        place, "SELECT o.id, note, total, name FROM orders o JOIN customers c ON c.id = customer_id"
    )
    found = [(row["id"], row["note"], row["total"], row["customer"]["name"]) for row in rows]
    assert sorted(found) == sorted(
        (number, note, Decimal(str(total)).quantize(Decimal("0.01")), name)
        for number, note, total, name in expected
    )


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"compress": "none"},
        {"compress": "zstd"},
        {"delimiter": "tab"},
        {"delimiter": ";", "compress": "none"},
    ],
    ids=str,
)
def test_csv_comes_into_arrow_as_text_with_null_apart_from_nothing(
    asked: dict[str, Any], client: Client, place: Path
) -> None:
    last = done(client, format="csv", fields=["id", "note"], **asked)
    with client.to_arrow(last.id) as batches:
        assert set(batches.schema.types) == {pa.string()}
        found = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
    assert sorted(found) == sorted(
        (str(number), note) for number, note in in_database(place, "SELECT id, note FROM orders")
    )


def test_a_table_of_one_column_keeps_its_nulls_in_arrow(client: Client, place: Path) -> None:
    last = done(client, format="csv", fields=["note"])
    with client.to_arrow(last.id) as batches:
        found = [value for batch in batches for value in batch.column(0).to_pylist()]
    expected = [note for (note,) in in_database(place, "SELECT note FROM orders")]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert found.count(None) == expected.count(None)
    assert found.count("") == expected.count("")


@pytest.mark.parametrize(
    ("resource_type", "asked", "says"),
    [
        ("orders", {}, "parquet, csv"),
        ("orders", {"format": "ndjson"}, "parquet, csv"),
        ("orders", {"format": "csv", "profile": "spreadsheet"}, "machine"),
        (
            "customers",
            {"format": "csv", "includes": ["orders"], "nested": {"orders": "files"}},
            "several tables",
        ),
    ],
)
def test_what_arrow_cannot_hold_as_it_is_is_refused(
    resource_type: str, asked: dict[str, Any], says: str, client: Client
) -> None:
    last = done(client, resource_type, **asked)
    with pytest.raises(WrongValue, match=says), client.to_arrow(last.id):
        pass


def test_an_export_is_looked_at_less_and_less_often(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    waiting = client.create("orders").as_data() | {"status": "pending"}
    monkeypatch.setattr(asking, "time", SimpleNamespace(sleep=pauses.append))
    monkeypatch.setattr(Client, "get", lambda *_: Export(**waiting))
    looks = client.follow("AbCdEfGhIj")
    for _ in range(20):
        next(looks)
    assert pauses[0] == 0.1
    assert pauses == sorted(pauses)
    assert pauses[-1] == 2.0
    assert sum(pauses) > 15, "twenty looks are for half a minute"


def test_the_python_of_the_reference_runs_as_it_stands(
    http: httpx.Client,
    outhaul: Outhaul,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = re.search(r"^```python\n(.*?)^```", REFERENCE.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    token, _ = outhaul.access.make_token("reader of docs", all_tenants=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTHAUL_TOKEN", token)
    here = str(http.base_url).rstrip("/")
    assert "http://127.0.0.1:8350" in found[1]
    exec(compile(found[1].replace("http://127.0.0.1:8350", here), "python.md", "exec"), {})
    *_, followed, counted = capsys.readouterr().out.splitlines()
    assert followed == f"completed {ROWS - 9} {ROWS - 9}"
    assert counted == str(ROWS - 9)
    assert verify_folder(tmp_path / "orders") == ()


def test_a_csv_of_no_rows_is_an_empty_table_and_a_row_beyond_the_block_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(data: bytes) -> Path:
        (tmp_path / replies.NAME).write_bytes(data)
        (tmp_path / "manifest.json").write_bytes(replies.manifest(data))
        return tmp_path / "manifest.json"

    with arrow.batches(put(b"id,note\n")) as batches:
        assert batches.schema.names == ["id", "note"]
        assert sum(batch.num_rows for batch in batches) == 0
    monkeypatch.setattr(arrow, "BLOCK", 1_000)
    for data in (
        b"id,note\n1,%b\n" % (b"x" * 5_000),
        b"id,note\n" + b"1,x\n" * 999 + b"2,%b\n" % (b"x" * 5_000),
    ):
        with pytest.raises(TooMuch, match="1,000 bytes"), arrow.batches(put(data)) as batches:
            list(batches)


@pytest.mark.heavy
@pytest.mark.parametrize("megabytes", [100, 400])
def test_what_arrow_holds_does_not_grow_with_the_file(megabytes: int, tmp_path: Path) -> None:
    line = b"1,%b\n" % (b"x" * 990)
    with (tmp_path / replies.NAME).open("wb") as file:
        file.write(b"id,note\n")
        for _ in range(megabytes):
            file.write(line * 1_000)
    (tmp_path / "manifest.json").write_bytes(replies.manifest(b"id,note\n"))
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    with arrow.batches(tmp_path / "manifest.json") as batches:
        for batch in batches:
            rows += batch.num_rows
            most = max(most, pa.total_allocated_bytes() - before)
    assert rows == megabytes * 1_000
    assert most < 90_000_000
