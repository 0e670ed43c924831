"""The OpenAPI 3.1 document of Commerce Layer's calls: its own part of it, and the call that shows the whole."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from outhaul.dialects import document
from outhaul.dialects._described import Data, answer, rate_headers, rates, ref, schema
from outhaul.dialects.commercelayer import examples, history, included, query, schemas
from outhaul.dialects.commercelayer.calls import calls, message
from outhaul.dialects.commercelayer.documents import PREFIX
from outhaul.dialects.commercelayer.routes import KEY, MEDIA_TYPE, SignedIn, acceptable, asked
from outhaul.filters import OPS
from outhaul.service import ID

TITLE = "Outhaul, in the words of Commerce Layer's exports"
ABOUT = (
    "Every matching row, exactly once, as of one instant, with proof. A slash at the end of a path below "
    f"`{PREFIX}` changes nothing. A method that a path does not have is answered 405, and `Allow` tells which it has."
)
BESIDE = ("oauth",)
FILTERS = {
    "exports": {"status_in": "pending,in_progress"},
    "events": {"name_eq": "exports.complete"},
    "versions": {"event_eq": "create"},
    "webhooks": {"circuit_state_eq": "open"},
    "event_callbacks": {"response_code_not_eq": "200"},
}
IDS = dict.fromkeys(("events", "versions"), query.EVENT.pattern) | {"event_stores": query.CURSOR.pattern}
INCLUDED = f"The newest {included.MOST} for each resource; more than {included.LIMIT:,} in all are refused."
NEAR = f"The newest {included.MOST} of each; what lies further off is included by calls that read."
CHANGED = ("exports", "events", "webhooks")

OF_EVENTS = ("id", *query.EVENT_ATTRIBUTES)

router = APIRouter(dependencies=[Depends(acceptable)])


@router.get("/openapi.json")
def fetch(request: Request, _: SignedIn) -> JSONResponse:
    query.nothing_asked(asked(request))
    return JSONResponse(document("commercelayer", request.scope["outhaul.base"]))


def openapi_part() -> Data:
    """What is this dialect's own."""
    paths: dict[str, Data] = {}
    for (method, path), call in calls().items():
        tag = path.split("/")[1].partition(".")[0]
        paths.setdefault(PREFIX + path, {})[method] = {"tags": [tag], **call}
    return {
        "paths": paths,
        "webhooks": {"export": {"post": message()}},
        "components": {
            "schemas": schemas.schemas(),
            "parameters": _parameters(),
            "responses": {f"Refusal{status}": _refusal(status) for status in schemas.statuses()},
            "headers": rates() | {"Retry-After": _header("Seconds until one more is let in.", r"^\d+$")},
        },
    }


def _refusal(status: int) -> Data:
    headers = rate_headers()
    if status == 429:
        headers["Retry-After"] = ref("headers", "Retry-After")
    about = "Errors, each with what went wrong and what to do."
    of, example = schema(f"Refusal{status}"), examples.refusal(status)
    return answer(about, MEDIA_TYPE, of, example=example, headers=headers)


def _header(about: str, pattern: str) -> Data:
    return {"description": about, "required": True, "schema": {"type": "string", "pattern": pattern}}


def _parameters() -> Data:
    limit = {"type": "integer", "minimum": 1}
    return {
        "PageNumber": _asked("page[number]", limit | {"maximum": query.LAST_PAGE, "default": 1}),
        "PageSize": _asked("page[size]", limit | {"maximum": query.LARGEST_PAGE, "default": query.PAGE_SIZE}),
        "PageAfter": _asked("page[after]", _pattern(IDS["event_stores"]), "As in `links.next`."),
        **{f"Sort_{kind}": _sort(one.sorts) for kind, one in query.LISTS.items() if one.sorts},
        **{f"Filter_{kind}": _filter(kind) for kind, one in query.LISTS.items() if one.filters},
        **{
            f"Include_{kind}": _asked("include", _names(paths), INCLUDED)
            for kind, paths in query.INCLUDABLE.items()
        },
        **{f"Near_{kind}": _asked("include", _names(query.NEAR[kind]), NEAR) for kind in CHANGED},
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The same token, key and body give the same export.",
            "schema": _pattern(KEY.pattern),
        },
        **{
            f"Fields_{kind}": _asked(f"fields[{kind}]", _names(names)) for kind, names in query.FIELDS.items()
        },
        "ExportID": _placed("export_id", ID.pattern, examples.ID),
        "EventCallbackID": _placed("callback_id", IDS["events"], examples.shown("event_callbacks")["id"]),
        "WebhookID": _placed("webhook_id", ID.pattern, examples.ID),
        **{
            f"{schemas.NAMES[kind]}ID": _placed("event_id", IDS[kind], examples.shown(kind)["id"])
            for kind in history.NAMES
        },
    }


def _asked(name: str, of: Data, about: str = "") -> Data:
    """A parameter of the query; a list has commas."""
    made = {"name": name, "in": "query", "schema": of} | ({"description": about} if about else {})
    return made | ({"style": "form", "explode": False} if of.get("type") == "array" else {})


def _placed(name: str, pattern: str, example: str) -> Data:
    return {"name": name, "in": "path", "required": True, "schema": _pattern(pattern), "example": example}


def _pattern(pattern: str) -> Data:
    return {"type": "string", "pattern": f"^({pattern})$"}


def _names(names: Sequence[str]) -> Data:
    return {"type": "array", "items": {"enum": list(names)}}


def _sort(names: Sequence[str]) -> Data:
    orders = (*names, *(f"-{name}" for name in names))
    return _asked("sort", {**_names(orders), "minItems": 1, "uniqueItems": True})


def _filter(kind: str) -> Data:
    """`filter[q][ATTRIBUTE_PREDICATE]`, as deep objects are written."""
    more = [f"events_{name}" for name in OF_EVENTS] if kind == "exports" else []
    one = "|".join([*query.LISTS[kind].filters, *more])
    pattern = f"^({one})((_or_|_and_)({one}))*_({'|'.join(map(re.escape, sorted(OPS)))})$"
    return {
        "name": "filter[q]",
        "in": "query",
        "style": "deepObject",
        "explode": True,
        "description": "`filter[q][ATTRIBUTE_PREDICATE]=VALUE`; a predicate must fit its attribute.",
        "schema": {
            "type": "object",
            "propertyNames": {"pattern": pattern},
            "additionalProperties": {"type": "string"},
        },
        "example": FILTERS[kind],
    }
