"""The section of a catalog file: what is wrong in it is the owner's to see, and what is missing is told."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from outhaul import app, config
from outhaul.catalog import Catalog
from outhaul.dialects import batch
from outhaul.dialects.batch import mapping, parse
from outhaul.errors import Misconfigured
from tests.batches import CATALOG, TABLES, Source


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder = tmp_path_factory.mktemp("mapping")
    source = Source(f"sqlite:///{folder}/company.db")
    for statement in filter(str.strip, TABLES.split(";")):
        source.run(statement)
    (folder / "batch.toml").write_text(CATALOG)
    settings = config.load({"source": source.url, "catalog": folder / "batch.toml"})
    return app.offered(settings, app.reflect(settings))


def section() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(CATALOG)["batch"]
    return found


def changed(catalog: Catalog, path: str, value: Any) -> Catalog:
    """With another value at a place of the section; None: without it."""
    written = section()
    *steps, last = path.split("/")
    inner = written
    for step in steps:
        inner = inner[step]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return replace(catalog, sections={"batch": written})


def test_what_is_missing_is_told_when_nothing_is_wrong(catalog: Catalog) -> None:
    found = batch.check(catalog)
    assert "profiles.attributes.$city: is missing." in found
    assert "events.sms_sent: is missing." in found
    assert len(found) == (len(mapping.NATIVE) - 3) + (len(parse.EVENTS) - 2)
    assert mapping.read(catalog) is not None, "and it can be served"


WRONG: dict[str, tuple[str, Any, str]] = {
    "a key that nobody knows": ("profile", {}, "profile: Extra inputs are not permitted"),
    "profiles without a resource": ("profiles/resource", None, "profiles.resource: Field required"),
    "a resource that is not offered": ("profiles/resource", "person", "no resource 'person'"),
    "a field that is none": (
        "profiles/attributes/firstname",
        "nam",
        "profiles.attributes.firstname: people has no",
    ),
    "a name that is none": (
        "profiles/attributes/First Name",
        "name",
        "profiles.attributes.First Name: neither",
    ),
    "a native attribute that is none": ("profiles/attributes/$shoe_size", "age", "$shoe_size: neither"),
    "one installation where there is a list": ("profiles/installation_ids", "ref", "should be a list"),
    "a segment that is none": ("segments/DE", "german", "segments.DE: people has no segment 'german'"),
    "an event that is none": ("events/email_lost", {}, "events.email_lost.resource: Field required"),
    "an event without a date": ("events/push_open/date", None, "events.push_open.date: Field required"),
    "a date that is none": ("events/push_open/date", "kind", "messages.kind holds no moment"),
    "a date of another resource": ("events/push_open/date", "person.joined", "holds no moment"),
    "a filter that is none": ("events/push_open/filters/kin_eq", "a", "no field 'kin' to filter by"),
    "a filter that is for the asker": (
        "events/push_open/filters/sent_at_lt",
        "2026-01-01",
        "sent_at_lt is for",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_with_its_place_and_keeps_the_service_from_starting(
    what: str, catalog: Catalog
) -> None:
    path, value, said = WRONG[what]
    wrong = changed(catalog, path, value)
    assert said in "\n".join(batch.check(wrong))
    with pytest.raises(Misconfigured) as raised:
        mapping.read(wrong)
    assert said in str(raised.value)


def test_an_unknown_event_is_told_with_those_that_there_are(catalog: Catalog) -> None:
    wrong = changed(catalog, "events/email_lost", section()["events"]["email_sent"])
    (said,) = batch.check(wrong)
    assert "no event 'email_lost'" in said
    assert "push_open" in said


def test_a_resource_without_a_tenant_rule_is_told(catalog: Catalog) -> None:
    free = replace(catalog.resources["devices"], tenant=None)
    wrong = replace(catalog, resources=dict(catalog.resources) | {"devices": free})
    assert batch.check(wrong) == ("resources.devices has no tenant rule, so that no key may read it.",)


def test_a_catalog_without_a_section_has_no_such_dialect(catalog: Catalog) -> None:
    assert mapping.read(replace(catalog, sections={})) is None


def test_the_command_tells_what_a_dialect_misses(tmp_path: Path) -> None:
    from tests import terminal

    source = Source(f"sqlite:///{tmp_path}/company.db")
    for statement in filter(str.strip, TABLES.split(";")):
        source.run(statement)
    (tmp_path / "batch.toml").write_text(CATALOG)
    done = terminal.here(tmp_path, "catalog", source.url, "--catalog", tmp_path / "batch.toml", "--check")
    assert done.returncode == 1
    assert "batch: events.sms_sent: is missing." in done.stdout.splitlines()
