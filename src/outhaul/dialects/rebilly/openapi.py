"""Rebilly's calls as OpenAPI 3.1 has them, and what stands in their bodies."""

from __future__ import annotations

from outhaul.dialects._described import FILE_HEADERS, JSON, Data, answer, ref, schema, structure
from outhaul.dialects.rebilly import errors, ids, parse, render
from outhaul.dialects.rebilly.mapping import TYPES

TITLE = "Outhaul, in the words of Rebilly's organization exports"
ABOUT = (
    "Everything that an organization has, as of one instant, in one ZIP, with proof. A slash at the end of a path "
    "changes nothing. A method that a path does not have is answered 405, and `Allow` tells which it has."
)
BESIDE = ()
TAG, FILES = "Organization exports", "Files"
SIGNED_IN: list[Data] = [{"SecretApiKey": []}, {"JWT": []}]
SCHEMES: Data = {
    "SecretApiKey": {"type": "apiKey", "in": "header", "name": "REB-APIKEY"},
    "JWT": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
}
TEXT: Data = {"type": "string"}
COUNT: Data = {"type": "integer", "minimum": 0}
URL: Data = {"type": "string", "format": "uri"}
MOMENT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"
TIME: Data = {"type": "string", "format": "date-time", "pattern": MOMENT}
MAYBE_TIME: Data = TIME | {"type": ["string", "null"]}
ALWAYS = (401, 403, 500, 503)


def openapi_part() -> Data:
    """The part of a document that is this dialect's."""
    paths: dict[str, Data] = {}
    for before, name in (("", ""), ("/organizations/{organization}", "OfOrganization")):
        for path, calls in _calls().items():
            paths[before + path] = {
                method: call
                | {
                    "operationId": call["operationId"] + name,
                    "parameters": [
                        *call["parameters"],
                        *([ref("parameters", "Organization")] if name else []),
                    ],
                }
                for method, call in calls.items()
            }
    return {
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "parameters": _parameters(),
            "responses": {f"Problem{status}": _refusal(status) for status in _statuses()},
            "headers": {name: _number(about) for name, about in (PAGED | RATED | WAIT).items()},
            "securitySchemes": SCHEMES,
        },
    }


PAGED = {
    "Pagination-Limit": "As asked for.",
    "Pagination-Offset": "As asked for.",
    "Pagination-Total": "How many there are in all that match.",
}
RATED = {
    "X-RateLimit-Limit": "Calls that change something, of one organization.",
    "X-RateLimit-Remaining": "Those that are left.",
}
WAIT = {
    "X-RateLimit-Retry-After": "When one more is let in, in seconds since 1970.",
    "Retry-After": "Seconds until then.",
}


def _calls() -> dict[str, dict[str, Data]]:
    one = {"200": answer("It.", JSON, schema("OrganizationExport"))}
    many = {
        "200": answer(
            "A page, the newest first.", JSON, schema("OrganizationExports"), headers=_headers(PAGED)
        )
    }
    fact = {"200": answer("All that is known of it.", JSON, schema("File"))}
    asked = [ref("parameters", name) for name in ("Limit", "Offset", "Filter", "Search", "Sort")]
    return {
        "/organization-exports": {
            "get": _call("getOrganizationExports", "List organization exports", TAG, many, 422, ask=asked),
            "post": _creation(),
        },
        "/organization-exports/{id}": {
            "get": _call(
                "getOrganizationExport", "Look at one", TAG, one, 404, ask=[ref("parameters", "ExportId")]
            )
        },
        "/files/{id}": {
            "get": _call("getExportFile", "Its file", FILES, fact, 404, ask=[ref("parameters", "FileId")])
        },
        "/files/{id}/download": {"get": _download()},
    }


def _creation() -> Data:
    location = {"Location": {"required": True, "schema": URL}}
    made = answer("It is pending.", JSON, schema("OrganizationExport"), headers=location | _headers(RATED))
    refusals = (400, 413, 422, 429)
    call = _call("createOrganizationExport", "Export all that there is", TAG, {"201": made}, *refusals)
    body = {JSON: {"schema": schema("NewOrganizationExport")}}
    return call | {"requestBody": {"required": False, "content": body}}


def _download() -> Data:
    told = {name: {"description": about, "schema": TEXT} for name, about in FILE_HEADERS.items()}
    answers = {
        "200": answer("The whole file.", "application/zip", {}, headers=told),
        "206": answer("The range that was asked for.", "application/zip", {}, headers=told),
        "304": answer("It is as the asker has it.", headers=told),
    }
    asked = [ref("parameters", name) for name in ("FileId", "Range", "IfRange", "IfNoneMatch")]
    return _call("downloadExportFile", "The bytes of its file", FILES, answers, 404, 416, ask=asked)


