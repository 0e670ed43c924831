"""Rows as a table of text: its profile, its delimiter, and how related rows stand in it; checked against a wish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from outhaul.draft import PACKED
from outhaul.errors import UnknownRelationship, WrongValue
from outhaul.export import Draft
from outhaul.predicates import hint, nearest
from outhaul.values import Where
from outhaul.wishes import Wish

FORMAT = "csv"  # the one format that is a table of text
LINES = "(csv)"  # among the counts of a selection: lines of its table, where they are not its rows
PROFILES = ("machine", "spreadsheet")
DELIMITERS: Mapping[str, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}

# How the rows of a relationship stand in the table, by whether it leads to many.
WAYS: Mapping[bool, tuple[str, ...]] = {False: ("json", "columns"), True: ("json", "rows", "files")}
LINED = {"rows", "files"}  # the ways that want a table


@dataclass(frozen=True, slots=True)
class Tabular:
    """How values are written: `machine` loses nothing, `spreadsheet` is for people who open the file in one."""

    profile: str = "machine"
    delimiter: str = ","

    @property
    def plain(self) -> bool:
        """As a database's own COPY writes it."""
        return self == PLAIN


PLAIN = Tabular()


def tabular(draft: Draft) -> Tabular:
    """Profile and delimiter of a draft; WrongValue."""
    made = Tabular(
        _one_of("profile", draft.profile, dict.fromkeys(PROFILES)),
        _one_of("delimiter", draft.delimiter, DELIMITERS),
    )
    told = {"profile": draft.profile != PLAIN.profile, "delimiter": made.delimiter != PLAIN.delimiter}
    for name in (name for name, given in told.items() if given):
        _needs_csv(draft, name, (name,))
    return made


def _one_of(name: str, given: Any, known: Mapping[str, str | None]) -> str:
    """The value that is meant, which may be given by its name."""
    if given in known:
        return known[given] or str(given)
    if given in known.values():
        return str(given)
    choices = tuple(known)
    raise WrongValue(
        f"{given!r} is no {name}.", hint=hint(choices), where=(name,), wrong=str(given), choices=choices
    )


def _needs_csv(draft: Draft, name: str, where: Where) -> None:
    if FORMAT not in draft.formats:
        formats = ", ".join(map(str, draft.formats))
        tip = f"Ask for {FORMAT}, or leave it out."
        message = f"{name} is about {FORMAT}, and the export is to be {formats}."
        raise WrongValue(message, hint=tip, where=where, wrong=name)


def due(counts: Mapping[str, int], form: str) -> dict[str, int]:
    """Of what was counted, all that a format must have written: lines only where it is a table."""
    return {path: number for path, number in counts.items() if path != LINES or form == FORMAT}


def lines(rows: int, related: Mapping[str, int]) -> int:
    """Of rows the lines that they are in their file."""
    return related.get(LINES, rows)


def lay(root: Wish, asked: Mapping[str, str], draft: Draft, where: Where) -> None:
    """Decide for each relationship below how it stands in a table; WrongValue, UnknownRelationship.

    What is not named is a cell of JSON; but once rows of one relationship are lines or a file of their own, so that
    tables are wanted, relationships to one stand in them as columns.
    """
    wishes = dict(_below(root, ""))
    for path, way in asked.items():
        _needs_csv(draft, f"nested {path}", (*where, path))
        _check(wishes, path, way, (*where, path))
    spreads = not LINED.isdisjoint(asked.values())
    for path, wish in wishes.items():
        above = wishes.get(wish.above)
        inside = above is not None and above.nested == "json"
        joined = spreads and not _many(wish) and not inside
        wish.nested = asked.get(path, "columns" if joined else "json")
        if inside and wish.nested != "json":
            raise _inside(path, wish, (*where, path))
    _no_siblings(wishes, where)
    _no_clash(root, where)
    _linked(root, wishes, draft, where)


def _below(wish: Wish, at: str) -> Iterator[tuple[str, Wish]]:
    """Every wish below by its dotted path, those above first."""
    for name, child in wish.below.items():
        path = f"{at}.{name}" if at else name
        child.above = at
        yield path, child
        yield from _below(child, path)


def _many(wish: Wish) -> bool:
    return wish.way is not None and wish.way.many


