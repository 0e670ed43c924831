"""Wire to core words: the body of a new organization export, and what a list of them is asked for; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from outhaul.dialects import each_once
from outhaul.dialects.rebilly.ids import EXPORT, FILE
from outhaul.dialects.rebilly.mapping import FORMATS, Mapped
from outhaul.dialects.rebilly.render import DIALECT, STATUSES
from outhaul.errors import Malformed, NotAllowed, WrongValue
from outhaul.export import Draft, Selection

LIMIT, LARGEST = 100, 1_000  # of `limit`; Rebilly: "limit 0 to 1000, offset 0 to 1000"
VALUES = 100  # of one filter, and ids of all filters together
TIMES: Mapping[str, str] = {
    "createdTime": "created_at",
    "updatedTime": "updated_at",
    "retentionTime": "expires_at",
}
SORTABLE = {name: TIMES[name] for name in ("createdTime", "updatedTime")}
PREFIXES = {"id": EXPORT, "fileId": FILE}
FILTERABLE = (*PREFIXES, "status", *TIMES)
KNOWN = ("limit", "offset", "filter", "q", "sort", "sort[]")
UNUSED = ("criteria", "expand")  # that clients may send, and that change nothing here
Order = tuple[tuple[str, bool], ...]
NEWEST: Order = (("created_at", True),)


def creation(raw: bytes, mapped: Mapped, organization: str, binaries: Sequence[Selection] = ()) -> Draft:
    """The body of a POST as a draft of everything that is mapped. No body and an empty list are no options. `binaries`:
    what files can be included by, if any are kept here."""
    given = _body(raw)
    for name in given:
        if name != "includeFiles":
            raise WrongValue(
                f"There is no option {name[:100]!a}.", hint="There is includeFiles.", where=(name,)
            )
    wanted = given.get("includeFiles", False)
    if not isinstance(wanted, bool):
        raise WrongValue("It must be true or false.", where=("includeFiles",))
    if wanted and not binaries:
        raise WrongValue(
            "No binary files are kept here that could be included.",
            hint="Leave it out, or send false.",
            where=("includeFiles",),
        )
    if not mapped.selections:
        raise NotAllowed(
            "Organization exports are not offered here.",
            hint="Whoever runs the service can map its resources in the section [rebilly] of the catalog file.",
        )
    return Draft(
        selections=(*mapped.selections, *(binaries if wanted else ())),
        formats=FORMATS,
        compress="gzip",
        archive=f"organization-export-{organization}",
        sha1=True,
        dialect=DIALECT,
        wire={"includeFiles": wanted, "absent": list(mapped.absent)},
    )


def _body(raw: bytes) -> dict[str, Any]:
    if not raw:
        return {}
    try:
        data = json.loads(raw, object_pairs_hook=each_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Malformed(f"The body is not valid JSON: {reason}.") from None
    if data == []:
        return {}
    if not isinstance(data, dict):
        raise Malformed("The body is no object.")
    return data


def _no_constant(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not JSON")


@dataclass(frozen=True, slots=True)
class Asked:
    """A list. `ids`: only those of one of these wire ids each; `others`: only those of none of these; `statuses`: only
    these words, or None for any; `times`: filters in the wire's names."""

    limit: int = LIMIT
    offset: int = 0
    order: Order = NEWEST
    ids: tuple[frozenset[str], ...] = ()
    others: frozenset[str] = frozenset()
    statuses: frozenset[str] | None = None
    times: Mapping[str, Any] = field(default_factory=dict)


def listing(query: Iterable[tuple[str, str]]) -> Asked:
    """The query of a list; WrongValue names the parameter."""
    given = list(query)
    for name, _ in given:
        if name not in (*KNOWN, *UNUSED):
            raise WrongValue(
                f"There is no parameter {name[:100]!a}.",
                hint="One of: limit, offset, filter, sort, q.",
                where=(name,),
            )
    last = dict(given)
    sorts = [value for name, value in given if name in {"sort", "sort[]"}]
    narrowed = _Narrowed()
    narrowed.read(last.get("filter", ""))
    if last.get("q"):
        narrowed.search(last["q"])
    return Asked(
        _number("limit", last.get("limit"), LIMIT),
        _number("offset", last.get("offset"), 0),
        _order(",".join(sorts)),
        tuple(narrowed.ids),
        frozenset(narrowed.others),
        narrowed.statuses,
        narrowed.times,
    )


