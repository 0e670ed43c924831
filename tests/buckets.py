"""A real server that speaks S3, for tests: on loopback, with one bucket, gone afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

NAME = "uploads"
KEYS = {"AWS_ACCESS_KEY_ID": "outhaul", "AWS_SECRET_ACCESS_KEY": "s" * 32}
PARTS = ("s3", "master", "filer", "volume", "admin")  # each listens, and on a port for its kind too
PATIENCE = 40.0  # seconds until a server that does not answer counts as broken


@dataclass(frozen=True)
class Bucket:
    """`environment`: where it is and by which keys it is reached, as S3's variables have it."""

    environment: Mapping[str, str]
    process: subprocess.Popen[bytes]
    store: Any

    def put(self, key: str, data: bytes) -> None:
        obstore.put(self.store, key, data)


@contextmanager
def bucket(folder: Path) -> Iterator[Bucket]:
    """A server with its data in the folder, and an empty bucket."""
    ports = _free(2 * len(PARTS))
    argv = [
        *(str(Path(sys.executable).with_name("weed")), f"-logdir={folder}", "mini", f"-dir={folder}"),
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={NAME}", "-s3.autoCreateBucket=false"),
        *("-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-{part}.port={port}" for part, port in zip(PARTS, ports, strict=False)),
        *(f"-{part}.port.grpc={port}" for part, port in zip(PARTS, ports[len(PARTS) :], strict=True)),
    ]
    environment = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports[0]}"}
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(argv, env=os.environ | KEYS, stdout=log, stderr=log)
        try:
            config: Any = {name.lower(): value for name, value in environment.items()}
            more: Any = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 0}}
            store = S3Store(NAME, config=config, **more)
            made = Bucket(environment, process, store)
            _until_it_answers(made, folder / "log.txt")
            yield made
        finally:
            process.kill()
            process.wait()


def _until_it_answers(made: Bucket, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            made.put("first", b"")
        except (BaseError, FileNotFoundError):  # the bucket comes last
            ended = made.process.poll() is not None or time.monotonic() > deadline
            assert not ended, log.read_text(errors="replace")[-2_000:]
            time.sleep(0.05)
        else:
            return


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
