"""The catalog file of the sandbox: every table, whose its rows are, and which market and stock location they are of."""

from __future__ import annotations

from collections.abc import Mapping

from outhaul.sandbox.tables import COLUMNS, OWNER, TABLES

# The way from a row to its markets. Goods are of each that sells by their price list, or takes them from their stock.
MARKETS: Mapping[str, str] = {
    "markets": "",
    "price_lists": "markets.",
    "prices": "price_list.markets.",
    "price_tiers": "price.price_list.markets.",
    "skus": "prices.price_list.markets.",
    "stock_locations": "inventory_stock_locations.inventory_model.markets.",
    "stock_items": "stock_location.inventory_stock_locations.inventory_model.markets.",
}
# For all else by the first of these columns that it has.
STEPS: Mapping[str, str] = {
    "market_id": "market.",
    "order_id": "order.market.",
    "promotion_id": "promotion.market.",
    "promotion_rule_id": "promotion_rule.promotion.market.",
    "shipment_id": "shipment.order.market.",
    "return_id": "return.order.market.",
    "line_item_id": "line_item.order.market.",
    "order_subscription_id": "order_subscription.market.",
}


def catalog() -> str:
    """The file's text, in TOML. Fields are named, so that none is hidden for looking like a secret."""
    return "\n".join(
        f'[resources.{name}]\ntenant = "{OWNER}"\nscopes = {{ {_scopes(name)} }}\nfields = {{ {_fields(name)} }}\n'
        for name in TABLES
    )


def _fields(table: str) -> str:
    return ", ".join(f"{name} = {{}}" for name in COLUMNS[table] if name != OWNER)


def _scopes(table: str) -> str:
    """What is of no market is of every one."""
    columns = COLUMNS[table]
    way = MARKETS.get(table, next((STEPS[one] for one in STEPS if one in columns), None))
    rules = {"market": "false" if way is None else f'{{ id = "{way}id", code = "{way}code" }}'}
    if "stock_location_id" in columns:
        rules["stock_location"] = '"stock_location_id"'
    if table == "stores":
        rules["store"] = '"id"'
    return ", ".join(f"{kind} = {rule}" for kind, rule in rules.items())
