"""What callers may do with exports: create, look, change, stop, start, delete, and fetch what is done."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import quote

from outhaul import downloads, formats, plan, siblings, sources
from outhaul.callbacks import Network
from outhaul.catalog import Catalog
from outhaul.ceilings import UNLIMITED, Ceiling
from outhaul.counting import Counting
from outhaul.downloads import File, Link
from outhaul.draft import from_data as draft_from
from outhaul.errors import Gone, NoRoom, NotAllowed, NotFound, NothingMatches, SchemaChanged
from outhaul.export import Caller, Draft, Export, Numbered, Sight, Status, View
from outhaul.filenames import MANIFEST
from outhaul.history import History
from outhaul.ledger import NEWEST, PLAIN, Event, Ledger
from outhaul.making import Making
from outhaul.plan import Plan
from outhaul.webhooks import Callback, Message, Webhook, Webhooks

__all__ = ["LINKS", "Callback", "Event", "Exports", "File", "Links", "Message", "Terms", "Webhook"]

LINKS = "/files"
ID = re.compile(r"[A-Za-z0-9]{1,40}")


class Store(Protocol):
    """What the service asks of a store; see `stores/__init__.py`."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]: ...
    def free(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """`count_timeout`: longest count of rows before an answer. `min_free`: bytes of the store below which nothing new
    is taken on. `part_bytes`: wanted size of a part. `ceiling`: where neither token nor resource has one.
    `link_lifetime`: how long a signed link can be used."""

    count_timeout: timedelta = timedelta(seconds=5)
    min_free: int = 500_000_000
    part_bytes: int = plan.PART_BYTES
    ceiling: Ceiling = UNLIMITED
    link_lifetime: timedelta = timedelta(minutes=5)
    webhook_networks: Sequence[Network] = ()  # that may be called beside public ones
    most: int | None = None  # exports of one tenant that may wait or run; None: any number


@dataclass(frozen=True, slots=True)
class Links:
    """Signed links as paths below the public address: one an artifact, and the manifest's."""

    artifacts: tuple[str, ...] = ()
    manifest: str | None = None


class Exports:
    """The exports of one source. Whoever asks sees those of the own tenant and of the token's
    resources: others are NotFound.

    Safe to use from several threads. Raises errors of `outhaul.errors` only.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        source_url: str,
        catalog: Catalog,
        store: Store,
        keys: Sequence[str],
        terms: Terms,
        nudge: Callable[[], None],
    ) -> None:
        self.catalog = catalog
        self._ledger = ledger
        source = siblings.load(sources, catalog.source)
        self._store = store
        self._keys = keys
        self._terms = terms
        self._nudge = nudge
        self._counting = Counting(source, source_url, terms.count_timeout.total_seconds())
        self._turn = threading.Lock()  # of creations: all at once would keep those waiting who only look
        self.webhooks = Webhooks(ledger, keys, terms.webhook_networks)
        self.history = History(ledger, _sight, _may_change)
        self.making = Making(ledger)

    def may(self, caller: Caller) -> None:
        """Raise NotAllowed for a caller that exports are not for, whatever is asked."""
        _may(caller)

    def plan(self, caller: Caller, draft: Draft) -> Plan:
        """The draft, checked whole; what is refused is refused here, without a look at source, store or ledger."""
        names = siblings.names(formats)
        known = {
            name: formats.compressions(siblings.load(formats, name))
            for name in draft.formats
            if name in names
        }
        return plan.build(
            self.catalog,
            draft,
            caller,
            formats=names,
            compressions=known,
            part_bytes=self._terms.part_bytes,
            ceiling=self._terms.ceiling,
        )

    def drafted(self, caller: Caller, draft: Draft) -> Plan:
        """The plan of what this caller may ask for."""
        _may_change(caller)
        return self.plan(caller, draft)

    def count(self, made: Plan, most: timedelta) -> tuple[int, ...]:
        """Rows of its selections, as for a first display; of fewer when this time was not enough."""
        return self._counting.rows(made, most.total_seconds())

    def create(self, caller: Caller, draft: Draft, *, least: int = 0, key: str | None = None) -> Export:
        """A new export, if all of it can be served; every refusal comes before anything is written. `least`: rows
        below which it is refused as NothingMatches, if they can be counted in time. `key`: asked again with the same
        one, the same draft gives the same export; another draft is WrongValue."""
        _may_change(caller)
        same = key and self._ledger.keyed(caller, key, draft)
        if same:
            return same
        with self._turn:
            made = self.plan(caller, draft)
            self._room()
            counts = self._counting.quick(made)
            if len(counts) == len(made.selections):
                return self._keep(caller, draft, made, counts, least, key)
        counts = self._counting.rows(made)
        with self._turn:
            return self._keep(caller, draft, made, counts, least, key)

    def _keep(
        self, caller: Caller, draft: Draft, made: Plan, counts: tuple[int, ...], least: int, key: str | None
    ) -> Export:
        for node, rows in zip(made.selections, counts, strict=False):
            node.ceiling.admit(node.resource, rows)
        matched = sum(counts) if len(counts) == len(made.selections) else None
        if matched is not None and matched < least:
            raise NothingMatches(
                f"must be greater than {least - 1}",
                where=("matched",),
                facts={"value": matched, "limit": least - 1},
            )
        export = self._ledger.create(
            caller=caller, draft=draft, plan=made, matched=matched, key=key, most=self._terms.most
        )
        self._nudge()
        return export

    def get(self, caller: Caller, export_id: str) -> Export:
        return self._ledger.get(_known(export_id), _sight(caller))

    def list(
        self,
        caller: Caller,
        *,
        limit: int,
        offset: int = 0,
        where: Mapping[str, Any] | None = None,
        order: Sequence[tuple[str, bool]] = NEWEST,
        view: View = PLAIN,
    ) -> tuple[tuple[Export, ...], int]:
        """A page, and how many there are in all. `where`: filters in the view's names; `order`: names of ours, each
        with whether it descends. Wrong filters are refused as those of a draft are."""
        return self._ledger.list(_sight(caller), where, order, limit, offset, view)

    def recent(
        self, caller: Caller, dialect: str, limit: int, before: tuple[datetime, str] | None = None
    ) -> tuple[Export, ...]:
        """The newest that were asked for in one dialect; `before`: only those older than the one made then under this
        id."""
        edge = (before[0].timestamp(), before[1]) if before else None
        return self._ledger.recent(_sight(caller), dialect, limit, edge)

    def events(
        self, of: Sequence[Export | Webhook], names: Sequence[str], most: int | None = None
    ) -> Mapping[str, tuple[Event, ...]]:
        """What has happened to these exports or webhooks, of the events of these names, by id and oldest first; when
        `most` in all have been read, the others are passed over."""
        return self._ledger.events_of([one.id for one in of], names, most)

    def counts(self, exports: Sequence[Export]) -> Mapping[str, tuple[int, ...]]:
        """The rows that matched in each selection of these exports, by export; of those whose rows were counted."""
        return self._ledger.counts_of([export.id for export in exports])

    def amend(self, caller: Caller, export_id: str, changes: Mapping[str, Any]) -> Export:
        """Change `reference`, `reference_origin` or `metadata`."""
        _may_change(caller)
        if not changes:
            return self.get(caller, export_id)
        return self._ledger.amend(_known(export_id), _sight(caller), caller, **changes)

    def interrupt(self, caller: Caller, export_id: str, **changes: Any) -> Export:
        """Stop it until it is started again; WrongState when it has ended. `changes`: as those of `amend`, at once with
        it."""
        _may_change(caller)
        return self._ledger.interrupt(_known(export_id), _sight(caller), caller, **changes)

    def start(self, caller: Caller, export_id: str, **changes: Any) -> Export:
        """Go on after an interruption or a failure; what it asks for is checked again before it runs. `changes`: as
        above."""
        _may_change(caller)
        self._room()
        export = self._ledger.start(_known(export_id), _sight(caller), caller, **changes)
        self._nudge()
        return export

    def delete(self, caller: Caller, export_id: str) -> None:
        """Remove it in any state, with its files and links."""
        _may_change(caller)
        self._ledger.remove(_known(export_id), _sight(caller), caller)
        self._nudge()

    def links(self, caller: Caller, export: Export) -> Links:
        """Fresh signed links to what there is to download; nothing until it is completed, and when it has expired."""
        if export.status is not Status.COMPLETED:
            return Links()
        made = self._ledger.artifact_names(export.id)
        *paths, proof = self._signed(caller, export, (*made, MANIFEST), self._terms.link_lifetime)
        return Links(tuple(paths), proof)

    def link(self, caller: Caller, export: Export, name: str, lifetime: timedelta | None = None) -> str:
        """A signed link to one file of a completed export, as a path below the public address; nothing is looked up."""
        return self._signed(caller, export, (name,), lifetime or self._terms.link_lifetime)[0]

    def _signed(
        self, caller: Caller, export: Export, names: Sequence[str], lifetime: timedelta
    ) -> tuple[str, ...]:
        token = downloads.sign(self._keys, Link(export.id, caller.id), datetime.now(UTC) + lifetime)
        return tuple(f"{LINKS}/{token}/{quote(name, safe='')}" for name in names)

    def files(self, exports: Sequence[Export]) -> Mapping[str, tuple[Numbered, ...]]:
        """What there is to download of each, by export: nothing until it is completed, and when it has expired."""
        return self._ledger.files([one.id for one in exports if one.status is Status.COMPLETED])

    def open(self, token: str, name: str) -> File:
        """What a signed link leads to. NotFound for one that we never made; Gone, with what to do, for one that is too
        old, or whose export was deleted or has expired, or whose maker's token has ended. Each read is an event."""
        link = downloads.unsign(self._keys, token, datetime.now(UTC))
        maker = self._ledger.token(link.caller)
        if maker and (maker.revoked_at or maker.expired):
            raise Gone(
                "The token that made this link has been revoked or has expired.",
                hint="Ask the export for a link with another.",
            )
        try:
            export = self._ledger.get(link.export)
        except NotFound:
            raise Gone("The export of this link was deleted.", hint="Create it again.") from None
        if export.status is not Status.COMPLETED:
            raise Gone("The files of this export are no longer kept.", hint="Create the export again.")
        return self._noted(self._file(export, name), export, link.caller)

    def _noted(self, file: File, export: Export, who: str) -> File:
        def read(start: int, stop: int) -> Iterator[bytes]:
            self._ledger.note(export.id, "downloaded", who, file=file.name, start=start, stop=stop)
            return file.read(start, stop)

        return replace(file, read=read, export=export.id, tenant=export.tenant, who=who)

    def file(self, caller: Caller, export_id: str, name: str) -> File:
        """A file of a completed export, or its manifest, by no link; NotFound when there is none yet, or any more."""
        export = self.get(caller, export_id)
        if export.status is not Status.COMPLETED:
            raise NotFound("There is nothing to download until the export is completed.", wrong=export_id)
        return self._noted(self._file(export, name), export, caller.id)

    def manifest(self, caller: Caller, export_id: str) -> File:
        """The proof of a completed export; NotFound before that."""
        return self.file(caller, export_id, MANIFEST)

    def _file(self, export: Export, name: str) -> File:
        if name == MANIFEST:
            return self._manifest(export)
        found = () if "\0" in name else self._ledger.artifacts(export.id, name)
        artifact = next(iter(found), None)
        if artifact is None:
            raise NotFound(
                "This export has no file of that name.", hint="Copy the whole link.", wrong=name[:100]
            )
        return File(
            name=artifact.name,
            media_type=artifact.media_type,
            length=artifact.length,
            etag=artifact.etag,
            read=lambda start, stop: downloads.read(artifact, self._store, start, stop),
            sha1=artifact.sha1,
        )

    def _manifest(self, export: Export) -> File:
        key = self._ledger.manifest_key(export.id)
        assert key
        data = b"".join(self._store.read(key))
        return File(
            name=MANIFEST,
            media_type="application/json",
            length=len(data),
            etag=f'"{hashlib.sha256(data).hexdigest()[:32]}"',
            read=lambda start, stop: iter([data[start:stop]]),
        )

    def check(self, export_id: str) -> None:
        """Raise when an export about to start asks for what is no longer offered to whoever asked for it: a resource,
        field or rule may have changed since, or the token may have been revoked."""
        export, made = self._ledger.get(export_id), self._ledger.plan(export_id)
        token = self._ledger.token(export.caller)
        if token and (token.revoked_at or token.expired):
            raise NotAllowed(
                "The token that asked for this export has been revoked or has expired.",
                hint="Ask for it again with another.",
            )
        if made.catalog == self.catalog.fingerprint:
            return
        caller = Caller(
            id=export.caller,
            name="",
            tenant=export.tenant,
            all_tenants=export.tenant is None,
            resources=token.resources if token else (),
            ceiling=token.ceiling if token else UNLIMITED,
            scopes=made.scopes,
        )
        now = self.plan(caller, draft_from(export.draft))
        if replace(now, catalog=made.catalog, part_bytes=made.part_bytes) != made:
            raise SchemaChanged(
                "What this export asks for is offered otherwise since it was asked for.",
                hint="Ask for it again.",
            )

    def _room(self) -> None:
        free = self._store.free()
        if free is not None and free < self._terms.min_free:
            raise NoRoom(
                f"Only {free:,} bytes are free where exports are kept; new ones are taken on from "
                f"{self._terms.min_free:,} on.",
                hint="Whoever runs the service can make room, or lower min_free.",
                facts={"value": free, "limit": self._terms.min_free},
            )


def _sight(caller: Caller) -> Sight:
    """The exports that a caller sees: of the own tenant, and of nothing that the token does not reach."""
    _may(caller)
    if caller.tenant is None and not caller.all_tenants:
        raise NotAllowed("This token belongs to no tenant.")
    return Sight(caller.tenant, caller.resources)


def _may(caller: Caller) -> None:
    if not caller.exports:
        raise NotAllowed("You are not authorized to perform this action on the requested resource.")


def _may_change(caller: Caller) -> None:
    _may(caller)
    if caller.read_only:
        raise NotAllowed("This token only reads.", hint="Use one that was made without --read-only.")


def _known(export_id: str) -> str:
    """An id that can be one; the ledger is not asked for anything else."""
    if not ID.fullmatch(export_id):
        raise NotFound("There is no such export.", wrong=export_id[:40])
    return export_id
