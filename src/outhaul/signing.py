"""Signed tokens: the keys of our own, and what any token must be before a word of it is believed."""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outhaul.errors import Misconfigured, NotSignedIn

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

ALGORITHM = "RS512"  # the contract's; a token that names another, or none, is not even looked at
BITS = 2048
LONGEST = 8_192  # characters of a token
KEY = re.compile(
    r"(?:Retired: (?P<retired>\S+)\s+)?(?P<pem>-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----)",
    re.DOTALL,
)


class Keyring:
    """The RSA keys in one file: the first signs, all are believed. Made when it is first needed; a change of the file
    is seen at once, in every process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._seen: object = None
        self._keys: dict[str, RSAPrivateKey] = {}

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A token with these claims."""
        import jwt

        name, key = next(iter(self._read().items()))
        return jwt.encode(dict(claims), key, ALGORITHM, headers={"kid": name})

    def claims(self, token: str, issuer: str) -> dict[str, Any]:
        """What a token of ours says; NotSignedIn when it is none, or has expired."""
        key = self._read().get(stated(token)[0])
        if key is None:
            raise refusal()
        return believed(token, key.public_key(), issuer)

    def public(self) -> dict[str, Any]:
        """The public halves, as a JSON Web Key Set (RFC 7517)."""
        return {"keys": [_shown(name, key.public_key()) for name, key in self._read().items()]}

    def rotate(self, keep: timedelta) -> None:
        """A new key signs from now on; those before it are believed until they have been retired for `keep`."""
        self._read()
        now, text = datetime.now(UTC), self._file.read_text()
        kept = [
            f"Retired: {retired.isoformat()}\n{found['pem']}"
            for found in KEY.finditer(text)
            if (retired := datetime.fromisoformat(found["retired"]) if found["retired"] else now) + keep
            >= now
        ]
        fresh = self._fresh("\n".join([_made(), *kept, ""]))
        fresh.replace(self._file)

    def _read(self) -> dict[str, RSAPrivateKey]:
        """The keys by their names, that which signs first."""
        with self._lock:
            if not self._file.exists():
                self._make()
            about = self._file.stat()
            seen = (about.st_ino, about.st_mtime_ns, about.st_size)
            if seen != self._seen:
                self._keys = dict(map(_loaded, KEY.finditer(self._file.read_text())))
                self._seen = seen
            if not self._keys:
                raise Misconfigured(f"There is no key in {self._file}.", hint="Remove it: a new one is made.")
            return self._keys

    def _make(self) -> None:
        """The first key; several processes at once agree on one."""
        fresh = self._fresh(_made())
        try:
            os.link(fresh, self._file)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()

    def _fresh(self, text: str) -> Path:
        path = self._file.with_name(f"{self._file.name}.{secrets.token_hex(4)}")
        path.touch(0o600)
        path.write_text(text)
        return path


def stated(token: str) -> tuple[str, str]:
    """The name of its key and its issuer, as a token states them: to choose a key by, and to be proven by it."""
    import jwt

    if len(token) > LONGEST:
        raise refusal()
    try:
        whole = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, RecursionError):
        raise refusal() from None
    named, issuer = whole["header"].get("kid"), whole["payload"].get("iss")
    return (named, issuer) if isinstance(named, str) and isinstance(issuer, str) else ("", "")


def believed(token: str, key: RSAPublicKey, issuer: str, skew: timedelta = timedelta()) -> dict[str, Any]:
    """The claims of a token that this key has signed for this issuer and whose time it is; NotSignedIn. `skew`: by how
    much the issuer's clock may differ from ours."""
    import jwt

    try:
        found: dict[str, Any] = jwt.decode(
            token,
            key,
            [ALGORITHM],
            options={"require": ["exp", "iat", "iss"], "verify_iat": bool(skew)},
            issuer=issuer,
            leeway=skew,
        )
    except jwt.PyJWTError:
        raise refusal() from None
    return found


def refusal() -> NotSignedIn:
    """One answer for every fault of a token: which one it is helps nobody but a forger."""
    return NotSignedIn("The token is not valid.", hint="Ask for another, or make one: outhaul token create.")


def _made() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    form = serialization.PrivateFormat.PKCS8
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _loaded(found: re.Match[str]) -> tuple[str, RSAPrivateKey]:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(found["pem"].encode(), None)
    if not isinstance(key, RSAPrivateKey):
        raise Misconfigured("A key that signs tokens must be of RSA.")
    return _name(key.public_key()), key


def _members(key: RSAPublicKey) -> dict[str, Any]:
    from jwt.algorithms import RSAAlgorithm

    found: dict[str, Any] = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {name: found[name] for name in ("e", "kty", "n")}


def _name(key: RSAPublicKey) -> str:
    """Its thumbprint (RFC 7638): the same wherever the file is copied to."""
    import base64
    import hashlib
    import json

    text = json.dumps(_members(key), separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _shown(name: str, key: RSAPublicKey) -> dict[str, Any]:
    return _members(key) | {"kid": name, "alg": ALGORITHM, "use": "sig"}
