"""Foreign tables: no instant of this database holds their rows, which export and manifest say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from outhaul import plan
from outhaul.export import Caller, Draft, Selection
from outhaul.sources import postgresql

US = Caller("us", "us", None, all_tenants=True)


def linked(url: str) -> None:
    """A table, and the same through a foreign table that leads back to this database, and views over that."""
    here = conninfo_to_dict(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE near (id int PRIMARY KEY, note text)")
        connection.execute("INSERT INTO near SELECT n, repeat('x', 50) FROM generate_series(1, 5000) n")
        connection.execute("CREATE TABLE kin (id int PRIMARY KEY, near_id int REFERENCES near)")
        connection.execute("CREATE EXTENSION postgres_fdw")
        connection.execute(
            "CREATE SERVER back FOREIGN DATA WRAPPER postgres_fdw "
            f"OPTIONS (host '{here['host']}', port '{here['port']}', dbname '{here['dbname']}')"
        )
        connection.execute(
            f"CREATE USER MAPPING FOR CURRENT_USER SERVER back OPTIONS (user '{here['user']}')"
        )
        connection.execute(
            "CREATE FOREIGN TABLE far (id int, note text) SERVER back OPTIONS (table_name 'near')"
        )
        connection.execute("CREATE VIEW afar AS SELECT * FROM far")
        connection.execute("CREATE VIEW beyond AS SELECT * FROM afar UNION ALL SELECT * FROM near")
        connection.execute("ANALYZE")


def consistency(url: str, resource: str) -> str:
    draft = Draft((Selection(resource),))
    return plan.build(postgresql.reflect(url), draft, US, formats=("json",)).consistency


def test_only_what_reads_a_foreign_table_is_of_no_instant(postgres_url: str) -> None:
    linked(postgres_url)
    assert {name: consistency(postgres_url, name) for name in ("near", "kin", "far", "afar", "beyond")} == {
        "near": "snapshot",
        "kin": "snapshot",
        "far": "none",
        "afar": "none",
        "beyond": "none",
    }


def test_a_foreign_table_is_one_part_and_its_manifest_says_so(postgres_url: str, tmp_path: Path) -> None:
    linked(postgres_url)
    command = [sys.executable, "-m", "outhaul.cli", "export", postgres_url, "beyond"]
    options = ["--format", "csv", "--part-size", "20000", "--output", str(tmp_path / "out")]
    subprocess.run([*command, *options], check=True, capture_output=True)
    proof = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert proof["consistency"] == "none"
    assert len(proof["parts"]) == 1
    assert len((tmp_path / "out" / "beyond.csv").read_text().splitlines()) == 10_001
