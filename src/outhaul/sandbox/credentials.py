"""Who may ask in a sandbox: clients whose ids and secrets follow from the seed, and tokens for them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta

from outhaul.access import CLIENT, SECRET, Access, digest
from outhaul.ledger.tokens import NewToken
from outhaul.sandbox.shop import ORGANIZATIONS

HOME, OTHER = ORGANIZATIONS
PAST = timedelta(hours=-1)  # the lifetime of a token that has expired


@dataclass(frozen=True, slots=True)
class Client:
    """A client of the sandbox; everybody can know its secret, who knows the seed."""

    name: str
    seed: str
    tenant: str
    kind: str = "integration"

    @property
    def id(self) -> str:
        return CLIENT + self._drawn("id").hex()[:24]

    @property
    def secret(self) -> str | None:
        if self.kind == "sales_channel":
            return None
        return SECRET + base64.urlsafe_b64encode(self._drawn("secret")).decode().rstrip("=")

    def _drawn(self, what: str) -> bytes:
        return hashlib.sha256(f"outhaul sandbox/{self.seed}/{self.name}/{what}".encode()).digest()

    def make(self, access: Access) -> None:
        """Let it in."""
        hashed = digest(self.secret or self._drawn("none").hex())
        made = NewToken(self.id, hashed, self.name, self.tenant, all_tenants=False, kind=self.kind)
        access.ledger.insert_token(made)

    def token(self, access: Access) -> str:
        """A signed token for it, as `/oauth/token` gives them."""
        return access.grant(self.id, self.secret).token


def credentials(access: Access, seed: str) -> dict[str, str | None]:
    """Makes the clients of the dialect of Commerce Layer, and says what to sign in with."""
    mine = Client("integration", seed, HOME)
    channel = Client("sales channel", seed, HOME, "sales_channel")
    other = Client("integration next door", seed, OTHER)
    for client in (mine, channel, other):
        client.make(access)
    return {
        "organization": HOME,
        "access_token": mine.token(access),
        "client_id": mine.id,
        "client_secret": mine.secret,
        "expired_token": mine.token(replace(access, lifetime=PAST)),
        "sales_channel_token": channel.token(access),
        "other_organization_token": other.token(access),
    }
