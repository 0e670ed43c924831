"""The same request once more, to be typed: as curl, and as a line for the command line; pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from outhaul.export import Draft, Selection

GZIPPED = {"json", "csv", "ndjson"}  # unless asked otherwise
# What can be said in these ways, of a draft and of its selection; the rest must be as nobody has asked for it.
WORDS = (
    *("selections", "formats", "compress", "profile", "delimiter", "dry", "scoped"),
    *("reference", "reference_origin", "metadata", "dialect", "wire"),
)
SELECTED = ("resource", "fields", "includes", "filters", "nested")
SAID = ("profile", "delimiter")
USUAL = {"profile": {"machine"}, "delimiter": {",", "comma"}}


def curl(draft: Mapping[str, Any], base: str) -> str | None:
    """As a call of the API, which takes the token from the environment; None for what it has no words for."""
    if not _sayable(draft):
        return None
    body = json.dumps({"data": {"type": "exports", "attributes": _attributes(draft)}}, ensure_ascii=False)
    return (
        f'curl {shlex.quote(base + "/api/exports")} -H "Authorization: Bearer $TOKEN" '
        f"-H 'Content-Type: application/vnd.api+json' -d {shlex.quote(body)}"
    )


def line(draft: Mapping[str, Any], base: str) -> str | None:
    """As `outhaul exports create`; None as above."""
    if not _sayable(draft):
        return None
    words = ["outhaul", "exports", "create", draft["selections"][0]["resource"], *_options(draft)]
    return " ".join(map(shlex.quote, [*words, "--server", base]))


def _sayable(draft: Mapping[str, Any]) -> bool:
    """Whether all that it asks for is among what can be said here."""
    selections, formats = draft["selections"], draft["formats"]
    if len(selections) != 1 or len(formats) != 1:
        return False
    usual = _usual_draft()
    return all(
        given.get(name, value) == value
        for given, known in ((draft, WORDS), (selections[0], SELECTED))
        for name, value in usual[known].items()
    )


@cache
def _usual_draft() -> Mapping[tuple[str, ...], Mapping[str, Any]]:
    """Of a draft and of its selection, what nobody has asked for, but for what can be said: by the names of that."""
    usual = json.loads(json.dumps(asdict(Draft((Selection(""),)))))
    (selection,) = usual["selections"]
    return {
        WORDS: {name: value for name, value in usual.items() if name not in WORDS},
        SELECTED: {name: value for name, value in selection.items() if name not in SELECTED},
    }


def _attributes(draft: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not as they would be anyway."""
    selection, form = draft["selections"][0], draft["formats"][0]
    given: dict[str, Any] = {"resource_type": selection["resource"], "format": form}
    given |= {name: selection[name] for name in SELECTED[1:] if selection.get(name)}
    if draft.get("compress") != _usual(form):
        given["compress"] = draft.get("compress")
    given |= {name: draft[name] for name in SAID if name in draft and draft[name] not in USUAL[name]}
    given |= {
        said: True for said, name in {"dry_data": "dry", "jwt_filters": "scoped"}.items() if draft.get(name)
    }
    return given | ({"reference": draft["reference"]} if draft.get("reference") else {})


def _options(draft: Mapping[str, Any]) -> Iterator[str]:
    given = _attributes(draft)
    if fields := given.get("fields"):
        yield from ("--fields", ",".join(fields))
    for include in given.get("includes", ()):
        yield from ("--include", include)
    for name, value in given.get("filters", {}).items():
        yield from (
            "--filter",
            f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}",
        )
    for path, way in given.get("nested", {}).items():
        yield from ("--nested", f"{path}={way}")
    yield from ("--format", given["format"])
    if "compress" in given:
        yield from ("--compress", given["compress"] or "none")
    for name in (*SAID, "reference"):
        if name in given:
            yield from (f"--{name}", given[name])
    for name in ("dry_data", "jwt_filters"):
        if name in given:
            yield f"--{name.replace('_', '-')}"


def _usual(form: str) -> str | None:
    return "gzip" if form in GZIPPED else None
