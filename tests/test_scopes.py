"""What tokens are for: the words of a scope, and what another issuer has made of them."""

from __future__ import annotations

from typing import Any

import pytest

from outhaul.export import Scope
from outhaul.scopes import claimed, granted

EUROPE = Scope("market", "code", ("europe",))
RESOLVED = {
    "id": ["a", "b"],
    "price_list_id": "p",
    "stock_location_ids": ["x"],
    "geocoder_id": None,
    "allows_external_prices": False,
}


@pytest.mark.parametrize(
    ("words", "scopes"),
    [
        ("", ()),
        ("market:all", ()),
        ("market:id:xYZ", (Scope("market", "id", ("xYZ",)),)),
        ("market:1234", (Scope("market", "id", ("1234",)),)),
        ("market:code:europe", (EUROPE,)),
        ("market:id:a market:id:b market:id:a", (Scope("market", "id", ("a", "b")),)),
        ("market:id:a market:code:europe", (Scope("market", "id", ("a",)), EUROPE)),
        ("market:id:a market:all", ()),
        ("market:all stock_location:id:x", (Scope("stock_location", "id", ("x",)),)),
        ("store:id:all", (Scope("store", "id", ("all",)),)),
        ("openid market:id:a", (Scope("market", "id", ("a",)),)),
        ("market:id:a,store:id:s", (Scope("market", "id", ("a",)), Scope("store", "id", ("s",)))),
        ("market:tag:new", (Scope("market", "tag", ("new",)),)),
    ],
)
def test_words_name_markets_stock_locations_and_stores(words: str, scopes: tuple[Scope, ...]) -> None:
    assert granted(words) == scopes


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, ()),
        ({"scope": None, "market": None}, ()),
        ({"scope": "market:all"}, ()),
        ({"scope": ["market:code:europe", "openid"]}, (EUROPE,)),
        ({"scope": "market:code:europe"}, (EUROPE,)),
        (
            {"scope": "market:code:europe store:id:s", "market": RESOLVED},
            (
                Scope("market", "id", ("a", "b")),
                Scope("stock_location", "id", ("x",)),
                Scope("price_list", "id", ("p",)),
                Scope("store", "id", ("s",)),
            ),
        ),
        (
            {"scope": "stock_location:id:x", "market": {"id": [], "stock_location_ids": ["x"]}},
            (Scope("stock_location", "id", ("x",)),),
        ),
        ({"scope": "market:1234", "market": {"id": 1234}}, (Scope("market", "id", ("1234",)),)),
    ],
    ids=str,
)
def test_the_ids_that_an_issuer_has_found_go_before_its_words(
    claims: dict[str, Any], scopes: tuple[Scope, ...]
) -> None:
    assert claimed(claims) == scopes


@pytest.mark.parametrize("odd", [{"x": 1}, [{"x": 1}], [["a"]], True, "", [None]], ids=str)
def test_what_is_no_id_never_widens_what_a_token_is_for(odd: Any) -> None:
    (scope,) = claimed({"scope": "market:id:a", "market": {"id": odd}})
    assert (scope.kind, scope.by) == ("market", "id")
    assert scope.values
    assert "a" not in scope.values
