"""Related rows as columns, lines and files of a CSV are those of the database's own joins, byte for byte."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.system import _oracle, _outhaul
from tests.system._outhaul import Asker, Run
from tests.system._shop import Shop
from tests.system._types import fill


@pytest.fixture(scope="module")
def database(postgres_module_url: str) -> str:
    """Every type once as a row to one, and as the one of many."""
    fill(postgres_module_url)
    with psycopg.connect(postgres_module_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE holders (id integer PRIMARY KEY, nasty_id integer REFERENCES nasty, word text);"
            "INSERT INTO holders SELECT n, CASE WHEN n % 7 > 0 THEN (n * 5) % 20 END,"
            " nullif(repeat('w', n % 3), '') FROM generate_series(1, 60) n; ANALYZE"
        )
    return postgres_module_url


@pytest.fixture(scope="module")
def asker(database: str, room: Path) -> Iterator[Asker]:
    with _outhaul.serving(database, room / "whole") as service:
        yield service.asker()


@pytest.fixture(scope="module")
def divider(database: str, room: Path) -> Iterator[Asker]:
    """Asks a service that cuts everything into many parts, read by two workers."""
    with _outhaul.serving(database, room / "cut", part_bytes=3000, workers=2) as service:
        yield service.asker()


def joined(url: str, psql: str, folder: Path, sources: str, order: str, **tables: tuple[str, str]) -> bytes:
    """`psql \\copy` of a join; `tables`: the name and the prefix of the columns of each alias."""
    wanted = []
    for alias, (table, prefix) in tables.items():
        found = _oracle.asked(
            url,
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
            table,
        )
        names = [name for (name,) in found]
        wanted += [f"{alias}.{_oracle.quoted(name)} AS {_oracle.quoted(prefix + name)}" for name in names]
    return _oracle.copied(psql, url, f"SELECT {', '.join(wanted)} FROM {sources} ORDER BY {order}", folder)


def sorted_lines(data: bytes) -> tuple[bytes, list[bytes]]:
    header, lines = _oracle.split_csv(data)
    return header, sorted(lines)


def verified(run: Run) -> Run:
    run.complete()
    checked = _outhaul.inside("verify", "--deep", run.folder / "manifest.json", at=run.folder)
    assert checked.code == 0, checked.said
    return run


def test_every_type_to_one_stands_in_columns(asker: Asker, database: str, psql: str, tmp_path: Path) -> None:
    export_id = asker.create("holders", "csv", includes=["nasty"], nested={"nasty": "columns"})
    tables = {"h": ("holders", ""), "n": ("nasty", "nasty.")}
    join = "holders h LEFT JOIN nasty n ON n.id = h.nasty_id"
    expected = joined(database, psql, tmp_path, join, "h.id", **tables)
    assert _oracle.plain(asker.file(export_id)) == expected


def test_every_type_is_repeated_for_each_line_below_it(
    asker: Asker, database: str, psql: str, tmp_path: Path
) -> None:
    export_id = asker.create("nasty", "csv", includes=["holders"], nested={"holders": "rows"})
    tables = {"n": ("nasty", ""), "h": ("holders", "holders.")}
    join = "nasty n LEFT JOIN holders h ON n.id = h.nasty_id"
    expected = joined(database, psql, tmp_path, join, "n.id, h.id", **tables)
    assert _oracle.plain(asker.file(export_id)) == expected


DEEP = ["region", "orders.line_items.options"]
LINES = {"orders": "rows", "orders.line_items": "rows", "orders.line_items.options": "rows"}
JOIN = (
    "customers c LEFT JOIN regions r ON r.id = c.region_id LEFT JOIN orders o ON o.customer_id = c.id"
    " LEFT JOIN line_items l ON l.order_id = o.id LEFT JOIN options x ON x.line_item_id = l.id"
)


@pytest.fixture(scope="module")
def deep(database: str, psql: str, room: Path) -> bytes:
    """Customers with their regions, orders, line items and options, one line for each option."""
    tables = {"c": ("customers", ""), "r": ("regions", "region."), "o": ("orders", "orders.")}
    tables |= {"l": ("line_items", "orders.line_items."), "x": ("options", "orders.line_items.options.")}
    return joined(database, psql, room, JOIN, "c.id, o.id, l.id, x.id", **tables)


def test_lines_stand_below_lines_below_lines(asker: Asker, deep: bytes) -> None:
    export_id = asker.create("customers", "csv", includes=DEEP, nested=LINES)
    assert sorted_lines(_oracle.plain(asker.file(export_id))) == sorted_lines(deep)


def test_many_parts_hold_every_line_once(divider: Asker, deep: bytes) -> None:
    export_id = divider.create("customers", "csv", includes=DEEP, nested=LINES)
    assert sorted_lines(_oracle.plain(divider.file(export_id))) == sorted_lines(deep)
    assert _outhaul.parts_of(divider.manifest(export_id)) > 3


def test_numbered_files_hold_every_line_once(database: str, deep: bytes, tmp_path: Path) -> None:
    ways = [f"{path}={way}" for path, way in LINES.items()]
    run = _outhaul.export(
        *(database, "customers", tmp_path),
        include=DEEP,
        nested=ways,
        format="csv",
        part_size=3000,
        parts=True,
    )
    header, lines = sorted_lines(deep)
    found = [_oracle.split_csv(file.read_bytes()) for file in verified(run).files]
    assert len(found) > 3
    assert {each[0] for each in found} == {header}
    assert sorted(line for each in found for line in each[1]) == lines


FILES = dict.fromkeys(LINES, "files")


@pytest.fixture(scope="module")
def apart(database: str, psql: str, room: Path) -> dict[str, bytes]:
    """The same, but regions, in files of their own: inner joins, in front the keys of all above."""
    joins = JOIN.replace("LEFT JOIN regions r ON r.id = c.region_id", "").replace("LEFT ", "").split(" JOIN ")
    found = {"customers.csv": joined(database, psql, room, "customers c", "c.id", c=("customers", ""))}
    keys, path = 'c.id AS "id"', "customers"
    for count, (alias, name) in enumerate({"o": "orders", "l": "line_items", "x": "options"}.items(), 2):
        path, at = f"{path}.{name}", f"{path}.{name}.".removeprefix("customers.")
        columns = _oracle.asked(
            database,
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
            name,
        )
        own = ", ".join(f"{alias}.{_oracle.quoted(one)} AS {_oracle.quoted(at + one)}" for (one,) in columns)
        order = ", ".join(f"{one}.id" for one in "colx"[:count])
        query = f"SELECT {keys}, {own} FROM {' JOIN '.join(joins[:count])} ORDER BY {order}"
        found[f"{path}.csv"] = _oracle.copied(psql, database, query, room)
        keys += f", {alias}.id AS {_oracle.quoted(at + 'id')}"
    return found


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        assert whole.testzip() is None
        return {name: whole.read(name) for name in whole.namelist()}


def test_files_hold_the_rows_of_the_inner_joins(divider: Asker, apart: dict[str, bytes]) -> None:
    export_id = divider.create("customers", "csv", includes=DEEP[1:], nested=FILES, compress=None)
    found = unzipped(divider.file(export_id))
    told = divider.manifest(export_id)
    assert _outhaul.parts_of(told) > 3
    assert {name: sorted_lines(data) for name, data in found.items()} == {
        name: sorted_lines(data) for name, data in apart.items()
    }
    assert {one["name"]: one["rows"] for one in told["files"][0]["members"]} == {
        name: len(_oracle.split_csv(data)[1]) for name, data in apart.items()
    }


def test_files_joined_by_their_keys_are_the_whole(divider: Asker, deep: bytes) -> None:
    """By a reader that knows nothing but the names of the columns."""
    export_id = divider.create("customers", "csv", includes=DEEP, nested=FILES)
    tables = {
        name.removesuffix(".csv"): list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
        for name, data in unzipped(divider.file(export_id)).items()
    }
    header, *whole = tables.pop("customers")
    width, keys = len(header), ["id"]
    for name, (titles, *rows) in tables.items():
        assert titles[: len(keys)] == keys
        children = defaultdict(list)
        for row in rows:
            children[tuple(row[: len(keys)])].append(row[len(keys) :])
        places, blank = [header.index(key) for key in keys], [""] * (len(titles) - len(keys))
        whole = [
            [*line, *tail]
            for line in whole
            for tail in children.get(tuple(line[at] for at in places), [blank])
        ]
        header += titles[len(keys) :]
        keys.append(f"{name.removeprefix('customers.')}.id")
    assert len(header) > width
    expected, *lines = csv.reader(io.StringIO(deep.decode(), newline=""), strict=True)
    assert header == expected
    assert sorted(whole) == sorted(lines)


@pytest.mark.parametrize("source", ["sqlite", "postgresql"])
def test_the_command_writes_a_file_each_and_verifies_it(source: str, filled, tmp_path: Path) -> None:
    shop = Shop(customers=12, orders=80)
    run = verified(
        _outhaul.export(
            filled(source, shop),
            "orders",
            tmp_path,
            fields="id,total,line_items.id,line_items.amount,line_items.sku.code",
            nested=["line_items=files"],
            sort="-total",
            format="csv",
            part_size=2000,
        )
    )
    assert [path.name for path in run.files] == ["orders.csv", "orders.line_items.csv"]
    queries = {
        "orders.csv": "SELECT o.id, printf('%.2f', o.total) FROM orders o ORDER BY o.total DESC, o.id",
        "orders.line_items.csv": (
            "SELECT o.id, l.id, printf('%.2f', l.amount), s.code FROM orders o JOIN line_items l ON l.order_id = o.id"
            " LEFT JOIN skus s ON s.id = l.sku_id ORDER BY o.total DESC, o.id, l.id"
        ),
    }
    for path in run.files:
        there = _oracle.stored(Path(filled("sqlite", shop).removeprefix("sqlite:///")), queries[path.name])
        _, *lines = csv.reader(io.StringIO(path.read_text(), newline=""), strict=True)
        assert lines == [["" if one is None else str(one) for one in row] for row in there]
    damaged = run.folder / "orders.line_items.csv"
    damaged.write_bytes(damaged.read_bytes().replace(b"\n1", b"\n2", 1))
    checked = _outhaul.inside("verify", run.folder, at=run.folder)
    assert checked.code == 1
    assert "orders.line_items.csv" in checked.said


def test_cells_of_json_stand_beside_lines(asker: Asker, database: str) -> None:
    """Rows of one relationship are lines, those of another one a cell, which stands in each of them."""
    export_id = asker.create(
        "orders",
        "csv",
        includes=["customer", "line_items.options"],
        nested={"line_items": "rows", "customer": "json"},
    )
    data = _oracle.plain(asker.file(export_id)).decode()
    rows = list(csv.DictReader(io.StringIO(data, newline=""), strict=True))
    found = _oracle.asked(
        database,
        "SELECT o.id, l.id, (SELECT coalesce(json_agg(x.id ORDER BY x.id), '[]') FROM options x"
        " WHERE x.line_item_id = l.id), o.customer_id FROM orders o LEFT JOIN line_items l ON l.order_id = o.id"
        " ORDER BY o.id, l.id",
    )
    assert len(rows) == len(found)
    for row, (order, line, options, customer) in zip(rows, found, strict=True):
        assert (row["id"], row["line_items.id"]) == (str(order), "" if line is None else str(line))
        inside = [one["id"] for one in json.loads(row["line_items.options"] or "[]")]
        assert inside == options
        assert json.loads(row["customer"])["id"] == customer


@pytest.mark.parametrize("source", ["sqlite", "postgresql"])
def test_both_sources_write_the_same_table(source: str, filled, tmp_path: Path) -> None:
    """Numbers and texts of the shop, against a join by SQLite's own driver; in several parts, sorted."""
    shop = Shop(customers=12, orders=80)
    url = filled(source, shop)
    run = _outhaul.export(
        url,
        "orders",
        tmp_path,
        fields="id,total,customer.name,line_items.quantity,line_items.amount,line_items.sku.code",
        nested=["line_items=rows"],
        delimiter="semicolon",
        format="csv",
        part_size=2000,
    ).complete()
    query = (
        "SELECT o.id, printf('%.2f', o.total), c.name, l.quantity, printf('%.2f', l.amount), s.code, l.id IS NULL"
        " FROM orders o JOIN customers c ON c.id = o.customer_id LEFT JOIN line_items l ON l.order_id = o.id"
        " LEFT JOIN skus s ON s.id = l.sku_id ORDER BY o.id, l.id"
    )
    there = _oracle.stored(Path(filled("sqlite", shop).removeprefix("sqlite:///")), query)
    expected = [
        ["" if one is None else str(one) for one in (*row[:4], None if row[6] else row[4], row[5])]
        for row in there
    ]
    header, *lines = csv.reader(io.StringIO(run.data.decode(), newline=""), delimiter=";", strict=True)
    assert header == [
        "id",
        "total",
        "customer.name",
        "line_items.quantity",
        "line_items.amount",
        "line_items.sku.code",
    ]
    assert sorted(lines) == sorted(expected)
    assert _outhaul.parts_of(run) > 1


def test_lines_are_counted_by_a_join_of_their_own(asker: Asker, database: str) -> None:
    export_id = asker.create("orders", "csv", includes=["line_items"], nested={"line_items": "rows"})
    told, data = asker.manifest(export_id), _oracle.plain(asker.file(export_id))
    childless = _oracle.asked(
        database, "SELECT count(*) FROM orders WHERE id NOT IN (SELECT order_id FROM line_items)"
    )[0][0]
    matched = told["selections"][0]["matched"]
    assert childless > 0
    assert matched["(csv)"] == matched["line_items"] + childless == len(_oracle.split_csv(data)[1])
    assert told["files"][0]["related"] == told["parts"][0]["related"]
    assert told["files"][0]["related"]["(csv)"] == matched["(csv)"]


def test_what_cannot_stand_in_a_table_is_refused_before_anything_is_read(
    database: str, tmp_path: Path
) -> None:
    both = ["line_items=rows", "customer.region=rows"]
    run = _outhaul.export(
        database, "orders", tmp_path, include=["line_items", "customer.region"], nested=both, format="csv"
    )
    assert run.code == 2
    assert "customer.region leads to one row" in run.err
    assert "One of: json, columns" in run.err
    assert not run.folder.exists()
