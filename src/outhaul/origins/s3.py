"""Binaries as objects of a bucket, `s3://bucket/prefix`, whose address and keys the variables AWS_... of S3 tell."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import S3Store

from outhaul.errors import Misconfigured, StoreError
from outhaul.origins import Unfit

AT_ONCE = 8 << 20  # what is no larger is brought here once, and the rest by ranges of as much
PATIENCE = timedelta(seconds=60)  # for one of these, with all tries
NOBODYS = b"outhaul-looks-whether-this-bucket-answers"
NO_PATH = "has a path that is none"
HINT = "AWS_ENDPOINT_URL, AWS_REGION and the keys must be its own, and allow s3:GetObject and s3:ListBucket."
# Of obstore for an address that is none; it is no Exception, and would end the worker.
PANIC = "PanicException"
ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT")
ADDRESS = re.compile(r"https?://[^\s/?#@]+([/?#]\S*)?")  # with no password, which errors would tell


def open_origin(place: str) -> Bucket:
    """The objects of that bucket whose keys begin with the steps of that prefix; Misconfigured."""
    parts = urlsplit(place)
    if not parts.netloc or parts.query or parts.fragment:
        raise Misconfigured(f"{place!r} names no bucket.", hint="As s3://bucket/prefix.")
    wrong = next(
        (one for one in ENDPOINTS if one in os.environ and not ADDRESS.fullmatch(os.environ[one])), None
    )
    if wrong:
        raise Misconfigured(
            f"{wrong} is no address.", hint="As https://s3.example.com, with no password, or do not set it."
        )
    return Bucket(parts.netloc, tuple(filter(None, unquote(parts.path).split("/"))))


class Bucket:
    """Its keys are paths, whose steps go down only."""

    AHEAD = 8

    def __init__(self, name: str, prefix: tuple[str, ...]) -> None:
        self.name, self._prefix = name, prefix
        self._store = S3Store(
            name,
            client_options={
                "timeout": PATIENCE,
                "connect_timeout": timedelta(seconds=10),
                "allow_http": True,  # of an address that was given so
            },
            retry_config={"max_retries": 3, "retry_timeout": PATIENCE},
        )

    def look(self) -> None:
        """StoreError for a bucket that is not there, or not for us."""
        with suppress(Unfit):
            self.take(NOBODYS)

    def take(self, path: bytes) -> Taken:
        """The object at the path; Unfit, StoreError."""
        with _in_words(self.name):
            key = self._key(path)
            found = obstore.get(self._store, key)
            about = found.meta
            whole = bytes(found.bytes()) if about["size"] <= AT_ONCE else None
            return Taken(self, key, about["size"], about["e_tag"], whole)

    def _key(self, path: bytes) -> str:
        try:
            steps = path.decode().split("/")
        except UnicodeDecodeError:
            raise Unfit(NO_PATH) from None
        if path.startswith(b"/") or {".", ".."} & {*steps}:
            raise Unfit("lies outside of its place")
        return "/".join((*self._prefix, *steps))

    def part(self, key: str, start: int, stop: int, etag: str | None) -> bytes:
        """A range of an object, if it is still the one of this ETag; Unfit, StoreError."""
        options: Any = {"range": (start, stop), **({"if_match": etag} if etag else {})}
        with _in_words(self.name):
            return bytes(obstore.get(self._store, key, options=options).bytes())


class Taken:
    """An object as it was when it was first asked for: `whole`, or to be had in ranges."""

    def __init__(self, bucket: Bucket, key: str, length: int, etag: str | None, whole: bytes | None) -> None:
        self._bucket, self._key, self._etag, self._whole = bucket, key, etag, whole
        self.length = length

    def read(self) -> Iterator[bytes]:
        if self._whole is not None:
            yield self._whole
            return
        for start in range(0, self.length, AT_ONCE):
            stop = min(start + AT_ONCE, self.length)
            yield self._bucket.part(self._key, start, stop, self._etag)

    def close(self) -> None:
        """There is nothing to be closed."""


@contextmanager
def _in_words(bucket: str) -> Iterator[None]:
    """Says an error of the bucket as one of what lies there, or of the place."""
    try:
        yield
    except PreconditionError:
        raise Unfit("has changed while it was read") from None
    except ValueError:  # of a key that none can be
        raise Unfit(NO_PATH) from None
    except FileNotFoundError as error:
        if "NoSuchBucket" not in str(error):
            raise Unfit("is not there") from None
        raise StoreError(f"There is no bucket {bucket!r}.", hint=HINT) from error
    except BaseError as error:
        why = str(error).partition("\n")[0]
        raise StoreError(f"The bucket {bucket!r} could not be read: {why}", hint=HINT) from error
    except BaseException as error:
        if type(error).__name__ != PANIC:
            raise
        raise StoreError(f"The bucket {bucket!r} cannot be asked: {error}.", hint=HINT) from error
