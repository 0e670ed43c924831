"""Sessions of people at the console: begun by a token, or by a link that works once, and kept in a signed cookie."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from itsdangerous import BadData, URLSafeTimedSerializer
from sqlalchemy.exc import IntegrityError

from outhaul.access import SHAPE, Access, digest, whose
from outhaul.errors import NotSignedIn
from outhaul.export import Caller
from outhaul.ledger import LINKED, NewToken, Token

LASTS = timedelta(hours=12)  # a working day
INVITED = timedelta(minutes=15)
NAME = "console"  # of the token that is behind a link


class Sessions:
    """Who is signed in. A session is worth what its token is worth at that moment, and ends with it. `keys`: as those
    of the links to files."""

    def __init__(self, access: Access, keys: Sequence[str]) -> None:
        self._access = access
        self._cookies = _signer(keys, "outhaul.session")
        self._links = _signer(keys, "outhaul.invitation")

    def sign_in(self, token: str) -> str:
        """The cookie of a new session; NotSignedIn for what is no token that `outhaul token create` has made."""
        if not SHAPE.fullmatch(token):
            raise NotSignedIn("This is no token, or it is not good any more.")
        return self._begun(self._access.caller(token).id)

    def invite(
        self,
        *,
        tenant: str | None = None,
        all_tenants: bool = False,
        resources: tuple[str, ...] = (),
        read_only: bool = False,
    ) -> str:
        """What makes a link that signs in once, within INVITED; nothing is kept of it until then."""
        whose("link", tenant, all_tenants)
        of = LINKED + secrets.token_hex(6)
        return str(self._links.dumps([of, tenant, all_tenants, resources, read_only]))

    def enter(self, code: str) -> str:
        """The cookie of a new session, by an invitation; NotSignedIn when it is none, too old or was used;
        UnderMaintenance, which does not use it up. There is a token behind it, whose text nobody has, to be listed and
        revoked as any other, and forgotten when no session of it can be left."""
        self._access.open()
        try:
            of, tenant, all_tenants, resources, read_only = self._links.loads(code, _seconds(INVITED))
        except (BadData, ValueError, TypeError):
            raise NotSignedIn("This link is none, or its time is over.", hint="Make a new one.") from None
        unknown = digest(secrets.token_urlsafe(32))
        made = NewToken(of, unknown, NAME, tenant, all_tenants, tuple(resources), read_only)
        try:
            self._access.ledger.insert_token(made)
        except IntegrityError:
            raise NotSignedIn("This link has been used.", hint="Make a new one.") from None
        return self._begun(of)

    def caller(self, cookie: str, tenant: str = "") -> Caller:
        """Whose session it is; NotSignedIn when it is none, is over, was ended, or its token was; UnderMaintenance.
        `tenant`: of those that its token names, the one that is asked for; else the first."""
        self._access.open()
        of, session = self._read(cookie)
        if self._access.ledger.has_ended(session):
            raise NotSignedIn("You have signed out.")
        found = self._access.known(self._access.ledger.token(of))
        if tenant not in found.others:
            return found
        others = tuple(one for one in (found.tenant, *found.others) if one and one != tenant)
        return replace(found, tenant=tenant, others=others)

    def end(self, cookie: str) -> None:
        """Sign out: from now on the cookie is worth nothing, whoever has it."""
        self.caller(cookie)
        self._access.ledger.end_token(self._read(cookie)[1], time.time() + LASTS.total_seconds())

    def _read(self, cookie: str) -> tuple[str, str]:
        """The token's id, and by what the session is ended: what is signed, because there are other ways to write the
        same signature down."""
        try:
            of, nonce = self._cookies.loads(cookie, _seconds(LASTS))
        except (BadData, ValueError, TypeError):
            raise NotSignedIn("You are not signed in, or no longer.") from None
        return of, digest(f"session {of} {nonce}")

    def _begun(self, token_id: str) -> str:
        # The second member makes each session another, so that to end one ends no other.
        return str(self._cookies.dumps([token_id, secrets.token_hex(8)]))


def ends(token: Token) -> datetime | None:
    """When a token is good no more; None: never. One behind a link is forgotten when no session of it can be left."""
    return token.created_at + LASTS if token.id.startswith(LINKED) else token.expires_at


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())


def _signer(keys: Sequence[str], salt: str) -> URLSafeTimedSerializer:
    kind = {"digest_method": hashlib.sha256}
    return URLSafeTimedSerializer(list(reversed(keys)), salt=salt, signer_kwargs=kind)
