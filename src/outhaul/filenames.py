"""Names of files that every system takes, made of names that a database or a user has given."""

from __future__ import annotations

import re
import unicodedata

MANIFEST = "manifest.json"
DIRECTORY = "directory-"  # begins the name of an object of the store: the directory of an archive of binaries
NAME_BYTES = 180  # of 255 that file systems take; the rest is for number and suffix

_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)
_UNSEEN = {
    "Cc",
    "Cf",
    "Cs",
    "Co",
    "Cn",
    "Zl",
    "Zp",
}  # control, direction, surrogate, private, line separators


def safe(name: str) -> str:
    """A file name without a suffix that every system takes, of at most NAME_BYTES bytes: no folder, no device."""
    text = unicodedata.normalize("NFC", name)
    text = "".join(
        "_" if unicodedata.category(one) in _UNSEEN or one in '/\\:*?"<>|' else one for one in text
    )
    text = text.encode()[:NAME_BYTES].decode(errors="ignore").rstrip(" .")
    if not text or text[0] in " .-~" or _RESERVED.match(text):
        text = f"_{text.lstrip(' .-~')}"
    return text


class Names:
    """File names of one export: no two that differ in case alone, and none that is the manifest's."""

    def __init__(self) -> None:
        self._taken = {MANIFEST}

    def take(self, stem: str, suffix: str) -> str:
        name, number = f"{stem}{suffix}", 1
        while (folded := unicodedata.normalize("NFC", name.casefold())) in self._taken:
            number += 1
            name = f"{stem}-{number}{suffix}"
        self._taken.add(folded)
        return name
