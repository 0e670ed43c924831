"""Rebilly's dialect against its contract: ids, bodies, queries, documents and problems, without a service."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from outhaul import errors as core
from outhaul.dialects.rebilly import errors, ids, mapping, parse, render
from outhaul.dialects.rebilly.mapping import TYPES, Mapped, mapped
from outhaul.dialects.rebilly.routes import PLACES
from outhaul.errors import Malformed, Misconfigured, NotAllowed, WrongValue
from outhaul.export import Draft, Export, Selection, Status
from outhaul.service import File
from tests.catalogs import SHOP
from tests.wire.test_commercelayer import every_error

GOLDEN = Path(__file__).parent / "rebilly"
AT = datetime(2024, 5, 8, 12, 0, 0, 100_000, tzinfo=UTC)
DRAFT = Draft(
    (Selection("buyers", stem="customers"), Selection("notes", stem="credit-memos")), ("json", "csv")
)
EXPORT = Export(
    id="XAyRWNUzyN",
    tenant="acme",
    caller="key-1",
    dialect="rebilly",
    status=Status.COMPLETED,
    draft=json.loads(json.dumps(asdict(DRAFT))),
    matched=3,
    processed=3,
    parts=4,
    parts_done=4,
    created_at=AT,
    updated_at=AT.replace(second=9, microsecond=0),
    completed_at=AT.replace(second=9, microsecond=0),
    expires_at=AT.replace(second=9, microsecond=0) + timedelta(days=7),
)
PENDING = replace(EXPORT, status=Status.CREATED, completed_at=None, expires_at=None, matched=None)
SETTING = render.Setting(
    render.place("https://exports.example.com", "acme"),
    "https://exports.example.com/files/signed/a.zip",
    (3, 0),
)


def golden(name: str) -> Any:
    text = (GOLDEN / f"{name}.json").read_text()
    ulid = ids.export_id(EXPORT).removeprefix("org_exp_")
    return json.loads(text.replace("usr_USER", ids.user_id("key-1")).replace("ULID", ulid))


def read(number: int) -> str:
    """A number in Crockford's base32, the slow way."""
    text = ""
    for _ in range(26):
        text = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number % 32] + text
        number //= 32
    return text


def test_an_id_is_a_ulid_of_its_time_and_leads_back_to_its_export() -> None:
    number = 0
    for letter in EXPORT.id:
        number = number * 52 + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter)
    milliseconds = int(AT.timestamp()) * 1000 + 100
    assert ids.export_id(EXPORT) == "org_exp_" + read(milliseconds * 2**80 + number)
    assert ids.file_id(EXPORT) == "file_" + ids.export_id(EXPORT).removeprefix("org_exp_")
    for letters in ("aaaaaaaaaa", "ZZZZZZZZZZ", EXPORT.id):
        given = ids.export_id(replace(EXPORT, id=letters))
        assert re.fullmatch(r"org_exp_[0-7][0-9A-HJKMNP-TV-Z]{25}", given)
        assert ids.ledger_id(given, "org_exp_") == letters
    assert ids.export_id(replace(EXPORT, created_at=AT + timedelta(seconds=1))) > ids.export_id(EXPORT)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "XAyRWNUzyN",
        "org_exp_",
        "org_exp_01HXC7MKK4GCS6WRRXY4X9CRM",
        "org_exp_01HXC7MKK4GCS6WRRXY4X9CRMKK",
        "org_exp_01HXC7MKK4GCS6WRRXY4X9CRMU",
        "org_exp_01HXC7MKK4ZZZZZZZZZZZZZZZZ",
        "org_exp_01hxc7mkk41kwgpghzsq0t2c3p",
        "file_01HXC7MKK41KWGPGHZSQ0T2C3P",
        "org_exp_01HXC7MKK41KWGPGHZSQ0T2C3P\n",
    ],
)
def test_what_is_no_id_of_ours_leads_nowhere(given: str) -> None:
    assert ids.ledger_id(given, ids.EXPORT) is None


def test_users_are_told_apart_and_not_named() -> None:
    assert ids.user_id("key-1") == ids.user_id("key-1") != ids.user_id("key-2")
    assert re.fullmatch(r"usr_[0-7][0-9A-HJKMNP-TV-Z]{25}", ids.user_id("https://a/é"))


