"""Houses for the crash tests, and what an undisturbed run writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.crash import house as houses
from tests.crash.house import House
from tests.postgres import Server

Undisturbed = dict[str, str]


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory, postgres_module_url: str) -> dict[str, str]:
    """URLs of the same shop in every kind of source."""
    return {
        "sqlite": houses.fill_sqlite(tmp_path_factory.mktemp("shop")),
        "postgresql": houses.fill_postgresql(postgres_module_url),
    }


@pytest.fixture(scope="module")
def undisturbed(
    shops: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Undisturbed]:
    """By kind of source, and by what is wanted: SHA-256 of what each file holds when nobody is killed."""
    known: dict[tuple[str, str], Undisturbed] = {}

    def run(kind: str, wanted: str = "text") -> Undisturbed:
        if (kind, wanted) not in known:
            folder = tmp_path_factory.mktemp("undisturbed")
            with houses.built(folder, shops[kind], f"sqlite:///{folder / 'ledger.db'}", wanted) as house:
                house.start()
                found = house.finished(export_id := house.create())
                assert found.status == "completed", found.errors
                assert found.parts >= 16
                known[kind, wanted] = house.files(export_id)
        return known[kind, wanted]

    return run


@pytest.fixture
def build(
    shops: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., House]]:
    """`build(source, ledger)`: a house over these kinds of databases, or over given URLs; no service runs yet."""
    with ExitStack() as stack:

        def make(source: str, ledger: str, wanted: str = "text") -> House:
            ledger_url = ledger
            if ledger == "sqlite":
                ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
            elif ledger == "postgresql":
                ledger_url = request.getfixturevalue("postgres_url")
            return stack.enter_context(houses.built(tmp_path, shops.get(source, source), ledger_url, wanted))

        yield make


@pytest.fixture
def own_server(own_postgres: Server) -> Server:
    """A private server that holds the shop."""
    houses.fill_postgresql(own_postgres.url)
    return own_postgres
