"""Others whose tokens are believed: their public keys, asked for carefully and kept for a while."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from outhaul.signing import believed, refusal, stated

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

SKEW = timedelta(seconds=60)  # by which an issuer's clock may differ from ours
FRESH = 300.0  # seconds until its keys are asked for again
PAUSE = 30.0  # seconds between two questions: tokens with made-up keys must not make us ask and ask
STALE = 86_400.0  # seconds that known keys are believed while the issuer does not answer
PATIENCE = 5.0  # seconds for the whole answer
LARGEST = 262_144  # bytes of it
LONGEST = (
    255  # bytes of an id or a name in a token: they stand in the ledger's indexes, and beside every change
)
# What is kept of a token, by its claims, and what each must be if it is there.
KEPT: Mapping[str, Mapping[str, type]] = {
    "organization": {"id": str},
    "application": {"id": str, "client_id": str, "kind": str, "public": bool},
    "owner": dict.fromkeys(("id", "type", "email", "first_name", "last_name"), str),
}

log = logging.getLogger("outhaul.issuers")


def fetch(url: str) -> bytes:
    """What lies at an address: no redirects, within PATIENCE and LARGEST; OSError or httpx.HTTPError when it does
    not come that way."""
    import httpx

    deadline, got = time.monotonic() + PATIENCE, bytearray()
    with (
        httpx.Client(follow_redirects=False, timeout=PATIENCE) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
    ):
        if answer.status_code != 200:
            raise OSError(f"it answers {answer.status_code}")
        for piece in answer.iter_bytes():
            got += piece
            if len(got) > LARGEST:
                raise OSError(f"the answer has more than {LARGEST} bytes")
            if time.monotonic() > deadline:
                raise OSError(f"the answer takes more than {PATIENCE:g} s")
    return bytes(got)


class Issuer:
    """One issuer, by the address that its tokens carry as `iss`. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        fetch: Callable[[str], bytes] = fetch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._fetch, self._clock = fetch, clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._asked = self._got = float("-inf")

    def claims(self, token: str) -> dict[str, Any]:
        """What a token of this issuer says; NotSignedIn when it is not, its time is not now, or it says what no ledger
        can keep."""
        key = self._key(stated(token)[0])
        if key is None:
            raise refusal()
        found = believed(token, key, self.url, SKEW)
        if not _keepable(found):
            raise refusal()
        return found

    def _key(self, name: str) -> RSAPublicKey | None:
        now = self._clock()
        # Whose key is known goes on with it while another asks: an issuer that is away holds up nobody.
        known = name in self._keys and now - self._got <= STALE
        if self._wanted(name, now) and self._lock.acquire(blocking=not known):
            try:
                if self._wanted(name, now):
                    self._ask(now)
            finally:
                self._lock.release()
        return self._keys.get(name) if now - self._got <= STALE else None

    def _wanted(self, name: str, now: float) -> bool:
        """Whether its keys are to be asked for."""
        return (name not in self._keys or now - self._got > FRESH) and now - self._asked > PAUSE

    def _ask(self, now: float) -> None:
        import httpx

        url = f"{self.url}/.well-known/jwks.json"
        try:
            self._keys = _keys(self._fetch(url))
        except (OSError, ValueError, RecursionError, httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("The keys at %s cannot be had: %s", url, error)
        else:
            self._got = now
        finally:
            self._asked = now


def _keepable(claims: Mapping[str, Any]) -> bool:
    """Whether all of it is text to a database, and what is kept of it of its type and no longer than LONGEST."""
    try:
        whole = json.dumps(claims, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):  # half a character
        return False
    for claim, names in KEPT.items():
        found = claims.get(claim)
        for name, kind in names.items():
            value = found.get(name) if isinstance(found, dict) else None
            if value is not None and not (isinstance(value, kind) and len(str(value).encode()) <= LONGEST):
                return False
    return b"\\u0000" not in whole


def _keys(answer: bytes) -> dict[str, RSAPublicKey]:
    """The RSA keys of a JSON Web Key Set by their names, what is of another kind left out; ValueError."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from jwt import InvalidKeyError
    from jwt.algorithms import RSAAlgorithm

    data = json.loads(answer)
    listed = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is no JSON Web Key Set")  # noqa: TRY004  # of an answer, as of bad JSON
    found = {}
    for one in listed:
        try:
            key = RSAAlgorithm.from_jwk(one)
        except (InvalidKeyError, TypeError, AttributeError):
            continue
        if isinstance(key, RSAPublicKey) and key.key_size >= 2048 and isinstance(one.get("kid"), str):
            found[one["kid"]] = key
    return found
