"""The official @commercelayer/cli with its exports plugin, against a sandbox: each command as it is typed."""

from __future__ import annotations

import csv
import json
import os
import re
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.sandboxes import Sandbox
from tests.terminal import until

HERE = Path(__file__).parent / "commercelayer"
PLUGIN = "@commercelayer/cli-plugin-exports"
PATIENCE = 60.0


@dataclass(frozen=True)
class Cli:
    """The command line of somebody whose home is `home`."""

    clients: Path
    home: Path
    sandbox: Sandbox

    def type(self, *arguments: str, status: int = 0, token: str | None = "access_token") -> str:
        """What `commercelayer ARGUMENTS...` says to people, to one with this token or to one who has logged in."""
        known = self.sandbox.credentials
        given = (
            {"CL_CLI_ORGANIZATION": known["organization"], "CL_CLI_ACCESS_TOKEN": known[token]}
            if token
            else {}
        )
        places = {f"XDG_{name}_HOME": str(self.home / name.lower()) for name in ("DATA", "CONFIG", "CACHE")}
        done = subprocess.run(
            [
                self.clients / "bin" / "node",
                self.clients / "node_modules/@commercelayer/cli/bin/run.js",
                *arguments,
            ],
            cwd=self.home,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                **places,
                "NODE_OPTIONS": f"--require={HERE / 'hosts.cjs'}",
                "NO_COLOR": "1",
                "NO_UPDATE_NOTIFIER": "1",
                "COLUMNS": "200",
                "SANDBOX": self.sandbox.base,
                **given,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == status, said
        return said


@pytest.fixture(scope="module")
def cli(clients: Path, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """With the plugin as `commercelayer plugins:install exports` leaves it."""
    home = tmp_path_factory.mktemp("home")
    data = home / "data/@commercelayer/cli"
    data.mkdir(parents=True)
    (home / "cache/@commercelayer/cli").mkdir(parents=True)
    (data / "node_modules").symlink_to(clients / "node_modules")
    plugins = [{"name": PLUGIN, "tag": "latest", "type": "user"}]
    (data / "package.json").write_text(
        json.dumps(
            {
                "name": "commercelayer",
                "dependencies": {PLUGIN: "4"},
                "oclif": {"schema": 1, "plugins": plugins},
            }
        )
    )
    return Cli(clients, home, sandbox)


def skus(sandbox: Sandbox, where: str = "true") -> dict[str, str]:
    """Names by codes, as the shop has them."""
    with closing(sqlite3.connect(sandbox.database)) as connection:
        wanted = f"SELECT code, name FROM skus WHERE organization_id = 'sandbox' AND {where}"
        return dict(connection.execute(wanted).fetchall())


def test_it_logs_in_and_out_with_id_and_secret(cli: Cli) -> None:
    given = cli.sandbox.credentials
    who = ("-i", given["client_id"], "-s", given["client_secret"], "-a", "mine")
    assert "Login successful!" in cli.type(
        "applications:login", "-o", given["organization"], *who, token=None
    )
    made = cli.sandbox.create(resource_type="tags")["id"]
    assert made in cli.type("exports:list", token=None)
    assert "has been revoked" in cli.type("applications:logout", "--revoke", "--force", token=None)
    cli.type("exports:list", status=2, token=None)


def test_it_creates_an_export_waits_for_it_and_saves_its_file(cli: Cli) -> None:
    said = cli.type("exports:create", "-t", "skus", "-i", "prices", "-w", "code_start=T", "-P", "-x", "skus")
    wanted = skus(cli.sandbox, "code LIKE 'T%'")
    assert f"Exported {len(wanted)} skus" in said
    assert "Exported file saved to skus.json" in said
    text = (cli.home / "skus.json").read_text()
    got: list[dict[str, Any]] = json.loads(text)
    assert {row["code"]: row["name"] for row in got} == wanted
    assert all(price["currency_code"] in {"EUR", "USD"} for row in got for price in row["prices"])
    assert text.startswith("[\n    {\n")


@pytest.mark.heavy
def test_it_saves_fields_as_csv(cli: Cli) -> None:
    cli.type("exports:create", "-t", "skus", "-f", "code,name", "--csv", "--blind", "-X", "deep/er/skus.csv")
    with (cli.home / "deep/er/skus.csv").open(newline="") as file:
        assert {row["code"]: row["name"] for row in csv.DictReader(file)} == skus(cli.sandbox)


@pytest.mark.heavy
def test_it_saves_a_file_that_can_be_imported_elsewhere(cli: Cli) -> None:
    """It has a flag for `dry_data`, and none for `jwt_filters`."""
    cli.type("exports:create", "-t", "skus", "-D", "--blind", "-x", "dry")
    got: list[dict[str, Any]] = json.loads((cli.home / "dry.json").read_text())
    assert {row["code"]: row["name"] for row in got} == skus(cli.sandbox)
    assert not {"id", "created_at", "updated_at"} & {name for row in got for name in row}


@pytest.mark.heavy
def test_it_lists_shows_and_interrupts_exports(cli: Cli) -> None:
    made = cli.sandbox.create(resource_type="line_items", reference="GROUP-1")["id"]
    until(lambda: cli.sandbox.get(made)["progress"], "progress")
    assert f"Export {made} has been successfully interrupted." in cli.type("exports:interrupt", made)
    assert f"Export {made} is already interrupted." in cli.type("exports:interrupt", made)
    listed = cli.type("exports:list", "-t", "line_items", "-s", "interrupted")
    assert re.search(rf"{made} *│ line_items *│ interrupted", listed)
    shown = cli.type("exports", made)
    assert re.search(r"resource_type │ line_items", shown)
    assert re.search(r"status │ interrupted", shown)
    assert re.search(rf"{made} *│ line_items *│ interrupted", cli.type("exports:group", "GROUP"))


def test_it_does_not_wait_for_ever_for_an_export_that_fails(cli: Cli) -> None:
    with closing(sqlite3.connect(cli.sandbox.database)) as connection, connection:
        connection.execute("UPDATE tax_categories SET code = CAST(x'ff' AS TEXT)")  # is not UTF-8
    said = cli.type("exports:create", "-t", "tax_categories", "-x", "none", status=2)
    found = re.search(r"Export (\w+) ended with errors", said)
    assert found, said
    ended = cli.sandbox.get(found[1])
    assert (ended["status"], *ended["errors_log"]) == ("failed", "UnreadableValue")


@pytest.mark.heavy
def test_it_says_in_its_own_words_what_was_refused(cli: Cli) -> None:
    create = ("exports:create", "-x", "none", "-t")
    assert "No skus found" in cli.type(*create, "skus", "-w", "code_eq=none", status=1)
    assert "Unprocessable Entity" in cli.type(*create, "event_callbacks", status=2)
    assert "Unable to find export with id nothing" in cli.type("exports", "nothing", status=2)
    assert "Invalid token" in cli.type("exports:list", status=2, token="expired_token")
