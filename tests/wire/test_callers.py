"""What callers are told of themselves, as the types of the official SDK have it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from outhaul.app import Outhaul
from tests.served import MEDIA_TYPE, of_shop, served, shop

GOLDEN = Path(__file__).parent / "commercelayer"


@pytest.fixture(scope="module")
def outhaul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outhaul]:
    made = of_shop(shop(tmp_path_factory.mktemp("callers")))
    with made.ledger:
        made.ledger.migrate()
        yield made


@pytest.fixture(scope="module")
def http(outhaul: Outhaul) -> Iterator[httpx.Client]:
    with served(outhaul) as client:
        yield client


def asked(http: httpx.Client, path: str, token: str) -> dict[str, Any]:
    answer = http.get(f"/api/{path}", headers={"Authorization": f"Bearer {token}", "Accept": MEDIA_TYPE})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    document: dict[str, Any] = answer.json()
    return document


def client(outhaul: Outhaul, http: httpx.Client, **granted: Any) -> tuple[str, str]:
    """Its id, and a token for it."""
    secret, kept = outhaul.access.make_client("warehouse", **granted)
    given = {"grant_type": "client_credentials", "client_id": kept.id, "client_secret": secret}
    return kept.id, http.post("/oauth/token", json=given).json()["access_token"]


@pytest.mark.parametrize("name", ["organization", "application"])
def test_a_client_is_told_of_its_organization_and_itself(
    name: str, outhaul: Outhaul, http: httpx.Client
) -> None:
    client_id, token = client(outhaul, http, tenant="1")
    answer = asked(http, name, token)
    text = (GOLDEN / f"{name}.json").read_text().replace("CLIENT", client_id)
    expected = json.loads(text.replace("https://exports.example.com", str(http.base_url).rstrip("/")))
    expected["data"]["meta"]["trace_id"] = answer["data"]["meta"]["trace_id"]
    assert answer == expected


def test_the_slug_is_that_of_its_token(outhaul: Outhaul, http: httpx.Client) -> None:
    _, token = client(outhaul, http, tenant="The Blue Brand")
    assert asked(http, "organization", token)["data"]["attributes"] == {
        "name": "The Blue Brand",
        "slug": "the-blue-brand",
    }


def test_a_token_of_all_organizations_is_told_so(outhaul: Outhaul, http: httpx.Client) -> None:
    token, _ = outhaul.access.make_token("mine", all_tenants=True)
    organization = asked(http, "organization", token)["data"]
    assert (organization["id"], organization["attributes"]["slug"]) == ("all", "all")
    application = asked(http, "application", token)["data"]["attributes"]
    assert application == {"name": "mine", "kind": None, "public_access": False}


@pytest.mark.parametrize("path", ["organization", "application"])
def test_nothing_can_be_asked_of_them(path: str, outhaul: Outhaul, http: httpx.Client) -> None:
    token, _ = outhaul.access.make_token("mine", tenant="1")
    answer = http.get(f"/api/{path}?include=events", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 400
