"""The command line: what each command says, and what it ends with."""

from __future__ import annotations

import json
import re
import signal
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import httpx
import psycopg
import pytest

from outhaul import cli
from outhaul.commands._options import people
from outhaul.errors import Misconfigured, OuthaulError, Refused, ServiceAway, SourceAway, StoreFull, Unproven
from tests.terminal import PROGRAM, environment, fill, here, outhaul, until


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fill(tmp_path_factory.mktemp("shop") / "shop.db")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["export", "{shop}", "ordres", "-o", "out"], 2, ["ordres", "orders"]),
        (["export", "{shop}", "orders", "--fields", "id,nummer", "-o", "out"], 2, ["nummer", "note"]),
        (
            ["export", "{shop}", "orders", "--filter", "id_eq", "-o", "out"],
            2,
            ["id_eq", "FIELD_PREDICATE=VALUE"],
        ),
        (
            ["export", "{shop}", "orders", "--filter", "id_eq=1", "--filter", "id_eq=2", "-o", "out"],
            2,
            ["twice"],
        ),
        (["export", "{shop}", "orders", "--format", "xlsb", "-o", "out"], 2, ["xlsb", "ndjson"]),
        (["export", "{shop}", "orders", "--compress", "rar", "-o", "out"], 2, ["rar", "gzip"]),
        (["export", "{shop}", "orders", "--part-size", "many", "-o", "out"], 2, ["many", "20MB"]),
        (["export", "{shop}", "orders", "--workers", "0", "-o", "out"], 2, ["workers"]),
        (["export", "{shop}", "orders", "--catalog", "none.toml", "-o", "out"], 2, ["none.toml"]),
        (["export", "{shop}", "orders"], 2, ["--output"]),
        (["export", "{shop}", "orders", "-o", "taken"], 2, ["taken"]),
        (["export", "nonsense", "orders", "-o", "out"], 2, ["nonsense", "sqlite:///"]),
        (["export", "sqlite://", "orders", "-o", "out"], 2, ["sqlite:///my.db"]),
        (["export", "oracle://h/d", "orders", "-o", "out"], 2, ["oracle", "postgresql, sqlite"]),
        (["export", "sqlite:///none.db", "orders", "-o", "out"], 3, ["none.db"]),
        (["export", "postgresql://u:geheim@127.0.0.1:1/d", "orders", "-o", "out"], 3, ["127.0.0.1"]),
        (["verify", "none.json"], 2, ["none.json"]),
        (["verify", "http://127.0.0.1:1/manifest.json"], 4, ["127.0.0.1:1"]),
        (["catalog", "{shop}", "--check"], 2, ["--catalog FILE"]),
        (["serve"], 2, ["No source", "sqlite:///my.db"]),
        (["serve", "{shop}", "--host", "0.0.0.0"], 2, ["--public-url https://"]),
        (["serve", "{shop}", "--config", "none.toml"], 2, ["none.toml"]),
        (["token", "create"], 2, ["--tenant", "--all-tenants"]),
        (["token", "create", "--tenant", "7", "--expires", "soon"], 2, ["soon", "30d"]),
        (["token", "revoke", "nobody"], 2, ["nobody", "outhaul token list"]),
        (["fly"], 2, ["fly"]),
    ],
    ids=lambda value: (
        "_".join(value)[:60] if isinstance(value, list) and value and len(value[0]) > 3 else None
    ),
)
def test_what_cannot_be_done_is_said_in_words_with_its_status(
    arguments: list[str],
    status: int,
    words: list[str],
    shop: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    (tmp_path / "taken").write_text("a file")
    assert cli.run([argument.format(shop=shop) for argument in arguments]) == status
    said = capsys.readouterr().err
    for word in words:
        assert word in said
    assert "Traceback" not in said
    assert "geheim" not in said
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "taken").read_text() == "a file"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OuthaulError, 1),
        (Unproven, 1),
        (Refused, 2),
        (Misconfigured, 2),
        (SourceAway, 3),
        (StoreFull, 4),
        (ServiceAway, 5),
    ],
)
def test_each_family_of_errors_has_its_exit_status(
    error: type[OuthaulError], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error("It went wrong at postgresql://u:geheim@h/d.", hint="Do this.")

    monkeypatch.setattr(cli, "app", failing)
    with people.capture() as said:
        assert cli.run([]) == status
    assert said.get().startswith(f"{error.title}: It went wrong")
    assert "Do this." in said.get()
    assert "geheim" not in said.get()


def test_the_reference_and_the_help_tell_what_each_exit_status_means(tmp_path: Path) -> None:
    reference = (Path(__file__).parent.parent / "docs" / "reference" / "commands.md").read_text()
    section = reference.partition("## Exit status\n")[2].partition("\n## ")[0]
    told = {
        int(status): means for status, means in re.findall(r"^\| (\d+) \| (.*) \|$", section, re.MULTILINE)
    }
    assert list(told) == list(cli.MEANS)
    for status, means in cli.MEANS.items():
        assert told[status].startswith(means)
    assert {*cli.EXITS.values()} < {*cli.MEANS}
    shown = " ".join(here(tmp_path, "--help").stdout.split())
    assert f"5 {cli.MEANS[5]}" in shown


def test_a_fault_of_our_own_is_one_sentence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("postgresql://u:geheim@h/d")

    monkeypatch.setattr(cli, "app", failing)
    monkeypatch.delenv(cli.DEBUG, raising=False)
    with people.capture() as said:
        assert cli.run([]) == 1
    assert len(said.get().splitlines()) == 1
    assert "RuntimeError" in said.get()
    assert "geheim" not in said.get()
    monkeypatch.setenv(cli.DEBUG, "1")
    with people.capture() as said:
        cli.run([])
    assert "Traceback" in said.get()
    assert "geheim" not in said.get()


def test_the_catalog_is_shown_written_and_checked(shop: str, tmp_path: Path) -> None:
    shown = outhaul(tmp_path, "catalog", shop)
    assert shown.returncode == 0, shown.stderr
    assert "orders[]" in shown.stdout
    assert "customers.password" in shown.stdout
    (tmp_path / "catalog.toml").write_text(outhaul(tmp_path, "catalog", shop, "--toml").stdout)
    checked = outhaul(tmp_path, "catalog", shop, "--check", "--catalog", "catalog.toml")
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stderr
    file = sqlite3.connect(shop.removeprefix("sqlite:///"))
    file.execute("CREATE TABLE extra (id INTEGER PRIMARY KEY)")
    file.close()
    checked = outhaul(tmp_path, "catalog", shop, "--check", "--catalog", "catalog.toml")
    assert (checked.returncode, "extra" in checked.stdout) == (1, True)
    file = sqlite3.connect(shop.removeprefix("sqlite:///"))
    file.execute("DROP TABLE extra")
    file.close()


def test_a_section_of_a_dialect_that_takes_none_is_told(shop: str, tmp_path: Path) -> None:
    written = outhaul(tmp_path, "catalog", shop, "--toml").stdout
    (tmp_path / "catalog.toml").write_text(f'{written}\n[commercelayer]\norders = "orders"\n')
    checked = outhaul(tmp_path, "catalog", shop, "--check", "--catalog", "catalog.toml")
    assert (checked.returncode, checked.stdout) == (
        1,
        "commercelayer: It takes no section of the catalog file.\n",
    ), checked.stderr
    served = outhaul(tmp_path, "serve", shop, "--port", "0", "--catalog", "catalog.toml")
    assert served.returncode == 2
    assert "commercelayer" in served.stderr


def test_the_catalog_shows_whose_the_rows_are(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "own.db")) as connection:
        connection.executescript("""
            CREATE TABLE markets (id INTEGER PRIMARY KEY, code TEXT);
            CREATE TABLE orders (id INTEGER PRIMARY KEY, company_id INTEGER NOT NULL, store_id INTEGER,
                market_id INTEGER REFERENCES markets (id));
        """)
    (tmp_path / "catalog.toml").write_text("""
        [resources.markets]
        scopes = { market = false }
        [resources.orders]
        tenant = "company_id"
        scopes = { market = { id = "market_id", code = "market.code" }, store = "store_id" }
    """)
    shown = outhaul(tmp_path, "catalog", f"sqlite:///{tmp_path}/own.db", "--catalog", "catalog.toml")
    assert shown.returncode == 0, shown.stderr
    ends = {line.split()[0]: line.rstrip() for line in shown.stdout.splitlines()}
    assert ends["markets"].endswith("  market = false")
    assert ends["orders"].endswith(
        " company_id  market.id = market_id, market.code = market.code, store.id = store_id"
    )


