"""Whoever is killed, and whenever: each row is in the file once, and nothing is left lying about."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import pytest

from tests.system import _oracle, _outhaul
from tests.system._outhaul import Asker, Service, until
from tests.system._proxy import proxy
from tests.system._shop import Shop
from tests.system.conftest import FORMATS, SOURCES

SHOP = Shop(customers=200, orders=2000, lines=5, note=150)
PARTS = 30_000  # bytes of a part
LEASE = "2s"


def wanted() -> list[tuple[str, str, list[str]]]:
    """(resource, format, includes): every format, and two with records inside records."""
    forms = FORMATS or ["csv"]
    return [("line_items", form, []) for form in forms] + [
        ("orders", form, ["customer", "line_items.sku"]) for form in forms[-2:]
    ]


# The quick kills on SQLite are in tests/crash.
@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.heavy if name == "sqlite" else ()) for name in SOURCES],
)
def source(request: pytest.FixtureRequest, filled: Callable[[str, Shop], str]) -> Iterator[str]:
    """A shop; PostgreSQL behind a line slow enough that there is always something to kill."""
    url = filled(request.param, SHOP)
    if request.param == "sqlite":
        yield url
        return
    address = urlsplit(url)
    with proxy(str(address.hostname), int(address.port or 5432), rate=1_500_000) as between:
        yield url.replace(f":{address.port}/", f":{between.port}/")


@pytest.fixture(scope="module")
def undisturbed(source: str, room: Path) -> dict[str, dict[str, int]]:
    """What each wanted export holds when nobody is killed, order apart."""
    with _outhaul.serving(source, room / f"undisturbed-{uuid4().hex}", workers=1) as service:
        asker = service.asker()
        return {
            f"{resource}.{form}": _oracle.counted(asker.rows(resource, form, includes=includes))
            for resource, form, includes in wanted()
        }


@pytest.fixture
def service(source: str, tmp_path: Path) -> Iterator[Service]:
    with _outhaul.serving(source, tmp_path, part_bytes=PARTS, lease=LEASE, workers=2) as running:
        yield running


def kill_one(service: Service, kind: str) -> bool:
    """SIGKILL to one process of a kind; the service itself comes back, as a supervisor would bring it."""
    if kind == "service":
        assert service.process is not None
        orphans = service.family()[1:]
        service.process.kill()
        service.process.wait(10)
        service.start()
        until(lambda: not any(each.is_running() for each in orphans), "children end with their service", 20)
        return True
    victims = service.children({"worker": "outhaul.worker", "keeper": "outhaul.snapshots"}[kind])
    if not victims:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        random.choice(victims).kill()
        return True
    return False


def disturb(
    service: Service, asker: Asker, kills: int, undisturbed: dict[str, dict[str, int]], seed: int
) -> None:
    chance = random.Random(seed)
    done = 0
    while done < kills:
        asked = {
            asker.create(resource, form, includes=includes): f"{resource}.{form}"
            for resource, form, includes in wanted()
        }
        while done < kills and any(not ended(asker, each) for each in asked):
            time.sleep(chance.uniform(0.02, 0.6))  # the moment of the kill is what is tried
            kind = chance.choice(["worker", "worker", "keeper", "service"])
            done += kill_one(service, kind)
        for export_id, name in asked.items():
            finish(asker, export_id)
            assert (
                _oracle.counted(_oracle.rows(name.rsplit(".", 1)[1], asker.file(export_id)))
                == undisturbed[name]
            )
            last = asker.get(export_id)
            assert last["processed_count"] == last["records_count"]


def ended(asker: Asker, export_id: str) -> bool:
    return asker.get(export_id)["status"] in _outhaul.ENDS


def finish(asker: Asker, export_id: str) -> None:
    """Wait for completion; a part that was killed too often fails its export, which is started again."""
    for _ in range(5):
        last = asker.wait(export_id, patience=90)
        if last["status"] == "completed":
            return
        assert last["attachment_url"] is None
        assert last["status"] == "failed", last
        assert asker.change(export_id, _start=True).status_code == 200
    raise AssertionError(f"{export_id} does not complete: {last['errors_log']}")


def objects(service: Service) -> list[Path]:
    """All files of exports that lie in the state folder."""
    kept = {"ledger.db", "ledger.db-wal", "ledger.db-shm"}
    return [
        path
        for path in service.state.rglob("*")
        if path.is_file() and path.name not in kept and path.stat().st_size
    ]


def clean(service: Service, asker: Asker) -> None:
    """Once all exports are deleted, no object is left, those of killed attempts included."""
    ours = {path for path in objects(service) if path.parent.name in {service.state.name, "audit"}}
    for export_id in asker.ids():
        assert asker.call("DELETE", f"/exports/{export_id}").status_code == 204
    service.restart()
    until(lambda: not set(objects(service)) - ours, f"objects are swept: {objects(service)[:5]}", 30)


@pytest.mark.heavy  # the quick ones are in tests/crash
@pytest.mark.timeout(300)
def test_random_kills_change_nothing(service: Service, undisturbed: dict[str, dict[str, int]]) -> None:
    seed = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"SEED={seed}")
    asker = service.asker()
    disturb(service, asker, 6, undisturbed, seed)
    clean(service, asker)


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_fifty_random_kills_change_nothing(service: Service, undisturbed: dict[str, dict[str, int]]) -> None:
    seed = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"SEED={seed}")
    asker = service.asker()
    disturb(service, asker, 50, undisturbed, seed)
    clean(service, asker)


@pytest.mark.heavy
def test_there_are_at_least_twenty_parts(service: Service) -> None:
    """Else the kills above would show little."""
    asker = service.asker()
    for export_id in [
        asker.create(resource, form, includes=includes) for resource, form, includes in wanted()
    ]:
        assert _outhaul.parts_of(asker.manifest(export_id)) >= 20


@pytest.mark.heavy  # the quick one is in tests/crash
def test_interrupted_and_started_twice_ends_with_the_same_file(
    service: Service, undisturbed: dict[str, dict[str, int]]
) -> None:
    asker = service.asker()
    resource, form, includes = wanted()[-1]
    export_id = asker.create(resource, form, includes=includes)
    for _ in range(2):
        until(
            lambda: asker.get(export_id)["processed_count"] or ended(asker, export_id), "rows are processed"
        )
        answer = asker.change(export_id, _interrupt=True)
        if answer.status_code != 200:
            assert asker.get(export_id)["status"] == "completed", answer.text
            break
        assert answer.json()["data"]["attributes"]["status"] == "interrupted"
        before = asker.get(export_id)
        assert before["attachment_url"] is None
        assert before["interrupted_at"]
        assert asker.change(export_id, _start=True).status_code == 200
    asker.finish(export_id)
    assert _oracle.counted(_oracle.rows(form, asker.file(export_id))) == undisturbed[f"{resource}.{form}"]


@pytest.mark.heavy  # quick ones of this kind are in tests/crash
def test_everybody_killed_at_once_and_a_new_start_end_with_the_same_file(
    service: Service, undisturbed: dict[str, dict[str, int]]
) -> None:
    asker = service.asker()
    resource, form, includes = wanted()[-1]
    export_id = asker.create(resource, form, includes=includes)
    until(lambda: asker.get(export_id)["processed_count"] or ended(asker, export_id), "rows are processed")
    service.kill()
    service.start()
    finish(asker, export_id)
    assert _oracle.counted(_oracle.rows(form, asker.file(export_id))) == undisturbed[f"{resource}.{form}"]


def test_sigterm_ends_the_service_in_time_and_leaves_nobody(service: Service) -> None:
    asker = service.asker()
    resource, form, includes = wanted()[-1]
    export_id = asker.create(resource, form, includes=includes)
    until(lambda: asker.get(export_id)["processed_count"] or ended(asker, export_id), "rows are processed")
    family = service.family()
    assert len(family) >= 3
    assert service.process is not None
    service.process.terminate()
    assert service.process.wait(20) in {0, -15, 143}
    until(lambda: not any(each.is_running() for each in family), "all children are gone", 20)
    service.start()
    finish(asker, export_id)


def test_progress_never_falls_and_ends_at_the_count(service: Service) -> None:
    asker = service.asker()
    export_id = asker.create("line_items", "ndjson")
    seen: list[tuple[int, float]] = []
    while True:
        last = asker.get(export_id)
        seen.append((last["processed_count"] or 0, last["progress"] or 0.0))
        if last["status"] in _outhaul.ENDS:
            break
    assert last["status"] == "completed"
    assert seen == sorted(seen)
    assert seen[-1] == (last["records_count"], 100.0)
    assert all(progress < 100 for _, progress in seen[:-1] if progress)
