"""A token of several tenants: its holder chooses one of them, and sees that one alone."""

from __future__ import annotations

import pytest

from outhaul.app import Outhaul
from tests.console.forms import Making
from tests.console.visitors import HERE, Page, Visitor, asked, readable, rows
from tests.test_audit import told


@pytest.fixture
def both(outhaul: Outhaul, visitor: Visitor) -> tuple[str, str]:
    """Ids of exports of two tenants, both of which the visitor's token names."""
    made = asked(outhaul, "1").id, asked(outhaul, "2").id
    visitor.sign_in(tenant="1", others=("2", "far & away"))
    return made


def choices(visitor: Visitor) -> list[str]:
    """The tenants that the header offers."""
    texts = Page(visitor.get().text).texts
    begin = next(number for number, text in enumerate(texts) if text.startswith("exporter, tenant"))
    return texts[begin + 1 : texts.index("Switch")]


def test_one_tenant_after_the_other_is_seen_and_never_both(
    outhaul: Outhaul, visitor: Visitor, both: tuple[str, str]
) -> None:
    ours, theirs = both
    assert choices(visitor) == ["1", "2", "far & away"]
    assert "exporter, tenant 1" in visitor.text()
    assert (ours in rows(visitor.get().text), theirs in visitor.get().text) == (True, False)
    answer = visitor.post("/tenant", tenant="2")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
    assert "exporter, tenant 2" in visitor.text()
    assert told(outhaul)["tenant"] == "2"
    assert (theirs in rows(visitor.get().text), ours in visitor.get().text) == (True, False)
    assert visitor.get(f"/exports/{ours}").status_code == 404
    assert visitor.post(f"/exports/{ours}/delete").status_code == 404
    assert visitor.get(f"/exports/{theirs}").status_code == 200
    assert choices(visitor) == ["1", "2", "far & away"]
    visitor.post("/tenant", tenant="far & away")
    assert "tenant far & away" in visitor.text()
    visitor.post("/tenant", tenant="1")
    assert ours in rows(visitor.get().text)


def test_a_choice_is_worth_nothing_by_itself(
    outhaul: Outhaul, visitor: Visitor, both: tuple[str, str]
) -> None:
    _, theirs = both
    refused = visitor.post("/tenant", tenant="3")
    assert (refused.status_code, "does not reach" in refused.text) == (403, True)
    assert visitor.post("/tenant").status_code == 403
    assert visitor.post("/tenant", {"Sec-Fetch-Site": "cross-site"}, tenant="2").status_code == 403
    for stranger in ({"tenant": "1"}, {"all_tenants": True}):
        other = Visitor(outhaul, str(visitor.http.base_url))
        other.sign_in(**stranger)
        other.http.cookies.set("outhaul_tenant", "2")
        if "tenant" in stranger:
            assert "exporter, tenant 1" in other.text()
            assert other.get(f"/exports/{theirs}").status_code == 404
        else:
            assert "admin, all tenants" in other.text()
        assert other.post("/tenant", tenant="2").status_code == 403
        assert "Switch" not in other.text()
        other.http.close()
    nobody = Visitor(outhaul, str(visitor.http.base_url))
    assert nobody.post("/tenant", tenant="1").status_code == 401
    nobody.http.close()


def test_the_choice_ends_with_the_session(outhaul: Outhaul, visitor: Visitor, both: tuple[str, str]) -> None:
    answer = visitor.post("/tenant", tenant="2")
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie.lower() for word in ("httponly", "samesite=lax", "path=/console"))
    visitor.http.post("/console/sign-out", headers=HERE)
    assert not visitor.http.cookies
    visitor.sign_in(tenant="1", others=("2",))
    assert "tenant 1" in visitor.text()


def test_what_was_begun_for_one_tenant_is_not_asked_for_of_another(
    outhaul: Outhaul, visitor: Visitor, both: tuple[str, str]
) -> None:
    making, before = Making(visitor, "orders"), outhaul.ledger.list()[1]
    visitor.post("/tenant", tenant="2")
    for button in ("Create export", "Count and preview", "Update"):
        begun = Making(visitor, "orders")
        begun.form.values["tenant"] = ["1"]
        answer = begun.press(button)
        assert (answer.status_code, "chosen the tenant 2" in readable(answer.text)) == (200, True)
        assert "What it comes to" not in answer.text
    assert "chosen the tenant 2" in readable(making.press("Create export").text)
    assert outhaul.ledger.list()[1] == before
    answer = making.press("Create export")
    assert answer.status_code == 303
    assert outhaul.ledger.get(answer.headers["location"].rpartition("/")[2]).tenant == "2"


def test_a_tenant_is_chosen_as_it_is_written(visitor: Visitor) -> None:
    visitor.sign_in(tenant="1", others=(" far  away ",))
    assert [one.get("value") for one in Page(visitor.get().text).of("option")][:2] == [" far  away ", "1"]


def test_whoever_signs_in_next_begins_with_the_first_tenant(visitor: Visitor, both: tuple[str, str]) -> None:
    visitor.post("/tenant", tenant="2")
    visitor.sign_in(tenant="3", others=("2",))
    assert "exporter, tenant 3" in visitor.text()
