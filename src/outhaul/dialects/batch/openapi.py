"""Batch's calls as OpenAPI 3.1 has them, after the fragment that Batch publishes of one of them."""

from __future__ import annotations

from typing import Any

from outhaul.dialects._described import JSON, Data, answer, ref, schema
from outhaul.dialects.batch import errors, ids, mapping, parse, render

TITLE = "Outhaul, in the words of Batch's project exports"
ABOUT = (
    "Every matching row, exactly once, as of one instant, with proof. A key reaches the projects that it was made for; "
    "`X-Batch-Project` says which. A method that a path does not have is answered 405, and `Allow` tells which it has."
)
BESIDE: tuple[str, ...] = ()
TEXT: Data = {"type": "string"}
TEXTS: Data = {"type": "array", "minItems": 1, "items": TEXT}
DATE: Data = TEXT | {
    "description": "UTC date in a RFC 3339 format.",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$",
}
CALLED = (400, 401, 429, 500, 503)
FOUND = (*CALLED, 404)
EXPORT_ID = "export_nvctr8tgdjf7bppacxxt2aeemnjehfmw"
FILE_ID = "file_etxhwckcfc05egew7y97bdjtc75p7g8b"
PROJECT = "project_0664hxvwffvbpn278gxdyhsadddqgna6"


def openapi_part() -> Data:
    """What is this dialect's own."""
    made = answer("It is made.", JSON, schema("Made"), example={"id": EXPORT_ID})
    viewed = answer("The export.", JSON, schema("ExportRequest"), example=_example())
    page = {"exports": [_example()], "count": 1, "has_more": False}
    listed = answer("A page, newest first.", JSON, schema("ExportPage"), example=page)
    link = {"description": "A link to the file, good for 20 minutes.", "required": True, "schema": TEXT}
    moved = answer("The file is there.", headers={"Location": link})
    sent = {
        "required": True,
        "content": {JSON: {"schema": schema("NewExport"), "example": _example()["request"]}},
    }
    create = {"summary": "Ask for profiles or events", "requestBody": sent}
    return {
        "paths": {
            "/{version}/profiles/export": {"post": create | _call("createExport", {"202": made}, CALLED)},
            "/{version}/exports/create": {"post": create | _call("createExportToo", {"202": made}, CALLED)},
            "/{version}/exports/view": _get("viewExport", "One export", {"200": viewed}, FOUND, "Id"),
            "/{version}/exports/list": _get(
                "listExports", "Exports, newest first", {"200": listed}, CALLED, "From", "Limit"
            ),
            "/{version}/exports/download": _get(
                "downloadFile", "A file, by a link to it", {"307": moved}, FOUND, "FileId"
            ),
        },
        "components": {
            "schemas": _schemas(),
            "parameters": _parameters(),
            "responses": {f"Refusal{status}": _refusal(status) for status in sorted(FOUND)},
            "headers": {
                "Retry-After": {
                    "description": "Seconds until one more is let in.",
                    "required": True,
                    "schema": TEXT | {"pattern": r"^\d+$"},
                }
            },
        },
    }


def _get(name: str, summary: str, said: Data, refused: tuple[int, ...], *parameters: str) -> Data:
    return {"get": {"summary": summary, **_call(name, said, refused, *parameters)}}


def _call(name: str, said: Data, refused: tuple[int, ...], *parameters: str) -> Data:
    return {
        "operationId": name,
        "tags": ["exports"],
        "parameters": [ref("parameters", one) for one in ("Version", "Project", *parameters)],
        "responses": said | {str(status): ref("responses", f"Refusal{status}") for status in refused},
    }


def _refusal(status: int) -> Data:
    headers = {"Retry-After": ref("headers", "Retry-After")} if status == 429 else {}
    return answer("What went wrong.", JSON, schema(f"Error{status}"), headers=headers)


def _parameters() -> Data:
    limit = {"type": "integer", "minimum": 1, "maximum": parse.LARGEST_PAGE, "default": parse.PAGE}
    version = {
        "name": "version",
        "in": "path",
        "required": True,
        "schema": TEXT | {"pattern": r"^2\.\d{1,9}$"},
        "example": "2.11",
    }
    project = {
        "name": "X-Batch-Project",
        "in": "header",
        "required": True,
        "description": "The key of a project.",
        "schema": TEXT | {"minLength": 1},
        "example": PROJECT,
    }
    return {
        "Version": version,
        "Project": project,
        "Id": _asked("id", _id(ids.EXPORT), EXPORT_ID) | {"required": True},
        "FileId": _asked("id", _id(ids.FILE), FILE_ID) | {"required": True},
        "Limit": _asked("limit", limit, parse.PAGE)
        | {"description": "Fewer come where their files are many."},
        "From": _asked("from", TEXT, None) | {"description": "As `next_from` of the page before."},
    }


