"""Who asks: tokens made, shown once, kept as hashes, and turned into callers."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from outhaul.ceilings import UNLIMITED, Ceiling
from outhaul.errors import Misconfigured, NotFound, NotSignedIn
from outhaul.export import Caller
from outhaul.ledger import Ledger
from outhaul.ledger.tokens import NewToken, Token

PREFIX = "oh_"  # tells people and scanners of leaked secrets what this is
SHAPE = re.compile(r"oh_[A-Za-z0-9_-]{43}")  # 256 random bits


@dataclass(frozen=True, slots=True)
class Access:
    """The tokens of one ledger."""

    ledger: Ledger

    def make_token(
        self,
        name: str,
        *,
        tenant: str | None = None,
        all_tenants: bool = False,
        resources: tuple[str, ...] = (),
        read_only: bool = False,
        ceiling: Ceiling = UNLIMITED,
        expires_at: datetime | None = None,
    ) -> tuple[str, Token]:
        """A new token, in clear for the only time, and what is kept of it. `resources` empty: every resource."""
        if (tenant is None) is not all_tenants:
            raise Misconfigured(
                "A token is for one tenant or for all of them.",
                hint="Say either --tenant ID or --all-tenants.",
            )
        token = PREFIX + secrets.token_urlsafe(32)
        made = NewToken(
            secrets.token_hex(4), digest(token), name, tenant, all_tenants, resources, read_only, ceiling
        )
        return token, self.ledger.insert_token(made, expires_at)

    def caller(self, token: str) -> Caller:
        """Whose token it is; NotSignedIn when it is unknown, expired or revoked, without telling which."""
        found = self.ledger.find_token(digest(token)) if SHAPE.fullmatch(token) else None
        if found is None or found.expired or found.revoked_at:
            raise NotSignedIn("The token is not valid.", hint="Make one: outhaul token create.")
        self.ledger.touch_token(found.id)
        return _caller(found)

    def list_tokens(self) -> tuple[Token, ...]:
        """All tokens that were made, oldest first."""
        return self.ledger.list_tokens()

    def revoke(self, token_id: str) -> None:
        """End a token at once; NotFound when there is none of that id that could be ended."""
        if not self.ledger.revoke_token(token_id):
            raise NotFound(
                f"There is no valid token {token_id!r}.", hint="See them: outhaul token list.", wrong=token_id
            )


def digest(token: str) -> str:
    """What is kept of a token, and looked up: how long a comparison takes tells of this digest at most, and from a
    SHA-256 of 256 random bits there is no way back."""
    return hashlib.sha256(token.encode()).hexdigest()


def _caller(token: Token) -> Caller:
    return Caller(
        id=token.id,
        name=token.name,
        tenant=token.tenant,
        all_tenants=token.all_tenants,
        resources=token.resources,
        read_only=token.read_only,
        ceiling=token.ceiling,
    )
