"""How long to wait before asking again, and when to stop asking."""

from __future__ import annotations

import logging
import time

from outhaul.errors import OuthaulError

FIRST, LONGEST = 0.5, 10.0  # seconds between two tries, twice as many each time
TOLD = 600.0  # seconds in all that a service may ask to be left alone for
LONG = 5.0  # seconds of a wait from which on somebody may wonder

log = logging.getLogger("outhaul.client")


class Patience:
    """Waits between tries that fail, for `seconds` in all, or where the service says when to come back, longer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Something has come: all begins anew."""
        self._begun, self._pause = time.monotonic(), FIRST

    def wait(self, error: OuthaulError) -> None:
        """Sleep until the next try, or raise the error if there is to be none. `facts["wait"]`: what was asked for."""
        told: float | None = error.facts.get("wait")
        pause = max(self._pause, told or 0.0)
        most = self._seconds if told is None else max(self._seconds, TOLD)
        if time.monotonic() + pause > self._begun + most:
            raise error
        if pause >= LONG:
            log.warning("%s Trying again in %.0f s.", error.message, pause)
        time.sleep(pause)
        self._pause = min(2 * self._pause, LONGEST)
