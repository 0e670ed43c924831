"""Tokens and API clients: who may ask, as hashes; what they are worth is for `access` to say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from outhaul.ceilings import UNLIMITED, Ceiling
from outhaul.ledger.clock import maybe, moment, now
from outhaul.ledger.closing import Closing
from outhaul.ledger.database import moved
from outhaul.ledger.tables import CLOSED, ended, flags, tokens

USED_EVERY = (
    60.0  # seconds between two notes of a token's use: a busy caller must not make every read a write
)
LINKED = "console-"  # what the id of a token begins with that a link to the console has made


@dataclass(frozen=True, slots=True)
class Token:
    """A token, or an API client, as the ledger keeps it. `expired`: by the ledger's clock, at the time of reading;
    `stale`: by the same, its use should be noted. `kind`: of a client, which signs in to be given tokens; None for a
    token itself. `others`: tenants that it reaches besides, where it is asked to. `closed`: the doors were, when it was
    read."""

    id: str
    name: str
    tenant: str | None
    all_tenants: bool
    resources: tuple[str, ...]
    read_only: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None
    expired: bool
    stale: bool
    ceiling: Ceiling = UNLIMITED
    kind: str | None = None
    others: tuple[str, ...] = ()
    closed: bool = False


@dataclass(frozen=True, slots=True)
class NewToken:
    """What is kept of a token when it is made; `hash` is the SHA-256 of the token, or the client's secret, in hex."""

    id: str
    hash: str
    name: str
    tenant: str | None
    all_tenants: bool
    resources: tuple[str, ...] = ()
    read_only: bool = False
    ceiling: Ceiling = UNLIMITED
    kind: str | None = None
    others: tuple[str, ...] = ()


class Tokens(Closing):
    """Access tokens and API clients."""

    def insert_token(self, token: NewToken, expires_at: datetime | None = None) -> Token:
        """Keep a new token."""
        same = ("id", "hash", "name", "tenant", "all_tenants", "read_only", "kind")
        row = {name: getattr(token, name) for name in same} | {
            "resources": list(token.resources),
            "others": list(token.others),
            "max_records": token.ceiling.records,
            "max_bytes": token.ceiling.bytes,
            "expires_at": expires_at and expires_at.timestamp(),
        }
        with self._write() as write:
            write.execute(tokens.insert().values(row))
        found = self.token(token.id)
        assert found
        return found

    def find_token(self, hash: str) -> Token | None:  # noqa: A002  # the column's name
        """The token with this hash, be it expired or revoked; None when there is none."""
        with self._look() as read:
            row = read.execute(HASHED, {"sought": hash}).one_or_none()
            return None if row is None else _token(row)

    def find_client(self, client_id: str, hash: str | None = None) -> Token | None:  # noqa: A002  # as above
        """The API client of this id, and if given of this secret's hash, be it expired or revoked; None when there is
        none."""
        wanted = [tokens.c.id == client_id, tokens.c.kind.is_not(None)]
        if hash is not None:
            wanted.append(tokens.c.hash == hash)
        with self._look() as read:
            row = read.execute(_seen().where(*wanted)).one_or_none()
            return None if row is None else _token(row)

    def token(self, token_id: str) -> Token | None:
        """The token or client of this id, be it expired or revoked; None when there is none."""
        with self._look() as read:
            row = read.execute(_seen().where(tokens.c.id == token_id)).one_or_none()
            return None if row is None else _token(row)

    def touch_token(self, token_id: str) -> None:
        """Note that it was used now, at most once a minute."""
        noted = tokens.update().where(tokens.c.id == token_id, _stale()).values(used_at=now())
        with self._jot() as write:
            write.execute(noted)

    def list_tokens(self, *, clients: bool = False) -> tuple[Token, ...]:
        """All tokens, or all API clients, oldest first."""
        wanted = _seen().where(_are(clients)).order_by(tokens.c.created_at, tokens.c.id)
        with self._look() as read:
            return tuple(_token(row) for row in read.execute(wanted))

    def revoke_token(self, token_id: str, *, client: bool = False) -> bool:
        """Whether there was an unrevoked token, or API client, of this id."""
        with self._write() as write:
            return moved(
                write,
                tokens.update()
                .where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None), _are(client))
                .values(revoked_at=now()),
            )

    def forget_linked(self, age: timedelta) -> int:
        """Remove tokens of this age that links to the console have made; gives how many. One that was revoked stays,
        so that what it has asked for does not begin again."""
        old = tokens.c.created_at <= now() - age.total_seconds()
        linked = tokens.c.id.startswith(LINKED, autoescape=True)
        with self._jot() as write:
            gone = write.execute(tokens.delete().where(linked, old, tokens.c.revoked_at.is_(None)))
            return gone.rowcount

    def end_token(self, hash: str, expires_at: float) -> None:  # noqa: A002  # as above
        """From now on no signed token of this hash is good, which would be until `expires_at`, seconds since 1970."""
        with self._write() as write:
            write.execute(ended.delete().where(ended.c.expires_at < now()))
            if not _listed(write, hash):
                write.execute(ended.insert().values(hash=hash, expires_at=expires_at))

    def has_ended(self, hash: str) -> bool:  # noqa: A002  # as above
        """Whether a signed token was ended before its time."""
        with self._look() as read:
            return _listed(read, hash)


def _listed(read: sa.Connection, hash: str) -> bool:  # noqa: A002  # as above
    return read.execute(sa.select(ended.c.hash).where(ended.c.hash == hash)).first() is not None


def _are(clients: bool) -> sa.ColumnElement[bool]:
    return tokens.c.kind.is_not(None) if clients else tokens.c.kind.is_(None)


def _seen() -> sa.Select[Any]:
    expired = sa.and_(tokens.c.expires_at.is_not(None), tokens.c.expires_at <= now())
    closed = sa.exists().where(flags.c.name == CLOSED)
    return sa.select(tokens, expired.label("expired"), _stale().label("stale"), closed.label("closed"))


def _stale() -> sa.ColumnElement[bool]:
    return sa.or_(tokens.c.used_at.is_(None), tokens.c.used_at < now() - USED_EVERY)


# Asked with every request, and kept because to put it together takes longer than to run it.
HASHED = _seen().where(tokens.c.hash == sa.bindparam("sought"), tokens.c.kind.is_(None))


def _token(row: Any) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        tenant=row.tenant,
        all_tenants=row.all_tenants,
        resources=tuple(row.resources),
        read_only=row.read_only,
        created_at=moment(row.created_at),
        expires_at=maybe(row.expires_at),
        revoked_at=maybe(row.revoked_at),
        used_at=maybe(row.used_at),
        expired=bool(row.expired),
        stale=bool(row.stale),
        ceiling=Ceiling(row.max_records, row.max_bytes),
        kind=row.kind,
        others=tuple(row.others or ()),
        closed=bool(row.closed),
    )
