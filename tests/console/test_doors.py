"""Who comes in at the console: by token, by a link that works once, and by no form that another site sends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from string import ascii_letters, digits

import httpx
import pytest
import time_machine

from outhaul.app import Outhaul
from outhaul.errors import Misconfigured, NotSignedIn
from outhaul.sessions import Sessions
from tests.console.visitors import HERE, Page, Visitor, invited, visited
from tests.served import ORDERS, US, done, of_shop, shop
from tests.terminal import here


def test_a_token_signs_in_and_a_sign_out_is_for_good(outhaul: Outhaul, visitor: Visitor) -> None:
    assert visitor.get().headers["location"] == "/console/sign-in"
    token, kept = outhaul.access.make_token("Ann", all_tenants=True)
    answer = visitor.post("/sign-in", token=f" {token} ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
    (cookie,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert cookie["httponly"]
    assert cookie["samesite"].lower() == "lax"
    assert (cookie["path"], cookie["secure"]) == ("/console", "")
    assert token not in answer.headers["set-cookie"]
    assert token.removeprefix("oh_") not in cookie.value
    assert "Ann admin, all tenants" in visitor.text()
    assert visitor.get("/sign-in").headers["location"] == "/console/"
    stolen = httpx.Cookies({"outhaul_session": cookie.value})
    assert visitor.post("/sign-out").headers["location"] == "/console/sign-in"
    assert visitor.get().status_code == 303
    again = httpx.get(f"{visitor.http.base_url}/console/", cookies=stolen, trust_env=False)
    assert again.status_code == 303, "a cookie that was copied before the sign-out still opens the console"
    assert outhaul.access.caller(token).id == kept.id, "the token itself goes on"


def test_a_session_that_was_ended_stays_so_however_its_cookie_is_written(outhaul: Outhaul) -> None:
    sessions = Sessions(outhaul.access, outhaul.exports._keys)
    token, kept = outhaul.access.make_token("Ann", all_tenants=True)
    cookie, other = sessions.sign_in(token), sessions.sign_in(token)
    # The last character of base64 has bits that a reader may pass over, and padding may stand behind it.
    ways = [f"{cookie}=", f"{cookie}==", *(cookie[:-1] + one for one in ascii_letters + digits + "-_")]
    alike = [one for one in ways if _is_good(sessions, one)]
    assert len(alike) > 1, "there is no other way to write it, so that this shows nothing"
    sessions.end(cookie)
    assert not [one for one in alike if _is_good(sessions, one)]
    assert sessions.caller(other).id == kept.id


def _is_good(sessions: Sessions, cookie: str) -> bool:
    try:
        sessions.caller(cookie)
    except NotSignedIn:
        return False
    return True


def test_to_sign_out_of_one_browser_leaves_the_other_signed_in(outhaul: Outhaul, visitor: Visitor) -> None:
    token = visitor.sign_in()
    other = Visitor(outhaul, str(visitor.http.base_url))
    assert other.post("/sign-in", token=token).status_code == 303
    visitor.post("/sign-out")
    assert other.get().status_code == 200
    other.http.close()


def test_what_is_no_good_token_signs_nobody_in(outhaul: Outhaul, visitor: Visitor) -> None:
    access = outhaul.access
    revoked, kept = access.make_token("old", all_tenants=True)
    access.revoke(kept.id)
    expired, _ = access.make_token("old", all_tenants=True, expires_at=datetime.now(UTC) - timedelta(1))
    secret, client = access.make_client("robot", all_tenants=True)
    assert secret
    signed = access.grant(client.id, secret).token
    for token in ("", "x", "oh_" + "x" * 43, revoked, expired, secret, client.id, signed):
        answer = visitor.post("/sign-in", token=token)
        assert answer.status_code == 401, token
        assert "set-cookie" not in answer.headers
        assert "no token" in answer.text


def test_a_link_signs_in_once_and_to_look_at_it_does_not_use_it_up(
    outhaul: Outhaul, visitor: Visitor
) -> None:
    code = invited(outhaul, tenant="1", read_only=True)
    for _ in range(3):
        shown = visitor.get(f"/enter?code={code}")
        assert shown.status_code == 200
        assert "set-cookie" not in shown.headers
    before = {one.id for one in outhaul.access.list_tokens()}
    assert visitor.post("/enter", code=code).status_code == 303
    assert "console viewer, tenant 1" in visitor.text()
    (made,) = [one for one in outhaul.access.list_tokens() if one.id not in before]
    assert (made.tenant, made.read_only, made.all_tenants) == ("1", True, False)
    other = Visitor(outhaul, str(visitor.http.base_url))
    again = other.post("/enter", code=code)
    assert (again.status_code, "been used" in again.text) == (401, True)
    assert other.get().status_code == 303
    other.http.close()
    outhaul.access.revoke(made.id)
    assert visitor.get().status_code == 303, "a revoked token ends the session behind it"


@pytest.mark.parametrize("change", ["", "forged", "shorter", "late"])
def test_a_link_that_is_wrong_or_too_old_signs_nobody_in(
    outhaul: Outhaul, visitor: Visitor, change: str
) -> None:
    code = invited(outhaul, all_tenants=True)
    tokens = len(outhaul.access.list_tokens())
    forged = code[:-9] + ("a" if code[-9] != "a" else "b") + code[-8:]
    given = {"": "", "forged": forged, "shorter": code[:-1]}.get(change, code)
    later = datetime.now(UTC) + timedelta(minutes=16 if change == "late" else 0)
    with time_machine.travel(later):
        answer = visitor.post("/enter", code=given)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert len(outhaul.access.list_tokens()) == tokens


def test_a_session_ends_after_a_working_day(visitor: Visitor) -> None:
    visitor.sign_in()
    cookie = {
        "outhaul_session": visitor.http.cookies["outhaul_session"]
    }  # which a browser would not send any more
    for hours, status in ((11, 200), (13, 303)):
        with time_machine.travel(datetime.now(UTC) + timedelta(hours=hours)):
            answer = httpx.get(f"{visitor.http.base_url}/console/", cookies=cookie, trust_env=False)
        assert answer.status_code == status, hours


FOREIGN: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    {"Origin": "https://elsewhere.example"},
    {"Origin": "null"},
    {},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_form_that_another_site_sends_changes_nothing(
    outhaul: Outhaul, visitor: Visitor, headers: dict[str, str]
) -> None:
    token = visitor.sign_in()
    export = done(outhaul, outhaul.exports.create(US, ORDERS))
    code = invited(outhaul, all_tenants=True)
    for path, form in (
        (f"/exports/{export.id}/delete", {}),
        (f"/exports/{export.id}/interrupt", {}),
        (f"/exports/{export.id}/start", {}),
        ("/sign-out", {}),
        ("/sign-in", {"token": token}),
        ("/enter", {"code": code}),
    ):
        answer = visitor.post(path, headers=headers, **form)
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False), path
    assert outhaul.ledger.get(export.id).status == "completed"
    assert visitor.get().status_code == 200
    assert visitor.post("/enter", code=code).status_code == 303, "the link was used up"


def test_a_browser_that_only_names_its_origin_is_let_in(visitor: Visitor) -> None:
    visitor.sign_in()
    origin = str(visitor.http.base_url).rstrip("/")
    assert visitor.post("/sign-out", headers={"Origin": origin}).status_code == 303
    assert visitor.get().status_code == 303


def test_tries_are_bounded_for_tokens_and_links_together(outhaul: Outhaul, visitor: Visitor) -> None:
    token, _ = outhaul.access.make_token("Ann", all_tenants=True)
    code = invited(outhaul, all_tenants=True)
    for number in range(10):
        path, form = ("/sign-in", {"token": "oh_wrong"}) if number % 2 else ("/enter", {"code": "wrong"})
        assert visitor.post(path, HERE, **form).status_code == 401
    for path, form in (("/sign-in", {"token": token}), ("/enter", {"code": code})):
        answer = visitor.post(path, HERE, **form)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 63
        assert "too many tries" in answer.text
    assert code in answer.text, "the link is still there to be tried again"


def test_under_https_and_a_path_the_cookie_is_secure_and_for_the_console_alone(tmp_path: Path) -> None:
    with (
        of_shop(shop(tmp_path), public_url="https://example.com/exports") as outhaul,
        visited(outhaul) as visitor,
    ):
        token, _ = outhaul.access.make_token("Ann", all_tenants=True)
        shown = visitor.http.get("/exports/console/sign-in")
        actions = [form["action"] for form in Page(shown.text).of("form")]
        assert actions == ["/exports/console/sign-in", "/exports/console/times"]
        answer = visitor.http.post("/exports/console/sign-in", data={"token": token}, headers=HERE)
        assert answer.headers["location"] == "/exports/console/"
        (cookie,) = SimpleCookie(answer.headers["set-cookie"]).values()
        assert (cookie["path"], cookie["secure"], cookie["httponly"]) == ("/exports/console", True, True)


@pytest.mark.parametrize(
    ("asked", "leads"),
    [
        ("exports/abc", "/console/exports/abc"),
        ("exports/abc?parts=2", "/console/exports/abc?parts=2"),
        ("//elsewhere.example", "/console/"),
        ("/elsewhere.example", "/console/"),
        ("https://elsewhere.example", "/console/"),
        ("x\r\nSet-Cookie: a=b", "/console/"),
        ("\\\\elsewhere", "/console/"),
    ],
)
def test_the_way_back_after_a_sign_in_stays_in_the_console(visitor: Visitor, asked: str, leads: str) -> None:
    token, _ = visitor.outhaul.access.make_token("Ann", all_tenants=True)
    answer = visitor.post("/sign-in", token=token, next=asked)
    assert (answer.status_code, answer.headers["location"]) == (303, leads)


def test_a_page_that_asks_to_sign_in_leads_back_to_itself(visitor: Visitor) -> None:
    answer = visitor.get("/exports/abc?parts=2")
    assert answer.headers["location"] == "/console/sign-in?next=exports%2Fabc%3Fparts%3D2"
    form = Page(visitor.http.get(answer.headers["location"]).text)
    assert {"type": "hidden", "name": "next", "value": "exports/abc?parts=2"} in form.of("input")


def test_the_command_line_makes_a_link(tmp_path: Path) -> None:
    made = here(tmp_path, "token", "console", "--tenant", "7", "--url", "https://example.com/exports/")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("https://example.com/exports/console/enter?code=")
    assert here(tmp_path, "token", "console", "--all-tenants").stdout.startswith(
        "http://127.0.0.1:8350/console/"
    )
    assert here(tmp_path, "token", "list").stdout == "", "a link that nobody has followed leaves nothing"
    refused = here(tmp_path, "token", "console")
    assert (refused.returncode, "--all-tenants" in refused.stderr) == (2, True)


def test_a_link_is_for_one_tenant_or_for_all(outhaul: Outhaul) -> None:
    with pytest.raises(Misconfigured):
        invited(outhaul)
    with pytest.raises(Misconfigured):
        invited(outhaul, tenant="1", all_tenants=True)


def test_the_doors_are_closed_for_maintenance(outhaul: Outhaul, visitor: Visitor) -> None:
    token = visitor.sign_in()
    outhaul.access.maintain(on=True)
    try:
        for answer in (visitor.get(), visitor.post("/sign-in", token=token), visitor.get("/nowhere")):
            assert answer.status_code == 503
            assert "under maintenance" in answer.text
    finally:
        outhaul.access.maintain(on=False)
    assert visitor.get().status_code == 200


def test_a_link_is_not_used_up_by_maintenance(outhaul: Outhaul, visitor: Visitor) -> None:
    code = invited(outhaul, all_tenants=True)
    outhaul.access.maintain(on=True)
    try:
        answer = visitor.post("/enter", code=code)
    finally:
        outhaul.access.maintain(on=False)
    assert (answer.status_code, "under maintenance" in answer.text) == (503, True)
    assert visitor.post("/enter", code=code).status_code == 303
