"""Options that say what an export is to hold, here and on a service alike."""

from __future__ import annotations

from typing import Annotated

import typer

from outhaul.errors import Misconfigured

Resource = Annotated[str, typer.Argument(metavar="RESOURCE", help="What to export; see `outhaul catalog`.")]
Fields = Annotated[
    str,
    typer.Option("--fields", metavar="A,B,REL.*", help="Fields, also of related resources; default: all."),
]
Include = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="REL[.REL]", help="Related resources to nest; can be repeated."),
]
Filters = Annotated[
    list[str] | None,
    typer.Option("--filter", metavar="FIELD_PREDICATE=VALUE", help="Only rows that match; can be repeated."),
]
Nested = Annotated[
    list[str] | None,
    typer.Option(
        "--nested",
        metavar="REL=json|columns|rows|files",
        help="How a related resource stands in CSV: a cell, columns, a line for each row, a file; repeatable.",
    ),
]
Profile = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="machine|spreadsheet",
        help="Of CSV: exact, or to be opened by people; default: machine.",
        show_default=False,
    ),
]
Delimiter = Annotated[
    str,
    typer.Option(
        "--delimiter",
        metavar="CHARACTER",
        help="Of CSV: comma, semicolon, tab or pipe; default: comma.",
        show_default=False,
    ),
]
Format = Annotated[str, typer.Option("--format", metavar="FORMAT", help="csv, json, ndjson or parquet.")]


def names(text: str) -> tuple[str, ...]:
    """`A, B` as names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def conditions(given: list[str] | None) -> dict[str, str]:
    """What --filter says, by field and predicate."""
    return _pairs("filter", "FIELD_PREDICATE=VALUE", given or [], "Several values: field_in=a,b.")


def ways(given: list[str] | None) -> dict[str, str]:
    """What --nested says, by relationship."""
    return _pairs("nested", "REL=rows", given or [], "Choose one.")


def _pairs(option: str, form: str, given: list[str], twice: str) -> dict[str, str]:
    """What an option that can be repeated says, by name. `twice`: what to do about a name that comes again."""
    pairs: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise Misconfigured(f"The {option} {one!r} has no value.", hint=f"Write --{option} {form}.")
        if name in pairs:
            raise Misconfigured(f"The {option} {name!r} is given twice.", hint=twice)
        pairs[name] = value
    return pairs
