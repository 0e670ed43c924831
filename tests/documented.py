"""Answers held against the OpenAPI document: each must be one that it tells of, to the last member of its body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from outhaul import dialects

METHODS = ("get", "head", "post", "patch", "delete")
NOWHERE = {404, 405}  # what is answered where no call is


@cache
def document() -> dict[str, Any]:
    return dialects.document("commercelayer")


@cache
def operations() -> Mapping[tuple[str, str], dict[str, Any]]:
    """By method and path."""
    return {
        (method, path): item[method]
        for path, item in document()["paths"].items()
        for method in METHODS
        if method in item
    }


@cache
def places() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Each path of the document, and the addresses that it stands for, whatever is before them."""
    return tuple(
        (path, re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) + r"/*\Z"))
        for path in document()["paths"]
    )


def resolved(found: dict[str, Any]) -> dict[str, Any]:
    """What a reference leads to, or what is there itself."""
    steps = found.get("$ref", "").split("/")[1:]
    for depth, step in enumerate(steps):
        found = (found if depth else document())[step]
    return found


@cache
def validator(reference: str) -> Any:
    """Of the schema at a place of the document: `#/components/schemas/Export`."""
    return jsonschema_rs.Draft202012Validator(
        {"$ref": reference, **{name: document()[name] for name in ("components", "paths")}},
        validate_formats=True,
    )


def known(body: Any, name: str) -> Any:
    """The body, which is as the schema of this name says."""
    validator(f"#/components/schemas/{name}").validate(body)
    return body


def check(response: httpx.Response) -> None:
    """Fail for an answer that the document does not tell of."""
    method, url = response.request.method.lower(), response.request.url.path
    path = next((path for path, place in places() if place.search(url)), None)
    call = operations().get((method, path or ""))
    about = f"{method} {url} is answered {response.status_code}"
    if call is None:
        assert response.status_code in NOWHERE, f"{about}, and no such call is documented"
        return
    answers = call["responses"]
    assert str(response.status_code) in answers, f"{about}, where only {', '.join(answers)} are documented"
    said = resolved(answers[str(response.status_code)])
    for name, header in said.get("headers", {}).items():
        assert name in response.headers or not resolved(header).get("required"), f"{about} without {name}"
    content = said.get("content", {})
    media = response.headers.get("content-type", "").partition(";")[0]
    if method == "head" or response.status_code == 304:
        return
    assert media in content or "*/*" in content or not (content or media), f"{about} as {media or 'nothing'}"
    schema = content.get(media, {}).get("schema", {})
    if media.endswith("json") and "$ref" in schema:
        response.read()
        validator(schema["$ref"]).validate(response.json())
