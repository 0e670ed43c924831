"""What tokens are for: the words of a scope, and what another issuer has made of them."""

from __future__ import annotations

from typing import Any

import pytest

from outhaul.errors import NotSignedIn
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
        ("market:id:a market:all", (Scope("market", "id", ("a",)),)),
        ("market:all market:code:europe", (EUROPE,)),
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
        ({"scope": ["market:id:a market:all"]}, (Scope("market", "id", ("a",)),)),
        ({"scope": "market:all", "market": {"id": "abc"}}, (Scope("market", "id", ("abc",)),)),
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


ODD: tuple[Any, ...] = ({"x": 1}, [{"x": 1}], [["a"]], True, "", [None], [""], 1.5)


@pytest.mark.parametrize(
    "claims",
    [
        *({"scope": "market:id:a", "market": {"id": odd}} for odd in ODD),
        *({"market": {"id": ["a"], "stock_location_ids": odd}} for odd in ODD),
        *({"scope": "market:all", "market": odd} for odd in ("abc", "", ["m1"], [], 7, False, True)),
        {"market": {"ids": ["a"]}},
        *({"scope": odd} for odd in (7, True, {"market": "a"}, [7], [["market:id:a"]], [None])),
    ],
    ids=str,
)
def test_a_token_whose_claims_are_not_understood_is_refused_rather_than_narrowed_by_nothing(
    claims: dict[str, Any],
) -> None:
    with pytest.raises(NotSignedIn):
        claimed(claims)
