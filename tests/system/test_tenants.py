"""Two companies in one database: whatever one asks, not a byte and not a count of the other's comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.system import _oracle, _outhaul, _shop
from tests.system._outhaul import Asker, Service
from tests.system._shop import Shop
from tests.system.conftest import SOURCES

SHOP = Shop(customers=12, orders=30, lines=3, skus=10, tags=6, crossing=True)
ALPHA, OMEGA = 1, 2

# Where each table's company stands, as SQL for the oracle and as the catalog file says it.
MINE = {
    "customers": "company_id = {0}",
    "skus": "company_id = {0}",
    "tags": "company_id = {0}",
    "orders": "customer_id IN (SELECT id FROM customers WHERE company_id = {0})",
    "line_items": (
        "order_id IN (SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.company_id = {0})"
    ),
    "order_tags": (
        "order_id IN (SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.company_id = {0})"
    ),
}
RULES = {
    "customers": "company_id",
    "skus": "company_id",
    "tags": "company_id",
    "orders": "customer.company_id",
    "line_items": "order.customer.company_id",
    "order_tags": "order.customer.company_id",
}
# Relationship -> the resource it leads to, named as the manual says: the stem of the column, the child's plural.
RELATED = {
    "customers": {"orders": "orders", "orders_by_referrer": "orders"},
    "skus": {"line_items": "line_items"},
    "tags": {"order_tags": "order_tags"},
    "orders": {
        "customer": "customers",
        "referrer": "customers",
        "line_items": "line_items",
        "order_tags": "order_tags",
    },
    "line_items": {"order": "orders", "sku": "skus"},
    "order_tags": {"order": "orders", "tag": "tags"},
}
# The two names of one key: an include does not go back on the way it has come.
WAYS = [
    ("orders", "customer"),
    ("orders_by_referrer", "referrer"),
    ("line_items", "order"),
    ("line_items", "sku"),
]
WAYS += [("order_tags", "order"), ("order_tags", "tag")]
BACK = {(one, other) for pair in WAYS for one, other in (pair, pair[::-1])}
RESOURCES = list(RULES)


def paths(resource: str, depth: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """(relationships to walk, where they end), up to `depth` steps, no relationship twice in a path."""
    for name, target in RELATED[resource].items():
        yield (name,), target
        if depth > 1:
            for more, end in paths(target, depth - 1):
                if name not in more:
                    yield (name, *more), end


@pytest.fixture(scope="module", params=SOURCES or ["sqlite"])
def service(
    request: pytest.FixtureRequest, filled: Callable[[str, Shop], str], room: Path
) -> Iterator[Service]:
    home = room / f"service-{request.param}-{uuid4().hex}"  # a parameter may come again
    home.mkdir()
    url = filled(request.param, SHOP)
    catalog = home / "catalog.toml"
    catalog.write_text(_shop.catalog_file(RULES))
    with _outhaul.serving(url, home, catalog=catalog, max_body=5_000_000) as running:
        yield running


@pytest.fixture(scope="module")
def askers(service: Service) -> dict[int, Asker]:
    return {company: service.asker("--tenant", str(company)) for company in (ALPHA, OMEGA)}


def canaries(company: int) -> bytes:
    """What no file of the other company may hold."""
    return b"ALPHA-" if company == ALPHA else b"OMEGA-"


def openly(form: str) -> dict[str, str]:
    """So that what is in a file can be found by its bytes."""
    return {"compress": "none"} if form in _oracle.TYPED else {}


def other(company: int) -> int:
    return OMEGA if company == ALPHA else ALPHA


def mine(service: Service, company: int, query: str) -> list[tuple[Any, ...]]:
    if service.source.startswith("sqlite"):
        return _oracle.stored(Path(service.source.removeprefix("sqlite:///")), query)
    return _oracle.asked(service.source, query)


def keys_of(service: Service, company: int, resource: str) -> list[int]:
    key = "order_id" if resource == "order_tags" else "id"
    query = f"SELECT {key} FROM {resource} WHERE {MINE[resource].format(company)} ORDER BY 1"
    return [row[0] for row in mine(service, company, query)]


def matched(answer: httpx.Response, asker: Asker) -> int:
    """How many rows an export that was asked for has: a refusal because nothing matches counts as none."""
    if answer.status_code == 422:
        assert answer.json()["errors"][0]["meta"]["error"] == "greater_than", answer.text
        return 0
    assert answer.status_code == 201, answer.text
    export_id = answer.json()["data"]["id"]
    found = len(_oracle.rows("ndjson", asker.file(export_id)))
    assert asker.get(export_id)["records_count"] == found
    assert asker.call("DELETE", f"/exports/{export_id}").status_code == 204
    return found


@pytest.mark.parametrize("company", [ALPHA, OMEGA])
def test_each_company_gets_all_of_its_own_and_nothing_else(
    form: str, company: int, service: Service, askers: dict[int, Asker]
) -> None:
    for resource in RESOURCES:
        export_id = askers[company].create(resource, form, **openly(form))
        data = _oracle.plain(askers[company].file(export_id))
        key = "order_id" if resource == "order_tags" else "id"
        assert sorted(_oracle.numbers(_oracle.rows(form, data), key)) == keys_of(service, company, resource)
        assert askers[company].get(export_id)["records_count"] == len(keys_of(service, company, resource))
        assert canaries(company) in data
        assert canaries(other(company)) not in data


@pytest.mark.parametrize("resource", RESOURCES)
def test_no_include_leads_to_the_other_company(
    any_form: str, resource: str, service: Service, askers: dict[int, Asker]
) -> None:
    every = [".".join(path) for path, _ in paths(resource, 2) if path not in BACK]
    for company, includes in ((ALPHA, every), (OMEGA, every), (ALPHA, every[:1]), (ALPHA, every[-1:])):
        export_id = askers[company].create(resource, any_form, includes=includes, **openly(any_form))
        data = _oracle.plain(askers[company].file(export_id))
        assert canaries(company) in data
        assert canaries(other(company)) not in data, includes
        assert askers[company].get(export_id)["records_count"] == len(keys_of(service, company, resource))


def test_a_key_that_crosses_companies_leads_to_nothing(service: Service, askers: dict[int, Asker]) -> None:
    crossing = mine(
        service,
        ALPHA,
        "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id JOIN customers r ON r.id = o.referrer_id "
        "WHERE c.company_id = 1 AND r.company_id = 2",
    )
    assert crossing, "the shop has no key that crosses: the test shows nothing"
    found = askers[ALPHA].rows("orders", includes=["referrer", "customer"])
    referrers = {int(row.get("id").text): row.get("referrer") for row in found}
    assert all(referrers[key] is None for (key,) in crossing)
    assert any(referrer is not None for referrer in referrers.values())
    assert all(row.get("customer") is not None for row in found)


@pytest.mark.parametrize("resource", RESOURCES)
def test_no_filter_path_tells_of_the_other_company(resource: str, askers: dict[int, Asker]) -> None:
    """Guessing a value of the other company through any path gives nothing, just as a value that nobody has."""
    asker = askers[ALPHA]
    for path, _ in [((), resource), *paths(resource, 2)]:
        column = "_".join([*path, "note"])
        guesses = [
            {f"{column}_start": "OMEGA"},
            {f"{column}_cont": "OMEGA-"},
            {f"{column}_matches": "%MEGA%"},
        ]
        guesses.append({f"{column}_gteq": "OMEGA", f"{column}_lt": "OMEGB"})
        for guess in guesses if len(path) < 2 else guesses[:1]:
            assert matched(asker.ask(resource, "ndjson", filters=guess), asker) == 0, guess


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_filter_path_gives_what_a_database_of_one_company_would(
    resource: str, service: Service, askers: dict[int, Asker]
) -> None:
    """Presence and absence through a path: rows of the other company are as if they were not there."""
    asker = askers[ALPHA]
    for name, target in RELATED[resource].items():
        found = asker.rows(resource, "json", includes=[name])
        has = sum(bool(row.get(name)) for row in found)
        present = asker.ask(resource, "ndjson", filters={f"{name}_note_not_null": True})
        assert matched(present, asker) == has, (name, target)


def test_or_of_paths_does_not_open_the_rule(askers: dict[int, Asker], service: Service) -> None:
    asker = askers[ALPHA]
    filters = {"note_or_customer_note_or_referrer_note_or_line_items_note_start": "OMEGA"}
    assert matched(asker.ask("orders", "ndjson", filters=filters), asker) == 0
    everything = {"note_or_customer_note_or_referrer_note_cont": "-"}
    assert matched(asker.ask("orders", "ndjson", filters=everything), asker) == len(
        keys_of(service, ALPHA, "orders")
    )


def test_the_rule_cannot_be_asked_away(askers: dict[int, Asker], service: Service) -> None:
    asker = askers[ALPHA]
    for filters in ({"company_id_eq": 2}, {"company_id_in": [2]}, {"company_id_not_eq": 1}):
        assert matched(asker.ask("customers", "ndjson", filters=filters), asker) == 0
    own = len(keys_of(service, ALPHA, "customers"))
    assert matched(asker.ask("customers", "ndjson", filters={"company_id_in": [1, 2]}), asker) == own
    assert matched(asker.ask("orders", "ndjson", filters={"customer_company_id_eq": 2}), asker) == 0
    assert matched(asker.ask("orders", "ndjson", filters={"referrer_company_id_eq": 2}), asker) == 0


def test_a_resource_without_a_rule_is_refused_to_a_tenant(askers: dict[int, Asker], service: Service) -> None:
    before = askers[ALPHA].ids()
    for resource, more in (
        ("countries", {}),
        ("customers", {"includes": ["country"]}),
        ("customers", {"fields": ["id", "country.name"]}),
        ("customers", {"filters": {"country_name_eq": "Germany"}}),
    ):
        answer = askers[ALPHA].ask(resource, "json", **more)
        assert answer.status_code in {401, 404, 422}, answer.text
        assert "Germany" not in answer.text or "filters" in more
    assert askers[ALPHA].ids() == before


def test_a_tenant_that_nobody_has_gets_nothing(service: Service) -> None:
    asker = service.asker("--tenant", "999")
    for resource in RESOURCES:
        assert matched(asker.ask(resource, "ndjson"), asker) == 0


def test_hostile_tenants_are_values_and_no_sql(service: Service) -> None:
    for tenant in ("1 OR 1=1", "1' OR '1'='1", "1,2"):
        asker = service.asker("--tenant", tenant)
        answer = asker.ask("customers", "ndjson")
        assert answer.status_code in {201, 401, 422}, answer.text
        if answer.status_code == 201:
            assert len(_oracle.rows("ndjson", asker.file(answer.json()["data"]["id"]))) == 0


def test_exports_of_the_other_company_are_not_there(askers: dict[int, Asker], service: Service) -> None:
    theirs = askers[OMEGA].create("orders", reference="OMEGA-secret")
    link = askers[OMEGA].link(theirs)
    asker = askers[ALPHA]
    assert theirs not in asker.ids()
    assert theirs in askers[OMEGA].ids()
    nobodys = "XAyRWNUzyN"
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"reference": "mine"})):
        answers = []
        for export_id in (theirs, nobodys):
            data = {"data": {"type": "exports", "id": export_id, "attributes": body}} if body else None
            answer = asker.call(method, f"/exports/{export_id}", json=data)
            answers.append((answer.status_code, answer.text.replace(export_id, "ID")))
        assert answers[0] == answers[1], "an export of others answers otherwise than one that nobody has"
        assert answers[0][0] == 404
    for filters in ({"filter[q][reference_start]": "OMEGA"}, {"filter[q][id_eq]": theirs}):
        answer = asker.call("GET", "/exports", params=filters)
        assert answer.status_code == 400 or answer.json()["data"] == []
    assert askers[OMEGA].get(theirs)["reference"] == "OMEGA-secret"
    assert service.fetch(link).status_code == 200


def test_all_tenants_reads_everything(service: Service) -> None:
    asker = service.asker("--all-tenants")
    found = asker.rows("orders", includes=["referrer"])
    assert len(found) == SHOP.orders
    assert all((row.get("referrer") is None) is (row.get("referrer_id") is None) for row in found)
    assert asker.rows("countries")


def test_a_token_for_some_resources_refuses_the_others(service: Service) -> None:
    asker = service.asker("--tenant", "1", "--resources", "orders,customers")
    assert asker.rows("orders", includes=["customer"])
    for resource, more in (
        ("skus", {}),
        ("orders", {"includes": ["line_items"]}),
        ("orders", {"filters": {"line_items_note_cont": "A"}}),
    ):
        answer = asker.ask(resource, "json", **more)
        assert answer.status_code in {401, 422}, answer.text


def test_a_read_only_token_changes_nothing(service: Service, askers: dict[int, Asker]) -> None:
    export_id = askers[ALPHA].create("orders")
    askers[ALPHA].finish(export_id)
    asker = service.asker("--tenant", "1", "--read-only")
    assert asker.get(export_id)["status"] == "completed"
    assert asker.ask("orders").status_code == 401
    assert asker.change(export_id, reference="changed").status_code == 401
    assert asker.call("DELETE", f"/exports/{export_id}").status_code == 401
    assert askers[ALPHA].get(export_id)["reference"] is None


def test_no_token_of_either_company_says_what_the_other_has_in_an_error(askers: dict[int, Asker]) -> None:
    asker = askers[ALPHA]
    for wrong in (
        {"filters": {"nope_eq": 1}},
        {"fields": ["nope"]},
        {"includes": ["nope"]},
        {"filters": {"id_eq": "x"}},
    ):
        answer = asker.ask("orders", "json", **wrong)
        assert answer.status_code in {400, 422}
        assert "OMEGA" not in answer.text


@pytest.mark.parametrize("resource", RESOURCES)
def test_lists_and_progress_count_only_the_own_rows(
    resource: str, service: Service, askers: dict[int, Asker]
) -> None:
    export_id = askers[OMEGA].create(resource)
    last = askers[OMEGA].finish(export_id)
    own = len(keys_of(service, OMEGA, resource))
    assert (last["records_count"], last["processed_count"], last["progress"]) == (own, own, 100.0)


TABLES: list[tuple[str, list[str], dict[str, str]]] = [
    ("orders", ["referrer", "line_items.sku"], {"line_items": "rows"}),
    ("orders", ["customer.orders_by_referrer"], {"customer.orders_by_referrer": "rows"}),
    ("customers", ["orders.line_items.sku"], {"orders": "rows", "orders.line_items": "rows"}),
    (
        "line_items",
        ["sku", "order.referrer"],
        {"sku": "columns", "order": "columns", "order.referrer": "columns"},
    ),
    ("tags", ["order_tags.order.referrer"], {"order_tags": "rows"}),
]


@pytest.mark.parametrize("company", [ALPHA, OMEGA])
def test_columns_and_lines_of_a_table_hold_nothing_of_the_other(
    company: int, service: Service, askers: dict[int, Asker]
) -> None:
    for resource, includes, nested in TABLES:
        export_id = askers[company].create(resource, "csv", includes=includes, nested=nested)
        data = _oracle.plain(askers[company].file(export_id))
        rows = _oracle.rows("csv", data)
        assert sorted(set(_oracle.numbers(rows, "id"))) == keys_of(service, company, resource)
        assert canaries(company) in data
        assert canaries(other(company)) not in data
        told = askers[company].manifest(export_id)["selections"][0]["matched"]
        assert told.get("(csv)", told[""]) == len(rows)
