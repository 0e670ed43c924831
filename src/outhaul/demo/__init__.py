"""`make demo`: a database in, exports out over HTTP, and proof of them by readers that share no code with exports."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outhaul.catalog import Catalog
from outhaul.demo import choosing, database, files, serving, shop
from outhaul.demo.asking import Customer, Want
from outhaul.demo.looks import looks
from outhaul.demo.memory import Peak
from outhaul.demo.report import Had, Proof, Report
from outhaul.errors import Misconfigured

SHOP = (
    Want("orders", "json", ("customer", "line_items", "line_items.sku"), "gzip"),
    Want("line_items", "csv"),
    Want("skus", "ndjson"),
)


def run(source: str | None = None, folder: Path = Path(".demo")) -> int:
    """Exports from `source`, or from the demo's own shop; all that is written lies below `folder`.

    0 when every export completed, its manifest held, and file and database had equal counts; 1 when counts differ.
    """
    report, folder = Report(), folder.absolute()
    with _alone(folder):
        url = choosing.absolute(source) if source else _shop(report, folder / "shop.db")
        catalog = choosing.catalog(url)
        wants = choosing.largest(url, catalog) if source else SHOP
        had = _exports(report, folder, url, wants)
        proofs = [proof for each in had for proof in _compared(report, url, catalog, each)]
    report.results(had, proofs)
    report.next_steps(source, folder, had)
    return 0 if all(proof.holds for proof in proofs) else 1


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the folder against a second demo, and clears what an earlier one has left."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(f"Another demo is running in {folder}.") from None
        serving.end_leftover(folder)
        for leftover in ("state", "downloads", "tmp"):
            shutil.rmtree(folder / leftover, ignore_errors=True)
        yield


def _shop(report: Report, target: Path) -> str:
    with report.step("Loading a year of a grocer's purchases into SQLite") as done:
        rows = shop.load(shop.folder(), target)
        done(
            f"{sum(rows.values()):,} rows in {len(rows)} tables; {shop.dangling(target):,} point to no row: kept"
        )
    return f"sqlite:///{target}"


def _exports(report: Report, folder: Path, url: str, wants: tuple[Want, ...]) -> list[Had]:
    had: list[Had] = []
    with serving.service(folder, url) as service:
        token = serving.outhaul(folder, "token", "create", "--all-tenants", "--state", f"{folder}/state")
        with Customer(service.address, token) as customer:
            for want in wants:
                target = folder / "downloads" / f"{len(had) + 1}-{want.format}"
                with report.export(want) as follow, Peak(service.pid) as peak:
                    got = customer.fetch(want, target, follow)
                with report.step(f"Verifying {want.resource} against its manifest") as done:
                    serving.outhaul(folder, "verify", str(got.manifest))
                    done("every byte as recorded")
                had.append(Had(want, got, peak.bytes))
    return had


def _compared(report: Report, url: str, catalog: Catalog, had: Had) -> Iterator[Proof]:
    """The file as read here beside the database as read here."""
    with report.step(f"Counting {had.want.resource} in file and database") as done:
        with database.engine(url).connect() as connection:
            seen = tuple(
                database.fit(connection, look)
                for look in looks(catalog, had.want.resource, had.want.includes)
            )
            there = [database.count(connection, look) for look in seen]
        here = files.count(had.got.file, had.want.format, seen)
        proofs = [Proof(had, *each) for each in zip(seen, here, there, strict=True)]
        done("equal" if all(proof.holds for proof in proofs) else "DIFFERENT")
    yield from proofs
