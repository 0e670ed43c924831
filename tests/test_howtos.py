"""The how-tos, followed to the letter: what stands in their blocks is typed and written as it is."""

from __future__ import annotations

import csv
import gzip
import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.pages import DOCS, alone, blocks, environment, script, typed
from tests.postgres import Server

HOWTOS = DOCS / "howto"
# What a page says that it is for, as far as it matters to it.
SHOP = """
CREATE TABLE companies (id text PRIMARY KEY, name text);
CREATE TABLE countries (code text PRIMARY KEY);
CREATE TABLE customers (id integer PRIMARY KEY, company_id text REFERENCES companies (id), name text);
CREATE TABLE skus (id integer PRIMARY KEY, code text);
CREATE TABLE orders (
    id integer PRIMARY KEY, customer_id integer REFERENCES customers (id), state text, total numeric(10,2), note text
);
CREATE TABLE line_items (
    id integer PRIMARY KEY, order_id integer REFERENCES orders (id), sku_id integer REFERENCES skus (id), n integer
);
INSERT INTO companies VALUES ('acme', 'Acme'), ('zenith', 'Zenith');
INSERT INTO customers VALUES (1, 'acme', 'Ada'), (2, 'zenith', 'Grace');
INSERT INTO skus VALUES (1, '007');
INSERT INTO orders VALUES
    (10, 1, 'paid', 9.90, '=1+1'), (11, 2, 'paid', 0.10, 'é'), (12, 1, 'paid', 100.00, ''),
    (13, 1, 'draft', 7.00, NULL);
INSERT INTO line_items VALUES (1, 10, 1, 2), (2, 10, 1, 3), (3, 11, 1, 1);
"""
TRIMMED = """
CREATE TABLE customers (id integer PRIMARY KEY, name text);
CREATE TABLE orders (
    id integer PRIMARY KEY, customer_id integer REFERENCES customers (id), state text, total numeric(10,2)
);
CREATE TABLE notes (id integer PRIMARY KEY);
INSERT INTO customers VALUES (1, 'Ada'), (2, 'Grace');
INSERT INTO orders VALUES (10, 1, 'paid', 9.90), (11, 2, 'paid', 0.10), (12, 1, 'paid', 100.00), (13, 1, 'draft', 7.00);
"""
SALES = """
CREATE TABLE products (id integer PRIMARY KEY, shop text NOT NULL, code text);
CREATE TABLE sales (id integer PRIMARY KEY, shop text NOT NULL);
CREATE TABLE sale_lines (
    id integer PRIMARY KEY, sale_id integer REFERENCES sales (id), product_id integer REFERENCES products (id)
);
INSERT INTO products VALUES (1, 'acme', 'cup');
INSERT INTO sales VALUES (1, 'acme'), (2, 'zenith');
INSERT INTO sale_lines VALUES (1, 1, 1);
"""
CAMPAIGNS = """
CREATE TABLE places (id integer PRIMARY KEY, company text NOT NULL, city text);
CREATE TABLE customers (
    id integer PRIMARY KEY, company text NOT NULL, number text NOT NULL UNIQUE, email text, language text,
    first_name text, birthplace_id integer REFERENCES places (id)
);
CREATE TABLE devices (
    id integer PRIMARY KEY, company text NOT NULL, serial text, customer_id integer REFERENCES customers (id)
);
CREATE TABLE messages (
    id integer PRIMARY KEY, company text NOT NULL, kind text NOT NULL, state text NOT NULL,
    sent_at timestamptz NOT NULL, campaign_id text, customer_id integer REFERENCES customers (id),
    device_id integer REFERENCES devices (id)
);
INSERT INTO places VALUES (1, 'acme', 'London');
INSERT INTO customers VALUES (1, 'acme', 'c1', 'ada@example.com', 'fr', 'Ada', 1),
    (2, 'zenith', 'c2', NULL, 'fr', NULL, NULL);
INSERT INTO devices VALUES (1, 'acme', 'i1', 1);
"""
BUSINESS = """
CREATE TABLE customers (id integer PRIMARY KEY, organization text NOT NULL);
CREATE TABLE invoices (
    id integer PRIMARY KEY, organization text NOT NULL, state text NOT NULL,
    customer_id integer REFERENCES customers (id)
);
CREATE TABLE invoice_items (id integer PRIMARY KEY, invoice_id integer REFERENCES invoices (id), text text);
INSERT INTO customers VALUES (1, 'acme'), (2, 'zenith');
INSERT INTO invoices VALUES (1, 'acme', 'issued', 1), (2, 'acme', 'draft', 1), (3, 'zenith', 'issued', 2);
INSERT INTO invoice_items VALUES (1, 1, 'a cup');
"""


def fill(place: Path, schema: str) -> None:
    with closing(sqlite3.connect(place / "my.db")) as connection:
        connection.executescript(f"PRAGMA journal_mode = WAL; {schema}")


def follow(name: str, place: Path, schema: str = SHOP) -> str:
    """What the page's lines print."""
    fill(place, schema)
    with alone():
        return typed(script(blocks(HOWTOS / name)), place, environment(place))


