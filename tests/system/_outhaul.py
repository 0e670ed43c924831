"""Outhaul from outside: its command line, and a running service over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from tests import documented
from tests.system import _oracle
from tests.terminal import here

PROGRAM = Path(sys.executable).with_name("outhaul")
SOURCE_FOLDER = Path(__file__).parents[2] / "src" / "outhaul"
MEDIA_TYPE = "application/vnd.api+json"
PATIENCE = 60.0  # seconds until something that does not happen counts as broken
ENDS = {"completed", "failed", "interrupted"}

T = TypeVar("T")


def siblings(folder: str) -> list[str]:
    """The formats, sources, ... that are there: a new file gets these suites by its presence."""
    return sorted(
        path.stem for path in (SOURCE_FOLDER / folder).glob("*.py") if not path.stem.startswith("_")
    )


def until(true: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """Wait until something is true and give it back; a deadline, never a fixed sleep."""
    begun = time.monotonic()
    while not (value := true()):
        waited = time.monotonic() - begun
        assert waited < patience, f"not in {patience} s: {what}"
        time.sleep(min(0.01 + waited / 20, 0.2))  # to look costs the service time
    return value


def environment(settings: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The environment of a run: ours, without what other tests or people have set for Outhaul or PostgreSQL."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OUTHAUL_", "PG"))}
    ours = {f"OUTHAUL_{name.upper()}": str(value) for name, value in (settings or {}).items()}
    plain = {"OUTHAUL_MIN_FREE": "0", "OUTHAUL_WORKERS": "1", "NO_COLOR": "1", "COLUMNS": "200"}
    return kept | plain | ours


@dataclass(frozen=True, slots=True)
class Run:
    """A finished command and the folder it wrote into."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def said(self) -> str:
        return self.out + self.err

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return found

    @property
    def files(self) -> list[Path]:
        """All files but the manifest, in the order of their names."""
        if not self.folder.exists():
            return []
        return sorted(
            path for path in self.folder.iterdir() if path.name != "manifest.json" and path.is_file()
        )

    @property
    def file(self) -> Path:
        (only,) = self.files
        return only

    @property
    def data(self) -> bytes:
        return self.file.read_bytes()

    def rows(self) -> list[_oracle.Pairs]:
        """Of all files: formats whose parts cannot be joined leave several."""
        return [
            row
            for file in self.files
            for row in _oracle.rows(
                file.name.removesuffix(".gz").removesuffix(".zst").rsplit(".", 1)[1], file.read_bytes()
            )
        ]

    def complete(self) -> Run:
        assert self.code == 0, f"exit status {self.code}\n{self.out}\n{self.err}"
        assert "Traceback" not in self.said
        return self


def command(
    *args: object,
    at: Path,
    settings: Mapping[str, Any] | None = None,
    timeout: float = 100,
    folder: Path | None = None,
    **more: Any,
) -> Run:
    """`outhaul ARGS...` run in the folder `at`, to its end."""
    done = subprocess.run(
        [str(PROGRAM), *map(str, args)],
        cwd=at,
        env=environment(settings),
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        check=False,
        **more,
    )
    return Run(done.returncode, done.stdout.decode(), done.stderr.decode(), folder or at)


def inside(*args: object, at: Path, folder: Path | None = None) -> Run:
    """As `command`, without the start of a process: for what begins none itself, as a refusal or `verify`."""
    done = here(at, *args, **environment())
    return Run(done.returncode, done.stdout, done.stderr, folder or at)


def export_args(source: str, resource: str, output: Path, **options: Any) -> list[str]:
    """`export SOURCE RESOURCE ...`: `include=["a", "b"]` repeats the option, `parts=True` is a flag."""
    args = ["export", source, resource, "--output", str(output)]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        for each in value if isinstance(value, list) else [value]:
            args += [flag] if each is True else [flag, str(each)]
    return args


def export(
    source: str, resource: str, at: Path, settings: Mapping[str, Any] | None = None, **options: Any
) -> Run:
    """`outhaul export` into a fresh folder below `at`. Options are those of the command line."""
    output = at / f"out-{os.urandom(4).hex()}"
    return command(
        *export_args(source, resource, output, **options),
        at=at,
        settings=settings,
        folder=output,
    )


