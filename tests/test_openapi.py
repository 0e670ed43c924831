"""The OpenAPI document: valid, whole, of the shapes of the contract, and nothing but what the service answers."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import openapi_spec_validator
import pytest

from outhaul import dialects
from outhaul.app import Outhaul
from outhaul.dialects import _links, oauth
from outhaul.dialects.commercelayer import callers, errors, hooks, openapi, query, related, routes, told
from outhaul.dialects.oauth.routes import WORDS
from outhaul.errors import OuthaulError, UnknownSibling
from tests import documented
from tests.documented import document, known, operations, resolved
from tests.served import Asker, finished, put_together, served

WIRE = Path(__file__).parent / "wire"
SCHEMATHESIS = Path(sys.executable).with_name("st")
LEFT = (
    "webhook|versions|event_stores|event_callbacks|relationships|/events"  # by the quick test to the long one
)
SHOP = """
PRAGMA journal_mode = WAL;
CREATE TABLE skus (id INTEGER PRIMARY KEY, code TEXT, name TEXT);
CREATE TABLE prices (id INTEGER PRIMARY KEY, sku_id INTEGER REFERENCES skus (id), price_list_id INTEGER);
CREATE TABLE price_tiers (id INTEGER PRIMARY KEY, price_id INTEGER REFERENCES prices (id), price_amount_cents INTEGER);
INSERT INTO skus VALUES (1, 'AAA', 'a'), (2, 'BBB', 'b');
INSERT INTO prices VALUES (1, 1, 1), (2, 2, 1);
INSERT INTO price_tiers VALUES (1, 1, 90), (2, 2, 80);
"""


def golden(name: str, dialect: str = "commercelayer") -> Any:
    return json.loads((WIRE / dialect / f"{name}.json").read_text())


def example(method: str, path: str, status: str = "200") -> Any:
    """Of a body that a call answers with."""
    (content,) = resolved(operations()[method, path]["responses"][status])["content"].values()
    return content["example"]


def test_the_document_is_one_of_openapi() -> None:
    assert document()["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(document())


def test_an_address_that_goes_on_after_a_line_break_is_no_call() -> None:
    request = httpx.Request("GET", "http://127.0.0.1/api/exports%0A")
    documented.check(httpx.Response(404, request=request))
    with pytest.raises(AssertionError, match="no such call"):
        documented.check(httpx.Response(401, request=request))


def test_it_names_each_call_once() -> None:
    names = [call["operationId"] for call in operations().values()]
    assert len(set(names)) == len(names)


def test_every_dialect_with_a_document_has_one_that_can_be_made() -> None:
    assert "commercelayer" in dialects.described()
    for name in dialects.described():
        assert dialects.document(name, "https://a")["servers"] == [{"url": "https://a"}]
    with pytest.raises(UnknownSibling, match="commercelayer"):
        dialects.document("oauth")


def calls() -> set[tuple[str, str]]:
    """Method and path of everything that the service answers."""
    found = set()
    beside = (told.router, related.router, hooks.router, callers.router, openapi.router)
    for router in (routes.polled, routes.router, *beside):
        for route in router.routes:
            found |= {(method, f"/api{route.path}") for method in route.methods}  # type: ignore[attr-defined]  # all are of calls
    for route in oauth.build(None, None, max_body=1).app.routes:  # type: ignore[arg-type,attr-defined]  # nothing is asked of them
        found |= {(method, f"/oauth{route.path}") for method in route.methods - {"HEAD"}}
    for route in (dialects.links(None), dialects.keys(None)):  # type: ignore[arg-type]  # as above
        found |= {(method, route.path) for method in route.methods or ()}
    return {(method.lower(), path) for method, path in found}


def test_every_call_is_documented_and_there_are_no_others() -> None:
    assert set(operations()) == calls()


def test_every_status_of_an_error_is_documented() -> None:
    answered = {int(status) for call in operations().values() for status in call["responses"]}
    refused = {words.status for words in errors.WORDS.values()}
    assert refused - answered == {405}, "which is of no call"
    assert {words.status for words in WORDS.values()} - answered == {405}
    assert set(_links.STATUSES.values()) <= answered
    assert "405" in document()["info"]["description"]


@pytest.mark.parametrize("kind", list(errors.WORDS), ids=lambda kind: str(kind.__name__))
def test_every_error_is_said_as_its_schema_tells(kind: type[OuthaulError]) -> None:
    facts = {"length": 1, "value": 7, "limit": 5}
    where = ("filters", "code_eq")
    status, body = errors.document(kind("What went wrong.", where=where, facts=facts), "trace")
    known(body, f"Refusal{status}")


@pytest.mark.parametrize("title", WORDS)
def test_every_error_of_the_token_endpoint_is_said_as_its_schema_tells(title: str) -> None:
    said = WORDS[title]
    entry = {"title": title, "detail": said.detail, "code": said.code, "status": said.status}
    known({"errors": [entry | {"meta": {"error": title}}]}, "OAuthErrors")


def test_what_can_be_asked_is_what_is_read() -> None:
    parameters = document()["components"]["parameters"]
    assert set(parameters["Sort_exports"]["schema"]["items"]["enum"]) >= set(query.SORTABLE)
    for kind, names in query.FIELDS.items():
        assert tuple(parameters[f"Fields_{kind}"]["schema"]["items"]["enum"]) == names
    for name in parameters["Sort_exports"]["schema"]["items"]["enum"]:
        assert query.listing([("sort", name)]).order
    size = parameters["PageSize"]["schema"]
    for number in (size["minimum"], size["maximum"]):
        assert query.listing([("page[size]", str(number))]).page.size == number
    for number in (size["minimum"] - 1, size["maximum"] + 1):
        with pytest.raises(errors.InvalidPageValue):
            query.listing([("page[size]", str(number))])


GOLDEN: dict[str, tuple[str, Any]] = {
    "retrieve_in_progress": ("ExportDocument", lambda body: body),
    "list_second_page": ("ExportPage", lambda body: body),
    "included_event": ("Event", lambda body: body),
    "version": ("Version", lambda body: body),
    "event_store": ("EventStore", lambda body: body),
    "webhook_created": ("Webhook", lambda body: body),
    "organization": ("OrganizationDocument", lambda body: body),
    "application": ("ApplicationDocument", lambda body: body),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_reply_of_the_contract_is_as_its_schema_tells(name: str) -> None:
    schema, body = GOLDEN[name]
    known(body(golden(name)), schema)


def live(body: Any) -> Any:
    """A seed's reply as we give it: the seeds show an organization in test mode, which we do not have, and pages cut
    short."""
    data = body["data"] if isinstance(body["data"], list) else [body["data"]]
    kept = [one for one in data if "id" in one]
    for one in kept:
        one["meta"]["mode"] = "live"
    return body | {"data": kept if isinstance(body["data"], list) else kept[0]}


@pytest.mark.parametrize(
    ("name", "schema"), [("seed_retrieve", "ExportDocument"), ("seed_list", "ExportPage")]
)
def test_a_reply_of_a_seed_is_as_its_schema_tells(name: str, schema: str) -> None:
    known(live(golden(name)), schema)


def test_a_message_about_an_export_that_is_gone_is_as_its_schema_tells() -> None:
    destroyed = golden("webhook_destroyed")
    destroyed["data"]["meta"] = {"mode": "live", "organization_id": "a", "trace_id": "b"}
    known(destroyed, "ExportGone")


@pytest.mark.parametrize("name", golden("errors"))
def test_a_refusal_of_the_contract_is_as_its_schema_tells(name: str) -> None:
    refusal = golden("errors")[name]
    known(refusal["body"], f"Refusal{refusal['status']}")


@pytest.mark.parametrize("name", golden("list_errors"))
def test_a_refused_list_of_the_contract_is_as_its_schema_tells(name: str) -> None:
    known({"errors": [golden("list_errors")[name]]}, "Refusal400")


def test_replies_of_the_token_endpoint_are_as_their_schemas_tell() -> None:
    known(golden("token", "oauth"), "Token")
    known(golden("tokeninfo", "oauth"), "TokenInfo")
    refused = golden("errors", "oauth")
    for name in ("invalid_client", "unauthorized_client"):
        known(refused[name], "OAuthErrors")
    for name in ("invalid_token", "no_permission"):
        known(refused[name], "Refusal401")


def test_the_examples_are_the_replies_of_the_contract() -> None:
    shown = example("get", "/api/exports/{export_id}")
    assert shown == golden("retrieve_in_progress")
    elsewhere = json.loads(json.dumps(golden("event_store")))
    assert example("get", "/api/event_stores/{event_id}")["data"] == elsewhere
    page = example("get", "/api/exports")
    assert page["data"] == [shown["data"]]
    assert page["meta"] == golden("list_second_page")["meta"]
    refusals = {401: "no_token", 404: "not_found", 400: "no_data", 422: "too_many"}
    for status, name in refusals.items():
        response = document()["components"]["responses"][f"Refusal{status}"]
        assert response["content"][routes.MEDIA_TYPE]["example"] == golden("errors")[name]["body"]


def test_every_example_is_as_its_schema_tells() -> None:
    checked = 0
    for call in operations().values():
        for said in [call.get("requestBody", {}), *map(resolved, call["responses"].values())]:
            for content in said.get("content", {}).values():
                if "example" in content:
                    documented.validator(content["schema"]["$ref"]).validate(content["example"])
                    checked += 1
    assert checked > 40


def test_a_wrong_body_is_not_as_the_schema_tells() -> None:
    wrong = golden("retrieve_in_progress")
    wrong["data"]["attributes"]["status"] = "running"
    with pytest.raises(jsonschema_rs.ValidationError):
        known(wrong, "ExportDocument")


@contextmanager
def at_work(place: Path, **flags: Any) -> Iterator[Outhaul]:
    """Everything on a shop in this folder, whose webhooks may call this machine."""
    with closing(sqlite3.connect(place / "shop.db")) as connection:
        connection.executescript(SHOP)
    flags |= {"webhook_networks": "127.0.0.1", "link_lifetime": "1h"}
    with put_together(f"sqlite:///{place}/shop.db", place / "state", **flags) as outhaul:
        yield outhaul


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    with at_work(tmp_path_factory.mktemp("documented")) as outhaul, served(outhaul) as client:
        yield Asker(outhaul, client)


def test_a_service_shows_its_own_to_those_with_a_token(asker: Asker) -> None:
    answer = asker.call("GET", "/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    shown = answer.json()
    assert shown == dialects.document("commercelayer", str(asker.client.base_url).rstrip("/"))
    assert asker.client.get("/api/openapi.json").status_code == 401
    assert asker.call("GET", "/openapi.json?x=1").status_code == 400


@pytest.mark.parametrize(("method", "path"), [one for one in operations() if one[1].startswith("/api/")])
def test_no_call_answers_strangers_or_passes_over_what_it_does_not_know(
    method: str, path: str, asker: Asker
) -> None:
    call = operations()[method, path]
    assert "security" not in call, "a token, as the document says of all calls"
    placed = [resolved(one) for one in call.get("parameters", ())]
    known = {one["name"]: one["example"] for one in placed if one["in"] == "path"}
    body = call.get("requestBody", {}).get("content", {}).get(routes.MEDIA_TYPE, {}).get("example")
    address = f"{path.format(**known)}?colour=red".removeprefix("/api")
    refusals = {asker.token: (400, "PARAM_NOT_ALLOWED"), "oh_unknown": (401, "INVALID_TOKEN")}
    for token, refusal in refusals.items():
        headers = {"Authorization": f"Bearer {token}"}
        answer = asker.call(method.upper(), address, json=body, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == refusal


def test_a_method_that_an_address_does_not_have_is_told_those_it_has(asker: Asker) -> None:
    for path, allowed in {
        "/exports": "GET, POST",
        "/exports/a/": "DELETE, GET, PATCH",
        "/webhooks/a": "DELETE, GET, PATCH",
        "/events/1": "GET, PATCH",
        "/versions/1": "GET",
    }.items():
        answer = asker.call("PUT", path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    answer = asker.client.put("/oauth/token")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["errors"][0]["code"] == "METHOD_NOT_ALLOWED"
    assert asker.client.get("/oauth/nothing").json()["errors"][0]["code"] == "NOT_FOUND"


def of_this_shop(shown: dict[str, Any], given: dict[str, str | None]) -> dict[str, Any]:
    """The document, in which what is asked for is there: resources of the shop, a webhook's address, a client."""
    schemas = shown["components"]["schemas"]

    def attributes(name: str) -> Any:
        return schemas[name]["properties"]["data"]["properties"]["attributes"]["properties"]

    attributes("NewExport")["resource_type"] = {"enum": ["skus", "prices", "price_tiers"]}
    for name in ("NewWebhook", "WebhookChange"):
        attributes(name)["callback_url"] = {"const": "http://127.0.0.1:9/"}
    for path in ("/api/webhooks", "/api/webhooks/{webhook_id}"):
        for call in shown["paths"][path].values():
            for content in call.get("requestBody", {}).get("content", {}).values():
                content["example"]["data"]["attributes"]["callback_url"] = "http://127.0.0.1:9/"
    for name in ("TokenRequest", "Revocation"):
        schemas[name]["properties"] |= {member: {"const": value} for member, value in given.items()}
    return shown


