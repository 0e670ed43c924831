"""What PostgreSQL complains of, in the words of our errors."""

from __future__ import annotations

import asyncio
import ssl

import asyncpg
from asyncpg import exceptions as pg

from outhaul.errors import (
    OuthaulError,
    SchemaChanged,
    SourceAway,
    SourceBusy,
    SourceError,
    SourceForbids,
    SourceTimeout,
    UnreadableValue,
)

RETRY = "Start the export again once the database answers."

# First match wins: the more special classes stand first.
SAID: tuple[tuple[tuple[type[BaseException], ...], type[OuthaulError], str, str], ...] = (
    (
        (pg.InvalidPasswordError, pg.InvalidAuthorizationSpecificationError),
        SourceForbids,
        "The source refused to let us in",
        "Check user and password of the source's URL.",
    ),
    (
        (pg.QueryCanceledError,),
        SourceTimeout,
        "A statement took longer than allowed",
        "Raise the statement timeout.",
    ),
    (
        (pg.LockNotAvailableError, pg.DeadlockDetectedError, pg.ObjectInUseError),
        SourceBusy,
        "A table is locked by somebody else",
        "Start the export again once the lock is gone.",
    ),
    ((pg.InsufficientPrivilegeError,), SourceForbids, "The role of the source's URL lacks a right", ""),
    (
        (pg.CharacterNotInRepertoireError, pg.UntranslatableCharacterError),
        UnreadableValue,
        "A stored text cannot be written as UTF-8",
        "Correct the value in the database.",
    ),
    (
        (
            *(
                pg.UndefinedTableError,
                pg.UndefinedColumnError,
                pg.UndefinedObjectError,
                pg.UndefinedFunctionError,
            ),
            *(pg.DatatypeMismatchError, pg.CannotCoerceError, pg.InvalidTextRepresentationError),
            *(pg.InvalidSchemaNameError, pg.WrongObjectTypeError),
        ),
        SchemaChanged,
        "The source is not what it was when the export was asked for",
        "Ask for the export again.",
    ),
    ((pg.TooManyConnectionsError,), SourceAway, "The source has no free connection", RETRY),
    ((pg.InvalidCatalogNameError,), SourceAway, "There is no such database", "Check the source's URL."),
    (
        (
            *(pg.PostgresConnectionError, pg.OperatorInterventionError, pg.InternalClientError),
            *(asyncpg.InterfaceError, OSError, ssl.SSLError, asyncio.TimeoutError),
        ),
        SourceAway,
        "The source cannot be reached",
        RETRY,
    ),
    ((pg.PostgresError,), SourceError, "The source could not answer", ""),
)


def translated(error: BaseException) -> OuthaulError:
    """The same in our tree; the server's own sentence stays part of the text. Anything unknown is raised as it is."""
    for kinds, ours, words, hint in SAID:
        if isinstance(error, kinds):
            detail = str(error).strip() or type(error).__name__
            return ours(f"{words}: {detail.rstrip('.')}.", hint=hint)
    raise error
