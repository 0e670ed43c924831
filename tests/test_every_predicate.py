"""All 51 predicates find the same rows on SQLite and PostgreSQL: those that a slow, obvious reader finds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from outhaul import filters, siblings, sources, values
from outhaul.blocks import Range
from outhaul.catalog import Catalog, Type
from outhaul.errors import TooMuch, UnknownPredicate, WrongValue
from outhaul.filters import EVERYTHING, OPS
from outhaul.predicates import Reader
from tests import databases
from tests.databases import Database
from tests.selections import selection
from tests.slow_filters import CONTRACT, FLAGS, holds, meets
from tests.slow_reader import rows
from tests.test_comparisons import KINDS, Kind

NULL = ("null of JSON",)  # which is there, while NULL is not


def exact(text: str) -> Any:
    """A document, with numbers that are equal when they mean the same."""
    found = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return NULL if found is None else found


WORDS = [
    *("", " ", "\t\n", "a", "A", "ab", "aB", "abc", "b", "ba", "%", "_", "a%b", "a_b", "\\", "100%"),
    *("ä", "Ä", "😀", "'", '"', ",", "a,b", "*", "[a]", "?", "NULL", "null", "a\nb"),
]
DOCUMENTS = [
    *(
        "{}",
        "[]",
        '{"a": 1}',
        '{"a": 1.0, "b": null}',
        '{"a": "1"}',
        '{"a": true}',
        '{"a": [1, 2, {"b": [3]}]}',
    ),
    *('{"a": {"b": {"c": "é"}}, "d": []}', "[1, 2, 2]", '[{"a": 1, "b": 2}, {"a": 1}]', '[["x"], ["y", []]]'),
    *('{"a b": {"\\"": "\\\\"}}', '{"a": 1, "a": 2}', '"a"', "1", "null", "true", '{"é": "😀"}'),
    *(
        '{"a": 12345678901234567890123}',
        '{"a": {}}',
        '{"a": [[1]], "b": {"c": null}}',
        '{"0": 1}',
        "[[0, 1]]",
    ),
]
WANTED = [
    *(
        "{}",
        "[]",
        '{"a": 1}',
        '{"a": 2}',
        '{"a": "1"}',
        '{"a": true}',
        '{"a": null}',
        '{"b": null}',
        '{"a": 1.00}',
    ),
    *(
        '{"a": {"b": {}}}',
        '{"a": {"b": {"c": "é"}}}',
        '{"d": []}',
        "[2]",
        "[2, 1]",
        "[3]",
        '[{"a": 1, "b": 2}]',
    ),
    *(
        '[{"a": 1}]',
        '[{"b": 2, "a": 2}]',
        '[["y", []]]',
        '[["x", "y"]]',
        '{"a b": {"\\"": "\\\\"}}',
        '{"é": "😀"}',
    ),
    *('{"a": [{"b": [3]}, 2]}', '{"a": [{"b": []}]}', '{"a": {}}', '{"a": []}', '{"a": [[1]]}', '{"a": [1]}'),
    *(
        '{"a": 12345678901234567890123}',
        '{"0": 1}',
        '{"0": 0}',
        "[[]]",
        '[["x"], ["y"]]',
        '{"a": 1, "b": null}',
    ),
]
MORE = {
    "text": Kind("text", "text", WORDS, ["", "a", "ab", "b", "%", "a_b", "\\\\", "_", "ä", "a,b", "A%"], str),
    "json": Kind("json", "json", DOCUMENTS, WANTED, exact, ordered=False),
    "jsonb": Kind("json", "jsonb", DOCUMENTS, WANTED, exact, ordered=False),
}
ALL = {
    name: replace(kind, meaning=str) if kind.meaning is str.encode else kind for name, kind in KINDS.items()
} | MORE


class Exported:
    """One database, and the rows that its own source reads: what an export would hold."""

    def __init__(self, database: Database) -> None:
        if database.dialect == "postgresql":
            database.run("CREATE TYPE mood AS ENUM ('sad', 'ok', 'o''k %')")
        for name, kind in ALL.items():
            declared = kind.sqlite if database.dialect == "sqlite" else kind.postgresql
            database.run(f'CREATE TABLE "{name}s" (id integer PRIMARY KEY, c {declared})')
            database.fill(f'"{name}s"', enumerate([None, *kind.stored]))
        self.database = database
        self.catalog: Catalog = database.reflect()
        self.session: Any = siblings.load(sources, database.dialect).connect(database.url, "test")
        self.session.begin()

    def type(self, name: str) -> Type:
        return next(one.type for one in self.catalog.resources[f"{name}s"].fields if one.name == "c")

    def found(self, name: str, predicate: str, asked: Any) -> set[int]:
        resource = self.catalog.resources[f"{name}s"]
        where = Reader(self.catalog, lambda *_: EVERYTHING).read(resource, {f"c_{predicate}": asked})
        node = selection(self.catalog, resource.name, fields=["id"], where={"": where})
        return {int(row["id"][1]) for row in rows(self.session.read(node, Range(), "json"))}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    if request.param == "sqlite":
        opened = databases.sqlite(tmp_path_factory.mktemp("every") / "things.db")
    else:
        opened = databases.postgresql(request.getfixturevalue("postgres_module_url"))
    with opened as database:
        made = Exported(database)
        yield made
        made.session.close()


def questions(predicate: str, kind: Kind) -> Iterator[tuple[Any, list[Any]]]:
    """What is asked, and its plain values."""
    if predicate in FLAGS:
        yield from ((value, [value]) for value in (True, False))
    elif OPS[predicate].takes == "one":
        yield from ((value, [value]) for value in kind.asked)
    else:
        yield from ((list(pair), list(pair)) for pair in pairwise(kind.asked))
        yield [kind.asked[0]], [kind.asked[0]]


def test_the_table_has_every_predicate_of_the_contract_and_one_that_the_dashboard_knows() -> None:
    assert len(CONTRACT) == 51
    assert set(OPS) == {*CONTRACT, "not_cont_any"}


@pytest.mark.parametrize("predicate", OPS)
def test_an_exported_row_is_one_that_the_slow_reader_finds(exported: Exported, predicate: str) -> None:
    asked_at_all = 0
    for name, kind in ALL.items():
        if exported.type(name) not in OPS[predicate].types:
            continue
        stored = [None, *map(kind.meaning, kind.stored)]
        for asked, plain in questions(predicate, kind):
            meant = plain if predicate in FLAGS else [kind.meaning(one) for one in plain]
            expected = {number for number, one in enumerate(stored) if meets(predicate, one, meant)}
            assert exported.found(name, predicate, asked) == expected, (name, asked)
            asked_at_all += 1
    assert asked_at_all > 1


@pytest.mark.parametrize("predicate", OPS)
def test_a_type_has_a_predicate_or_is_refused_with_those_that_it_has(
    exported: Exported, predicate: str
) -> None:
    for name in ALL:
        kind = exported.type(name)
        fitting = {op for op in OPS if kind in OPS[op].types}
        if predicate not in fitting:
            with pytest.raises(UnknownPredicate) as caught:
                exported.found(name, predicate, "x")
            assert (caught.value.wrong, set(caught.value.choices)) == (predicate, fitting)


plain = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
hostile = st.text(st.sampled_from("aAä%_\\*?[]^-!'\"{},\n 😀"), max_size=5)
some = st.lists(plain | hostile, min_size=1, max_size=3)


@pytest.mark.parametrize("predicate", [name for name in OPS if Type.TEXT in OPS[name].types])
def test_any_text_against_any_values(exported: Exported, predicate: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.none() | plain | hostile, some, st.booleans())
    def agrees(text: str | None, asked: list[str], said: bool) -> None:
        if OPS[predicate].each == "pattern":
            asked = [f"{one}\\" if (len(one) - len(one.rstrip("\\"))) % 2 else one for one in asked]
        op = OPS[predicate]
        taken: tuple[str, ...] = tuple(asked if op.takes in {"many", "several"} else asked[:1])
        name = predicate
        if op.takes == "flag":
            name, taken = predicate if said else op.opposite, ()
        meant = [said] if op.takes == "flag" else list(taken)
        found = exported.database.says(filters.Test("t", Type.TEXT, "text", name, taken), {"t": text})
        assert found == meets(predicate, text, meant)

    agrees()


scalars = st.none() | st.booleans() | st.sampled_from([0, 1, 10, 0.5, -1, "", "1", "a", 'q"\\é'])
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "0", 'q"']), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_any_document_holds_what_it_holds_for_postgresql(exported: Exported) -> None:
    @settings(max_examples=200, deadline=None)
    @given(documents, documents.filter(lambda one: isinstance(one, dict | list)), st.booleans())
    def agrees(stored: Any, wanted: Any, within: bool) -> None:
        if within and isinstance(wanted, dict):  # else most answers are no
            stored = {**wanted, "a": stored}
        try:
            text = values.document(wanted)
        except TooMuch:
            assume(False)
        found = exported.database.says(
            filters.Test("t", Type.JSON, "text", "jcont", (text,)), {"t": json.dumps(stored)}
        )
        assert found == holds(exact(json.dumps(stored)), exact(text))

    agrees()


def test_what_is_no_document_holds_nothing(exported: Exported) -> None:
    for stored in (None, "", "{", "x", "{'a': 1}") if exported.database.dialect == "sqlite" else (None,):
        assert not exported.database.says(
            filters.Test("t", Type.JSON, "text", "jcont", ("{}",)), {"t": stored}
        )


def test_what_json_may_hold_and_jsonb_may_not_is_no_fault(exported: Exported) -> None:
    for stored in (r'{"a": "\u0000"}', r'{"a": "\ud800"}', r'{"a": "\udc00"}'):
        assert not exported.database.says(
            filters.Test("t", Type.JSON, "text", "jcont", ('{"a": "b"}',)), {"t": stored}
        )
    for stored in (r'{"a": "b", "c": "\\u0000"}', r'{"a": "b", "c": "\ud83d\ude00"}'):
        assert exported.database.says(
            filters.Test("t", Type.JSON, "text", "jcont", ('{"a": "b"}',)), {"t": stored}
        )


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        *(
            (one, WrongValue)
            for one in ("", "x", "1", '"a"', "null", "true", "{", None, 5, True, '{"a": NaN}')
        ),
        *(
            (one, WrongValue)
            for one in ('{"a": "\\u0000"}', '{"a": "\\ud800"}', {"a": float("inf")}, "[" * 50)
        ),
        ("[" * 40 + "]" * 40, WrongValue),
        ('{"a": 1e9999}', WrongValue),
        ('[{"a": [{"b": 1, "c": 2}], "d": 1}]', TooMuch),
        ({"a": "x" * 9_000}, TooMuch),
    ],
)
def test_a_document_that_cannot_be_asked_for_is_refused(wanted: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        values.document(wanted, ("filters", "c_jcont"))


def test_a_document_is_found_below_as_many_relationships_as_a_path_may_have(tmp_path: Path) -> None:
    with databases.sqlite(tmp_path / "deep.db") as database:
        database.run("CREATE TABLE nodes (id integer PRIMARY KEY, up_id integer REFERENCES nodes, c json)")
        stored = '{"a": {"b": [{"c": 1, "d": {"e": [2]}}, 5]}}'
        database.fill("nodes", [(0, None, stored), *((number, number - 1, None) for number in range(1, 7))])
        catalog = database.reflect()
        reader = Reader(catalog, lambda *_: EVERYTHING)
        where = reader.read(catalog.resources["nodes"], {f"{'up.' * 5}c_jcont": stored})
        session = siblings.load(sources, "sqlite").connect(database.url, "test")
        session.begin()
        node = selection(catalog, "nodes", "up", fields=["id"], where={"": where})
        assert [row["id"] for row in rows(session.read(node, Range(), "json"))] == [("number", "5")]
        session.close()


def test_lists_of_which_each_value_is_compared_are_short(exported: Exported) -> None:
    few = [str(number) for number in range(100)]
    assert exported.found("text", "cont_any", few) == {
        number for number, word in enumerate([None, *WORDS]) if word and any(one in word for one in few)
    }
    for predicate in (name for name in OPS if OPS[name].takes == "several"):
        with pytest.raises(TooMuch) as caught:
            exported.found("text", predicate, [*few, "x"])
        assert caught.value.facts == {"value": 101, "limit": 100}
