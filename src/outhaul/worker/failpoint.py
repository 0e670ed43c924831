"""For tests only: a named place at which a worker kills itself, as a power cut would."""

from __future__ import annotations

import os
import signal


class _Failpoint:
    """OUTHAUL_FAILPOINT=[~]name[:n][@file]: this process gets SIGKILL, or with `~` SIGSTOP, when it reaches the point
    of that name for the n-th time; with a file, only the first process that can make it does."""

    def __init__(self, wanted: str) -> None:
        wanted, _, self._file = wanted.partition("@")
        name, _, count = wanted.partition(":")
        self._name = name.removeprefix("~")
        self._signal = signal.SIGSTOP if name.startswith("~") else signal.SIGKILL
        self._left = int(count or 1)

    def reach(self, name: str) -> None:
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0 and self._is_ours():
            os.kill(os.getpid(), self._signal)

    def _is_ours(self) -> bool:
        try:
            return not self._file or bool(os.open(self._file, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False


reach = _Failpoint(os.environ.get("OUTHAUL_FAILPOINT", "")).reach
