"""Every predicate matches the same rows on SQLite and PostgreSQL: those that a plain reader of the rule finds."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql as postgresql_dialects
from sqlalchemy.dialects import sqlite as sqlite_dialects

from outhaul import filters
from outhaul.catalog import Catalog, Type
from outhaul.filters import EVERYTHING, OPS
from tests import databases
from tests.databases import Database
from tests.slow_filters import BLANK, like

TEXTS: list[str | None] = [
    *(
        None,
        "",
        " ",
        "\t\n\v\f\r ",
        " ",
        "　",
        "a",
        "A",
        "b",
        "ab",
        "aB",
        "abc",
        "ABC",
        " abc ",
        "a b",
        "Z",
        "z",
    ),
    *("ä", "Ä", "é", "é", "ß", "SS", "İ", "ı", "😀", "😀a", "￿", "日本", "%", "_", "\\", "\\%", "100%"),
    *("100", "a%b", "a_b", "a\\b", "a\\\\b", "axb", "*", "?", "[a]", "[", "]", "a*b", "^a", "-", "a-b"),
    *(
        "'",
        '"',
        "a'b",
        'a"b',
        "a,b",
        "{a}",
        "NULL",
        "null",
        "true",
        "0",
        "1",
        "a\nb",
        "a\n",
        "\na",
        "$1",
        ":a",
        "a;b",
    ),
]
ASKED = [
    *(
        "",
        "a",
        "A",
        "b",
        "ab",
        "abc",
        "ä",
        "é",
        "é",
        "😀",
        "%",
        "_",
        "\\",
        "\\\\",
        "a%",
        "%b",
        "a_b",
        "a\\",
        "*",
    ),
    *(
        "?",
        "[a]",
        "[",
        "]",
        "'",
        '"',
        ",",
        "{",
        "NULL",
        "1",
        "0",
        " ",
        "\n",
        "a\nb",
        "　",
        "￿",
        "$1",
        ":a",
        "^a",
        "-",
    ),
]


def bytewise(compare: Callable[[Any, Any], bool]) -> Callable[[str, str], bool]:
    return lambda text, asked: compare(text.encode(), asked.encode())


ORACLE: dict[str, Callable[[str, str], bool]] = {
    "eq": operator.eq,
    "not_eq": operator.ne,
    "lt": bytewise(operator.lt),
    "lteq": bytewise(operator.le),
    "gt": bytewise(operator.gt),
    "gteq": bytewise(operator.ge),
    "start": str.startswith,
    "end": str.endswith,
    "cont": str.__contains__,
    "matches": like,
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    if request.param == "sqlite":
        with databases.sqlite(tmp_path_factory.mktemp("filters") / "texts.db") as found:
            yield found
    else:
        with databases.postgresql(request.getfixturevalue("postgres_module_url")) as found:
            yield found


@pytest.fixture(scope="module")
def texts(database: Database) -> Catalog:
    word, loose = "varchar(20)", "text COLLATE nocase"
    if database.dialect == "postgresql":
        database.run("CREATE EXTENSION citext", "CREATE DOMAIN word AS varchar(20)")
        word, loose = "word", "citext"
    database.run(f"CREATE TABLE texts (id integer PRIMARY KEY, t text, v {word}, l {loose})")
    database.fill("texts", ((number, text, text, text) for number, text in enumerate(TEXTS)))
    return database.reflect()


@pytest.mark.parametrize("op", ORACLE)
@pytest.mark.parametrize("field", ["t", "v", "l"])
def test_texts_match_by_their_bytes(database: Database, texts: Catalog, field: str, op: str) -> None:
    for asked in ASKED:
        if op == "matches" and (len(asked) - len(asked.rstrip("\\"))) % 2:
            continue
        expected = {
            number for number, text in enumerate(TEXTS) if text is not None and ORACLE[op](text, asked)
        }
        assert database.asked(texts, "texts", {f"{field}_{op}": asked}) == expected, repr(asked)


@pytest.mark.parametrize("field", ["t", "v", "l"])
def test_lists_match_by_bytes_and_never_null(database: Database, texts: Catalog, field: str) -> None:
    for asked in (["a"], ASKED, ["a", "a", 'a"b'], ["\\", "{a}", "NULL"], ["nowhere"]):
        within = {number for number, text in enumerate(TEXTS) if text in asked}
        outside = {number for number, text in enumerate(TEXTS) if text is not None and text not in asked}
        assert database.asked(texts, "texts", {f"{field}_in": asked}) == within
        assert database.asked(texts, "texts", {f"{field}_not_in": asked}) == outside


def test_ten_thousand_values_in_a_list_are_one_parameter(database: Database, texts: Catalog) -> None:
    asked = [f"nowhere {number}" for number in range(9_998)] + ["a", "b"]
    assert database.asked(texts, "texts", {"t_in": asked}) == {TEXTS.index("a"), TEXTS.index("b")}
    assert len(database.asked(texts, "texts", {"id_in": ",".join(map(str, range(10_000)))})) == len(TEXTS)


@pytest.mark.parametrize(
    ("predicate", "rule"),
    [
        ("null", lambda text: text is None),
        ("not_null", lambda text: text is not None),
        ("blank", lambda text: text is None or not text.strip(BLANK)),
        ("present", lambda text: text is not None and bool(text.strip(BLANK))),
    ],
)
@pytest.mark.parametrize("field", ["t", "v", "l"])
def test_flags_say_what_they_say_and_false_turns_them(
    database: Database, texts: Catalog, field: str, predicate: str, rule: Callable[[str | None], bool]
) -> None:
    said = {number for number, text in enumerate(TEXTS) if rule(text)}
    for value in (True, "true", "1", 1):
        assert database.asked(texts, "texts", {f"{field}_{predicate}": value}) == said
    for value in (False, "false", "0", 0):
        assert (
            database.asked(texts, "texts", {f"{field}_{predicate}": value}) == set(range(len(TEXTS))) - said
        )


plain = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
hostile = st.text(st.sampled_from("aAä%_\\*?[]^-!'\"{},\n 😀"), max_size=6)


@pytest.mark.parametrize("op", ORACLE)
def test_any_text_against_any_text(database: Database, op: str) -> None:
    test = filters.Test("t", Type.TEXT, "text", op)

    @settings(max_examples=60, deadline=None)
    @given(plain | hostile, plain | hostile)
    def agrees(text: str, asked: str) -> None:
        if op == "matches" and (len(asked) - len(asked.rstrip("\\"))) % 2:
            asked += "\\"
        condition = filters.Test(test.column, test.type, test.native, op, (asked,))
        assert database.says(condition, {"t": text}) == ORACLE[op](text, asked)
        assert not database.says(condition, {"t": None})

    agrees()


@pytest.mark.parametrize("op", ["in", "not_in"])
def test_any_list_against_any_text(database: Database, op: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(plain | hostile, st.lists(plain | hostile, min_size=1, max_size=4), st.booleans())
    def agrees(text: str, asked: list[str], among: bool) -> None:
        asked = [*asked, text] if among else asked
        condition = filters.Test("t", Type.TEXT, "text", op, tuple(asked))
        assert database.says(condition, {"t": text}) == ((text in asked) == (op == "in"))
        assert not database.says(condition, {"t": None})

    agrees()


def test_a_condition_survives_json() -> None:
    hop = filters.Hop("s", "customers", (("customer_id", "id"),))
    one = filters.Test("code", Type.TEXT, "text", "in", ("a", 'b"'), loose=True)
    whole = filters.every(
        one, filters.either(filters.Not(one), filters.Exists(hop, filters.every(one, EVERYTHING)))
    )
    assert filters.from_data(json.loads(json.dumps(filters.to_data(whole)))) == whole


def test_every_value_is_a_bound_parameter_of_type_text() -> None:
    table = sa.table("things", sa.column("c"))
    for name, op in OPS.items():
        for kind in op.types:
            hostile = "'; DROP TABLE things; --"
            texts = {"document": json.dumps({hostile: [hostile, {hostile: 1, "b": hostile}]})}
            values = () if op.takes == "flag" else (texts.get(op.each, hostile),)
            test = filters.Test("c", kind, "text", name, values)
            for dialect in (sqlite_dialects.dialect(), postgresql_dialects.psycopg.dialect()):
                found = filters.expression(test, table, dialect.name).compile(dialect=dialect)
                assert "DROP TABLE" not in str(found)
                assert all(isinstance(one.type, sa.Text) for one in found.binds.values()), (name, kind)


def test_order_on_postgresql_is_never_that_of_a_collation() -> None:
    table = sa.table("things", sa.column("c"))
    for op in ("lt", "lteq", "gt", "gteq"):
        test = filters.Test("c", Type.TEXT, "text", op, ("a",))
        assert 'COLLATE "C"' in str(filters.expression(test, table, "postgresql"))
