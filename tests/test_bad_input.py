"""Bad input over HTTP: each is refused in the asker's words, before anything is written, and without the source.

The source's file is removed once its catalog is known: any statement sent to it would end in another error.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.served import Asker, put_together, served

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, born DATE);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), number TEXT, total NUMERIC(10, 2),
    placed_at TIMESTAMP);
CREATE TABLE line_items (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id), "odd ""name'" TEXT);
CREATE TABLE keyless (word TEXT);
CREATE TABLE user_tokens (id INTEGER PRIMARY KEY, token TEXT);
"""


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    folder = tmp_path_factory.mktemp("bad")
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.executescript(SHOP)
    connection.close()
    outhaul = put_together(f"sqlite:///{folder}/shop.db", folder / "state")
    (folder / "shop.db").unlink()
    with outhaul.ledger, served(outhaul) as client:
        outhaul.ledger.migrate()
        yield Asker(outhaul, client)


@dataclass(frozen=True)
class Case:
    """What is asked beside `orders`, and what the refusal says: its pointer, and words of its text."""

    asked: dict[str, Any]
    pointer: str
    words: tuple[str, ...] = ()
    rule: str = "inclusion"
    facts: dict[str, Any] = field(default_factory=dict)


FIELDS, INCLUDES, FILTERS = "/fields/0", "/includes/0", "/filters"

