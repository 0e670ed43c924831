"""Values from an asker, checked against the field they are compared with and brought to one plain text."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

from outhaul.catalog import Field, Type
from outhaul.containment import Literal, depth, read
from outhaul.errors import TooMuch, WrongValue

Where = tuple[str | int, ...]

BITS = {"smallint": 15, "integer": 31, "bigint": 63}  # PostgreSQL's words; SQLite's INTEGER has 63
DIGITS = 1_000  # of a number, before or after the point; PostgreSQL itself ends at 131,072
INTEGER = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE]([+-]?[0-9]{1,4}))?")
UUID = re.compile(r"([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})")
ZONE = r"(?P<zone>Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
CLOCK = (
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<micro>[0-9]{1,6}))?)?" + ZONE
)
DAY = r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
MOMENT = re.compile(rf"{DAY}(?:[T ]{CLOCK})?", re.IGNORECASE)
DEEPEST = 30  # levels of a JSON document
NUMERIC = Field("", "", Type.DECIMAL, "numeric")
TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may ask for; above it is TooMuch, before any work."""

    fields: int = 1_000  # names in one selection
    columns: int = 1_650  # of one row with its key and to-one relations; PostgreSQL ends at 1,664
    includes: int = 100
    depth: int = 5  # relationships in a row, in includes and in filters
    filters: int = 100
    values: int = 10_000  # in one list
    several: int = 100  # in one list of which each is compared by itself: `_any` and `_all`
    nested: int = (
        1  # lists of objects in each other, in a JSON document; SQLite's parser ends at eight subqueries
    )
    text: int = 8_000  # characters of one value; SQLite's patterns end at 50,000 bytes


DEFAULT = Limits()


def checked(field: Field, value: Any, where: Where = (), limits: Limits = DEFAULT) -> str:
    """The value as plain text, in the one form that the sources compare with; WrongValue, TooMuch.

    Moments are in UTC with six decimals, of an instant with `+00:00`; a zone-less moment is taken as UTC.
    """
    text = plain(value, where, limits, field.type is Type.BOOLEAN)
    if field.choices and text not in field.choices:
        hint = f"One of: {', '.join(field.choices)}."
        raise WrongValue(
            f"{field.name} is never {_show(value)}.",
            hint=hint,
            where=where,
            wrong=text,
            choices=field.choices,
        )
    form, example = FORMS.get(field.type, (_text, ""))
    try:
        return form(text, field)
    except (ValueError, OverflowError) as error:
        reason = f" ({error})" if isinstance(error, _Because) else ""
        message = f"{field.name} holds {_kind(field)}: {_show(value)} is none{reason}."
        raise WrongValue(message, hint=f"For example: {example}.", where=where, wrong=text) from None


def many(value: Any, where: Where = (), limits: Limits = DEFAULT, most: int | None = None) -> list[Any]:
    """The elements of a list, of a JSON array as text, or of text with commas; at least one, and `most` of them."""
    listed = value
    if isinstance(value, str):
        listed = _parsed(value)
    if not isinstance(listed, list | tuple):
        listed = value.split(",") if isinstance(value, str) else [value]
    if not listed:
        raise WrongValue("The list is empty.", hint="Give at least one value.", where=where, wrong="[]")
    most = limits.values if most is None else most
    if len(listed) > most:
        message = f"{len(listed):,} values are more than the {most:,} that one filter may have."
        raise TooMuch(
            message, where=where, wrong=str(len(listed)), facts={"value": len(listed), "limit": most}
        )
    return list(listed)


def _parsed(text: str) -> Any:
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None


def truth(value: Any, where: Where = ()) -> bool:
    """The value of a predicate that takes true or false."""
    text = str(value).lower() if isinstance(value, bool | int | str) else ""
    if text not in TRUTH:
        raise WrongValue(
            f"{_show(value)} is neither true nor false.",
            hint="One of: true, false.",
            where=where,
            wrong=str(value)[:100],
            choices=("true", "false"),
        )
    return TRUTH[text]


def plain(value: Any, where: Where = (), limits: Limits = DEFAULT, truths: bool = False) -> str:
    """Text or a number as text that every database takes: no NUL, no half of a surrogate pair, not too long."""
    if value is None or isinstance(value, list | tuple | dict) or (isinstance(value, bool) and not truths):
        hint = "To ask for missing values use `null`." if value is None else "Give one text or number."
        raise WrongValue(f"{_show(value)} is no single value.", hint=hint, where=where, wrong=_show(value))
    if isinstance(value, int) and value.bit_length() > 4 * DIGITS:
        raise WrongValue("A number of that size fits nowhere.", where=where, wrong=hex(value)[:60])
    text = str(value).lower() if isinstance(value, bool) else str(value)
    most = limits.text
    if len(text) > most:
        message = f"A value of {len(text):,} characters is longer than the {most:,} that one may have."
        raise TooMuch(message, where=where, wrong=_show(text), facts={"value": len(text), "limit": most})
    if "\0" in text or re.search("[\ud800-\udfff]", text):
        hint = "NUL bytes and halves of surrogate pairs cannot stand in a text."
        raise WrongValue(f"{_show(text)} is no text.", hint=hint, where=where, wrong=_show(text))
    return text


def pattern(value: Any, where: Where = (), limits: Limits = DEFAULT) -> str:
    """A pattern of LIKE; a backslash at its end would escape nothing."""
    text = plain(value, where, limits)
    if (len(text) - len(text.rstrip("\\"))) % 2:
        hint = "A backslash takes the meaning from the character after it; write two for one."
        raise WrongValue(f"{_show(text)} ends in a lone backslash.", hint=hint, where=where, wrong=text)
    return text