def rows(folder: Path) -> list[dict[str, object]]:
    (file,) = folder.glob("*.json.gz")
    found: list[dict[str, object]] = json.loads(gzip.decompress(file.read_bytes()))
    return found


def test_every_how_to_is_followed() -> None:
    here = (
        Path(__file__).read_text(),
        *(each.read_text() for each in Path(__file__).parent.glob("*_add_a_*.py")),
    )
    told = {page.name for page in HOWTOS.glob("*.md")} - {"index.md"}
    told.discard("add-a-source.md")  # a way, and no program
    assert not {name for name in told if not any(f'"{name}"' in text for text in here)}


@pytest.fixture
def shop(postgres_server: Server) -> Iterator[str]:
    """A database as the page names it, and none of the role that it makes."""
    with alone("shop"), postgres_server.database("shop") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SHOP.encode())
        yield url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY outhaul")
            connection.execute("DROP ROLE outhaul")


@pytest.mark.heavy
def test_a_role_with_least_rights_is_made_and_found_well(shop: str, tmp_path: Path) -> None:
    ask, make, again = (one for one in blocks(HOWTOS / "connect-postgresql.md"))
    surroundings = environment(tmp_path, PGPORT=str(urlsplit(shop).port))

    def doctor(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=False
        )

    first = doctor(ask.text)
    assert (first.returncode, "superuser" in first.stdout) == (1, True), first.stdout + first.stderr
    assert [line.strip() for line in first.stdout.splitlines()][-len(make.lines) :] == make.lines
    with psycopg.connect(shop, autocommit=True) as connection:
        for line in make.lines:
            connection.execute(line.encode())
    second = doctor(again.text)
    assert second.returncode == 0, second.stdout + second.stderr


@pytest.mark.heavy
def test_a_trimmed_catalog_offers_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    said = follow("trim-the-catalog.md", tmp_path, TRIMMED)
    table = list(csv.reader((tmp_path / "sales" / "sales.csv").read_text().splitlines()))
    assert table[0] == ["number", "total", "state", "buyer"]
    assert [row[0] for row in table[1:]] == ["10", "12"]
    assert json.loads(table[1][3]) == {"id": 1, "name": "Ada"}
    assert re.search(r"^notes +for our staff alone", said, re.MULTILINE)


@pytest.mark.heavy
def test_a_tenants_token_brings_its_own_rows_and_ends_when_it_is_revoked(tmp_path: Path) -> None:
    said = follow("tenants-and-tokens.md", tmp_path)
    assert [row["id"] for row in rows(tmp_path / "acme")] == [10, 12, 13]
    assert "tenant acme" in said


@pytest.mark.heavy
def test_a_webhook_is_heard_and_its_signature_is_right(tmp_path: Path) -> None:
    last = follow("webhooks.md", tmp_path).splitlines()[-1]
    assert re.fullmatch(r"exports\.complete \w+ completed", last)


@pytest.mark.heavy
def test_a_file_for_a_spreadsheet_runs_nothing_and_keeps_zeros(tmp_path: Path) -> None:
    follow("spreadsheets.md", tmp_path)
    text = (tmp_path / "orders" / "orders.csv").read_bytes().decode("utf-8")
    assert text.startswith("\ufeff")
    table = list(csv.DictReader(text.removeprefix("\ufeff").splitlines(), delimiter=";"))
    assert len(table) == 5
    assert {"'=1+1", "é"} <= {row["note"] for row in table}
    assert "'007" in {row["line_items.sku.code"] for row in table}
    (other,) = (tmp_path / "plain").glob("orders*.csv")
    assert other.read_bytes().startswith("\ufeff".encode())


@pytest.mark.heavy
def test_a_program_of_commerce_layers_kind_signs_in_and_asks(tmp_path: Path) -> None:
    said = follow("from-commerce-layer.md", tmp_path, SALES)
    export = json.loads(said[said.index('{"data"') :])["data"]["attributes"]
    assert (export["resource_type"], export["records_count"]) == ("orders", 1)


@pytest.mark.heavy
def test_profiles_of_the_page_are_those_of_the_tables(tmp_path: Path) -> None:
    said = follow("batch.md", tmp_path, CAMPAIGNS)
    assert json.loads(said.splitlines()[-1]) == {
        "identifiers": {"custom_id": "c1"},
        "attributes": {"$email_address": "ada@example.com", "city_of_birth": "London"},
    }


@pytest.mark.heavy
def test_everything_that_an_organization_has_comes_in_one_proven_archive(tmp_path: Path) -> None:
    said = follow("from-rebilly.md", tmp_path, BUSINESS)
    assert "subscriptions" in said or "transactions" in said, "types that nobody maps are told"
    invoices = json.loads((tmp_path / "everything" / "invoices.json").read_text())
    assert [(one["id"], [item["text"] for item in one["invoice_items"]]) for one in invoices] == [
        (1, ["a cup"])
    ]
