"""Every value of a PostgreSQL database comes out as the database itself writes it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.postgres import Server
from tests.system import _oracle, _outhaul
from tests.system._outhaul import Asker
from tests.system._types import COLUMNS, fill

# What has no place in a typed file: infinities, years before 1 and after 9999, and 24 o'clock.
UNFIT = {"nasty": {"c_date", "c_time", "c_timestamp", "c_timestamptz"}, "kept": {"c_timestamptz"}}
IN_WORDS = {"c_pair", "c_nest", "c_json", "c_jsonb"}
NASTY = ["id", *COLUMNS, "c_generated"]
ALL = {
    "nasty": NASTY,
    "empties": NASTY,
    "seen": ["id", "c_text", "c_json"],
    "kept": ["id", "c_numeric", "c_timestamptz"],
}


@pytest.fixture(scope="module")
def database(postgres_module_url: str) -> str:
    fill(postgres_module_url)
    return postgres_module_url


@pytest.fixture(scope="module")
def asker(database: str, room: Path) -> Iterator[Asker]:
    with _outhaul.serving(database, room / "service") as service:
        yield service.asker()


@pytest.fixture(scope="module")
def divider(database: str, room: Path) -> Iterator[Asker]:
    """Asks a service that cuts everything into many parts, read by two workers."""
    with _outhaul.serving(database, room / "divider", part_bytes=4000, workers=2) as service:
        yield service.asker()


def same(found: list[_oracle.Pairs], expected: list[_oracle.Pairs], *, ordered: bool = True) -> None:
    """Rows are equal to the last digit, with columns in the same order; says which cell is not."""
    if not ordered:
        found = sorted(found, key=lambda row: int(row.get("id").text))
        expected = sorted(expected, key=lambda row: int(row.get("id").text))
    assert len(found) == len(expected)
    for here, there in zip(found, expected, strict=True):
        assert here.names == there.names
        wrong = [(a, b) for a, b in zip(here, there, strict=True) if a != b]
        assert not wrong, f"row {there.get('id')}: (found, expected) {wrong[:3]}"


def fitting(form: str, resource: str) -> list[str]:
    """The fields of a resource that a format can hold; none: every one."""
    if form not in _oracle.TYPED or resource not in UNFIT:
        return []
    return [name for name in ALL[resource] if name not in UNFIT[resource]]


def all_of(form: str, resource: str) -> str:
    """Those fields in SQL; typed files have composites and JSON in the database's own words."""
    columns = (fitting(form, resource) or ALL.get(resource, [])) if form in _oracle.TYPED else []
    named = [f"{name}::text AS {name}" if name in IN_WORDS else name for name in columns]
    return f"SELECT {', '.join(named) or '*'} FROM {resource}"


def check_flat(form: str, data: bytes, url: str, psql: str, query: str, *, ordered: bool = True) -> None:
    """One table's file against the database: CSV byte by byte, JSON value by value."""
    if form == "csv":
        with tempfile.TemporaryDirectory() as folder:
            expected = _oracle.copied(psql, url, query, Path(folder))
        if ordered:
            assert _oracle.plain(data) == expected
        else:
            header, lines = _oracle.split_csv(_oracle.plain(data))
            assert (header, sorted(lines)) == (
                _oracle.split_csv(expected)[0],
                sorted(_oracle.split_csv(expected)[1]),
            )
    else:
        same(_oracle.rows(form, data), _oracle.rows_as_json(url, query), ordered=ordered)


def test_every_type_and_nasty_value_is_as_the_database_writes_it(
    form: str, asker: Asker, database: str, psql: str
) -> None:
    data = asker.file(asker.create("nasty", form, fields=fitting(form, "nasty")))
    check_flat(form, data, database, psql, f"{all_of(form, 'nasty')} ORDER BY id")


ENDINGS = {"gzip": ".gz", "zstd": ".zst"}


@pytest.mark.parametrize("compress", [None, *ENDINGS])
def test_the_command_line_writes_the_same_however_it_is_compressed(
    any_form: str, compress: str | None, database: str, psql: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"compress": compress} if compress else {}
    if fields := fitting(any_form, "nasty"):
        options["fields"] = ",".join(fields)
    run = _outhaul.export(database, "nasty", tmp_path, format=any_form, **options).complete()
    around = ENDINGS.get(compress or "", "") if any_form not in _oracle.TYPED else ""
    assert run.file.name == f"nasty.{any_form}{around}"
    assert (run.data == _oracle.plain(run.data)) is (not around)
    check_flat(any_form, run.data, database, psql, f"{all_of(any_form, 'nasty')} ORDER BY id")


def test_several_parts_hold_the_same_lines(form: str, divider: Asker, database: str, psql: str) -> None:
    export_id = divider.create("wide", form)
    check_flat(form, divider.file(export_id), database, psql, "SELECT * FROM wide", ordered=False)
    assert _outhaul.parts_of(divider.manifest(export_id)) >= 10


