"""Tables and columns may be named as anybody likes: they are exported, into files with safe names."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.system import _oracle, _outhaul

HOSTILE = [
    "two words",
    'double "quotes"',
    "apostrophe's",
    "percent % and %s",
    "slash/and/slash",
    "..",
    "../up",
    "select",
    "Order",
    "order",
    "ORDER",
    "x" * 63,
    "größe_表_🎉",
    "back\\slash",
    "semi;colon",
    "dollar$1:p{0}",
    "-dash",
    "~",
    " leading",
    "CON",
]


def make_hostile(execute: Any) -> None:
    for number, name in enumerate(HOSTILE):
        quoted = _oracle.quoted(name)
        columns = ", ".join(
            f"{_oracle.quoted(column)} text" for column in HOSTILE if column.lower() != "order"
        )
        execute(f"CREATE TABLE {quoted} (id integer PRIMARY KEY, {columns})")
        first = _oracle.quoted(HOSTILE[0])
        execute(f"INSERT INTO {quoted} (id, {first}) VALUES ({number}, 'a'), ({number + 100}, 'b')")


def check_hostile(url: str, form: str, names: list[str], room: Path) -> None:
    with _outhaul.serving(url, room) as service:
        asker = service.asker()
        for number, name in enumerate(names):
            export_id = asker.create(name, form)
            answer = service.fetch(asker.link(export_id))
            found = _oracle.rows(form, answer.content)
            assert sorted(_oracle.numbers(found, "id")) == [number, number + 100], name
            assert {*found[0].names} == {"id", *(column for column in HOSTILE if column.lower() != "order")}
            disposition = answer.headers["Content-Disposition"]
            assert "\n" not in disposition
            assert "/" not in disposition.split("filename*=")[1].split("''")[-1]


def test_hostile_names_work_on_postgresql(any_form: str, postgres_url: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        make_hostile(lambda statement: connection.execute(sql.SQL(statement)))
    check_hostile(postgres_url, any_form, HOSTILE, tmp_path)


SQLITE = [name for name in HOSTILE if name not in {"Order", "ORDER"}]  # SQLite does not tell them apart


@pytest.fixture(scope="module")
def hostile_sqlite(room: Path) -> str:
    connection = sqlite3.connect(room / "hostile % name.db")
    for number, name in enumerate(SQLITE):
        columns = ", ".join(
            f"{_oracle.quoted(column)} text" for column in HOSTILE if column.lower() != "order"
        )
        connection.execute(f"CREATE TABLE {_oracle.quoted(name)} (id integer PRIMARY KEY, {columns})")
        connection.execute(f"INSERT INTO {_oracle.quoted(name)} (id) VALUES ({number}), ({number + 100})")
    connection.commit()
    connection.close()
    return f"sqlite:///{room}/hostile % name.db"


def test_hostile_names_work_on_sqlite(any_form: str, hostile_sqlite: str, tmp_path: Path) -> None:
    check_hostile(hostile_sqlite, any_form, SQLITE, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "-dash",
        *(pytest.param(name, marks=pytest.mark.heavy) for name in ("..", "slash/and/slash", "x" * 63)),
    ],
)
def test_the_command_line_puts_it_into_its_folder_and_nowhere_else(
    name: str, hostile_sqlite: str, tmp_path: Path
) -> None:
    outputs = tmp_path / "outputs"
    run = _outhaul.command(
        *("export", hostile_sqlite, "--output", outputs / "0", "--", name), at=tmp_path, folder=outputs / "0"
    ).complete()
    assert [path.parent for path in outputs.rglob("*") if path.is_file()] == [outputs / "0"] * 2
    assert len(run.rows()) == 2
    assert [path.name for path in outputs.iterdir()] == ["0"]
