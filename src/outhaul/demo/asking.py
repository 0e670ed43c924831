"""The demo as a customer: asks for an export over HTTP, follows it, downloads it by its signed links."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, Self

import httpx

from outhaul.errors import OuthaulError

MEDIA_TYPE = "application/vnd.api+json"
POLL = 0.1  # seconds
TIMEOUT = httpx.Timeout(30)


@dataclass(frozen=True, slots=True)
class Want:
    """One export to ask for."""

    resource: str
    format: str
    includes: tuple[str, ...] = ()
    compress: str | None = None


@dataclass(frozen=True, slots=True)
class Got:
    """One export had: its file and manifest, and seconds from the request to `completed`."""

    file: Path
    manifest: Path
    seconds: float


class Customer:
    """Speaks the dialect of Commerce Layer to one service, with one token."""

    def __init__(self, address: str, token: str) -> None:
        # The service is on this machine: a proxy that the user needs elsewhere has no business here.
        self._client = httpx.Client(base_url=address, timeout=TIMEOUT, trust_env=False)
        self._headers = {"Authorization": f"Bearer {token}", "Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def fetch(self, want: Want, folder: Path, follow: Callable[[int, int | None], None]) -> Got:
        """Create, follow (`processed`, `matched`), download. OuthaulError with the service's own words otherwise."""
        began = time.perf_counter()
        asked = {
            "resource_type": want.resource,
            "format": want.format,
            "includes": list(want.includes),
            "compress": want.compress,
        }
        document = {"data": {"type": "exports", "attributes": asked}}
        export = self._said(self._client.post("/api/exports", json=document, headers=self._headers))
        while export["attributes"]["status"] in {"pending", "in_progress"}:
            follow(export["attributes"]["processed_count"] or 0, export["attributes"]["records_count"])
            time.sleep(POLL)
            export = self._said(self._client.get(f"/api/exports/{export['id']}", headers=self._headers))
        seconds = time.perf_counter() - began
        if export["attributes"]["status"] != "completed":
            raise OuthaulError(f"The export of {want.resource} ended as {export['attributes']}")
        follow(export["attributes"]["processed_count"], export["attributes"]["records_count"])
        folder.mkdir(parents=True, exist_ok=True)
        file = self._download(export["attributes"]["attachment_url"], folder)
        return Got(file, self._download(export["links"]["manifest"], folder), seconds)

    def _download(self, link: str, folder: Path) -> Path:
        with self._client.stream("GET", link) as answer:
            if answer.status_code != httpx.codes.OK:
                raise OuthaulError(f"A signed link was answered with {answer.status_code}.")
            target = folder / _name(answer.headers["Content-Disposition"])
            with target.open("wb") as file:
                for piece in answer.iter_raw():
                    file.write(piece)
        return target

    def _said(self, answer: httpx.Response) -> Mapping[str, Any]:
        document = answer.json()
        if answer.is_error:
            raise OuthaulError("; ".join(error["detail"] for error in document["errors"]))
        data: Mapping[str, Any] = document["data"]
        return data


def _name(disposition: str) -> str:
    """The file's name in a Content-Disposition header, without any folder."""
    header = Message()
    header["Content-Disposition"] = disposition
    name = Path(header.get_filename() or "").name
    if not name:
        raise OuthaulError(f"A download has no name: {disposition!r}.")
    return name