def _asked(name: str, of: Data, example: Any) -> Data:
    return {"name": name, "in": "query", "schema": of} | ({"example": example} if example else {})


def _id(prefix: str) -> Data:
    return TEXT | {"pattern": f"^{prefix}[{ids.DIGITS}]{{{ids.LENGTH}}}$"}


def _object(properties: Data, *required: str) -> Data:
    """An object of these members, and any others, which nobody looks at."""
    return {"type": "object", "properties": properties} | ({"required": list(required)} if required else {})


def _schemas() -> Data:
    shown = {
        "id": _id(ids.EXPORT),
        "request_date": DATE,
        "requested_at": DATE | {"description": "The same as `request_date`."},
        "start_date": DATE,
        "completion_date": DATE,
        "scope": {"enum": list(render.SCOPES.values())},
        "status": {"enum": sorted(set(render.STATUSES.values()))},
        "files": {"type": "array", "items": schema("ExportFile")},
        "request": schema("NewExport"),
    }
    needed = ("id", "request_date", "requested_at", "scope", "status", "files", "request")
    file = {
        "id": _id(ids.FILE),
        "part": {"type": "integer", "minimum": 1},
        "size": {"type": "integer", "minimum": 1, "maximum": mapping.FILE_BYTES},
        "url": TEXT | {"format": "uri"},
    }
    page = {
        "exports": {"type": "array", "items": schema("ExportRequest")},
        "count": {"type": "integer", "minimum": 0, "description": "How many are on this page."},
        "has_more": {"type": "boolean"},
        "next_from": TEXT,
    }
    return {
        "Made": _object({"id": _id(ids.EXPORT)}, "id") | {"additionalProperties": False},
        "ExportRequest": _object(shown, *needed) | {"additionalProperties": False},
        "ExportFile": _object(file, *file) | {"additionalProperties": False},
        "ExportPage": _object(page, "exports", "count", "has_more") | {"additionalProperties": False},
        "NewExport": {"oneOf": [schema("NewAttributesExport"), schema("NewEventsExport")]},
        "NewAttributesExport": _attributes(),
        "NewEventsExport": _events(),
        **{f"Error{status}": _error(status) for status in FOUND},
    }


def _attributes() -> Data:
    choices = {"enum": ["custom_id", *sorted(set(parse.INSTALLATIONS.values()))]}
    asked = {
        "export_type": {"const": "ATTRIBUTES"},
        "attributes": TEXTS | {"description": "Those with a `$` are native, all others custom."},
        "identifiers": {"type": "array", "minItems": 1, "items": choices},
        "filter": _object({"segment": TEXT | {"description": "The code of a segment."}}),
    }
    either: list[Data] = [{"required": ["attributes"]}, {"required": ["identifiers"]}]
    return _object(asked, "export_type") | {"anyOf": either}


def _events() -> Data:
    choices = {"enum": ["custom_id", *sorted(set(parse.INSTALLATIONS.values()))]}
    date = TEXT | {"description": "UTC date in a RFC 3339 format."}
    back = parse.LOOKBACK.days
    asked = {
        "export_type": {"const": "EVENTS"},
        "from": date | {"description": f"Before `to`, and not older than {back} days."},
        "to": date | {"description": f"A date, or `{parse.NOW}`: the instant of the export."},
        "identifiers": {"type": "array", "items": choices},
        "events": {"type": "array", "minItems": 1, "items": {"enum": list(parse.EVENTS)}},
        "orchestration_ids": TEXTS,
    }
    return _object(asked, "export_type", "from", "to", "events")


def _error(status: int) -> Data:
    codes = sorted({one.code for one in errors.WORDS.values() if one.status == status})
    members = {"error_code": {"enum": codes}, "error_message": TEXT, "message": TEXT}
    return _object(members, *members) | {"additionalProperties": False}


def _example() -> Data:
    """The answer that Batch's own page shows."""
    url = f"https://api.batch.com/2.4/exports/download?id={FILE_ID}"
    return {
        "id": EXPORT_ID,
        "request_date": "2024-02-28T16:28:42Z",
        "requested_at": "2024-02-28T16:28:42Z",
        "scope": "PROFILE_ATTRIBUTES",
        "status": "SUCCESS",
        "request": {
            "export_type": "ATTRIBUTES",
            "attributes": ["$region", "$phone_number", "$language", "$email_address"],
            "identifiers": ["installation_ids", "custom_id"],
        },
        "completion_date": "2024-02-28T16:28:48Z",
        "start_date": "2024-02-28T16:28:48Z",
        "files": [{"id": FILE_ID, "part": 1, "size": 592752, "url": url}],
    }