@pytest.mark.parametrize(("name", "export"), [("completed", EXPORT), ("pending", PENDING)])
def test_an_export_looks_as_in_the_contract(name: str, export: Export) -> None:
    shown = render.organization_export(export, SETTING)
    assert shown == golden(name)
    assert list(shown) == list(golden(name))


def test_every_status_has_a_word_of_the_contract() -> None:
    assert set(render.STATUSES) == set(Status)
    words = {"pending", "processing", "completed", "queued", "failed", "expired"}
    assert set(render.STATUSES.values()) == words


@pytest.mark.parametrize("status", [one for one in Status if one is not Status.COMPLETED])
def test_only_a_completed_export_has_a_file(status: Status) -> None:
    shown = render.organization_export(replace(EXPORT, status=status), replace(SETTING, link=None))
    assert shown["fileId"] is None
    assert [link["rel"] for link in shown["_links"]] == ["self", "user"]


def test_an_expired_export_still_tells_what_it_held() -> None:
    shown = render.organization_export(replace(EXPORT, status=Status.EXPIRED), replace(SETTING, link=None))
    assert (shown["status"], len(shown["resources"])) == ("expired", 2)
    assert shown["retentionTime"] == "2024-05-15T12:00:09.000Z"


def test_a_file_says_what_is_known_of_it() -> None:
    found = File(
        "organization-export-a.b.zip", "application/zip", 7, '"e"', lambda *_: iter([]), sha1="f" * 40
    )
    shown = render.file(EXPORT, found, SETTING)
    assert shown | {"_links": []} == {
        "id": ids.file_id(EXPORT),
        "name": "organization-export-a.b",
        "extension": "zip",
        "description": "",
        "tags": [],
        "mime": "application/zip",
        "size": 7,
        "sha1": "f" * 40,
        "sourceType": "organization-export",
        "isPublic": False,
        "createdTime": "2024-05-08T12:00:09.000Z",
        "updatedTime": "2024-05-08T12:00:09.000Z",
        "_links": [],
    }
    own = f"https://exports.example.com/organizations/acme/files/{ids.file_id(EXPORT)}"
    assert {link["rel"]: link["href"] for link in shown["_links"]} == {
        "self": own,
        "download": f"{own}/download",
        "signedLink": SETTING.link,
    }


OFFERED = Mapped(DRAFT.selections, ("users",))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b' {"includeFiles": false} '])
def test_an_export_of_everything_is_asked_for_with_any_empty_body(body: bytes) -> None:
    draft = parse.creation(body, OFFERED, "acme")
    assert (draft.selections, draft.formats, draft.compress) == (OFFERED.selections, ("json", "csv"), "gzip")
    assert (draft.archive, draft.sha1, draft.dialect) == ("organization-export-acme", True, "rebilly")
    assert draft.wire == {"includeFiles": False, "absent": ["users"]}


@pytest.mark.parametrize(
    "body", [b"{", b"nonsense", b"[1]", b'"x"', b"NaN", b'{"a": 1, "a": 2}', b"[" * 100_000]
)
def test_a_body_that_is_no_object_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse.creation(body, OFFERED, "acme")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"includeFiles": true}', "includeFiles"),
        (b'{"includeFiles": null}', "includeFiles"),
        (b'{"includeFiles": "yes"}', "includeFiles"),
        (b'{"resources": ["customers"]}', "resources"),
    ],
)
def test_an_option_that_cannot_be_met_is_refused_by_its_name(body: bytes, field: str) -> None:
    with pytest.raises(WrongValue) as refused:
        parse.creation(body, OFFERED, "acme")
    status, said = errors.problem(refused.value, "trace")
    assert (status, [one["field"] for one in said["invalidFields"]]) == (422, [field])


def test_where_nothing_is_mapped_nothing_is_offered() -> None:
    with pytest.raises(NotAllowed, match="not offered"):
        parse.creation(b"", mapped({}), "acme")


def test_a_list_without_a_word_begins_with_the_newest() -> None:
    assert parse.listing([]) == parse.Asked(100, 0, (("created_at", True),))
    assert parse.listing([("criteria", "x"), ("limit", ""), ("q", ""), ("filter", "")]) == parse.listing([])


