"""The one place where things are put together: ledger, store, engine, reconciler, service and the web app."""

from __future__ import annotations

import gc
import logging
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from outhaul import engines, health, hiding, register, siblings, sources, stores, trims
from outhaul.access import Access
from outhaul.address import Address
from outhaul.audit import Audit
from outhaul.catalog import Catalog
from outhaul.ceilings import Ceiling
from outhaul.config import LIMITS, SIGNING, Settings, prepare, redact, secret_keys, words
from outhaul.errors import Misconfigured
from outhaul.estimates import Estimates
from outhaul.issuers import Issuer
from outhaul.ledger import Ledger
from outhaul.ledger import Terms as LedgerTerms
from outhaul.operating import Limit, Operating, Workers
from outhaul.reconcile import Loop
from outhaul.service import LINKS, Exports, Terms
from outhaul.signing import Keyring
from outhaul.webhooks import Courier

if TYPE_CHECKING:
    from starlette.types import ASGIApp

NO_SECTION = "It takes no section of the catalog file."
DIALECTS = "outhaul.dialects"  # by name: to load them takes longer than a small export
SWITCH = 0.0005  # seconds one thread computes while others wait: at 0.005 looks stand behind creations
TRANSFERS = 4  # seconds that open transfers are given at the end; they go on by range elsewhere
WORKERS = 14.0  # seconds for workers to give back what they run: with the above, all is over in 20


def reflect(settings: Settings) -> Catalog:
    """Everything that is in the source."""
    url = settings.require_source()
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise Misconfigured(
            f"{redact(url)!r} is no address of a database.",
            hint="Write it as sqlite:///my.db or postgresql://user@host/name.",
        )
    found: Catalog = siblings.load(sources, scheme).reflect(url)
    return found


def offered(settings: Settings, reflected: Catalog) -> Catalog:
    """What may be exported: what the catalog file names, or without one all that looks harmless."""
    if settings.catalog is None:
        return hiding.offered(reflected)
    return trims.load(settings.catalog, reflected, siblings.names(DIALECTS))


def differences(path: Path, reflected: Catalog) -> tuple[str, ...]:
    """Where the database is no longer what the catalog file was written for; and if it still is, what the dialects
    miss in their sections of it. In words, one each."""
    from outhaul import dialects

    names = siblings.names(DIALECTS)
    found = tuple(map(str, trims.check(path, reflected, names)))
    if found:
        return found
    catalog = trims.load(path, reflected, names)
    loaded = {name: siblings.load(dialects, name) for name in catalog.sections}
    return tuple(
        f"{name}: {said}"
        for name, dialect in loaded.items()
        for said in (dialect.check(catalog) if hasattr(dialect, "check") else (NO_SECTION,))
    )


