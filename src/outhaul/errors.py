"""The tree of errors: what went wrong, in words, and a hint what to do."""

from __future__ import annotations

from typing import Any


class OuthaulError(Exception):
    """The root of all errors; of itself a fault of Outhaul's own.

    `where` is the path inside the request (`("filters", "code_eq")`), empty when there is none;
    `wrong` the offending name or value and `choices` the valid ones, both already part of the text.

    `outside`: what a tenant reads instead of a text that may name hosts, roles, paths or others' rows; "": the text.
    """

    title = "Something went wrong"
    outside = ""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        where: tuple[str | int, ...] = (),
        wrong: str = "",
        choices: tuple[str, ...] = (),
        facts: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where
        self.wrong = wrong
        self.choices = choices
        self.facts = facts or {}

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()

    def as_data(self) -> dict[str, str]:
        """Class name, message and hint: the form in which the ledger keeps an error."""
        return {"error": type(self).__name__, "message": self.message, "hint": self.hint}


class Refused(OuthaulError):
    """The asker's request cannot be served as it stands."""

    title = "Refused"


class Malformed(Refused):
    """The request has the wrong shape: a missing member, a wrong type, a member nobody knows."""

    title = "Malformed request"


class UnknownResource(Refused):
    """No resource of that name is offered."""

    title = "Unknown resource"


class UnknownField(Refused):
    """The resource has no such field."""

    title = "Unknown field"


class UnknownRelationship(Refused):
    """The resource has no such relationship."""

    title = "Unknown relationship"


class UnknownPredicate(Refused):
    """A filter ends in no predicate that fits its field."""

    title = "Unknown predicate"


class UnknownSegment(Refused):
    """The resource has no such saved filter."""

    title = "Unknown segment"


class UnknownSibling(Refused):
    """A format, source, store, engine or dialect that is not there."""

    title = "Unknown name"


class WrongValue(Refused):
    """A value does not fit the field or predicate it is given for."""

    title = "Wrong value"


class Cycle(Refused):
    """An include comes back to a relationship it has already passed."""

    title = "Cycle"


class NoKey(Refused):
    """What was asked needs a unique key, and the resource has none."""

    title = "No key"


class TooMuch(Refused):
    """A limit, with both numbers; `facts` holds `value` and `limit`."""

    title = "Too much"


class NothingMatches(Refused):
    """No row matches."""

    title = "Nothing matches"


class NotAllowed(Refused):
    """The caller may not do this."""

    title = "Not allowed"


class NotSignedIn(Refused):
    """No token, or one that is unknown, expired or revoked."""

    title = "Not signed in"


class UnderMaintenance(OuthaulError):
    """An operator has said `outhaul maintenance on`."""

    title = "Under maintenance"


class NotFound(Refused):
    """There is no such export, or it is another tenant's."""

    title = "Not found"


class Gone(Refused):
    """A link that was good once: too old, its export deleted or expired, its token revoked or expired."""

    title = "Gone"


class WrongState(Refused):
    """The export's status does not allow this move."""

    title = "Wrong state"


class NoRoom(Refused):
    """The disk is too full to take on another export."""

    title = "No room"


class BadRange(Refused):
    """A byte range outside the artifact; `facts` holds `length` in bytes."""

    title = "Range not satisfiable"


class SourceError(OuthaulError):
    """The source did not give what it was asked for."""

    title = "Source error"
    outside = "The database did not give what it was asked for."


class SourceAway(SourceError):
    """The source cannot be reached, or the connection broke."""

    title = "Source away"
    outside = "The database cannot be reached. Try again later."


class SourceTimeout(SourceError):
    """The database, or the export as of one instant, took too long."""

    title = "Source timeout"
    outside = ""


class SourceBusy(SourceError):
    """The source is locked by somebody else."""

    title = "Source busy"
    outside = "The database is busy. Try again later."


class SourceForbids(SourceError):
    """The role lacks a right; the hint names the GRANT."""

    title = "Source forbids"
    outside = "The database does not let the service read this."


class SchemaChanged(SourceError):
    """A table, or what is offered of it, is not what it was when the plan was made or the instant was taken."""

    title = "Schema changed"
    outside = "What is to be read has changed since the export was asked for. Ask for it again."


class SnapshotLost(SourceError):
    """The keeper of the instant has gone: the parts run again under a new one."""

    title = "Snapshot lost"
    outside = "The instant of the export was lost. Start it again."


class UnreadableValue(SourceError):
    """A stored value cannot be written without changing it; names table, key and column."""

    title = "Unreadable value"
    outside = ""


class WorkerLost(OuthaulError):
    """The process that worked on a part ended or went silent, again and again."""

    title = "Worker lost"


class StoreError(OuthaulError):
    """The store did not take or give an object."""

    title = "Store error"
    outside = "The files of exports cannot be written or read."


class StoreFull(StoreError):
    """The place for files is full."""

    title = "Store full"


class ServiceError(OuthaulError):
    """To a client: a service did not answer as it should, or could not do it."""

    title = "Service error"


class ServiceAway(ServiceError):
    """To a client: it cannot be reached, or broke off. `facts` may hold `wait`, the seconds it asked for."""

    title = "Service away"


class ServiceBusy(ServiceAway):
    """To a client: it is asked more often than it lets anybody ask."""

    title = "Service busy"


class Interrupted(OuthaulError):
    """To a client: somebody has interrupted the export that was waited for."""

    title = "Interrupted"


class Unproven(OuthaulError):
    """The proof does not hold: rows, ranges or bytes differ from what was recorded; `facts` holds both sides."""

    title = "Not proven"
    outside = "The files could not be proven, so none can be downloaded. Start the export again."


class Misconfigured(OuthaulError):
    """A setting, catalog file or command line that cannot work."""

    title = "Misconfigured"
    outside = "The service is not set up for this."


def outside(name: str) -> str:
    """The sentence for tenants of the error of this class name; "" where its own text is for everybody."""
    kind = globals().get(name)
    return str(kind.outside) if isinstance(kind, type) and issubclass(kind, OuthaulError) else ""


MENTION = "Mention {} when you report it."  # what follows the sentence for tenants, with the export's id


def outsides() -> dict[str, str]:
    """The sentences for tenants by the class names of the errors that have one."""
    return {name: said for name in list(globals()) if (said := outside(name))}
