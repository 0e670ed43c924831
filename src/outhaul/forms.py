"""The formats that can be asked for, and the compressions of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from outhaul import formats, siblings

USUAL = "gzip"  # of files of formats that compress nothing by themselves
NONE = "none"


@dataclass(frozen=True, slots=True)
class Form:
    """A format. `inside`: it compresses by itself, the first of its compressions unless asked otherwise."""

    name: str
    compressions: tuple[str, ...]
    inside: bool

    def compress(self, asked: str) -> str | None:
        """What a draft says for a compression, `none`, or "" for the usual one."""
        if self.inside:
            return asked or None
        return None if asked == NONE else asked or USUAL


@cache
def forms() -> Mapping[str, Form]:
    """All that there are, by their names."""
    found = {name: siblings.load(formats, name) for name in siblings.names(formats)}
    return {name: Form(name, formats.compressions(one), bool(one.CODECS)) for name, one in found.items()}
