"""`outhaul export`: its files, their proof, and nothing half however it ends."""

from __future__ import annotations

import csv
import gzip
import json
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest
from pyarrow import parquet

from tests.terminal import PROGRAM, ROWS, environment, fill, here, on_screen, outhaul, until


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fill(tmp_path_factory.mktemp("shop") / "shop.db")


def test_an_export_writes_its_file_and_its_proof_and_nothing_else(shop: str, tmp_path: Path) -> None:
    done = outhaul(
        tmp_path, "export", shop, "orders", "--include", "customer", "--format", "csv", "-o", "out"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["manifest.json", "orders.csv"]
    with (tmp_path / "out" / "orders.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [str(i) for i in range(1, ROWS + 1)]
    assert json.loads(rows[0]["customer"]) == {"id": 2, "name": "Grace"}
    assert done.stdout == ""
    assert "complete and proven" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    checked = here(tmp_path, "verify", "out/manifest.json", "--deep")
    assert checked.returncode == 0, checked.stdout


def test_fields_filters_and_gzip_mean_what_they_say(shop: str, tmp_path: Path) -> None:
    asked = ("--fields", "id, customer.name", "--filter", "id_lteq=4", "--filter", "customer_name_eq=Ada")
    done = outhaul(tmp_path, "export", shop, "orders", *asked, "--compress", "gzip", "--output", "out")
    assert done.returncode == 0, done.stderr
    text = gzip.decompress((tmp_path / "out" / "orders.json.gz").read_bytes())
    assert json.loads(text) == [
        {"id": 2, "customer": {"name": "Ada"}},
        {"id": 4, "customer": {"name": "Ada"}},
    ]


def test_numbered_files_are_complete_files(shop: str, tmp_path: Path) -> None:
    done = outhaul(tmp_path, "export", shop, "orders", "--parts", "--part-size", "2kB", "-o", "out")
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "out").glob("orders-*.json"))
    assert len(files) >= 3
    assert files[0].name == "orders-001.json"
    assert [row["id"] for file in files for row in json.loads(file.read_text())] == list(range(1, ROWS + 1))
    assert here(tmp_path, "verify", "out").returncode == 0


def test_parts_of_parquet_are_numbered_files_without_being_asked_for(shop: str, tmp_path: Path) -> None:
    done = outhaul(
        tmp_path, "export", shop, "orders", "--format", "parquet", "--part-size", "2kB", "-o", "out"
    )
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "out").glob("orders-*.parquet"))
    assert len(files) >= 3
    assert [row["id"] for file in files for row in parquet.read_table(file).to_pylist()] == [
        *range(1, ROWS + 1)
    ]
    assert here(tmp_path, "verify", "out", "--deep").returncode == 0


def test_a_second_export_takes_the_place_of_the_first(shop: str, tmp_path: Path) -> None:
    for wanted in (3, 5):
        done = outhaul(tmp_path, "export", shop, "orders", "--filter", f"id_lteq={wanted}", "-o", "out")
        assert done.returncode == 0, done.stderr
        assert len(json.loads((tmp_path / "out" / "orders.json").read_text())) == wanted
    assert here(tmp_path, "verify", "out").returncode == 0


def test_what_a_killed_export_has_left_is_removed(shop: str, tmp_path: Path) -> None:
    leftover = tmp_path / "out" / ".outhaul"
    leftover.mkdir(parents=True)
    (leftover / "ledger.db").write_text("no ledger at all")
    assert outhaul(tmp_path, "export", shop, "orders", "-o", "out").returncode == 0
    assert not leftover.exists()


def endless(tmp_path: Path) -> str:
    """A source whose only view takes minutes to read."""
    with sqlite3.connect(tmp_path / "endless.db") as connection:
        connection.executescript(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);"
            "CREATE VIEW slow AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)"
            " SELECT i AS id FROM n"
        )
    connection.close()
    return f"sqlite:///{tmp_path}/endless.db"


@pytest.mark.parametrize(
    "sent", [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.heavy)]
)
def test_an_interrupted_export_leaves_nothing_half(sent: signal.Signals, tmp_path: Path) -> None:
    source = endless(tmp_path)
    process = subprocess.Popen(
        [PROGRAM, "export", source, "slow", "-o", tmp_path / "out"],
        cwd=tmp_path,
        env=environment(OUTHAUL_COUNT_TIMEOUT="100ms"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until((tmp_path / "out" / ".outhaul" / "ledger.db").exists, "it has begun")
    until(lambda: _running(tmp_path / "out" / ".outhaul" / "ledger.db"), "a worker reads")
    process.send_signal(sent)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def _running(ledger: Path) -> bool:
    try:
        with sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True) as connection:
            found = connection.execute("SELECT 1 FROM parts WHERE state = 'running'").fetchone()
        connection.close()
    except sqlite3.Error:
        return False
    return found is not None


def test_two_exports_into_one_folder_do_not_mix(shop: str, tmp_path: Path) -> None:
    source = endless(tmp_path)
    first = subprocess.Popen(
        [PROGRAM, "export", source, "slow", "-o", "out"],
        cwd=tmp_path,
        env=environment(OUTHAUL_COUNT_TIMEOUT="100ms"),
        stderr=subprocess.DEVNULL,
    )
    try:
        until((tmp_path / "out" / ".outhaul" / "ledger.db").exists, "it has begun")
        second = outhaul(tmp_path, "export", shop, "orders", "-o", "out")
        assert second.returncode == 2
        assert "Another export" in second.stderr
        assert (tmp_path / "out" / ".outhaul" / "ledger.db").exists()
    finally:
        first.kill()
        first.wait()


def test_progress_is_a_bar_on_a_terminal_and_lines_in_a_pipe(shop: str, tmp_path: Path) -> None:
    status, shown = on_screen(tmp_path, "export", shop, "orders", "-o", "out")
    assert status == 0
    assert f"{ROWS} of {ROWS} rows".encode() in shown
    assert "━".encode() in shown
    assert b"complete and proven" in shown
    piped = outhaul(tmp_path, "export", shop, "orders", "-o", "piped")
    assert "\x1b" not in piped.stderr
    assert "━" not in piped.stderr
