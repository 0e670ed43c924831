"""Tokens: made once, kept as hashes, good until they expire or are revoked."""

from __future__ import annotations

import base64
import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import ascii_letters, digits

import pytest
from jwt import api_jws

from outhaul.access import Access
from outhaul.errors import Misconfigured, NotAllowed, NotFound, NotSignedIn
from outhaul.export import Caller
from outhaul.ledger import Ledger
from outhaul.signing import Keyring


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def access(file: Path) -> Iterator[Access]:
    with Ledger(f"sqlite:///{file}") as ledger:
        ledger.migrate()
        yield Access(ledger)


def test_a_token_has_256_random_bits_and_its_caller_has_what_was_granted(access: Access) -> None:
    token, kept = access.make_token("acme", tenant="7", resources=("orders", "skus"), read_only=True)
    assert token.startswith("oh_")
    assert len(token) == 3 + 43
    assert access.caller(token) == Caller(
        id=kept.id, name="acme", tenant="7", resources=("orders", "skus"), read_only=True
    )
    other, _ = access.make_token("all", all_tenants=True)
    assert other != token
    assert access.caller(other).all_tenants
    assert access.caller(other).tenant is None


@pytest.mark.parametrize(("tenant", "all_tenants"), [(None, False), ("7", True)])
def test_a_token_is_for_one_tenant_or_for_all_and_never_for_none(
    access: Access, tenant: str | None, all_tenants: bool
) -> None:
    with pytest.raises(Misconfigured, match="either --tenant ID or --all-tenants"):
        access.make_token("x", tenant=tenant, all_tenants=all_tenants)
    assert access.list_tokens() == ()


def test_a_token_of_several_tenants_is_for_the_first_and_for_another_when_asked(access: Access) -> None:
    token, kept = access.make_token("company", tenant="7", others=("8", "9", "7", "8"), resources=("orders",))
    assert (kept.tenant, kept.others) == ("7", ("8", "9"))
    assert access.list_tokens()[0].others == ("8", "9")
    assert access.caller(token).tenant == "7"
    for tenant in ("7", "8", "9"):
        caller = access.caller(token, tenant)
        assert caller == Caller(id=kept.id, name="company", tenant=tenant, resources=("orders",))
    for stranger in ("77", "", "7,8", " 8"):
        with pytest.raises(NotAllowed):
            access.caller(token, stranger)


def test_a_token_of_all_tenants_asked_for_one_sees_that_one_only(access: Access) -> None:
    token, kept = access.make_token("all", all_tenants=True)
    assert access.caller(token, "8") == Caller(id=kept.id, name="all", tenant="8")
    single, _ = access.make_token("one", tenant="7")
    assert access.caller(single, "7").tenant == "7"
    with pytest.raises(NotAllowed):
        access.caller(single, "8")


def test_only_the_hash_is_kept(access: Access, file: Path) -> None:
    token, _ = access.make_token("x", all_tenants=True)
    access.ledger.close()
    with sqlite3.connect(file) as ledger:
        everything = "\n".join(ledger.iterdump())
    assert token not in everything
    assert token[3:] not in everything
    assert hashlib.sha256(token.encode()).hexdigest() in everything


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "oh_",
        "x",
        "oh_" + "A" * 43,
        "oh_" + "A" * 44,
        "oh_" + "A" * 1_000_000,
        "oh_" + "ä" * 43,
        "oh_" + "\0" * 43,
        "OR 1=1 --",
        "oh_" + "A" * 43 + "\n",
    ],
)
def test_what_is_no_token_signs_nobody_in(access: Access, wrong: str) -> None:
    access.make_token("x", all_tenants=True)
    with pytest.raises(NotSignedIn):
        access.caller(wrong)


def test_a_changed_token_signs_nobody_in(access: Access) -> None:
    token, kept = access.make_token("x", all_tenants=True)
    for wrong in (
        token[:-1],
        token + "A",
        token.swapcase(),
        kept.id,
        hashlib.sha256(token.encode()).hexdigest(),
    ):
        with pytest.raises(NotSignedIn):
            access.caller(wrong)


def test_a_signed_token_that_was_ended_stays_so_however_its_signature_is_written(
    access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lenient(_: object, text: bytes, name: str) -> bytes:
        """As PyJWT read signatures before 2.15: whatever the bits behind their end are."""
        return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))

    monkeypatch.setattr(api_jws.PyJWS, "_decode_base64url_segment", lenient)
    access = replace(access, keys=Keyring(tmp_path / "keys"), issuer="https://example.com")
    secret, client = access.make_client("robot", tenant="7")
    token, other = (access.grant(client.id, secret).token for _ in range(2))
    alike = [one for last in ascii_letters + digits + "-_" if _is_good(access, one := f"{token[:-1]}{last}")]
    assert len(alike) == 16, "256 bytes leave four bits of the last character over"
    access.end(client.id, secret, token)
    assert not [one for one in alike if _is_good(access, one)]
    assert _is_good(access, other)


def _is_good(access: Access, token: str) -> bool:
    try:
        access.caller(token)
    except NotSignedIn:
        return False
    return True


def test_an_expired_token_and_a_revoked_one_are_refused_alike(access: Access) -> None:
    old, _ = access.make_token("old", all_tenants=True, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    good, kept = access.make_token(
        "good", all_tenants=True, expires_at=datetime.now(UTC) + timedelta(hours=1)
    )
    access.caller(good)
    access.revoke(kept.id)
    said = set()
    for token in (old, good, "oh_" + "A" * 43):
        with pytest.raises(NotSignedIn) as refused:
            access.caller(token)
        said.add(str(refused.value))
    assert len(said) == 1


def test_a_token_can_be_revoked_once(access: Access) -> None:
    _, kept = access.make_token("x", all_tenants=True)
    access.revoke(kept.id)
    for wrong in (kept.id, "nobody"):
        with pytest.raises(NotFound, match="outhaul token list"):
            access.revoke(wrong)


def test_the_last_use_is_noted_at_most_once_a_minute(access: Access) -> None:
    token, kept = access.make_token("x", all_tenants=True)
    assert kept.used_at is None
    access.caller(token)
    first = access.list_tokens()[0].used_at
    assert first
    assert abs((datetime.now(UTC) - first).total_seconds()) < 60
    access.caller(token)
    assert access.list_tokens()[0].used_at == first


def test_many_callers_at_once_are_signed_in(access: Access) -> None:
    token, kept = access.make_token("x", all_tenants=True)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(access.caller(token).id)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [kept.id] * 16
