"""Ids that tell nothing: not how many there are, nor whose, nor when."""

from __future__ import annotations

import secrets
import string

LENGTH = 10  # of 52 letters: as long as the ids of the APIs that we answer for


def fresh() -> str:
    """An id that no other thing has, but by a chance of one in 10 to the 17th."""
    return "".join(secrets.choice(string.ascii_letters) for _ in range(LENGTH))
