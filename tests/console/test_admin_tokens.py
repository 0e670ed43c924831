"""Tokens on pages: made and shown once, worth what the form says, listed with what they reach, and revoked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from outhaul.app import Outhaul
from outhaul.ceilings import Ceiling
from outhaul.errors import NotSignedIn
from tests.console.test_pages import HOSTILE
from tests.console.visitors import HERE, Page, Visitor, readable, resting
from tests.test_audit import told

SHAPE = re.compile(r"oh_[A-Za-z0-9_-]{43}")


@pytest.fixture(scope="module")
def outhaul(place: Path) -> Iterator[Outhaul]:
    with resting(place) as outhaul:
        yield outhaul


@pytest.fixture
def visitor(visitor: Visitor) -> Visitor:
    visitor.sign_in()
    return visitor


def form(visitor: Visitor, **given: str) -> dict[str, str]:
    """The form as its page has it, with what somebody has typed."""
    page = Page(visitor.get("/admin/tokens/new").text)
    (hidden,) = [one for one in page.of("input") if one.get("name") == "form"]
    return {"form": str(hidden["value"]), "reach": "tenant", "may": "export", "expires": "90 days", **given}


def test_a_token_is_shown_once_and_kept_nowhere(outhaul: Outhaul, visitor: Visitor) -> None:
    sent = form(visitor, name="Ledger sync", tenants=" 7 \r\n8\r\n")
    answer = visitor.post("/admin/tokens", HERE, **sent)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    (token,) = set(SHAPE.findall(answer.text))
    assert "shown this once" in readable(answer.text)
    caller = outhaul.access.caller(token)
    assert (caller.tenant, caller.others, caller.name, caller.read_only) == (
        "7",
        ("8",),
        "Ledger sync",
        False,
    )
    (kept,) = [one for one in outhaul.access.list_tokens() if one.id == caller.id]
    assert kept.expires_at
    assert abs(kept.expires_at - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=1)
    assert told(outhaul)["token"] == kept.id
    assert token not in (outhaul.settings.audit_folder / f"{datetime.now(UTC):%Y-%m-%d}.jsonl").read_text()
    assert token not in visitor.get("/admin/tokens").text


def test_a_page_that_is_loaded_anew_makes_and_shows_no_other(outhaul: Outhaul, visitor: Visitor) -> None:
    sent = form(visitor, tenants="7")
    token = SHAPE.findall(visitor.post("/admin/tokens", HERE, **sent).text)[0]
    number = len(outhaul.access.list_tokens())
    again = visitor.post("/admin/tokens", HERE, **sent)
    assert (again.status_code, SHAPE.findall(again.text)) == (409, [])
    assert "already" in readable(again.text)
    assert len(outhaul.access.list_tokens()) == number
    assert outhaul.access.caller(token).tenant == "7"
    assert visitor.get("/admin/tokens").status_code == 200, "to load its address makes nothing"


@pytest.mark.parametrize(
    ("given", "worth"),
    [
        ({"tenants": "1"}, {"tenant": "1", "all_tenants": False, "resources": (), "read_only": False}),
        ({"reach": "all", "tenants": ""}, {"tenant": None, "all_tenants": True, "admin": True}),
        ({"reach": "all", "may": "read"}, {"all_tenants": True, "read_only": True, "admin": False}),
        (
            {"tenants": "1", "resource.orders": "yes", "resource.companies": "yes"},
            {"resources": ("orders", "companies")},
        ),
        (
            {"tenants": "1", "rows": "1,000", "megabytes": "20"},
            {"ceiling": Ceiling(records=1_000, bytes=20_000_000)},
        ),
    ],
    ids=str,
)
def test_a_token_is_worth_what_the_form_says(
    outhaul: Outhaul, visitor: Visitor, given: dict[str, str], worth: dict[str, Any]
) -> None:
    answer = visitor.post("/admin/tokens", HERE, **form(visitor, expires="never", **given))
    assert answer.status_code == 200, answer.text
    caller = outhaul.access.caller(SHAPE.findall(answer.text)[0])
    assert {name: getattr(caller, name) for name in worth} == worth
    assert outhaul.ledger.token(caller.id).expires_at is None  # type: ignore[union-attr]  # it is there


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "must say of which"),
        ({"reach": "all", "tenants": "1"}, "some tenants or for all"),
        ({"tenants": "1", "expires": "soon"}, "how long"),
        ({"tenants": "1", "rows": "many"}, "whole number"),
        ({"tenants": "1", "rows": "-1"}, "whole number"),
        ({"tenants": "x" * 201}, "at most 200"),
        ({"tenants": "1", "form": "../../x"}, "none of ours"),
        ({"tenants": "1\0"}, "can be printed"),
        ({"tenants": "1", "resource.no\0where": "yes"}, "no resource"),
    ],
    ids=str,
)
def test_a_form_that_makes_no_sense_is_shown_again_with_what_was_typed(
    outhaul: Outhaul, visitor: Visitor, given: dict[str, str], said: str
) -> None:
    number = len(outhaul.access.list_tokens())
    answer = visitor.post("/admin/tokens", HERE, **{**form(visitor, name="typed before"), **given})
    assert (answer.status_code, SHAPE.findall(answer.text)) == (422, [])
    page = Page(answer.text)
    assert said in " ".join(page.texts)
    assert "typed before" in [one.get("value") for one in page.of("input")]
    assert len(outhaul.access.list_tokens()) == number


def test_a_revoked_token_is_good_no_more_nor_are_its_sessions(outhaul: Outhaul, visitor: Visitor) -> None:
    token, kept = outhaul.access.make_token("Old", tenant="1")
    other = Visitor(outhaul, str(visitor.http.base_url))
    other.post("/sign-in", token=token)
    sure = visitor.text(f"/admin/tokens/{kept.id}")
    assert "Revoke this token?" in sure
    assert outhaul.access.caller(token).id == kept.id, "to look at the question does nothing"
    answer = visitor.post(f"/admin/tokens/{kept.id}/revoke")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/admin/tokens")
    assert told(outhaul)["token"] == kept.id
    with pytest.raises(NotSignedIn):
        outhaul.access.caller(token)
    assert other.get().status_code == 303
    other.http.close()
    assert visitor.post(f"/admin/tokens/{kept.id}/revoke").status_code == 404
    assert kept.id not in visitor.get("/admin/tokens?q=Old").text
    assert kept.id in visitor.get("/admin/tokens?q=Old&ended=yes").text
    for odd in ("nothing", "a%00b", "%C3%A9", "x" * 100):
        assert visitor.get(f"/admin/tokens/{odd}").status_code == 404
        assert visitor.get(f"/webhooks/{odd}").status_code == 404


def test_an_api_client_is_listed_and_revoked_too(outhaul: Outhaul, visitor: Visitor) -> None:
    secret, client = outhaul.access.make_client("Robot", tenant="1")
    assert secret
    signed = outhaul.access.grant(client.id, secret).token
    assert "API client, integration" in visitor.text("/admin/tokens?q=Robot")
    assert visitor.post(f"/admin/tokens/{client.id}/revoke").status_code == 303
    with pytest.raises(NotSignedIn):
        outhaul.access.caller(signed)


def test_tokens_are_searched_and_paged_and_no_name_is_taken_for_a_page(
    outhaul: Outhaul, visitor: Visitor
) -> None:
    for number in range(60):
        outhaul.access.make_token(f"{HOSTILE} crowd {number:02}", tenant="t & t")
    first, second = (visitor.get(f"/admin/tokens?q=crowd&page={page}").text for page in (1, 2))
    names = re.findall(r"crowd (\d\d)", readable(first) + readable(second))
    assert len(set(names)) == 60
    assert "60 tokens" in readable(first)
    assert "<img src=x" not in first
    assert "No token matches" in visitor.text("/admin/tokens?q=nobody+at+all")
    (after,) = [one["href"] for one in Page(first).of("a") if one.get("rel") == "next"]
    assert "crowd" in visitor.http.get(f"/console/admin/tokens{str(after).partition('tokens')[2]}").text
