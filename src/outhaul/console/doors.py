"""Who comes in: sign-in by token or by link, sign-out, and forms that only our own pages can send."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from outhaul.access import Access
from outhaul.console.pages import EXACT, HEADERS, Visit, page, visit
from outhaul.errors import NotAllowed, NotSignedIn
from outhaul.export import Caller
from outhaul.rates import Rate, neighbourhood
from outhaul.sessions import LASTS, Sessions

COOKIE = "outhaul_session"
TENANT = "outhaul_tenant"  # the cookie of a choice, which is worth nothing by itself
TRIES = Rate(10, 60.0)  # of signing in, from one address
PLACE = re.compile(r"(?!/)[A-Za-z0-9/?&=%+._~-]{0,500}")  # within the console, to come back to


class Doors:
    """Sign-in and sign-out."""

    def __init__(self, access: Access, sessions: Sessions) -> None:
        self.access, self.sessions = access, sessions

    def signed_in(self, request: Request) -> Caller:
        """Whose session the request carries; NotSignedIn."""
        wanted = unquote(request.cookies.get(TENANT, ""))
        caller = self.sessions.caller(request.cookies.get(COOKIE, ""), wanted)
        request.scope["outhaul.audit"].update(caller=caller.id, tenant=caller.tenant)
        return caller

    def ask(self, request: Request, _: Mapping[str, str]) -> Response:
        """The page that asks for a token; who is signed in already is let in."""
        seen, back = visit(request), _place(request.query_params.get("next", ""))
        try:
            self.signed_in(request)
        except NotSignedIn:
            return page("sign-in.html", seen, said="", back=back)
        return RedirectResponse(f"{seen.root}/{back}", 303, HEADERS)

    def sign_in(self, request: Request, form: Mapping[str, str]) -> Response:
        """A token that was typed."""
        seen, back = visit(request), _place(form.get("next", ""))
        if refused := self._too_many(request, "sign-in.html", back=back):
            return refused
        try:
            cookie = self.sessions.sign_in(form.get("token", "").strip())
        except NotSignedIn:
            said = "This is no token, or it is not good any more. It begins with oh_."
            return page("sign-in.html", seen, 401, said=said, back=back)
        return self._let_in(request, seen, cookie, back)

    def invited(self, request: Request, _: Mapping[str, str]) -> Response:
        """The page that a link leads to. Only its button uses the link up, so that no program that looks at addresses
        does."""
        return page("enter.html", visit(request), said="", code=request.query_params.get("code", "")[:2000])

    def enter(self, request: Request, form: Mapping[str, str]) -> Response:
        seen = visit(request)
        if refused := self._too_many(request, "enter.html", code=form.get("code", "")[:2000]):
            return refused
        try:
            cookie = self.sessions.enter(form.get("code", ""))
        except NotSignedIn as error:
            return page("enter.html", seen, 401, said=str(error), code="")
        return self._let_in(request, seen, cookie, "")

    def sign_out(self, request: Request, _: Mapping[str, str]) -> Response:
        seen = visit(request)
        try:
            self.signed_in(request)
            self.sessions.end(request.cookies[COOKIE])
        except NotSignedIn:
            pass  # it is what was asked for
        answer = RedirectResponse(f"{seen.root}/sign-in", 303, HEADERS)
        for cookie in (COOKIE, TENANT):
            answer.delete_cookie(cookie, path=seen.root)
        return answer

    def times(self, request: Request, form: Mapping[str, str]) -> Response:
        """All times in UTC from now on, or again in the viewer's zone; for those who cannot point at one."""
        seen, wanted = visit(request), form.get("next", "")
        back = _place(wanted) or _place(wanted.partition("?")[0])
        answer = RedirectResponse(f"{seen.root}/{back}", 303, HEADERS)
        if form.get("utc"):
            _keep(answer, seen, EXACT, "yes")
        else:
            answer.delete_cookie(EXACT, path=seen.root)
        return answer

    def choose(self, request: Request, seen: Visit) -> Response:
        """Another tenant of those that the token is for; what the choice is worth is looked up at each request."""
        assert seen.caller
        wanted = request.state.form.get("tenant", "")
        if wanted not in seen.tenants:
            raise NotAllowed(
                "This token does not reach that tenant.", hint="Choose one of those that it names."
            )
        answer = RedirectResponse(f"{seen.root}/", 303, HEADERS)
        _keep(answer, seen, TENANT, quote(wanted, safe=""))
        return answer

    def _let_in(self, request: Request, seen: Visit, cookie: str, back: str) -> Response:
        caller = self.sessions.caller(cookie)
        request.scope["outhaul.audit"].update(caller=caller.id, tenant=caller.tenant)
        answer = RedirectResponse(f"{seen.root}/{back}", 303, HEADERS)
        _keep(answer, seen, COOKIE, cookie)
        if TENANT in request.cookies:  # the choice of whoever was signed in before
            answer.delete_cookie(TENANT, path=seen.root)
        return answer

    def _too_many(self, request: Request, template: str, **known: str) -> Response | None:
        """The answer to one who has tried too often; None when it is not too often."""
        who = f"{neighbourhood(request.scope['outhaul.client'])} console"
        wait = math.ceil(self.access.let_in({who: TRIES})[who].wait)
        if not wait:
            return None
        said = f"There were too many tries. Wait {wait} s, and try again."
        answer: Response = page(template, visit(request), 429, said=said, **known)
        answer.headers["Retry-After"] = str(wait)
        return answer


def _keep(answer: Response, seen: Visit, name: str, value: str) -> None:
    """A cookie for as long as a session lasts."""
    answer.set_cookie(
        name,
        value,
        max_age=int(LASTS.total_seconds()),
        path=seen.root,
        secure=seen.base.startswith("https://"),
        httponly=True,
        samesite="lax",
    )


def from_here(request: Request) -> None:
    """NotAllowed for a form that no page of ours has sent: what a browser says of where a request comes from, no page
    can change."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin", "")
    hosts = {request.headers.get("host", ""), urlsplit(request.scope["outhaul.base"]).netloc}
    if not (site in {"same-origin", "none"} if site else urlsplit(origin).netloc in hosts - {""}):
        raise NotAllowed(
            "This was not sent by a page of the console.", hint="Open the console, and do it there."
        )


def _place(text: str) -> str:
    return text if PLACE.fullmatch(text) and "//" not in text else ""
