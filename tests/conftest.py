"""Fixtures that all tests share: PostgreSQL servers, one set for a whole run, fresh databases on them, and ledgers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from outhaul.ledger import Ledger
from tests import drafts, postgres
from tests.postgres import Server

GIVEN = os.environ.get("TEST_POSTGRES_URL", "").split()


class Fleet:
    """The shared servers of a run by label, newest version first; each is started when it is first asked for."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}

    def __getitem__(self, label: str) -> Server:
        if label not in self.servers:
            self.servers[label] = (
                Server.at(GIVEN[int(label.removeprefix("given"))])
                if GIVEN
                else Server.make(int(label), postgres.new_home(f"postgres{label}"))
            )
        return self.servers[label]

    def addresses(self) -> dict[str, dict[str, Any]]:
        """All servers, started, in words that can be sent to a test worker."""
        return {label: self[label].to_data() for label in labels()}

    def remove(self) -> None:
        for server in self.servers.values():
            if server.data is not None:
                server.remove()


FLEET = pytest.StashKey[Fleet]()


def labels() -> list[str]:
    """Names of the shared servers, newest first; equal in every process of a run."""
    return [f"given{number}" for number in range(len(GIVEN))] or [str(major) for major in postgres.binaries()]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FLEET] = fleet = Fleet()
    addresses = getattr(config, "workerinput", {}).get("postgres", {})
    fleet.servers = {label: Server.from_data(data) for label, data in addresses.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """With xdist the servers belong to the controller: a worker may come and go."""
    node.workerinput["postgres"] = node.config.stash[FLEET].addresses()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[FLEET].remove()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("every_postgres") is None:
        return
    names = {"postgres_server": labels(), "own_postgres": [str(major) for major in postgres.binaries()]}
    for fixture, choices in names.items():
        if fixture in metafunc.fixturenames:
            ids = [f"postgres-{choice}" for choice in choices]
            metafunc.parametrize(fixture, choices, ids=ids, indirect=True)


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Server:
    """The newest server, or each in turn under `every_postgres`. Shared by all tests: never stop it."""
    label = getattr(request, "param", labels()[0])
    server: Server = request.config.stash[FLEET][label]
    return server


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """`postgresql://...` of a fresh, empty database, as superuser; dropped after the test."""
    with postgres_server.database(f"test_{uuid4().hex}") as url:
        yield url


@pytest.fixture(scope="module")
def postgres_module_url(postgres_server: Server) -> Iterator[str]:
    """As `postgres_url`, but one database for all tests of a module."""
    with postgres_server.database(f"test_{uuid4().hex}") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind that a ledger can live in."""
    if request.param == "sqlite":
        return drafts.sqlite_url(tmp_path)
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """A fresh ledger in each of them."""
    with drafts.opened(url) as ledger:
        yield ledger


@pytest.fixture
def own_postgres(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A private server, which the test may stop, kill and restart."""
    major = int(getattr(request, "param", next(iter(postgres.binaries()))))
    server = Server.make(major, postgres.new_home(f"own{major}"))
    yield server
    server.remove()


@pytest.fixture(scope="session")
def psql() -> str:
    """Path of the newest psql."""
    return postgres.psql()
