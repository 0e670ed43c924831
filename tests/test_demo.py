"""The demo: its shop, its readers, and the whole of it against real services."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import sqlite3
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from rich.console import Console

from outhaul.catalog import Catalog, Field, Relationship, Resource, Type
from outhaul.demo import database, files, shop
from outhaul.demo.asking import Got, Want
from outhaul.demo.looks import Count, looks
from outhaul.demo.report import Had, Proof, Report
from tests import oracle


def resource(
    name: str, key: tuple[str, ...], relationships: tuple[Relationship, ...] = (), /, **columns: Type
) -> Resource:
    fields = tuple(Field(column, column, kind, kind.value) for column, kind in columns.items())
    return Resource(name, None, name, "table", fields, key, relationships=relationships, columns=fields)


CATALOG = Catalog(
    "sqlite",
    {
        "orders": resource(
            "orders",
            ("id",),
            (
                Relationship("customer", "customers", many=False, on=(("customer_id", "id"),)),
                Relationship("lines", "lines", many=True, on=(("id", "order_id"),)),
            ),
            id=Type.INTEGER,
            customer_id=Type.INTEGER,
        ),
        "customers": resource("customers", ("id",), id=Type.INTEGER, name=Type.TEXT),
        "lines": resource(
            "lines", ("id",), id=Type.INTEGER, order_id=Type.INTEGER, quantity=Type.INTEGER, price=Type.FLOAT
        ),
    },
)


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """The Complete Journey in small: two baskets, and dirt of every kind that the whole has."""
    day = "2017-03-04"
    tables: dict[str, dict[str, list[Any]]] = {
        "transactions": {
            "household_id": [7, 7, 9],
            "store_id": [330, 330, 2],
            "basket_id": [31198570044, 31198570044, 31198570055],
            "product_id": [25671, 404, 25671],
            "quantity": [0, 89638, 1],
            "sales_value": [5.551115e-17, 840.0, 0.1],
            "retail_disc": [0.0, 0.0, 0.2],
            "coupon_disc": [0.0, 0.0, 0.0],
            "coupon_match_disc": [0.0, 0.0, 0.0],
            "week": [1, 1, 2],
            "transaction_timestamp": ["2017-01-01 11:53:26"] * 2 + ["2018-01-01 04:01:20"],
        },
        "products": {
            "product_id": [25671],
            "manufacturer_id": [2],
            "department": ["GROCERY"],
            "brand": ["National"],
            "product_category": [None],
            "product_type": ["ICE - CRUSHED/CUBED"],
            "package_size": ["22 LB"],
        },
        "demographics": {
            "household_id": [7],
            "age": ["65+"],
            "income": ["35-49K"],
            "home_ownership": ["Homeowner"],
            "marital_status": ["Married"],
            "household_size": ["2"],
            "household_comp": ["2 Adults No Kids"],
            "kids_count": ["0"],
        },
        "campaigns": {"campaign_id": [26, 26], "household_id": [7, 11]},
        "campaign_descriptions": {
            "campaign_id": [26],
            "campaign_type": ["Type A"],
            "start_date": [day],
            "end_date": [day],
        },
        "coupons": {
            "coupon_upc": [10000085207] * 3,
            "product_id": [25671, 25671, 404],
            "campaign_id": [26] * 3,
        },
        "coupon_redemptions": {
            "household_id": [9],
            "coupon_upc": [10000085207],
            "campaign_id": [26],
            "redemption_date": [day],
        },
    }
    for name, columns in tables.items():
        table = pa.table(columns)
        for column in {"transaction_timestamp", "start_date", "end_date", "redemption_date"} & set(columns):
            at = table.schema.get_field_index(column)
            table = table.set_column(at, column, table[column].cast(pa.timestamp("ns")))
        pq.write_table(table, tmp_path / f"{name}.parquet")
    return tmp_path


def test_the_shop_keeps_its_dirt_and_gives_every_row_a_key(parquet: Path) -> None:
    target = parquet / "shop.db"
    rows = shop.load(parquet, target)
    assert rows == {
        "customers": 3,
        "stores": 2,
        "skus": 1,
        "orders": 2,
        "line_items": 3,
        "campaigns": 1,
        "campaign_recipients": 2,
        "coupons": 1,
        "coupon_skus": 3,
        "coupon_redemptions": 1,
    }
    with sqlite3.connect(target) as connection:
        assert connection.execute("SELECT * FROM line_items").fetchall() == [
            (1, 31198570044, 404, 89638, 840.0, 0.0, 0.0, 0.0),
            (2, 31198570044, 25671, 0, 5.551115e-17, 0.0, 0.0, 0.0),
            (3, 31198570055, 25671, 1, 0.1, 0.2, 0.0, 0.0),
        ]
        assert connection.execute("SELECT * FROM orders").fetchall() == [
            (31198570044, 7, 330, "2017-01-01 11:53:26"),
            (31198570055, 9, 2, "2018-01-01 04:01:20"),
        ]
        assert connection.execute("SELECT id, age FROM customers").fetchall() == [
            (7, "65+"),
            (9, None),
            (11, None),
        ]
        assert connection.execute("SELECT starts_on FROM campaigns").fetchall() == [("2017-03-04",)]
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert shop.dangling(target) == 2


def test_loading_the_shop_again_replaces_it_and_what_a_killed_load_has_left(parquet: Path) -> None:
    target = parquet / "shop.db"
    (parquet / "shop.db.new").write_bytes(b"half a database")
    (parquet / "shop.db-wal").write_bytes(b"of another one")
    assert shop.load(parquet, target) == shop.load(parquet, target)


@pytest.fixture
def nested() -> list[dict[str, Any]]:
    random.seed(7)
    number = iter(range(1, 10**6))
    return [
        {
            "id": order,
            "customer_id": order % 50,
            "customer": {"id": order % 50, "name": 'é"\n,]['} if order % 7 else None,
            "lines": [
                {"id": next(number), "order_id": order, "quantity": 2**62, "price": random.random() * 10**6}
                for _ in range(order % 5)
            ],
        }
        for order in range(5_000)
    ]


def expected(rows: list[dict[str, Any]], path: str, key: str, *sums: str) -> tuple[int, int, list[float]]:
    """As the oracle has it; a float's sum is rounded once, as ours promises to be."""
    there = oracle.below(rows, path)
    exact = [sum((Fraction(row[name]) for row in there), Fraction()) for name in sums]
    return len(there), len({row[key] for row in there}), [float(total) for total in exact]