def test_limits_and_offsets_are_read_up_to_a_thousand() -> None:
    for number in (0, 1, 1000):
        asked = parse.listing([("limit", str(number)), ("offset", str(number))])
        assert (asked.limit, asked.offset) == (number, number)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("limit", "offset")
            for value in ("-1", "1001", "x", "1.5", "١", "9" * 40)
        ),
        *(("sort", value) for value in ("status", "-id", "createdTime,-createdTime", "created_at")),
        *(("filter", value) for value in ("status", "nonsense:1", "status:wrong", "status:failed,!expired")),
        ("filter", "createdTime:!2026-01-01T00:00:00Z.."),
        ("filter", "createdTime:.."),
        ("filter", "createdTime:1..2,3..4"),
        ("filter", "createdTime:1..2;createdTime:1.."),
        ("filter", "id:" + ",".join("x" * 101)),
        ("filter", ";".join(f"id:x{n}" for n in range(101))),
        ("filter", ";".join(f"id:!org_exp_{n:026}" for n in range(101))),
        ("page", "2"),
    ],
)
def test_a_query_that_cannot_be_met_is_refused_by_its_parameter(name: str, value: str) -> None:
    with pytest.raises(WrongValue) as refused:
        parse.listing([(name, value)])
    assert refused.value.where == (name,)


def test_orders_are_read_from_one_parameter_or_several() -> None:
    order = (("created_at", False), ("updated_at", True))
    assert parse.listing([("sort", "createdTime,-updatedTime")]).order == order
    assert parse.listing([("sort[]", "createdTime"), ("sort[]", "-updatedTime")]).order == order


def test_filters_narrow_one_after_the_other() -> None:
    def statuses(*query: tuple[str, str]) -> set[str]:
        return {*(parse.listing(query).statuses or ())}

    assert statuses(("filter", "status:Completed,FAILED,queued;status:!queued"), ("q", "fail")) == {"failed"}
    others = {"pending", "queued", "processing", "expired"}
    assert statuses(("filter", "status:!completed,failed")) == others
    assert statuses(("filter", "status:!completed,!failed")) == others
    assert statuses(("q", "ed")) == {"queued", "completed", "failed", "expired"}
    assert statuses(("q", "nothing")) == set()


def test_ids_are_read_blind_to_case_and_of_their_own_kind() -> None:
    own, file = ids.export_id(EXPORT), ids.file_id(EXPORT)
    assert parse.listing([("filter", f"id:{own.lower()}")]).ids == (frozenset({own}),)
    assert parse.listing([("filter", f"fileId:{file.upper()}")]).ids == (frozenset({file}),)
    assert parse.listing([("filter", f"id:!{own}")]).others == {own}
    assert parse.listing([("q", own)]).ids == (frozenset({own}),)
    assert parse.listing([("filter", f"id:{file}")]).ids == (frozenset({""}),)
    assert len(parse.listing([("filter", ";".join(f"id:x{n}" for n in range(100)))]).ids) == 100
    assert parse.listing([("filter", f"id:{own}"), ("q", file)]).ids == (frozenset({own}), frozenset({file}))


def test_times_are_read_as_ranges_with_open_ends() -> None:
    low, high = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
    for text, times in {
        f"{low}..{high}": {"createdTime_gteq": low, "createdTime_lteq": high},
        f"{low}..": {"createdTime_gteq": low},
        f"..{high}": {"createdTime_lteq": high},
        f"{low},{high}": {"createdTime_in": [low, high]},
        f"!{low}": {"createdTime_not_in": [low]},
    }.items():
        assert parse.listing([("filter", f"createdTime:{text}")]).times == times


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("no_key", core.NotSignedIn("An API key is needed.")),
        ("limited", core.NotAllowed("This token only reads.")),
        ("missing", core.NotFound("There is no such export.")),
        ("wrong_value", core.WrongValue("It must be true or false.", where=("includeFiles",))),
        ("too_many", errors.TooManyRequests("Too many requests.", facts={"wait": 3})),
    ],
)
def test_errors_are_said_as_in_the_contract(name: str, error: core.OuthaulError) -> None:
    status, body = errors.problem(error, "TRACE")
    assert body == golden("problems")[name]
    assert status == body["status"]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_is_a_problem_with_an_absolute_type(kind: type[core.OuthaulError]) -> None:
    status, body = errors.problem(kind("What went wrong.", where=("a", "b")), "trace")
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    assert (status == 422) == ("invalidFields" in body)
    assert body.get("invalidFields", [{"field": "a.b"}])[0]["field"] == "a.b"
    assert status in {400, 401, 403, 404, 413, 416, 422, 429, 500, 503, 405}


