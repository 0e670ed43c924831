"""The client: each call of a service's exports as a method."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from outhaul.client import wire
from outhaul.client.fetching import Downloaded, Fetching, Told
from outhaul.client.line import Line
from outhaul.client.wire import Export
from outhaul.errors import NotFound

if TYPE_CHECKING:
    import pyarrow as pa

PAGE = 25  # Commerce Layer: "page[size] (default 10, max 25)"
SOON, LATER, SLOWER = (
    0.1,
    2.0,
    1.5,
)  # seconds between two looks at an export, at first and at last; their growth
ID = re.compile(r"[\w-]{1,100}", re.ASCII)


class Client:
    """The exports of one service, as one token sees them. Not to be shared by threads; to be closed, or used by `with`.

    `patience`: seconds in which a service that has answered before may be away until ServiceAway is raised. One that
    is asked too often, and says when to come back, is left alone until then, for ten minutes at most. `timeout`:
    seconds for which nothing may come from it.
    """

    def __init__(self, server: str, token: str, *, patience: float = 60.0, timeout: float = 60.0) -> None:
        self._line = Line(server, token, patience=patience, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._line.close()

    def create(
        self,
        resource_type: str,
        *,
        format: str = "json",  # noqa: A002 - the name on the wire
        fields: Sequence[str] = (),
        includes: Sequence[str] = (),
        filters: Mapping[str, Any] | None = None,
        compress: str | None = None,
        nested: Mapping[str, str] | None = None,
        profile: str | None = None,
        delimiter: str | None = None,
        dry_data: bool = False,
        jwt_filters: bool = False,
        reference: str | None = None,
        reference_origin: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Export:
        """Ask for an export; what is not given is as the service has it by itself. Refused, with the service's words.

        `compress`: gzip, zstd or none. `key`: the same key with the same request gives the same export; without one
        each call has a key of its own, so that a broken connection makes no second export.
        """
        asked = {
            "resource_type": resource_type,
            "format": format,
            "fields": list(fields),
            "includes": list(includes),
            "filters": filters,
            "nested": nested,
            "profile": profile,
            "delimiter": delimiter,
            "dry_data": dry_data,
            "jwt_filters": jwt_filters,
            "reference": reference,
            "reference_origin": reference_origin,
            "metadata": metadata,
        }
        attributes: dict[str, Any] = {name: value for name, value in asked.items() if value}
        if compress:
            # Parquet compresses inside, and knows `none` by that name.
            attributes["compress"] = None if compress == "none" and format != "parquet" else compress
        body = {"data": {"type": "exports", "attributes": attributes}}
        return _one(self._line.ask("POST", "/exports", body, key=key or secrets.token_urlsafe(24)))

    def get(self, export_id: str) -> Export:
        """The export as it is now, with fresh links. NotFound."""
        return _one(self._line.ask("GET", _path(export_id)))

    def list(self, *, filters: Mapping[str, str] | None = None, sort: Sequence[str] = ()) -> Iterator[Export]:
        """All exports that the token sees, the newest first, page by page as they are read; each once. `filters`:
        `attribute_predicate` with its value, as `status_in` with `completed,failed`; `sort`: names, `-` turns round."""
        query = {f"filter[q][{name}]": value for name, value in (filters or {}).items()}
        query |= {"sort": ",".join(sort)} if sort else {}
        seen: set[str] = set()
        number, last = 0, 1
        while number < last:
            number += 1
            page = {"page[number]": str(number), "page[size]": str(PAGE)}
            exports, last = wire.listed(self._line.ask("GET", "/exports", query=query | page))
            # New exports push others onto the next page.
            yield from (one for one in exports if one.id not in seen)
            seen |= {one.id for one in exports}

    def follow(self, export_id: str) -> Iterator[Export]:
        """The export again and again, until it has ended, which is the last that is given."""
        pause = SOON
        while not (export := self.get(export_id)).ended:
            yield export
            time.sleep(pause)
            pause = min(SLOWER * pause, LATER)
        yield export

    def interrupt(self, export_id: str) -> Export:
        """Stop it until it is started again. WrongState."""
        return self._change(export_id, _interrupt=True)

    def start(self, export_id: str) -> Export:
        """Go on after an interruption or a failure. WrongState."""
        return self._change(export_id, _start=True)

    def _change(self, export_id: str, **attributes: Any) -> Export:
        body = {"data": {"type": "exports", "id": export_id, "attributes": attributes}}
        return _one(self._line.ask("PATCH", _path(export_id), body))

    def delete(self, export_id: str) -> None:
        """Stop it if it runs, and remove it with its files and links. NotFound."""
        self._line.ask("DELETE", _path(export_id))

    def download(self, export_id: str, folder: Path, *, told: Told | None = None) -> Downloaded:
        """Bring the files of a completed export into a folder, made if need be, with their manifest, which they are
        proven by before any stands under its name. `told`: is told how many bytes have come, and of how many.

        What has come before an interruption lies in `NAME.ID.partial`, and is gone on with by the next call. Unproven:
        the files are not what the manifest says, and nothing of them is kept. WrongState: it has not ended. Gone: its
        files are no longer kept. Besides, the error that it ended by, StoreError, ServiceError.
        """
        self._ready(export_id)  # which says more of why there is nothing
        manifest = self._line.ask("GET", f"{_path(export_id)}/manifest")
        return Fetching(self._line, partial(self._ready, export_id), export_id, manifest, folder, told).run()

    def _ready(self, export_id: str) -> str:
        """A fresh link to what there is to download."""
        return wire.link(self.get(export_id))

    @contextmanager
    def to_arrow(self, export_id: str) -> Iterator[pa.RecordBatchReader]:
        """The rows of a completed export of Parquet or CSV as record batches, in bounded memory: its files are brought
        into a temporary folder and proven, before there is a first row.

        Columns have the types of Parquet; of CSV all are text as the database writes it, and null is not the empty
        text. WrongValue: another format, or several tables. Besides, what `download` raises.
        """
        from outhaul.client import arrow

        arrow.readable(self.get(export_id).format)
        with TemporaryDirectory(prefix="outhaul-") as folder:
            got = self.download(export_id, Path(folder))
            with arrow.batches(got.manifest) as batches:
                yield batches


def _one(raw: bytes) -> Export:
    return wire.read(wire.document(raw)["data"])


def _path(export_id: str) -> str:
    if not ID.fullmatch(export_id):  # it would be the address of something else
        raise NotFound(f"There is no export {wire.printable(export_id)[:40]!r}.")
    return f"/exports/{export_id}"
