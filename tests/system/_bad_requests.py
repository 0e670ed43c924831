"""Requests that must be refused, and what each refusal must say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """A request that must be refused: what is asked beside `orders`, and what the refusal must say."""

    wanted: dict[str, Any]
    pointer: str
    words: tuple[str, ...] = ()
    status: tuple[int, ...] = (422,)
    code: tuple[str, ...] = ("VALIDATION_ERROR",)


def malformed(wanted: dict[str, Any], pointer: str, *words: str) -> Case:
    """A member of the wrong type: the contract leaves open which of these codes says so."""
    codes = ("VALIDATION_ERROR", "PARAM_NOT_ALLOWED", "PARAM_MISSING", "INVALID_FIELD", "INVALID_RESOURCE")
    return Case(wanted, pointer, words, (400, 422), codes)


FIELDS, INCLUDES, FILTERS = "/data/attributes/fields", "/data/attributes/includes", "/data/attributes/filters"

CASES: dict[str, Case] = {
    "resource_unknown": Case(
        {"resource_type": "ordres"}, "/data/attributes/resource_type", ("ordres", "orders", "skus")
    ),
    "resource_blank": Case({"resource_type": ""}, "/data/attributes/resource_type"),
    "resource_null": malformed({"resource_type": None}, "/data/attributes/resource_type"),
    "resource_number": malformed({"resource_type": 5}, "/data/attributes/resource_type"),
    "resource_list": malformed({"resource_type": ["orders"]}, "/data/attributes/resource_type"),
    "resource_other_case": Case(
        {"resource_type": "Orders"}, "/data/attributes/resource_type", ("Orders", "orders")
    ),
    "resource_hostile": Case(
        {"resource_type": "orders; DROP TABLE orders"}, "/data/attributes/resource_type", ("DROP TABLE",)
    ),
    "resource_schema": Case(
        {"resource_type": "pg_catalog.pg_authid"}, "/data/attributes/resource_type", ("pg_authid",)
    ),
    "resource_nul": Case({"resource_type": "orders\0"}, "/data/attributes/resource_type", ("orders",)),
    "format_unknown": Case({"format": "xlsb"}, "/data/attributes/format", ("xlsb", "csv", "json")),
    "format_path": Case({"format": "../formats/csv"}, "/data/attributes/format", ("csv", "json")),
    "format_private": Case({"format": "_assemble"}, "/data/attributes/format", ("_assemble", "csv")),
    "format_package": Case({"format": "__init__"}, "/data/attributes/format", ("csv",)),
    "format_number": malformed({"format": 1}, "/data/attributes/format"),
    "field_unknown": Case({"fields": ["id", "nummer"]}, FIELDS, ("nummer", "number", "placed_at")),
    "field_of_relationship_unknown": Case({"fields": ["customer.nam"]}, FIELDS, ("nam", "name", "email")),
    "field_relationship_unknown": Case(
        {"fields": ["custmer.name"]}, FIELDS, ("custmer", "customer", "line_items")
    ),
    "field_star_of_unknown": Case({"fields": ["nobody.*"]}, FIELDS, ("nobody", "customer")),
    "field_star_twice": Case({"fields": ["**"]}, FIELDS, ("**",)),
    "field_empty": Case({"fields": [""]}, FIELDS),
    "field_dots": Case({"fields": ["customer..name"]}, FIELDS),
    "field_nul": Case({"fields": ["id\0"]}, FIELDS, ("id",)),
    "field_hostile": Case({"fields": ['id", (SELECT 1) AS "x']}, FIELDS, ("SELECT 1",)),
    "fields_string": malformed({"fields": "id"}, FIELDS),
    "fields_object": malformed({"fields": {"id": True}}, FIELDS),
    "fields_numbers": malformed({"fields": [1, 2]}, FIELDS),
    "fields_lists": malformed({"fields": [["id"]]}, FIELDS),
    "fields_ten_thousand": Case({"fields": [f"f{n}" for n in range(10_000)]}, FIELDS, ("10,000", "1,000")),
    "field_very_long": Case({"fields": ["x" * 100_000]}, FIELDS, ("xxx",)),
    "field_very_deep": Case({"fields": [".".join(["customer", "orders"] * 2000 + ["id"])]}, FIELDS),
    "include_unknown": Case({"includes": ["custmer"]}, INCLUDES, ("custmer", "customer", "line_items")),
    "include_deep_unknown": Case({"includes": ["customer.nobody"]}, INCLUDES, ("nobody", "country")),
    "include_field": Case({"includes": ["number"]}, INCLUDES, ("number", "customer")),
    "include_cycle": Case({"includes": ["line_items.order.line_items"]}, INCLUDES, ("line_items",)),
    "include_long_cycle": Case({"includes": ["customer.orders.customer.orders"]}, INCLUDES, ("customer",)),
    "include_empty": Case({"includes": [""]}, INCLUDES),
    "includes_string": malformed({"includes": "customer"}, INCLUDES),
    "includes_null_inside": malformed({"includes": [None]}, INCLUDES),
    "include_very_deep": Case({"includes": [".".join(["customer", "orders"] * 2000)]}, INCLUDES),
    "filter_unknown_field": Case({"filters": {"nummer_eq": "1"}}, FILTERS, ("nummer", "number")),
    "filter_unknown_predicate": Case(
        {"filters": {"number_equals": "1"}}, FILTERS, ("number_equals", "eq", "cont")
    ),
    "filter_no_predicate": Case({"filters": {"number": "1"}}, FILTERS, ("number",)),
    "filter_unknown_path": Case({"filters": {"customer_nam_eq": "1"}}, FILTERS, ("customer_nam",)),
    "filter_or_unknown": Case({"filters": {"number_or_nummer_eq": "1"}}, FILTERS, ("nummer",)),
    "filter_empty_name": Case({"filters": {"": "1"}}, FILTERS),
    "filter_text_for_number": Case({"filters": {"id_eq": "abc"}}, FILTERS, ("abc", "id")),
    "filter_text_for_decimal": Case({"filters": {"total_gt": "12,5"}}, FILTERS, ("12,5", "total")),
    "filter_text_for_time": Case(
        {"filters": {"placed_at_lt": "yesterday"}}, FILTERS, ("yesterday", "placed_at")
    ),
    "filter_no_such_day": Case({"filters": {"placed_at_lt": "2026-02-30"}}, FILTERS, ("2026-02-30",)),
    "filter_fraction_for_integer": Case({"filters": {"id_in": "1,2.5"}}, FILTERS, ("2.5",)),
    "filter_object_value": malformed({"filters": {"number_eq": {"a": 1}}}, FILTERS, "number_eq"),
    "filter_list_for_eq": malformed({"filters": {"number_eq": ["a", "b"]}}, FILTERS, "number_eq"),
    "filter_flag_not_a_flag": Case({"filters": {"number_null": "maybe"}}, FILTERS, ("maybe",)),
    "filter_like_on_number": Case({"filters": {"id_cont": "1"}}, FILTERS, ("id",)),
    "filter_nul": Case({"filters": {"number_eq": "a\0b"}}, FILTERS, ("number",)),
    "filter_nul_in_list": Case({"filters": {"number_in": ["a", "b\0"]}}, FILTERS, ("number",)),
    "filter_nul_in_name": Case({"filters": {"number\0_eq": "a"}}, FILTERS),
    "filter_nan": Case({"filters": {"id_eq": "NaN"}}, FILTERS, ("NaN",)),
    "filters_list": malformed({"filters": ["number_eq"]}, FILTERS),
    "filters_string": malformed({"filters": "number_eq=1"}, FILTERS),
    "filters_ten_thousand": Case(
        {"filters": {f"f{n}_eq": 1 for n in range(10_000)}}, FILTERS, ("10,000", "100")
    ),
    "filter_ten_thousand_ors": Case(
        {"filters": {"_or_".join(["nobody"] * 10_000) + "_eq": 1}}, FILTERS, ("nobody",)
    ),
    "dry_data_text": malformed({"dry_data": "perhaps"}, "/data/attributes/dry_data"),
    "metadata_list": malformed({"metadata": [1]}, "/data/attributes/metadata"),
    "reference_object": malformed({"reference": {"a": 1}}, "/data/attributes/reference"),
    "attribute_unknown": Case({"colour": "red"}, "", ("colour",), (400,), ("PARAM_NOT_ALLOWED",)),
    "status_given": Case({"status": "completed"}, "", ("status",), (400,), ("PARAM_NOT_ALLOWED",)),
}


ORDERS = {"data": {"type": "exports", "attributes": {"resource_type": "orders"}, "relationships": {}}}

# name: (method, path below /api/exports, body, headers, status, code, word)
BODIES: dict[str, tuple[str, str, bytes | None, dict[str, str], set[int], str | None]] = {
    "not_json": ("POST", "", b"{", {}, {400}, None),
    "not_utf8": ("POST", "", b'{"data": "\xff"}', {}, {400}, None),
    "empty": ("POST", "", b"", {}, {400}, None),
    "list": ("POST", "", b"[]", {}, {400}, None),
    "no_data": ("POST", "", b"{}", {}, {400}, "PARAM_MISSING"),
    "data_list": ("POST", "", b'{"data": []}', {}, {400, 422}, None),
    "data_null": ("POST", "", b'{"data": null}', {}, {400, 422}, None),
    "wrong_type": (
        "POST",
        "",
        b'{"data": {"type": "imports", "attributes": {"resource_type": "orders"}}}',
        {},
        {400},
        "INVALID_RESOURCE",
    ),
    "no_attributes": ("POST", "", b'{"data": {"type": "exports"}}', {}, {400, 422}, None),
    "attributes_list": ("POST", "", b'{"data": {"type": "exports", "attributes": []}}', {}, {400, 422}, None),
    "lone_surrogate": (
        "POST",
        "",
        b'{"data": {"type": "exports", "attributes": {"resource_type": "orders", "reference": "\\ud800"}}}',
        {},
        {400, 422},
        None,
    ),
    "nan": (
        "POST",
        "",
        b'{"data": {"type": "exports", "attributes": {"resource_type": "orders", "filters": {"id_eq": NaN}}}}',
        {},
        {400, 422},
        None,
    ),
    "very_deep": ("POST", "", b"[" * 200_000, {}, {400, 413}, None),
    "very_deep_value": (
        "POST",
        "",
        b'{"data": {"type": "exports", "attributes": {"resource_type": "orders", "metadata": '
        + b'{"a":' * 50_000
        + b"1"
        + b"}" * 50_003,
        {},
        {400, 413, 422},
        None,
    ),
    "too_large": ("POST", "", b'{"data": "' + b"x" * 3_000_000 + b'"}', {}, {400, 413, 422}, None),
    "media_type": (
        "POST",
        "",
        json.dumps(ORDERS).encode(),
        {"Content-Type": "text/plain"},
        {415},
        "UNSUPPORTED_MEDIA_TYPE",
    ),
    "accept": ("GET", "", None, {"Accept": "text/html"}, {406}, "NOT_ACCEPTABLE"),
    "put": ("PUT", "", json.dumps(ORDERS).encode(), {}, {404, 405}, None),
    "unknown_id": ("GET", "/XAyRWNUzyN", None, {}, {404}, "RECORD_NOT_FOUND"),
    "hostile_id": ("GET", "/'%20OR%20'1'='1", None, {}, {404}, "RECORD_NOT_FOUND"),
    "nul_id": ("GET", "/abc%00def", None, {}, {400, 404}, None),
    "long_id": ("GET", "/" + "x" * 5000, None, {}, {404, 414}, None),
    "delete_unknown": ("DELETE", "/XAyRWNUzyN", None, {}, {404}, "RECORD_NOT_FOUND"),
    "sort": ("GET", "?sort=colour", None, {}, {400}, "INVALID_SORT_CRITERIA"),
    "field": ("GET", "?fields[exports]=colour", None, {}, {400}, "INVALID_FIELD"),
    "include": ("GET", "?include=colour", None, {}, {400}, "INVALID_INCLUDE"),
    "filter": ("GET", "?filter[q][colour_eq]=red", None, {}, {400}, "FILTER_NOT_ALLOWED"),
    "page_size": ("GET", "?page[size]=0", None, {}, {400}, "INVALID_PAGE_VALUE"),
    "page_number": ("GET", "?page[number]=minus", None, {}, {400}, "INVALID_PAGE_VALUE"),
    "page_huge": ("GET", "?page[number]=99999999999999999999999", None, {}, {200, 400}, None),
}
