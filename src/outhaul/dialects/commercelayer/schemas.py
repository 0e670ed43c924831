"""What stands in the bodies of Commerce Layer's calls, as JSON Schema: the tables of the dialect, name by name."""

from __future__ import annotations

from collections.abc import Mapping

from outhaul.dialects._described import Data, schema, structure
from outhaul.dialects.commercelayer import errors, history, parse, query, render

TEXT: Data = {"type": "string"}
FLAG: Data = {"type": "boolean"}
COUNT: Data = {"type": "integer", "minimum": 0}
OBJECT: Data = {"type": "object"}
TEXTS: Data = {"type": "array", "items": TEXT}
URL: Data = {"type": "string", "format": "uri"}
PAGE_URL: Data = {"type": "string", "pattern": "^https?://", "description": "Its brackets are as they are."}
MOMENT = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}"
TIME: Data = {"type": "string", "format": "date-time", "pattern": f"^{MOMENT}Z$"}
OFFSET_TIME: Data = {"type": "string", "format": "date-time", "pattern": rf"^{MOMENT}\+00:00$"}
EXPORT_FORMAT: Data = TEXT | {"description": "Any format of `outhaul export`: `json`, `csv`, and more."}
REFERENCE: Data = TEXT | {
    "maxLength": parse.LONGEST_REFERENCE,
    "description": f"At most {parse.LONGEST_REFERENCE:,} bytes of UTF-8.",
}
TOPIC: Data = {"enum": sorted(render.EVENTS.values())}


def maybe(shape: Data) -> Data:
    """The same, or null."""
    if "enum" in shape:
        return shape | {"enum": [*shape["enum"], None]}
    return shape | {"type": [shape["type"], "null"]}


REFERENCES: Data = {
    "reference": maybe(TEXT),
    "reference_origin": maybe(TEXT),
    "metadata": OBJECT,
}
LIVED: Data = {"created_at": TIME, "updated_at": TIME, **REFERENCES}
CHANGE: Data = {
    "resource_type": {"enum": sorted(set(history.KINDS.values()))},
    "resource_id": TEXT,
    "event": {"enum": sorted(set(history.WORDS.values()))},
    "who": schema("Who"),
    "created_at": TIME,
    "updated_at": TIME,
}
# By type, of every attribute that an answer can show.
SHOWN: Mapping[str, Mapping[str, Data]] = {
    "exports": {
        "resource_type": TEXT
        | {"description": "A resource of the catalog, as `outhaul catalog` lists them."},
        "format": EXPORT_FORMAT,
        "status": {"enum": sorted(set(render.STATUSES.values()))},
        "includes": TEXTS,
        "fields": TEXTS,
        "filters": OBJECT,
        "dry_data": FLAG,
        "jwt_filters": FLAG,
        "started_at": maybe(TIME),
        "completed_at": maybe(TIME),
        "estimated_completion_at": maybe(TIME),
        "interrupted_at": maybe(TIME),
        "records_count": maybe(COUNT) | {"description": "Null until the rows have been counted."},
        "processed_count": COUNT,
        "progress": {"type": "number", "minimum": 0, "maximum": 100},
        "attachment_url": maybe(URL) | {"description": "Signed anew at each request; null until completed."},
        "errors_log": {"type": "object", "additionalProperties": TEXT},
        **LIVED,
    },
    "events": {"name": TOPIC, **LIVED},
    "versions": CHANGE
    | {
        "changes": {"type": "object", "additionalProperties": {"type": "array", "minItems": 2, "maxItems": 2}}
    },
    "event_stores": CHANGE
    | {
        "payload": {
            "type": "object",
            "additionalProperties": structure({"from": {}, "to": {}}, "from", "to"),
        },
        "created_at": OFFSET_TIME,
        "updated_at": OFFSET_TIME,
    },
    "webhooks": {
        "name": maybe(TEXT),
        "topic": TOPIC,
        "callback_url": URL,
        "include_resources": {"type": "array", "items": {"enum": list(query.RELATIONSHIPS)}},
        "disabled_at": maybe(TIME),
        "circuit_state": {"enum": ["closed", "open"]},
        "circuit_failure_count": COUNT,
        "shared_secret": maybe(TEXT) | {"description": "Shown in the answer to its creation, then null."},
        **LIVED,
    },
    "event_callbacks": {
        "callback_url": URL,
        "payload": maybe(OBJECT)
        | {
            "description": "What was sent, in the last tries; null where it is not kept. Links in it open nothing."
        },
        "response_code": maybe(TEXT) | {"description": "Null where there was no answer."},
        "response_message": maybe(TEXT) | {"description": "Why it was not taken; null where it was."},
        **LIVED,
    },
    "organizations": {"name": TEXT, "slug": TEXT},
    "applications": {
        "name": TEXT,
        "kind": maybe(TEXT) | {"description": "Null for a token that is no client's."},
        "public_access": FLAG,
    },
}
# Of every attribute that a body can give; null stands for its default.
GIVEN: Mapping[str, Data] = {
    "resource_type": TEXT | {"minLength": 1, "description": "A resource of the catalog."},
    "format": maybe(EXPORT_FORMAT),
    "includes": maybe(TEXTS) | {"description": "Dotted paths of relationships."},
    "fields": maybe(TEXTS) | {"description": "`code`, `prices.code`, `prices.*`, `*`."},
    "filters": maybe(OBJECT) | {"description": "`ATTRIBUTE_PREDICATE: value`; all of them hold."},
    "compress": maybe(TEXT) | {"description": "Null for a plain file. Outhaul's own."},
    "nested": {
        "type": ["object", "null"],
        "additionalProperties": TEXT,
        "description": "By path, how related rows stand in CSV. Outhaul's own.",
    },
    "profile": maybe(TEXT) | {"description": "Of CSV: `machine` or `spreadsheet`. Outhaul's own."},
    "delimiter": maybe(TEXT) | {"description": "Of CSV. Outhaul's own."},
    "name": maybe(REFERENCE),
    "topic": TOPIC,
    "callback_url": URL | {"description": "On a public network, or one of `webhook_networks`."},
    "include_resources": {
        "type": ["array", "null"],
        "items": {"enum": list(query.RELATIONSHIPS)},
    },
    "reference": maybe(REFERENCE),
    "reference_origin": maybe(REFERENCE),
    "metadata": maybe(OBJECT) | {"description": f"At most {parse.LARGEST_METADATA} bytes as JSON."},
    **{
        name: maybe(FLAG)
        for name in ("dry_data", "jwt_filters", "_start", "_interrupt", "_trigger", *parse.WEBHOOK_MOVES)
    },
}
NAMES: Mapping[str, str] = {
    "exports": "Export",
    "events": "Event",
    "versions": "Version",
    "event_stores": "EventStore",
    "webhooks": "Webhook",
    "event_callbacks": "EventCallback",
    "organizations": "Organization",
    "applications": "Application",
}
ITSELF = ("organizations", "applications")  # of which a caller sees one, without a list
NEEDED = ("id", "type", "links", "attributes", "meta")


