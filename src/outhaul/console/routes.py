"""The console's addresses: who may look, what is shown, what is done."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qsl, quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from outhaul import errors
from outhaul.access import Access
from outhaul.console import creating, listing, offering, showing
from outhaul.console.admin import Admin
from outhaul.console.admin_audit import Log
from outhaul.console.admin_tokens import Keys
from outhaul.console.admin_webhooks import Hooks
from outhaul.console.doors import COOKIE, Doors, from_here
from outhaul.console.live import Look, Looks, stream
from outhaul.console.pages import (
    HEADERS,
    PREFIX,
    STATIC,
    Visit,
    fingerprint,
    numbered,
    page,
    rendered,
    static,
    visit,
)
from outhaul.console.people import People
from outhaul.errors import NotFound, NotSignedIn, OuthaulError, TooMuch
from outhaul.estimates import Estimates
from outhaul.export import Caller
from outhaul.operating import Operating
from outhaul.register import key
from outhaul.sending import sent
from outhaul.service import Exports
from outhaul.sessions import Sessions
from outhaul.turns import waiting

__all__ = ["PREFIX", "build"]

LARGEST = 10_000  # bytes of a form
ADMINS = 200_000  # of an admin's, in which every resource may be ticked
FIELDS = 10_000  # of a form
KEPT = "public, max-age=31536000, immutable"
STATUSES: Mapping[type[OuthaulError], int] = {
    errors.NotSignedIn: 401,
    errors.NotAllowed: 403,
    errors.NotFound: 404,
    errors.WrongState: 409,
    errors.Gone: 410,
    errors.TooMuch: 413,
    errors.BadRange: 416,
    errors.Refused: 422,
    errors.NoRoom: 503,
    errors.UnderMaintenance: 503,
    errors.SourceError: 503,
    errors.StoreError: 503,
    errors.OuthaulError: 500,
}
Form = Mapping[str, str]
Call = Callable[[Request, Form], Response]
Seen = Callable[[Request, Visit], Response]

log = logging.getLogger("outhaul.console")


def build(
    exports: Exports,
    access: Access,
    sessions: Sessions,
    operating: Operating,
    estimates: Estimates,
    *,
    typed: Mapping[str, showing.Typed],
    register: bool = False,
) -> ASGIApp:
    """The console as an app of its own, to be mounted under PREFIX. `typed`: by the names of dialects, how
    their exports are asked for once more; `register`: whether there is a public one."""
    doors, people = Doors(access, sessions), People(access)
    console = Console(exports, people, doors, Looks(), typed, register)
    admin = Admin(operating, Keys(operating, exports), Log(operating, people), Hooks(exports))
    only = console.signed_in
    new = creating.New(exports, estimates)
    export = "/exports/{export_id}"
    app = Starlette(
        routes=[
            Route("/", _get(only(console.list, back=True))),
            Route("/live", _get(only(console.list_live))),
            Route(export, _get(only(console.show, back=True))),
            Route(f"{export}/live", _get(only(console.show_live))),
            Route(f"{export}/files/{{name}}", _get(only(console.file)), methods=["GET", "HEAD"]),
            Route(f"{export}/delete", _get(only(console.sure, back=True))),
            Route(f"{export}/{{move}}", _post(only(console.move)), methods=["POST"]),
            Route("/new", _get(only(new.choose, back=True))),
            Route("/new/{name:path}", _get(only(new.blank, back=True))),
            Route("/new/{name:path}", _post(only(new.answer), creating.LARGEST), methods=["POST"]),
            Route("/catalog", _get(only(console.catalog, back=True))),
            Route("/catalog/{name:path}", _get(only(console.resource, back=True))),
            Route("/tenant", _post(only(doors.choose)), methods=["POST"]),
            Route("/admin/queue/live", _get(only(partial(console.live, admin.fragment)))),
            *(Route(path, _get(only(call, back=True))) for path, call in admin.pages.items()),
            *(Route(path, _post(only(call), ADMINS), methods=["POST"]) for path, call in admin.forms.items()),
            Route("/sign-in", _get(doors.ask)),
            Route("/sign-in", _post(doors.sign_in), methods=["POST"]),
            Route("/enter", _get(doors.invited)),
            Route("/enter", _post(doors.enter), methods=["POST"]),
            Route("/sign-out", _post(doors.sign_out), methods=["POST"]),
            Route("/times", _post(doors.times), methods=["POST"]),
            Route("/static/{name}", _get(_static)),
        ],
        exception_handlers={HTTPException: console.nowhere},
    )
    app.router.redirect_slashes = False
    return app


@dataclass(frozen=True, slots=True)
class Console:
    """What its pages show and do."""

    exports: Exports
    people: People
    doors: Doors
    looks: Looks
    typed: Mapping[str, showing.Typed]
    register: bool

    def signed_in(self, call: Seen, *, back: bool = False) -> Call:
        """The call for who is signed in. Others are refused, or with `back` asked to sign in, and brought back then."""

        def answer(request: Request, _: Form) -> Response:
            try:
                caller = self.doors.signed_in(request)
            except NotSignedIn:
                if not back:
                    raise
                return _to_sign_in(request)
            self.exports.may(caller)
            request.state.visit = visit(request, caller)
            return call(request, request.state.visit)

        return answer

    def list(self, request: Request, seen: Visit) -> Response:
        asked = listing.wanted(request.query_params)
        known = self._listed(seen, asked, anew=True)
        assert seen.caller
        resources = [one.name for one in offering.visible(self.exports.catalog, seen.caller)]
        return page(
            "list.html", seen, asked=asked, listed=known, resources=resources, statuses=listing.STATUSES
        )

    def list_live(self, request: Request, seen: Visit) -> Response:
        asked = listing.wanted(request.query_params)
        key = ("list", asked.address(page=asked.page), *_eyes(seen))

        def make() -> Look:
            return Look(rendered("_list.html", seen, asked=asked, listed=self._listed(seen, asked)))

        return self._stream(request, seen, key, make)

    def show(self, request: Request, seen: Visit) -> Response:
        found = self._shown(request, seen, anew=True)
        again = showing.again(found.export, seen.base, self.typed)
        return page("export.html", seen, shown=found, wishes=showing.wishes(found.export), again=again)

    def show_live(self, request: Request, seen: Visit) -> Response:
        pages = _number(request), numbered(request.query_params.get("files", ""))
        key = ("export", request.path_params["export_id"], *pages, *_eyes(seen))
        self._shown(request, seen)

        def make() -> Look:
            try:
                found = self._shown(request, seen)
            except NotFound:
                return _instead(seen, "This export has been deleted.", "", "All exports")
            return Look(rendered("_export.html", seen, shown=found), last=found.ended)

        return self._stream(request, seen, key, make)

    def file(self, request: Request, seen: Visit) -> Response:
        """A file by an address that stays the same for as long as it is kept, to be resumed by ranges."""
        assert seen.caller
        found = self.exports.file(seen.caller, request.path_params["export_id"], request.path_params["name"])
        request.scope["outhaul.audit"].update(export=found.export, range=request.headers.get("range"))
        return sent(found, request)

    def sure(self, request: Request, seen: Visit) -> Response:
        return page("delete.html", seen, shown=self._shown(request, seen))

    def move(self, request: Request, seen: Visit) -> Response:
        """Interrupt, start or delete."""
        assert seen.caller
        of, name = request.path_params["export_id"], request.path_params["move"]
        moves: Mapping[str, Callable[[Caller, str], object]] = {
            "interrupt": self.exports.interrupt,
            "start": self.exports.start,
            "delete": self.exports.delete,
        }
        if name not in moves:
            raise NotFound("There is nothing at this address.")
        moves[name](seen.caller, of)
        request.scope["outhaul.audit"]["export"] = of
        return RedirectResponse(f"{seen.root}/" + ("" if name == "delete" else f"exports/{of}"), 303, HEADERS)

    def catalog(self, request: Request, seen: Visit) -> Response:
        assert seen.caller
        search, catalog = request.query_params.get("q", "").strip()[: listing.LONGEST], self.exports.catalog
        found = offering.visible(catalog, seen.caller, search)
        hidden = offering.hidden(catalog, seen.caller)
        return page(
            "catalog.html",
            seen,
            resources=found,
            hidden=hidden,
            search=search,
            register=self.register,
            key=key,
        )

    def resource(self, request: Request, seen: Visit) -> Response:
        assert seen.caller
        found = offering.offered(self.exports.catalog, seen.caller, request.path_params["name"])
        return page("resource.html", seen, offered=found, kind=offering.kind, key=key(found.resource))

    def live(self, fragment: Callable[[Visit], str], request: Request, seen: Visit) -> Response:
        """A part of a page that is sent again when it has changed; refused to whom the page is."""
        fragment(seen)
        return self._stream(request, seen, (request.url.path, *_eyes(seen)), lambda: Look(fragment(seen)))

    async def nowhere(self, request: Request, error: Exception) -> Response:
        """What no address leads to."""
        assert isinstance(error, HTTPException)

        def answer(request: Request, _: Form) -> Response:
            with suppress(NotSignedIn):
                request.state.visit = visit(request, self.doors.signed_in(request))
            raise NotFound("There is nothing at this address.")

        found = await run_in_threadpool(_answered, answer, request, {})
        if found.status_code == 404:
            found.status_code = error.status_code
            found.headers.update(error.headers or {})
        return found

    def _stream(self, request: Request, seen: Visit, key: Hashable, make: Callable[[], Look]) -> Response:
        assert seen.caller
        return stream(request, self.looks, seen.caller.id, key, make, lambda: self._over(request, seen))

    def _listed(self, seen: Visit, asked: listing.Wanted, *, anew: bool = False) -> listing.Listed:
        assert seen.caller
        names = self.people.names(seen.caller, anew=anew)
        return listing.listed(self.exports, names, seen.caller, asked, seen.clock)

    def _shown(self, request: Request, seen: Visit, *, anew: bool = False) -> showing.Shown:
        assert seen.caller
        names, of = self.people.names(seen.caller, anew=anew), request.path_params["export_id"]
        leaf = numbered(request.query_params.get("files", ""))
        return showing.shown(self.exports, names, seen.caller, of, _number(request), leaf)

    def _over(self, request: Request, seen: Visit) -> Look | None:
        """What to show to somebody who is signed in no longer."""
        try:
            self.doors.sessions.caller(request.cookies.get(COOKIE, ""))
        except NotSignedIn:
            return _instead(seen, "You are signed in no longer.", "sign-in", "Sign in")
        return None


def _instead(seen: Visit, said: str, to: str, link: str) -> Look:
    return Look(rendered("_instead.html", seen, said=said, to=to, link=link), last=True)


def _eyes(seen: Visit) -> tuple[Hashable, ...]:
    """Whoever has the same sees the same."""
    assert seen.caller
    one = seen.caller
    return (one.tenant, one.all_tenants, one.resources, one.read_only, seen.base, seen.clock)


def _number(request: Request) -> int:
    """The page of parts that is asked for."""
    return numbered(request.query_params.get("parts", ""))


Answer = Callable[[Request], Awaitable[Response]]


def _get(call: Call) -> Answer:
    async def answer(request: Request) -> Response:
        return await run_in_threadpool(_answered, call, request, {})

    return answer


def _post(call: Call, most: int = LARGEST) -> Answer:
    async def answer(request: Request) -> Response:
        raw = bytearray()
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > most:
                return _refused(request, TooMuch(f"A form has at most {most:,} bytes."))

        def sent_from_here(request: Request, _: Form) -> Response:
            from_here(request)
            request.state.fields = _fields(raw.decode("utf-8", "replace"))
            request.state.form = {name: value for name, value in request.state.fields if value}
            return call(request, request.state.form)

        return await waiting(partial(_answered, sent_from_here, request, {}))

    return answer


def _fields(body: str) -> list[tuple[str, str]]:
    """Names and values as they were sent, also those without any; TooMuch."""
    try:
        return parse_qsl(body, keep_blank_values=True, max_num_fields=FIELDS)
    except ValueError:
        raise TooMuch(f"A form has at most {FIELDS:,} fields.") from None


def _answered(call: Call, request: Request, form: Form) -> Response:
    try:
        return call(request, form)
    except OuthaulError as error:
        return _refused(request, error)
    except Exception:
        trace = request.scope["outhaul.trace"]
        log.exception("request %s failed", trace)
        return _refused(request, OuthaulError(f"Something went wrong on our side. Mention {trace[:16]}."))


def _refused(request: Request, error: OuthaulError) -> Response:
    """The error as a page; what is the operator's own is told to whoever sees everything."""
    seen: Visit = getattr(request.state, "visit", None) or visit(request)
    if error.outside:
        log.warning("request %s: %s", request.scope["outhaul.trace"], error)
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    openly = seen.caller is not None and seen.caller.all_tenants
    said = str(error) if openly else error.outside or str(error)
    of = request.path_params.get("export_id") if status != STATUSES[NotFound] else None
    answer: Response = page("error.html", seen, status, title=error.title, said=said, of=of)
    if isinstance(error, errors.BadRange):
        answer.headers["Content-Range"] = f"bytes */{error.facts['length']}"
    return answer


def _to_sign_in(request: Request) -> Response:
    seen = visit(request)
    back = request.scope["path"].removeprefix(PREFIX).lstrip("/")
    if request.url.query:
        back += f"?{request.url.query}"
    return RedirectResponse(
        f"{seen.root}/sign-in" + (f"?next={quote(back, safe='')}" if back else ""), 303, HEADERS
    )


def _static(request: Request, _: Form) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        raise NotFound("There is nothing at this address.")
    headers = {**HEADERS, "ETag": f'"{fingerprint(name)}"', "Cache-Control": KEPT}
    return Response(static(name), headers=headers, media_type=STATIC[name])
