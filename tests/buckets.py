"""A real server that speaks S3, for tests: on loopback, with one bucket, gone afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

NAME = "uploads"
KEYS = {"AWS_ACCESS_KEY_ID": "outhaul", "AWS_SECRET_ACCESS_KEY": "s" * 32}
PARTS = ("s3", "master", "filer", "volume", "admin")  # each listens, and on a port for its kind too
PATIENCE = 40.0  # seconds until a server that does not answer counts as broken
TRIES = 3  # a port that was free may have been taken


class Bucket:
    """`environment`: where it is and by which keys it is reached, as S3's variables have it."""

    def __init__(self, folder: Path) -> None:
        ports = _free(2 * len(PARTS))
        self._log = folder / "log.txt"
        self._argv = [
            *(str(Path(sys.executable).with_name("weed")), f"-logdir={folder}", "mini", f"-dir={folder}"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={NAME}", "-s3.autoCreateBucket=false"),
            *("-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *(f"-{part}.port={port}" for part, port in zip(PARTS, ports, strict=False)),
            *(f"-{part}.port.grpc={port}" for part, port in zip(PARTS, ports[len(PARTS) :], strict=True)),
        ]
        self.environment = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports[0]}"}
        config: Any = {name.lower(): value for name, value in self.environment.items()}
        more: Any = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 0}}
        self._store = S3Store(NAME, config=config, **more)

    def put(self, key: str, data: bytes) -> None:
        obstore.put(self._store, key, data)

    def start(self) -> bool:
        """Whether it answers; False when it could not begin."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._argv, env=os.environ | KEYS, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None:
            try:
                self.put("first", b"")
            except (BaseError, FileNotFoundError):  # the bucket comes last
                assert time.monotonic() < deadline, self._log.read_text(errors="replace")[-2_000:]
                time.sleep(0.05)
            else:
                return True
        return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def bucket(folder: Path) -> Iterator[Bucket]:
    """A server with its data in the folder, and an empty bucket."""
    for left in reversed(range(TRIES)):
        found = Bucket(folder)
        try:
            if found.start():
                yield found
                return
        finally:
            found.kill()
        assert left, (folder / "log.txt").read_text(errors="replace")[-2_000:]


def _free(count: int) -> list[int]:
    """Ports that nobody has, all different."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