def _check(wishes: Mapping[str, Wish], path: str, way: str, where: Where) -> None:
    if path not in wishes:
        near = nearest(path, list(wishes))
        message = f"{path!r} is not among the related resources of this export."
        tip = hint(near) if near else "Include it too."
        raise UnknownRelationship(message, hint=tip, where=where, wrong=path, choices=near)
    many = _many(wishes[path])
    if way not in WAYS[many]:
        to = "many rows" if many else "one row"
        message = f"{path} leads to {to}, which cannot be nested as {way!r}."
        raise WrongValue(message, hint=hint(WAYS[many]), where=where, wrong=str(way), choices=WAYS[many])


def _inside(path: str, wish: Wish, where: Where) -> WrongValue:
    return WrongValue(
        f"{path} cannot be {wish.nested}: it stands inside of {wish.above}, which is a cell of JSON.",
        hint=f"Leave it json, or nest {wish.above} otherwise too.",
        where=where,
        wrong=wish.nested,
        choices=("json",),
    )


def _no_siblings(wishes: Mapping[str, Wish], where: Where) -> None:
    """Lines of two relationships to many of the same row would be every pair of theirs."""
    seen: dict[str, str] = {}
    for path, wish in wishes.items():
        if wish.nested != "rows":
            continue
        line = wish.above
        while line and wishes[line].nested == "columns":
            line = wishes[line].above
        if line in seen:
            raise WrongValue(
                f"{seen[line]} and {path} cannot both be rows: each row of one would stand beside each of the other.",
                hint="Choose json for one of them, or export them one by one.",
                where=(*where, path),
                wrong="rows",
                choices=("json",),
            )
        seen[line] = path


def _linked(root: Wish, wishes: Mapping[str, Wish], draft: Draft, where: Where) -> None:
    """Whatever files of their own are to be joined by, and packed in: a line of one is a row of its relationship."""
    apart = [path for path, wish in wishes.items() if wish.nested == "files"]
    if apart and draft.compress not in {None, *PACKED}:
        message = f"{apart[0]} is to be a file of its own, and several files are a ZIP, which is not {draft.compress}."
        compress = str(draft.compress)
        raise WrongValue(message, hint=hint(PACKED), where=("compress",), wrong=compress, choices=PACKED)
    for path, wish in wishes.items():
        over = [one for one in _over(wishes, path) if wishes[one].nested == "files"]
        if wish.nested == "rows" and over:
            raise WrongValue(
                f"{path} cannot be rows: a line of the file of {over[0]} is one row of {over[0]}.",
                hint=hint(("files", "json")),
                where=(*where, path),
                wrong="rows",
                choices=("files", "json"),
            )
    for path in apart:
        for at in ("", *_over(wishes, path)):
            above = wishes[at] if at else root
            if not at or _many(above):
                _keyed(above, at or root.resource.name, path, (*where, path))


def _over(wishes: Mapping[str, Wish], path: str) -> tuple[str, ...]:
    """The paths of everything between the root and this one, the nearest first."""
    above = wishes[path].above
    return (above, *_over(wishes, above)) if above else ()


def _keyed(above: Wish, name: str, path: str, where: Where) -> None:
    """The key is among the fields, or nobody could tell which row a line belongs to."""
    offered = {one.column: one.name for one in above.resource.fields}
    there = {one.column for one in above.fields.values()}
    for column in above.resource.key:
        if column not in there:
            key = repr(offered[column]) if column in offered else "a key that is not offered"
            message = (
                f"{path} cannot be files: its lines belong to rows of {name} by {key}, which is not exported."
            )
            tip = f"Add {key} to the fields of {name}, or choose one of: json, rows."
            choices = ("json", "rows")
            raise WrongValue(
                message,
                hint=tip if column in offered else hint(choices),
                where=where,
                wrong="files",
                choices=choices,
            )


def _no_clash(root: Wish, where: Where) -> None:
    seen: set[str] = set()
    for title in _titles(root, ""):
        if title in seen and any(wish.nested != "json" for _, wish in _below(root, "")):
            message = f"Two columns of the table would be called {title!r}."
            raise WrongValue(message, hint="Leave one of them out.", where=where, wrong=title)
        seen.add(title)


def _titles(wish: Wish, at: str) -> Iterator[str]:
    yield from (f"{at}{name}" for name in wish.fields)
    for name, child in wish.below.items():
        if child.nested == "json":
            yield f"{at}{name}"
        else:
            yield from _titles(child, f"{at}{name}.")
