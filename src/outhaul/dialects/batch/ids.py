"""Batch's ids, a prefix and 32 characters, made of ours and read back, and cursors of an id and a time; pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from datetime import UTC, datetime

EXPORT, FILE = "export_", "file_"
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's 32, in lower case
LENGTH = 32  # of them: 160 bits
OURS = re.compile(rb"[A-Za-z]{10}")  # an id of the ledger's
CHECK = 6  # bytes that tell whether we have made it


def export(export_id: str) -> str:
    """The id of an export."""
    return EXPORT + _sealed(EXPORT, export_id, 0)


def file(export_id: str, n: int) -> str:
    """The id of a file, by its number among the export's."""
    return FILE + _sealed(FILE, export_id, n)


def read_export(text: str) -> str | None:
    """The ledger's id; None for what is no id of an export."""
    found = _opened(EXPORT, text)
    return found[0] if found else None


def read_file(text: str) -> tuple[str, int] | None:
    """The ledger's id of the export, and the number; None for what is no id of a file."""
    return _opened(FILE, text)


def cursor(export_id: str, made: datetime) -> str:
    """Where a list goes on behind an export; opaque to clients."""
    told = f"{export(export_id)}@{made.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def read_cursor(text: str) -> tuple[datetime, str] | None:
    """Time and the ledger's id; None for what is no cursor."""
    try:
        told = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
        name, _, moment = told.partition("@")
        made = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except (binascii.Error, ValueError):
        return None
    export_id = read_export(name)
    return (made, export_id) if export_id else None


def _sealed(prefix: str, export_id: str, n: int) -> str:
    """Id and number under a mask that follows from them, so that neighbours do not look alike."""
    told = export_id.encode() + n.to_bytes(20 - CHECK - len(export_id), "big")
    check = hashlib.sha256(prefix.encode() + told).digest()[:CHECK]
    number = int.from_bytes(check + _masked(told, prefix, check), "big")
    return "".join(DIGITS[number >> shift & 31] for shift in range(5 * LENGTH - 5, -1, -5))


def _opened(prefix: str, text: str) -> tuple[str, int] | None:
    rest = text.removeprefix(prefix)
    if rest == text or len(rest) != LENGTH or not set(rest) <= set(DIGITS):
        return None
    number = 0
    for digit in rest:
        number = number << 5 | DIGITS.index(digit)
    data = number.to_bytes(20, "big")
    check, told = data[:CHECK], _masked(data[CHECK:], prefix, data[:CHECK])
    name, n = told[:10], told[10:]
    made_by_us = hashlib.sha256(prefix.encode() + told).digest()[:CHECK] == check and OURS.fullmatch(name)
    return (name.decode(), int.from_bytes(n, "big")) if made_by_us else None


def _masked(told: bytes, prefix: str, check: bytes) -> bytes:
    mask = hashlib.sha256(check + prefix.encode()).digest()
    return bytes(one ^ other for one, other in zip(told, mask, strict=False))
