"""The nouns: Export, Draft, Selection, Part, Artifact, Caller, Status, and MOVES, the legal status changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from outhaul.ceilings import UNLIMITED, Ceiling


class Status(StrEnum):
    """The life of an export."""

    CREATED = "created"
    QUEUED = "queued"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"


MOVES: Mapping[Status, frozenset[Status]] = {
    Status.CREATED: frozenset({Status.QUEUED, Status.INTERRUPTED, Status.FAILED}),
    Status.QUEUED: frozenset({Status.RUNNING, Status.INTERRUPTED, Status.FAILED}),
    Status.RUNNING: frozenset({Status.INTERRUPTED, Status.COMPLETED, Status.FAILED}),
    Status.INTERRUPTED: frozenset({Status.QUEUED, Status.EXPIRED}),
    Status.FAILED: frozenset({Status.QUEUED, Status.EXPIRED}),
    Status.COMPLETED: frozenset({Status.EXPIRED}),
    Status.EXPIRED: frozenset(),
}

ACTIVE = frozenset({Status.CREATED, Status.QUEUED, Status.RUNNING})


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is for: rows of any of these markets, stock locations, ... `by`: what the values are: id or code."""

    kind: str
    by: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `tenant` None with `all_tenants` False never happens: access refuses to make it. `others`: tenants that
    it could ask for as well, one at a time. `exports`: whether exports are for this kind of caller at all. `scopes`: to
    what a draft that is `scoped` is narrowed. `application` and `owner`: what a signed token says of them."""

    id: str
    name: str
    tenant: str | None
    all_tenants: bool = False
    others: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()  # empty: every resource
    read_only: bool = False
    ceiling: Ceiling = UNLIMITED
    exports: bool = True
    scopes: tuple[Scope, ...] = ()
    application: Mapping[str, Any] = field(default_factory=dict)
    owner: Mapping[str, Any] = field(default_factory=dict)

    @property
    def admin(self) -> bool:
        """Whether it runs the service: nothing limits it, so that no token which it makes reaches further."""
        limited = self.read_only or self.resources or self.ceiling != UNLIMITED or not self.exports
        return self.all_tenants and not limited


@dataclass(frozen=True, slots=True)
class Sight:
    """Which exports somebody sees: those of one tenant (None: of all), which read only these resources (empty: any)."""

    tenant: str | None = None
    resources: tuple[str, ...] = ()


ALL = Sight()


@dataclass(frozen=True, slots=True)
class View:
    """How lists show exports: what filters and order compare with is what somebody reads.

    `names`: its names of what exports can be filtered by, each with ours; `words`: of the statuses, and with `expired`
    left out, what has expired keeps the word it had; `events`: of the events that are shown. `gone`: the errors of what
    has expired, an object of JSON as text; `files`: what the address of a file begins with; `openly`: errors are told
    in the operator's words. `dialect`: only what was asked for in this one.
    """

    names: Mapping[str, str]
    words: Mapping[Status, str]
    events: Mapping[str, str] = field(default_factory=dict)
    gone: str | None = None
    files: str = ""
    openly: bool = True
    dialect: str | None = None


@dataclass(frozen=True, slots=True)
class Lens:
    """How lists show events or webhooks. `names`: their names of what they can be filtered by, each with ours; `words`:
    of the names of events; `same`: what is alike in every row, under a name that `names` leads to; `kinds`: by the
    names of events, what they tell of."""

    names: Mapping[str, str]
    words: Mapping[str, str] = field(default_factory=dict)
    same: Mapping[str, str | dict[str, Any] | None] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A page of such a list. `where`: filters in the lens's names; `order`: names of ours, each with whether it
    descends, the newest first where they tie."""

    lens: Lens
    limit: int
    offset: int = 0
    where: Mapping[str, Any] = field(default_factory=dict)
    order: Sequence[tuple[str, bool]] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the object that a row is in JSON, where a dialect has a form of its own for it: `text`, the same
    in each row; or the value of `field`, a dotted name; or the list of the values of `each`, a field of a relationship
    to many; or an object of `members`. Values that are NULL are left out, and so is a list without any. `worded`:
    values are texts whatever their type; `utc`: moments are spelled as RFC 3339 has them, in UTC with a `Z`.
    """

    key: str
    text: str | None = None
    field: str = ""
    each: str = ""
    members: tuple[Member, ...] = ()
    worded: bool = False
    utc: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of a draft about one resource.

    `fields`: dotted names, `*`, `rel.*`; empty means every field of the root and of each include.
    `filters`: `attr_or_attr_predicate` -> value, ANDed. `segments`: names of saved filters, ANDed.
    `sort`: names of the resource's own fields, the first counts most; `-` before one turns it round.
    `nested`: by dotted include path how its rows stand in CSV: json, columns, rows, files; see `tabular.py`.
    `layout`: what a row is in JSON, instead of `fields` and `includes`. `until`: its own field that holds a moment,
    which is not after the export's instant.
    `stem`: what its files are called, if not as the resource. `binaries`: not the rows, but what belongs to each of
    them, in an archive.
    """

    resource: str
    fields: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    filters: Mapping[str, Any] = field(default_factory=dict)
    segments: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    nested: Mapping[str, str] = field(default_factory=dict)
    layout: tuple[Member, ...] = ()
    until: str = ""
    stem: str = ""
    binaries: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A request in core words, unchecked."""

    selections: tuple[Selection, ...]
    formats: tuple[str, ...] = ("json",)
    compress: str | None = None  # None: as the format has it by itself
    consistency: str = "snapshot"  # snapshot | part
    part_bytes: int | None = None  # wanted size of a part, bytes of the source's text; None: chosen
    fragment_bytes: int | None = None  # rotate a fragment before it passes this many raw bytes
    fragment_rows: int | None = None  # rotate a fragment at this many rows
    reference: str | None = None
    reference_origin: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    profile: str = "machine"  # of CSV: machine | spreadsheet
    delimiter: str = ","  # of CSV: , ; | or a tab, or comma, semicolon, pipe, tab
    scoped: bool = False  # only rows of the caller's scopes
    dry: bool = False  # without identities, timestamps and blanks: what an import would make anew
    numbered: bool = False  # each fragment is a file of its own
    archive: str | None = None  # all files are members of one ZIP of this name; `compress` gzip: deflated
    sha1: bool = False  # of each file as a whole, by a pass over it before the export is completed
    dialect: str = ""
    wire: Mapping[str, Any] = field(default_factory=dict)  # the asker's own words, for rendering them back


@dataclass(frozen=True, slots=True)
class Export:
    """One request and its whole life, as the ledger knows it. Times are aware, UTC."""

    id: str
    tenant: str | None
    caller: str
    dialect: str
    status: Status
    draft: Mapping[str, Any]
    matched: int | None
    processed: int
    parts: int
    parts_done: int
    created_at: Any
    updated_at: Any
    queued_at: Any = None
    started_at: Any = None
    completed_at: Any = None
    interrupted_at: Any = None
    failed_at: Any = None
    expires_at: Any = None
    estimated_completion_at: Any = None
    instant_at: Any = None
    position: int | None = None  # of its tenant's, 1 is next; None when not waiting, and in lists
    generation: int = 0
    consistency: str = (
        "snapshot"  # snapshot: all of one instant; part: each part of its own; none: of no instant
    )
    errors: tuple[Mapping[str, Any], ...] = ()
    reference: str | None = None
    reference_origin: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def percentage(self) -> float:
        """0 to 100; 100 only when completed."""
        if self.status is Status.COMPLETED:
            return 100.0
        if not self.matched:
            return 0.0
        return min(99.9, round(100.0 * self.processed / self.matched, 1))


@dataclass(frozen=True, slots=True)
class Artifact:
    """What the asker downloads: one file, made of framing bytes and fragments. Sizes in bytes.

    `raw_length` and `crc32` are of the text before compression. `layout` tells its stretches in order:
    `{"data": base64}` for framing bytes, `{"key", "length", "sha256", "part", "seq"}` for a fragment; the framing
    before each member of an archive tells of it under `"member"`. Of an archive `raw_length` and `crc32` are those of
    its members' text in order. `path`: the include path whose rows are its lines, "" for the selection's own. See
    `layout.py`. `sha1`: of the whole file, where it was asked for.
    """

    export: str
    selection: int
    format: str
    name: str
    media_type: str
    length: int
    raw_length: int
    crc32: int
    rows: int
    etag: str
    layout: Sequence[Mapping[str, Any]] = ()
    path: str = ""
    sha1: str | None = None


@dataclass(frozen=True, slots=True)
class Numbered:
    """One of the files of an export, by its number among them from 0 on. `length` in bytes."""

    n: int
    name: str
    length: int


@dataclass(frozen=True, slots=True)
class Part:
    """One unit of work, restart and output: a range of one selection in one format. Number 0 is the planning."""

    export: str
    n: int
    selection: int
    format: str
    range: Mapping[str, Any]
    attempt: int
    generation: int


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part's bytes: rows without frame, one object of the store.

    `length` and `sha256` are of the stored bytes, `raw_length` and `crc32` of the text before compression. `path`: the
    include path whose rows these are, in a file of their own; "" for the selection's. `text_sha256`: where it is
    compressed and will be a member of an archive.
    """

    selection: int
    format: str
    part: int
    seq: int
    key: str
    length: int
    raw_length: int
    crc32: int
    rows: int
    sha256: str
    related: Mapping[str, int] = field(default_factory=dict)
    path: str = ""
    text_sha256: str | None = None