def schemas() -> Data:
    """All of them by name."""
    made: Data = {}
    for kind, name in NAMES.items():
        made[name] = _resource(kind)
        made[f"{name}Document"] = _document(kind)
        if kind not in ITSELF:
            made[f"{name}Page"] = _page(kind, schema(name), whole=True)
    for kind in sorted({of for names in query.RELATED.values() for of in names.values()}):
        made[f"{NAMES[kind]}Identifiers"] = _page(kind, _identifier(kind))
    made["WebhookIdentifier"] = structure({"data": _identifier("webhooks")}, "data")
    made["ExportGone"] = structure({"data": _destroyed()}, "data")
    made["NewExport"] = _body("exports", parse.CREATION, "resource_type")
    made["ExportChange"] = _body("exports", parse.UPDATE)
    made["EventChange"] = _body("events", parse.EVENT)
    made["NewWebhook"] = _body("webhooks", parse.NEW_WEBHOOK, "topic", "callback_url")
    made["WebhookChange"] = _body("webhooks", {**parse.WEBHOOK, **parse.WEBHOOK_MOVES})
    made["Meta"] = structure(
        {"mode": {"enum": ["live", "test"]}, "organization_id": TEXT, "trace_id": TEXT},
        *("mode", "organization_id", "trace_id"),
    )
    made["Who"] = _who()
    made["Manifest"] = OBJECT | {
        "description": "The proof of a completed export, as `outhaul verify` reads it."
    }
    made["OpenAPI"] = OBJECT | {"description": "This document."}
    return made | {f"Refusal{status}": refusal(status) for status in statuses()}


def statuses() -> list[int]:
    """Those of every refusal, that of too many requests included."""
    return sorted({words.status for words in errors.WORDS.values()} | {429})


