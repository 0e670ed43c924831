"""What cannot be served is refused at once, in the asker's words, and leaves no trace anywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import postgres
from tests.postgres import Server
from tests.system import _oracle, _outhaul, _shop
from tests.system._bad_requests import BODIES, CASES, Case
from tests.system._outhaul import MEDIA_TYPE, Asker
from tests.system._shop import Shop


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of our own that writes down every statement it is sent."""
    server = Server.make(max(postgres.binaries()), postgres.new_home("logged"))
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        connection.execute("SELECT pg_reload_conf()")
    yield server
    server.remove()


@pytest.fixture(scope="module")
def database(server: Server) -> Iterator[str]:
    with server.database("shop") as url:
        yield _shop.fill_postgres(url, Shop())


@pytest.fixture(scope="module")
def asker(database: str, room: Path) -> Iterator[Asker]:
    with _outhaul.serving(database, room / "service") as service:
        asker = service.asker()
        asker.finish(asker.create("skus"))
        yield asker


def statements(server: Server) -> int:
    """How many statements the server has been sent so far."""
    assert server.log
    text = server.log.read_text(errors="replace")
    return text.count("statement:") + text.count("execute ")


def check_errors(answer: Any, case: Case) -> None:
    assert answer.status_code in case.status, answer.text[:2000]
    assert answer.headers["Content-Type"].startswith(MEDIA_TYPE)
    errors = answer.json()["errors"]
    assert errors
    for error in errors:
        assert (
            {"title", "detail", "code", "status"}
            <= set(error)
            <= {"title", "detail", "code", "status", "source", "meta"}
        )
        assert error["status"] == str(answer.status_code)
        assert error["title"]
        assert error["code"] in case.code, error
        if answer.status_code == 422:
            assert error["meta"]["error"]
            assert error["source"]["pointer"].startswith(case.pointer), error
    text = " ".join(f"{error['title']} {error['detail']}" for error in errors)
    for word in case.words:
        assert word in text, f"{word!r} is not said: {text[:2000]}"
    assert len(answer.content) < 50_000, "the refusal is larger than anybody reads"


@pytest.mark.parametrize("name", list(CASES))
def test_a_bad_request_is_refused_in_words_and_leaves_no_trace(
    name: str, asker: Asker, server: Server
) -> None:
    case = CASES[name]
    ledger, sent = asker.ids(), statements(server)
    begun = time.monotonic()
    answer = (
        asker.ask("orders", **case.wanted)
        if "resource_type" not in case.wanted
        else asker.ask(**_own(case.wanted))
    )
    taken = time.monotonic() - begun
    check_errors(answer, case)
    assert taken < 20
    assert asker.ids() == ledger
    assert statements(server) == sent, "the source was asked"


def _own(wanted: dict[str, Any]) -> dict[str, Any]:
    return {
        "resource": wanted["resource_type"],
        **{key: value for key, value in wanted.items() if key != "resource_type"},
    }


@pytest.mark.parametrize("name", list(BODIES))
def test_a_malformed_call_is_refused_with_its_code(name: str, asker: Asker, server: Server) -> None:
    method, path, body, headers, statuses, code = BODIES[name]
    ledger, sent = asker.ids(), statements(server)
    answer = asker.call(method, f"/exports{path}", content=body, headers=headers)
    assert answer.status_code in statuses, answer.text[:1000]
    if answer.status_code != 200:
        (error, *_) = answer.json()["errors"]
        assert error["status"] == str(answer.status_code)
        assert error["title"]
        assert error["detail"]
        assert code is None or error["code"] == code
        assert "Traceback" not in answer.text
    assert asker.ids() == ledger
    assert statements(server) == sent


def test_a_patch_changes_only_what_may_be_changed(asker: Asker) -> None:
    export_id = asker.create("orders", reference="kept")
    asker.finish(export_id)
    for wrong in (
        {"status": "interrupted"},
        {"format": "csv"},
        {"fields": ["id"]},
        {"colour": 1},
        {"attachment_url": "x"},
    ):
        answer = asker.change(export_id, **wrong)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "PARAM_NOT_ALLOWED"), wrong
    body = {"data": {"type": "exports", "id": "XAyRWNUzyN", "attributes": {"reference": "changed"}}}
    answer = asker.call("PATCH", f"/exports/{export_id}", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "KEY_NOT_INCLUDED_IN_URL")
    for flag in ("_interrupt", "_start"):
        answer = asker.change(export_id, **{flag: True})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "VALIDATION_ERROR")
        assert answer.json()["errors"][0]["source"]["pointer"] == "/data/attributes/status"
    assert asker.get(export_id)["reference"] == "kept"
    changed = asker.change(
        export_id, reference="new", reference_origin="here", metadata={"a": [1, "é\u2028"]}
    )
    assert changed.status_code == 200
    now = asker.get(export_id)
    assert (now["reference"], now["reference_origin"], now["metadata"]) == (
        "new",
        "here",
        {"a": [1, "é\u2028"]},
    )


