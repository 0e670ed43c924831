"""Rebilly's part of the sandbox: the tables that a subscription business has besides, its section, and its keys."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from outhaul.access import PREFIX, Access, digest
from outhaul.ledger.tokens import NewToken
from outhaul.sandbox.credentials import HOME, OTHER, Client
from outhaul.sandbox.places import FIRST, LAST
from outhaul.sandbox.tables import OWNER

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
AMOUNT = "NUMERIC(12, 2)"
# Beside these columns each has an id, whose it is, and when it was made.
TABLES: Mapping[str, Mapping[str, str]] = {
    "users": {"email": "TEXT", "first_name": "TEXT", "last_name": "TEXT", "status": "TEXT"},
    "invoices": {
        "number": "INTEGER",
        "customer_id": "TEXT REFERENCES customers (id)",
        "order_id": "TEXT REFERENCES orders (id)",
        "currency": "TEXT",
        "amount": AMOUNT,
        "status": "TEXT",
        "issued_at": "TIMESTAMPTZ",
    },
    "disputes": {
        "transaction_id": "TEXT REFERENCES transactions (id)",
        "reason": "TEXT",
        "amount": AMOUNT,
        "status": "TEXT",
    },
    "gateway_accounts": {"gateway": "TEXT", "status": "TEXT", "monthly_limit": AMOUNT},
    "blocklists": {"type": "TEXT", "value": "TEXT", "expires_at": "TIMESTAMPTZ"},
    "lists": {"name": "TEXT", "items": "JSON"},
    "webhooks": {"url": "TEXT", "status": "TEXT", "events": "JSON"},
    "websites": {"name": "TEXT", "url": "TEXT"},
    "plans": {"name": "TEXT", "currency": "TEXT", "amount": AMOUNT, "period": "TEXT"},
    "credit_memos": {"invoice_id": "TEXT REFERENCES invoices (id)", "amount": AMOUNT, "reason": "TEXT"},
    "files": {
        "name": "TEXT",
        "extension": "TEXT",
        "mime": "TEXT",
        "size": "INTEGER",
        "tags": "JSON",
        "content": "BLOB",
    },
    "email_notifications": {
        "customer_id": "TEXT REFERENCES customers (id)",
        "title": "TEXT",
        "status": "TEXT",
    },
}
# Which resource is which of Rebilly's types; those of the shop's own tables are named otherwise there.
TYPES: Mapping[str, str] = {
    "customers": "customers",
    "users": "users",
    "payment-instruments": "customer_payment_sources",
    "invoices": "invoices",
    "orders": "orders",
    "transactions": "transactions",
    "disputes": "disputes",
    "gateway-accounts": "gateway_accounts",
    "blocklists": "blocklists",
    "lists": "lists",
    "webhooks": "webhooks",
    "products": "skus",
    "websites": "websites",
    "plans": "plans",
    "credit-memos": "credit_memos",
    "files": "files",
    "email-notifications": "email_notifications",
}


def make(target: Path, seed: str) -> None:
    """Adds the tables to the shop at `target`, filled by what was bought there. The same shop and seed make the same
    rows."""
    with closing(sqlite3.connect(target)) as connection, connection:
        for name, columns in TABLES.items():
            written = ", ".join(f"{column} {kind}" for column, kind in columns.items())
            connection.execute(
                f"CREATE TABLE {name} (id TEXT PRIMARY KEY NOT NULL, {OWNER} TEXT NOT NULL, {written}, "
                "created_at TIMESTAMPTZ NOT NULL)"
            )
            connection.execute(f"CREATE INDEX {name}_{OWNER} ON {name} ({OWNER})")
        for organization in (HOME, OTHER):
            _Business(connection, seed, organization).fill()


class _Business:
    """One organization's rows."""

    def __init__(self, connection: sqlite3.Connection, seed: str, organization: str) -> None:
        self._connection = connection
        self._organization = organization
        self._chance = Random(f"{seed}/{organization}/rebilly")  # noqa: S311  # made up, and the same each time

    def fill(self) -> None:
        self._people()
        self._settings()
        invoices = [self._invoice(*one) for one in self._rows("orders", "id", "customer_id", "currency_code")]
        for invoice, amount, at in invoices:
            if self._chance.random() < 0.05:
                self._add("credit_memos", at, invoice, amount, "Returned, “as new”")
        for transaction, cents, at in self._rows("transactions", "id", "amount_cents"):
            if self._chance.random() < 0.03:
                self._add("disputes", at, transaction, "1000", _money(cents), "response-needed")
        for customer, email, at in self._rows("customers", "id", "email"):
            self._add("email_notifications", at, customer, f"Welcome, {email}!", "delivered")
            if self._chance.random() < 0.1:
                scan = self._chance.randbytes(self._chance.randrange(5_000))
                name = f"passport of {email}.jpg"
                self._add("files", at, name, "jpg", "image/jpeg", len(scan), '["kyc"]', scan)

    def _rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """Of the shop, each with when it was made at its end."""
        found = self._connection.execute(
            f"SELECT {', '.join(columns)}, created_at FROM {table} WHERE {OWNER} = ? ORDER BY id",  # noqa: S608  # names of ours
            (self._organization,),
        )
        return found.fetchall()

    def _add(self, table: str, at: str, *values: Any) -> str:
        own = "".join(self._chance.choices(DIGITS, k=26))
        marks = ", ".join("?" * (len(values) + 3))
        row = (own, self._organization, *values, at)
        self._connection.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608  # a name of TABLES
        return own

    def _people(self) -> None:
        for number in range(4):
            first, last = self._chance.choice(FIRST), self._chance.choice(LAST)
            email = f"{first}.{number}@{self._organization}.example".lower()
            self._add("users", _day(number), email, first, last, "active")

    def _settings(self) -> None:
        organization = self._organization
        for number, gateway in enumerate(("RebillyProcessor", "Worldpay")):
            self._add("gateway_accounts", _day(number), gateway, "active", "250000.00")
            self._add("plans", _day(number), f"{gateway} plan, “monthly”", "USD", "12.50", "month")
        self._add("blocklists", _day(1), "email", "mallory@example.com", None)
        self._add("blocklists", _day(2), "ip-address", "192.0.2.7", _day(200))
        self._add("lists", _day(1), "VIP", json.dumps(["Zoë", "José", 'O"Neill']))
        self._add(
            "webhooks", _day(1), f"https://{organization}.example/hook", "active", '["customer-created"]'
        )
        self._add("websites", _day(1), f"{organization}, the shop", f"https://{organization}.example")

    def _invoice(self, order: str, customer: str, currency: str, at: str) -> tuple[str, str, str]:
        amount = _money(self._chance.randint(100, 100_000))
        number = self._chance.randrange(1_000_000)
        status = self._chance.choice(("paid", "unpaid", "past-due"))
        return self._add("invoices", at, number, customer, order, currency, amount, status, at), amount, at


