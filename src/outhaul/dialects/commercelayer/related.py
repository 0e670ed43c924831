"""The calls from what happened to who was told of it, and back; and `_trigger`, which has it told once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Request

from outhaul.dialects import in_turn
from outhaul.dialects.commercelayer import callbacks, history, parse, query, render
from outhaul.dialects.commercelayer.included import SHOW, Inclusion
from outhaul.dialects.commercelayer.routes import (
    Body,
    Document,
    SignedIn,
    acceptable,
    asked,
    exports_of,
    setting_of,
)
from outhaul.errors import NotFound, Refused
from outhaul.export import Caller, Stretch
from outhaul.service import Callback, Event, Exports


@dataclass(frozen=True, slots=True)
class Way:
    """A relationship of a kind, and the kind that it leads to."""

    kind: str
    name: str
    target: str


Found = tuple[Sequence[Any], int]

# What tells of a kind, among its relationships.
TELLING = {
    kind: tuple(name for name in query.RELATED[kind] if name in history.NAMES)
    for kind in ("exports", "webhooks")
}
router = APIRouter(dependencies=[Depends(acceptable)])


def event(exports: Exports, caller: Caller, kind: str, event_id: str) -> Event:
    """The event behind an id of this kind; NotFound."""
    public = query.event_key(kind, event_id)
    found = None if public is None else exports.history.get(caller, history.NAMES[kind], public)
    if found is None or history.identifier(kind, found)["id"] != event_id:
        raise NotFound("There is no such event.", wrong=event_id[:40])
    return found


def callback(exports: Exports, caller: Caller, callback_id: str) -> Callback:
    """The callback of an id; NotFound."""
    public = query.event_key("event_callbacks", callback_id)
    if public is None:
        raise NotFound("There is no such callback.", wrong=callback_id[:40])
    return exports.webhooks.tried(caller, public)


def single(inclusion: Inclusion, kind: str, one: Any, status: int = 200) -> Document:
    """The document of one resource, with what is included."""
    data = SHOW[kind](one, inclusion.setting, inclusion.shape)
    return Document({"data": data} | inclusion.fill(kind, [one], [data]), status)


def _hooks_of_event(exports: Exports, caller: Caller, event_id: str, page: Stretch) -> Found:
    return exports.webhooks.list(caller, page, event(exports, caller, "events", event_id))


def _tries_of_event(exports: Exports, caller: Caller, event_id: str, page: Stretch) -> Found:
    return exports.webhooks.tries(caller, page, event=event(exports, caller, "events", event_id))


def _tries_of_hook(exports: Exports, caller: Caller, webhook_id: str, page: Stretch) -> Found:
    return exports.webhooks.tries(caller, page, webhook_id)


def _all_tries(exports: Exports, caller: Caller, _: str, page: Stretch) -> Found:
    return exports.webhooks.tries(caller, page)


def _all_hooks(exports: Exports, caller: Caller, _: str, page: Stretch) -> Found:
    return exports.webhooks.list(caller, page)


# What can be paged through by number.
FETCH: Mapping[tuple[str, str], Callable[[Exports, Caller, str, Stretch], Found]] = {
    ("events", "webhooks"): _hooks_of_event,
    ("events", "last_event_callbacks"): _tries_of_event,
    ("webhooks", "last_event_callbacks"): _tries_of_hook,
    ("", "event_callbacks"): _all_tries,
    ("", "webhooks"): _all_hooks,
}


@router.get("/event_callbacks")
def list_callbacks(request: Request, caller: SignedIn) -> Document:
    return page(request, caller, Way("", "event_callbacks", "event_callbacks"), whole=True)


@router.get("/event_callbacks/{callback_id}")
def retrieve(request: Request, caller: SignedIn, callback_id: str) -> Document:
    shape, exports = query.shape(asked(request), "event_callbacks"), exports_of(request)
    found = callback(exports, caller, callback_id)
    return single(Inclusion(exports, caller, shape, setting_of(request)), "event_callbacks", found)


@router.patch("/events/{event_id}")
@in_turn
def update(request: Request, caller: SignedIn, event_id: str, given: Body) -> Document:
    shape, exports = query.shape(asked(request), "events", changes=True), exports_of(request)
    triggered, changes = parse.event_update(given, event_id)
    found, setting = event(exports, caller, "events", event_id), setting_of(request)
    # What may not be shown is refused before anything changes.
    single(Inclusion(exports, caller, shape, setting), "events", found)
    if triggered:
        exports.webhooks.trigger(caller, found)
    if changes:
        found = exports.history.amend(caller, history.NAMES["events"], found.public, changes)
    return single(Inclusion(exports, caller, shape, setting), "events", found)


def page(request: Request, caller: Caller, way: Way, *, whole: bool) -> Document:
    """A page of what a way leads to; `whole`: as resource objects, else as identifiers alone."""
    wanted = query.listing(asked(request), way.target, whole=whole)
    exports, setting, lens = exports_of(request), setting_of(request), callbacks.LENSES[way.target]
    try:
        found, total = FETCH[way.kind, way.name](exports, caller, placed(request), wanted.stretch(lens))
    except Refused as error:
        raise query.in_query(error) from error
    data = [
        SHOW[way.target](one, setting, wanted.shape) if whole else _known(way.target, one) for one in found
    ]
    included = Inclusion(exports, caller, wanted.shape, setting).fill(way.target, found, data)
    return Document(render.page(data, total, wanted, setting, under(request)) | included)


def _change(request: Request, caller: Caller, way: Way, *, whole: bool) -> Document:
    """The one event store that says the same, as a list."""
    wanted, setting = query.listing(asked(request), way.target), setting_of(request)
    exports = exports_of(request)
    if way.kind == "event_callbacks":
        number = callback(exports, caller, placed(request)).event
        told = exports.history.several(caller, history.NAMES[way.target], [number])
        if number not in told:
            raise NotFound("There is no such event.")
        found = told[number]
    else:
        found = event(exports, caller, way.kind, placed(request))
    shown = history.resource(way.target, found, setting, wanted.shape)
    known = shown if whole else dict(history.identifier(way.target, found))
    data = [known] if wanted.after is None else []
    return Document(history.following(data, None, wanted, setting, under(request)))


def _hook(request: Request, caller: Caller, way: Way, *, whole: bool) -> Document:
    shape, exports = query.shape(asked(request), way.target, whole=whole), exports_of(request)
    webhook_id = callback(exports, caller, placed(request)).webhook
    found = exports.webhooks.get(caller, webhook_id)
    if not whole:
        return Document({"data": _known(way.target, found)})
    return single(Inclusion(exports, caller, shape, setting_of(request)), way.target, found)


def _known(kind: str, one: Any) -> dict[str, Any]:
    return {"type": kind, "id": str(one.public if kind == "event_callbacks" else one.id)}


def placed(request: Request) -> str:
    """The id in the path."""
    return next(iter(request.path_params.values()), "")


def under(request: Request) -> str:
    """The path below the dialect's prefix."""
    path: str = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return path


# What answers, by the name of the relationship; the others can be paged through.
ANSWERS = {"event_stores": _change, "webhook": _hook}


def _routes(way: Way) -> None:
    """The two calls about one relationship; its resource's id is all that stands in the path."""
    answer = ANSWERS.get(way.name, page)
    place = f"/{way.kind}/{{{query.PLACES[way.kind]}}}"

    @router.get(f"{place}/{way.name}")
    def list_related(request: Request, caller: SignedIn) -> Document:
        return answer(request, caller, way, whole=True)

    @router.get(f"{place}/relationships/{way.name}")
    def identify_related(request: Request, caller: SignedIn) -> Document:
        return answer(request, caller, way, whole=False)


for kind, names in query.RELATED.items():
    for name, target in names.items():
        if name not in TELLING.get(kind, ()):  # whose calls are in `told.py`
            _routes(Way(kind, name, target))
