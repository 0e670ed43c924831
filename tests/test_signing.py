"""Signed tokens: none is believed that our key has not signed for us and whose time is not now."""

from __future__ import annotations

import base64
import json
import multiprocessing
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from outhaul.errors import Misconfigured, NotSignedIn
from outhaul.signing import Keyring
from tests.issuing import new_key

US = "https://exports.example.com"


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "signing.pem")


def claims(**other: Any) -> dict[str, Any]:
    now = int(time.time())
    found = {"iss": US, "iat": now, "exp": now + 60, "who": "x"} | other
    return {name: value for name, value in found.items() if value is not None}


def part(data: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def named(keys: Keyring) -> str:
    name: str = keys.public()["keys"][0]["kid"]
    return name


def test_what_was_signed_is_read_back_and_others_can_check_it_with_the_published_key(keys: Keyring) -> None:
    said = claims()
    token = keys.sign(said)
    assert keys.claims(token, US) == said
    assert jwt.get_unverified_header(token) == {"alg": "RS512", "typ": "JWT", "kid": named(keys)}
    (published,) = keys.public()["keys"]
    assert set(published) == {"kty", "n", "e", "kid", "alg", "use"}  # no private member
    assert jwt.decode(token, jwt.PyJWK(published).key, ["RS512"], issuer=US) == said


@pytest.mark.parametrize(
    "other",
    [
        {"exp": 1},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": None},
        {"iss": None},
        {"iss": "https://elsewhere.example.com"},
        {"iss": [US]},
        {"iss": ""},
        {"nbf": 32_503_680_000},
        {"aud": "somebody else"},
    ],
    ids=str,
)
def test_claims_that_do_not_hold_are_refused_however_well_signed(
    keys: Keyring, other: dict[str, Any]
) -> None:
    keys.claims(keys.sign(claims()), US)
    private = keys._read()[named(keys)]
    # Signed without PyJWT, which would not put its name under some of these.
    head = part({"alg": "RS512", "typ": "JWT", "kid": named(keys)})
    body = part(claims(**other))
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA512).sign(
        f"{head}.{body}".encode(), private
    )
    token = f"{head}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    with pytest.raises(NotSignedIn):
        keys.claims(token, US)


def test_other_algorithms_are_refused_even_with_our_own_key(keys: Keyring) -> None:
    name = named(keys)
    private = keys._read()[name]
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = part(claims())
    forged = [
        jwt.encode(claims(), private, alg, headers={"kid": name}) for alg in ("RS256", "RS384", "PS512")
    ]
    for alg in ("none", "None", "NONE", ""):
        forged.append(f"{part({'alg': alg, 'typ': 'JWT', 'kid': name})}.{body}.")
        forged.append(f"{part({'alg': alg, 'typ': 'JWT', 'kid': name})}.{body}.AAAA")
    for alg in ("HS256", "HS512"):  # the public key taken as a shared secret
        import hashlib
        import hmac

        signed = f"{part({'alg': alg, 'typ': 'JWT', 'kid': name})}.{body}"
        made = hmac.new(public, signed.encode(), getattr(hashlib, f"sha{alg[2:]}")).digest()
        forged.append(f"{signed}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}")
    for token in forged:
        with pytest.raises(NotSignedIn):
            keys.claims(token, US)


def test_a_token_that_is_only_for_those_who_understand_more_is_refused(keys: Keyring) -> None:
    """RFC 7515, 4.1.11."""
    name = named(keys)
    headers = {"kid": name, "crit": ["only-on-mondays"], "only-on-mondays": True}
    with pytest.raises(NotSignedIn):
        keys.claims(jwt.encode(claims(), keys._read()[name], "RS512", headers=headers), US)


def test_a_key_that_the_token_brings_or_points_to_is_not_believed(keys: Keyring) -> None:
    other, name = new_key(), named(keys)
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(other.public_key(), as_dict=True)
    for header in (
        {"kid": name},
        {"kid": "unknown"},
        {"kid": "../../dev/null"},
        {"kid": ""},
        {},
        {"kid": name, "jwk": jwk},
        {"kid": name, "jku": "https://elsewhere.example.com/jwks.json"},
    ):
        with pytest.raises(NotSignedIn):
            keys.claims(jwt.encode(claims(), other, "RS512", headers=header), US)


def test_a_changed_token_is_refused(keys: Keyring) -> None:
    head, body, signature = keys.sign(claims()).split(".")
    grown = part(claims(who="y"))
    swapped = signature[:-8] + signature[-8:].swapcase()
    for token in (
        f"{head}.{grown}.{signature}",
        f"{head}.{body}.{swapped}",
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{body}.{signature}.{signature}",
        "..",
        "a.b.c",
        f"{head}.{part({})}." + "A" * 10_000_000,
    ):
        with pytest.raises(NotSignedIn):
            keys.claims(token, US)


def test_an_hour_after_a_rotation_what_is_out_is_still_believed_and_the_new_key_signs(
    tmp_path: Path,
) -> None:
    here, there = Keyring(tmp_path / "signing.pem"), Keyring(tmp_path / "signing.pem")
    old = here.sign(claims())
    there.rotate(timedelta(hours=5))  # another process: nothing is told to the first
    new = here.sign(claims())
    assert jwt.get_unverified_header(old)["kid"] != jwt.get_unverified_header(new)["kid"]
    for ring in (here, there, Keyring(tmp_path / "signing.pem")):
        for token in (old, new):
            assert ring.claims(token, US)["who"] == "x"
    assert [one["kid"] for one in here.public()["keys"]] == [
        jwt.get_unverified_header(token)["kid"] for token in (new, old)
    ]


def test_a_key_is_forgotten_when_it_has_been_retired_for_long_enough(tmp_path: Path) -> None:
    file = tmp_path / "signing.pem"
    keys = Keyring(file)
    first = keys.sign(claims())
    keys.rotate(timedelta(hours=5))
    keys.rotate(timedelta(hours=5))
    assert len(keys.public()["keys"]) == 3
    assert keys.claims(first, US)
    retired = re.findall(r"Retired: \S+", file.read_text())
    file.write_text(file.read_text().replace(retired[-1], "Retired: 2026-01-01T00:00:00+00:00"))
    keys.rotate(timedelta(hours=5))
    assert len(keys.public()["keys"]) == 3
    with pytest.raises(NotSignedIn):
        keys.claims(first, US)


def test_the_key_is_for_its_owner_alone(keys: Keyring, tmp_path: Path) -> None:
    keys.sign(claims())
    assert [path.name for path in tmp_path.iterdir()] == ["signing.pem"]
    assert (tmp_path / "signing.pem").stat().st_mode & 0o777 == 0o600
    keys.rotate(timedelta(hours=1))
    assert [path.name for path in tmp_path.iterdir()] == ["signing.pem"]
    assert (tmp_path / "signing.pem").stat().st_mode & 0o777 == 0o600


def _name_of_the_key(file: str) -> str:
    return named(Keyring(Path(file)))


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert len(set(pool.map(_name_of_the_key, [str(tmp_path / "signing.pem")] * 2))) == 1


def test_a_file_without_a_key_is_said_in_words(keys: Keyring, tmp_path: Path) -> None:
    (tmp_path / "signing.pem").write_text("nothing")
    with pytest.raises(Misconfigured, match=r"no key in .*signing\.pem"):
        keys.sign(claims())
