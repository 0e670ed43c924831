"""Values of every type are compared alike on SQLite, where they are texts and numbers, and on PostgreSQL."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from outhaul.catalog import Catalog
from tests import databases
from tests.databases import Database


def clock(text: str) -> timedelta:
    hour, minute, second = [*text.split(":"), "0"][:3]
    return timedelta(hours=int(hour), minutes=int(minute), microseconds=int(Decimal(second) * 1_000_000))


def moment(text: str) -> datetime:
    found = datetime.fromisoformat(text.upper())
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def truth(text: Any) -> bool:
    return str(text).lower() in {"true", "1"}


@dataclass(frozen=True)
class Kind:
    """Declared types on both sides, stored values, values asked for, and the plain meaning of either."""

    sqlite: str
    postgresql: str
    stored: list[Any]
    asked: list[Any]
    meaning: Callable[[Any], Any]
    ordered: bool = True


DECIMALS = ["-1.50", "0", "0.10", "0.30", "1", "1.005", "9.99", "10", "1000000.01"]
MOMENTS = [
    *("0001-01-01 00:00:00", "1970-01-01 00:00:00", "2024-01-01 10:00:00", "2024-01-01 10:00:00.000001"),
    *(
        "2024-01-01 10:00:00.999999",
        "2024-01-01 10:00:01",
        "2024-12-31 23:59:59.999999",
        "9999-12-31 00:00:00",
    ),
]
MOMENTS_ASKED = [
    *("2024-01-01", "2024-01-01T10:00:00Z", "2024-01-01T12:00:00+02:00", "2024-01-01 10:00", "1970-01-01"),
    *("2024-01-01T05:00:00.000001-05:00", "2024-01-01T10:00:00.999999", "2024-12-31T23:59:59.999999z"),
]

KINDS = {
    "integer": Kind(
        "bigint",
        "bigint",
        [-2, -1, 0, 1, 2, 10, 2**31 - 1, -(2**63), 2**63 - 1],
        [-1, "0", "+2", 10, str(2**63 - 1), -(2**63)],
        int,
    ),
    "decimal": Kind(
        "decimal(20,3)",
        "numeric(20,3)",
        DECIMALS,
        ["0.1", "0.3", "1.0", 1, "1.005", "1.0051", "1e1", 9.99, Decimal("1000000.01"), "-1.5"],
        lambda one: Decimal(str(one)),
    ),
    "float": Kind(
        "double", "double precision", DECIMALS, ["0.1", "0.3", 1, 9.99, "-1.5", "1e6", 1000000.01], float
    ),
    "boolean": Kind(
        "boolean", "boolean", [True, False], [True, False, "true", "FALSE", "1", 0], truth, ordered=False
    ),
    "uuid": Kind(
        "uuid",
        "uuid",
        [
            "00000000-0000-0000-0000-000000000000",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        ],
        ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC999C0B4EF8BB6D6BB9BD380A11", "f" * 32],
        lambda one: one.replace("-", "").lower(),
    ),
    "date": Kind(
        "date",
        "date",
        ["0001-01-01", "1999-12-31", "2000-02-29", "2024-01-01", "9999-12-31"],
        ["1999-12-31", "2000-02-29", "2024-01-01", "2024-06-01"],
        date.fromisoformat,
    ),
    "time": Kind(
        "time",
        "time",
        ["00:00:00", "09:30:00", "09:30:00.5", "09:30:00.499999", "23:59:59.999999"],
        ["00:00", "09:30:00", "09:30:00.500000", "23:59:59.999999"],
        clock,
    ),
    "timestamp": Kind("datetime", "timestamp", MOMENTS, MOMENTS_ASKED, moment),
    "instant": Kind("timestamptz", "timestamptz", MOMENTS, MOMENTS_ASKED, moment),
    "enum": Kind("text", "mood", ["sad", "ok", "o'k %"], ["sad", "ok", "o'k %"], str.encode),
    "char": Kind("char(4)", "char(4)", ["ab", "abcd", "AB"], ["ab", "abcd", "AB", "Ab"], str.encode),
}
ORDER = {"lt": operator.lt, "lteq": operator.le, "gt": operator.gt, "gteq": operator.ge}
EQUAL = {"eq": operator.eq, "not_eq": operator.ne}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    if request.param == "sqlite":
        with databases.sqlite(tmp_path_factory.mktemp("comparisons") / "things.db") as found:
            yield found
    else:
        with databases.postgresql(request.getfixturevalue("postgres_module_url")) as found:
            yield found


@pytest.fixture(scope="module")
def things(database: Database) -> Catalog:
    if database.dialect == "postgresql":
        database.run(
            "SET TIME ZONE 'UTC'", 'CREATE SCHEMA "a%b"', "CREATE TYPE mood AS ENUM ('sad', 'ok', 'o''k %')"
        )
        database.run(
            "ALTER DATABASE current SET timezone TO 'UTC'".replace("current", database.url.rsplit("/", 1)[1])
        )
    for name, kind in KINDS.items():
        declared = kind.sqlite if database.dialect == "sqlite" else kind.postgresql
        database.run(f'CREATE TABLE "{name}" (id integer PRIMARY KEY, c {declared})')
        database.fill(f'"{name}"', enumerate([None, *kind.stored]))
    return database.reflect()


@pytest.mark.parametrize("name", KINDS)
def test_values_of_a_type_are_compared_by_their_meaning(
    database: Database, things: Catalog, name: str
) -> None:
    kind = KINDS[name]
    for op, compare in (EQUAL | ORDER if kind.ordered else EQUAL).items():
        for asked in kind.asked:
            expected = {
                number
                for number, stored in enumerate(kind.stored, 1)
                if compare(kind.meaning(stored), kind.meaning(asked))
            }
            assert database.asked(things, name, {f"c_{op}": asked}) == expected, (op, asked)


@pytest.mark.parametrize("name", KINDS)
def test_lists_of_a_type_are_compared_by_their_meaning(
    database: Database, things: Catalog, name: str
) -> None:
    kind = KINDS[name]
    for asked in ([kind.asked[0]], kind.asked):
        meant = [kind.meaning(one) for one in asked]
        within = {number for number, one in enumerate(kind.stored, 1) if kind.meaning(one) in meant}
        everything = set(range(1, len(kind.stored) + 1))
        assert database.asked(things, name, {"c_in": asked}) == within
        assert database.asked(things, name, {"c_not_in": asked}) == everything - within


@pytest.mark.parametrize("name", KINDS)
def test_missing_values_of_a_type_are_null_and_blank(database: Database, things: Catalog, name: str) -> None:
    some = set(range(1, len(KINDS[name].stored) + 1))
    for predicate, expected in {"null": {0}, "blank": {0}, "not_null": some, "present": some}.items():
        assert database.asked(things, name, {f"c_{predicate}": True}) == expected


def test_true_and_false_leave_null_out(database: Database, things: Catalog) -> None:
    for asked, expected in {
        ("true", True): {1},
        ("true", False): {2},
        ("false", True): {2},
        ("false", False): {1},
    }.items():
        assert database.asked(things, "boolean", {f"c_{asked[0]}": asked[1]}) == expected


SPELLINGS = {  # as programs write them into SQLite; each with its moment
    "2024-01-01 10:00:00": "2024-01-01T10:00:00",
    "2024-01-01T10:00:00": "2024-01-01T10:00:00",
    "2024-01-01T10:00:00Z": "2024-01-01T10:00:00",
    "2024-01-01 10:00:00.000": "2024-01-01T10:00:00",
    "2024-01-01T12:00:00+02:00": "2024-01-01T10:00:00",
    "2024-01-01T05:00:00.000000-05:00": "2024-01-01T10:00:00",
    "2024-01-01 10:00": "2024-01-01T10:00:00",
    "2024-01-01 10:00Z": "2024-01-01T10:00:00",
    "2024-01-01 12:00+02:00": "2024-01-01T10:00:00",
    "2024-01-01": "2024-01-01T00:00:00",
    "2024-01-01 10:00:00.1": "2024-01-01T10:00:00.100000",
    "2024-01-01T10:00:00.250Z": "2024-01-01T10:00:00.250000",
    "2024-01-01T10:00:00.250001": "2024-01-01T10:00:00.250001",
    "2024-01-01T10:00:00.999999Z": "2024-01-01T10:00:00.999999",
    "2024-01-01T12:00:00.999999+02:00": "2024-01-01T10:00:00.999999",
}


@pytest.fixture
def loose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with databases.sqlite(tmp_path_factory.mktemp("loose") / "loose.db") as found:
        yield found


@pytest.mark.parametrize("declared", ["datetime", "timestamptz"])
def test_sqlite_moments_are_understood_however_they_are_spelled(loose: Database, declared: str) -> None:
    loose.run(f"CREATE TABLE times (id integer PRIMARY KEY, c {declared})")
    loose.fill("times", enumerate(SPELLINGS))
    catalog = loose.reflect()
    for asked in set(SPELLINGS.values()):
        meant = [moment(one) for one in SPELLINGS.values()]
        for op, compare in (EQUAL | ORDER).items():
            expected = {number for number, one in enumerate(meant) if compare(one, moment(asked))}
            assert loose.asked(catalog, "times", {f"c_{op}": asked}) == expected, (op, asked)


def test_junk_in_a_sqlite_column_is_neither_less_nor_more(loose: Database) -> None:
    loose.run(
        "CREATE TABLE junk (id integer PRIMARY KEY, i integer, d decimal(5,2), t datetime, day date, c time)"
    )
    loose.fill(
        "junk",
        [
            (0, "abc", "abc", "abc", "abc", "abc"),
            (1, 5, "5.5", "2024-01-01 00:00:00", "2024-01-01", "10:00:00"),
        ],
    )
    loose.fill("junk", [(2, b"abc", b"abc", 5, 5, 5), (3, "", "", "", "", "")])
    catalog = loose.reflect()
    middle = {"i": 5, "d": "5.5", "t": "2024-01-01", "day": "2024-01-01", "c": "10:00"}
    for field, value in middle.items():
        assert loose.asked(catalog, "junk", {f"{field}_lteq": value}) == {1}, field
        assert loose.asked(catalog, "junk", {f"{field}_gteq": value}) == {1}, field
        assert loose.asked(catalog, "junk", {f"{field}_eq": value}) == {1}, field
        assert loose.asked(catalog, "junk", {f"{field}_in": [value]}) == {1}, field


def test_a_sqlite_date_with_a_time_is_that_date(loose: Database) -> None:
    loose.run("CREATE TABLE days (id integer PRIMARY KEY, day date)")
    loose.fill("days", [(1, "2024-01-31"), (2, "2024-01-31 23:59:59"), (3, "2024-02-01T00:00:00")])
    catalog = loose.reflect()
    assert loose.asked(catalog, "days", {"day_eq": "2024-01-31"}) == {1, 2}
    assert loose.asked(catalog, "days", {"day_gt": "2024-01-31"}) == {3}
