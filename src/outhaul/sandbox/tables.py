"""The tables of the sandbox's shop, named as Commerce Layer names its types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

# A table a paragraph. A column is TEXT, or `name:TYPE`, or `name>table` for a foreign key to that table.
WRITTEN = """
organizations: slug name support_email
merchants: name address>addresses
price_lists: name code currency_code tax_included:BOOLEAN
inventory_models: name strategy stock_locations_cutoff:INTEGER
stock_locations: number:INTEGER name code address>addresses
inventory_stock_locations: priority:INTEGER inventory_model>inventory_models stock_location>stock_locations
tax_calculators: name
markets: number:INTEGER name code currency_code merchant>merchants price_list>price_lists
    inventory_model>inventory_models tax_calculator>tax_calculators
stores: name code market>markets stock_location>stock_locations
shipping_categories: name code
shipping_zones: name country_code_regex
shipping_methods: name currency_code price_amount_cents:INTEGER free_over_amount_cents:INTEGER market>markets
    shipping_zone>shipping_zones shipping_category>shipping_categories stock_location>stock_locations
payment_methods: name payment_source_type currency_code price_amount_cents:INTEGER market>markets
tags: name

skus: code name description image_url pieces_per_pack:INTEGER weight:REAL unit_of_weight hs_tariff_number
    do_not_ship:BOOLEAN do_not_track:BOOLEAN shipping_category>shipping_categories
prices: currency_code sku_code amount_cents:INTEGER amount_float:REAL formatted_amount
    compare_at_amount_cents:INTEGER price_list>price_lists sku>skus
price_tiers: name type up_to:REAL price_amount_cents:INTEGER price>prices
stock_items: sku_code quantity:INTEGER sku>skus stock_location>stock_locations
stock_transfers: number:INTEGER status sku_code quantity:INTEGER completed_at:TIMESTAMPTZ sku>skus
    origin_stock_location>stock_locations destination_stock_location>stock_locations
sku_options: name currency_code description price_amount_cents:INTEGER delay_hours:INTEGER sku_code_regex
    market>markets
sku_lists: name slug description manual:BOOLEAN sku_code_regex
sku_list_items: position:INTEGER sku_code quantity:INTEGER sku_list>sku_lists sku>skus
bundles: code name currency_code description price_amount_cents:INTEGER market>markets sku_list>sku_lists
tax_categories: code sku_code sku>skus tax_calculator>tax_calculators
promotions: name type currency_code percentage:INTEGER starts_at:TIMESTAMPTZ expires_at:TIMESTAMPTZ market>markets
promotion_rules: type promotion>promotions
coupons: code customer_single_use:BOOLEAN usage_limit:INTEGER usage_count:INTEGER expires_at:TIMESTAMPTZ
    promotion_rule>promotion_rules
gift_cards: status code currency_code initial_balance_cents:INTEGER balance_cents:INTEGER recipient_email
    expires_at:TIMESTAMPTZ market>markets

addresses: business:BOOLEAN first_name last_name company line_1 line_2 city zip_code state_code country_code phone email
customer_groups: name code
customers: email status has_password:BOOLEAN customer_group>customer_groups
customer_addresses: name customer>customers address>addresses
customer_payment_sources: name payment_method_code customer>customers payment_method>payment_methods
customer_subscriptions: customer_email customer>customers
in_stock_subscriptions: status customer_email sku_code stock_threshold:INTEGER customer>customers sku>skus
    market>markets

orders: number status payment_status fulfillment_status guest:BOOLEAN editable:BOOLEAN customer_email language_code
    currency_code country_code skus_count:INTEGER subtotal_amount_cents:INTEGER shipping_amount_cents:INTEGER
    total_amount_cents:INTEGER coupon_code placed_at:TIMESTAMPTZ approved_at:TIMESTAMPTZ cancelled_at:TIMESTAMPTZ
    market>markets customer>customers shipping_address>addresses billing_address>addresses
    payment_method>payment_methods
