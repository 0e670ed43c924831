"""What a run of many callers and large ledgers has shown, as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.crowd import Seen, quantile
from bench.sizes import Pair
from bench.watchers import Watched

SHARE, GROWTH = 20.0, 1.5  # the aims
SLOWED, LATE = 0.05, 2.0  # those of pages: a share, and seconds
LEDGERS = {
    "sqlite": "SQLite, as by default",
    "postgresql": "PostgreSQL on the same machine, over TCP; fsync = off",
}
HEAD = """\
# Under load

Made by `make load`; `make load SECONDS=10 EXPORTS=0` for a short one, `LEDGER=postgresql` for a ledger there. All is
asked over HTTP on loopback of an `outhaul serve` with the settings that it has by default, on a source of 100
organizations with 100 orders each. Rate limits: none, as by default. Callers, service and workers share the machine.
Where the load before is not near zero, others were at work on it: read times as no more than a hint, and ratios with
care."""
CROWD = """\
Each caller has a connection that stays open. It asks for an export of its organization's orders, asks every {poll:g} s
whether it is done, and then begins anew, without a pause: as many exports run as the machine can. *Alone* is one
caller that retrieves a completed export, one request after another, on the same service before that."""
SIZES = """\
Calls of one caller by turns against two services, one with a ledger of {small:,} exports, one of {large:,}. The exports
were created over a year; 47 of 50 were completed, 2 failed, 1 was interrupted; files are kept of the last six days."""

PAGES = """\
Exports of a single organization's {rows:,} orders, by turns with {pages} pages of the console open on each, every one a
stream of its own, and with none. Seconds are from start to completion; a page is late by what lies between the
completion and the moment that it was told."""


@dataclass(frozen=True, slots=True)
class Pages:
    """Exports of so many rows, without pages and with so many open on them."""

    many: int
    rows: int
    seen: Watched


@dataclass(frozen=True, slots=True)
class Sizes:
    """Calls against a small and a large ledger, each shared by so many organizations."""

    organizations: int
    small: int
    large: int
    pairs: tuple[Pair, ...]


def page(
    about: Mapping[str, str],
    clients: int,
    poll: float,
    seen: Seen,
    sizes: Sequence[Sizes],
    pages: Pages,
) -> str:
    """The whole of it, as Markdown."""
    lines = [HEAD, "", *(f"- {name}: {value}" for name, value in about.items()), ""]
    lines += [f"## {clients} callers at once", "", CROWD.format(poll=poll), "", *_crowd(seen, clients)]
    lines += [
        "",
        f"## {pages.many} pages open on one export",
        "",
        PAGES.format(pages=pages.many, rows=pages.rows),
    ]
    lines += ["", *_pages(pages)]
    for one in sizes:
        shared = "one organization" if one.organizations == 1 else f"{one.organizations} organizations"
        lines += ["", f"## A ledger of {one.large:,} exports of {shared}", ""]
        lines += [SIZES.format(small=one.small, large=one.large), "", *_sizes(one)]
    return "\n".join(lines) + "\n"


def summary(seen: Seen) -> str:
    """The crowd in a sentence."""
    answers = ", ".join(f"{many:,} of {status}" for status, many in sorted(seen.statuses.items()))
    met = "met" if seen.share < SHARE else "not met"
    return (
        f"The 99th percentile of a retrieve is {seen.share:.1f} medians of one alone (aim: under {SHARE:g}: {met}).\n"
        f"Answers: {answers}; {seen.broken} were 5xx or missing (aim: none)."
    )


def watched(pages: Pages) -> str:
    """The pages in a sentence."""
    seen = pages.seen
    slowed = "met" if seen.slowed < SLOWED else "not met"
    late = "met" if max(seen.late) <= LATE else "not met"
    return (
        f"{pages.many} pages change the time of an export by {100 * seen.slowed:+.1f} % (aim: less than"
        f" {100 * SLOWED:+g} %: {slowed}).\nThe latest page was told after {max(seen.late):.2f} s (aim: {LATE:g} s:"
        f" {late}); the longest time without a change on a page was {max(seen.still):.2f} s."
    )


def _pages(pages: Pages) -> list[str]:
    rows = {"without pages": pages.seen.alone, f"with {pages.many} pages": pages.seen.among}
    return [
        "| seconds | median | fastest | slowest | exports |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {name} | {median(values):.2f} | {min(values):.2f} | {max(values):.2f} | {len(values)} |"
            for name, values in rows.items()
        ),
        "",
        watched(pages),
    ]


def _crowd(seen: Seen, clients: int) -> list[str]:
    rows = {
        "retrieve, alone": seen.idle,
        f"retrieve, among {clients}": seen.retrieves,
        f"create, among {clients}": seen.creations,
        "export, from its creation until it was seen done": seen.exports,
    }
    done = ", ".join(f"{many:,} {status}" for status, many in sorted(seen.ends.items())) or "none"
    rate = f"{len(seen.creations) / seen.lasted:.1f} creations and {len(seen.retrieves) / seen.lasted:.1f} retrieves"
    return [
        "| milliseconds | median | p99 | p99.9 | slowest | requests |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(_quantiles(name, values) for name, values in rows.items() if values),
        "",
        f"In {seen.lasted:.1f} s: {rate} a second; exports seen to end: {done}.",
        "",
        summary(seen),
    ]


def _quantiles(name: str, seconds: Sequence[float]) -> str:
    found = [median(seconds), quantile(seconds, 0.99), quantile(seconds, 0.999), max(seconds)]
    return f"| {name} | {' | '.join(f'{1000 * one:.1f}' for one in found)} | {len(seconds):,} |"


def _sizes(sizes: Sizes) -> list[str]:
    aimed = sizes.organizations > 1
    return [
        f"| median, milliseconds | {sizes.small:,} | {sizes.large:,} | ratio | aim |",
        "| --- | ---: | ---: | ---: | --- |",
        *(_pair(pair, aimed and pair.call.aimed) for pair in sizes.pairs),
        "",
        f"{len(sizes.pairs[0].small)} of each.",
    ]


def _pair(pair: Pair, aimed: bool) -> str:
    met = "met" if pair.ratio <= GROWTH else "not met"
    told = f"{GROWTH:g}: {met}" if aimed else "none"
    both = (f"{1000 * median(seconds):.1f}" for seconds in (pair.small, pair.large))
    return f"| {pair.call.name} | {' | '.join(both)} | {pair.ratio:.2f} | {told} |"
