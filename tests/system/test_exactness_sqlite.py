"""Every value of an SQLite file comes out as it is stored, whatever its column was declared to be."""

from __future__ import annotations

import math
import random
import sqlite3
import struct
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.system import _oracle, _outhaul
from tests.system._nasty import NASTY
from tests.system._oracle import Digits
from tests.system._outhaul import Asker

INTEGERS = [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
REALS = [
    0.0,
    -0.0,
    0.1,
    0.1 + 0.2,
    1 / 3,
    1e300,
    1.7976931348623157e308,
    5e-324,
    2.2250738585072014e-308,
    1e22,
    123456789.123456789,
]
REALS += [1e15, 1e16, 9007199254740993.0, 100.0, -1e-7, math.inf, -math.inf]
BLOBS = [b"", b"\x00\xff", b"text as a blob", bytes(range(256))]
EVERYTHING: list[Any] = [None, *INTEGERS, *REALS, *NASTY, *BLOBS]

DECLARED = {
    "d_integer": "INTEGER",
    "d_bigint": "BIGINT",
    "d_real": "REAL",
    "d_double": "DOUBLE PRECISION",
    "d_text": "TEXT",
    "d_varchar": "VARCHAR(10)",
    "d_blob": "BLOB",
    "d_numeric": "NUMERIC",
    "d_nothing": "",
    "d_odd": "SOME OTHER TYPE",
}

CLEAN: dict[str, tuple[str, list[Any]]] = {
    "c_integer": ("INTEGER", INTEGERS),
    "c_real": ("REAL", REALS),
    "c_text": ("TEXT", NASTY),
    "c_blob": ("BLOB", BLOBS),
    "c_varchar": ("VARCHAR(5)", NASTY),
    "c_bigint": ("BIGINT", INTEGERS),
}


def fill(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    columns = ", ".join(f"{name} {kind}" for name, kind in DECLARED.items())
    places = ", ".join("?" * (1 + len(DECLARED)))
    connection.execute(f"CREATE TABLE loose (id INTEGER PRIMARY KEY, {columns})")
    connection.executemany(
        f"INSERT INTO loose VALUES ({places})",
        [(n, *[value] * len(DECLARED)) for n, value in enumerate(EVERYTHING)],
    )
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in CLEAN.items())
    connection.execute(f"CREATE TABLE clean (id INTEGER PRIMARY KEY, {columns})")
    for row in range(max(len(values) for _, values in CLEAN.values()) + 1):
        values = [values[row - 1] if 0 < row <= len(values) else None for _, values in CLEAN.values()]
        connection.execute(f"INSERT INTO clean VALUES (?, {', '.join('?' * len(values))})", [row, *values])
    connection.execute("CREATE TABLE late (id INTEGER PRIMARY KEY, word TEXT, number INTEGER, any)")
    connection.execute(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4000) "
        "INSERT INTO late SELECT n, CASE WHEN n > 3000 THEN 'w' || n END, CASE WHEN n = 3999 THEN 'seven' ELSE n END, "
        "CASE WHEN n > 3500 THEN n || '' ELSE n END FROM n"
    )
    connection.execute(
        "CREATE TABLE money (id INTEGER PRIMARY KEY, amount DECIMAL(10,2), price NUMERIC(12,3))"
    )
    amounts = [1, 1.1, 0.1 + 0.2, "12.50", -0.005, 99999999.99, None, "text", 1e-9]
    connection.executemany("INSERT INTO money VALUES (?, ?, ?)", [(n, a, a) for n, a in enumerate(amounts)])
    connection.execute("CREATE TABLE lonely (word TEXT)")
    connection.executemany("INSERT INTO lonely VALUES (?)", [(None,), ("",), ("a",), (None,)])
    connection.execute("CREATE TABLE keyed (code TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID")
    connection.executemany(
        "INSERT INTO keyed VALUES (?, ?)", [(f"k{n:05}" + "é" * (n % 3), n) for n in range(1500)]
    )
    connection.execute("CREATE TABLE blobbed (code BLOB PRIMARY KEY, number INTEGER)")
    connection.executemany(
        "INSERT INTO blobbed VALUES (?, ?)", [(struct.pack(">I", n * 7919), n) for n in range(1000)]
    )
    connection.execute("CREATE TABLE pairs (low INTEGER, high TEXT, word TEXT, PRIMARY KEY (low, high))")
    connection.executemany(
        "INSERT INTO pairs VALUES (?, ?, ?)", [(n // 50, f"h{n % 50}", "x" * (n % 40)) for n in range(4000)]
    )
    connection.execute("CREATE TABLE words_in_batch (id INTEGER PRIMARY KEY, word TEXT)")
    connection.execute("CREATE TABLE empties (id INTEGER PRIMARY KEY, word TEXT, amount DECIMAL(10,2))")
    connection.execute("CREATE VIEW seen AS SELECT id, c_text, c_real, id * 2 AS twice FROM clean")
    connection.execute(
        "CREATE TABLE made (id INTEGER PRIMARY KEY, word TEXT, loud TEXT AS (upper(word)) STORED, virtual AS (id + 1))"
    )
    connection.executemany("INSERT INTO made (id, word) VALUES (?, ?)", [(n, f"w{n}") for n in range(5)])
    connection.execute("CREATE TABLE nuls (id INTEGER PRIMARY KEY, remark TEXT)")
    connection.execute("INSERT INTO nuls VALUES (41, ?)", ["before\0after"])
    connection.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT)")
    connection.execute(
        "CREATE TABLE children (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parents (id), any)"
    )
    connection.execute(
        "CREATE TABLE toys (id INTEGER PRIMARY KEY, child_id INTEGER REFERENCES children (id), mass REAL)"
    )
    chosen = random.Random(7)
    connection.executemany(
        "INSERT INTO parents VALUES (?, ?)", [(n, chosen.choice(NASTY)) for n in range(60)]
    )
    connection.executemany(
        "INSERT INTO children VALUES (?, ?, ?)",
        [(n, chosen.choice([None, n % 50]), chosen.choice(EVERYTHING)) for n in range(200)],
    )
    connection.executemany("INSERT INTO toys VALUES (?, ?, ?)", [(n, n % 190, n / 7) for n in range(1500)])
    connection.commit()
    connection.close()


@pytest.fixture(scope="module")
def path(room: Path) -> Path:
    fill(room / "loose.db")
    return room / "loose.db"


@pytest.fixture(scope="module")
def asker(path: Path, room: Path) -> Iterator[Asker]:
    with _outhaul.serving(f"sqlite:///{path}", room / "service") as service:
        yield service.asker()


@pytest.fixture(scope="module")
def divider(path: Path, room: Path) -> Iterator[Asker]:
    """Asks a service that cuts everything into many parts."""
    with _outhaul.serving(f"sqlite:///{path}", room / "divider", part_bytes=5000, workers=2) as service:
        yield service.asker()


def read(path: Path, table: str, columns: str = "*") -> tuple[list[str], list[tuple[Any, ...]]]:
    """All rows as Python's own driver gives them, in the order of the rows' keys or places."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        found = connection.execute(f"SELECT {columns} FROM {table}")
        return [column[0] for column in found.description], found.fetchall()
    finally:
        connection.close()


def is_value(form: str, found: Any, stored: Any) -> bool:
    """Whether a cell says what is stored: no digit, byte or kind of it lost."""
    if form == "csv" or isinstance(found, _oracle.Text):
        return is_cell(found, stored)
    if isinstance(found, _oracle.Exact):
        return bool(found.value == stored)
    if stored is None or isinstance(stored, str):
        return bool(found == stored)
    if isinstance(stored, bytes):
        return isinstance(found, str) and found.lower().removeprefix("\\x") == stored.hex()
    if isinstance(stored, int):
        return isinstance(found, Digits) and found.text == str(stored)
    if math.isinf(stored):
        return bool(found == ("Infinity" if stored > 0 else "-Infinity"))
    return isinstance(found, Digits) and _same_double(found.text, stored)


def _same_double(text: str, stored: float) -> bool:
    """SQL has no way to tell -0.0 from 0.0 in an SQLite file; every other double is itself to the last bit."""
    return float(text) == stored


def is_cell(found: str | None, stored: Any) -> bool:
    """A CSV cell; where a column holds values of several kinds it may be the value's JSON text."""
    if stored is None or found is None:
        return stored is None and found is None
    if isinstance(stored, str):
        return found == stored or (found[:1] == '"' and _oracle.parse(found) == stored)
    if isinstance(stored, bytes):
        return found.strip('"').replace("\\\\", "\\").lower().removeprefix("\\x") == stored.hex()
    if isinstance(stored, int):
        return found == str(stored)
    if math.isinf(stored):
        return found.strip('"') == ("Infinity" if stored > 0 else "-Infinity")
    return _same_double(found, stored)


def check(
    form: str, data: bytes, path: Path, table: str, *, ordered: bool = True, columns: str = "*"
) -> None:
    names, expected = read(path, table, columns)
    found = _oracle.rows(form, data)
    if form == "csv":
        assert _oracle.read_csv(_oracle.plain(data))[0] == names
    assert len(found) == len(expected)
    if not ordered:
        found = sorted(found, key=lambda row: repr(row.get(names[0])))
        expected = sorted(expected, key=lambda row: repr(row[0] if form == "csv" else Digits(str(row[0]))))
    for here, there in zip(found, expected, strict=True):
        assert here.names == names
        for (name, value), stored in zip(here, there, strict=True):
            assert is_value(form, value, stored), (
                f"row {there[0]} {name}: found {value!r:.200}, stored {stored!r:.200}"
            )


# Where a column holds what its declaration excludes: the column, and more words that must be said of it.
MISFITS = {
    "loose": ("d_integer", "with key", "int64"),
    "late": ("number", "3999", "seven"),
    "money": ("amount", "2", "0.30000000000000004"),
}
TEXTS = "id, d_text, d_varchar, d_numeric, d_nothing, d_odd"


def check_refused(asker: Asker, form: str, table: str) -> None:
    """A typed file cannot hold what is in the table, and that is said with its place."""
    export_id = asker.create(table, form)
    told = str(asker.wait(export_id, "failed")["errors_log"])
    assert all(word in told for word in ("UnreadableValue", table, *MISFITS[table], "text")), told


def test_any_value_in_any_column_is_kept(form: str, asker: Asker, path: Path) -> None:
    if form in _oracle.TYPED:
        check_refused(asker, form, "loose")
        data = asker.file(asker.create("loose", form, fields=TEXTS.split(", ")))
        check(form, data, path, "loose", columns=TEXTS)
    else:
        check(form, asker.file(asker.create("loose", form)), path, "loose")


@pytest.mark.parametrize("table", ["clean", "late", "lonely", "seen", "made"])
def test_each_kind_of_table_is_exact(form: str, table: str, path: Path, asker: Asker) -> None:
    if form in _oracle.TYPED and table in MISFITS:
        check_refused(asker, form, table)
        return
    check(form, asker.file(asker.create(table, form)), path, table)


def test_a_table_without_rows_is_a_readable_empty_file(any_form: str, path: Path) -> None:
    run = _outhaul.export(f"sqlite:///{path}", "empties", path.parent, format=any_form).complete()
    check(any_form, run.data, path, "empties")


def test_clean_columns_are_plain_text_in_csv(asker: Asker, path: Path) -> None:
    found = _oracle.rows("csv", asker.file(asker.create("clean", "csv")))
    words = [row.get("c_text") for row in found][1 : len(NASTY) + 1]
    assert words == NASTY
    assert [row.get("c_integer") for row in found][1 : len(INTEGERS) + 1] == [
        str(number) for number in INTEGERS
    ]


def test_a_decimal_column_loses_no_digit(form: str, asker: Asker, path: Path) -> None:
    if form in _oracle.TYPED:
        check_refused(asker, form, "money")
        return
    _, expected = read(path, "money")
    for row, stored in zip(asker.rows("money", form), expected, strict=True):
        for name, value in zip(("amount", "price"), stored[1:], strict=True):
            found = row.get(name)
            if value is None or isinstance(value, str):
                assert is_value(form, found, value), (name, found, value)
            else:
                text = found.text if isinstance(found, Digits) else found
                assert Decimal(text) in {Decimal(str(value)), Decimal(repr(float(value)))}, (
                    name,
                    found,
                    value,
                )


@pytest.mark.parametrize("table", ["keyed", "blobbed", "pairs", "late"])
def test_several_parts_hold_every_row_once(form: str, table: str, path: Path, divider: Asker) -> None:
    if form in _oracle.TYPED and table in MISFITS:
        check_refused(divider, form, table)
        return
    export_id = divider.create(table, form)
    names, expected = read(path, table)
    found = _oracle.rows(form, divider.file(export_id))
    assert _outhaul.parts_of(divider.manifest(export_id)) >= 2
    assert len(found) == len(expected)
    unmatched = {_plain(form, stored): stored for stored in expected}
    assert len(unmatched) == len(expected)
    for row in found:
        key = tuple(
            str(value.text if isinstance(value, Digits) else value).strip('"') for value in dict(row).values()
        )
        stored = unmatched.pop(key)
        assert all(is_value(form, value, kept) for (_, value), kept in zip(row, stored, strict=True))
    assert not unmatched
    assert names == found[0].names


def _plain(form: str, stored: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple("\\x" + value.hex() if isinstance(value, bytes) else str(value) for value in stored)


@pytest.mark.parametrize("way", ["asker", "divider"])
def test_nested_records_are_those_of_a_slow_reader(
    form: str, way: str, path: Path, request: pytest.FixtureRequest
) -> None:
    asker: Asker = request.getfixturevalue(way)
    export_id = asker.create("parents", form, includes=["children.toys"])
    assert way == "asker" or _outhaul.parts_of(asker.manifest(export_id)) >= 2
    parents, children, toys = (read(path, table)[1] for table in ("parents", "children", "toys"))
    found = {int(_number(row.get("id"))): row for row in _oracle.rows(form, asker.file(export_id))}
    assert len(found) == len(parents)
    for key, name in parents:
        assert is_value(form, found[key].get("name"), name)
        inside = _oracle.cell(form, found[key].get("children"))
        mine = sorted((row for row in children if row[1] == key), key=lambda row: row[0])
        assert [int(_number(child.get("id"))) for child in inside] == [row[0] for row in mine]
        for child, (child_key, _, value) in zip(inside, mine, strict=True):
            assert is_value(_inside(form), child.get("any"), value)
            masses = [(toy.get("id"), toy.get("mass")) for toy in child.get("toys")]
            expected = sorted((row for row in toys if row[1] == child_key), key=lambda row: row[0])
            assert [int(_number(number)) for number, _ in masses] == [row[0] for row in expected]
            assert all(
                is_value(_inside(form), mass, row[2]) for (_, mass), row in zip(masses, expected, strict=True)
            )


def _inside(form: str) -> str:
    """Related records are JSON, unless they are typed."""
    return form if form in _oracle.TYPED else "json"


def _number(value: Any) -> str:
    return str(value.text if isinstance(value, Digits) else value)


def test_text_that_is_not_utf8_is_refused_with_its_place(any_form: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE visits (id INTEGER PRIMARY KEY, remark TEXT)")
    connection.executemany("INSERT INTO visits VALUES (?, ?)", [(n, f"r{n}") for n in range(1500)])
    connection.execute("UPDATE visits SET remark = CAST(x'61ff62' AS TEXT) WHERE id = 1217")
    connection.commit()
    connection.close()
    run = _outhaul.export(f"sqlite:///{path}", "visits", tmp_path, format=any_form)
    assert run.code != 0
    assert "Traceback" not in run.said
    for word in ("visits", "remark", "1217"):
        assert word in run.said, run.said
    assert run.files == []


def test_a_nul_inside_a_text_is_kept_or_refused_with_its_place(form: str, asker: Asker) -> None:
    export_id = asker.create("nuls", form)
    last = asker.wait(export_id)
    if last["status"] == "completed":
        assert _oracle.rows(form, asker.file(export_id))[0].get("remark") == "before\0after"
    else:
        assert all(word in str(last["errors_log"]) for word in ("nuls", "remark", "41")), last


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
VALUE = (
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT | st.binary(max_size=30)
)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=st.lists(VALUE, min_size=20, max_size=120))
def test_any_value_survives_the_round_trip(form: str, asker: Asker, path: Path, values: list[Any]) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM words_in_batch")
    connection.executemany("INSERT INTO words_in_batch VALUES (?, ?)", list(enumerate(values)))
    connection.commit()
    connection.close()
    check(form, asker.file(asker.create("words_in_batch", form)), path, "words_in_batch")
