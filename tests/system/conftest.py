"""Fixtures of the system tests: shops on every source, and one running service per module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.postgres import Server
from tests.system import _outhaul, _shop
from tests.system._shop import Shop

SOURCES = _outhaul.siblings("sources")
FORMATS = _outhaul.siblings("formats")


@pytest.fixture(params=FORMATS or ["csv"])
def form(request: pytest.FixtureRequest) -> str:
    """Each format that is there, by its name."""
    name: str = request.param
    return name


@pytest.fixture(
    params=[pytest.param(name, marks=() if name == "json" else pytest.mark.heavy) for name in FORMATS]
)
def any_form(request: pytest.FixtureRequest) -> str:
    """As `form`, where the format is not what is tried: the quick tests take one of them."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all tests of a module."""
    return tmp_path_factory.mktemp("room")


@pytest.fixture(scope="module")
def filled(postgres_server: Server, room: Path) -> Iterator[Callable[[str, Shop], str]]:
    """Makes a shop on a source, by the source's name, and gives its URL; all are gone after the module."""
    open_databases = []

    def fill(source: str, shop: Shop) -> str:
        name = f"shop_{uuid4().hex}"
        if source == "sqlite":
            return _shop.fill_sqlite(room / f"{name}.db", shop)
        assert source == "postgresql", f"say here how a shop is put into a {source} database"
        database = postgres_server.database(name)
        open_databases.append(database)
        return _shop.fill_postgres(database.__enter__(), shop)

    yield fill
    for database in open_databases:
        database.__exit__(None, None, None)