@pytest.mark.parametrize("form", ["json", "ndjson"])
@pytest.mark.parametrize("indent", [None, 3])
@pytest.mark.parametrize("packed", [True, False])
def test_the_demo_reads_nested_files_as_json_does(
    nested: list[dict[str, Any]],
    tmp_path: Path,
    form: str,
    indent: int | None,
    packed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(files, "CHARACTERS", 10_000)
    text = (
        json.dumps(nested, indent=indent)
        if form == "json"
        else "".join(json.dumps(row) + "\n" for row in nested)
    )
    path = tmp_path / "orders"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    seen = looks(CATALOG, "orders", ("customer", "lines"))
    assert [look.path for look in seen] == [(), ("customer",), ("lines",)]
    root, customer, lines = files.count(path, form, seen)
    rows, distinct, sums = expected(nested, "", "id", "customer_id")
    assert root == Count(rows, distinct, {"customer_id": str(int(sums[0]))})
    rows, distinct, _ = expected(nested, "customer", "id")
    assert (customer.rows, customer.distinct) == (rows, distinct)
    rows, distinct, sums = expected(nested, "lines", "id", "price")
    assert (lines.rows, lines.distinct, lines.sums["price"]) == (rows, distinct, repr(sums[0]))
    assert lines.sums["quantity"] == str(rows * 2**62)


def test_the_demo_reads_csv_with_newlines_in_values(tmp_path: Path) -> None:
    path = tmp_path / "lines.csv"
    text = io.StringIO()
    written = csv.writer(text, lineterminator="\n")
    written.writerow(["id", "order_id", "note", "quantity", "price"])
    written.writerows(
        [[1, 1, 'a\n"b",\r\n', -3, "0.1"], [2, 1, "x" * 200_000, "", "0.2"], [2, 1, "", 10**30, ""]]
    )
    path.write_text(text.getvalue(), newline="")
    (found,) = files.count(path, "csv", looks(CATALOG, "lines", ()))
    assert found == Count(
        3, 2, {"order_id": "3", "quantity": str(10**30 - 3), "price": "0.30000000000000004"}
    )


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("json", '[{"id": 1, "customer_id": 1}'),
        ("json", '[{"id": 1, "customer_id": 1},]'),
        ("json", '[{"id": 1, "customer_id": 1} {"id": 2, "customer_id": 1}]'),
        ("json", '[{"id": 1, "customer_id": 1},,{"id": 2, "customer_id": 1}]'),
        ("json", '[{"id": 1, "customer_id": NaN}]'),
        ("json", '[{"id": 1, "customer_id": 1}]['),
        ("json", '[,{"id": 1, "customer_id": 1}]'),
        ("json", '{"id": 1, "customer_id": 1}'),
        ("json", ""),
        ("ndjson", '{"id": 1, "customer_id": 1}\n{"id": 2,'),
        ("ndjson", '{"id": 1, "customer_id": 1}'),
        ("ndjson", '{"id": 1, "customer_id": 1}{"id": 2, "customer_id": 1}\n'),
        ("csv", "id,customer_id\n1,2\n3\n"),
        ("csv", 'id,customer_id\n1,"2\n'),
    ],
)
def test_a_damaged_file_is_never_counted(tmp_path: Path, form: str, text: str) -> None:
    path = tmp_path / "orders"
    path.write_text(text)
    with pytest.raises((ValueError, csv.Error)):
        files.count(path, form, looks(CATALOG, "orders", ()))


