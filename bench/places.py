"""Services that run with the settings that they have by default, on a source of orders of very many organizations."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from outhaul.access import Access
from outhaul.demo import serving
from outhaul.ledger import Ledger

RESOURCE = "orders"
ORGANIZATIONS, ROWS = 100, 10_000
SOURCE = """
PRAGMA journal_mode = WAL;
CREATE TABLE organizations (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, organization_id INTEGER NOT NULL REFERENCES organizations (id), note TEXT
);
CREATE INDEX orders_of ON orders (organization_id);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {organizations})
INSERT INTO organizations SELECT i, 'organization ' || i FROM n;
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows})
INSERT INTO orders SELECT i + 1, 1 + i % {organizations}, 'note ' || i FROM n;
"""
CATALOG = '[resources.organizations]\ntenant = "id"\n[resources.orders]\ntenant = "organization_id"\n'


@dataclass(frozen=True, slots=True)
class Place:
    """A service that runs, where its ledger is, and a token of each organization that was asked for."""

    service: serving.Service
    ledger: str
    tokens: Sequence[str]


def tenants(many: int) -> list[str]:
    """The first organizations of the source."""
    return [str(number) for number in range(1, many + 1)]


@contextmanager
def place(
    folder: Path, organizations: int, ledger: str = "", *, among: int = ORGANIZATIONS, rows: int = ROWS
) -> Iterator[Place]:
    """`outhaul serve` until the block ends, on the ledger that is there already, or on a fresh one. `ledger`: its URL;
    without one, as by default, it is SQLite in the state folder. `organizations`: those that have a token, of so many
    `among` whom as many `rows` are divided."""
    state = folder / "state"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    source, catalog = folder / "source.db", folder / "catalog.toml"
    if not source.exists():
        with closing(sqlite3.connect(source)) as connection:
            connection.executescript(SOURCE.format(organizations=among, rows=rows))
    catalog.write_text(CATALOG)
    settings = {"catalog": str(catalog)} | ({"ledger": ledger} if ledger else {})
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
    (folder / "outhaul.toml").write_text("".join(lines))
    url = ledger or f"sqlite:///{state / 'ledger.db'}"
    with Ledger(url) as kept:
        kept.migrate()
        access = Access(kept)
        tokens = [access.make_token(f"of {tenant}", tenant=tenant)[0] for tenant in tenants(organizations)]
    with serving.service(folder, f"sqlite:///{source}") as service:
        yield Place(service, url, tokens)
