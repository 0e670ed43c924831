"""The calls of each dialect as pages, out of its OpenAPI document: what each takes, and what it can answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from docs.facts import NAMES, table
from outhaul import dialects

Data = Mapping[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")  # HEAD is as GET, without a body


def main(folder: Path) -> None:
    """Write `NAME.md` and `NAME.json` for each dialect that has a document."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in dialects.described():
        document = dialects.document(name)
        (folder / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
        (folder / f"{name}.md").write_text("\n".join(page(name, document)) + "\n")


def page(name: str, document: Data) -> Iterator[str]:
    """The lines of one dialect's page."""
    resolved = Resolved(document)
    yield f"# {NAMES.get(name, name)}: the calls\n\n{document['info']['description']}\n"
    yield f"The same for programs: {{download}}`{name}.json`.\n"
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield from _call(f"{method.upper()} {path}", item[method], resolved)
    for topic, item in document.get("webhooks", {}).items():
        yield from _call(f"Webhook {topic}", item["post"], resolved)
    yield "## Schemas\n"
    for title, schema in document["components"].get("schemas", {}).items():
        yield from _schema(title, schema)


class Resolved:
    """What references of a document lead to."""

    def __init__(self, document: Data) -> None:
        self._document = document

    def __call__(self, found: Data) -> Data:
        reference = found.get("$ref")
        if reference is None:
            return found
        here: Any = self._document
        for step in reference.removeprefix("#/").split("/"):
            here = here[step]
        return self(here)


def _call(title: str, call: Data, resolved: Resolved) -> Iterator[str]:
    yield f"## {title}\n\n{_sentence(call.get('summary', ''))}\n"
    taken = [resolved(one) for one in call.get("parameters", ())]
    rows = [(f"`{one['name']}`", one["in"], _kind(one.get("schema", {})), _about(one)) for one in taken]
    yield from _table(("parameter", "in", "is", "what for"), rows)
    if body := resolved(call.get("requestBody", {})):
        kinds = ", ".join(
            f"`{media}`: {_kind(one.get('schema', {}))}" for media, one in body["content"].items()
        )
        yield f"Body, {kinds}\n"
    answers = [(status, resolved(one)) for status, one in sorted(call["responses"].items())]
    yield from _table(
        ("status", "answer", "is"),
        [(status, _about(one), ", ".join(_bodies(one))) for status, one in answers],
    )


def _bodies(answer: Data) -> Iterator[str]:
    for media, one in answer.get("content", {}).items():
        kind = _kind(one.get("schema", {}))
        yield f"`{media}`{': ' + kind if kind else ''}"


def _schema(title: str, schema: Data) -> Iterator[str]:
    yield f"### {title}\n"
    if about := _about(schema):
        yield f"{about}\n"
    needed = set(schema.get("required", ()))
    rows = [
        (f"`{name}`", _kind(one), f"{'required. ' if name in needed else ''}{_about(one)}".strip())
        for name, one in schema.get("properties", {}).items()
    ]
    yield from _table(("member", "is", "what for"), rows)
    if not rows:
        yield f"{_kind(schema)}\n"


def _kind(schema: Data) -> str:
    """What a value is, in a few words; a schema with a name by that name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{_anchor(name)})" if "/schemas/" in schema["$ref"] else name
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(one)}`" for one in schema["enum"])
    for word, joint in (("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")):
        if word in schema:
            return joint.join(dict.fromkeys(_kind(one) for one in schema[word]))
    kinds = schema.get("type", "")
    said = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if said == "array" and schema.get("items"):
        return f"array of {_kind(schema['items'])}"
    return said


def _anchor(name: str) -> str:
    """As headings are linked to."""
    return name.lower().replace(" ", "-")


def _about(one: Data) -> str:
    return _sentence(one.get("description", ""))


def _sentence(text: str) -> str:
    return " ".join(str(text).split())


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A table, without the columns in which nothing stands; nothing without rows."""
    columns = [column for column in zip(head, *rows, strict=True) if any(column[1:])]
    if columns:
        first, *lines = zip(*columns, strict=True)
        yield table(first, lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
