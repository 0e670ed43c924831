"""The folder that an export on the command line writes into: nothing half is ever seen in it."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from outhaul.commands._unfinished import is_kept
from outhaul.errors import Misconfigured, StoreError

WORK = ".outhaul"  # ledger, fragments and unfinished files, while the export runs


@contextmanager
def workspace(folder: Path, *, resume: bool = False) -> Iterator[Path]:
    """A work folder inside `folder`, for one export at a time; gone at the end, with `folder` if that stays empty, but
    for what can be gone on with.

    One that an export has left behind is removed first, unless this is to `resume` it.
    """
    made = _make(folder)
    work = folder / WORK
    with _alone(folder):
        try:
            if not (resume and is_kept(work)):
                shutil.rmtree(work, ignore_errors=True)
            work.mkdir(mode=0o700, exist_ok=True)
            yield work
        except OSError as error:
            raise StoreError(f"{error.filename or folder} cannot be written: {error.strerror}.") from None
        finally:
            if not is_kept(work):
                shutil.rmtree(work, ignore_errors=True)
            if made:
                with suppress(OSError):
                    folder.rmdir()


def _make(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if folder.is_dir():
            return False
        raise Misconfigured(f"{folder} is a file.", hint="Name a folder: --output FOLDER.") from None
    except OSError as error:
        raise StoreError(f"The folder {folder} cannot be made: {error.strerror}.") from None
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """A lock that ends with this process, however it ends."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Misconfigured(
            f"Another export is writing into {folder}.", hint="Wait, or name another folder."
        ) from None
    finally:
        os.close(handle)


def write(path: Path, chunks: Iterable[bytes]) -> None:
    """A new file, durable on return."""
    try:
        with path.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(
            f"{path.name} cannot be written: {error.strerror}.", hint="Make room, and try again."
        ) from None


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM come when this is over."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, disposition in before.items():
            signal.signal(number, disposition)
        for late in came:
            signal.raise_signal(late)


def publish(files: Sequence[Path], folder: Path) -> None:
    """Move finished files into the folder, over what is there under their names; the last one, their manifest, is away
    meanwhile, so that none ever stands beside files of another export."""
    try:
        with _undisturbed():
            (folder / files[-1].name).unlink(missing_ok=True)
            for file in files:
                file.replace(folder / file.name)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise StoreError(f"The files cannot be put into {folder}: {error.strerror}.") from None
