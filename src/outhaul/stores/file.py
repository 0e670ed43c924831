"""Objects as files below one folder of this machine: `file:///var/lib/outhaul/objects`."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from outhaul.errors import Misconfigured, StoreError, StoreFull

READ_BYTES = 1 << 20
UNFINISHED = ".part"  # ends the names of files that a put has not finished
FULL = {
    errno.ENOSPC: "The disk is full",
    errno.EDQUOT: "The disk quota is used up",
    errno.EFBIG: "The file is larger than this system allows",
}
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


def open_store(url: str) -> FileStore:
    """The store in the folder that a `file:` address names; the folder is made when it is needed."""
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not parts.path:
        raise Misconfigured(f"{url!r} names no folder.", hint="Write it as file:///an/absolute/path.")
    return FileStore(Path(unquote(parts.path)))


class FileStore:
    """Whole files or none; readable by their owner alone."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, key: str, chunks: Iterable[bytes | memoryview]) -> int:
        """The chunks as one object, durable on return; its length in bytes. An error of the chunks goes through."""
        path = self._path(key)
        what = f"write {path}"
        made = path.with_name(f"{path.name}.{secrets.token_hex(8)}{UNFINISHED}")
        with _in_words(what):
            _make_folder(path.parent)
            file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            length = _write(file, chunks, what)
            with _in_words(what):
                made = made.rename(path)
                _sync(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                made.unlink()
            raise
        return length

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Bytes from `start` on, in pieces of at most 1 MiB; StoreError when there are fewer than `length`."""
        path = self._path(key)
        left = length
        with _in_words(f"read {path}"), path.open("rb", buffering=0) as file:
            file.seek(start)
            while left is None or left:
                piece = file.read(READ_BYTES if left is None else min(READ_BYTES, left))
                if not piece:
                    break
                left = None if left is None else left - len(piece)
                yield piece
        if left:
            raise StoreError(
                f"{path} is shorter than it was when it was written: {left} bytes are missing.",
                hint="Ask for a new export.",
            )

    def size(self, key: str) -> int | None:
        """Length in bytes; None when there is no such object."""
        path = self._path(key)
        with _in_words(f"look at {path}"):
            return path.stat().st_size if path.exists() else None

    def delete(self, prefix: str) -> int:
        """Every object whose key begins with the prefix, unfinished ones too, and the folders that this empties."""
        if not prefix:
            raise ValueError("an empty prefix would delete everything")
        gone = 0
        for key, _, _ in self.keys(prefix):
            with _in_words(f"delete {self.root / key}"):
                (self.root / key).unlink(missing_ok=True)
            gone += 1
        if prefix.endswith("/"):
            _remove_empty(self._folder(prefix))
        return gone

    def keys(self, prefix: str = "") -> Iterator[tuple[str, int, float]]:
        """Key, length in bytes and age in seconds of the objects whose key begins so, unfinished ones included."""
        now = time.time()
        with _in_words(f"list {self.root}"):
            for folder, _, names in os.walk(self._folder(prefix), onerror=_unless_missing):
                for name in names:
                    path = Path(folder, name)
                    key = path.relative_to(self.root).as_posix()
                    with contextlib.suppress(FileNotFoundError):
                        if key.startswith(prefix) and _KEY.fullmatch(key):
                            found = path.stat()
                            yield key, found.st_size, max(0.0, now - found.st_mtime)

    def free(self) -> int | None:
        """Bytes that may still be written."""
        folder = self.root
        while not folder.exists():
            folder = folder.parent
        with _in_words(f"look at {folder}"):
            found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no key of an object")
        return self.root / key

    def _folder(self, prefix: str) -> Path:
        """The folder below which all keys with this prefix are."""
        return self._path(f"{prefix}x").parent


def _write(file: int, chunks: Iterable[bytes | memoryview], what: str) -> int:
    length = 0
    try:
        for chunk in chunks:
            rest = memoryview(chunk)
            length += len(rest)
            with _in_words(what):
                while rest:
                    rest = rest[os.write(file, rest) :]
        with _in_words(what):
            os.fsync(file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(file)
        raise
    with _in_words(what):
        os.close(file)
    return length


def _make_folder(folder: Path) -> None:
    """The folder and those above it, for their owner alone; an entry that is not synced is lost in a power cut."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(PermissionError):  # a parent that we may pass but not list
            _sync(folder.parent)


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _remove_empty(top: Path) -> None:
    for folder, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


@contextlib.contextmanager
def _in_words(what: str) -> Iterator[None]:
    """Says an error of the system as one of the store."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StoreFull(
                f"{FULL[error.errno]}: could not {what}.", hint="Make room, then start the export again."
            ) from error
        raise StoreError(
            f"Could not {what}: {error.strerror or error}.", hint=_HINTS.get(error.errno or 0, "")
        ) from error


_HINTS = {
    errno.EACCES: "The user that runs Outhaul needs the right to read and write there.",
    errno.EPERM: "The user that runs Outhaul needs the right to read and write there.",
    errno.EROFS: "The file system is mounted read-only.",
    errno.ENOENT: "It was deleted, or never stored.",
    errno.ENOTDIR: "Something that is no folder stands where the objects' folder should be.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
}
