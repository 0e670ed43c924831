"""The pages that make a new export: a resource, what of it, which rows, how it is written, and what it comes to."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from outhaul.catalog import Resource
from outhaul.console import choosing, filtering, offering
from outhaul.console.choosing import Ticked, Tree
from outhaul.console.filtering import Filters, Row
from outhaul.console.listing import LONGEST
from outhaul.console.pages import HEADERS, Visit, page
from outhaul.errors import NotAllowed, OuthaulError, Refused
from outhaul.estimates import Estimate, Estimates
from outhaul.export import Draft
from outhaul.forms import NONE, forms
from outhaul.forms import USUAL as ORDINARY
from outhaul.service import Exports
from outhaul.tabular import DELIMITERS, FORMAT, PROFILES, WAYS
from outhaul.wishes import DOTS

LARGEST = 500_000  # bytes of the form: 1,500 fields that are ticked are about a fifth of it
KEY = re.compile(r"[0-9a-f]{32}")
WHOLE, FIELDS = 200, 5_000  # names that are taken from a form
PATH = 1_000  # characters of one
OFFERED = 500  # names of fields that are offered while one types
SAID: Mapping[str, str] = {
    "csv": "CSV, a table",
    "json": "JSON, one array",
    "ndjson": "NDJSON, an object a line",
    "parquet": "Parquet, typed columns",
}
USUAL = ""  # the compression that a format has if nobody asks for another
CONSISTENCIES: Mapping[str, str] = {
    "snapshot": "All rows as of one instant",
    "part": "Each part as of its own: for huge exports of busy databases, where finished parts are never read again",
}
NESTED: Mapping[str, str] = {
    "json": "in one cell, as JSON",
    "columns": "in columns of its own",
    "rows": "each on a line of its own",
    "files": "in a file of its own",
}
OPTIONS: Mapping[str, str] = {
    "format": "csv",
    "compress": USUAL,
    "profile": PROFILES[0],
    "delimiter": "comma",
    "consistency": "snapshot",
    "sort": "",
    "reference": "",
}
ANOTHER = (
    "Since this page was opened you have chosen the tenant {}: what you ask for here is now of that one."
)
# Where a page says what is wrong, by what the error leads to in the draft.
PLACES: Mapping[str, str] = {
    "fields": "fields",
    "includes": "fields",
    "nested": "nested",
    "formats": "format",
    "adding": "adding",
    "sort": "sort",
    "segments": "segments",
    **{name: name for name in ("compress", "profile", "delimiter", "consistency", "reference")},
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that the form says. `adding`: the field that a new filter is to be about."""

    key: str
    ticked: Ticked = field(default_factory=Ticked)
    search: str = ""
    rows: tuple[Row, ...] = ()
    segments: tuple[str, ...] = ()
    adding: str = ""
    options: Mapping[str, str] = field(default_factory=lambda: OPTIONS)
    nested: Mapping[str, str] = field(default_factory=dict)


def wanted(form: Mapping[str, Sequence[str]]) -> Wanted:
    """What was sent, each as it was typed; what makes no sense is left out."""
    key = form.get("key", [""])[0]
    return Wanted(
        key if KEY.fullmatch(key) else secrets.token_hex(16),
        Ticked(
            _paths(form.get("whole", ()), WHOLE),
            _paths(form.get("pick", ()), FIELDS),
            _paths(form.get("open", ()), choosing.OPEN),
        ),
        form.get("search", [""])[0].strip()[:LONGEST],
        tuple(filtering.sent(form)),
        _paths(form.get("segment", ()), filtering.MOST),
        form.get("adding", [""])[0].strip()[:PATH],
        {name: form.get(name, [usual])[0].strip()[:LONGEST] for name, usual in OPTIONS.items()},
        {name.removeprefix("nested."): one[0] for name, one in form.items() if name.startswith("nested.")},
    )


def _paths(names: Sequence[str], most: int) -> tuple[str, ...]:
    known = dict.fromkeys(one for one in names if len(one) <= PATH and one.count(".") <= DOTS)
    return tuple(known)[:most]