def test_hostile_values_are_values(asker: Asker, database: str) -> None:
    hostile = [
        "'; DROP TABLE orders; --",
        '"',
        "\\",
        "%",
        "_",
        "a' OR '1'='1",
        "$1",
        ":p",
        "{0}",
        "\u2028",
        "x" * 5000,
    ]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM tags WHERE id >= 1000")
        for n, value in enumerate(hostile):
            connection.execute("INSERT INTO tags VALUES (%s, 1, %s, NULL)", [1000 + n, value])
    for n, value in enumerate(hostile):
        for predicate in ("eq", ("start", "end")[n % 2], "cont"):
            found = asker.rows("tags", filters={f"name_{predicate}": value})
            expected = [1000 + m for m, other in enumerate(hostile) if _holds(predicate, other, value)]
            assert _oracle.numbers(found, "id") == expected or predicate == "matches", (predicate, value)
        found = asker.rows("tags", filters={"name_in": [value, "nobody"]})
        assert _oracle.numbers(found, "id") == [1000 + n]
    assert len(asker.rows("orders")) == Shop().orders


def _holds(predicate: str, stored: str, value: str) -> bool:
    return {
        "eq": stored == value,
        "start": stored.startswith(value),
        "end": stored.endswith(value),
        "cont": value in stored,
    }[predicate]


def test_a_filter_that_nothing_matches_says_so(asker: Asker) -> None:
    ledger = asker.ids()
    answer = asker.ask("orders", filters={"number_eq": "nobody's"})
    if answer.status_code == 422:
        (error,) = answer.json()["errors"]
        assert error["meta"]["error"] == "greater_than"
        assert error["source"]["pointer"] == "/data/attributes/records_count"
        assert asker.ids() == ledger
    else:
        assert asker.finish(answer.json()["data"]["id"])["records_count"] == 0


COMMANDS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "resource": (["ordres"], ("ordres", "orders")),
    "field": (["orders", "--fields", "id,nummer"], ("nummer", "number")),
    "include": (["orders", "--include", "custmer"], ("custmer", "customer")),
    "cycle": (["orders", "--include", "line_items.order.line_items"], ("line_items",)),
    "predicate": (["orders", "--filter", "number_equals=1"], ("equals", "cont")),
    "value": (["orders", "--filter", "id_eq=abc"], ("abc",)),
    "no_value": (["orders", "--filter", "id_eq"], ("id_eq",)),
    "format": (["orders", "--format", "xlsb"], ("xlsb", "csv")),
    "compress": (["orders", "--compress", "rar"], ("rar", "gzip")),
    "part_size": (["orders", "--part-size", "many"], ("many",)),
    "negative_part_size": (["orders", "--part-size", "-1"], ("-1",)),
    "no_workers": (["orders", "--workers", "0"], ("workers",)),
    "no_resource": ([], ()),
    "no_catalog": (["orders", "--catalog", "nowhere.toml"], ("nowhere.toml",)),
    "option": (["orders", "--colour", "red"], ("--colour",)),
}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_bad_command_is_refused_with_status_two(name: str, tmp_path: Path) -> None:
    args, words = COMMANDS[name]
    path = tmp_path / "shop.db"
    url = _shop.fill_sqlite(path, Shop(orders=3))
    run = _outhaul.inside("export", url, *args, "--output", tmp_path / "out", at=tmp_path)
    assert run.code == 2, run.said
    assert "Traceback" not in run.said
    for word in words:
        assert word in run.said, run.said
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", ("sqlite:///",)),
        ("oracle://host/db", ("oracle", "sqlite", "postgresql")),
        ("../formats://x", ("sqlite",)),
        ("sqlite:///nowhere/at/all.db", ("nowhere/at/all.db",)),
        ("sqlite://", ("sqlite",)),
    ],
)
def test_a_bad_source_is_refused_in_words(url: str, words: tuple[str, ...], tmp_path: Path) -> None:
    run = _outhaul.inside("export", url, "orders", "--output", tmp_path / "out", at=tmp_path)
    assert run.code in {2, 3}, run.said
    assert "Traceback" not in run.said
    for word in words:
        assert word in run.said, run.said
    assert not list(tmp_path.glob("**/all.db"))


def test_a_file_that_is_no_database_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("these are only notes\n" * 100)
    run = _outhaul.inside(
        "export", f"sqlite:///{tmp_path}/notes.db", "orders", "--output", tmp_path / "out", at=tmp_path
    )
    assert run.code in {2, 3}, run.said
    assert "Traceback" not in run.said
    assert (tmp_path / "notes.db").read_text() == "these are only notes\n" * 100
