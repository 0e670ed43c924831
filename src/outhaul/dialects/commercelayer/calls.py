"""Commerce Layer's calls, one by one: what each takes, and all that it can answer, in the words of OpenAPI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from outhaul.dialects._described import JSON, Data, answer, rate_headers, ref, schema
from outhaul.dialects.commercelayer import examples, history, query
from outhaul.dialects.commercelayer.routes import MEDIA_TYPE
from outhaul.dialects.commercelayer.schemas import ITSELF, NAMES

Calls = dict[tuple[str, str], Data]  # by method and path

READING = (400, 401, 406, 429, 500, 503)
ONE = (*READING, 404)
WRITING = (413, 415, 422)
EXPORT, WEBHOOK = "/exports/{export_id}", "/webhooks/{webhook_id}"
NUMBERED, CURSOR = ("PageNumber", "PageSize"), ("PageAfter", "PageSize")


def _shape(kind: str, way: str = "Include") -> tuple[str, ...]:
    """What of a resource is shown, and what with it; by the `way` "Near" what can be with it after a change."""
    include = (f"{way}_{kind}",) if kind in query.INCLUDABLE else ()
    return (*include, *(f"Fields_{one}" for one in (kind, *sorted(query.reached(kind)))))


SHAPE = _shape("exports")


def calls() -> Calls:
    """All of them, with links from what makes a thing to what can be done with it."""
    made = _exports() | _webhooks()
    for kind in history.NAMES:
        made |= _histories(kind)
    made |= dict(_callbacks())
    for kind in ITSELF:
        one = kind.removesuffix("s")
        made["get", f"/{one}"] = _call(
            f"retrieve{NAMES[kind]}", f"The {one} of the token", READING, _document(kind)
        )
    document = {"200": _plain("This document.", "OpenAPI")}
    made["get", "/openapi.json"] = _call("getOpenAPI", "This document", READING, document)
    for kind in ("exports", "webhooks"):
        maker = made["post", f"/{kind}"]["responses"]["201"]
        maker["links"] = dict(_links(made, f"/{kind}/{{{kind[:-1]}_id}}", f"{kind[:-1]}_id", "/data/id"))
    for kind in (*history.NAMES, "event_callbacks"):
        listed, place = made["get", f"/{kind}"]["responses"]["200"], query.PLACES[kind]
        listed["links"] = dict(_links(made, f"/{kind}/{{{place}}}", place, "/data/0/id"))
    return made


def _exports() -> Calls:
    return {
        ("get", "/exports"): _call(
            *("listExports", "Exports, newest first", READING, _page("exports")),
            (*NUMBERED, *_sifted("exports"), *SHAPE),
        ),
        ("post", "/exports"): _call(
            *(
                "createExport",
                "Ask for an export",
                (*READING, *WRITING),
                _document("exports", "201"),
            ),
            ("IdempotencyKey", *_shape("exports", "Near")),
            _body("NewExport", examples.creation("exports")),
        ),
        ("get", EXPORT): _call(
            "retrieveExport", "One export", ONE, _document("exports"), ("ExportID", *SHAPE)
        ),
        ("patch", EXPORT): _call(
            *("updateExport", "Stop, start or amend it", (*ONE, *WRITING), _document("exports")),
            ("ExportID", *_shape("exports", "Near")),
            _body("ExportChange", examples.change("exports")),
        ),
        ("delete", EXPORT): _call(
            "deleteExport", "Stop it, and remove it with its files", ONE, _nothing(), ("ExportID",)
        ),
        ("get", f"{EXPORT}/manifest"): _call(
            *("getManifest", "The proof of a completed export", ONE),
            {"200": _plain("The manifest.", "Manifest")},
            ("ExportID",),
        ),
    }


def _histories(kind: str) -> Calls:
    """The calls about one kind of what has happened to exports."""
    name, shape = NAMES[kind], _shape(kind)
    paged = (*(CURSOR if query.LISTS[kind].cursor else NUMBERED), *_sifted(kind))
    about = "what happened to {}, newest first: {}"
    whose = "all exports" if kind == "events" else "all exports and webhooks"
    return {
        ("get", f"/{kind}"): _call(
            f"list{name}s", about.format(whose, kind), READING, _page(kind), (*paged, *shape)
        ),
        ("get", f"/{kind}/{{event_id}}"): _call(
            f"retrieve{name}", f"One of the {kind}", ONE, _document(kind), (f"{name}ID", *shape)
        ),
        ("get", f"{EXPORT}/{kind}"): _call(
            *(f"list{name}sOfExport", about.format("one export", kind), ONE, _page(kind)),
            ("ExportID", *paged, *shape),
        ),
        ("get", f"{EXPORT}/relationships/{kind}"): _call(
            *(f"list{name}IdentifiersOfExport", f"Types and ids of its {kind}", ONE, _identifiers(kind)),
            ("ExportID", *paged, f"Fields_{kind}"),
        ),
    }


def _callbacks() -> Iterator[tuple[tuple[str, str], Data]]:
    """The calls about what became of telling webhooks, and those from one thing to what is related to it."""
    kind, name = "event_callbacks", "EventCallback"
    paged = (*NUMBERED, *_sifted(kind), *_shape(kind))
    yield (
        ("get", f"/{kind}"),
        _call(f"list{name}s", "The last tries to tell webhooks, newest first", READING, _page(kind), paged),
    )
    yield (
        ("get", f"/{kind}/{{callback_id}}"),
        _call(f"retrieve{name}", "One of them", ONE, _document(kind), (f"{name}ID", *_shape(kind))),
    )
    yield (
        ("patch", "/events/{event_id}"),
        _call(
            *(
                "updateEvent",
                "Amend it, or have webhooks told of it once more",
                (*ONE, *WRITING),
                _document("events"),
            ),
            ("EventID", *_shape("events", "Near")),
            _body("EventChange", {"data": {"type": "events", "attributes": {"_trigger": True}}}),
        ),
    )
    for kind, related in query.RELATED.items():
        for name, of in related.items() if kind != "exports" else ():
            yield from _related(kind, name, of)


def _related(kind: str, name: str, of: str) -> Iterator[tuple[tuple[str, str], Data]]:
    """Both calls about one relationship."""
    title, one = name.title().replace("_", ""), not name.endswith("s")
    paged = (*(CURSOR if query.LISTS[of].cursor else NUMBERED), *_sifted(of))
    taken = (f"{NAMES[kind]}ID", *(() if one else paged))
    place = f"/{kind}/{{{query.PLACES[kind]}}}"
    about = f"{{}} the {name} of one of the {kind}"
    found = _document(of) if one else _page(of)
    known = _identifier(of) if one else _identifiers(of)
    yield (
        ("get", f"{place}/{name}"),
        _call(f"get{title}Of{NAMES[kind]}", about.format("Show"), ONE, found, (*taken, *_shape(of))),
    )
    yield (
        ("get", f"{place}/relationships/{name}"),
        _call(
            f"get{title}IdentifiersOf{NAMES[kind]}",
            about.format("Name"),
            ONE,
            known,
            (*taken, f"Fields_{of}"),
        ),
    )


def _webhooks() -> Calls:
    return {
        ("get", "/webhooks"): _call(
            *("listWebhooks", "Webhooks, newest first", READING, _page("webhooks")),
            (*NUMBERED, *_sifted("webhooks"), *_shape("webhooks")),
        ),
        ("post", "/webhooks"): _call(
            *("createWebhook", "Have exports told of", (*READING, *WRITING), _document("webhooks", "201")),
            _shape("webhooks", "Near"),
            _body("NewWebhook", examples.creation("webhooks")),
        ),
        ("get", WEBHOOK): _call(
            *("retrieveWebhook", "One webhook", ONE, _document("webhooks")),
            ("WebhookID", *_shape("webhooks")),
        ),
        ("patch", WEBHOOK): _call(
            *("updateWebhook", "Amend, end or resume it", (*ONE, *WRITING), _document("webhooks")),
            ("WebhookID", *_shape("webhooks", "Near")),
            _body("WebhookChange", examples.change("webhooks")),
        ),
        ("delete", WEBHOOK): _call("deleteWebhook", "Remove it", ONE, _nothing(), ("WebhookID",)),
    }


def _sifted(kind: str) -> tuple[str, ...]:
    return (f"Sort_{kind}", f"Filter_{kind}") if query.LISTS[kind].filters else ()


def message() -> Data:
    """What a webhook is sent."""
    headers = {
        "X-CommerceLayer-Topic": "What has happened.",
        "X-CommerceLayer-Signature": "base64 of HMAC-SHA256 of the body with the secret.",
        "X-Outhaul-Event": "The number of the event, to drop doubles by.",
    }
    told = {"oneOf": [schema("ExportDocument"), schema("ExportGone")]}
    return {
        "summary": "Something has happened to an export",
        "operationId": "told",
        "security": [],
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": about,
                "schema": {"type": "string"},
            }
            for name, about in headers.items()
        ],
        "requestBody": {"required": True, "content": {MEDIA_TYPE: {"schema": told}}},
        "responses": {"2XX": answer("It is told. Anything else, and it is told again.")},
    }


def _call(
    name: str,
    summary: str,
    refusals: Sequence[int],
    answers: Mapping[str, Data],
    parameters: Sequence[str] = (),
    body: Data | None = None,
) -> Data:
    made: Data = {"operationId": name, "summary": summary}
    if parameters:
        made["parameters"] = [ref("parameters", one) for one in parameters]
    if body:
        made["requestBody"] = body
    refused = {str(status): ref("responses", f"Refusal{status}") for status in sorted(refusals)}
    return made | {"responses": {**answers, **refused}}


def _body(of: str, example: Any) -> Data:
    return {"required": True, "content": {MEDIA_TYPE: {"schema": schema(of), "example": example}}}


def _document(kind: str, status: str = "200") -> dict[str, Data]:
    example = {"data": examples.shown(kind)}
    return {status: _found("The whole of it.", f"{NAMES[kind]}Document", example)}


def _page(kind: str) -> dict[str, Data]:
    example = examples.page(kind, [examples.shown(kind)])
    return {"200": _found("A page.", f"{NAMES[kind]}Page", example)}


def _identifiers(kind: str) -> dict[str, Data]:
    known = examples.shown(kind)
    example = examples.page(kind, [{"type": kind, "id": known["id"]}])
    return {"200": _found("A page.", f"{NAMES[kind]}Identifiers", example)}


def _identifier(kind: str) -> dict[str, Data]:
    example = {"data": {"type": kind, "id": examples.shown(kind)["id"]}}
    return {"200": _found("Type and id.", f"{NAMES[kind]}Identifier", example)}


def _found(about: str, of: str, example: Any) -> Data:
    return answer(about, MEDIA_TYPE, schema(of), example=example, headers=rate_headers())


def _plain(about: str, of: str) -> Data:
    return answer(about, JSON, schema(of), headers=rate_headers())


def _nothing() -> dict[str, Data]:
    return {"204": answer("It is gone.", headers=rate_headers())}


def _links(made: Calls, path: str, parameter: str, told: str) -> Iterator[tuple[str, Data]]:
    """To every call about the thing whose id the answer has `told`; there is no manifest yet."""
    for (_, at), call in made.items():
        if at.startswith(path) and not at.endswith("/manifest"):
            name = call["operationId"]
            yield name, {"operationId": name, "parameters": {parameter: f"$response.body#{told}"}}