def document(value: Any, where: Where = (), limits: Limits = DEFAULT) -> str:
    """A JSON object or array, as such or as text, brought to one text; numbers stay as they are written."""
    found = value
    if isinstance(value, str):
        try:
            found = read(value)
        except (ValueError, RecursionError):
            found = None
    if not isinstance(found, dict | list):
        message = f"{_show(value)} is no JSON object."
        raise WrongValue(message, hint='For example: {"foo": "bar"}.', where=where, wrong=_show(value))
    text = plain(_dumped(found, where, limits), where, limits)
    deep = depth(read(text))
    if deep > limits.nested + 1:
        facts = {"value": deep - 1, "limit": limits.nested}
        message = f"{deep - 1} lists of objects in each other are more than {limits.nested}."
        raise TooMuch(message, where=where, wrong=_show(value), facts=facts)
    return text


def _dumped(value: Any, where: Where, limits: Limits, level: int = 0) -> str:
    if level > DEEPEST:
        raise WrongValue(f"More than {DEEPEST} levels.", where=where, wrong=_show(value))
    if isinstance(value, dict):
        members = (
            f"{json.dumps(plain(key, where, limits), ensure_ascii=False)}: {_dumped(one, where, limits, level + 1)}"
            for key, one in value.items()
        )
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_dumped(one, where, limits, level + 1) for one in value) + "]"
    if isinstance(value, str) and not isinstance(value, Literal):
        return json.dumps(plain(value, where, limits), ensure_ascii=False)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return _in_document(value, where)


def _in_document(value: Any, where: Where) -> str:
    """A number that both databases take."""
    text = str(value)
    try:
        return _decimal(text, NUMERIC)
    except ValueError:
        raise WrongValue(f"{_show(text)} is no number of JSON.", where=where, wrong=_show(text)) from None


class _Because(ValueError):
    """A refusal that has a reason worth telling."""


def _show(value: Any) -> str:
    shown = repr(str(value) if isinstance(value, Decimal) else value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _kind(field: Field) -> str:
    return f"{field.native} ({field.type})" if field.type is Type.INTEGER else str(field.type)


def _text(text: str, _: Field) -> str:
    return text


def _integer(text: str, field: Field) -> str:
    if not INTEGER.fullmatch(text) or len(text) > DIGITS:
        raise ValueError
    bits = BITS.get(field.native, 63)
    if not -(1 << bits) <= int(text) < 1 << bits:
        raise _Because(f"it goes from {-(1 << bits)} to {(1 << bits) - 1}")
    return str(int(text))


def _decimal(text: str, _: Field) -> str:
    found = NUMBER.fullmatch(text)
    if not found:
        raise ValueError
    if len(text) > DIGITS or abs(int(found[4] or 0)) > DIGITS:
        raise _Because(f"more than {DIGITS:,} digits")
    return text


def _float(text: str, field: Field) -> str:
    number = float(_decimal(text, field))
    if field.native == "real":
        (number,) = struct.unpack("f", struct.pack("f", number))
    if abs(number) == float("inf") or (number == 0 and Decimal(text) != 0):
        raise _Because("out of its range")
    return text


def _boolean(text: str, _: Field) -> str:
    if text.lower() not in TRUTH:
        raise ValueError
    return "true" if TRUTH[text.lower()] else "false"


def _uuid(text: str, _: Field) -> str:
    found = UUID.fullmatch(text.lower())
    if not found:
        raise ValueError
    return "-".join(found.groups())


def _date(text: str, _: Field) -> str:
    found = re.fullmatch(DAY, text)
    if not found:
        raise ValueError
    return date(*map(int, found.groups())).isoformat()


def _time(text: str, field: Field) -> str:
    found = re.fullmatch(CLOCK, text, re.IGNORECASE)
    if not found or (found["zone"] and "with time zone" not in field.native):
        raise ValueError
    clock = _clock(found)
    return clock.isoformat("microseconds") + (found["zone"] or "").replace("Z", "+00:00").replace(
        "z", "+00:00"
    )


def _clock(found: re.Match[str]) -> time:
    micro = (found["micro"] or "0").ljust(6, "0")
    return time(int(found["hour"] or 0), int(found["minute"] or 0), int(found["second"] or 0), int(micro))


def _moment(text: str, field: Field) -> str:
    found = MOMENT.fullmatch(text)
    if not found:
        raise ValueError
    day = date(int(found["year"]), int(found["month"]), int(found["day"]))
    moment = datetime.combine(day, _clock(found), _offset(found["zone"])).astimezone(UTC)
    suffix = "+00:00" if field.type is Type.INSTANT else ""
    return moment.replace(tzinfo=None).isoformat(" ", "microseconds") + suffix


def _offset(zone: str | None) -> timezone:
    if zone is None or zone in "Zz":
        return UTC
    digits = zone[1:].replace(":", "").ljust(4, "0")
    span = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-span if zone[0] == "-" else span)


FORMS: Mapping[Type, tuple[Callable[[str, Field], str], str]] = {
    Type.INTEGER: (_integer, "42"),
    Type.DECIMAL: (_decimal, "12.50"),
    Type.FLOAT: (_float, "1.5e3"),
    Type.BOOLEAN: (_boolean, "true"),
    Type.UUID: (_uuid, "123e4567-e89b-12d3-a456-426614174000"),
    Type.DATE: (_date, "2026-01-31"),
    Type.TIME: (_time, "13:45:00"),
    Type.TIMESTAMP: (_moment, "2026-01-31T13:45:00Z"),
    Type.INSTANT: (_moment, "2026-01-31T13:45:00Z"),
}