def test_a_fault_of_our_own_shows_its_trace_and_not_its_text() -> None:
    status, body = errors.problem(core.OuthaulError("postgresql://u:geheim@h/d"), "abc123")
    assert status == 500
    assert "abc123" in body["detail"]
    assert "geheim" not in json.dumps(body)


ALL = dict.fromkeys(TYPES, "orders")


def test_there_are_the_types_of_the_contract() -> None:
    seed = (
        "customers users payment-instruments invoices orders transactions disputes gateway-accounts blocklists "
        "lists webhooks products websites plans credit-memos files email-notifications"
    )
    assert " ".join(TYPES) == seed


def test_a_section_maps_types_by_a_name_or_a_table() -> None:
    written = {"resource": "orders", "fields": ["id"], "includes": ["customer"], "filters": {"id_gt": 1}}
    found = mapped({"rebilly": {"types": {"orders": written, "customers": "customers"}, "absent": ["users"]}})
    assert found.selections == (
        Selection("customers", stem="customers"),
        Selection("orders", ("id",), ("customer",), {"id_gt": 1}, stem="orders"),
    )
    assert found.absent == tuple(name for name in TYPES if name not in {"orders", "customers"})


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"types": {"clients": "customers"}}, "clients"),
        ({"types": {"orders": {"fields": []}}}, "orders.resource"),
        ({"types": {"orders": {"resource": "orders", "where": "x"}}}, "orders.where"),
        ({"absent": ["nobody"]}, "absent.0"),
        ({"tipes": {}}, "tipes"),
        ({"types": {"orders": "orders"}, "absent": ["orders"]}, "both"),
        ({"types": {"orders": 7}}, "orders"),
    ],
)
def test_a_slip_in_the_section_is_named(section: dict[str, Any], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        mapped({"rebilly": section})
    assert said in mapping.check(replace(SHOP, sections={"rebilly": section}))[0]


def test_a_check_says_what_is_missing_and_what_is_wrong() -> None:
    types = {
        **ALL,
        "customers": "custommers",
        "users": {"resource": "customers", "fields": ["nmae"]},
        "products": "skus",
        "invoices": {"resource": "orders", "segments": ["big"]},
    }
    del types["websites"], types["plans"]
    found = mapping.check(replace(SHOP, sections={"rebilly": {"types": types, "absent": ["plans"]}}))
    by_type = dict(one.split(": ", 1) for one in found)
    assert by_type.keys() == {"websites", "customers", "users", "products"}
    assert "customers" in by_type["customers"]
    assert "nmae" in by_type["users"]
    assert "no tenant rule" in by_type["products"]
    assert "absent" in by_type["websites"]
    assert mapping.check(replace(SHOP, sections={"rebilly": {"types": ALL}})) == ()


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/organization-exports", True),
        ("/organization-exports/", True),
        ("/organization-exports/x", True),
        ("/organizations/acme/organization-exports", True),
        ("/organizations/a b/organization-exports/x/y", True),
        ("/organizations/acme/files/x", True),
        (f"/files/{ids.file_id(EXPORT)}", True),
        (f"/files/{ids.file_id(EXPORT)}/download", True),
        (f"/files/{ids.file_id(EXPORT)}/download/", True),
        (f"/files/{ids.file_id(EXPORT)}/a.zip", False),
        ("/files/file_x/download", True),
        ("/files/nothing", True),
        ("/files/a/b/c", True),
        ("/files", True),
        ("/files/", True),
        ("/files/WyJYQXlSV05VenlOIl0.abc/manifest.json", False),
        ("/files/WyJYQXlSV05VenlOIl0.abc/download.zip", False),
        ("/files/a/\n", False),
        ("/filess/a", False),
        ("/organization-exportss", False),
        ("/organizations/acme", True),
        ("/organizations/acme/exports", True),
        ("/api/organization-exports", False),
    ],
)
def test_the_addresses_are_told_from_those_of_others(path: str, ours: bool) -> None:
    assert bool(PLACES.fullmatch(path)) is ours