class Outhaul:
    """All that runs behind the doors, begun and ended as one. `exports` is the service, `access` who may use it;
    `ahead`: workers that are started before there is work for them, None for all; `rows_per_second`: how many rows a
    worker reads at most, None for no limit."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        *,
        ahead: int | None = None,
        rows_per_second: int | None = None,
    ) -> None:
        prepare(settings.state)
        self._ahead = ahead
        self._rows_per_second = rows_per_second
        source_url = settings.require_source()
        self.settings = settings
        self.catalog = catalog
        self._scratch = settings.state.absolute() / "scratch"
        self._terms = _ledger_terms(settings)
        self.ledger = Ledger(settings.ledger_url, self._terms)
        self.audit = Audit(settings.audit_folder)
        self.store = siblings.load(stores, settings.store_url.partition(":")[0]).open_store(
            settings.store_url
        )
        self.engine = self._children("outhaul.worker", settings.workers)
        self.access = Access(
            self.ledger,
            keys=Keyring(settings.state / SIGNING),
            issuers=tuple(map(Issuer, settings.trusted_issuers)),
            lifetime=settings.token_lifetime,
            test=settings.mode == "test",
        )
        self.exports = Exports(
            ledger=self.ledger,
            source_url=source_url,
            catalog=catalog,
            store=self.store,
            keys=secret_keys(settings.state),
            terms=_terms(settings),
            nudge=self.nudge,
        )
        self.estimates = Estimates(self.exports, source_url, settings.workers)
        self.loop = Loop(self.ledger, self.engine, self.store, self.exports.check)
        self._open = ExitStack()

    def nudge(self) -> None:
        self.loop.nudge()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            opened.enter_context(self.ledger)
            opened.callback(self.audit.close)
            self.ledger.migrate()
            shutil.rmtree(self._scratch, ignore_errors=True)  # copies that a killed worker has left
            self._scratch.mkdir(mode=0o700)
            if siblings.load(sources, self.catalog.source).SHARED:
                opened.enter_context(self._children("outhaul.snapshots", 1))
            self.engine.start()
            opened.callback(self.engine.close, WORKERS)
            opened.enter_context(self.loop)
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _children(self, module: str, slots: int) -> Any:
        """An engine of processes that are told by their standard input, never by arguments, where everything is."""
        config = {
            "ledger": self.settings.ledger_url,
            "source": self.settings.require_source(),
            "store": self.settings.store_url,
            "terms": self._terms.to_data(),
            "scratch": str(self._scratch),
            "copy_bytes": self.settings.sqlite_copy,
            "hold": self.settings.sqlite_hold,
            "rows_per_second": self._rows_per_second,
        }
        argv = [sys.executable, "-m", module]
        return siblings.load(engines, "local").Engine(argv, slots, config, self.nudge, self._ahead)


def _ledger_terms(settings: Settings) -> LedgerTerms:
    return LedgerTerms(
        lease=settings.lease,
        pause=settings.retry_pause,
        kept=settings.instant_kept,
        instant=settings.instant_limit,
        retention=settings.retention,
        window=settings.window,
    )


def _terms(settings: Settings) -> Terms:
    return Terms(
        count_timeout=settings.count_timeout,
        min_free=settings.min_free,
        part_bytes=settings.part_bytes,
        ceiling=Ceiling(settings.max_records, settings.max_bytes),
        link_lifetime=settings.link_lifetime,
        webhook_networks=settings.webhook_networks,
        most=settings.window if settings.window_refuses else None,
    )


def web(outhaul: Outhaul, own: str) -> ASGIApp:
    """Every dialect in its place, the console, and the signed links. `own`: the address we listen on."""
    from starlette.routing import BaseRoute, Mount, Router

    from outhaul import console, dialects
    from outhaul.sessions import Sessions

    settings, access = outhaul.settings, _issuing(outhaul, own)
    found = [siblings.load(dialects, name) for name in siblings.names(dialects)]
    for name in outhaul.catalog.sections:
        if not hasattr(siblings.load(dialects, name), "check"):
            raise Misconfigured(f"{name}: {NO_SECTION}", hint="Take it out.", wrong=name)
    routes: list[BaseRoute] = []
    for dialect in found:
        own_settings = {name: getattr(settings, name) for name in dialect.SETTINGS}
        made = dialect.build(outhaul.exports, access, max_body=settings.max_body, **own_settings)
        routes.append(dialects.placed(dialect, made))
    sessions = Sessions(access, secret_keys(settings.state))
    again = {one.__name__.rpartition(".")[2]: one.again for one in found if hasattr(one, "again")}
    typed = {name: partial(line, sections=outhaul.catalog.sections) for name, line in again.items()}
    operating, told = _operating(outhaul), settings.public_register
    people = console.build(
        outhaul.exports, access, sessions, operating, outhaul.estimates, typed=typed, register=told
    )
    routes += [Mount(console.PREFIX, people), dialects.links(outhaul.exports), dialects.keys(access)]
    routes += console.registered(register.build(outhaul.catalog)) if settings.public_register else []
    router = dialects.Audited(Router(routes, redirect_slashes=False), outhaul.audit)
    begins = [one.PREFIX for one in found if hasattr(one, "PREFIX")]
    patterns = [one.PLACES for one in found if hasattr(one, "PLACES")]
    patterns.append(console.REGISTER)
    places = [LINKS, dialects.WELL_KNOWN, console.PREFIX, *begins]
    return Address(router, own, settings.public_url, settings.proxies, places, patterns)


def body(settings: Settings, catalog: Catalog) -> health.Body:
    """What is examined to know whether all is well."""
    free, workers = settings.min_free, settings.workers
    return health.Body(settings.require_source(), catalog, workers, settings.state, free)


def _operating(outhaul: Outhaul) -> Operating:
    settings = outhaul.settings

    def examine() -> list[health.Sign]:
        signs = health.examined(body(settings, outhaul.catalog))
        return [replace(sign, found=redact(sign.found), cure=redact(sign.cure)) for sign in signs]

    workers = Workers(settings.workers, outhaul.engine.alive)
    return Operating(outhaul.access, settings.audit_folder, workers, examine, list(_limits(settings)))


def _limits(settings: Settings) -> Iterator[Limit]:
    fields = type(settings).model_fields
    for name in LIMITS:
        value = getattr(settings, name)
        yield Limit(name, "" if value is None else words(value), fields[name].description or "")


def _issuing(outhaul: Outhaul, own: str) -> Access:
    settings = outhaul.settings
    return replace(outhaul.access, issuer=settings.token_issuer or settings.public_url or own)


def courier(outhaul: Outhaul, own: str) -> Courier:
    """Sends what webhooks are to be told. `own`: the address we listen on."""
    from outhaul import dialects

    base = outhaul.settings.public_url or own
    found = {name: siblings.load(dialects, name) for name in siblings.names(dialects)}
    writes = {
        name: partial(dialect.letter, outhaul.exports, base, mode=outhaul.settings.mode)
        for name, dialect in found.items()
        if hasattr(dialect, "letter")
    }
    return Courier(outhaul.ledger, outhaul.exports.webhooks, writes)


def serve(
    settings: Settings,
    say: Callable[[str], None],
    opened: Callable[[Access, str], None] = lambda *_: None,
    **limits: int | None,
) -> None:
    """Serve until SIGTERM or SIGINT; `say` tells people what is going on, `opened` is given who may ask and the
    address as soon as requests are taken. `limits`: of Outhaul."""
    import uvicorn

    from outhaul.connections import Connection, roomy

    settings.require_reachable()
    _log()
    roomy()
    signal.signal(signal.SIGTERM, end)
    catalog = offered(settings, reflect(settings))
    with _listen(settings) as listener, Outhaul(settings, catalog, **limits) as outhaul:
        host, port = listener.getsockname()[:2]
        own = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        config = uvicorn.Config(
            web(outhaul, own),
            loop="uvloop",
            http=Connection,  # by h11: httptools is faster, and takes headers of any length
            log_config=None,
            access_log=False,
            proxy_headers=False,  # Address decides whom to believe
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=TRANSFERS,
        )
        source = redact(settings.require_source())
        say(f"Exports of {len(catalog.resources)} resources of {source} at {settings.public_url or own}")
        opened(_issuing(outhaul, own), own)
        if not (outhaul.access.list_tokens() or outhaul.access.list_clients() or outhaul.access.issuers):
            say("Nobody can sign in yet. Make a token: outhaul token create --all-tenants")
        _attentive()
        with courier(outhaul, own):
            uvicorn.Server(config).run(sockets=[listener])


def _attentive() -> None:
    """What answers looks at exports is not kept by what else this process does."""
    sys.setswitchinterval(SWITCH)
    gc.collect()
    gc.freeze()  # all that was loaded stays: to look through it again and again took 60 ms each time


def end(*_: object) -> NoReturn:
    """For signals: end in order, with status 0, and let no further signal disturb that."""
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, signal.SIG_IGN)
    raise SystemExit(0)


def _listen(settings: Settings) -> socket.socket:
    try:
        listener = socket.create_server(
            (settings.host, settings.port),
            family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET,
            backlog=1024,
        )
    except OSError as error:
        raise Misconfigured(
            f"Cannot listen on {settings.host} port {settings.port}: {error.strerror or error}.",
            hint="Choose another: --port N, or 0 for any free one.",
        ) from None
    # Connections inherit it. Without it the body of an answer waits up to 40 ms for the receipt of its headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class _Redacted(logging.Formatter):
    """A line of the log, in which no URL shows its password, be it in a message or a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def _log() -> None:
    """One log for ourselves and what we stand on, on standard error."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_Redacted("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(handlers=[lines], level=logging.INFO, force=True)
    for chatty in ("alembic", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
