"""Ids as Rebilly writes them, of 26 characters of Crockford's base32, and the export that one is of; pure."""

from __future__ import annotations

import hashlib
import re
import string
from datetime import UTC, datetime, timedelta

from outhaul.export import Export

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26  # of a ULID: 48 bits of milliseconds since 1970, then 80 that tell two of one moment apart
LOW_BITS = 80
EXPORT, FILE, USER = "org_exp_", "file_", "usr_"
SHAPE = f"[{DIGITS}]{{{LENGTH}}}"

_LETTERS = string.ascii_letters  # of the ledger's ids, which are ten of them: fewer than 80 bits
_COUNT = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def export_id(export: Export) -> str:
    return EXPORT + _ulid(export)


def file_id(export: Export) -> str:
    """Of the one file that an export has."""
    return FILE + _ulid(export)


def user_id(caller: str) -> str:
    """Of whoever asked, by the id of the caller: always the same, and no way back."""
    return USER + _written(int.from_bytes(hashlib.sha256(caller.encode()).digest()[:16]))


def ledger_id(given: str, prefix: str) -> str | None:
    """The id in the ledger that a wire id of this prefix can only be of; None when it is none."""
    found = re.fullmatch(f"{prefix}({SHAPE})", given)
    if found is None:
        return None
    number = 0
    for digit in found[1]:
        number = number << 5 | DIGITS.index(digit)
    number &= (1 << LOW_BITS) - 1
    letters = ""
    for _ in range(_COUNT):
        number, rest = divmod(number, len(_LETTERS))
        letters = _LETTERS[rest] + letters
    return None if number else letters


def _ulid(export: Export) -> str:
    number = 0
    for letter in export.id:
        number = number * len(_LETTERS) + _LETTERS.index(letter)
    made: datetime = export.created_at
    return _written((made - _EPOCH) // timedelta(milliseconds=1) << LOW_BITS | number)


def _written(number: int) -> str:
    return "".join(DIGITS[number >> 5 * place & 31] for place in reversed(range(LENGTH)))