def test_numbered_files_hold_every_line_once(any_form: str, database: str, psql: str, tmp_path: Path) -> None:
    run = _outhaul.export(
        database, "wide", tmp_path, format=any_form, part_size=20_000, parts=True
    ).complete()
    assert len(run.files) >= 3
    found = [row for file in run.files for row in _oracle.rows(any_form, file.read_bytes())]
    keys = sorted(_oracle.numbers(found, "id"))
    assert keys == list(range(1, 2001))


def test_a_table_without_rows_is_a_readable_empty_file(
    any_form: str, database: str, psql: str, tmp_path: Path
) -> None:
    run = _outhaul.export(database, "empties", tmp_path, format=any_form).complete()
    assert run.rows() == [] if any_form != "csv" else len(_oracle.read_csv(run.data)) == 1
    check_flat(any_form, run.data, database, psql, all_of(any_form, "empties"))


def test_a_table_of_one_column_keeps_its_null_rows(form: str, asker: Asker, database: str, psql: str) -> None:
    data = _oracle.plain(asker.file(asker.create("lonely", form)))
    if form == "csv":
        check_flat(form, data, database, psql, "SELECT * FROM lonely")
    else:
        assert _oracle.counted(_oracle.rows(form, data)) == _oracle.counted(
            _oracle.rows_as_json(database, "SELECT * FROM lonely")
        )


@pytest.mark.parametrize("resource", ["seen", "kept", "divided"])
def test_views_and_partitioned_tables_are_exact(
    form: str, resource: str, asker: Asker, database: str, psql: str
) -> None:
    data = asker.file(asker.create(resource, form, fields=fitting(form, resource)))
    check_flat(form, data, database, psql, all_of(form, resource), ordered=False)


NESTED = {
    "customers": (
        ["region", "orders.line_items.options"],
        """SELECT c.*, (SELECT row_to_json(r) FROM regions r WHERE r.id = c.region_id) AS region,
        (SELECT coalesce(json_agg(o ORDER BY o.id), '[]') FROM (SELECT o.*,
            (SELECT coalesce(json_agg(l ORDER BY l.id), '[]') FROM (SELECT l.*,
                (SELECT coalesce(json_agg(x ORDER BY x.id), '[]') FROM options x WHERE x.line_item_id = l.id) AS options
            FROM line_items l WHERE l.order_id = o.id) l) AS line_items
        FROM orders o WHERE o.customer_id = c.id) o) AS orders FROM customers c ORDER BY id""",
    ),
    "options": (
        ["line_item.order.customer.region"],
        """SELECT x.*, (SELECT row_to_json(l) FROM (SELECT l.*, (SELECT row_to_json(o) FROM (SELECT o.*,
            (SELECT row_to_json(c) FROM (SELECT c.*, (SELECT row_to_json(r) FROM regions r WHERE r.id = c.region_id)
                AS region FROM customers c WHERE c.id = o.customer_id) c) AS customer
            FROM orders o WHERE o.id = l.order_id) o) AS "order"
        FROM line_items l WHERE l.id = x.line_item_id) l) AS line_item FROM options x ORDER BY id""",
    ),
    "orders": (
        ["customer.region", "line_items"],
        """SELECT o.*, (SELECT row_to_json(c) FROM (SELECT c.*, (SELECT row_to_json(r) FROM regions r
            WHERE r.id = c.region_id) AS region FROM customers c WHERE c.id = o.customer_id) c) AS customer,
        (SELECT coalesce(json_agg(l ORDER BY l.id), '[]') FROM line_items l WHERE l.order_id = o.id) AS line_items
        FROM orders o ORDER BY id""",
    ),
    "line_items": (
        ["order.customer.region", "options"],
        """SELECT l.*, (SELECT row_to_json(o) FROM (SELECT o.*, (SELECT row_to_json(c) FROM (SELECT c.*,
            (SELECT row_to_json(r) FROM regions r WHERE r.id = c.region_id) AS region
            FROM customers c WHERE c.id = o.customer_id) c) AS customer
        FROM orders o WHERE o.id = l.order_id) o) AS "order",
        (SELECT coalesce(json_agg(x ORDER BY x.id), '[]') FROM options x WHERE x.line_item_id = l.id) AS options
        FROM line_items l ORDER BY id""",
    ),
}


def check_nested(form: str, data: bytes, url: str, root: str) -> None:
    """A file with includes against JSON that the database has nested; a CSV's own columns against its COPY text."""
    includes, query = NESTED[root]
    related = sorted({path.split(".")[0] for path in includes})
    found = {int(_text(row.get("id"))): row for row in _oracle.rows(form, data)}
    expected = {int(_text(row.get("id"))): row for row in _oracle.rows_as_json(url, query)}
    assert sorted(found) == sorted(expected)
    for key, row in expected.items():
        here = found[key]
        for name in related:
            assert _oracle.unordered(_oracle.cell(form, here.get(name))) == _oracle.unordered(
                row.get(name)
            ), (key, name)
        if form != "csv":
            assert here.without(*related) == row.without(*related)


