"""Wire to core words: bodies of Commerce Layer's exports into Draft and Change; pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from outhaul.dialects import each_once
from outhaul.dialects.commercelayer import errors
from outhaul.dialects.commercelayer.query import RELATIONSHIPS
from outhaul.errors import Malformed, TooMuch, WrongValue
from outhaul.export import Draft, Selection

TYPE = "exports"
DEEPEST = 30  # levels of an attribute's value
LONGEST_REFERENCE = 1_000  # bytes, of names too: a row of PostgreSQL's indexes, where two stand, takes 2,704
LARGEST_METADATA = 64 << 10  # bytes as JSON: kept with the export, and shown wherever it is
GZIPPED = {"json", "csv", "ndjson"}  # Commerce Layer's files are; other formats are left to themselves


@dataclass(frozen=True, slots=True)
class Change:
    """A PATCH: at most one move, and the members to set."""

    move: str | None  # start | interrupt
    amend: Mapping[str, Any]


def body(raw: bytes) -> Any:
    """The JSON in a request's body; Malformed when it is none, or holds what no database can keep."""
    try:
        data = json.loads(raw, parse_float=_exact, parse_constant=_no_constant, object_pairs_hook=each_once)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Malformed(f"The body is not valid JSON: {reason}.") from None
    return data


def _exact(literal: str) -> float:
    """A number with a fraction, only if it survives as one: a filter must never compare with another number."""
    value = float(literal)
    if value in {float("inf"), float("-inf")} or Decimal(repr(value)) != Decimal(literal):
        raise ValueError(f"the number {literal[:60]} has more digits than are kept; write it as a string")
    return value


