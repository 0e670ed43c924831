"""PostgreSQL as a source: tables that change under an instant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from outhaul.errors import (
    SchemaChanged,
)
from outhaul.sources import postgresql
from tests.postgres_reading import connected, reading
from tests.selections import plan, selection


@pytest.fixture
def database(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    yield from connected(postgres_url)


CHANGES = {
    "TRUNCATE a": ("rewritten", None),
    "VACUUM FULL a": ("rewritten", None),
    "CLUSTER a USING a_pkey": ("rewritten", None),
    "ALTER TABLE a ALTER t TYPE varchar(90)": ("shape", "t"),
    "ALTER TABLE a DROP t": ("shape", "t"),
    "ALTER TABLE a RENAME t TO other": ("shape", "t"),
    "ALTER TABLE a RENAME t TO x; ALTER TABLE a RENAME s TO t; ALTER TABLE a RENAME x TO s": ("shape", "t"),
    "ALTER TABLE a DROP t; ALTER TABLE a ADD t text": ("shape", "t"),
    "ALTER TABLE a ALTER at TYPE timestamp": ("shape", "at"),
    "ALTER TABLE a ADD extra int DEFAULT 5": (None, None),
    "ALTER TABLE a DROP unused": (None, None),
    "DROP TABLE a CASCADE": ("shape", None),
    "ALTER TABLE a RENAME TO z; CREATE TABLE a (LIKE z INCLUDING ALL)": ("rewritten", None),
    "CREATE OR REPLACE VIEW v AS SELECT id, s AS t FROM a": ("shape", None),
    "REFRESH MATERIALIZED VIEW m": ("rewritten", None),
    "CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (20) TO (30)": ("rewritten", None),
    "TRUNCATE p2": ("rewritten", None),
    "UPDATE a SET t = 'new'": (None, None),
}


@pytest.mark.every_postgres
@pytest.mark.parametrize("change", CHANGES)
def test_a_table_that_changes_under_an_instant_is_noticed(
    postgres_url: str, database: Any, change: str
) -> None:
    database.execute(
        "SET timezone = 'UTC'; CREATE TABLE a (id int PRIMARY KEY, t text, s text, at timestamptz, unused int)"
    )
    database.execute("INSERT INTO a VALUES (1, 't', 's', now()), (2, 'tt', 'ss', now())")
    database.execute("CREATE MATERIALIZED VIEW m AS SELECT id FROM a" if " m" in change else "SELECT 1")
    database.execute("CREATE VIEW v AS SELECT id, t FROM a" if " v " in change else "SELECT 1")
    database.execute("CREATE TABLE p (id int) PARTITION BY RANGE (id)")
    database.execute("CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (0) TO (20); INSERT INTO p VALUES (1)")
    catalog = postgresql.reflect(postgres_url)
    trees = [selection(catalog, "a", fields=["t", "s", "at"])]
    trees += [selection(catalog, name) for name in ("m", "v", "p") if name in catalog.resources]
    whole = plan("postgresql", *trees)
    with reading(postgres_url) as keeper:
        name = keeper.share()
        before = keeper.tables(whole)
        keeper.end()
        keeper.begin()
        name = keeper.share()
        with psycopg.connect(postgres_url, autocommit=True) as other:
            other.execute("SET timezone = 'UTC'")
            for statement in change.split("; "):
                other.execute(statement)
        with reading(postgres_url, name) as session:
            found = _difference(lambda: postgresql.check(before, session.tables(whole)))
    assert found == CHANGES[change]


def _difference(look: Any) -> tuple[str | None, str | None]:
    try:
        look()
    except SchemaChanged as error:
        return "rewritten" if error.facts["rewritten"] else "shape", error.facts["column"]
    return None, None