def test_tokens_are_made_listed_and_revoked(tmp_path: Path) -> None:
    made = outhaul(
        tmp_path, "token", "create", "--tenant", "7", "--resources", "a,b", "--read-only", "--expires", "30d"
    )
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert len(token) == 46
    listed = here(tmp_path, "token", "list")
    assert token not in listed.stdout
    token_id, *_ = listed.stdout.splitlines()[1].split()
    assert "tenant 7, read only" in listed.stdout
    assert "a, b" in listed.stdout
    assert here(tmp_path, "token", "revoke", token_id).returncode == 0
    assert "revoked" in here(tmp_path, "token", "list").stdout


def test_the_doctor_says_what_is_not_well(shop: str, tmp_path: Path) -> None:
    binary = 'binary = {{ folder = "{}/{{tenant}}", path = "id" }}'
    (tmp_path / "well.toml").write_text(f"[resources.customers]\n{binary.format(tmp_path)}\n")
    (tmp_path / "ill.toml").write_text(f"[resources.t]\n{binary.format(tmp_path / 'nothing')}\n")
    well = outhaul(tmp_path, "doctor", shop, "--catalog", "well.toml")
    assert well.returncode == 0, well.stdout + well.stderr
    assert f"ok  binaries:       {tmp_path}/ can be read" in well.stdout
    assert "wal" in well.stdout
    assert "outhaul 0" in well.stdout
    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    connection.close()
    asked = ("doctor", f"sqlite:///{tmp_path}/old.db", "--catalog", "ill.toml")
    ill = outhaul(tmp_path, *asked, OUTHAUL_MIN_FREE=str(10**18))
    assert ill.returncode == 1
    assert (
        f"!!  binaries:       {tmp_path}/nothing/ cannot be read (No such file or directory)." in ill.stdout
    )
    assert "!!  journal mode:" in ill.stdout
    assert "PRAGMA journal_mode = wal" in ill.stdout
    assert "!!  disk:" in ill.stdout


