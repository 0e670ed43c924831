"""The audit log: a line for everything that was asked, in files that are only ever appended to."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

log = logging.getLogger("outhaul.audit")


class Audit:
    """Lines of JSON in one file a day (UTC), `2027-01-31.jsonl`. Several threads and processes may write to the same:
    each line is one write to the end of the file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._day, self._file = "", -1

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line, with the time before it. One that cannot be written, for want of room, goes to the log."""
        now = datetime.now(UTC)
        text = json.dumps({"at": now.isoformat(timespec="milliseconds"), **line}) + "\n"
        try:
            with self._lock:
                written = os.write(self._opened(f"{now:%Y-%m-%d}"), text.encode())
            why = "only a part of it was" if written < len(text) else ""
        except OSError as error:
            why = str(error)
        if why:
            log.error("A line of the audit log could not be written (%s): %s", why, text.strip())

    def close(self) -> None:
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
            self._day, self._file = "", -1

    def _opened(self, day: str) -> int:
        """The file of the day; anew after it was moved away."""
        path = self._folder / f"{day}.jsonl"
        if self._file >= 0 and (day != self._day or not _is(self._file, path)):
            os.close(self._file)
            self._file = -1
        if self._file < 0:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._day = day
        return self._file


def _is(file: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(file), there)