def settings(data: dict[str, Any], token: str) -> str:
    """Of schemathesis: every check but one, who asks, and a link that leads to a file."""
    *_, link, name = data["attributes"]["attachment_url"].split("/")
    return f"""
        request-timeout = 60  # the machine may be busy
        suppress-health-check = ["all"]
        [headers]
        Authorization = "Bearer {token}"
        [parameters]
        "path.link" = {{ dictionary = "links" }}
        "path.name" = {{ dictionary = "names" }}
        [dictionaries.links]
        values = ["{link}", "{link}x"]
        [dictionaries.names]
        values = ["{name}", "nothing"]
        [generation]
        database = "none"
        [checks]
        # What a schema cannot tell is refused in words: a field that a resource does not have.
        positive_data_acceptance.enabled = false
        # A wrong value can look right once it is written into a query: an object without members is nothing there.
        [phases.fuzzing.checks]
        negative_data_rejection.enabled = false
        [phases.stateful.checks]
        negative_data_rejection.enabled = false
        [[operations]]
        include-operation-id = "getManifest"
        # There is none until the export is completed.
        checks.ensure_resource_availability.enabled = false
    """


def explored(asker: Asker, place: Path, *more: str) -> None:
    """Schemathesis asks the service for all that the document tells of, and much that it does not."""
    secret, client = asker.outhaul.access.make_client("stranger", all_tenants=True)
    given = {"client_id": client.id, "client_secret": secret}
    answer = asker.client.post("/oauth/token", json={"grant_type": "client_credentials", **given})
    shown = of_this_shop(asker.call("GET", "/openapi.json").json(), given)
    (place / "document.json").write_text(json.dumps(shown))
    data = finished(asker, resource_type="skus")
    (place / "schemathesis.toml").write_text(settings(data, answer.json()["access_token"]))
    argv = [
        *(str(SCHEMATHESIS), "--no-color", "--config-file", "schemathesis.toml", "run", "document.json"),
        *("--url", str(asker.client.base_url), "--phases", "examples,coverage,fuzzing,stateful", *more),
    ]
    done = subprocess.run(argv, cwd=place, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr


@pytest.mark.timeout(300)
def test_a_stranger_finds_no_failure_and_no_undocumented_answer(asker: Asker, tmp_path: Path) -> None:
    explored(asker, tmp_path, "--max-examples", "1", "--seed", "1", "--exclude-path-regex", LEFT)


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_a_patient_stranger_finds_no_more(url: str, tmp_path: Path) -> None:
    with at_work(tmp_path, ledger=url) as outhaul, served(outhaul) as client:
        explored(Asker(outhaul, client), tmp_path, "--max-examples", "100")
