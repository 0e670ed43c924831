"""Connections that only keep us waiting are closed, and no other; and there is room for many."""

from __future__ import annotations

import asyncio
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from outhaul import connections
from outhaul.connections import Connection

PATIENCE = 0.3
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers once it has the whole body, and for `/slow` a byte each now and then."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(12 if scope["path"] == "/slow" else 0):
        await asyncio.sleep(PATIENCE / 3)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
    await send({"type": "http.response.body", "body": b"end"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connections, "PATIENCE", PATIENCE)
    config = uvicorn.Config(
        app, http=Connection, lifespan="off", log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=[[listener]])
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def told(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """What is answered until the connection is closed; TimeoutError when it is not."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=4) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        while more := connection.recv(65_536):
            got += more
    return got


@pytest.mark.parametrize(
    "pieces",
    [(), (b"GET / HT",), (GET,), (POST,), (POST, b"1234"), (GET + b"\r\n", GET)],
    ids=["nothing", "a word", "half a head", "no body", "half a body", "half a second head"],
)
def test_what_keeps_us_waiting_is_closed(port: int, pieces: tuple[bytes, ...]) -> None:
    begun = time.monotonic()
    got = told(port, *pieces, pause=0.02)
    assert got.count(b"200 OK") == (len(pieces) > 1 and pieces[1] == GET)
    assert PATIENCE <= time.monotonic() - begun < 4


def test_what_is_slow_and_goes_on_is_not(port: int) -> None:
    close = b"Connection: close\r\n\r\n"
    slow = [GET.replace(b"/ ", b"/slow ") + close]
    assert told(port, *slow).count(b"x") >= 12
    body = [POST.replace(b"\r\n\r\n", b"\r\n" + close), *(bytes([byte]) for byte in b"123456789")]
    assert b"200 OK" in told(port, *body, pause=PATIENCE / 2)


def test_as_many_handles_are_taken_as_there_may_be() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = connections.HANDLES if hard == resource.RLIM_INFINITY else min(hard, connections.HANDLES)
    code = (
        "import resource as r; from outhaul.connections import roomy;"
        f"r.setrlimit(r.RLIMIT_NOFILE, (64, {hard})); roomy(); print(r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == most
