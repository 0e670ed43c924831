"""`outhaul verify`: whether the files of an export are what its manifest says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, urljoin

import typer

from outhaul.commands import _options as options
from outhaul.errors import Misconfigured, StoreError

if TYPE_CHECKING:
    import httpx

    from outhaul.manifest import Finding

WEB = ("http://", "https://")


def run(
    manifest: Annotated[
        str, typer.Argument(metavar="MANIFEST", help="Its path, its folder, or its signed link.")
    ],
    deep: Annotated[bool, typer.Option("--deep", help="Count the rows by reading them, too.")] = False,
) -> None:
    """Check files against their manifest: beside it, or over HTTP by ranges. Exit status 1 if anything differs."""
    look = _over_http if manifest.startswith(WEB) else _beside
    findings = look(manifest, deep=deep)
    for finding in findings:
        options.results.print(str(finding))
    if findings:
        raise typer.Exit(1)
    options.people.print("Every file is what the manifest says.")


def _beside(name: str, *, deep: bool) -> tuple[Finding, ...]:
    from outhaul.manifest import verify_folder

    if not Path(name).exists():
        raise Misconfigured(f"There is no manifest {name!r}.", wrong=name)
    return verify_folder(Path(name), deep=deep)


def _over_http(address: str, *, deep: bool) -> tuple[Finding, ...]:
    """The files lie beside the manifest: one signed link opens all files of an export."""
    import httpx

    from outhaul.manifest import verify

    with httpx.Client(follow_redirects=True, headers={"Accept-Encoding": "identity"}) as client:

        def fetch(name: str, start: int, stop: int) -> Iterator[bytes]:
            if start < stop:
                yield from _part(client, urljoin(address, quote(name, safe="")), start, stop)

        with _in_words(address):
            answer = client.get(address)
            if answer.is_error:
                raise StoreError(
                    f"The manifest was answered with {answer.status_code}: {answer.text.strip()[:300]}"
                )
            return verify(answer.content, fetch, deep=deep)


def _part(client: httpx.Client, address: str, start: int, stop: int) -> Iterator[bytes]:
    with client.stream("GET", address, headers={"Range": f"bytes={start}-{stop - 1}"}) as answer:
        if answer.status_code == 416:
            return
        if answer.status_code in {404, 410}:
            raise FileNotFoundError(address)
        if answer.status_code != 206:
            raise StoreError(f"A range of {address} was answered with {answer.status_code}.")
        yield from answer.iter_raw()


@contextmanager
def _in_words(address: str) -> Iterator[None]:
    import httpx

    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StoreError(f"{address} cannot be read: {str(error) or type(error).__name__}.") from None
