"""`dry_data`: without identities, timestamps and blanks, so that what is exported can be imported as new."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.served import Asker, finished, put_together, served

SHOP = """
PRAGMA journal_mode = WAL;
CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT, created_at TIMESTAMP);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers, number TEXT, note TEXT,
    guest BOOLEAN, total INTEGER, metadata JSON, placed_at TIMESTAMP, created_at TIMESTAMP, updated_at TIMESTAMP);
CREATE TABLE line_items (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders, sku_code TEXT,
    created_at TIMESTAMP);
INSERT INTO customers VALUES (1, 'ann@example.com', '2018-01-01 12:00:00'), (2, ' ', '2018-01-01 12:00:00');
INSERT INTO orders VALUES
    (1, 1, '#1', 'soon', 1, 10, '{"a":1}', '2018-01-01 12:00:00', '2018-01-01 12:00:00', '2018-01-02 12:00:00'),
    (2, 2, '#2', '', 0, 0, '{}', NULL, '2018-01-01 12:00:00', '2018-01-02 12:00:00'),
    (3, NULL, '#3', NULL, NULL, NULL, NULL, NULL, '2018-01-01 12:00:00', NULL);
INSERT INTO line_items VALUES (1, 1, 'A', '2018-01-01 12:00:00'), (2, 1, NULL, '2018-01-01 12:00:00');
CREATE TABLE skus (code TEXT PRIMARY KEY, name TEXT);
INSERT INTO skus VALUES ('A', 'Apple');
"""
CATALOG = """
[resources.orders]
[resources.customers]
[resources.line_items]
[resources.skus]
identity = ""
"""
PLACED = "2018-01-01 12:00:00"
# What stays of the rows, written out by hand: keys of other rows, what is false or 0, and times of the order itself.
ORDERS: list[dict[str, Any]] = [
    {
        "customer_id": 1,
        "number": "#1",
        "note": "soon",
        "guest": True,
        "total": 10,
        "metadata": {"a": 1},
        "placed_at": PLACED,
        "customer": {"email": "ann@example.com"},
        "line_items": [{"order_id": 1, "sku_code": "A"}, {"order_id": 1}],
    },
    {"customer_id": 2, "number": "#2", "guest": False, "total": 0},
    {"number": "#3"},
]


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    place = tmp_path_factory.mktemp("dry")
    with closing(sqlite3.connect(place / "shop.db")) as connection:
        connection.executescript(SHOP)
    (place / "catalog.toml").write_text(CATALOG)
    catalog = place / "catalog.toml"
    url = f"sqlite:///{place}/shop.db"
    with put_together(url, place / "state", catalog=catalog) as outhaul, served(outhaul) as http:
        yield Asker(outhaul, http)


def text(asker: Asker, **attributes: Any) -> str:
    data = finished(asker, **attributes)
    assert data["attributes"]["dry_data"] is attributes.get("dry_data", False)
    found = asker.client.get(data["attributes"]["attachment_url"]).content
    return gzip.decompress(found).decode()


def test_guess_identities_timestamps_and_blanks_are_left_out_and_other_keys_kept(asker: Asker) -> None:
    includes = ["customer", "line_items"]
    dry = json.loads(text(asker, includes=includes, dry_data=True))
    assert dry == ORDERS
    whole = json.loads(text(asker, includes=includes))
    assert {"id", "created_at", "updated_at", "note", "line_items"} <= set(whole[2])


def test_they_are_left_out_where_fields_name_them_too(asker: Asker) -> None:
    fields = ["id", "number", "created_at", "customer.id", "customer.email", "line_items.id"]
    dry = json.loads(text(asker, fields=fields, dry_data=True))
    assert dry == [
        {"number": "#1", "customer": {"email": "ann@example.com"}},
        {"number": "#2"},
        {"number": "#3"},
    ]


def test_guess_in_csv_blanks_are_empty_cells(asker: Asker) -> None:
    fields = ["id", "number", "note", "total", "updated_at"]
    dry = list(csv.reader(io.StringIO(text(asker, fields=fields, dry_data=True, format="csv"))))
    assert dry == [["number", "note", "total"], ["#1", "soon", "10"], ["#2", "", "0"], ["#3", "", ""]]


def test_a_key_that_is_data_stays_where_the_catalog_file_says_so(asker: Asker) -> None:
    assert json.loads(text(asker, resource_type="skus", dry_data=True)) == [{"code": "A", "name": "Apple"}]


def test_an_export_of_which_nothing_would_be_left_is_refused(asker: Asker) -> None:
    answer = asker.ask(resource_type="orders", fields=["id", "created_at", "line_items.id"], dry_data=True)
    (error,) = answer.json()["errors"]
    assert answer.status_code == 422
    assert error["source"] == {"pointer": "/data/attributes/dry_data"}
    assert error["meta"]["error"] == "invalid"