CASES: dict[str, Case] = {
    "unknown resource": Case(
        {"resource_type": "ordres"}, "/resource_type", ("ordres", "orders", "customers")
    ),
    "resource in other case": Case({"resource_type": "Orders"}, "/resource_type", ("Orders", "orders")),
    "hidden resource": Case({"resource_type": "user_tokens"}, "/resource_type", ("user_tokens", "orders")),
    "hostile resource": Case(
        {"resource_type": "orders; DROP TABLE orders"}, "/resource_type", ("DROP TABLE",)
    ),
    "resource with NUL": Case(
        {"resource_type": "orders\0"}, "/resource_type", ("orders\\x00", "NUL"), "invalid"
    ),
    "blank resource": Case({"resource_type": ""}, "/resource_type", ("blank",), "blank"),
    "resource as number": Case({"resource_type": 7}, "/resource_type", ("a string",), "invalid"),
    "unknown format": Case({"format": "xlsb"}, "/format", ("xlsb", "csv", "json", "ndjson")),
    "path as format": Case({"format": "../formats/csv"}, "/format", ("../formats/csv", "csv")),
    "private format": Case({"format": "_assemble"}, "/format", ("_assemble", "csv")),
    "unknown compression": Case({"compress": "rar"}, "/compress", ("rar", "gzip")),
    "unknown profile": Case(
        {"format": "csv", "profile": "excel"}, "/profile", ("excel", "machine", "spreadsheet"), "invalid"
    ),
    "profile of json": Case({"profile": "spreadsheet"}, "/profile", ("csv", "json"), "invalid"),
    "long delimiter": Case(
        {"format": "csv", "delimiter": "::"}, "/delimiter", ("::", "semicolon"), "invalid"
    ),
    "nested as list": Case({"nested": ["customer"]}, "/nested", ("an object",), "invalid"),
    "nested as number": Case({"nested": {"customer": 1}}, "/nested/customer", ("a string",), "invalid"),
    "nothing to nest": Case(
        {"format": "csv", "nested": {"customer": "columns"}}, "/nested/customer", ("customer", "Include it")
    ),
    "rows of one": Case(
        {"format": "csv", "includes": ["customer"], "nested": {"customer": "rows"}},
        "/nested/customer",
        ("rows", "json, columns"),
        "invalid",
    ),
    "unknown field": Case({"fields": ["nummer"]}, FIELDS, ("orders", "nummer", "number", "placed_at")),
    "unknown related field": Case({"fields": ["customer.nam"]}, FIELDS, ("customers", "nam", "name", "born")),
    "unknown relationship": Case({"fields": ["custmer.name"]}, FIELDS, ("custmer", "customer", "line_items")),
    "star of nobody": Case({"fields": ["nobody.*"]}, FIELDS, ("nobody", "customer")),
    "empty field": Case({"fields": [""]}, FIELDS, ("number",)),
    "hostile field": Case({"fields": ['id", (SELECT 1) AS "x']}, FIELDS, ("SELECT 1", "number")),
    "field with NUL": Case({"fields": ["id\0"]}, FIELDS, ("id\\x00", "NUL"), "invalid"),
    "half a character": Case({"fields": ["id\ud800"]}, FIELDS, ("id\\ud800",), "invalid"),
    "fields as string": Case({"fields": "id"}, "/fields", ("array of strings",), "invalid"),
    "fields of numbers": Case({"fields": [1, 2]}, "/fields", ("array of strings",), "invalid"),
    "very long field": Case({"fields": ["x" * 50_000]}, FIELDS, ("xxx",)),
    "very many fields": Case(
        {"fields": [f"f{n}" for n in range(10_000)]},
        "/fields",
        ("10,000", "1,000"),
        "less_than_or_equal_to",
        {"value": 10_000, "count": 1_000},
    ),
    "unknown include": Case({"includes": ["custmer"]}, INCLUDES, ("custmer", "customer", "line_items")),
    "field as include": Case({"includes": ["number"]}, INCLUDES, ("number", "customer")),
    "cycle": Case({"includes": ["line_items.order.line_items"]}, INCLUDES, ("line_items",), "invalid"),
    "include with NUL": Case({"includes": ["customer\0"]}, INCLUDES, ("NUL",), "invalid"),
    "no key for an include": Case(
        {"resource_type": "keyless", "includes": ["x"]}, INCLUDES, ("keyless", "x")
    ),
    "unknown filter": Case({"filters": {"nummer_eq": "1"}}, f"{FILTERS}/nummer_eq", ("nummer", "number")),
    "unknown predicate": Case({"filters": {"number_is": "1"}}, f"{FILTERS}/number_is", ("is", "eq", "cont")),
    "no predicate": Case({"filters": {"number": "1"}}, f"{FILTERS}/number", ("number", "eq")),
    "unknown path": Case(
        {"filters": {"customer_nam_eq": "1"}}, f"{FILTERS}/customer_nam_eq", ("nam", "name")
    ),
    "one of two unknown": Case(
        {"filters": {"number_or_nummer_eq": "1"}}, f"{FILTERS}/number_or_nummer_eq", ("nummer", "number")
    ),
    "word for number": Case({"filters": {"id_eq": "abc"}}, f"{FILTERS}/id_eq", ("id", "abc"), "invalid"),
    "comma in decimal": Case(
        {"filters": {"total_gt": "12,5"}}, f"{FILTERS}/total_gt", ("total", "12,5"), "invalid"
    ),
    "no such day": Case(
        {"filters": {"placed_at_lt": "2026-02-30"}},
        f"{FILTERS}/placed_at_lt",
        ("placed_at", "2026-02-30"),
        "invalid",
    ),
    "object as value": Case({"filters": {"number_eq": {"a": 1}}}, f"{FILTERS}/number_eq", (), "invalid"),
    "perhaps": Case(
        {"filters": {"number_null": "perhaps"}}, f"{FILTERS}/number_null", ("perhaps",), "invalid"
    ),
    "text search in numbers": Case({"filters": {"id_cont": "1"}}, f"{FILTERS}/id_cont", ("id", "cont", "eq")),
    "value with NUL": Case({"filters": {"number_eq": "a\0b"}}, f"{FILTERS}/number_eq", ("NUL",), "invalid"),
    "filter's name with NUL": Case({"filters": {"number\0_eq": "a"}}, FILTERS, ("NUL",), "invalid"),
    "filters as list": Case({"filters": ["number_eq"]}, FILTERS, ("an object",), "invalid"),
    "dry data of nothing": Case(
        {"dry_data": True, "fields": ["id"]}, "/dry_data", ("orders", "identity"), "invalid"
    ),
    "flag as word": Case({"jwt_filters": "yes"}, "/jwt_filters", ("true or false",), "invalid"),
    "metadata as list": Case({"metadata": [1]}, "/metadata", ("an object",), "invalid"),
    "deep metadata": Case(
        {"metadata": json.loads('{"a":' * 40 + "1" + "}" * 40)}, "/metadata", ("30",), "invalid"
    ),
    "reference as object": Case({"reference": {}}, "/reference", ("a string",), "invalid"),
    "reference with NUL": Case({"reference": "a\0"}, "/reference", ("NUL",), "invalid"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_served_is_refused_in_the_askers_words(name: str, asker: Asker) -> None:
    case = CASES[name]
    answer = asker.ask(**{"resource_type": "orders"} | case.asked)
    assert answer.status_code == 422, answer.text[:500]
    assert answer.headers["content-type"] == "application/vnd.api+json"
    (error,) = answer.json()["errors"]
    assert error["code"] == "VALIDATION_ERROR"
    assert error["status"] == "422"
    assert error["source"]["pointer"].startswith(f"/data/attributes{case.pointer}")
    assert error["meta"]["error"] == case.rule
    assert {name: error["meta"][name] for name in case.facts} == case.facts
    for word in case.words:
        assert word in error["detail"], error["detail"][:500]
    assert len(answer.content) < 10_000, "larger than anybody reads"
    assert asker.call("GET", "/exports").json()["meta"]["record_count"] == 0


def test_a_good_request_gets_as_far_as_the_source_that_is_gone(asker: Asker) -> None:
    answer = asker.ask(resource_type="orders")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert asker.call("GET", "/exports").json()["meta"]["record_count"] == 0


ORDERS = '{"data": {"type": "exports", "attributes": {"resource_type": "orders"}}}'

BODIES: dict[str, tuple[bytes, int, str, str]] = {
    "nothing": (b"", 400, "PARAM_MISSING", "data"),
    "no JSON": (b"{", 400, "BAD_REQUEST", "not valid JSON"),
    "no UTF-8": (b'{"data": "\xff"}', 400, "BAD_REQUEST", "not valid JSON"),
    "a list": (b"[]", 400, "PARAM_MISSING", "data"),
    "a number": (b"1", 400, "PARAM_MISSING", "data"),
    "no data": (b"{}", 400, "PARAM_MISSING", "data"),
    "data as list": (b'{"data": []}', 400, "PARAM_MISSING", "data"),
    "no type": (b'{"data": {}}', 400, "PARAM_MISSING", "type"),
    "another type": (
        b'{"data": {"type": "imports"}}',
        400,
        "INVALID_RESOURCE",
        "imports is not a valid resource",
    ),
    "type as object": (b'{"data": {"type": {}}}', 400, "INVALID_RESOURCE", "{}"),
    "attributes as list": (b'{"data": {"type": "exports", "attributes": []}}', 400, "BAD_REQUEST", "object"),
    "an unknown member": (b'{"data": {"type": "exports"}, "colour": 1}', 400, "PARAM_NOT_ALLOWED", "colour"),
    "an unknown attribute": (
        ORDERS.replace('"orders"', '"orders", "colour": 1').encode(),
        400,
        "PARAM_NOT_ALLOWED",
        "colour is not allowed. One of: compress, delimiter, dry_data, fields, filters",
    ),
    "a read-only attribute": (
        ORDERS.replace('"orders"', '"orders", "status": "completed"').encode(),
        400,
        "PARAM_NOT_ALLOWED",
        "status is not allowed",
    ),
    "relationships": (
        ORDERS.replace('"attributes"', '"relationships": {"events": 1}, "attributes"').encode(),
        400,
        "PARAM_NOT_ALLOWED",
        "relationships",
    ),
    "NaN": (ORDERS.replace('"orders"', "NaN").encode(), 400, "BAD_REQUEST", "NaN"),
    "infinity": (ORDERS.replace('"orders"', "1e999").encode(), 400, "BAD_REQUEST", "1e999"),
    "too many digits": (
        ORDERS.replace('"orders"', "0.12345678901234567890").encode(),
        400,
        "BAD_REQUEST",
        "string",
    ),
    "very deep": (b"[" * 100_000, 400, "BAD_REQUEST", "deeply"),
    "very long": (b'"' + b"x" * 1_000_001 + b'"', 413, "PAYLOAD_TOO_LARGE", "1000000 bytes"),
    "a number of a million digits": (b"1" * 900_000, 400, "BAD_REQUEST", "JSON"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_malformed_body_is_refused_by_its_code(name: str, asker: Asker) -> None:
    body, status, code, words = BODIES[name]
    answer = asker.call("POST", "/exports", content=body)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert words in error["detail"]
    assert error["status"] == str(status)


CALLS: dict[str, tuple[str, str, dict[str, str], int, str]] = {
    "another media type": ("POST", "/exports", {"Content-Type": "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    "plain JSON": ("POST", "/exports", {"Content-Type": "application/json"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    "another Accept": ("GET", "/exports", {"Accept": "text/html"}, 406, "NOT_ACCEPTABLE"),
    "another method": ("PUT", "/exports", {}, 405, "METHOD_NOT_ALLOWED"),
    "another address": ("GET", "/imports", {}, 404, "RECORD_NOT_FOUND"),
    "an unknown id": ("GET", "/exports/XAyRWNUzyN", {}, 404, "RECORD_NOT_FOUND"),
    "a hostile id": ("GET", "/exports/'%20OR%20'1'='1", {}, 404, "RECORD_NOT_FOUND"),
    "NUL in an id": ("GET", "/exports/abc%00def", {}, 404, "RECORD_NOT_FOUND"),
    "a long id": ("GET", f"/exports/{'x' * 5000}", {}, 404, "RECORD_NOT_FOUND"),
    "an id to delete": ("DELETE", "/exports/XAyRWNUzyN", {}, 404, "RECORD_NOT_FOUND"),
    "an id of a manifest": ("GET", "/exports/XAyRWNUzyN/manifest", {}, 404, "RECORD_NOT_FOUND"),
    "a sort": ("GET", "/exports?sort=colour", {}, 400, "INVALID_SORT_CRITERIA"),
    "a sparse fieldset": ("GET", "/exports?fields[exports]=colour", {}, 400, "INVALID_FIELD"),
    "an include": ("GET", "/exports?include=colour", {}, 400, "INVALID_INCLUDE"),
    "a filter": ("GET", "/exports?filter[q][colour_eq]=red", {}, 400, "FILTER_NOT_ALLOWED"),
    "another parameter": ("GET", "/exports?colour=red", {}, 400, "PARAM_NOT_ALLOWED"),
    "another page parameter": ("GET", "/exports?page[after]=1", {}, 400, "INVALID_PAGE_VALUE"),
    "page zero": ("GET", "/exports?page[number]=0", {}, 400, "INVALID_PAGE_VALUE"),
    "page minus": ("GET", "/exports?page[number]=-1", {}, 400, "INVALID_PAGE_VALUE"),
    "a huge page": ("GET", f"/exports?page[number]={'9' * 5000}", {}, 400, "INVALID_PAGE_VALUE"),
    "too large a page": ("GET", "/exports?page[size]=26", {}, 400, "INVALID_PAGE_VALUE"),
    "a page of arabic digits": ("GET", "/exports?page[size]=١", {}, 400, "INVALID_PAGE_VALUE"),
    "a parameter where there is none": (
        "GET",
        "/exports/XAyRWNUzyN?include=colour",
        {},
        400,
        "INVALID_INCLUDE",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_nobody_knows_is_refused_by_its_code(name: str, asker: Asker) -> None:
    method, path, headers, status, code = CALLS[name]
    answer = asker.call(method, path, headers=headers, **({"content": ORDERS} if method == "POST" else {}))
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert answer.headers["content-type"] == "application/vnd.api+json"
    assert error["title"]
    assert error["detail"]


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", "Basic {}", "{}", "Bearer {}x", "Bearer x{}"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/exports"),
        ("POST", "/exports"),
        ("GET", "/exports/a"),
        ("PATCH", "/exports/a"),
        ("DELETE", "/exports/a"),
    ],
)
def test_nobody_gets_in_without_a_good_token(
    method: str, path: str, authorization: str | None, asker: Asker
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.format(asker.token)}
    answer = asker.client.request(method, f"/api{path}", headers=headers, content=b"not even read")
    golden = Path(__file__).parent / "wire" / "commercelayer" / "errors.json"
    expected = json.loads(golden.read_text())["no_token"]
    assert (answer.status_code, answer.json()) == (expected["status"], expected["body"])


def test_a_fault_of_our_own_is_a_document_that_tells_nothing(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("postgresql://u:geheim@h/d")

    monkeypatch.setattr("outhaul.service.Exports.list", broken)
    answer = asker.call("GET", "/exports")
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (500, "INTERNAL_SERVER_ERROR")
    assert "geheim" not in answer.text
    trace = error["detail"].split("Mention ")[1].split(" ")[0]
    assert trace in caplog.text
