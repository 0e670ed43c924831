"""The ledger's clock: the database's own time, in seconds since 1970, read inside the statement that uses it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement, ReturnTypeFromArgs


class now(FunctionElement[float]):  # noqa: N801  # reads as the SQL function that it is
    """Seconds since 1970 by the database's clock, as things stand now and not when the transaction began."""

    type = sa.Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_sqlite(_element: now, _compiler: Any, **_: Any) -> str:
    return "round((julianday('now') - 2440587.5) * 86400.0, 3)"  # a day in REAL holds no more than 40 µs


@compiles(now, "postgresql")
def _now_postgresql(_element: now, _compiler: Any, **_: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


class greatest(ReturnTypeFromArgs[Any]):  # noqa: N801  # as above
    """The largest of its arguments in one row."""

    inherit_cache = True


class least(ReturnTypeFromArgs[Any]):  # noqa: N801  # as above
    """The smallest of its arguments in one row."""

    inherit_cache = True


@compiles(greatest, "sqlite")
def _greatest(element: greatest, compiler: Any, **more: Any) -> str:
    return f"max{compiler.process(element.clause_expr, **more)}"


@compiles(least, "sqlite")
def _least(element: least, compiler: Any, **more: Any) -> str:
    return f"min{compiler.process(element.clause_expr, **more)}"


def moment(seconds: float) -> datetime:
    """The aware time of a table's seconds."""
    return datetime.fromtimestamp(seconds, UTC)


def maybe(seconds: float | None) -> datetime | None:
    """As `moment`, where a time may be missing."""
    return None if seconds is None else moment(seconds)
