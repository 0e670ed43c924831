"""Answers held against the OpenAPI documents: each must be one that they tell of, to the last member of its body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from outhaul import dialects, siblings

METHODS = ("get", "head", "post", "patch", "delete")
NOWHERE = {404, 405}  # what is answered where no call is
VERSION = re.escape("{version}")  # of Batch: an address with another is no call
OURS = "commercelayer"  # whose document tells of signed links and tokens, too


@cache
def document(name: str = OURS) -> dict[str, Any]:
    return dialects.document(name)


@cache
def operations(name: str = OURS) -> Mapping[tuple[str, str], dict[str, Any]]:
    """By method and path."""
    return {
        (method, path): item[method]
        for path, item in document(name)["paths"].items()
        for method in METHODS
        if method in item
    }


@cache
def places(name: str = OURS) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Each path of the document, and the addresses that it stands for, whatever is before them."""
    return tuple(
        (
            path,
            re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path).replace(VERSION, r"2\.\d+")) + r"/*\Z"),
        )
        for path in document(name)["paths"]
    )


def dialect(url: str) -> str:
    """Whose document an address stands in."""
    for name in dialects.described():
        own = getattr(siblings.load(dialects, name), "PLACES", None)
        if own and own.fullmatch(url):
            return name
    return OURS


def resolved(found: dict[str, Any], name: str = OURS) -> dict[str, Any]:
    """What a reference leads to, or what is there itself."""
    steps = found.get("$ref", "").split("/")[1:]
    for depth, step in enumerate(steps):
        found = (found if depth else document(name))[step]
    return found


@cache
def validator(reference: str, name: str = OURS) -> Any:
    """Of the schema at a place of the document: `#/components/schemas/Export`."""
    return jsonschema_rs.Draft202012Validator(
        {"$ref": reference, **{one: document(name)[one] for one in ("components", "paths")}},
        validate_formats=True,
    )


def known(body: Any, name: str) -> Any:
    """The body, which is as the schema of this name says."""
    validator(f"#/components/schemas/{name}").validate(body)
    return body


def check(response: httpx.Response) -> None:
    """Fail for an answer that the document does not tell of."""
    method, url = response.request.method.lower(), response.request.url.path
    own = dialect(url)
    path = next((path for path, place in places(own) if place.search(url)), None)
    call = operations(own).get((method, path or ""))
    about = f"{method} {url} is answered {response.status_code}"
    if call is None:
        assert response.status_code in NOWHERE, f"{about}, and no such call is documented"
        return
    answers = call["responses"]
    assert str(response.status_code) in answers, f"{about}, where only {', '.join(answers)} are documented"
    said = resolved(answers[str(response.status_code)], own)
    for name, header in said.get("headers", {}).items():
        assert name in response.headers or not resolved(header, own).get("required"), (
            f"{about} without {name}"
        )
    content = said.get("content", {})
    media = response.headers.get("content-type", "").partition(";")[0]
    if method == "head" or response.status_code == 304:
        return
    assert media in content or "*/*" in content or not (content or media), f"{about} as {media or 'nothing'}"
    schema = content.get(media, {}).get("schema", {})
    if media.endswith("json") and "$ref" in schema:
        response.read()
        validator(schema["$ref"], own).validate(response.json())
