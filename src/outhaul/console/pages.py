"""Pages out of templates, and what every page knows: who looks at it, from where, in which zone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import cache, lru_cache, partial
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from outhaul.console import words
from outhaul.console.words import Clock
from outhaul.export import Caller
from outhaul.filenames import MANIFEST

PREFIX = "/console"
ZONE = "outhaul_zone"  # the cookie in which the page's script tells it
EXACT = "outhaul_utc"  # the cookie of whoever wants to see UTC
NAMED = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}")
# All that a page loads is ours, nothing stands in it that runs, and nobody can put it into a frame. `data:` is for the
# small pictures in Pico's own style sheet.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # with none at all a form would not say where it comes from
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}
STATIC: Mapping[str, str] = {
    "pico.min.css": "text/css",
    "console.css": "text/css",
    "live.js": "text/javascript",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}

# One file, because htmx looks at the page a moment after it was run: what comes later than that, it does not wait for.
JOINED: Mapping[str, Sequence[str]] = {"live.js": ("htmx.min.js", "hx-sse.min.js")}


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who looks at a page. `base`: the address of the service; `root`: what paths of the console begin with
    under the host that the page came from; `caller`: None before the sign-in; `here`: the place within the console
    that was asked for, None where it cannot be asked for again."""

    base: str
    root: str
    clock: Clock
    caller: Caller | None = None
    here: str | None = None

    @property
    def changes(self) -> bool:
        return self.caller is not None and not self.caller.read_only

    @property
    def who(self) -> Caller:
        """Where somebody is signed in."""
        assert self.caller
        return self.caller

    @property
    def admin(self) -> bool:
        return self.caller is not None and self.caller.admin

    @property
    def hooks(self) -> bool:
        """Whether webhooks are for this caller."""
        return self.caller is not None and not self.caller.resources

    @property
    def tenants(self) -> Sequence[str]:
        """Those that the token has a choice of; empty where it has none."""
        caller = self.caller
        return sorted((caller.tenant, *caller.others)) if caller and caller.tenant and caller.others else ()

    @property
    def home(self) -> str:
        """What paths of the service begin with."""
        return self.root.removesuffix(PREFIX)

    @property
    def role(self) -> str:
        return words.role(self.caller) if self.caller else ""


def visit(request: Request, caller: Caller | None = None) -> Visit:
    base: str = request.scope["outhaul.base"]
    clock = Clock(_zone(request.cookies.get(ZONE, "")))
    if request.cookies.get(EXACT):
        clock = Clock(UTC, exact=True)
    return Visit(base, urlsplit(base).path + PREFIX, clock, caller, _here(request))


def _here(request: Request) -> str | None:
    path: str = request.scope["path"]
    if request.method != "GET" or not path.startswith(f"{PREFIX}/"):
        return None
    return path.removeprefix(f"{PREFIX}/") + (f"?{request.url.query}" if request.url.query else "")


def numbered(text: str) -> int:
    """The number of a page as an address has it; 1 for what is none."""
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 8 else 1


@lru_cache(maxsize=500)
def _zone(name: str) -> ZoneInfo:
    """The zone of this name, UTC for what is none here."""
    try:
        return ZoneInfo(name if NAMED.fullmatch(name) else "UTC")
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def page(template: str, visit: Visit, status: int = 200, **known: Any) -> HTMLResponse:
    """The answer that shows a template."""
    return HTMLResponse(rendered(template, visit, **known), status, HEADERS)


def rendered(template: str, visit: Visit, **known: Any) -> str:
    return _templates().get_template(template).render(visit=visit, clock=visit.clock, **known)


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("outhaul.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    shapes: Mapping[str, Callable[..., str]] = {"number": "{:,}".format, "place": partial(quote, safe="")}
    made.filters.update({"size": words.size, "span": words.span, **shapes})
    made.globals.update({"fingerprint": fingerprint, "words": words, "MANIFEST": MANIFEST})
    return made


@cache
def static(name: str) -> bytes:
    folder = files("outhaul.console").joinpath("static")
    return b"\n".join(folder.joinpath(one).read_bytes() for one in JOINED.get(name, (name,)))


@cache
def fingerprint(name: str) -> str:
    """By which a page asks for a static file: another when the file is another, so that it can be kept for ever."""
    return hashlib.sha256(static(name)).hexdigest()[:12]