def _no_constant(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not JSON")


def creation(data: Any) -> Draft:
    """The body of a POST as a draft; the plan checks the names in it."""
    given = _attributes(data, CREATION)
    if "resource_type" not in given or given["resource_type"] in {None, ""}:
        raise WrongValue("can't be blank", where=("resource",), facts={"rule": "blank"})
    form = given.get("format") or "json"
    selection = Selection(
        resource=given["resource_type"],
        fields=tuple(given.get("fields") or ()),
        includes=tuple(given.get("includes") or ()),
        filters=given.get("filters") or {},
        nested=given.get("nested") or {},
    )
    table = {name: given[name] for name in ("profile", "delimiter") if given.get(name) is not None}
    return Draft(
        selections=(selection,),
        formats=(form,),
        compress=given.get("compress", "gzip" if form in GZIPPED else None),
        reference=given.get("reference"),
        reference_origin=given.get("reference_origin"),
        metadata=given.get("metadata") or {},
        dialect="commercelayer",
        scoped=bool(given.get("jwt_filters")),
        dry=bool(given.get("dry_data")),
        **table,
    )


def update(data: Any, export_id: str) -> Change:
    """The body of a PATCH to one export."""
    given = _attributes(data, UPDATE)
    _of(data, export_id)
    moves = [move for move in ("start", "interrupt") if given.pop(f"_{move}", None)]
    if len(moves) > 1:
        raise WrongValue("can't go together with _interrupt", hint="Send one of them.", where=("_start",))
    if given.get("metadata", {}) is None:
        given["metadata"] = {}
    return Change(moves[0] if moves else None, given)


def event_update(data: Any, event_id: str) -> tuple[bool, Mapping[str, Any]]:
    """The body of a PATCH to one event: whether it is to be told once more, and the members to set."""
    given = _attributes(data, EVENT, "events")
    _of(data, event_id)
    triggered = bool(given.pop("_trigger", None))
    if given.get("metadata", {}) is None:
        given["metadata"] = {}
    return triggered, given


def webhook_creation(data: Any, topics: Mapping[str, str]) -> tuple[dict[str, Any], bool]:
    """The body of a POST of a webhook, in the ledger's names, and whether it begins disabled."""
    given = _attributes(data, NEW_WEBHOOK, "webhooks")
    for name in ("topic", "callback_url"):
        if not given.get(name):
            raise WrongValue("can't be blank", where=(name,), facts={"rule": "blank"})
    moves = _moves(given)
    return _webhook(given, topics), "disable" in moves


def webhook_update(
    data: Any, webhook_id: str, topics: Mapping[str, str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body of a PATCH to one webhook: what to set, and the moves."""
    given = _attributes(data, {**WEBHOOK, **WEBHOOK_MOVES}, "webhooks")
    _of(data, webhook_id)
    moves = _moves(given)
    for name in ("topic", "callback_url"):
        if name in given and not given[name]:
            raise WrongValue("can't be blank", where=(name,), facts={"rule": "blank"})
    return _webhook(given, topics), moves


def _moves(given: dict[str, Any]) -> tuple[str, ...]:
    """Those of WEBHOOK_MOVES that are asked for, taken out of the attributes."""
    moves = tuple(name.removeprefix("_") for name in WEBHOOK_MOVES if given.pop(name, None))
    if {"enable", "disable"} <= set(moves):
        raise WrongValue("can't go together with _disable", hint="Send one of them.", where=("_enable",))
    return moves


def _webhook(given: dict[str, Any], topics: Mapping[str, str]) -> dict[str, Any]:
    row = {WEBHOOK_COLUMNS.get(name, name): value for name, value in given.items()}
    if "event" in row:
        names = {topic: name for name, topic in topics.items()}
        _included("topic", row["event"], tuple(names))
        row["event"] = names[row["event"]]
    for name in row.get("include") or ():
        _included("include_resources", name, RELATIONSHIPS)
    for name, kind in {"include": list, "metadata": dict}.items():
        if name in row and row[name] is None:
            row[name] = kind()
    return row


def _included(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise WrongValue(
            "is not included in the list",
            hint=f"One of: {', '.join(choices)}.",
            where=(name,),
            wrong=_shown(value),
            facts={"rule": "inclusion"},
        )


def _of(data: Any, resource_id: str) -> None:
    """KeyNotInUrl when the body is about another resource than the address."""
    if "id" in data["data"] and data["data"]["id"] != resource_id:
        raise errors.KeyNotInUrl(f"The URL does not support the key {data['data']['id']}", where=())


Check = Callable[[str, Any], None]


def _attributes(data: Any, allowed: Mapping[str, Check], kind: str = TYPE) -> dict[str, Any]:
    """The checked attributes of a document `{"data": {"type": kind, "attributes": {...}}}`."""
    if not isinstance(data, dict) or not isinstance(data.get("data"), dict):
        raise errors.ParamMissing("The required parameter, data, is missing.")
    _only(data, {"data"})
    resource = data["data"]
    _only(resource, {"id", "type", "attributes", "relationships", "meta"})
    if "type" not in resource:
        raise errors.ParamMissing("The required parameter, type, is missing.")
    if resource["type"] != kind:
        raise errors.InvalidResource(f"{_shown(resource['type'])} is not a valid resource.")
    if not isinstance(resource.get("relationships", {}), dict):
        raise Malformed("relationships must be an object.")
    if resource.get("relationships"):
        raise errors.ParamNotAllowed("relationships is not allowed.", hint="Leave it empty.")
    attributes = resource.get("attributes", {})
    if not isinstance(attributes, dict):
        raise Malformed("attributes must be an object.")
    _only(attributes, allowed)
    for name, value in attributes.items():
        allowed[name](name, value)
        _clean(value, (name,))
    return dict(attributes)


def _only(given: Mapping[str, Any], allowed: Iterable[str]) -> None:
    for name in given:
        if name not in allowed:
            choices = tuple(sorted(allowed))
            raise errors.ParamNotAllowed(
                f"{_shown(name)} is not allowed.",
                hint=f"One of: {', '.join(choices)}.",
                wrong=name,
                choices=choices,
            )


def _shown(value: Any) -> str:
    """An asker's value as it may stand in a sentence: short, and on one line."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("unicode_escape", "replace").decode()[:100]


def _clean(value: Any, where: tuple[str, ...]) -> None:
    """Refuse text that no database can keep, and nesting that nobody can read, at any depth."""
    if len(where) > DEEPEST:
        raise WrongValue("is nested too deeply", hint=f"At most {DEEPEST} levels.", where=where[:1])
    if isinstance(value, str):
        if "\0" in value:
            raise WrongValue(f"{_shown(value)} holds a NUL character", where=where, wrong=_shown(value))
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise WrongValue(f"{_shown(value)} holds half a character", where=where, wrong=_shown(value))
    elif isinstance(value, dict):
        for key, inner in value.items():
            _clean(key, where)
            _clean(inner, (*where, _shown(key)))
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            _clean(inner, (*where, str(n)))


def _expect(kinds: type | tuple[type, ...], said: str) -> Check:
    def check(name: str, value: Any) -> None:
        if value is not None and not isinstance(value, kinds):
            raise WrongValue(f"must be {said}", where=(name,), wrong=_shown(value))

    return check


def _texts(name: str, value: Any) -> None:
    if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        raise WrongValue("must be an array of strings", where=(name,), wrong=_shown(value))


def _ways(name: str, value: Any) -> None:
    mapping(name, value)
    for path, way in (value or {}).items():
        if not isinstance(way, str):
            raise WrongValue("must be a string", where=(name, path), wrong=_shown(way))


def _reference(name: str, value: Any) -> None:
    text(name, value)
    size = len((value or "").encode(errors="surrogatepass"))
    if size > LONGEST_REFERENCE:
        raise WrongValue(
            f"is too long (maximum is {LONGEST_REFERENCE:,} bytes)",
            where=(name,),
            facts={"rule": "too_long", "value": size, "limit": LONGEST_REFERENCE},
        )


def _metadata(name: str, value: Any) -> None:
    mapping(name, value)
    size = len(json.dumps(value))
    if size > LARGEST_METADATA:
        raise TooMuch(
            f"takes {size:,} bytes as JSON, and at most {LARGEST_METADATA:,} are kept",
            where=(name,),
            facts={"value": size, "limit": LARGEST_METADATA},
        )


text = _expect(str, "a string")
flag = _expect(bool, "true or false")
mapping = _expect(dict, "an object")

REFERENCES: Mapping[str, Check] = {
    "reference": _reference,
    "reference_origin": _reference,
    "metadata": _metadata,
}
CREATION: Mapping[str, Check] = {
    "resource_type": text,
    "format": text,
    "includes": _texts,
    "fields": _texts,
    "filters": mapping,
    "dry_data": flag,
    "jwt_filters": flag,
    **REFERENCES,
    # Ours, not Commerce Layer's: null for a plain file, and what a CSV is to be like.
    "compress": text,
    "nested": _ways,
    "profile": text,
    "delimiter": text,
}
UPDATE: Mapping[str, Check] = {"_start": flag, "_interrupt": flag, **REFERENCES}
EVENT: Mapping[str, Check] = {"_trigger": flag, **REFERENCES}
WEBHOOK: Mapping[str, Check] = {
    "name": _reference,
    "topic": text,
    "callback_url": text,
    "include_resources": _texts,
    **REFERENCES,
}
WEBHOOK_MOVES: Mapping[str, Check] = {"_disable": flag, "_enable": flag, "_reset_circuit": flag}
NEW_WEBHOOK: Mapping[str, Check] = {**WEBHOOK, "_disable": flag, "_enable": flag}
WEBHOOK_COLUMNS = {"topic": "event", "callback_url": "url", "include_resources": "include"}
