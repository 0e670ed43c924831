"""Servers go down in the middle of an export: the source, and the ledger itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError

from outhaul.export import Status
from tests.crash.conftest import Undisturbed
from tests.crash.house import House, until
from tests.postgres import Server

Build = Callable[..., House]
Expected = Callable[[str], Undisturbed]


def test_a_source_that_restarts_costs_a_generation(
    build: Build, undisturbed: Expected, own_server: Server
) -> None:
    house = build(own_server.url, "sqlite")
    house.start()
    export_id = house.caught()
    own_server.restart("immediate")
    found = house.complete(export_id, undisturbed("postgresql"))
    assert found.generation > 1, "the instant went with the server"


def test_a_ledger_that_restarts_costs_nothing(
    build: Build, undisturbed: Expected, own_postgres: Server
) -> None:
    expected = undisturbed("postgresql")
    house = build("postgresql", own_postgres.url)
    house.start()
    export_id = house.caught()
    own_postgres.restart("immediate")

    def ended() -> bool:
        with contextlib.suppress(DBAPIError):
            return house.ledger.get(export_id).status is Status.COMPLETED
        return False

    until(ended, "it completes")
    found = house.complete(export_id, expected)
    assert found.generation == 1