line_items: sku_code name item_type currency_code quantity:INTEGER unit_amount_cents:INTEGER total_amount_cents:INTEGER
    total_amount_float:REAL formatted_total_amount tax_rate:REAL order>orders sku>skus
line_item_options: name currency_code quantity:INTEGER unit_amount_cents:INTEGER total_amount_cents:INTEGER options:JSON
    line_item>line_items sku_option>sku_options
order_subscriptions: number:INTEGER status frequency customer_email starts_at:TIMESTAMPTZ next_run_at:TIMESTAMPTZ
    market>markets customer>customers customer_payment_source>customer_payment_sources source_order>orders
order_subscription_items: sku_code quantity:INTEGER unit_amount_cents:INTEGER
    order_subscription>order_subscriptions sku>skus
transactions: number type currency_code amount_cents:INTEGER succeeded:BOOLEAN message order>orders
authorizations: number currency_code amount_cents:INTEGER succeeded:BOOLEAN message captured_at:TIMESTAMPTZ order>orders
captures: number currency_code amount_cents:INTEGER succeeded:BOOLEAN message order>orders
    reference_authorization>authorizations
voids: number currency_code amount_cents:INTEGER succeeded:BOOLEAN message order>orders
    reference_authorization>authorizations
refunds: number currency_code amount_cents:INTEGER succeeded:BOOLEAN message order>orders reference_capture>captures
shipments: number status currency_code cost_amount_cents:INTEGER skus_count:INTEGER on_hold_at:TIMESTAMPTZ
    shipped_at:TIMESTAMPTZ order>orders shipping_category>shipping_categories shipping_method>shipping_methods
    stock_location>stock_locations origin_address>addresses shipping_address>addresses
stock_line_items: sku_code quantity:INTEGER shipment>shipments line_item>line_items sku>skus
parcels: number weight:REAL unit_of_weight tracking_number tracking_status shipment>shipments
returns: number status customer_email skus_count:INTEGER approved_at:TIMESTAMPTZ order>orders customer>customers
    stock_location>stock_locations origin_address>addresses
return_line_items: sku_code name quantity:INTEGER return_reason:JSON return>returns line_item>line_items
"""
OWNER = "organization_id"
BEFORE = ("id TEXT PRIMARY KEY NOT NULL", f"{OWNER} TEXT NOT NULL")
AFTER = (
    "reference TEXT",
    "reference_origin TEXT",
    "metadata JSON NOT NULL",
    "created_at TIMESTAMPTZ NOT NULL",
    "updated_at TIMESTAMPTZ NOT NULL",
)


def _column(written: str) -> str:
    name, kind, rest = re.split(r"([:>])", f"{written}:TEXT", maxsplit=1)
    meant = rest.partition(":")[0]
    return f"{name}_id TEXT REFERENCES {meant} (id)" if kind == ">" else f"{name} {meant}"


def _read() -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, columns in re.findall(r"^(\w+):((?:.|\n +)*)", WRITTEN, re.MULTILINE):
        yield name, (*BEFORE, *map(_column, columns.split()), *AFTER)


TABLES: Mapping[str, tuple[str, ...]] = dict(_read())  # the columns of each, as SQL declares them
COLUMNS = {name: tuple(one.partition(" ")[0] for one in columns) for name, columns in TABLES.items()}


def schema() -> Iterator[str]:
    """The statements that make the tables."""
    for name, columns in TABLES.items():
        yield f"CREATE TABLE {name} ({', '.join(columns)})"


def indexes() -> Iterator[str]:
    """The statements that make an index for each foreign key, and for whose the rows are."""
    for name, columns in TABLES.items():
        keys = [OWNER, *(one.partition(" ")[0] for one in columns if "REFERENCES" in one)]
        for key in keys:
            yield f"CREATE INDEX {name}_{key} ON {name} ({key})"