def _day(number: int) -> str:
    return f"2025-{1 + number // 28 % 12:02}-{1 + number % 28:02}T00:00:00.000Z"


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def catalog() -> str:
    """What the catalog file says of them, in TOML. Fields are named, so that none is hidden for looking like a secret;
    none of them is of one market."""
    resources = [
        f'[resources.{name}]\ntenant = "{OWNER}"\nscopes = {{ market = false }}\nfields = {{ {_fields(name)} }}\n'
        for name in TABLES
    ]
    types = "\n".join(f'{name} = "{resource}"' for name, resource in TYPES.items())
    binary = '[resources.files.binary]\ncolumn = "content"\nname = "name"\n'
    return "\n".join([*resources, binary, f"[rebilly.types]\n{types}\n"])


def _fields(table: str) -> str:
    columns = ("id", *(name for name, kind in TABLES[table].items() if kind != "BLOB"), "created_at")
    return ", ".join(f"{name} = {{}}" for name in columns)


@dataclass(frozen=True, slots=True)
class Key:
    """An API key of the sandbox; everybody can know it, who knows the seed."""

    name: str
    seed: str
    tenant: str
    read_only: bool = False

    @property
    def token(self) -> str:
        return PREFIX + base64.urlsafe_b64encode(self._drawn()).decode().rstrip("=")

    def _drawn(self) -> bytes:
        return hashlib.sha256(f"outhaul sandbox/{self.seed}/{self.name}/key".encode()).digest()

    def make(self, access: Access) -> None:
        """Let it in."""
        made = NewToken(
            self._drawn().hex()[:8],
            digest(self.token),
            self.name,
            self.tenant,
            all_tenants=False,
            read_only=self.read_only,
        )
        access.ledger.insert_token(made)


def credentials(access: Access, seed: str) -> dict[str, str]:
    """Makes the keys, and says what to sign in with."""
    keys: Sequence[Key] = (
        Key("secret key", seed, HOME),
        Key("limited key", seed, HOME, read_only=True),
        Key("secret key next door", seed, OTHER),
    )
    session = Client("session", seed, HOME)
    makers: Sequence[Key | Client] = (*keys, session)
    for one in makers:
        one.make(access)
    mine, limited, other = (key.token for key in keys)
    return {
        "api_key": mine,
        "organization_id": HOME,
        "jwt": session.token(access),
        "limited_key": limited,
        "other_api_key": other,
        "other_organization_id": OTHER,
    }
