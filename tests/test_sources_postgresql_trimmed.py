"""PostgreSQL as a source: fields read as text, keys that may hold NULL, partitions with policies of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from outhaul import plan, trims
from outhaul.blocks import Range
from outhaul.export import Caller, Draft, Selection
from outhaul.sources import postgresql
from tests.postgres_reading import connected, reading
from tests.selections import selection
from tests.slow_reader import rows

US = Caller("us", "us", None, all_tenants=True)


@pytest.fixture
def database(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    yield from connected(postgres_url)


@pytest.mark.every_postgres
def test_a_field_that_the_catalog_reads_as_text_is_a_string(
    postgres_url: str, database: Any, tmp_path: Path
) -> None:
    database.execute("CREATE TABLE nums (id int PRIMARY KEY, code int, ok boolean, tags int[])")
    database.execute("INSERT INTO nums VALUES (1, 7, true, '{1,2}'), (2, NULL, NULL, NULL)")
    file = tmp_path / "catalog.toml"
    file.write_text(
        '[resources.nums.fields]\nid = {}\ncode = { type = "text" }\nok = { type = "text" }\ntags = { type = "text" }\n'
    )
    catalog = trims.load(file, postgresql.reflect(postgres_url))
    made = plan.build(catalog, Draft((Selection("nums"),)), US, formats=("json",))
    with reading(postgres_url) as session:
        session.tables(made)
        found = rows(session.read(made.selections[0], Range(), "json"))
    assert [(row["code"], row["ok"], row["tags"]) for row in found] == [
        ("7", "true", "{1,2}"),
        (None, None, None),
    ]


def test_a_unique_column_that_may_still_hold_null_is_no_key(postgres_url: str, database: Any) -> None:
    database.execute("CREATE TABLE nn (k int UNIQUE, t text)")
    database.execute("INSERT INTO nn VALUES (1, 'a'), (NULL, 'b')")
    database.execute("ALTER TABLE nn ADD CONSTRAINT nn_k NOT NULL k NOT VALID")
    assert postgresql.reflect(postgres_url).resources["nn"].key == ()
    database.execute("DELETE FROM nn WHERE k IS NULL; ALTER TABLE nn VALIDATE CONSTRAINT nn_k")
    assert postgresql.reflect(postgres_url).resources["nn"].key == ("k",)


@pytest.mark.every_postgres
def test_a_partition_with_a_policy_of_its_own_is_read_through_its_parent(
    postgres_url: str, database: Any
) -> None:
    database.execute(
        """
        CREATE TABLE p (id int PRIMARY KEY, t text) PARTITION BY RANGE (id);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10000);
        CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10000) TO (20000);
        INSERT INTO p SELECT n, repeat('x', 50) FROM generate_series(0, 19999) n;
        ALTER TABLE p1 ENABLE ROW LEVEL SECURITY;
        CREATE POLICY few ON p1 USING (id < 5);
        DO $$ BEGIN CREATE ROLE policed LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        GRANT SELECT ON p, p1, p2 TO policed;
        ANALYZE p;
        """
    )
    guest = make_conninfo(postgres_url, user="policed")
    found = psycopg.conninfo.conninfo_to_dict(guest)
    url = f"postgresql://policed@{found['host']}:{found['port']}/{found['dbname']}"
    tree = selection(postgresql.reflect(url), "p")
    with reading(url) as session:
        ranges = session.split(tree, 200_000)
        assert sum(len(rows(session.read(tree, part, "csv"))) for part in ranges) == 20_000
    database.execute("DROP OWNED BY policed")


def test_an_index_by_another_collation_than_its_column_makes_no_key(postgres_url: str, database: Any) -> None:
    database.execute('CREATE TABLE a (k text COLLATE "C" NOT NULL, t text)')
    database.execute('CREATE UNIQUE INDEX ON a (k COLLATE "C.utf8")')
    assert postgresql.reflect(postgres_url).resources["a"].key == ()
    database.execute("CREATE UNIQUE INDEX ON a (k)")
    assert postgresql.reflect(postgres_url).resources["a"].key == ("k",)
