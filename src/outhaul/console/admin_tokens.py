"""Tokens on pages: listed, made and shown once, revoked."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from outhaul.ceilings import Ceiling
from outhaul.console.pages import HEADERS, Visit, numbered, page
from outhaul.errors import Misconfigured, NotFound, Refused, WrongState, WrongValue
from outhaul.operating import Operating, Token
from outhaul.service import Exports
from outhaul.sessions import ends

ROWS = 50  # of a page
LONGEST = 200  # characters of a name, a tenant, a resource
# How long a token can be good, in days; 0: until it is revoked.
EXPIRES: Mapping[str, int] = {
    "1 day": 1,
    "7 days": 7,
    "30 days": 30,
    "90 days": 90,
    "1 year": 365,
    "never": 0,
}
USUAL: Mapping[str, str] = {"reach": "tenant", "may": "export", "expires": "90 days"}
MEGABYTE = 1_000_000
ID = re.compile(r"[\w-]{1,80}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Keys:
    """The pages of tokens."""

    operating: Operating
    exports: Exports

    def list(self, request: Request, seen: Visit) -> Response:
        """`q`: what stands in name, id or tenant; `ended`: those that are good no more, too."""
        asked = {name: request.query_params.get(name, "").strip()[:LONGEST] for name in ("q", "ended")}
        every = self.operating.tokens(seen.who)
        found = [one for one in every if (asked["ended"] or not ended(one)) and _like(one, asked["q"])]
        pages = max(1, -(-len(found) // ROWS))
        number = min(pages, numbered(request.query_params.get("page", "")))
        return page(
            "admin-tokens.html",
            seen,
            tokens=found[(number - 1) * ROWS : number * ROWS],
            total=len(found),
            number=number,
            pages=pages,
            asked=asked,
            ended=ended,
            ends=ends,
            now=datetime.now(UTC),
        )

    def ask(self, _: Request, seen: Visit) -> Response:
        self.operating.tokens(seen.who)
        return self._form(seen, USUAL)

    def make(self, request: Request, seen: Visit) -> Response:
        """The answer to the form, and the only place where the token stands: it may be kept nowhere, and to send the
        same form once more makes nothing."""
        form: Mapping[str, str] = request.state.form
        try:
            token, kept = self.operating.make_token(
                seen.who,
                form.get("form", ""),
                _text(form, "name"),
                **_granted(form, self.exports.catalog.resources),
            )
        except WrongState:
            raise
        except (Refused, Misconfigured) as error:
            if not seen.admin:
                raise
            return self._form(seen, form, str(error), 422)
        request.scope["outhaul.audit"]["token"] = kept.id
        return page("admin-token-made.html", seen, token=token, kept=kept)

    def sure(self, request: Request, seen: Visit) -> Response:
        return page("admin-token.html", seen, token=self._known(request, seen), now=datetime.now(UTC))

    def revoke(self, request: Request, seen: Visit) -> Response:
        found = self._known(request, seen)
        self.operating.revoke(seen.who, found.id)
        request.scope["outhaul.audit"]["token"] = found.id
        return RedirectResponse(f"{seen.root}/admin/tokens", 303, HEADERS)

    def _known(self, request: Request, seen: Visit) -> Token:
        of = request.path_params["token_id"]
        found = self.operating.token(seen.who, of) if ID.fullmatch(of) else None
        if found is None:
            raise NotFound("There is no such token.", hint="Look at the list of them.")
        return found

    def _form(self, seen: Visit, given: Mapping[str, str], said: str = "", status: int = 200) -> Response:
        resources = list(self.exports.catalog.resources)
        return page(
            "admin-token-new.html",
            seen,
            status,
            form=secrets.token_hex(4),
            given=given,
            said=said,
            resources=resources,
            expires=list(EXPIRES),
        )


def ended(token: Token) -> str:
    """How it has ended; empty while it is good."""
    return "revoked" if token.revoked_at else "expired" if token.expired else ""


def _granted(form: Mapping[str, str], offered: Collection[str]) -> dict[str, Any]:
    """What the form says that a token may; WrongValue."""
    whole, tenants = form.get("reach") == "all", _names(form.get("tenants", ""))
    if whole and tenants:
        raise WrongValue(
            "A token is for some tenants or for all of them: clear the one, or choose the other."
        )
    if not whole and not tenants:
        raise WrongValue(
            "A token of a tenant must say of which.", hint="Write its id, as your database has it."
        )
    if form.get("expires") not in EXPIRES:
        raise WrongValue("It must be said how long the token is good.")
    resources = tuple(name.removeprefix("resource.") for name in form if name.startswith("resource."))
    if unknown := [one for one in resources if one not in offered]:
        raise WrongValue(f"There is no resource {unknown[0][:LONGEST]!r}.")
    days = EXPIRES[form["expires"]]
    return {
        "tenant": None if whole else tenants[0],
        "others": () if whole else tuple(tenants[1:]),
        "all_tenants": whole,
        "resources": resources,
        "read_only": form.get("may") == "read",
        "ceiling": Ceiling(_number(form, "rows", 1), _number(form, "megabytes", MEGABYTE)),
        "expires_at": datetime.now(UTC) + timedelta(days=days) if days else None,
    }


def _names(text: str) -> list[str]:
    """One a line."""
    found = [one.strip() for one in text.splitlines() if one.strip()]
    if any(len(one) > LONGEST or not one.isprintable() for one in found):
        raise WrongValue(f"The id of a tenant has at most {LONGEST} characters here, which can be printed.")
    return found


def _text(form: Mapping[str, str], name: str) -> str:
    return "".join(one for one in form.get(name, "") if one.isprintable()).strip()[:LONGEST]


def _number(form: Mapping[str, str], name: str, unit: int) -> int | None:
    """None for no limit."""
    text = form.get(name, "").strip().replace(",", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise WrongValue(f"The most {name} must be a whole number, or nothing for no limit.")
    return int(text) * unit


def _like(token: Token, text: str) -> bool:
    told = (token.id, token.name, token.tenant or "", *token.others)
    return any(text.lower() in one.lower() for one in told)
