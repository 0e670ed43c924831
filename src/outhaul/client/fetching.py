"""The files of one export, brought into a folder: by ranges, proven as they come, and shown only when all are whole."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote, urljoin

import httpx

from outhaul.client import wire
from outhaul.client.line import Line
from outhaul.client.patience import Patience
from outhaul.errors import Misconfigured, NotFound, ServiceAway, ServiceBusy, StoreError, StoreFull, Unproven
from outhaul.filenames import MANIFEST

if TYPE_CHECKING:
    from outhaul.manifest import Finding

PIECE = 1 << 20
AGAIN = frozenset({401, 403, 408, 410, 425, 500, 502, 503, 504})  # a fresh link, or a moment, may help
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
HERE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")

Told = Callable[[int, int], None]  # bytes that have come, and of how many


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The files of an export in their folder, proven by the manifest beside them. `length`: their bytes in all."""

    export: str
    folder: Path
    files: tuple[Path, ...]
    manifest: Path
    length: int


class Fetching:
    """One export on its way into one folder. `fresh`: gives a signed link to its file, a new one each time, since each
    is good for minutes only, and a file may take hours."""

    def __init__(
        self,
        line: Line,
        fresh: Callable[[], str],
        export_id: str,
        manifest: bytes,
        folder: Path,
        told: Told | None,
    ) -> None:
        self._line, self._fresh, self._id, self._manifest = line, fresh, export_id, manifest
        self._folder, self._told = folder, told
        self._lengths = _lengths(manifest, export_id)
        self._total = sum(self._lengths.values())
        self._done = 0
        self._whole: set[str] = set()
        self._begun = self._linked = (
            False  # whether something was there already, and whether links lead somewhere
        )

    def run(self) -> Downloaded:
        """All of it. What it raises is told by `Client.download`."""
        own = _verified(self._manifest, _nothing)
        _refuse(one for one in own if one.what != "is missing")
        with _writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._prove()
        except Unproven:
            self._discard()
            raise
        with _writing(self._folder):
            self._publish()
        files = tuple(self._folder / name for name in self._lengths)
        return Downloaded(self._id, self._folder, files, self._folder / MANIFEST, self._total)

    def _prove(self) -> None:
        findings = _verified(self._manifest, self._fetch)
        if findings and self._begun:  # what was there may have been damaged since
            self._discard()
            self._done = 0
            findings = _verified(self._manifest, self._fetch)
        _refuse(findings)

    def _fetch(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        """Bytes of a file, for `verify`: it reads each once from beginning to end, and then looks into some again."""
        partial = self._partial(name)
        with _writing(partial):
            if name in self._whole:
                yield from _read(partial, start, stop)
                return
            with partial.open("ab") as file:
                _alone(file, partial)
                for piece in self._through(name, file):
                    self._done += len(piece)
                    if self._told is not None:
                        self._told(self._done, self._total)
                    yield piece
                file.flush()
                os.fsync(file.fileno())
        self._whole.add(name)

    def _through(self, name: str, file: IO[bytes]) -> Iterator[bytes]:
        """What has come of a file, then what is missing, which is written down before it is given."""
        at = file.tell()
        if at > self._lengths[name]:
            file.truncate(0)
            at = 0
        self._begun |= at > 0
        yield from _read(self._partial(name), 0, at)
        for piece in self._rest(name, at):
            file.write(piece)
            yield piece

    def _rest(self, name: str, at: int) -> Iterator[bytes]:
        """The file from byte `at` on, over as many connections as it takes."""
        length, patience = self._lengths[name], Patience(self._line.patience)
        while at < length:
            away = ServiceAway(f"The connection ends within {name}, again and again.")
            try:
                with self._connected(name, at) as pieces:
                    for piece in pieces:
                        at += len(piece)
                        patience.renew()
                        yield piece
                        if at > length:
                            return
            except ServiceAway as error:
                if error.facts.get("unsent") and not self._linked:
                    raise
                away = error
            if at < length:
                patience.wait(self._kept(away))

    def _kept(self, away: ServiceAway) -> ServiceAway:
        hint = "What has come is kept: the same again goes on with it."
        return type(away)(away.message, hint=hint, facts=away.facts)

    @contextmanager
    def _connected(self, name: str, at: int) -> Iterator[Iterable[bytes]]:
        link = urljoin(self._fresh(), quote(name, safe=""))
        with self._line.open(link, at) as answer:
            self._linked = True
            begin = _begin(answer, name, at, self._lengths[name])
            yield _without(answer.iter_raw(), at - begin)

    def _publish(self) -> None:
        """Give the files their names; the manifest is away meanwhile, and comes last."""
        proof, written = self._folder / MANIFEST, self._partial(MANIFEST)
        with written.open("wb") as file:
            file.write(self._manifest)
            file.flush()
            os.fsync(file.fileno())
        proof.unlink(missing_ok=True)
        for name in self._lengths:
            self._partial(name).replace(self._folder / name)
        written.replace(proof)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _discard(self) -> None:
        for name in self._lengths:
            self._partial(name).unlink(missing_ok=True)
        self._whole.clear()

    def _partial(self, name: str) -> Path:
        """Of this export alone: another's file of that name has other bytes."""
        return self._folder / f"{name}.{self._id}.partial"


def _lengths(manifest: bytes, export_id: str) -> dict[str, int]:
    """The bytes of each file by its name. Unproven: the manifest is of another export, or none that we would write."""
    try:
        data = json.loads(manifest)
        whose = data["export"]
        lengths = {str(file["name"]).encode().decode(): int(file["length"]) for file in data["files"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unproven("What the service gives as the manifest of this export is none.") from None
    if whose != export_id:
        raise Unproven(f"The manifest is that of another export, {wire.printable(str(whose))[:40]!r}.")
    for name in lengths:
        if name != Path(name).name or name.startswith(".") or name == MANIFEST or "\0" in name:
            raise Unproven(
                f"The manifest names a file as no file of ours is named: {wire.printable(name)!r}."
            )
    return lengths


def _verified(manifest: bytes, fetch: Callable[[str, int, int], Iterable[bytes]]) -> tuple[Finding, ...]:
    from outhaul.manifest import verify

    return verify(manifest, fetch)


def _nothing(name: str, *_: int) -> Iterable[bytes]:
    raise FileNotFoundError(name)


def _refuse(findings: Iterable[Finding]) -> None:
    for first in findings:
        raise Unproven(
            f"The files are not what their manifest says: {wire.printable(str(first))}.",
            hint="None of them is kept. Download them again.",
        )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = StoreFull if error.errno in FULL else StoreError
        raise kind(
            f"{error.filename or path} cannot be written: {error.strerror or error}.",
            hint="Make room, or name another folder.",
        ) from None


def _alone(file: IO[bytes], partial: Path) -> None:
    """A lock that ends with this process, however it ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Misconfigured(
            f"Another download is writing {partial}.", hint="Wait, or name another folder."
        ) from None


def _read(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < stop and (piece := file.read(min(PIECE, stop - start))):
            start += len(piece)
            yield piece


def _begin(answer: httpx.Response, name: str, at: int, length: int) -> int:
    """Where in the file the answer's body begins: at 0 where whatever is between us knows no ranges."""
    status, headers = answer.status_code, answer.headers
    if status not in {200, 206}:
        raise _refused(answer, name)
    found = HERE.fullmatch(headers.get("content-range", "")) if status == 206 else None
    told = found[2] if found else headers.get("content-length", "")
    begin = int(found[1]) if found else 0
    if (status == 206 and found is None) or begin > at:
        raise wire.nonsense(f"is another range of {name}", headers.get("content-range", ""))
    if told.isdecimal() and int(told) != length:
        raise Unproven(f"{name} has {int(told):,} bytes at the service, and {length:,} by its manifest.")
    return begin


def _refused(answer: httpx.Response, name: str) -> Exception:
    """What it means that there is no file in the answer: ServiceAway where it is worth trying again."""
    status, said = answer.status_code, wire.printable(next(answer.iter_bytes(wire.LONGEST), b""))
    if status == 404:
        return NotFound(f"The service has no file {name}.")
    if status == 416:
        return Unproven(f"{name} is shorter at the service than by its manifest.")
    wait = wire.retry_after(answer.headers.get("retry-after"))
    text = f"The link to {name} was answered with {status}{f': {said}' if said else ''}"
    if status == 429:
        return ServiceBusy(text, facts={"wait": wait})
    return ServiceAway(text, facts={"wait": wait}) if status in AGAIN else wire.nonsense(text, b"")


def _without(pieces: Iterable[bytes], first: int) -> Iterator[bytes]:
    """The pieces without so many bytes at their beginning."""
    for piece in pieces:
        left = piece[first:]
        first = max(0, first - len(piece))
        if left:
            yield left