@dataclass(frozen=True, slots=True)
class New:
    """What its pages show and do, for whoever may ask for exports."""

    exports: Exports
    estimates: Estimates

    def choose(self, request: Request, seen: Visit) -> Response:
        """The resources that an export can be of."""
        _allowed(seen)
        assert seen.caller
        search = request.query_params.get("q", "").strip()[:LONGEST]
        found = offering.visible(self.exports.catalog, seen.caller, search)
        return page("new.html", seen, resources=found, search=search)

    def blank(self, request: Request, seen: Visit) -> Response:
        making = self._making(request, seen)
        return making.page(Wanted(secrets.token_hex(16)))

    def answer(self, request: Request, seen: Visit) -> Response:
        """What a button of the form is for; the same page again, or the page of the export that it has made."""
        making = self._making(request, seen)
        form: dict[str, list[str]] = {}
        for name, value in request.state.fields:
            form.setdefault(name, []).append(value)
        asked = wanted(form)
        if seen.tenants and form.get("tenant", [""])[0] != seen.who.tenant:
            return making.page(asked, {"other": ANOTHER.format(seen.who.tenant)})
        do, _, what = form.get("do", [""])[0].partition(":")
        return making.done(request, asked, do, what)

    def _making(self, request: Request, seen: Visit) -> Making:
        _allowed(seen)
        assert seen.caller
        catalog = self.exports.catalog
        offered = offering.offered(catalog, seen.caller, request.path_params["name"]).resource
        known = frozenset(one.name for one in offering.visible(catalog, seen.caller))
        tree = Tree(catalog, offered, known)
        return Making(self, seen, offered, tree, Filters(catalog, offered, known, seen.clock.zone))


@dataclass(frozen=True, slots=True)
class Making:
    """One export of one resource, as it is put together."""

    new: New
    seen: Visit
    resource: Resource
    tree: Tree
    filters: Filters

    def done(self, request: Request, asked: Wanted, do: str, what: str) -> Response:
        wrong: dict[str, str] = {}
        found: Estimate | None = None
        if do in {"look", "create"}:
            draft, wrong = self._draft(asked)
            try:
                if draft and do == "create":
                    return self._created(request, asked, draft)
                if draft:
                    found = self._estimate(draft)
            except Refused as error:
                wrong[self._place(error, asked)] = str(error)
            return self.page(asked, wrong, found)
        before = len(asked.rows)
        try:
            asked = self._changed(asked, do, what)
        except Refused as error:
            wrong["adding"] = str(error)
        return self.page(asked, wrong, did="add" if len(asked.rows) > before else do)

    def page(
        self,
        asked: Wanted,
        wrong: Mapping[str, str] | None = None,
        found: Estimate | None = None,
        did: str = "",
    ) -> Response:
        """The form as it was sent, with what is wrong beside the field concerned."""
        branch = self.tree.branches(asked.ticked)
        searched = self.tree.search(asked.search) if asked.search else None
        shown = {("field", name) for name, _ in searched.fields} if searched else {*choosing.rendered(branch)}
        hidden = [one for one in asked.ticked.whole if ("whole", one) not in shown]
        kept = [("whole", one) for one in hidden if self.tree.leads(one)]
        kept += [("pick", one) for one in asked.ticked.fields if ("field", one) not in shown]
        return page(
            "new-export.html",
            self.seen,
            asked=asked,
            branch=branch,
            searched=searched,
            kept=kept,
            rows=[self.filters.shown(one) for one in asked.rows],
            names=self.tree.names(1, OFFERED),
            included=self._included(asked),
            wrong=wrong or {},
            found=found,
            did=did,
            kind=offering.kind,
            choices={"format": written(), "compress": compressions(), "consistency": CONSISTENCIES},
            ways=NESTED,
            delimiters=list(DELIMITERS),
            profiles=PROFILES,
            told=told,
            span=span,
        )

    def _included(self, asked: Wanted) -> list[tuple[str, bool, Sequence[str]]]:
        """The related records that are wanted: path, whether it leads to many, and how they can stand in a table."""
        try:
            found = self.tree.included(self.tree.selection(asked.ticked))
        except Refused:
            return []
        many = [(path, bool(wish.way and wish.way.many)) for path, wish in found]
        return [(path, one, WAYS[one]) for path, one in many]

    def _changed(self, asked: Wanted, do: str, what: str) -> Wanted:
        ticked = asked.ticked
        if do == "open":
            kept = ticked.opened[-choosing.OPEN + 1 :]
            return replace(asked, ticked=replace(ticked, opened=(*kept, what)))
        if do == "close":
            return replace(asked, ticked=replace(ticked, opened=tuple(o for o in ticked.opened if o != what)))
        if do == "all":
            return replace(asked, search="")
        if do in {"add", "update"} and asked.adding:
            return replace(asked, rows=(*asked.rows, self.filters.added(asked.adding)), adding="")
        if do == "drop" and what.isascii() and what.isdigit():
            rows = tuple(row for n, row in enumerate(asked.rows) if n != int(what[:3]))
            return replace(asked, rows=rows)
        return asked

    def _draft(self, asked: Wanted) -> tuple[Draft | None, dict[str, str]]:
        """The draft, or what is wrong."""
        filters, rows = self.filters.said(asked.rows)
        wrong = {f"filter-{number}": said for number, said in rows.items()}
        options = asked.options
        wrong |= {
            name: "There is no such choice. Take another."
            for name, known in (("format", written()), ("compress", compressions()))
            if options[name] not in known
        }
        if not options["reference"].isprintable():
            wrong["reference"] = "It holds what cannot be printed."
        try:
            selection = self.tree.selection(asked.ticked)
        except Refused as error:
            return None, {**wrong, "fields": str(error)}
        if wrong:
            return None, wrong
        table = options["format"] == FORMAT
        nested = {
            path: asked.nested[path]
            for path, *_ in self._included(asked)
            if table and asked.nested.get(path, "")
        }
        order = tuple(one.strip() for one in options["sort"].split(",") if one.strip())
        selection = replace(selection, filters=filters, nested=nested, segments=asked.segments, sort=order)
        draft = Draft(
            (selection,),
            formats=(options["format"],),
            compress=forms()[options["format"]].compress(options["compress"]),
            consistency=options["consistency"],
            reference=options["reference"] or None,
        )
        return (
            replace(draft, profile=options["profile"], delimiter=options["delimiter"]) if table else draft
        ), {}

    def _created(self, request: Request, asked: Wanted, draft: Draft) -> Response:
        """However often the same form is sent, it makes one export; changed, it makes another."""
        assert self.seen.caller
        told = json.dumps(asdict(draft), sort_keys=True, default=str)
        key = f"console {asked.key} {hashlib.sha256(told.encode()).hexdigest()[:32]}"
        made = self.new.exports.create(self.seen.caller, draft, key=key)
        request.scope["outhaul.audit"]["export"] = made.id
        return RedirectResponse(f"{self.seen.root}/exports/{made.id}", 303, HEADERS)

    def _estimate(self, draft: Draft) -> Estimate:
        """What stands in the way beside the request itself is told in its place."""
        assert self.seen.caller
        try:
            return self.new.estimates.of(self.seen.caller, draft)
        except Refused:
            raise
        except OuthaulError as error:
            return Estimate(None, counted=False, trouble=error)

    def _place(self, error: OuthaulError, asked: Wanted) -> str:
        where = [str(one) for one in error.where]
        if where[:1] == ["filters"] and len(where) > 1:
            number = self.filters.numbers(asked.rows).get(where[1])
            return "other" if number is None else f"filter-{number}"
        return PLACES.get(where[0], "other") if where else "other"


