"""The token endpoint on the wire: golden bodies from the contract, and every way to be refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from outhaul.app import Outhaul
from outhaul.ledger.tokens import Token
from tests.served import MEDIA_TYPE, of_shop, served, shop

GOLDEN = Path(__file__).parent / "oauth"


def golden(name: str, **values: Any) -> Any:
    text = (GOLDEN / f"{name}.json").read_text()
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return json.loads(text)


class House:
    """A service that answers, and what its clients sign in with."""

    def __init__(self, outhaul: Outhaul, http: httpx.Client) -> None:
        self.outhaul, self.http = outhaul, http
        self.base = str(http.base_url).rstrip("/")
        secret, self.client = outhaul.access.make_client("warehouse", tenant="1")
        assert secret
        self.secret = secret
        _, self.channel = outhaul.access.make_client("shop", "sales_channel", tenant="1")

    def ask(self, **body: Any) -> httpx.Response:
        given = {
            "grant_type": "client_credentials",
            "client_id": self.client.id,
            "client_secret": self.secret,
        }
        sent = {name: value for name, value in (given | body).items() if value is not None}
        return self.http.post("/oauth/token", json=sent)

    def token(self, **body: Any) -> str:
        answer = self.ask(**body)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    def lists(self, token: str) -> httpx.Response:
        return self.http.get(
            "/api/exports", headers={"Authorization": f"Bearer {token}", "Accept": MEDIA_TYPE}
        )

    def told(self, token: str) -> httpx.Response:
        return self.http.get("/oauth/tokeninfo", headers={"Authorization": f"Bearer {token}"})

    def revoke(self, token: str, client: Token | None = None, secret: str | None = None) -> httpx.Response:
        given = {"client_id": (client or self.client).id, "client_secret": secret, "token": token}
        return self.http.post("/oauth/revoke", json={k: v for k, v in given.items() if v is not None})


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    outhaul = of_shop(shop(tmp_path_factory.mktemp("oauth")))
    with outhaul.ledger:
        outhaul.ledger.migrate()
        with served(outhaul) as http:
            yield House(outhaul, http)


def test_client_credentials_give_a_token_as_the_contract_shows_it(house: House) -> None:
    before = int(time.time())
    answer = house.ask()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body, expected = answer.json(), golden("token")
    assert list(body) == list(expected)
    assert before <= body["created_at"] <= time.time()
    assert body | {"access_token": "TOKEN", "created_at": 0} == expected
    assert house.lists(body["access_token"]).status_code == 200


def test_the_token_has_the_claims_of_the_contract_and_the_published_key_checks_it(house: House) -> None:
    token = house.token()
    header = jwt.get_unverified_header(token)
    published = house.http.get("/.well-known/jwks.json").json()["keys"]
    key = next(one for one in published if one["kid"] == header["kid"])
    assert header == {"alg": "RS512", "typ": "JWT", "kid": key["kid"]}
    claims = jwt.decode(token, jwt.PyJWK(key).key, ["RS512"], issuer=house.base)
    expected = golden("claims", CLIENT=house.client.id, BASE=house.base)
    assert set(claims) == set(expected)
    assert claims["exp"] - claims["iat"] == 14_400
    assert 0 <= claims["rand"] < 1
    assert claims | {"exp": 14_400, "iat": 0, "rand": 0.5} == expected


def test_two_tokens_of_one_second_differ(house: House) -> None:
    assert len({house.token() for _ in range(5)}) == 5


def test_a_form_is_taken_as_well_as_json(house: House) -> None:
    form = {"grant_type": "client_credentials", "client_id": house.client.id, "client_secret": house.secret}
    assert house.http.post("/oauth/token", data=form).json()["token_type"] == "bearer"


@pytest.mark.parametrize(
    ("scope", "market"),
    [
        ("market:id:xYZ", (["xYZ"], [])),
        ("market:1234", (["1234"], [])),
        ("market:id:a stock_location:id:b", (["a"], ["b"])),
        ("market:all", None),
        ("market:code:europe", None),
        ("store:id:abc", None),
    ],
)
def test_a_scope_is_granted_and_its_ids_stand_in_the_claims(
    house: House, scope: str, market: tuple[list[str], list[str]] | None
) -> None:
    answer = house.ask(scope=scope).json()
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert answer["scope"] == claims["scope"] == scope
    found = claims.get("market")
    assert (found and (found["id"], found["stock_location_ids"])) == market


@pytest.mark.parametrize(
    "scope", ["everything", "market:", "market:id:", "market:all  ", "market:id:a;b", "a" * 9_999]
)
def test_what_is_no_scope_is_refused(house: House, scope: str) -> None:
    answer = house.ask(scope=scope)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["title"] == "invalid_scope"


def test_scopes_may_have_commas_between_them_as_the_official_command_line_joins_them(house: House) -> None:
    assert house.ask(scope="market:id:a,store:id:b").json()["scope"] == "market:id:a store:id:b"


@pytest.mark.parametrize("scope", [["market:id:xYZ"], {"market": "xYZ"}, 7, True])
def test_a_scope_that_is_no_text_is_not_taken_for_none(house: House, scope: Any) -> None:
    answer = house.ask(scope=scope)
    assert (answer.status_code, answer.json()["errors"][0]["title"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"client_id": ""},
        {"client_id": 7},
        {"client_secret": None},
        {"client_secret": ""},
        {"client_secret": "ohs_" + "A" * 43},
        {"client_secret": "\ud800"},
        {"client_id": "' OR 1=1 --"},
    ],
    ids=str,
)
def test_whoever_cannot_prove_to_be_the_client_is_told_so_as_the_contract_has_it(
    house: House, wrong: dict[str, Any]
) -> None:
    given = {"grant_type": "client_credentials", "client_id": house.client.id, "client_secret": house.secret}
    answer = house.http.post("/oauth/token", content=json.dumps(given | wrong))
    assert answer.status_code == 401
    assert answer.json() == golden("errors")["invalid_client"]


def test_a_token_of_the_api_is_no_secret_and_a_secret_is_no_token(house: House) -> None:
    token, kept = house.outhaul.access.make_token("x", tenant="1")
    assert house.ask(client_id=kept.id, client_secret=token).status_code == 401
    assert house.lists(house.secret).status_code == 401
    assert house.lists(house.client.id).status_code == 401


@pytest.mark.parametrize(
    ("body", "title"),
    [
        (b"", "invalid_request"),
        (b"{", "invalid_request"),
        (b"[]", "invalid_request"),
        (b"[" * 100_000, "invalid_request"),
        (b"\xff", "invalid_request"),
        (b"{}", "invalid_request"),
        (b'{"grant_type": "password"}', "unsupported_grant_type"),
        (b'{"grant_type": "refresh_token"}', "unsupported_grant_type"),
        (b'"' + b"x" * 2_000_000 + b'"', "invalid_request"),
    ],
    ids=range(9),
)
def test_a_request_that_is_none_is_refused_in_words(house: House, body: bytes, title: str) -> None:
    answer = house.http.post("/oauth/token", content=body)
    (error,) = answer.json()["errors"]
    assert answer.status_code == error["status"] == 400
    assert error["title"] == error["meta"]["error"] == title


def test_a_sales_channel_has_no_secret_and_may_not_export(house: House) -> None:
    token = house.token(client_id=house.channel.id, client_secret=None)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["application"]["kind"] == "sales_channel"
    assert (claims["application"]["public"], claims["application"]["confidential"]) == (True, False)
    answer = house.lists(token)
    assert answer.status_code == 401
    assert answer.json() == golden("errors")["no_permission"]


def test_a_revoked_token_is_refused_at_once_and_others_of_its_client_are_not(house: House) -> None:
    ended, other = house.token(), house.token()
    answer = house.revoke(ended, secret=house.secret)
    assert (answer.status_code, answer.json()) == (200, {})
    assert house.revoke(ended, secret=house.secret).json() == {}  # once more is no fault (RFC 7009)
    assert house.revoke("no.such.token", secret=house.secret).json() == {}
    refused = house.lists(ended)
    assert refused.status_code == 401
    assert refused.json() == golden("errors")["invalid_token"]
    assert house.lists(other).status_code == 200


def test_a_revocation_says_which_token(house: House) -> None:
    given = {"client_id": house.client.id, "client_secret": house.secret}
    answer = house.http.post("/oauth/revoke", json=given)
    assert (answer.status_code, answer.json()["errors"][0]["title"]) == (400, "invalid_request")


def test_revoking_looks_at_nothing_else_in_the_body(house: House) -> None:
    """The official command line sends all that it knows of an application."""
    token = house.token()
    given = {"client_id": house.client.id, "client_secret": house.secret, "token": token}
    answer = house.http.post("/oauth/revoke", json=given | {"scope": ["market:all"], "kind": "integration"})
    assert answer.status_code == 200
    assert house.lists(token).status_code == 401


def test_only_the_client_itself_can_revoke_its_token(house: House) -> None:
    token = house.token()
    secret, stranger = house.outhaul.access.make_client("stranger", tenant="1")
    for answer in (
        house.revoke(token, stranger, secret),
        house.revoke(token, house.channel),
        house.revoke(token),
        house.revoke(token, secret="wrong"),
        house.http.post("/oauth/revoke", json={"token": token}),
    ):
        assert answer.status_code == 403
        assert answer.json() == golden("errors")["unauthorized_client"]
    assert house.lists(token).status_code == 200


def test_tokeninfo_tells_kind_and_rights(house: House) -> None:
    body = house.told(house.token()).json()
    assert 14_390 <= body["token"]["lifespan"] <= 14_400
    body["token"]["lifespan"] = 14_400
    assert body == golden("tokeninfo", CLIENT=house.client.id)
    channel = house.told(house.token(client_id=house.channel.id, client_secret=None)).json()
    assert channel["application"]["kind"] == "sales_channel"
    assert channel["permissions"]["exports"] == dict.fromkeys(["create", "destroy", "read", "update"], False)


@pytest.mark.parametrize("wrong", ["nothing", "x", "a.b.c", "oh_" + "A" * 43])
def test_tokeninfo_of_no_token_is_the_contracts_refusal(house: House, wrong: str) -> None:
    answer = house.told(wrong)
    assert answer.status_code == 401
    assert answer.json() == golden("errors")["invalid_token"]


def test_a_token_is_good_across_a_rotation_and_the_next_has_the_new_key(house: House) -> None:
    old = house.token()
    house.outhaul.access.rotate_keys()
    new = house.token()
    published = {one["kid"] for one in house.http.get("/.well-known/jwks.json").json()["keys"]}
    used = {jwt.get_unverified_header(token)["kid"] for token in (old, new)}
    assert len(used) == 2
    assert used <= published
    assert house.lists(old).status_code == house.lists(new).status_code == 200


def test_a_revoked_client_gets_no_token_and_its_tokens_are_refused(house: House) -> None:
    secret, client = house.outhaul.access.make_client("short", tenant="1")
    token = house.token(client_id=client.id, client_secret=secret)
    assert house.lists(token).status_code == 200
    house.outhaul.access.revoke_client(client.id)
    assert house.lists(token).json() == golden("errors")["invalid_token"]
    assert house.ask(client_id=client.id, client_secret=secret).status_code == 401


def test_only_the_hash_of_a_secret_is_kept(house: House) -> None:
    import sqlite3

    with sqlite3.connect(house.outhaul.settings.state / "ledger.db") as ledger:
        everything = "\n".join(ledger.iterdump())
    assert house.client.id in everything
    assert house.secret not in everything
    assert house.secret[4:] not in everything
