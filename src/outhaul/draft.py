"""What a draft says beside its selections: formats, compression, sizes and consistency, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from outhaul.errors import Malformed, UnknownSibling, WrongValue
from outhaul.export import Draft, Member, Selection
from outhaul.predicates import hint
from outhaul.values import Where

PACKED = ("gzip",)  # compressions of files that are members of a ZIP


def consistency_of(draft: Draft) -> str:
    """Parts of several instants must have borders that no update can move a row across."""
    where, known = ("consistency",), ("snapshot", "part")
    if draft.consistency not in known:
        message = f"There is no consistency {draft.consistency!r}."
        raise WrongValue(message, hint=hint(known), where=where, wrong=draft.consistency, choices=known)
    if draft.consistency == "part" and any(one.sort for one in draft.selections):
        message = "A sorted export is of one instant: an update between two parts could move a row past both."
        raise WrongValue(message, hint="Leave out the order, or the consistency.", where=where, wrong="part")
    if draft.consistency == "part" and len(draft.formats) > 1:
        message = "Parts of their own instants differ from format to format."
        raise WrongValue(message, hint="Ask for one format.", where=where, wrong="part")
    return draft.consistency


def one_of(kind: str, name: str, names: Sequence[str], where: Where) -> str:
    """The name, if it is one of the names; UnknownSibling."""
    if name in names:
        return name
    choices = tuple(names)
    message = f"There is no {kind} {name!r}."
    raise UnknownSibling(message, hint=hint(choices), where=where, wrong=name, choices=choices)


def formats_of(draft: Draft, names: Sequence[str]) -> tuple[str, ...]:
    """The formats that are asked for, each once; `names` are those that there are."""
    if not draft.formats:
        raise Malformed("An export needs a format.", hint=hint(tuple(names)), where=("formats",))
    asked = enumerate(draft.formats)
    return tuple(dict.fromkeys(one_of("format", one, names, ("formats", number)) for number, one in asked))


def size_of(draft: Draft, name: str) -> int | None:
    """A size that the draft may give, by the name of its member."""
    size: Any = getattr(draft, name)
    if size is not None and (not isinstance(size, int) or size is True or size < 1):
        message = f"{name} is {size!r}, which is no size."
        raise WrongValue(message, hint="Give a whole number above 0.", where=(name,), wrong=str(size))
    return None if size is None else int(size)


def from_data(data: Mapping[str, Any]) -> Draft:
    """The draft that `asdict` made data of, also after a way through JSON."""
    selections = tuple(_selection(one) for one in data["selections"])
    return Draft(**{**data, "selections": selections, "formats": tuple(data["formats"])})


def _selection(data: Mapping[str, Any]) -> Selection:
    listed = {name: tuple(data[name]) for name in ("fields", "includes", "segments", "sort")}
    return Selection(**{**data, **listed, "layout": _members(data.get("layout", ()))})


def _members(data: Sequence[Mapping[str, Any]]) -> tuple[Member, ...]:
    return tuple(Member(**{**one, "members": _members(one["members"])}) for one in data)


def archive_of(draft: Draft) -> str | None:
    """The name of the one archive that all files are to be in."""
    if draft.archive is not None and draft.compress not in {None, *PACKED}:
        message = (
            f"The files are to be in one ZIP, where they are deflated or plain, and not {draft.compress}."
        )
        raise WrongValue(
            message, hint=hint(PACKED), where=("compress",), wrong=str(draft.compress), choices=PACKED
        )
    return draft.archive
