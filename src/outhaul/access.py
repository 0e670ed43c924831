"""Who asks: tokens and API clients made, shown once, kept as hashes, and turned into callers."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from outhaul import scopes
from outhaul.ceilings import UNLIMITED, Ceiling
from outhaul.errors import (
    Misconfigured,
    NotAllowed,
    NotFound,
    NotSignedIn,
    UnderMaintenance,
    WrongValue,
)
from outhaul.export import Caller
from outhaul.issuers import Issuer
from outhaul.ledger import Ledger
from outhaul.ledger.tables import CLOSED
from outhaul.ledger.tokens import NewToken, Token
from outhaul.rates import Bound, Room
from outhaul.signing import Keyring, refusal, stated

PREFIX = "oh_"  # tells people and scanners of leaked secrets what this is
CLIENT, SECRET = "ohc_", "ohs_"
SHAPE = re.compile(r"oh_[A-Za-z0-9_-]{43}")  # 256 random bits
SIGNED = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
# What is kept of whoever changes an export, out of another issuer's claims.
APPLICATION = ("id", "client_id", "kind", "public")
OWNER = ("id", "type", "email", "first_name", "last_name")
MARGIN = timedelta(hours=1)  # for which a retired key is believed longer than its last token can be good

# The kinds of clients that there can be here, with whether they sign in by a secret.
KINDS: Mapping[str, bool] = {"integration": True, "sales_channel": False}
# The kinds that exports are for, our own and others'. A user's rights are in a role that no token tells of.
EXPORTING = frozenset({"integration", "cli"})


@dataclass(frozen=True, slots=True)
class Grant:
    """A signed token that was given to a client; `created_at` in seconds since 1970."""

    token: str
    scope: str
    created_at: int
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Access:
    """The tokens and clients of one ledger. `keys` sign the tokens of clients, which say that `issuer` has made them
    and are good for `lifetime`; `issuers`: others whose tokens are believed."""

    ledger: Ledger
    keys: Keyring | None = None
    issuer: str = ""
    issuers: tuple[Issuer, ...] = ()
    lifetime: timedelta = timedelta(hours=4)
    test: bool = False  # of a service for tests, as its tokens say

    def make_token(
        self,
        name: str,
        *,
        tenant: str | None = None,
        others: tuple[str, ...] = (),
        all_tenants: bool = False,
        resources: tuple[str, ...] = (),
        read_only: bool = False,
        ceiling: Ceiling = UNLIMITED,
        expires_at: datetime | None = None,
        of: str = "",
    ) -> tuple[str, Token]:
        """A new token, in clear for the only time, and what is kept of it. `others`: tenants that it reaches besides
        where its caller can say which. `resources` empty: every resource. `of`: its id, IntegrityError when that is
        taken; else a random one."""
        whose("token", tenant, all_tenants)
        token = PREFIX + secrets.token_urlsafe(32)
        made = NewToken(
            of or secrets.token_hex(4),
            digest(token),
            name,
            tenant,
            all_tenants,
            resources,
            read_only,
            ceiling,
            others=tuple(one for one in dict.fromkeys(others) if one != tenant),
        )
        return token, self.ledger.insert_token(made, expires_at)

    def make_client(
        self,
        name: str,
        kind: str = "integration",
        *,
        tenant: str | None = None,
        all_tenants: bool = False,
        resources: tuple[str, ...] = (),
        read_only: bool = False,
        ceiling: Ceiling = UNLIMITED,
        expires_at: datetime | None = None,
    ) -> tuple[str | None, Token]:
        """A new API client: its secret, in clear for the only time, and what is kept of it. A kind that runs where
        everybody can look into it has none."""
        whose("client", tenant, all_tenants)
        if kind not in KINDS:
            raise Misconfigured(
                f"There is no kind {kind!r}.", hint=f"One of: {', '.join(KINDS)}.", wrong=kind
            )
        secret = SECRET + secrets.token_urlsafe(32)
        made = NewToken(
            CLIENT + secrets.token_hex(12),
            digest(secret),
            name,
            tenant,
            all_tenants,
            resources,
            read_only,
            ceiling,
            kind,
        )
        return secret if KINDS[kind] else None, self.ledger.insert_token(made, expires_at)

    def caller(self, token: str, tenant: str | None = None) -> Caller:
        """Whose token it is; NotSignedIn when it is unknown, expired or revoked, without telling which. `tenant`: the
        one that is asked for, instead of the one that the token is for; NotAllowed when it does not reach it."""
        kept = self.ledger.find_token(digest(token)) if SHAPE.fullmatch(token) else None
        if kept is None or kept.closed:  # one question for both, since every look asks it
            self.open()
        found = self.bearer(self.claims(token)) if SIGNED.fullmatch(token) else self.known(kept)
        return found if tenant is None else _within(found, tenant)

    def claims(self, token: str) -> Mapping[str, Any]:
        """What a signed token says, of ours or of an issuer that is believed; NotSignedIn as above."""
        issuer = stated(token)[1] if SIGNED.fullmatch(token) else ""
        if issuer and issuer == self.issuer and self.keys:
            found = self.keys.claims(token, issuer)
        else:
            other = next((one for one in self.issuers if issuer and one.url == issuer), None)
            if other is None:
                raise refusal()
            found = other.claims(token)
        if self.ledger.has_ended(_ended_by(token)):
            raise refusal()
        return found

    def bearer(self, claims: Mapping[str, Any]) -> Caller:
        """Whom the claims of a believed token are about. Of a client of ours what it may is as the ledger has it now,
        whatever its token says."""
        application, organization = _object(claims, "application"), _object(claims, "organization")
        if claims["iss"] == self.issuer:
            known = self.known(self.ledger.find_client(str(application.get("id"))))
            return replace(known, scopes=scopes.granted(str(claims.get("scope"))))
        tenant, name = organization.get("id"), application.get("id")
        if not isinstance(tenant, str) or not tenant or not isinstance(name, str) or not name:
            raise refusal()
        owner = _object(claims, "owner")
        return Caller(
            id=f"{claims['iss']}/{name}",
            name=name,
            tenant=tenant,
            exports=application.get("kind") in EXPORTING and owner.get("type") != "Customer",
            scopes=scopes.claimed(claims),
            application={one: application[one] for one in APPLICATION if one in application},
            owner={one: owner[one] for one in OWNER if one in owner},
        )

    def open(self) -> None:
        """Raise UnderMaintenance while the doors are closed."""
        if self.ledger.is_up(CLOSED):
            raise UnderMaintenance("The service is under maintenance.", hint="Try again later.")

    def known(self, found: Token | None) -> Caller:
        """Who has this token or client, whose use is noted; NotSignedIn when it is none, expired or revoked."""
        if found is None or found.expired or found.revoked_at:
            raise refusal()
        if found.stale:
            self.ledger.touch_token(found.id)
        return _caller(found)

    def grant(self, client_id: str, secret: str | None, scope: str | None = None) -> Grant:
        """A signed token for a client that proves to be itself; NotSignedIn. WrongValue for a scope that is none."""
        client = self._client(client_id, secret)
        # Commerce Layer's command line joins several by commas.
        granted = (scope or scopes.EVERYTHING).replace(",", " ")
        if not all(scopes.SHAPE.fullmatch(one) for one in granted.split(" ")) or len(granted) > 1_000:
            raise WrongValue(
                "The scope is none.", hint="Write market:id:ID or market:code:CODE.", where=("scope",)
            )
        assert self.keys
        now = int(time.time())
        token = self.keys.sign(_claims(client, granted) | {"test": self.test} | self._times(now))
        if client.stale:
            self.ledger.touch_token(client.id)
        return Grant(token, granted, now, self.lifetime)

    def end(self, client_id: str, secret: str | None, token: str) -> None:
        """End a signed token before its time; NotAllowed to anyone but the client that it was given to. What is no
        token any more needs no end."""
        try:
            client = self._client(client_id, secret)
        except NotSignedIn:
            raise NotAllowed("You are not authorized to revoke this token") from None
        try:
            claims = self.claims(token)
        except NotSignedIn:
            return
        if claims["iss"] != self.issuer or _object(claims, "application").get("id") != client.id:
            raise NotAllowed("You are not authorized to revoke this token")
        self.ledger.end_token(_ended_by(token), float(claims["exp"]))

    def _client(self, client_id: str, secret: str | None) -> Token:
        found = self.ledger.find_client(client_id)
        if found and KINDS.get(found.kind or "", True):
            found = self.ledger.find_client(client_id, digest(secret)) if secret else None
        if found is None or found.expired or found.revoked_at:
            raise NotSignedIn("The client is not known, or this is not its secret.")
        return found

    def _times(self, now: int) -> dict[str, Any]:
        noise = secrets.randbelow(1 << 53) / (1 << 53)  # two tokens of one second differ
        return {
            "iss": self.issuer,
            "iat": now,
            "exp": now + int(self.lifetime.total_seconds()),
            "rand": noise,
        }

    def public_keys(self) -> Mapping[str, Any]:
        """What tokens of ours can be checked with: a JSON Web Key Set."""
        return self.keys.public() if self.keys else {"keys": []}

    def maintain(self, *, on: bool) -> bool:
        """Close the doors of every process of this ledger, or open them; False when they were so already."""
        return self.ledger.put_up(CLOSED) if on else self.ledger.take_down(CLOSED)

    def rotate_keys(self) -> None:
        """Sign with a new key; the old ones are believed for as long as a token signed by them can be good."""
        assert self.keys
        self.keys.rotate(self.lifetime + MARGIN)

    def let_in(self, wanted: Mapping[str, Bound]) -> Mapping[str, Room]:
        """Whether one more request is let in under each of these rates, over all processes, and what is left."""
        return self.ledger.let_in(wanted)

    def list_tokens(self) -> tuple[Token, ...]:
        """All tokens that were made, oldest first."""
        return self.ledger.list_tokens()

    def list_clients(self) -> tuple[Token, ...]:
        """All API clients that were made, oldest first."""
        return self.ledger.list_tokens(clients=True)

    def revoke(self, token_id: str) -> None:
        """End a token at once; NotFound when there is none of that id that could be ended."""
        if not self.ledger.revoke_token(token_id):
            raise NotFound(
                f"There is no valid token {token_id!r}.", hint="See them: outhaul token list.", wrong=token_id
            )

    def revoke_client(self, client_id: str) -> None:
        """End an API client and every token that it was given; NotFound as above."""
        if not self.ledger.revoke_token(client_id, client=True):
            raise NotFound(
                f"There is no valid client {client_id!r}.",
                hint="See them: outhaul client list.",
                wrong=client_id,
            )


def digest(token: str) -> str:
    """What is kept of a token, and looked up: how long a comparison takes tells of this digest at most, and from a
    SHA-256 of 256 random bits there is no way back."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _ended_by(token: str) -> str:
    """The digest of what is signed of a signed token: there are other ways to write the same signature down."""
    return digest(token.rpartition(".")[0])


