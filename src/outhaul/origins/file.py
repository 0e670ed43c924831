"""Binaries as files below a folder of this machine: `file:///srv/uploads`, or the folder alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from outhaul.errors import Misconfigured, StoreError
from outhaul.origins import Unfit

AT_ONCE = 1 << 20
FLAGS = os.O_RDONLY | os.O_CLOEXEC


def open_origin(place: str) -> Folder:
    """The folder of that path, or of that address; Misconfigured."""
    parts = urlsplit(place)
    if place.startswith("/"):
        return Folder(place)
    if parts.netloc or not parts.path.startswith("/"):
        raise Misconfigured(f"{place!r} names no folder.", hint="As file:///srv/uploads.")
    return Folder(unquote(parts.path))


class Folder:
    """Below it no link is followed."""

    AHEAD = 1

    def __init__(self, root: str) -> None:
        self._root = root

    def look(self) -> None:
        """StoreError for a folder that is not there, or not for us."""
        try:
            os.close(os.open(self._root, FLAGS | os.O_DIRECTORY))
        except OSError as error:
            hint = "The user that runs Outhaul needs the right to read it."
            raise StoreError(f"{self._root} cannot be read ({error.strerror}).", hint=hint) from error

    def take(self, path: bytes) -> Taken:
        """The file at the path; Unfit."""
        try:
            return Taken(self._found(path))
        except OSError as error:
            raise Unfit(f"cannot be read ({error.strerror})") from error

    def _found(self, path: bytes) -> int:
        """The file, opened. It must not lie outside, whatever the row says and whoever moves what is on the way: each
        step is taken from the one before it."""
        steps = [step for step in path.split(b"/") if step not in {b"", b"."}]
        if b"\0" in path:
            raise Unfit("has a path that is none")
        if not steps or b".." in steps or path.startswith(b"/"):
            raise Unfit("lies outside of the folder")
        folder = os.open(self._root, FLAGS | os.O_DIRECTORY)
        try:
            for step in steps[:-1]:
                within = os.open(step, FLAGS | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = within
            return os.open(steps[-1], FLAGS | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)


class Taken:
    """An open file, as it is now."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._about = os.fstat(file)
        self.length = self._about.st_size
        if not stat.S_ISREG(self._about.st_mode):
            self.close()
            raise Unfit("is no file")

    def read(self) -> Iterator[bytes]:
        try:
            os.lseek(self._file, 0, os.SEEK_SET)
            left = self.length
            while left and (piece := os.read(self._file, min(left, AT_ONCE))):
                left -= len(piece)
                yield piece
            now = os.fstat(self._file)
        except OSError as error:
            raise Unfit(f"cannot be read ({error.strerror})") from error
        if left or (now.st_size, now.st_mtime_ns) != (self._about.st_size, self._about.st_mtime_ns):
            raise Unfit("has changed while it was read")

    def close(self) -> None:
        os.close(self._file)
