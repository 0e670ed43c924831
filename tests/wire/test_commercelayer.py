"""Commerce Layer's dialect against its contract: parse, render and errors, without a service behind them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from outhaul import errors as core
from outhaul.dialects.commercelayer import errors, examples, parse, query, render
from outhaul.export import Draft, Selection, Status

GOLDEN = Path(__file__).parent / "commercelayer"
SETTING = render.Setting(
    "https://exports.example.com/api", "69abaa3545913c78132e5578bd26208d44aa9043647d78698fd0021f3958cd74"
)
NOON = datetime(2018, 1, 1, 12, tzinfo=UTC)
RUNNING = replace(examples.EXPORT, estimated_completion_at=NOON.replace(second=30, microsecond=250_999))


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def document(**attributes: Any) -> dict[str, Any]:
    """A body as the official SDK sends it."""
    return {"data": {"type": "exports", "attributes": attributes, "relationships": {}}}


def test_a_running_export_looks_as_in_the_contract() -> None:
    shown = {"data": render.resource(RUNNING, render.Links(), SETTING)}
    assert shown == golden("retrieve_in_progress")
    assert list(shown["data"]["attributes"]) != [], "22 attributes"
    assert len(shown["data"]["attributes"]) == 22


def test_a_completed_export_has_its_links_and_all_its_progress() -> None:
    done = replace(
        RUNNING, status=Status.COMPLETED, processed=300, completed_at=NOON, estimated_completion_at=None
    )
    shown = render.resource(done, render.Links("https://a/file", "https://a/manifest"), SETTING)
    attributes = shown["attributes"]
    assert (attributes["status"], attributes["progress"]) == ("completed", 100.0)
    assert (attributes["attachment_url"], shown["links"]["manifest"]) == (
        "https://a/file",
        "https://a/manifest",
    )
    assert attributes["completed_at"] == "2018-01-01T12:00:00.000Z"


def test_every_status_has_a_word_of_the_contract() -> None:
    assert set(render.STATUSES) == set(Status)
    assert set(render.STATUSES.values()) == {"pending", "in_progress", "interrupted", "completed", "failed"}


@pytest.mark.parametrize(
    ("times", "word"),
    [
        ({"completed_at": NOON}, "completed"),
        ({"failed_at": NOON}, "failed"),
        ({"interrupted_at": NOON}, "interrupted"),
    ],
)
def test_an_expired_export_keeps_its_word_and_says_that_its_files_are_gone(
    times: dict[str, Any], word: str
) -> None:
    attributes = render.resource(replace(RUNNING, status=Status.EXPIRED, **times), render.Links(), SETTING)[
        "attributes"
    ]
    assert attributes["status"] == word
    assert attributes["attachment_url"] is None
    assert "Create the export again" in attributes["errors_log"]["Gone"]


def test_empty_members_are_empty_and_never_null() -> None:
    plain = replace(RUNNING, draft=json.loads(json.dumps(asdict(Draft((Selection("skus"),))))), metadata={})
    attributes = render.resource(plain, render.Links(), SETTING)["attributes"]
    assert {
        name: attributes[name] for name in ("includes", "fields", "filters", "metadata", "errors_log")
    } == {
        "includes": [],
        "fields": [],
        "filters": {},
        "metadata": {},
        "errors_log": {},
    }


def test_a_failed_export_tells_what_its_customer_can_do() -> None:
    failed = replace(
        RUNNING,
        status=Status.FAILED,
        errors=({"error": "SourceTimeout", "message": "query timeout", "hint": "Ask for less.", "part": 3},),
    )
    assert render.resource(failed, render.Links(), SETTING)["attributes"]["errors_log"] == {
        "SourceTimeout": "query timeout Ask for less."
    }


def test_pages_have_counts_and_absolute_links() -> None:
    assert render.page([], 140, query.Asked(query.Page(2, 10)), SETTING) == golden("list_second_page")


@pytest.mark.parametrize(
    ("number", "total", "links"),
    [
        (1, 0, {"first": 1, "last": 1}),
        (1, 10, {"first": 1, "last": 1}),
        (1, 11, {"first": 1, "next": 2, "last": 2}),
        (2, 11, {"first": 1, "prev": 1, "last": 2}),
        (9, 11, {"first": 1, "prev": 2, "last": 2}),
    ],
)
def test_the_first_page_has_no_prev_and_the_last_no_next(
    number: int, total: int, links: dict[str, int]
) -> None:
    shown = render.page([], total, query.Asked(query.Page(number, 10)), SETTING)["links"]
    assert shown == {
        name: f"https://exports.example.com/api/exports?page[number]={page}&page[size]=10"
        for name, page in links.items()
    }


def test_a_creation_becomes_a_draft() -> None:
    draft = parse.creation(
        document(
            resource_type="skus",
            format="csv",
            includes=["prices"],
            fields=["code", "prices.*"],
            filters={"code_eq": "AAA", "status_in": ["a", "b"], "stock_gt": 3},
            dry_data=False,
            jwt_filters=False,
            reference="r",
            reference_origin="o",
            metadata={"foo": {"bar": [1, 2.5, None]}},
        )
    )
    assert draft == Draft(
        (
            Selection(
                "skus",
                ("code", "prices.*"),
                ("prices",),
                {"code_eq": "AAA", "status_in": ["a", "b"], "stock_gt": 3},
            ),
        ),
        formats=("csv",),
        compress="gzip",
        reference="r",
        reference_origin="o",
        metadata={"foo": {"bar": [1, 2.5, None]}},
        dialect="commercelayer",
    )


def test_json_with_gzip_is_what_is_meant_when_nothing_is_said() -> None:
    draft = parse.creation(
        document(resource_type="skus", includes=None, fields=None, filters=None, metadata=None)
    )
    assert (draft.formats, draft.compress, draft.selections[0]) == (("json",), "gzip", Selection("skus"))


def test_plain_files_can_be_asked_for() -> None:
    assert parse.creation(document(resource_type="skus", compress=None)).compress is None


def test_an_update_moves_and_amends() -> None:
    assert parse.update(document(_interrupt=True, reference="x"), "a") == parse.Change(
        "interrupt", {"reference": "x"}
    )
    assert parse.update(document(_start=True), "a") == parse.Change("start", {})
    assert parse.update(document(_start=False, reference=None), "a") == parse.Change(
        None, {"reference": None}
    )
    assert parse.update(document(metadata=None), "a") == parse.Change(None, {"metadata": {}})


def test_pages_are_read_from_the_query() -> None:
    assert query.listing([]).page == query.Page(1, 10)
    assert query.listing([("page[number]", "3"), ("page[size]", "25")]).page == query.Page(3, 25)
    assert query.Page(3, 25).offset == 50


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("no_token", core.NotSignedIn("A bearer token is needed.")),
        ("not_found", core.NotFound("There is no export 'x'.")),
        (
            "too_many",
            core.TooMuch(
                "must be less than or equal to 10",
                where=("records_count",),
                facts={"value": 100, "limit": 10},
            ),
        ),
    ],
)
def test_errors_are_said_as_in_the_contract(name: str, error: core.OuthaulError) -> None:
    status, body = errors.document(error, "trace")
    assert {"status": status, "body": body} == golden("errors")[name]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("blank", document()),
        ("blank", document(resource_type="")),
        ("no_data", {}),
        ("no_data", []),
        ("no_data", None),
    ],
)
def test_bodies_without_what_is_needed_are_refused_as_in_the_contract(name: str, body: Any) -> None:
    with pytest.raises(core.Refused) as refused:
        parse.creation(body)
    status, said = errors.document(refused.value, "trace")
    assert {"status": status, "body": said} == golden("errors")[name]


def test_an_id_that_is_not_that_of_the_address_is_refused_as_in_the_contract() -> None:
    body = document(reference="x")
    body["data"]["id"] = "10272"
    with pytest.raises(core.Refused) as refused:
        parse.update(body, "10273")
    status, said = errors.document(refused.value, "trace")
    assert {"status": status, "body": said} == golden("errors")["other_key"]


def every_error(kind: type[core.OuthaulError] = core.OuthaulError) -> list[type[core.OuthaulError]]:
    return [kind, *(deeper for below in kind.__subclasses__() for deeper in every_error(below))]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_has_a_document_and_every_422_its_meta(kind: type[core.OuthaulError]) -> None:
    status, body = errors.document(kind("What went wrong.", where=("filters", "a/b~c")), "trace")
    (said,) = body["errors"]
    assert said["status"] == str(status)
    assert said["title"]
    assert said["detail"]
    assert said["code"] == said["code"].upper()
    in_query = issubclass(kind, errors.InQuery)
    assert said["source"] == (
        {"parameter": "filters"} if in_query else {"pointer": "/data/attributes/filters/a~1b~0c"}
    )
    assert (status == 422) == ("meta" in said)
    assert status != 422 or said["meta"]["error"]
    assert status != 403, "not in the contract: missing permission is 401"
    assert status != 409, "not in the contract"


def test_a_fault_of_our_own_shows_its_trace_and_not_its_text() -> None:
    status, body = errors.document(core.OuthaulError("postgresql://u:geheim@h/d"), "abc123")
    assert status == 500
    assert "abc123" in body["errors"][0]["detail"]
    assert "geheim" not in json.dumps(body)
