"""Issuers for tests: a real one on loopback, which serves its keys, and tokens with any fault."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwt.algorithms import RSAAlgorithm


def new_key() -> RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def first_key() -> RSAPrivateKey:
    """One for all authorities of a run: to make one takes a while."""
    return new_key()


class Authority:
    """Somebody who signs tokens: `url` as they name it, `keys` as it serves them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = {"first": first_key()}
        self.asked = 0
        self.answer: tuple[int, dict[str, str], bytes] | None = None  # instead of the keys

    def jwks(self) -> bytes:
        listed = [
            {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": name, "alg": "RS512", "use": "sig"}
            for name, key in self.keys.items()
        ]
        return json.dumps({"keys": listed}).encode()

    def claims(self, **other: Any) -> dict[str, Any]:
        now = int(time.time())
        found = {
            "organization": {"id": "1", "slug": "alpha", "enterprise": False, "region": "eu-west-1"},
            "application": {"id": "xYZabcDEFG", "client_id": "c", "kind": "integration", "public": False},
            "scope": "market:all",
            "iss": self.url,
            "iat": now,
            "exp": now + 600,
            "test": False,
            "rand": 0.25,
        } | other
        return {name: value for name, value in found.items() if value is not None}

    def token(self, kid: str = "first", /, key: Any = None, alg: Any = "RS512", **other: Any) -> str:
        return jwt.encode(self.claims(**other), key or self.keys[kid], alg, headers={"kid": kid})


@contextmanager
def authority() -> Iterator[Authority]:
    """An authority that answers on loopback while the block runs."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            status, headers, body = made.answer or (200, {}, made.jwks())
            if self.path != "/.well-known/jwks.json":
                status, body = 404, b""
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    made = Authority(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
