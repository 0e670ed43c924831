"""Finds the siblings of a folder by name: the file's name is the value that a user types."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType

from outhaul.errors import UnknownSibling


def names(package: ModuleType | str) -> tuple[str, ...]:
    """The siblings in a package, sorted; names that begin with `_` are not siblings. A package that is given by its own
    name is not loaded for that."""
    return _names(package.__name__ if isinstance(package, ModuleType) else package)


@cache  # each request asks for some, and a folder is slow to list
def _names(package: str) -> tuple[str, ...]:
    spec = find_spec(package)
    path = (spec and spec.submodule_search_locations) or []
    return tuple(sorted(found.name for found in iter_modules(path) if not found.name.startswith("_")))


def load(package: ModuleType, name: str) -> ModuleType:
    """The sibling's module; UnknownSibling names the choices."""
    choices = names(package)
    if name not in choices:
        kind = package.__name__.rsplit(".", 1)[-1]
        raise UnknownSibling(
            f"There is no {kind.removesuffix('s')} {name!r}.",
            hint=f"One of: {', '.join(choices)}.",
            wrong=name,
            choices=choices,
        )
    return import_module(f"{package.__name__}.{name}")