def _text(value: Any) -> str:
    return str(value.text if isinstance(value, _oracle.Digits) else value)


@pytest.mark.parametrize("root", list(NESTED))
def test_nested_records_are_as_the_database_nests_them(
    form: str, root: str, asker: Asker, database: str
) -> None:
    check_nested(form, asker.file(asker.create(root, form, includes=NESTED[root][0])), database, root)


def test_own_columns_of_a_nested_csv_are_those_of_copy(
    asker: Asker, database: str, psql: str, tmp_path: Path
) -> None:
    found = _oracle.rows("csv", asker.file(asker.create("orders", "csv", includes=["line_items"])))
    expected = _oracle.rows(
        "csv", _oracle.copied(psql, database, "SELECT * FROM orders ORDER BY id", tmp_path)
    )
    assert _oracle.counted(row.without("line_items") for row in found) == _oracle.counted(expected)


def test_nested_records_in_many_parts_are_the_same(form: str, divider: Asker, database: str) -> None:
    export_id = divider.create("customers", form, includes=NESTED["customers"][0])
    check_nested(form, divider.file(export_id), database, "customers")
    assert _outhaul.parts_of(divider.manifest(export_id)) >= 3


def test_chosen_fields_come_in_the_order_asked_for(form: str, asker: Asker, database: str, psql: str) -> None:
    data = asker.file(asker.create("nasty", form, fields=["c_text", "id", "c_bool"]))
    check_flat(form, data, database, psql, "SELECT c_text, id, c_bool FROM nasty ORDER BY id")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(words=st.lists(TEXT, min_size=20, max_size=120))
def test_any_text_survives_the_round_trip(form: str, asker: Asker, database: str, words: list[str]) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM words_in_batch")
        connection.cursor().executemany(
            "INSERT INTO words_in_batch VALUES (%s, %s)", [(n, word) for n, word in enumerate(words)]
        )
    found = asker.rows("words_in_batch", form)
    assert {int(_text(row.get("id"))): row.get("word") for row in found} == dict(enumerate(words))


@pytest.fixture(scope="module")
def latin1(postgres_server: Server) -> Iterator[str]:
    name = f"latin1_{uuid4().hex}"
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
    url = postgres_server.url_of(name)
    with psycopg.connect(url, autocommit=True, client_encoding="utf8") as connection:
        connection.execute(
            'CREATE TABLE "wörter" (id integer PRIMARY KEY, "größe" text, data json, marks text[])'
        )
        connection.execute(
            'INSERT INTO "wörter" SELECT n, \'é ÿ " \' || chr(160 + n), \'{"k":"ß"}\', ARRAY[\'ñ\', NULL] '
            "FROM generate_series(1, 95) n"
        )
    yield url
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def latin1_asker(latin1: str, room: Path) -> Iterator[Asker]:
    with _outhaul.serving(latin1, room / "latin1", workers=1) as service:
        yield service.asker()


def test_a_latin1_database_comes_out_as_utf8(form: str, latin1: str, latin1_asker: Asker, psql: str) -> None:
    data = latin1_asker.file(latin1_asker.create("wörter", form))
    check_flat(form, data, latin1, psql, 'SELECT * FROM "wörter" ORDER BY id')


ODD_SETTINGS = (
    "TimeZone = 'Asia/Kolkata'",
    "DateStyle = 'SQL, DMY'",
    "IntervalStyle = 'sql_standard'",
    "bytea_output = 'escape'",
    "extra_float_digits = -3",
    "client_encoding = 'LATIN1'",
    "default_transaction_read_only = on",
)


@dataclass(frozen=True, slots=True)
class Odd:
    """A table in a database of odd settings: asked for there, and as it was before they were made."""

    asker: Asker
    copied: bytes
    rows: list[_oracle.Pairs]


@pytest.fixture(scope="module")
def odd(postgres_server: Server, psql: str, room: Path) -> Iterator[Odd]:
    name = f"odd_{uuid4().hex}"
    with postgres_server.database(name) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE odd AS SELECT n AS id, 0.1::float8 + n AS f, timestamptz '2026-01-01 00:00:00Z' AS t, "
                "'\\x00ff'::bytea AS b, interval '1 day 2 hours' AS i, 'é' AS w FROM generate_series(1, 100) n"
            )
        copied = _oracle.copied(psql, url, "SELECT * FROM odd ORDER BY id", room)
        rows = _oracle.rows_as_json(url, "SELECT * FROM odd ORDER BY id")
        with psycopg.connect(url, autocommit=True) as connection:
            for setting in ODD_SETTINGS:
                connection.execute(f"ALTER DATABASE {name} SET {setting}")
        with _outhaul.serving(url, room / "odd", workers=1) as service:
            yield Odd(service.asker(), copied, rows)


def test_settings_of_the_database_change_no_value(form: str, odd: Odd) -> None:
    data = odd.asker.file(odd.asker.create("odd", form))
    if form == "csv":
        assert _oracle.plain(data) == odd.copied
    else:
        assert _oracle.rows(form, data) == odd.rows
