"""The calls of `/oauth` as OpenAPI 3.1 has them."""

from __future__ import annotations

from outhaul.dialects._described import JSON, NOBODY, Data, answer, rate_headers, ref, schema, structure
from outhaul.dialects.oauth.routes import FORM, PREFIX, WORDS

TEXT: Data = {"type": "string"}
FLAG: Data = {"type": "boolean"}
ALWAYS = ("server_error", "temporarily_unavailable")
COUNT: Data = {"type": "integer", "minimum": 0}


def openapi_part() -> Data:
    """The part of a document that is this dialect's."""
    token = _call(
        "createToken",
        "A token for an API client",
        answer("The token.", JSON, schema("Token"), headers=rate_headers()),
        "TokenRequest",
        ("invalid_request", "unsupported_grant_type", "invalid_scope", "invalid_client"),
    )
    token["responses"]["429"] = ref("responses", "Refusal429")
    revoke = _call(
        *(
            "revokeToken",
            "End a token that the client was given",
            answer("It is ended.", JSON, structure({})),
        ),
        *("Revocation", ("invalid_request", "unauthorized_client")),
    )
    info = {
        "operationId": "getTokenInfo",
        "summary": "What a client's token is worth",
        "tags": ["oauth"],
        "responses": {
            "200": answer("Kind and rights.", JSON, schema("TokenInfo")),
            "401": answer("It is worth nothing.", JSON, schema("Refusal401")),
            **_refused(ALWAYS),
        },
    }
    return {
        "paths": {
            f"{PREFIX}/token": {"post": token},
            f"{PREFIX}/revoke": {"post": revoke},
            f"{PREFIX}/tokeninfo": {"get": info},
        },
        "components": {"schemas": _schemas()},
    }


def _call(name: str, summary: str, said: Data, takes: str, titles: tuple[str, ...]) -> Data:
    body = {kind: {"schema": schema(takes)} for kind in (JSON, FORM)}
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["oauth"],
        "security": NOBODY,
        "requestBody": {"required": True, "content": body},
        "responses": {"200": said, **_refused((*titles, *ALWAYS))},
    }


def _refused(titles: tuple[str, ...]) -> Data:
    by_status: dict[int, list[str]] = {}
    for title in titles:
        by_status.setdefault(WORDS[title].status, []).append(title)
    return {
        str(status): answer(", ".join(those), JSON, schema("OAuthErrors"))
        for status, those in sorted(by_status.items())
    }


def _schemas() -> Data:
    entry = structure(
        {
            "title": {"enum": sorted(WORDS)},
            "detail": TEXT,
            "code": {"enum": sorted({one.code for one in WORDS.values()})},
            "status": {"enum": sorted({one.status for one in WORDS.values()})},
            "meta": structure({"error": {"enum": sorted(WORDS)}}, "error"),
        },
        *("title", "detail", "code", "status", "meta"),
    )
    ids = {"type": "array", "items": TEXT}
    rights = ("create", "destroy", "read", "update")
    worth = structure(
        {"test": FLAG, "market_ids": ids, "stock_location_ids": ids, "lifespan": COUNT},
        *("test", "market_ids", "stock_location_ids", "lifespan"),
    )
    role = structure(dict.fromkeys(("id", "kind", "name"), TEXT), "id", "kind", "name")
    application = structure(
        {"id": TEXT, "kind": TEXT, "name": TEXT, "core": FLAG}, "id", "kind", "name", "core"
    )
    permissions = structure({"exports": structure(dict.fromkeys(rights, FLAG), *rights)}, "exports")
    return {
        "OAuthErrors": structure({"errors": {"type": "array", "items": entry, "minItems": 1}}, "errors"),
        "TokenRequest": _given({"grant_type": {"const": "client_credentials"}}, "client_secret", "scope"),
        "Revocation": _given({"token": TEXT}, "client_secret"),
        "Token": structure(
            {
                "access_token": TEXT,
                "token_type": {"const": "bearer"},
                "expires_in": COUNT,
                "scope": TEXT,
                "created_at": COUNT,
            },
            *("access_token", "token_type", "expires_in", "scope", "created_at"),
        ),
        "TokenInfo": structure(
            {"token": worth, "role": role, "application": application, "permissions": permissions},
            *("token", "role", "application", "permissions"),
        ),
    }


def _given(needed: Data, *more: str) -> Data:
    """A request's body; members that nobody knows are not looked at."""
    members = {"client_id": TEXT, **needed}
    properties = members | {name: {"type": ["string", "null"]} for name in more}
    return {"type": "object", "properties": properties, "required": list(members)}
