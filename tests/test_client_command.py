"""`outhaul client` on the command line: made once, listed without secrets, revoked, and its keys rotated."""

from __future__ import annotations

from pathlib import Path

from outhaul.signing import Keyring
from tests.terminal import here, outhaul


def test_clients_are_made_listed_and_revoked(tmp_path: Path) -> None:
    made = here(tmp_path, "client", "create", "--tenant", "7", "--name", "warehouse", "--read-only")
    assert made.returncode == 0
    told = dict(line.split("=", 1) for line in made.stdout.splitlines())
    assert set(told) == {"client_id", "client_secret"}
    listed = here(tmp_path, "client", "list").stdout
    assert told["client_secret"] not in listed
    row = listed.splitlines()[1].split()
    assert row[:5] == [told["client_id"], "warehouse", "integration", "tenant", "7,"]
    assert here(tmp_path, "token", "list").stdout == ""
    assert here(tmp_path, "token", "revoke", told["client_id"]).returncode == 2
    assert here(tmp_path, "client", "revoke", told["client_id"]).returncode == 0
    assert "revoked" in here(tmp_path, "client", "list").stdout


def test_a_sales_channel_is_shown_no_secret(tmp_path: Path) -> None:
    made = outhaul(tmp_path, "client", "create", "--kind", "sales_channel", "--all-tenants")
    assert made.stdout.startswith("client_id=")
    assert "secret=" not in made.stdout


def test_what_no_client_can_be_is_refused_in_words(tmp_path: Path) -> None:
    for arguments, words in (
        (["create"], "--tenant ID or --all-tenants"),
        (["create", "--kind", "robot", "--tenant", "7"], "integration, sales_channel"),
        (["revoke", "nobody"], "outhaul client list"),
    ):
        refused = here(tmp_path, "client", *arguments)
        assert refused.returncode == 2
        assert words in refused.stderr


def test_keys_are_rotated_on_the_command_line(tmp_path: Path) -> None:
    keys = Keyring(tmp_path / ".outhaul" / "signing.pem")
    assert here(tmp_path, "client", "rotate-keys").returncode == 0
    first, *_ = keys.public()["keys"]
    assert here(tmp_path, "client", "rotate-keys").returncode == 0
    assert keys.public()["keys"][1:2] == [first]
