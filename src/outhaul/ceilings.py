"""How much one export may hold: an error before the work where that can be known, a failed export where not, no cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from outhaul.errors import TooMuch

SURE = 2  # an estimate must be so many times the limit to refuse by: widths of rows come from samples
FEWER = "Ask for less with filters or fields, or have the limit raised."


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most rows of a resource, related ones not counted, and bytes of uncompressed text in all formats together;
    None: no limit."""

    records: int | None = None
    bytes: int | None = None

    def least(self, other: Ceiling) -> Ceiling:
        """What keeps both."""
        return Ceiling(_least(self.records, other.records), _least(self.bytes, other.bytes))

    def otherwise(self, default: Ceiling) -> Ceiling:
        """This, and where it has no limit that of the default."""
        return Ceiling(
            default.records if self.records is None else self.records,
            default.bytes if self.bytes is None else self.bytes,
        )

    def admit(self, resource: str, matched: int) -> None:
        """TooMuch when more rows match than may be exported."""
        if self.records is not None and matched > self.records:
            raise _refusal(f"{matched:,} rows of {resource} match", matched, self.records, "", "matched")

    def expect(self, resource: str, size: int) -> None:
        """TooMuch when so many bytes are estimated that the limit cannot be kept."""
        if self.bytes is not None and size > SURE * self.bytes:
            raise _refusal(
                f"{resource} comes to about {size:,} bytes, as estimated", size, self.bytes, " bytes"
            )

    def hold(self, resource: str, written: int) -> None:
        """TooMuch when more bytes have been written than may be exported."""
        if self.bytes is not None and written > self.bytes:
            raise _refusal(f"{written:,} bytes of {resource} were written", written, self.bytes, " bytes")

    def watched(self, resource: str, chunks: Iterable[memoryview], written: int) -> Iterator[memoryview]:
        """The chunks, as long as they are within the limit together with the bytes that were written before."""
        for chunk in chunks:
            written += len(chunk)
            self.hold(resource, written)
            yield chunk


UNLIMITED = Ceiling()


def _least(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _refusal(what: str, value: int, limit: int, unit: str, where: str = "filters") -> TooMuch:
    return TooMuch(
        f"{what}; {limit:,}{unit} are the most that may be exported at once.",
        hint=FEWER,
        where=(where,),
        facts={"value": value, "limit": limit},
    )
