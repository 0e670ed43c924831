"""Sessions on PostgreSQL for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from outhaul.blocks import Range
from outhaul.sources import postgresql
from outhaul.sources.postgresql import Session

EVERYTHING = Range()


def connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the database's owner, for the length of a fixture."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@contextmanager
def reading(url: str, snapshot: str | None = None, **settings: float) -> Iterator[Session]:
    session = postgresql.connect(url, "of a test", **settings)
    try:
        session.begin(snapshot)
        yield session
    finally:
        session.close()