def parts_of(made: Run | dict[str, Any]) -> int:
    """How many parts made an export, by what its manifest tells."""
    return len((made.manifest if isinstance(made, Run) else made)["parts"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Asker:
    """Somebody with a token of a running service."""

    service: Service
    token: str

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request under /api. Bodies are JSON:API; `headers` are added to ours."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        return self.service.http(method, f"/api{path}", headers=headers | more.pop("headers", {}), **more)

    def ask(self, resource: str, form: str = "json", **attributes: Any) -> httpx.Response:
        """Create an export; gives the answer as it came."""
        wanted = {"resource_type": resource, "format": form, **attributes}
        return self.call(
            "POST", "/exports", json={"data": {"type": "exports", "attributes": wanted, "relationships": {}}}
        )

    def create(self, resource: str, form: str = "json", **attributes: Any) -> str:
        """Create an export that must be accepted; gives its id."""
        answer = self.ask(resource, form, **attributes)
        assert answer.status_code == 201, answer.text
        found: str = answer.json()["data"]["id"]
        return found

    def get(self, export_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"/exports/{export_id}")
        assert answer.status_code == 200, answer.text
        attributes: dict[str, Any] = answer.json()["data"]["attributes"]
        return attributes

    def change(self, export_id: str, **attributes: Any) -> httpx.Response:
        body = {"data": {"type": "exports", "id": export_id, "attributes": attributes}}
        return self.call("PATCH", f"/exports/{export_id}", json=body)

    def ids(self, **query: str) -> list[str]:
        """Ids of all exports that this asker can list, over all pages."""
        found: list[str] = []
        for page in range(1, 1000):
            answer = self.call(
                "GET", "/exports", params={"page[number]": str(page), "page[size]": "25", **query}
            )
            assert answer.status_code == 200, answer.text
            found += [each["id"] for each in answer.json()["data"]]
            if page >= answer.json()["meta"]["page_count"]:
                break
        return found

    def wait(self, export_id: str, *statuses: str, patience: float = PATIENCE) -> dict[str, Any]:
        """The export's attributes as soon as its status is one of these (none: any end)."""
        wanted = set(statuses) or ENDS
        last: dict[str, Any] = {}

        def there() -> bool:
            nonlocal last
            last = self.get(export_id)
            return last["status"] in wanted

        until(there, f"{export_id} is {wanted}; {self.service.tail()}", patience)
        return last

    def finish(self, export_id: str, patience: float = PATIENCE) -> dict[str, Any]:
        """Wait until the export is completed."""
        last = self.wait(export_id, patience=patience)
        assert last["status"] == "completed", f"{last['status']}: {last['errors_log']}\n{self.service.tail()}"
        return last

    def link(self, export_id: str) -> str:
        url: str = self.finish(export_id)["attachment_url"]
        return url

    def file(self, export_id: str) -> bytes:
        """The file of an export as its link gives it."""
        answer = self.service.fetch(self.link(export_id))
        assert answer.status_code == 200, answer.text
        return answer.content

    def manifest(self, export_id: str) -> dict[str, Any]:
        """The proof of a completed export, by its own signed link."""
        self.finish(export_id)
        url = self.call("GET", f"/exports/{export_id}").json()["data"]["links"]["manifest"]
        found: dict[str, Any] = self.service.fetch(url).json()
        return found

    def rows(self, resource: str, form: str = "json", **attributes: Any) -> list[_oracle.Pairs]:
        """Ask, wait, download, read."""
        return _oracle.rows(form, self.file(self.create(resource, form, **attributes)))


@dataclass
class Service:
    """One `outhaul serve`, with its state in `home`. Settings are given by the environment, as a user may."""

    source: str
    home: Path
    settings: dict[str, Any] = field(default_factory=dict)
    args: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None
    port: int = 0
    client: httpx.Client = field(
        default_factory=lambda: httpx.Client(
            timeout=30, trust_env=False, event_hooks={"response": [documented.check]}
        )
    )
    limits: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self.port = self.port or free_port()
        self.settings = {"port": self.port, "state": self.home / "state"} | self.settings

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.home / "service.log"

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def start(self, *, ready: bool = True) -> Service:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(PROGRAM), "serve", self.source, *self.args],
                cwd=self.home,
                env=environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self.limits,  # noqa: PLW1509 - a limit that only the service is to have
            )
        if ready:
            until(self.answers, f"the service answers; {self.tail()}")
        return self

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the service has ended: {self.tail()}"
        with contextlib.suppress(httpx.TransportError):
            return self.client.get(f"{self.url}/api/exports").status_code == 401
        return False

    def stop(self) -> int:
        """SIGTERM, and what it ended with; whoever is left in its session after 25 s is killed."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(25)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to the service and all that it has started."""
        if self.process is None:
            return
        for each in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.process = None

    def restart(self) -> Service:
        self.stop()
        return self.start()

    def family(self) -> list[psutil.Process]:
        """The service's own process, and all below it."""
        if self.process is None or self.process.poll() is not None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        return []

    def children(self, kind: str) -> list[psutil.Process]:
        """Child processes whose command line names `kind`: outhaul.worker, outhaul.snapshots."""
        found = []
        for each in self.family()[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(kind in argument for argument in each.cmdline()):
                    found.append(each)
        return found

    def asker(self, *args: str) -> Asker:
        """Make a token by the command line, as an administrator would; `--all-tenants` when nothing is said."""
        done = here(self.home, "token", "create", *(args or ("--all-tenants",)), **environment(self.settings))
        assert done.returncode == 0, done.stderr
        return Asker(self, token_in(done.stdout))

    def http(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.client.request(method, self.url + path, **more)

    def fetch(self, url: str, method: str = "GET", **more: Any) -> httpx.Response:
        """Follow a link as anybody could: without a token."""
        assert url.startswith(self.url), url
        return self.client.request(method, url, **more)

    @property
    def state(self) -> Path:
        return Path(self.settings["state"])


def token_in(text: str) -> str:
    """The token in what `token create` has printed: the longest word."""
    words: list[str] = re.findall(r"[\w.~-]{20,}", text)
    assert words, f"no token in: {text}"
    return max(words, key=len)


@contextlib.contextmanager
def serving(source: str, home: Path, *args: str, **settings: Any) -> Iterator[Service]:
    """A service that runs while the block does."""
    home.mkdir(parents=True, exist_ok=True)
    service = Service(source, home, settings, args)
    try:
        yield service.start()
    finally:
        service.kill()
        service.client.close()