def told(trouble: OuthaulError, *, openly: bool) -> str:
    """What somebody may know of what stands in the way."""
    return str(trouble) if openly else trouble.outside or str(trouble)


def span(time: timedelta) -> str:
    """How long it takes, no more exactly than anybody can know."""
    seconds = time.total_seconds()
    if seconds < 5:
        return "a few seconds"
    for name, length in (("h", 3600), ("min", 60), ("s", 5)):
        if seconds >= 2 * length or name == "s":
            return f"about {max(1, round(seconds / length)) * (length if name == 's' else 1)} {name}"
    raise AssertionError("the last one is taken")


def written() -> dict[str, str]:
    """The formats that there are, in words."""
    return {name: SAID.get(name, name.upper()) for name in forms()}


def compressions() -> dict[str, str]:
    """Those of any format, in words that say of which, where it is not of all."""
    found: dict[str, list[str]] = {}
    for form in forms().values():
        for one in form.compressions:
            found.setdefault(one, []).append(form.name)
    inside = [f", in {one.name} {one.compressions[0]}" for one in forms().values() if one.inside]
    told = {
        one: one if len(names) == len(forms()) else f"{one}, in {' and '.join(names)} only"
        for one, names in found.items()
        if one != NONE
    }
    return {USUAL: f"as usual: {ORDINARY}{''.join(inside)}", **told, NONE: "none"}


def _allowed(seen: Visit) -> None:
    if not seen.changes:
        raise NotAllowed("This token only reads.", hint="Use one that was made without --read-only.")
