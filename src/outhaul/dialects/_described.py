"""OpenAPI documents: the calls of one dialect and of those beside it, of signed links and published keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import metadata
from typing import Any

from outhaul import siblings
from outhaul.dialects._keys import WELL_KNOWN
from outhaul.dialects._limited import HEADERS
from outhaul.dialects._links import STATUSES
from outhaul.errors import UnknownSibling
from outhaul.service import LINKS

Data = dict[str, Any]

VERSION = "3.1.0"
JSON = "application/json"
SECTIONS = ("paths", "webhooks")
COMPONENTS = ("schemas", "parameters", "responses", "headers")
SIGNED_IN: list[Data] = [{"token": []}]
NOBODY: list[Data] = []  # no token is asked for
TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "Made by `outhaul token create`, or given to an API client by `POST /oauth/token`.",
}


def described() -> tuple[str, ...]:
    """The dialects that have a document."""
    from outhaul import dialects

    names = siblings.names(dialects)
    return tuple(name for name in names if hasattr(siblings.load(dialects, name), "TITLE"))


def document(name: str, base: str = "") -> Data:
    """The OpenAPI 3.1 document of a dialect; UnknownSibling for one that has none. `base`: the address it is served
    under, without a slash at its end; without one, paths are of whatever host the document came from."""
    from outhaul import dialects

    if name not in (choices := described()):
        raise UnknownSibling(
            f"No dialect {name!r} has a document.",
            hint=f"One of: {', '.join(choices)}.",
            wrong=name,
            choices=choices,
        )
    own = siblings.load(dialects, name)
    package = metadata("outhaul")
    parts: list[Data] = [own.openapi_part()]
    parts += [siblings.load(dialects, other).openapi_part() for other in own.BESIDE]
    parts += [_links(), _keys()]
    made: Data = {
        "openapi": VERSION,
        "info": {
            "title": own.TITLE,
            "version": package["Version"],
            "description": own.ABOUT,
            "license": {"name": package["License-Expression"], "identifier": package["License-Expression"]},
        },
        "servers": [{"url": base or "/"}],
        "security": SIGNED_IN,
    }
    made |= {section: _joined(parts, section) for section in SECTIONS}
    components = [part.get("components", {}) for part in parts]
    made["components"] = {section: _joined(components, section) for section in COMPONENTS}
    made["components"]["securitySchemes"] = {"token": TOKEN} | _joined(components, "securitySchemes")
    return made


def ref(section: str, name: str) -> Data:
    return {"$ref": f"#/components/{section}/{name}"}


def schema(name: str) -> Data:
    return ref("schemas", name)


def structure(properties: Mapping[str, Data], *required: str, **more: Any) -> Data:
    """An object of these members and no others."""
    made: Data = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return made | ({"required": list(required)} if required else {}) | more


def answer(description: str, media: str = "", of: Data | None = None, **more: Any) -> Data:
    """A response; `of` is the schema of its body, `example` one body; `headers` and `links` are as they are."""
    example = more.pop("example", None)
    body = {"schema": of} | ({"example": example} if example is not None else {})
    made: Data = {"description": description, **{name: value for name, value in more.items() if value}}
    return made | ({"content": {media: body}} if media else {})


def rate_headers() -> Data:
    """References to what every answer has where rates are set."""
    return {name: ref("headers", name) for name in HEADERS}


def rates() -> Data:
    """The headers behind `rate_headers`, for the components."""
    return {
        name: {"description": about, "schema": {"type": "string", "pattern": r"^\d+(\.\d+)?$"}}
        for name, about in HEADERS.items()
    }


def _joined(parts: Iterable[Mapping[str, Any]], section: str) -> Data:
    joined: Data = {}
    for part in parts:
        joined |= part.get(section, {})
    return joined


BYTES: Data = {}  # of any media type: OpenAPI 3.1 knows no schema for them
FILE_HEADERS: Mapping[str, str] = {
    "ETag": "The file's own, the same at each request.",
    "Accept-Ranges": "`bytes`.",
    "Content-Disposition": "The name to save it under.",
    "Cache-Control": "A link is its asker's own.",
}


def _links() -> Data:
    """Signed links, as addresses in other answers lead to them."""
    headers = {
        name: {"description": about, "schema": {"type": "string"}} for name, about in FILE_HEADERS.items()
    }
    ranged = headers | {
        "Content-Range": {"description": "Of what it is a part.", "schema": {"type": "string"}}
    }
    plain = "text/plain"
    refused = {
        str(status): answer("One sentence that says what to do.", plain, {"type": "string"})
        for status in sorted(set(STATUSES.values()))
    }
    answers = {
        "200": answer("The whole file.", "*/*", BYTES, headers=headers),
        "206": answer("The range that was asked for.", "*/*", BYTES, headers=ranged),
        "304": answer("It is as the asker has it.", headers=headers),
    }
    call = {
        "summary": "A file, by a link that was signed for a few minutes",
        "tags": ["files"],
        "security": NOBODY,
        "parameters": [
            ref("parameters", name) for name in ("Link", "FileName", "Range", "IfRange", "IfNoneMatch")
        ],
        "responses": answers | refused,
    }
    path = {"get": {"operationId": "getFile", **call}, "head": {"operationId": "headFile", **call}}
    return {
        "paths": {f"{LINKS}/{{link}}/{{name}}": path},
        "components": {"parameters": _link_parameters()},
    }


def _link_parameters() -> Data:
    text = {"type": "string", "minLength": 1}
    return {
        "Link": {"name": "link", "in": "path", "required": True, "schema": text},
        "FileName": {"name": "name", "in": "path", "required": True, "schema": text},
        **{
            name.replace("-", ""): {"name": name, "in": "header", "schema": {"type": "string"}}
            for name in ("Range", "If-Range", "If-None-Match")
        },
    }


def _keys() -> Data:
    text = {"type": "string", "minLength": 1}
    key = structure(dict.fromkeys(("kid", "kty", "alg", "use", "n", "e"), text), "kid", "kty", "n", "e")
    keys = structure({"keys": {"type": "array", "items": schema("Key")}}, "keys")
    call = {
        "summary": "The keys that signed tokens can be checked with",
        "tags": ["oauth"],
        "security": NOBODY,
        "responses": {"200": answer("A JSON Web Key Set (RFC 7517).", JSON, schema("Keys"))},
    }
    path = {"get": {"operationId": "getKeys", **call}, "head": {"operationId": "headKeys", **call}}
    return {
        "paths": {f"{WELL_KNOWN}/jwks.json": path},
        "components": {"schemas": {"Key": key, "Keys": keys}},
    }