@pytest.mark.parametrize(
    ("form", "text"), [("json", "[]"), ("json", " [ ]\n"), ("ndjson", ""), ("csv", "id,customer_id\n")]
)
def test_an_empty_file_counts_nothing(tmp_path: Path, form: str, text: str) -> None:
    path = tmp_path / "orders"
    path.write_text(text)
    assert files.count(path, form, looks(CATALOG, "orders", ())) == (Count(0, 0, {"customer_id": "0"}),)


def load(url: str, rows: list[dict[str, Any]]) -> None:
    """The nested rows as three tables, by plain INSERTs."""
    engine = database.engine(url)
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE customers (id integer PRIMARY KEY, name text)",
            "CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer)",
            "CREATE TABLE lines (id integer PRIMARY KEY, order_id integer, quantity bigint, price double precision)",
        ):
            connection.execute(sa.text(statement))
        customers = {row["customer"]["id"]: row["customer"] for row in rows if row["customer"]}
        for name, found in (
            ("customers", list(customers.values())),
            (
                "orders",
                [
                    {"id": row["id"], "customer_id": row["customer_id"] if row["customer"] else -1}
                    for row in rows
                ],
            ),
            ("lines", oracle.below(rows, "lines")),
        ):
            columns = ", ".join(found[0])
            marks = ", ".join(f":{column}" for column in found[0])
            connection.execute(sa.text(f"INSERT INTO {name} ({columns}) VALUES ({marks})"), found)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_demo_counts_a_database_as_its_rows_are(
    nested: list[dict[str, Any]], tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/x.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    load(url, nested)
    seen = looks(Catalog(kind, CATALOG.resources), "orders", ("customer", "lines"))
    engine = database.engine(url)
    with engine.connect() as connection:
        found = [database.count(connection, database.fit(connection, look)) for look in seen]
    assert [(each.rows, each.distinct) for each in found] == [
        expected(nested, path, "id")[:2] for path in ("", "customer", "lines")
    ]
    rows, _, sums = expected(nested, "lines", "id", "price")
    assert found[2].sums["price"] == repr(sums[0])
    assert found[2].sums["quantity"] == str(rows * 2**62)


def test_numeric_of_postgresql_is_summed_to_the_last_digit(postgres_url: str, tmp_path: Path) -> None:
    amounts = ["1E+30", "0.0000000000000000000000000000000000000001", "-7.50"]
    catalog = Catalog(
        "postgresql", {"money": resource("money", ("id",), id=Type.INTEGER, amount=Type.DECIMAL)}
    )
    engine = database.engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE money (id integer PRIMARY KEY, amount numeric)"))
        for number, amount in enumerate(amounts):
            connection.execute(sa.text(f"INSERT INTO money VALUES ({number}, {amount})"))
        (look,) = looks(catalog, "money", ())
        there = database.count(connection, look)
    path = tmp_path / "money"
    path.write_text("".join(f'{{"id": {n}, "amount": {amount}}}\n' for n, amount in enumerate(amounts)))
    assert files.count(path, "ndjson", (look,)) == (there,)
    assert Decimal(there.sums["amount"]) == Decimal(
        "999999999999999999999999999992.5000000000000000000000000000000000000001"
    )


def test_a_sqlite_column_that_holds_other_things_than_numbers_has_no_sum(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    engine = database.engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE lines (id integer PRIMARY KEY, order_id, quantity, price)"))
        connection.execute(sa.text("INSERT INTO lines VALUES (1, 1, 2, 'cheap'), (2, 1.5, NULL, 0.5)"))
        (look,) = looks(CATALOG, "lines", ())
        fit = database.fit(connection, look)
    assert [field.name for field in fit.exact] == ["quantity"]
    assert fit.floats == ()


def test_one_row_lost_and_one_doubled_is_no_proof(tmp_path: Path) -> None:
    path = tmp_path / "orders"
    (look,) = looks(CATALOG, "orders", ())
    path.write_text('{"id": 1, "customer_id": 5}\n{"id": 2, "customer_id": 5}\n')
    (whole,) = files.count(path, "ndjson", (look,))
    path.write_text('{"id": 1, "customer_id": 5}\n{"id": 1, "customer_id": 5}\n')
    (doubled,) = files.count(path, "ndjson", (look,))
    proof = Proof(Had(Want("orders", "ndjson"), Got(path, path, 1.0), 0), look, doubled, whole)
    assert not proof.holds
    assert doubled.rows == whole.rows


def test_progress_in_a_pipe_is_plain_lines() -> None:
    said = io.StringIO()
    with Report(Console(file=said)).export(Want("orders", "json", compress="gzip")) as follow:
        for done in (0, 3, 14, 15, 100):
            follow(done, 100)
    assert said.getvalue().splitlines() == [
        f"Exporting orders as json (gzip): {done} of 100 rows" for done in (0, 14, 100)
    ]