def _number(name: str, text: str | None, default: int) -> int:
    if not text:
        return default
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= LARGEST:
        return int(text)
    raise WrongValue(f"It must be a whole number from 0 to {LARGEST}.", where=(name,), wrong=text[:100])


def _order(text: str) -> Order:
    order: dict[str, bool] = {}
    for name in filter(None, text.split(",")):
        bare = name.removeprefix("-")
        if bare not in SORTABLE or SORTABLE[bare] in order:
            raise WrongValue(
                f"A list cannot be sorted by {bare[:100]!a} here.",
                hint=f"One of: {', '.join(SORTABLE)}; a minus before it turns it round.",
                where=("sort",),
            )
        order[SORTABLE[bare]] = name != bare
    return tuple(order.items()) or NEWEST


class _Narrowed:
    """What is left of a list after each filter: all of them hold."""

    def __init__(self) -> None:
        self.ids: list[frozenset[str]] = []
        self.others: set[str] = set()
        self._count = 0  # of ids
        self.statuses: frozenset[str] | None = None
        self.times: dict[str, Any] = {}

    def read(self, text: str) -> None:
        """`status:completed,failed;createdTime:2026-01-01..`; a `!` before the first value is before all of them."""
        for one in filter(None, text.split(";")):
            name, colon, rest = one.partition(":")
            if not colon or name not in FILTERABLE:
                raise _refusal(
                    f"There is no filter {one[:100]!a}.", f"FIELD:VALUE, of {', '.join(FILTERABLE)}."
                )
            values, negated = rest.split(","), rest.startswith("!")
            if len(values) > VALUES:
                raise _refusal(f"{name} has {len(values)} values.", f"At most {VALUES}.")
            bare = [value.removeprefix("!") if negated else value for value in values]
            self._filter(name, bare, negated)

    def _filter(self, name: str, values: list[str], negated: bool) -> None:
        if name == "status":
            self._status({value.lower() for value in values}, negated)
        elif name in TIMES:
            self._time(name, values, negated)
        else:
            self._ids(frozenset(_whole(PREFIXES[name], value) for value in values), negated)

    def _ids(self, given: frozenset[str], negated: bool) -> None:
        self._count += len(given)
        if self._count > VALUES:
            raise _refusal(f"There are {self._count} ids.", f"At most {VALUES} in all filters.")
        if negated:
            self.others |= given
        else:
            self.ids.append(given)

    def search(self, text: str) -> None:
        """A part of the words that are shown: the status; an id must be whole."""
        prefix = next((one for one in (EXPORT, FILE) if text.lower().startswith(one)), None)
        if prefix:
            self._ids(frozenset({_whole(prefix, text)}), negated=False)
        else:
            self._status({word for word in STATUSES.values() if text.lower() in word}, negated=False)

    def _status(self, words: set[str], negated: bool) -> None:
        known = set(STATUSES.values())
        if not words <= known:
            wrong = min(words - known)
            raise _refusal(f"There is no status {wrong[:100]!a}.", f"One of: {', '.join(sorted(known))}.")
        found = known - words if negated else words
        self.statuses = frozenset(found) if self.statuses is None else self.statuses & found

    def _time(self, name: str, values: list[str], negated: bool) -> None:
        """A range with one open end or none, or moments."""
        ranged = [value for value in values if ".." in value]
        if not ranged:
            self._put(f"{name}_{'not_in' if negated else 'in'}", values)
            return
        low, _, high = ranged[0].partition("..")
        if negated or len(values) > 1 or not (low or high) or ".." in high:
            raise _refusal(
                f"{name} takes one range, or moments.", "2026-01-01T00:00:00Z..2026-02-01T00:00:00Z"
            )
        for predicate, value in (("gteq", low), ("lteq", high)):
            if value:
                self._put(f"{name}_{predicate}", value)

    def _put(self, name: str, value: Any) -> None:
        if name in self.times:
            raise _refusal(f"{name.partition('_')[0]} is filtered twice.", "Give it once.")
        self.times[name] = value


def _whole(prefix: str, given: str) -> str:
    """An id as we write it, for values are blind to case; "" for one that is none of this kind."""
    rest = given[len(prefix) :]
    return prefix + rest.upper() if given.lower().startswith(prefix) else ""


def _refusal(message: str, hint: str) -> WrongValue:
    return WrongValue(message, hint=hint, where=("filter",))