def test_the_doctor_prints_the_grants_of_a_least_rights_role(postgres_url: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id integer PRIMARY KEY); INSERT INTO orders VALUES (1)")
        told = outhaul(tmp_path, "doctor", postgres_url)
        assert "a superuser" in told.stdout
        grants = [
            line.strip() for line in told.stdout.splitlines() if line.startswith("  ") and line.endswith(";")
        ]
        assert grants[0].startswith("CREATE ROLE outhaul LOGIN")
        role = f"least_{postgres_url.rsplit('_', 1)[1][:12]}"
        for grant in grants:
            connection.execute(grant.replace("outhaul", role).encode())
        try:
            exported = outhaul(
                tmp_path, "export", postgres_url.replace("postgres@", f"{role}@"), "orders", "-o", "out"
            )
            assert exported.returncode == 0, exported.stderr
            assert json.loads((tmp_path / "out" / "orders.json").read_text()) == [{"id": 1}]
        finally:
            connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def test_the_ledger_is_migrated_on_demand(tmp_path: Path) -> None:
    for _ in range(2):
        done = here(tmp_path, "migrate", "--state", "state")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "state" / "ledger.db").exists()


def test_a_service_serves_until_it_is_told_to_stop(shop: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [PROGRAM, "serve", shop, "--port", str(port)],
            cwd=tmp_path,
            env=environment(),
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: "at http://" in (tmp_path / "log").read_text(), "it says where it is")
        assert httpx.get(f"http://127.0.0.1:{port}/api/exports", trust_env=False).status_code == 401
        assert "outhaul token create" in (tmp_path / "log").read_text()
        again = outhaul(tmp_path, "serve", shop, "--port", port)
        assert (again.returncode, "--port" in again.stderr) == (2, True)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_password_is_taken_off_the_visible_command_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://somebody:geheim@127.0.0.1:{silent.getsockname()[1]}/nothing"
        process = subprocess.Popen(
            [PROGRAM, "doctor", url],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            line = Path(f"/proc/{process.pid}/cmdline")
            shown = until(lambda: b"***" in line.read_bytes() and line.read_bytes(), "the password is hidden")
            assert b"geheim" not in shown
            assert b"somebody:***@" in shown
        finally:
            process.kill()
            process.wait()
