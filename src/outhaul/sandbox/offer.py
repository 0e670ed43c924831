"""The catalog file of the sandbox: every table, whose its rows are, and which market and stock location they are of."""

from __future__ import annotations

from collections.abc import Mapping

from outhaul.sandbox.tables import COLUMNS, OWNER, TABLES

# Goods are of each market that sells by their price list, or takes them from their stock.
MARKETS: Mapping[str, str] = {
    "markets": "id",
    "price_lists": "markets.id",
    "prices": "price_list.markets.id",
    "price_tiers": "price.price_list.markets.id",
    "skus": "prices.price_list.markets.id",
    "stock_locations": "inventory_stock_locations.inventory_model.markets.id",
    "stock_items": "stock_location.inventory_stock_locations.inventory_model.markets.id",
}
# By what else stands in a row: the first that it has.
STEPS: Mapping[str, str] = {
    "market_id": "market_id",
    "order_id": "order.market_id",
    "promotion_id": "promotion.market_id",
    "promotion_rule_id": "promotion_rule.promotion.market_id",
    "shipment_id": "shipment.order.market_id",
    "return_id": "return.order.market_id",
    "line_item_id": "line_item.order.market_id",
    "order_subscription_id": "order_subscription.market_id",
}


def catalog() -> str:
    """The file's text, in TOML."""
    return "".join(
        f'[resources.{name}]\nhide = ["{OWNER}"]\ntenant = "{OWNER}"\nscopes = {{ {_scopes(name)} }}\n\n'
        for name in TABLES
    )


def _scopes(table: str) -> str:
    return ", ".join(f"{kind} = {where}" for kind, where in _rules(table).items())


def _rules(table: str) -> dict[str, str]:
    """What is of no market is of every one."""
    columns = COLUMNS[table]
    path = MARKETS.get(table) or next((STEPS[one] for one in STEPS if one in columns), None)
    by_code = path and path.removesuffix("market_id").removesuffix("id")
    market = "false" if path is None else f'{{ id = "{path}", code = "{by_code}{_code(path)}" }}'
    stock = {"stock_location": '"stock_location_id"'} if "stock_location_id" in columns else {}
    return {"market": market, **stock, **({"store": '"id"'} if table == "stores" else {})}


def _code(path: str) -> str:
    """What follows where the id of a market stood, to come to its code."""
    return "market.code" if path.endswith("market_id") else "code"