def refusal(status: int) -> Data:
    """An errors document: what it can say under this status."""
    codes = sorted({words.code for words in errors.WORDS.values() if words.status == status})
    source = dict.fromkeys(("pointer", "parameter", "header"), TEXT)
    meta = structure({"error": TEXT, "value": {}, "count": {}}, "error")
    needed = ["title", "detail", "code", "status", *(["meta"] if status == 422 else [])]
    entry = structure(
        {
            "title": TEXT | {"minLength": 1},
            "detail": TEXT | {"minLength": 1},
            "code": {"enum": codes or ["TOO_MANY_REQUESTS"]},
            "status": {"const": str(status)},
            "source": structure(source, minProperties=1, maxProperties=1),
            "meta": meta,
        },
        *needed,
    )
    return structure({"errors": {"type": "array", "items": entry, "minItems": 1}}, "errors")


def _attributes(kind: str) -> Data:
    known = query.FIELDS.get(kind, SHOWN[kind])
    names = [name for name in known if name not in query.RELATED.get(kind, {})]
    return structure({name: SHOWN[kind][name] for name in names}, description="`fields` can leave some out.")


def _identifier(kind: str) -> Data:
    return structure({"type": {"const": kind}, "id": TEXT}, "type", "id")


def _resource(kind: str) -> Data:
    own = maybe(URL) if kind == "event_stores" else URL
    links = {"self": own} | ({"manifest": URL} if kind == "exports" else {})
    members: Data = {
        "id": TEXT,
        "type": {"const": kind},
        "links": structure(links, "self"),
        "attributes": _attributes(kind),
        "meta": schema("Meta"),
    }
    if kind in query.RELATED:
        related = {name: _relationship(of, name) for name, of in query.RELATED[kind].items()}
        members["relationships"] = structure(related)
    return structure(members, *NEEDED)


def _relationship(kind: str, of: str) -> Data:
    """To resources of a kind; `of`: its name, a plural where it leads to many."""
    links = structure({"self": URL, "related": URL}, "self", "related")
    one = _identifier(kind)
    data = {"type": "array", "items": one} if of.endswith("s") else one
    about = {"description": "Where it is included."}
    return structure({"links": links, "data": data | about}, "links")


def _included(kind: str) -> Data:
    """The member of a document with what can be included, if anything can."""
    found = [schema(NAMES[one]) for one in sorted(query.reached(kind))]
    return {"included": {"type": "array", "items": {"oneOf": found}}} if found else {}


def _document(kind: str) -> Data:
    return structure({"data": schema(NAMES[kind]), **_included(kind)}, "data")


def _page(kind: str, of: Data, *, whole: bool = False) -> Data:
    """A list's document; event stores have a cursor instead of numbers."""
    members: Data = {"data": {"type": "array", "items": of, "maxItems": query.LARGEST_PAGE}}
    if kind == "event_stores":
        members |= {"meta": structure({}), "links": structure({"next": PAGE_URL})}
    else:
        counts = structure({"record_count": COUNT, "page_count": COUNT}, "record_count", "page_count")
        links = structure(dict.fromkeys(("first", "prev", "next", "last"), PAGE_URL), "first", "last")
        members |= {"meta": counts, "links": links}
    return structure(members | (_included(kind) if whole else {}), "data", "meta", "links")


def _destroyed() -> Data:
    """What a webhook is sent of an export that is gone: the id alone."""
    nothing = {"type": "null"}
    members = {
        "id": TEXT,
        "type": {"const": "exports"},
        "attributes": structure(dict.fromkeys(query.ATTRIBUTES, nothing), *query.ATTRIBUTES),
        "meta": schema("Meta"),
    }
    return structure(members, "id", "type", "attributes")


def _body(kind: str, allowed: Mapping[str, parse.Check], *needed: str) -> Data:
    """A request's document; a change may repeat the id that is in its address."""
    attributes = structure({name: GIVEN[name] for name in allowed}, *needed)
    data = structure(
        {
            "type": {"const": kind},
            "id": {"description": "Not looked at."}
            if needed
            else TEXT | {"description": "That of the address."},
            "attributes": attributes,
            "relationships": OBJECT | {"maxProperties": 0},
            "meta": {"description": "Not looked at."},
        },
        *("type", *(["attributes"] if needed else [])),
    )
    return structure({"data": data}, "data")


def _who() -> Data:
    application = structure(
        {"id": TEXT, "client_id": TEXT, "kind": TEXT, "public": FLAG}, "id", "client_id", "kind", "public"
    )
    worker = structure({"worker": structure({"name": TEXT}, "name")}, "worker")
    owner = {"type": ["object", "null"], "description": "Whose token it is, where another issuer's says so."}
    asker = structure({"application": application, "owner": owner}, "application", "owner")
    return {"oneOf": [asker, worker], "description": "The application of a token, or the service itself."}
