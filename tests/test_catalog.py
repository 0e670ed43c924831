"""A catalog is told apart by its fingerprint."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from outhaul.catalog import Binary, Catalog, Hidden, Resource, Whose
from outhaul.ceilings import Ceiling
from tests.catalogs import SHOP

CHANGES: dict[str, Any] = {
    "name": "other",
    "schema": "elsewhere",
    "table": "other",
    "kind": "view",
    "fields": (),
    "key": (),
    "unique": (("code",),),
    "relationships": (),
    "segments": (),
    "tenant": Whose((), "id"),
    "scopes": {"market": {"id": Whose((), "id")}},
    "fixed": {},
    "columns": (),
    "ways": (),
    "identity": "id",
    "timestamps": ("deleted_at",),
    "description": "All that was bought",
    "distant": True,
    "ceiling": Ceiling(records=1),
    "binary": Binary("file", "/srv/uploads"),
}


def with_orders(**changes: Any) -> Catalog:
    orders: Resource = replace(SHOP.resources["orders"], **changes)
    return replace(SHOP, resources={**SHOP.resources, "orders": orders})


def test_the_same_catalog_has_the_same_fingerprint() -> None:
    assert with_orders().fingerprint == SHOP.fingerprint
    assert len(SHOP.fingerprint) == 64


@pytest.mark.parametrize("name", [one.name for one in fields(Resource)])
def test_any_change_of_a_resource_changes_the_fingerprint(name: str) -> None:
    assert with_orders(**{name: CHANGES[name]}).fingerprint != SHOP.fingerprint


def test_what_is_hidden_and_what_lies_behind_are_part_of_the_fingerprint() -> None:
    hidden = replace(SHOP, hidden=(Hidden("sessions", None, "bookkeeping"),))
    behind = replace(SHOP, behind={"sessions": SHOP.resources["logs"]})
    assert len({SHOP.fingerprint, hidden.fingerprint, behind.fingerprint}) == 3
    assert behind.resource("sessions") == SHOP.resources["logs"]
    assert behind.resource("orders") == SHOP.resources["orders"]
    with pytest.raises(KeyError):
        SHOP.resource("sessions")
