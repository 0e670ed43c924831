"""Maintenance: every dialect answers 503 in its own form, in every process, until the doors are opened again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from outhaul.ledger import Ledger
from tests import terminal
from tests.batches import Key, Source, asleep, valid
from tests.served import Asker


@pytest.fixture
def key(tmp_path: Path) -> Iterator[tuple[Asker, Key]]:
    made = Source(f"sqlite:///{tmp_path}/company.db")
    made.fill()
    with asleep(made.url, tmp_path, "state") as (outhaul, key):
        yield Asker(outhaul, key.client, tenant="acme"), key


def doors(folder: Path, word: str) -> str:
    done = terminal.here(folder, "maintenance", word, "--state", folder / "state")
    assert done.returncode == 0
    return done.stderr


def test_every_dialect_says_so_in_its_own_form(key: tuple[Asker, Key], tmp_path: Path) -> None:
    asker, batch = key
    assert "from now on" in doors(tmp_path, "on")
    assert "as before" in doors(tmp_path, "on")
    answer = asker.call("GET", "/exports")
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"], error["status"]) == (503, "SERVICE_UNAVAILABLE", "503")
    for method, path in (("GET", "/exports/list"), ("POST", "/profiles/export")):
        answer = batch.call(method, path, json={} if method == "POST" else None)
        assert (answer.status_code, valid(answer.json(), "Error")["error_code"]) == (503, "MAINTENANCE")
    for method, path in (("POST", "/oauth/token"), ("POST", "/oauth/revoke"), ("GET", "/oauth/tokeninfo")):
        answer = asker.client.request(method, path, json=None if method == "GET" else {})
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["title"], error["status"]) == (503, "temporarily_unavailable", 503)
    assert "is answered from now on" in doors(tmp_path, "off")
    assert asker.call("GET", "/exports").status_code == 200
    assert batch.call("GET", "/exports/list").status_code == 200


def test_a_flag_is_up_for_every_process_of_a_ledger(ledger: Ledger, url: str) -> None:
    with Ledger(url) as other:
        assert not other.is_up("maintenance")
        assert ledger.put_up("maintenance")
        assert not ledger.put_up("maintenance")
        assert other.is_up("maintenance")
        assert not other.is_up("another")
        assert other.take_down("maintenance")
        assert not other.take_down("maintenance")
        assert not ledger.is_up("maintenance")


@pytest.mark.parametrize("word", ["", "maybe"])
def test_doors_are_on_or_off(word: str, tmp_path: Path) -> None:
    assert terminal.here(tmp_path, "maintenance", word, "--state", tmp_path).returncode == 2