def slug(tenant: str | None) -> str:
    """A tenant's id as it can stand in a host's name; `all` for None and where nothing of it can."""
    return re.sub(r"[^a-z0-9]+", "-", (tenant or "").lower()).strip("-") or "all"


def whose(what: str, tenant: str | None, all_tenants: bool) -> None:
    """Misconfigured unless it is said for whom a token, client or link is."""
    if (tenant is None) is not all_tenants:
        raise Misconfigured(
            f"A {what} is for one tenant or for all of them.", hint="Say either --tenant ID or --all-tenants."
        )


def _within(caller: Caller, tenant: str) -> Caller:
    if not caller.all_tenants and tenant not in (caller.tenant, *caller.others):
        raise NotAllowed("This token does not reach that tenant.", wrong=tenant[:100])
    return replace(caller, tenant=tenant, all_tenants=False, others=())


def _caller(token: Token) -> Caller:
    return Caller(
        id=token.id,
        name=token.name,
        tenant=token.tenant,
        all_tenants=token.all_tenants,
        others=token.others,
        resources=token.resources,
        read_only=token.read_only,
        ceiling=token.ceiling,
        exports=token.kind is None or token.kind in EXPORTING,
        application={"kind": token.kind, "public": not KINDS.get(token.kind, True)} if token.kind else {},
    )


def _object(claims: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = claims.get(name)
    return found if isinstance(found, Mapping) else {}


def _claims(client: Token, scope: str) -> dict[str, Any]:
    """What a token of this client says of it, as Commerce Layer's clients read it."""
    secretive = KINDS.get(client.kind or "", True)
    claims: dict[str, Any] = {
        "organization": {
            "id": client.tenant or "",
            "slug": slug(client.tenant),
            "enterprise": False,
            "region": "self-hosted",
        },
        "application": {
            "id": client.id,
            "client_id": client.id,
            "kind": client.kind,
            "public": not secretive,
            "confidential": secretive,
        },
        "scope": scope,
    }
    named = {one.kind: list(one.values) for one in scopes.granted(scope) if one.by == "id"}
    if named.keys() & {"market", "stock_location"}:
        claims["market"] = {
            "id": named.get("market", []),
            "price_list_id": None,
            "stock_location_ids": named.get("stock_location", []),
            "geocoder_id": None,
            "allows_external_prices": False,
        }
    return claims