def _call(
    name: str, summary: str, tag: str, answers: Data, *refusals: int, ask: list[Data] | None = None
) -> Data:
    refused = {str(one): ref("responses", f"Problem{one}") for one in sorted((*ALWAYS, *refusals))}
    return {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "security": SIGNED_IN,
        "parameters": ask or [],
        "responses": answers | refused,
    }


def _headers(named: dict[str, str]) -> Data:
    return {name: ref("headers", name) for name in named}


def _number(about: str) -> Data:
    return {"description": about, "schema": {"type": "string", "pattern": r"^\d+$"}}


def _statuses() -> list[int]:
    return sorted({status for status, _ in errors.WORDS.values()})


def _refusal(status: int) -> Data:
    headers = _headers(WAIT | RATED) if status == 429 else {}
    return answer("A problem (RFC 7807).", JSON, schema(f"Problem{status}"), headers=headers)


def _schemas() -> Data:
    made: Data = {
        "OrganizationExport": _all(_organization_export()),
        "OrganizationExports": {"type": "array", "items": schema("OrganizationExport")},
        "NewOrganizationExport": {
            "oneOf": [structure({"includeFiles": {"type": "boolean"}}), {"type": "array", "maxItems": 0}],
            "description": "An empty list is no options, as no body is.",
        },
        "File": _all(_file()),
    }
    return made | {f"Problem{status}": problem(status) for status in _statuses()}


def _all(members: Data) -> Data:
    """An object that always has all of them."""
    return structure(members, *members)


def _organization_export() -> Data:
    resource = _all({"type": {"enum": list(TYPES)}, "recordCount": COUNT})
    return {
        "id": _id(ids.EXPORT),
        "userId": _id(ids.USER),
        "fileId": _id(ids.FILE) | {"type": ["string", "null"]},
        "status": {"enum": sorted(set(render.STATUSES.values()))},
        "resources": {"type": "array", "items": resource},
        "createdTime": TIME,
        "updatedTime": TIME,
        "retentionTime": MAYBE_TIME | {"description": "When the file is removed; null until there is one."},
        "_links": _links("self", "user", "signedLink"),
    }


def _file() -> Data:
    return {
        "id": _id(ids.FILE),
        "name": TEXT,
        "extension": {"const": "zip"},
        "description": TEXT,
        "tags": {"type": "array", "items": TEXT},
        "mime": {"const": "application/zip"},
        "size": COUNT,
        "sha1": {"type": "string", "pattern": "^[0-9a-f]{40}$"},
        "sourceType": {"const": render.SOURCE},
        "isPublic": {"const": False},
        "createdTime": TIME,
        "updatedTime": TIME,
        "_links": _links("self", "download", "signedLink"),
    }


def _links(*rels: str) -> Data:
    return {"type": "array", "items": _all({"rel": {"enum": list(rels)}, "href": URL})}


def _id(prefix: str) -> Data:
    return {"type": "string", "pattern": f"^{prefix}{ids.SHAPE}$"}


def problem(status: int) -> Data:
    """A problem of this status."""
    titles = sorted({title for one, title in errors.WORDS.values() if one == status})
    members: Data = {
        "type": {"const": errors.TYPE},
        "title": {"enum": titles},
        "status": {"const": status},
        "detail": TEXT,
        "instance": URL,
    }
    if status == errors.INVALID[0]:
        members["invalidFields"] = {"type": "array", "items": _all({"field": TEXT, "message": TEXT})}
    return _all(members)


def _parameters() -> Data:
    number = {"type": "integer", "minimum": 0, "maximum": parse.LARGEST}
    orders = [sign + name for name in parse.SORTABLE for sign in ("", "-")]
    text = {"type": "string"}
    return {
        "Organization": _placed("organization", {"type": "string", "minLength": 1}),
        "ExportId": _placed("id", _id(ids.EXPORT)),
        "FileId": _placed("id", _id(ids.FILE)),
        "Limit": _asked("limit", number | {"default": parse.LIMIT}),
        "Offset": _asked("offset", number | {"default": 0}),
        "Filter": _asked(
            "filter",
            text,
            f"`FIELD:VALUE;FIELD:VALUE`, of {', '.join(parse.FILTERABLE)}.",
            "status:completed",
        ),
        "Search": _asked("q", text, "A part of a status, or a whole id."),
        "Sort": _asked("sort", {"type": "array", "items": {"enum": orders}, "uniqueItems": True})
        | {"style": "form", "explode": False},
    }


def _asked(name: str, of: Data, about: str = "", example: str = "") -> Data:
    made: Data = {"name": name, "in": "query", "schema": of}
    return made | ({"description": about} if about else {}) | ({"example": example} if example else {})


def _placed(name: str, of: Data) -> Data:
    return {"name": name, "in": "path", "required": True, "schema": of}
