"""Others' tokens: believed by the keys that their issuer publishes, which are asked for seldom and carefully."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from random import Random
from typing import Any

import jwt
import pytest

from outhaul import config
from outhaul.errors import Misconfigured, NotSignedIn
from outhaul.export import Caller, Draft, Selection
from outhaul.issuers import FRESH, LARGEST, PAUSE, STALE, Issuer, fetch
from outhaul.ledger import Ledger
from tests import drafts
from tests.issuing import Authority, authority, new_key


@pytest.fixture
def other() -> Iterator[Authority]:
    with authority() as made:
        yield made


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_token_of_a_believed_issuer_is_read(other: Authority) -> None:
    issuer = Issuer(other.url)
    for _ in range(5):
        assert issuer.claims(other.token())["organization"]["id"] == "1"
    assert other.asked == 1


def test_its_clock_may_differ_from_ours_by_sixty_seconds_and_no_more(other: Authority) -> None:
    issuer, now = Issuer(other.url), int(time.time())
    good: dict[str, Any]
    for good in ({"exp": now - 50}, {"iat": now + 50}, {"nbf": now + 50}):
        issuer.claims(other.token(**good))
    bad: dict[str, Any]
    for bad in ({"exp": now - 70}, {"iat": now + 70}, {"nbf": now + 70}):
        with pytest.raises(NotSignedIn):
            issuer.claims(other.token(**bad))


def test_a_token_of_another_issuer_or_key_or_algorithm_is_refused(other: Authority) -> None:
    issuer = Issuer(other.url)
    issuer.claims(other.token())
    for token in (
        other.token(iss="https://elsewhere.example.com"),
        other.token(iss=other.url + "/"),
        other.token(iss=None),
        other.token(exp=None),
        other.token(key=new_key()),
        other.token(alg="RS256"),
        other.token(key="x" * 64, alg="HS512"),
        jwt.encode(other.claims(), "", "none", headers={"kid": "first"}),
    ):
        with pytest.raises(NotSignedIn):
            issuer.claims(token)


def test_a_new_key_is_found_and_unknown_ones_do_not_make_us_ask_and_ask(other: Authority) -> None:
    clock = Clock()
    issuer = Issuer(other.url, clock=clock)
    issuer.claims(other.token())
    other.keys["second"] = new_key()
    clock.now += PAUSE + 1
    issuer.claims(other.token("second"))
    assert other.asked == 2
    for n in range(20):
        with pytest.raises(NotSignedIn):
            issuer.claims(other.token(f"made up {n}", key=other.keys["first"]))
    assert other.asked == 2
    issuer.claims(other.token())


def test_whoever_has_a_known_key_does_not_wait_while_its_issuer_is_asked(other: Authority) -> None:
    clock, asked, going = Clock(), threading.Event(), threading.Event()
    calls: list[str] = []

    def slow(url: str) -> bytes:
        calls.append(url)
        if len(calls) > 1:
            asked.set()
            assert going.wait(30)
        return fetch(url)

    issuer = Issuer(other.url, slow, clock)
    issuer.claims(other.token())
    other.keys["second"] = new_key()
    clock.now += FRESH + 1
    with ThreadPoolExecutor(2) as pool:
        try:
            asks = pool.submit(issuer.claims, other.token())
            assert asked.wait(30)
            assert issuer.claims(other.token())
            waits = pool.submit(issuer.claims, other.token("second"))
            assert not wait([asks, waits], 0.3).done
        finally:
            going.set()
        assert asks.result()
        assert waits.result(), "a new key is waited for"
    assert len(calls) == 2


def test_a_key_that_its_issuer_takes_back_is_not_believed_for_long(other: Authority) -> None:
    clock = Clock()
    issuer = Issuer(other.url, clock=clock)
    token = other.token()
    issuer.claims(token)
    other.keys = {"second": new_key()}
    clock.now += FRESH + 1
    with pytest.raises(NotSignedIn):
        issuer.claims(token)


def test_known_keys_are_believed_for_a_day_while_their_issuer_is_away(
    other: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    issuer = Issuer(other.url, clock=clock)
    issuer.claims(other.token())
    other.answer = (503, {}, b"")
    clock.now += STALE - 1
    issuer.claims(other.token())
    assert "cannot be had: it answers 503" in caplog.text
    clock.now += 2
    with pytest.raises(NotSignedIn):
        issuer.claims(other.token())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": 1}',
        b'{"keys": [1, null, "x", {}, {"kty": "RSA"}, {"kty": "oct", "k": "AAAA", "kid": "first"}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_an_answer_without_keys_signs_nobody_in_and_breaks_nothing(other: Authority, answer: bytes) -> None:
    other.answer = (200, {}, answer)
    with pytest.raises(NotSignedIn):
        Issuer(other.url).claims(other.token())


def test_keys_that_are_too_short_are_not_believed(other: Authority) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    other.keys["short"] = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    token = other.token()
    weak = jwt.PyJWT({"enforce_minimum_key_length": False})
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        short = weak.encode(other.claims(), other.keys["short"], "RS512", headers={"kid": "short"})
    issuer = Issuer(other.url)
    issuer.claims(token)
    with pytest.raises(NotSignedIn):
        issuer.claims(short)


def test_a_redirect_is_not_followed_and_a_huge_answer_is_not_read(other: Authority) -> None:
    with authority() as elsewhere:
        other.answer = (302, {"Location": f"{elsewhere.url}/.well-known/jwks.json"}, b"")
        with pytest.raises(OSError, match="302"):
            fetch(f"{other.url}/.well-known/jwks.json")
        assert elsewhere.asked == 0
    other.answer = (200, {}, json.dumps({"keys": [], "more": "x" * (LARGEST + 1)}).encode())
    with pytest.raises(OSError, match="more than"):
        fetch(f"{other.url}/.well-known/jwks.json")


@pytest.mark.parametrize(
    "url",
    ["http://auth.example.com", "auth.example.com", "https://", "https://a.example.com/?x=1", "file:///x"],
)
def test_an_issuer_whose_keys_could_be_swapped_on_the_way_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"https://auth\.example\.com"):
        config.load({"trusted_issuers": url})


def test_issuers_are_listed_with_commas_as_their_tokens_name_them() -> None:
    given = "https://auth.example.com/, http://127.0.0.1:9"
    found = config.load({"trusted_issuers": given}).trusted_issuers
    assert found == ("https://auth.example.com", "http://127.0.0.1:9")


def test_an_id_or_a_name_that_no_ledger_can_keep_signs_nobody_in(other: Authority) -> None:
    issuer, application = Issuer(other.url), other.claims()["application"]
    most, longer = "é" * 127 + "x", "é" * 128
    good: dict[str, Any]
    for good in (
        {"organization": {"id": most}},
        {"application": application | {"id": most, "kind": most}},
        {"owner": {"id": most, "email": most, "type": None, "more": {"deep": longer}}},
        {"owner": None, "custom_claim": {"x": [longer, "🙂"]}},
    ):
        issuer.claims(other.token(**good))
    bad: dict[str, Any]
    for bad in (
        {"organization": {"id": longer}},
        {"organization": {"id": 7}},
        {"organization": {"id": "a\0b"}},
        {"organization": {"id": "\ud800"}},
        {"application": application | {"id": longer}},
        {"application": application | {"kind": longer}},
        {"application": application | {"public": "yes"}},
        {"owner": {"id": longer}},
        {"owner": {"type": {"a": 1}}},
        {"owner": {"first_name": "\0"}},
        {"scope": "market:id:\0"},
    ):
        with pytest.raises(NotSignedIn):
            issuer.claims(other.token(**bad))


def test_the_longest_ids_and_references_fit_into_the_indexes_of_every_ledger(ledger: Ledger) -> None:
    random = Random(1)
    tenant, caller, key = (random.randbytes(127).hex() + "x" for _ in range(3))
    references: dict[str, Any] = {
        name: random.randbytes(500).hex() for name in ("reference", "reference_origin")
    }
    draft = Draft((Selection("orders"),), **references)
    asker = Caller(caller, "", tenant)
    made = ledger.create(caller=asker, draft=draft, plan=drafts.plan(), matched=None, key=key)
    assert ledger.get(made.id).tenant == tenant
